#!/usr/bin/env python3
"""pakvctl dump and load: all bytes and expiries make the round trip, also out of a Redis; what goes
wrong half-way says how far it came, and a second run finishes it."""

import base64
import contextlib
import hashlib
import json
import os
import shutil
import socket
import subprocess
import threading
import time
import zlib

import pakv
from redis_compare_test import Redis

FAR_MS = 9999999999123  # in 2286


def run(pakvctl, address, *args, stdin=b"", environment=None):
    """(exit code, stdout, stderr), both outputs as bytes."""
    done = subprocess.run([pakvctl, "--addr", address, *args], input=stdin, capture_output=True,
                          timeout=120, check=False, env={**os.environ, **(environment or {})})
    return done.returncode, done.stdout, done.stderr


def expect(got, code, err=b"", out=None):
    pakv.check(got[0] == code and err in got[2] and (out is None or got[1] == out),
               f"{got}, wanted {code} {out} {err}")
    return got


class Servers:
    """So many pakvd, stopped at the end."""

    def __init__(self, pakvd, parent, count, *flags):
        self.servers = [pakv.Server(pakvd, os.path.join(parent, f"data{i}"), "--cores", str(1 + i),
                                    "--admin-addr", "none", *flags) for i in range(count)]

    def __enter__(self):
        return self.servers

    def __exit__(self, *_):
        for server in self.servers:
            if server.process.poll() is None:
                server.kill()


def odd_keys():
    """Keys and values that are hard for somebody."""
    odd = {b"": b"", b"\x00": b"\xff\xfe", b"\xff": b"\x00\r\n", b'"\\/\b': b'{"key":"k"}',
           "grüße €𝄞".encode(): "\u2028\ufeff".encode(), b"\xed\xa0\x80": b"\xf4\x90\x80\x80",
           b"x" * 65536: b"y" * (1 << 20)}
    for i in range(256):
        odd[bytes([i, 255 - i, i])] = bytes(range(256)) + bytes([i])
    return odd


def contents(client):
    """All keys of a server with value and expiry."""
    found, cursor = {}, b"0"
    while True:
        cursor, keys = client.call("SCAN", cursor, "COUNT", "1000")
        for i in range(0, len(keys), 100):
            part = keys[i:i + 100]
            values = client.pipeline([("GET", key) for key in part])
            times = client.pipeline([("PEXPIRETIME", key) for key in part])
            found.update((key, (value, at)) for key, value, at in zip(part, values, times))
        if cursor == b"0":
            return found


def any_bytes_and_expiries_make_the_round_trip(pakvd, pakvctl, parent):
    with Servers(pakvd, parent, 2) as (source, target):
        client = source.connect()
        for i, (key, value) in enumerate(odd_keys().items()):
            client.call("SET", key, value, *(("PXAT", FAR_MS + i) if i % 3 == 0 else ()))
        wanted = contents(client)
        path = os.path.join(parent, "dump")
        expect(run(pakvctl, source.ports["data"], "dump", path), 0, b"263 keys, ")
        pakv.check(not os.path.exists(path + ".part"), "the partial file stays")
        with open(path, "rb") as dump:
            lines = [json.loads(line) for line in dump]
        pakv.check(len(lines) == 263 and all(line["namespace"] == "0" for line in lines), "lines")
        line = next(line for line in lines if line.get("key_encoding") == "base64"
                    and base64.b64decode(line["key"]) == b"\xff")
        pakv.check(line["value"] == "\0\r\n" and "encoding" not in line, f"{line}")
        pakv.check(isinstance(line["lsn"], str), f"{line}")
        expect(run(pakvctl, target.ports["data"], "load", path), 0, b"loaded 263 keys", b"OK\n")
        pakv.check(contents(target.connect()) == wanted, "other keys, values or expiries")
        # Once more, from stdin and straight through a pipe: the same end.
        dump = expect(run(pakvctl, source.ports["data"], "dump"), 0)[1]
        expect(run(pakvctl, target.ports["data"], "load", "-", stdin=dump), 0)
        expect(run(pakvctl, target.ports["data"], "-q", "load", stdin=dump), 0, b"", b"")
        pakv.check(contents(target.connect()) == wanted, "a second load changed something")
        # What is over removes the key; a prefix dumps what it says.
        over = b'{"key":"over","value":"v","expires_at_ms":1}\n'
        target.connect().call("SET", "over", "here")
        expect(run(pakvctl, target.ports["data"], "load", stdin=over), 0)
        pakv.check(target.connect().call("EXISTS", "over") == 0, "an expired key lives")
        code, out, err = run(pakvctl, source.ports["data"], "dump", "-", "grü")
        pakv.check((code, out.count(b"\n")) == (0, 1) and b"1 key, " in err, f"{code} {out} {err}")
        # --if-absent keeps what is there.
        pair = b'{"key":"a","value":"new"}\n{"key":"b","value":"new"}\n'
        target.connect().call("SET", "a", "old")
        expect(run(pakvctl, target.ports["data"], "load", "--if-absent", stdin=pair), 0,
               b"1 key, and 1 that was there already stays")
        got = target.connect().pipeline([("GET", "a"), ("GET", "b")])
        pakv.check(got == [b"old", b"new"], f"{got}")


