#!/usr/bin/env python3
"""What pakvd makes of where it is started: a disk that is none."""

import os
import subprocess
import tempfile

import pakv


def kind_of_file_system(path):
    done = subprocess.run(["stat", "-f", "-c", "%T", path], capture_output=True, text=True,
                          check=False)
    return done.stdout.strip()


def a_directory_in_memory_is_told(pakvd, _pakvctl, parent):
    warning = ": in memory (tmpfs): nothing here survives a power loss or reboot"
    if kind_of_file_system(parent) != "tmpfs":
        server = pakv.Server(pakvd, os.path.join(parent, "data"), "--admin-addr", "none")
        pakv.check(server.stop() == 0, "no clean stop")
        pakv.check("in memory" not in server.last_log, server.last_log)
        pakv.check("durability always, address" in server.last_log, server.last_log)
    if kind_of_file_system("/dev/shm") != "tmpfs":
        return "/dev/shm is no tmpfs here"
    with tempfile.TemporaryDirectory(dir="/dev/shm") as memory:
        data = os.path.join(memory, "data")
        server = pakv.Server(pakvd, data, "--admin-addr", "none", "--segment-size", "1MiB")
        pakv.check(server.stop() == 0, "no clean stop")
        pakv.check(data + warning in server.last_log, server.last_log)
        pakv.check("durability always (but tmpfs is memory), address" in server.last_log,
                   server.last_log)
        # Asked for: nothing is to survive.
        data = os.path.join(memory, "none")
        server = pakv.Server(pakvd, data, "--admin-addr", "none", "--engine", "memory")
        pakv.check(server.stop() == 0, "no clean stop")
        pakv.check("in memory (tmpfs)" not in server.last_log, server.last_log)
    return None


if __name__ == "__main__":
    pakv.main([a_directory_in_memory_is_told])
