#!/usr/bin/env python3
"""A small file system that fills up: writes are refused with Redis' kind of error and nothing is
lost; deletes go on; once a ballast file is removed writes resume by themselves, without a restart.
Needs root for a loop device; says so and is skipped without it."""

import os
import subprocess
import time

import pakv

DISK_BYTES = 48 << 20
BALLAST_BYTES = 16 << 20


def a_full_disk_refuses_and_resumes(pakvd, _pakvctl, parent):
    if os.geteuid() != 0:
        return "needs root for a loop device"
    image = os.path.join(parent, "disk")
    mount = os.path.join(parent, "mount")
    os.mkdir(mount)
    with open(image, "wb") as file:
        file.truncate(DISK_BYTES)
    subprocess.run(["mkfs.ext4", "-q", "-m", "0", image], check=True)
    subprocess.run(["mount", "-o", "loop", image, mount], check=True)
    server = None
    try:
        ballast = os.path.join(mount, "ballast")
        with open(ballast, "wb") as file:
            file.write(b"\0" * BALLAST_BYTES)
            file.flush()
            os.fsync(file.fileno())
        server = pakv.Server(pakvd, os.path.join(mount, "data"), "--cores", "1",
                             "--admin-addr", "none", "--segment-size", "4MiB")
        client = server.connect(timeout=60)
        acknowledged = []
        refused = None
        for i in range(4000):
            key = f"key{i:06d}"
            client.send("SET", key, "x" * 16384)
            reply = client.reply()
            if isinstance(reply, pakv.ServerError):
                refused = str(reply)
                break
            acknowledged.append(key)
        pakv.check(refused is not None, "the disk never filled up")
        pakv.check(refused.startswith("MISCONF disk full: "), refused)
        pakv.check(len(acknowledged) > 100, f"only {len(acknowledged)} writes fitted")
        pakv.check(client.call("GET", acknowledged[0]) == b"x" * 16384, "reads suffer")
        pakv.check(client.call("DEL", acknowledged[0]) == 1, "a delete was refused")
        os.unlink(ballast)
        deadline = time.monotonic() + 30
        while True:
            client.send("SET", "after", "space came back")
            reply = client.reply()
            if reply == "OK":
                break
            pakv.check(str(reply).startswith("MISCONF disk full: "), reply)
            pakv.check(time.monotonic() < deadline, "writes do not resume")
            time.sleep(0.05)  # polls for the server's own retry
        server.kill()
        server = pakv.Server(pakvd, os.path.join(mount, "data"), "--cores", "2",
                             "--admin-addr", "none", "--segment-size", "4MiB")
        client = server.connect(timeout=60)
        pakv.check(client.call("GET", "after") == b"space came back",
                   "an acknowledged write is lost")
        pakv.check(client.call("GET", acknowledged[0]) is None, "a deleted key came back")
        for key in acknowledged[1:]:
            pakv.check(client.call("STRLEN", key) == 16384, f"{key} is lost")
        pakv.check(server.stop() == 0, "no clean stop")
        server = None
    finally:
        if server is not None:
            server.kill()
        subprocess.run(["umount", mount], check=False)
    return None


if __name__ == "__main__":
    pakv.main([a_full_disk_refuses_and_resumes])
