#!/usr/bin/env python3
"""What pakvd makes of where it is started: a disk that is none, a limit of the size of its files,
a terminal."""

import functools
import os
import pty
import re
import resource
import select
import shutil
import subprocess
import tempfile
import time

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


def a_file_size_limit_is_a_full_disk(pakvd, _pakvctl, parent):
    """`ulimit -f`: no signal ends it; writes are refused, and resume when the limit is raised."""
    data = os.path.join(parent, "data")
    large = b"x" * (2 << 20)  # goes to a file of its own
    # Also a limit that direct I/O cannot write up to.
    for limit in (1000 << 10, (1 << 20) + 77):
        server = pakv.Server(pakvd, data, "--admin-addr", "none", "--cores", "1",
                             "--segment-size", "4MiB", file_bytes_max=limit)
        try:
            client = server.connect()
            # What comes before the server has met the limit goes into what it has in reserve.
            deadline = time.monotonic() + 60
            while client.pipeline([("SET", "early", "value")])[0] == "OK":
                pakv.check(time.monotonic() < deadline, f"writes go on:\n{server.log()}")
            client.send("SET", "key", "value")
            for reply in (client.reply(), client.pipeline([("SET", "large", large)])[0]):
                pakv.check(str(reply).startswith("MISCONF disk full: "), reply)
            pakv.check(client.call("GET", "key") is None, "a refused write is there")
            pakv.check("ulimit -f" in server.log(), server.log())
            pakv.limit_file_bytes(resource.RLIM_INFINITY, server.process.pid)
            deadline = time.monotonic() + 60
            while client.pipeline([("SET", "key", "value")])[0] != "OK":
                pakv.check(time.monotonic() < deadline, f"writes do not resume:\n{server.log()}")
                time.sleep(0.05)  # polls for the server's own retry
            pakv.check(client.call("SET", "large", large) == "OK", "a large value")
            pakv.check(client.call("DEL", "key", "large") == 2, "DEL")
            # What was zeroed ahead stays in use; for more there is no place again.
            pakv.limit_file_bytes(limit, server.process.pid)
            pakv.check(client.call("SET", "more", "value") == "OK", "what is ready is enough")
            pakv.check(client.call("DEL", "more") == 1, "DEL")
        finally:
            code = server.stop()
        pakv.check(code == 0, f"exit {code}:\n{server.last_log}")
        shutil.rmtree(data)
    # Too little even for the first files.
    done = subprocess.run([pakvd, "--dir", data, "--addr", "127.0.0.1:0", "--admin-addr", "none"],
                          capture_output=True, text=True, timeout=60, check=False,
                          preexec_fn=functools.partial(pakv.limit_file_bytes, 256))
    pakv.check(done.returncode == 3 and "ulimit -f" in done.stderr, f"{done}")


def read_terminal(master, until, seconds=60):
    """What a terminal is sent, up to `until` or its end."""
    sent = b""
    deadline = time.monotonic() + seconds
    while until is None or until not in sent:
        pakv.check(time.monotonic() < deadline, f"not sent: {until}: {sent}")
        if not select.select([master], [], [], 1)[0]:
            continue
        try:
            some = os.read(master, 65536)
        except OSError:  # the other side is closed
            some = b""
        if not some:
            break
        sent += some
    return sent


def start_on_a_terminal(command):
    """What it shows until it is ready, a while after, and at its stop; and how long the first
    took."""
    master, slave = pty.openpty()
    begin = time.monotonic()
    process = subprocess.Popen(command, stderr=slave)
    os.close(slave)
    try:
        sent = read_terminal(master, b" ready: ")
        took = time.monotonic() - begin
        time.sleep(0.3)  # longer than a bar would take to be drawn again
    finally:
        process.terminate()
        sent += read_terminal(master, None)
        os.close(master)
        code = process.wait(60)
    pakv.check(code == 0, f"exit {code}: {sent.decode()}")
    return sent.decode(), took


def a_terminal_shows_how_far_it_is(pakvd, _pakvctl, parent):
    data = os.path.join(parent, "data")
    flags = ["--cores", "1", "--admin-addr", "none", "--segment-size", "128MiB"]
    server = pakv.Server(pakvd, data, *flags)
    client = server.connect()
    for begin in range(0, 1_000_000, 10_000):
        words = [word for i in range(begin, begin + 10_000) for word in (f"{i:08d}", "v")]
        pakv.check(client.call("MSET", *words) == "OK", "MSET")
    server.kill()
    # Reading may be over before the bar's turn comes: on a fast machine as it takes less than a
    # tenth of a second, on a busy one as who draws has to wait. Not so each time, if it takes long.
    quick = False
    for _ in range(20):
        text, took = start_on_a_terminal([pakvd, "--addr", "127.0.0.1:0", "--dir", data, *flags])
        pakv.check("1000000 keys" in text, text)
        pakv.check("recovering" not in text, "the log tells it, too")
        # What stands on the terminal in the end: whole lines of the log, and no bar.
        for line in text.replace("\r\n", "\n").split("\n"):
            seen = line.rpartition("\x1b[K")[2].rpartition("\r")[2]
            pakv.check(not seen.strip() or re.match(r"\d{4}-\d\d-\d\dT", seen), repr(line))
        quick = quick or took <= 0.5
        if re.search(r"\rreading \[[#-]{10}\] +\d+ % \d+ of \d+ MiB", text):
            return
    pakv.check(quick, f"no bar: {text!r}")


if __name__ == "__main__":
    pakv.main([a_directory_in_memory_is_told,
               a_file_size_limit_is_a_full_disk,
               a_terminal_shows_how_far_it_is])
