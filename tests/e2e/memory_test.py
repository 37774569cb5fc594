#!/usr/bin/env python3
"""--memory on the real kernel: what is counted is held against what the process really takes, new
keys are refused with Redis' kind of error, everything else goes on, deletes bring room back, and a
start that does not fit says what it needs, and touches nothing."""

import os
import re
import resource
import selectors
import socket
import subprocess
import time

import pakv

MEBIBYTE = 1 << 20
MEMORY = 96 * MEBIBYTE
# Buffers to receive into are counted from the start, and touched as they are used.
UNTOUCHED = 16 * MEBIBYTE


def info(client):
    text = client.call("INFO", "memory").decode()
    return {name: value for name, _, value in
            (line.partition(":") for line in text.splitlines() if ":" in line)}


def check_sums(client, when):
    seen = info(client)
    used, rss = int(seen["used_memory"]), int(seen["used_memory_rss"])
    pakv.check(used <= MEMORY * 1.02, f"{when}: {used} bytes are counted, {MEMORY} allowed")
    pakv.check(rss <= MEMORY * 1.1, f"{when}: the process takes {rss}, {MEMORY} allowed")
    pakv.check(rss >= used * 0.9 - UNTOUCHED, f"{when}: {used} counted, only {rss} are there")
    return seen


def wait_until_divided(client):
    """The server divides the memory anew four times a second: what is above the limit goes."""
    deadline = time.monotonic() + 60
    while int(info(client)["used_memory"]) > MEMORY:
        pakv.check(time.monotonic() < deadline, f"too much is held: {info(client)}")
        time.sleep(0.05)  # polls for the server's own look


def key(number):
    return b"%08d" % number + b"k" * 8000


def fill(client, begin):
    """Sets new keys until one is refused; the first that was."""
    for at in range(begin, begin + 100_000, 50):
        replies = client.pipeline([("SET", key(i), b"v" * 100) for i in range(at, at + 50)])
        for offset, reply in enumerate(replies):
            if reply != "OK":
                pakv.check(str(reply).startswith("OOM "), reply)
                return at + offset
    raise pakv.Failure("nothing was refused")


def wait_for_line(server, text):
    """The server looks four times a second."""
    deadline = time.monotonic() + 60
    while text not in server.log():
        pakv.check(time.monotonic() < deadline, f"no {text!r} in:\n{server.log()}")
        time.sleep(0.05)  # polls for the line


def too_little_for_a_single_key_is_refused_at_the_start(pakvd, _pakvctl, parent):
    data = parent + "/data"
    for cores, memory in ((8, "100MiB"), (1, "16MiB"), (2, "1MiB")):
        flags = ["--admin-addr", "none", "--cores", str(cores)]
        server = pakv.Server(pakvd, data, *flags, "--memory", memory, wait=False)
        code = server.wait()
        pakv.check(code == 3, f"exit {code}:\n{server.last_log}")
        told = re.search(r"(\d+) cores? needs? at least (\d+MiB)", server.last_log)
        pakv.check(told and int(told.group(1)) == cores, server.last_log)
        for part in ("may use " + memory, "more --memory"):
            pakv.check(part in server.last_log, f"no {part!r} in: {server.last_log}")
        pakv.check(not os.path.exists(data), "a refused start left a data directory")
        check = [pakvd, "--dir", data, "--check-config", *flags, "--memory"]
        done = subprocess.run([*check, memory], capture_output=True, text=True, check=False)
        pakv.check(done.returncode == 3 and "at least" in done.stderr, f"{done}")
        # What it names is enough to serve with.
        done = subprocess.run([*check, told.group(2)], capture_output=True, text=True, check=False)
        pakv.check(done.returncode == 0 and not done.stderr, f"{done}")
        server = pakv.Server(pakvd, data + str(cores), *flags, "--memory", told.group(2))
        clients = [server.connect() for _ in range(10)]
        for i, client in enumerate(clients * 20):
            pakv.check(client.call("SET", f"key{i}", "value") == "OK", f"key{i}")
        pakv.check(clients[0].call("SET", "k" * 65536, "value") == "OK", "the longest key")
        pakv.check(server.stop() == 0, "no clean stop")
        pakv.check("refused" not in server.last_log, server.last_log)