def a_hundred_thousand_keys_go_through_a_pipe(pakvd, pakvctl, parent):
    with Servers(pakvd, parent, 2) as (source, target):
        client = source.connect()
        for i in range(0, 100_000, 1000):
            client.pipeline([("SET", f"key:{k}", f"value {k}") for k in range(i, i + 1000)])
        dump = subprocess.Popen([pakvctl, "--addr", source.ports["data"], "dump"],
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        load = subprocess.Popen([pakvctl, "--addr", target.ports["data"], "load"],
                                stdin=dump.stdout, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        dump.stdout.close()
        _, load_err = load.communicate(timeout=120)
        _, dump_err = dump.stderr.read(), dump.wait(60)
        pakv.check(load.returncode == 0 and b"100000 keys" in load_err, f"{load_err}")
        pakv.check(dump.returncode == 0, f"{dump_err}")
        pakv.check(contents(target.connect()) == contents(client), "other keys")


def long_values_make_the_round_trip_in_bounded_memory(pakvd, pakvctl, parent):
    block = bytes(range(256)) * 1024
    with Servers(pakvd, parent, 2) as (source, target):
        client = source.connect()
        values = {b"one more": block * 4 + b"x", b"text": b"text " * (1 << 20),
                  b"\xff\x00": block * 64, b"short": b"v"}
        for i, (key, value) in enumerate(values.items()):
            client.call("SET", key, value, *(("PXAT", FAR_MS + i) if i % 2 == 0 else ()))
        wanted = contents(client)
        # 128 MiB, which no side may hold.
        with subprocess.Popen([pakvctl, "--addr", source.ports["data"], "set", "huge", "-"],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE) as setter:
            for _ in range(512):
                setter.stdin.write(block)
            setter.stdin.close()
            pakv.check(setter.wait(60) == 0, "set failed")
        huge = digest(pakvctl, source.ports["data"], "huge")
        path = os.path.join(parent, "dump")
        with subprocess.Popen([pakvctl, "--addr", source.ports["data"], "dump"],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE) as dump:
            with open(path, "wb") as file:
                peak = move(dump.stdout, file, dump)
            err = dump.stderr.read()
        pakv.check(dump.returncode == 0 and b"5 keys, " in err, f"{dump.returncode} {err}")
        pakv.check(0 < peak < 32 << 20, f"dump took {peak} bytes of memory")
        with subprocess.Popen([pakvctl, "--addr", target.ports["data"], "load"],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE) as load:
            with open(path, "rb") as file:
                peak = move(file, load.stdin, load)
            load.stdin.close()
            err = load.stderr.read()
        pakv.check(load.returncode == 0 and b"loaded 5 keys" in err, f"{load.returncode} {err}")
        pakv.check(0 < peak < 64 << 20, f"load took {peak} bytes of memory")
        pakv.check(digest(pakvctl, target.ports["data"], "huge") == huge, "other bytes")
        target.connect().call("DEL", "huge")
        pakv.check(contents(target.connect()) == wanted, "other keys, values or expiries")
        # A reader of JSON reads it.
        with open(path, "rb") as dump:
            line = next(line for line in map(json.loads, dump) if line["key"] == "text")
        pakv.check(base64.b64decode(line["value"]) == values[b"text"], "other text")
        pakv.check(line["encoding"] == "base64" and isinstance(line["lsn"], str), "members")
        # Straight through a pipe, and what is there already stays.
        target.connect().call("SET", "huge", "small")
        dump = subprocess.Popen([pakvctl, "--addr", source.ports["data"], "dump"],
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        load = subprocess.Popen([pakvctl, "--addr", target.ports["data"], "load", "--if-absent"],
                                stdin=dump.stdout, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        dump.stdout.close()
        _, err = load.communicate(timeout=120)
        pakv.check(dump.wait(60) == 0 and load.returncode == 0, f"{err}")
        pakv.check(b"5 that were there already stay" in err, f"{err}")
        pakv.check(target.connect().call("GET", "huge") == b"small", "it did not stay")
        # What is wrong with a long line is told as with others.
        long_line = b'{"key":"k","encoding":"base64","value":"' + b"AAAA" * (3 << 20)
        for end, said in ((b'="}\n', b'"value" is no base64'), (b'","x":1}\n', b"is no member"),
                          (b'","namespace":"7"}\n', b"its namespace"), (b"", b"ends within")):
            got = run(pakvctl, target.ports["data"], "load", stdin=b"\n" + long_line + end)
            pakv.check(got[0] == 5 and b"line 2: " in got[2] and said in got[2], f"{got}")
            pakv.check(got[2].index(said) < got[2].index(b"the load ends"), f"the reason: {got}")
        pakv.check(target.connect().call("EXISTS", "k") == 0, "a wrong line was loaded")
        # Out of a pakvd as out of a Redis.
        target.connect().call("FLUSHALL")
        client.call("DEL", "huge")
        expect(run(pakvctl, target.ports["data"], "load", "redis://" + source.ports["data"]), 0,
               b"loaded 4 keys")
        pakv.check(contents(target.connect()) == wanted, "over RESP: other keys or values")
    with Servers(pakvd, os.path.join(parent, "small"), 1, "--max-value", "4MiB") as (server,):
        got = run(pakvctl, server.ports["data"], "load", path)
        pakv.check(got[0] == 4 and b"max-value" in got[2] and b"that was" in got[2], f"{got}")


def digest(pakvctl, address, key):
    """The SHA-256 of a value, which is not held."""
    sha = hashlib.sha256()
    with subprocess.Popen([pakvctl, "--addr", address, "get", key, "-o", "raw"],
                          stdout=subprocess.PIPE) as getter:
        while block := getter.stdout.read(1 << 20):
            sha.update(block)
        pakv.check(getter.wait(60) == 0, "get failed")
    return sha.digest()


def move(source, target, process):
    """Moves all bytes; the most memory that the process had meanwhile."""
    peak = 0
    while block := source.read(1 << 20):
        target.write(block)
        peak = max(peak, pakv.memory_peak(process.pid))
    return peak


def a_namespace_is_dumped_and_loaded_by_its_name(pakvd, pakvctl, parent):
    with Servers(pakvd, parent, 2) as (source, target):
        client, other = source.connect(), target.connect()
        client.call("SET", "a", "of 0")
        client.call("SELECT", "7")
        client.call("SET", "a", "of 7")
        client.call("SET", "long", b"v" * (3 << 20))
        expect(run(pakvctl, source.ports["data"], "-n", "orders", "set", "a", "of orders"), 0)
        # It dumps what it was told to, and says so in each line.
        dumps = {name: expect(run(pakvctl, source.ports["data"], "-n", name, "dump"), 0)[1]
                 for name in ("0", "7", "orders", "none")}
        names = {name: [json.loads(line)["namespace"] for line in dump.splitlines()]
                 for name, dump in dumps.items()}
        pakv.check(names == {"0": ["0"], "7": ["7"] * 2, "orders": ["orders"], "none": []},
                   f"{names}")
        # It loads into the one that it is told, and never into another by mistake.
        got = run(pakvctl, target.ports["data"], "load", stdin=dumps["7"])
        expect(got, 5, b'its namespace is "7": -n says which one to load into')
        expect(run(pakvctl, target.ports["data"], "-n", "7", "load", stdin=dumps["7"]), 0)
        expect(run(pakvctl, target.ports["data"], "-n", "fresh", "load", stdin=dumps["7"]), 0)
        expect(run(pakvctl, target.ports["data"], "-n", "orders", "load", stdin=dumps["orders"]), 0)
        pakv.check(other.call("DBSIZE") == 0, "something came into 0")
        other.call("SELECT", "7")
        pakv.check(contents(other) == contents(client), "other keys or values")
        for name, value in (("fresh", b"of 7\n"), ("orders", b"of orders\n")):
            expect(run(pakvctl, target.ports["data"], "-n", name, "get", "a"), 0, b"", value)
        again = expect(run(pakvctl, target.ports["data"], "-n", "fresh", "dump"), 0)[1]
        pakv.check({json.loads(line)["key"] for line in again.splitlines()} == {"a", "long"},
                   "other keys")


def all_namespaces_go_in_one_stream(pakvd, pakvctl, parent):
    with Servers(pakvd, parent, 2) as (source, target):
        client, other = source.connect(), target.connect()
        for name in ("0", "9"):
            client.call("SELECT", name)
            for key, value in odd_keys().items():
                client.call("SET", key, value)
        client.call("SET", "long", b"v" * (9 << 20))  # is not held, here or there
        named = {"orders": b"1", "gr\u00fcn": b"2", "two\nlines": b"3"}
        for name, value in named.items():
            expect(run(pakvctl, source.ports["data"], "-n", name, "set", "k", value), 0)
        code, dump, err = run(pakvctl, source.ports["data"], "dump", "--all")
        count = 2 * len(odd_keys()) + 1 + len(named)
        pakv.check(code == 0 and b"%d keys, " % count in err, f"{code} {err}")
        lines = {}
        for line in dump.splitlines():
            lines.setdefault(json.loads(line)["namespace"], []).append(line)
        pakv.check(set(lines) == {"0", "9", *named}, f"{set(lines)}")
        # Each part is what a dump of that namespace is.
        for name, part in lines.items():
            alone = expect(run(pakvctl, source.ports["data"], "-n", name, "dump"), 0)[1]
            pakv.check(sorted(alone.splitlines()) == sorted(part), name)
        # Back again, in any order of the lines; the namespaces are made.
        mixed = b"".join(line + b"\n" for line in sorted(dump.splitlines(), key=zlib.crc32))
        expect(run(pakvctl, target.ports["data"], "load", "--all", stdin=mixed), 0,
               b"loaded %d keys" % count, b"OK\n")
        for name in ("0", "9"):
            client.call("SELECT", name)
            other.call("SELECT", name)
            pakv.check(contents(other) == contents(client), f"other keys or values in {name}")
        for name, value in named.items():
            expect(run(pakvctl, target.ports["data"], "-n", name, "get", "k"), 0, b"",
                   value + b"\n")
        # Without --all nothing goes where it was not told to.
        expect(run(pakvctl, target.ports["data"], "load", stdin=mixed), 5, b"--all")
        bad = b'{"namespace":"","key":"k","value":"v"}\n'
        expect(run(pakvctl, target.ports["data"], "load", "--all", stdin=bad), 5,
               b'line 1: its namespace is "": a name is 1 to 255 bytes')
        whole = expect(run(pakvctl, target.ports["data"], "dump", "--all"), 0)[1]
        pakv.check(len(whole.splitlines()) == count, f"{len(whole.splitlines())} keys")


def a_server_that_goes_while_stdin_is_silent_is_noticed(pakvd, pakvctl, parent):
    for lines in (0, 3):
        with Servers(pakvd, os.path.join(parent, str(lines)), 1) as (server,):
            with subprocess.Popen([pakvctl, "--addr", server.ports["data"], "load"],
                                  stdin=subprocess.PIPE, stderr=subprocess.PIPE) as load:
                for i in range(lines):
                    load.stdin.write(b'{"key":"k%d","value":"v"}\n' % i)
                load.stdin.flush()
                deadline = time.monotonic() + 60
                client = server.connect()
                pakv.await_greeted(client, 1)
                while client.call("DBSIZE") < lines:
                    pakv.check(time.monotonic() < deadline, "the lines do not arrive")
                    time.sleep(0.01)  # polls for the other program's writes
                server.kill()
                # Its input is still open.
                pakv.check(load.wait(60) == 3, f"{load.returncode}")
                err = load.stderr.read()
            pakv.check(b"are loaded: %d keys" % lines in err and b"load again" in err and
                       b"closed the connection" in err, f"{err}")


def a_bad_line_is_named_and_all_before_it_are_loaded(pakvd, pakvctl, parent):
    good = b'{"key":"k1","value":"v"}\n\n  \n'
    cases = {
        b'{"key":"k2","value":"v"': b"line 4: not JSON from its byte 24 on",
        b'["k2","v"]\n': b"line 4: not a JSON object",
        b'{"key":"k2"}\n': b'line 4: there is no "value"',
        b'{"key":"k2","value":"v","ttl":5}\n': b'line 4: "ttl" is no member',
        b'{"key":"k2","value":5}\n': b'line 4: "value" is no string',
        b'{"key":"k2","value":"x","encoding":"base64"}\n': b'line 4: "value" is no base64',
        b'{"key":"k2","value":"v","expires_at_ms":-1}\n': b'line 4: "expires_at_ms" is no number',
        b'{"namespace":"other","key":"k2","value":"v"}\n': b'line 4: its namespace is "other"',
        b'{"key":"' + b"k" * 65537 + b'","value":"v"}\n': b"max-key",
        b'{"key":"k2","value":"' + b"v" * (1 << 21) + b'"}\n': b"line 4, key",
        b'{"key":"k2","value":"' + b"v" * (8 << 20) + b'"}\n': b"line 4: too long to be held",
    }
    with Servers(pakvd, parent, 1, "--max-value", "1MiB") as (server,):
        for bad, said in cases.items():
            client = server.connect()
            client.call("DEL", "k1")
            code, out, err = run(pakvctl, server.ports["data"], "load",
                                 stdin=good + bad + b'{"key":"k3","value":"v"}\n')
            wanted = 4 if said in (b"max-key", b"line 4, key") else 5
            pakv.check(code == wanted and out == b"" and said in err, f"{bad[:40]}: {code} {err}")
            got = client.pipeline([("GET", "k1"), ("EXISTS", "k2")])
            pakv.check(got == [b"v", 0], f"{bad[:40]}: {got}")
        got = run(pakvctl, server.ports["data"], "load", os.path.join(parent, "nowhere"))
        expect(got, 5, b"No such file")
        got = run(pakvctl, server.ports["data"], "dump", os.path.join(parent, "no", "where"))
        expect(got, 5, b"cannot be written")


def a_server_that_goes_is_exit_3_and_says_how_far_it_came(pakvd, pakvctl, parent):
    with Servers(pakvd, parent, 1) as (server,):
        load = subprocess.Popen([pakvctl, "--addr", server.ports["data"], "load"],
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE)
        lines = [b'{"key":"k%d","value":"v"}\n' % i for i in range(2000)]
        load.stdin.write(b"".join(lines))
        load.stdin.flush()
        client = server.connect()
        deadline = time.monotonic() + 60
        # What was read goes out although the input has not ended.
        while client.call("DBSIZE") < 2000:
            pakv.check(time.monotonic() < deadline, "the lines do not arrive")
            time.sleep(0.01)  # polls for the other program's writes
        server.kill()
        _, err = load.communicate(b"".join(lines), timeout=60)
        pakv.check(load.returncode == 3, f"{load.returncode} {err}")
        pakv.check(b"has acknowledged 2000 keys" in err and b"load again" in err, f"{err}")
        pakv.check(b"line 2001" in err, f"{err}")

    with Servers(pakvd, parent, 1) as (server,):
        client = server.connect()
        value = "v" * 1000
        for i in range(0, 20_000, 1000):
            client.pipeline([("SET", f"d{k}", value) for k in range(i, i + 1000)])
        path = os.path.join(parent, "dump")
        with open(path, "w", encoding="ascii") as before:
            before.write("the dump of yesterday")
        os.mkfifo(path + ".fifo")
        dump = subprocess.Popen([pakvctl, "--addr", server.ports["data"], "dump", path + ".fifo"],
                                stderr=subprocess.PIPE)
        with open(path + ".fifo", "rb") as fifo:
            fifo.read(1 << 20)
            server.kill()
            fifo.read()
        _, err = dump.communicate(timeout=60)
        pakv.check(dump.returncode == 3 and b"it is not whole" in err, f"{dump.returncode} {err}")
        code, _, err = run(pakvctl, server.ports["data"], "dump", path)
        pakv.check(code == 3, f"{code} {err}")
        with open(path, encoding="ascii") as after:
            pakv.check(after.read() == "the dump of yesterday", "the dump before is gone")


def strings_of_a_redis_move_with_their_expiry(pakvd, pakvctl, parent):
    if shutil.which("redis-server") is None:
        return "no redis-server"
    redis = Redis()
    try:
        with Servers(pakvd, parent, 1) as (server,):
            client = pakv.Client(redis.port)
            for i, (key, value) in enumerate(odd_keys().items()):
                client.call("SET", key, value, *(("PXAT", FAR_MS + i) if i % 3 == 0 else ()))
            for i in range(0, 10_000, 1000):
                client.pipeline([("SET", f"key:{k}", f"value {k}") for k in range(i, i + 1000)])
            wanted = contents(client)
            source = f"redis://127.0.0.1:{redis.port}"
            expect(run(pakvctl, server.ports["data"], "load", source), 0, b"loaded 10263 keys",
                   b"OK\n")
            pakv.check(contents(server.connect()) == wanted, "other keys, values or expiries")
            client.pipeline([("RPUSH", "l1", "x"), ("RPUSH", "l2", "x"), ("SADD", "s", "x"),
                             ("HSET", "h", "f", "x"), ("ZADD", "z", "1", "x"),
                             ("XADD", "x", "*", "f", "v")])
            code, out, err = run(pakvctl, server.ports["data"], "-o", "json", "load", source)
            pakv.check(code == 1 and b"10263 keys" in err, f"{code} {err}")
            left = json.loads(out)["left"]
            pakv.check(left == "1 hash, 2 lists, 1 set, 1 stream, 1 sorted set", left)
            pakv.check(contents(server.connect()) == wanted, "what is left came along")
            # Another database, a password, and a Redis 6, which has no PEXPIRETIME.
            client.call("SELECT", "3")
            client.call("SET", "third", "v", "PX", "10000000")
            client.call("CONFIG", "SET", "requirepass", "secret")
            got = run(pakvctl, server.ports["data"], "load", source + "/3")
            expect(got, 4, b"PAKV_SOURCE_PASSWORD")
            got = run(pakvctl, server.ports["data"], "load", source + "/3",
                      environment={"PAKV_SOURCE_PASSWORD": "wrong"})
            expect(got, 4, b"WRONGPASS")
            client.call("ACL", "SETUSER", "old", "on", ">pass", "~*", "+@all", "-pexpiretime")
            user = f"redis://old@127.0.0.1:{redis.port}/3"
            expect(run(pakvctl, server.ports["data"], "load", user), 2,
                   b'user "old" needs a password: set PAKV_SOURCE_PASSWORD')
            for address, password in ((source + "/3", "secret"), (user, "pass")):
                server.connect().call("DEL", "third")
                begin = time.monotonic()
                expect(run(pakvctl, server.ports["data"], "load", address,
                           environment={"PAKV_SOURCE_PASSWORD": password}), 0, b"1 key\n")
                took_ms = (time.monotonic() - begin) * 1000
                # Of a time that is left, later by what it took on its way.
                later_ms = (server.connect().call("PEXPIRETIME", "third")
                            - client.call("PEXPIRETIME", "third"))
                pakv.check(-2 <= later_ms <= took_ms + 2, f"{later_ms} ms later, in {took_ms} ms")
            expect(run(pakvctl, server.ports["data"], "load", source + "/99",
                       environment={"PAKV_SOURCE_PASSWORD": "secret"}), 5, b"SELECT")
    finally:
        redis.stop()
    return None


def a_running_pakvd_is_a_source_too(pakvd, pakvctl, parent):
    with Servers(pakvd, parent, 2) as (source, target):
        client = source.connect()
        for i, (key, value) in enumerate(odd_keys().items()):
            client.call("SET", key, value, *(("PXAT", FAR_MS + i) if i % 2 else ()))
        address = "redis://" + source.ports["data"]
        expect(run(pakvctl, target.ports["data"], "load", address), 0, b"loaded 263 keys")
        pakv.check(contents(target.connect()) == contents(client), "other keys")


def a_source_that_goes_or_is_none_is_told(pakvd, pakvctl, parent):
    with Servers(pakvd, parent, 1) as (server,), socket.create_server(("127.0.0.1", 0)) as fake:
        port = fake.getsockname()[1]
        script = [b"+PONG\r\n:5000\r\n:-2\r\n*2\r\n$1\r\n7\r\n*1\r\n$1\r\nk\r\n",
                  b"HTTP/1.1 400 Bad Request\r\n\r\n"]

        def serve(bytes_sent):
            connection, _ = fake.accept()
            with connection, contextlib.suppress(ConnectionError):
                connection.recv(1000)
                connection.sendall(bytes_sent)
                connection.shutdown(socket.SHUT_WR)
                # What is left unread would reset the connection, and what was sent might be lost.
                while connection.recv(1000):
                    pass

        for sent, code, said in ((script[0], 3, b"closed"), (script[1], 5, b"not RESP")):
            thread = threading.Thread(target=serve, args=(sent,))
            thread.start()
            got = run(pakvctl, server.ports["data"], "load", f"redis://127.0.0.1:{port}")
            thread.join()
            pakv.check(got[0] == code and said in got[2], f"{got}")
            pakv.check(b"the source, 127.0.0.1" in got[2], f"{got}")
    with Servers(pakvd, os.path.join(parent, "again"), 1) as (server,):
        got = run(pakvctl, server.ports["data"], "load", f"redis://127.0.0.1:{port}")
        expect(got, 3, b"Connection refused")
        for wrong in ("rediss://h:1", "redis://u:p@h:1", "redis://h:1/x", "redis://"):
            expect(run(pakvctl, server.ports["data"], "load", wrong), 2, b"load: ")


if __name__ == "__main__":
    pakv.main([
        any_bytes_and_expiries_make_the_round_trip,
        a_hundred_thousand_keys_go_through_a_pipe,
        long_values_make_the_round_trip_in_bounded_memory,
        a_namespace_is_dumped_and_loaded_by_its_name,
        all_namespaces_go_in_one_stream,
        a_server_that_goes_while_stdin_is_silent_is_noticed,
        a_bad_line_is_named_and_all_before_it_are_loaded,
        a_server_that_goes_is_exit_3_and_says_how_far_it_came,
        strings_of_a_redis_move_with_their_expiry,
        a_running_pakvd_is_a_source_too,
        a_source_that_goes_or_is_none_is_told,
    ])