def fewer_cores_where_nobody_has_asked_for_their_number(pakvd, _pakvctl, parent):
    if len(os.sched_getaffinity(0)) < 2:
        return "there is one CPU alone"
    server = pakv.Server(pakvd, parent + "/data", "--admin-addr", "none", "--memory", "28MiB")
    pakv.check("only 1 core instead of " in server.log(), server.log())
    pakv.check(server.connect().call("SET", "key", "value") == "OK", "no write")
    pakv.check(server.stop() == 0, "no clean stop")
    return None


def new_keys_are_refused_and_nothing_else(pakvd, _pakvctl, parent):
    flags = ["--cores", "2", "--admin-addr", "none", "--segment-size", "4MiB"]
    server = pakv.Server(pakvd, parent + "/data", "--memory", "96MiB", *flags)
    try:
        client = server.connect()
        pakv.check(client.call("CONFIG", "GET", "maxmemory") == [b"maxmemory", b"%d" % MEMORY],
                   client.call("CONFIG", "GET", "maxmemory"))
        check_sums(client, "empty")
        # Values first, which fill the cache.
        for at in range(0, 20_000, 100):
            client.pipeline([("SET", b"value%d" % i, b"x" * 4000) for i in range(at, at + 100)])
        wait_until_divided(client)
        seen = check_sums(client, "cache full")
        pakv.check(int(seen["used_memory_dataset"]) > 10 * MEBIBYTE, "nothing is cached")

        refused = fill(client, 0)
        pakv.check(refused > 2000, f"only {refused} keys fitted")
        seen = check_sums(client, "keys refused")
        pakv.check(int(seen["maxmemory"]) == MEMORY, seen)
        pakv.check(int(seen["pakv_memory_full"]) == 1, seen)
        wait_for_line(server, "new keys are refused (-OOM)")
        for i in range(0, refused, 100):
            pakv.check(client.call("SET", key(i), b"longer than before" * 100) == "OK", "SET")
            pakv.check(client.call("STRLEN", key(i)) == 1800, "STRLEN")
        pakv.check(client.call("GET", b"value7") == b"x" * 4000, "GET")
        for i in range(0, refused, 2):
            pakv.check(client.call("DEL", key(i)) == 1, "DEL")
        deadline = time.monotonic() + 60
        while True:
            client.send("SET", b"new", b"v")
            reply = client.reply()
            if reply == "OK":
                break
            pakv.check(time.monotonic() < deadline, f"new keys are not admitted again: {reply}")
            time.sleep(0.05)  # polls for the server's own look
        check_sums(client, "half deleted")
        wait_for_line(server, "new keys are accepted")
        pakv.check(server.log().count("new keys are") == 2, server.log())
        server.kill()

        # Too little for what is there: told, and nothing is touched.
        server = pakv.Server(pakvd, parent + "/data", "--memory", "40MiB", *flags, wait=False)
        code = server.wait()
        pakv.check(code == 3, f"exit {code}:\n{server.last_log}")
        pakv.check("needs at least" in server.last_log and "40MiB" in server.last_log,
                   server.last_log)
        server = pakv.Server(pakvd, parent + "/data", "--memory", "96MiB", *flags)
        client = server.connect()
        pakv.check(client.call("GET", key(1)) == b"v" * 100, "a value is lost")
        pakv.check(client.call("GET", key(0)) is None, "a deleted key is back")
        pakv.check(server.stop() == 0, "no clean stop")
        server = None
    finally:
        if server is not None and server.process.poll() is None:
            server.kill()


def half_sent_long_requests_hold_what_they_may(pakvd, _pakvctl, parent):
    """What comes before a client can be stopped is bounded for all of them together."""
    count, core_bytes = 1200, (64 + 1 + 32) * MEBIBYTE  # docs/running.md, for one core
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard < 2 * count:
        return f"a process may open {hard} files alone"
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    server = pakv.Server(pakvd, parent + "/data", "--cores", "1", "--admin-addr", "none",
                         "--memory", "1GiB")
    halves = []
    try:
        before = int(info(server.connect())["used_memory_rss"])
        half = pakv.encode("SET", "key", b"x" * 1_000_000)[:500_000]
        selector = selectors.DefaultSelector()
        for _ in range(count):
            half_sent = socket.create_connection(("127.0.0.1", server.port()))
            half_sent.setblocking(False)
            halves.append(half_sent)
            selector.register(half_sent, selectors.EVENT_WRITE, [0])
        # Until nothing more of them is taken.
        while ready := selector.select(1):
            for key, _ in ready:
                try:
                    key.data[0] += key.fileobj.send(half[key.data[0]:])
                except BlockingIOError:
                    continue
                except ConnectionError:  # it was cut off: others wait
                    key.data[0] = len(half)
                if key.data[0] == len(half):
                    selector.unregister(key.fileobj)
        peak = pakv.memory_peak(server.process.pid)
        most = before + count * (72 << 10) + core_bytes
        pakv.check(peak < most * 1.05, f"{peak >> 20} MiB were taken, {most >> 20} allowed")
        pakv.check(peak > before + count * (32 << 10), f"{peak >> 20} MiB: nothing was tried")
        client = server.connect()
        pakv.check(client.call("SET", "small", "value") == "OK", "others wait")
        for half_sent in halves:
            half_sent.close()
        pakv.check(client.call("SET", "long", b"v" * 100_000) == "OK", "others wait for ever")
        pakv.check(server.stop() == 0, "no clean stop")
    finally:
        if server.process.poll() is None:
            server.kill()
    return None


def a_start_after_a_clean_stop_reads_no_zeros(pakvd, _pakvctl, parent):
    flags = ["--cores", "2", "--admin-addr", "none", "--segment-size", "64MiB", "--memory", "48MiB"]
    server = pakv.Server(pakvd, parent + "/data", *flags)
    try:
        client = server.connect()
        replies = client.pipeline([("SET", b"k%d" % i, b"v" * 100) for i in range(100)])
        pakv.check(replies == ["OK"] * 100, replies)
        pakv.check(server.stop() == 0, "no clean stop")
        server = pakv.Server(pakvd, parent + "/data", *flags)
        peak = pakv.memory_peak(server.process.pid)
        pakv.check(peak < 56 * MEBIBYTE, f"the start took {peak} bytes")
        client = server.connect()
        replies = client.pipeline([("GET", b"k%d" % i) for i in range(100)])
        pakv.check(replies == [b"v" * 100] * 100, "a value is lost")
        # Nothing was written since: what logs had open is gone, what is listed is as it was.
        pakv.check(server.stop() == 0, "no clean stop")
        segments = [name for name in os.listdir(parent + "/data") if name.endswith(".seg")]
        sizes = [os.path.getsize(os.path.join(parent, "data", name)) for name in segments]
        pakv.check(segments and sum(sizes) < MEBIBYTE, f"{segments} take {sizes}")
    finally:
        if server.process.poll() is None:
            server.kill()


def the_memory_engine_keeps_nothing_on_disk(pakvd, _pakvctl, parent):
    flags = ["--cores", "2", "--admin-addr", "none"]
    server = pakv.Server(pakvd, parent + "/data", "--engine", "memory", "--cache", "0", *flags)
    try:
        client = server.connect()
        for i in range(0, 5000, 100):
            client.pipeline([("SET", b"k%d" % j, b"v" * (j % 3000)) for j in range(i, i + 100)])
        for i in range(0, 5000, 7):
            pakv.check(client.call("GET", b"k%d" % i) == b"v" * (i % 3000), f"k{i}")
        pakv.check(client.call("CONFIG", "GET", "appendonly") == [b"appendonly", b"no"], "CONFIG")
        names = os.listdir(parent + "/data")
        pakv.check(not any(name.endswith(".seg") for name in names), names)
        pakv.check(server.stop() == 0, "no clean stop")
        pakv.check("ready: engine memory" in server.last_log, server.last_log)
        server = pakv.Server(pakvd, parent + "/data", *flags, wait=False)
        code = server.wait()
        pakv.check(code == 3, f"exit {code}:\n{server.last_log}")
        pakv.check("engine 'memory'" in server.last_log and "engine 'log'" in server.last_log,
                   server.last_log)
        server = pakv.Server(pakvd, parent + "/data", "--engine", "memory", *flags)
        pakv.check(server.connect().call("DBSIZE") == 0, "something is left")
        pakv.check(server.stop() == 0, "no clean stop")
    finally:
        if server.process.poll() is None:
            server.kill()


if __name__ == "__main__":
    pakv.main([too_little_for_a_single_key_is_refused_at_the_start,
               fewer_cores_where_nobody_has_asked_for_their_number,
               new_keys_are_refused_and_nothing_else,
               half_sent_long_requests_hold_what_they_may,
               a_start_after_a_clean_stop_reads_no_zeros, the_memory_engine_keeps_nothing_on_disk])
