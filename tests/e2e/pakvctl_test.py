"""pakvctl against pakvd: what the contract says that each command prints, and its exit code.

Long because: each command has a case of its own, over one set of helpers."""

import base64
import json
import os
import select
import signal
import socket
import subprocess
import threading
import time

import pakv


class Ctl:
    """pakvctl with the address of a server."""

    def __init__(self, binary, address):
        self.binary = binary
        self.address = address

    def __call__(self, *args, stdin=b"", environment=None):
        """(exit code, stdout, stderr), both outputs as bytes."""
        done = subprocess.run(
            [self.binary, "--addr", self.address, *args], input=stdin, capture_output=True,
            timeout=60, check=False, env={**os.environ, **(environment or {})})
        return done.returncode, done.stdout, done.stderr

    def says(self, args, out, code=0, err=b"", stdin=b""):
        got = self(*args, stdin=stdin)
        pakv.check(got[0] == code and got[1] == out and err in got[2] and bool(err) == bool(got[2]),
                   f"{args}: {got}, wanted {(code, out, err)}")


def with_server(pakvd, pakvctl, parent, body, *flags):
    server = pakv.Server(pakvd, os.path.join(parent, "data"), "--cores", "2", *flags)
    try:
        body(Ctl(pakvctl, server.ports["data"]), server)
    finally:
        code = server.stop()
    pakv.check(code == 0, f"pakvd ended with {code}: {server.last_log}")


def every_command_prints_what_is_promised(pakvd, pakvctl, parent):
    def body(ctl, server):
        ctl.says(["set", "k", "v 1"], b"OK\n")
        ctl.says(["-q", "set", "k", "v 2"], b"")
        ctl.says(["set", "k", "v 3", "--old"], b"OK old value: v 2\n")
        ctl.says(["get", "k"], b"v 3\n")
        ctl.says(["get", "k", "-o", "raw"], b"v 3")
        ctl.says(["get", "none"], b"", 1, b"Key not found\n")
        ctl.says(["set", "k2", "w"], b"OK\n")
        ctl.says(["get", "k2", "none", "k"], b"w\nv 3\n", 1, b"Key not found: none\n")
        ctl.says(["set", "k", "x", "--if-absent"], b"", 1, b"Condition not met\n")
        ctl.says(["set", "none", "x", "--if-present"], b"", 1, b"Condition not met\n")
        lsn = json.loads(ctl("-o", "json", "get", "k")[1])[0]["lsn"]
        pakv.check(isinstance(lsn, str), f"an LSN is a string: {lsn!r}")
        older = str(int(lsn) - 1)
        ctl.says(["set", "k", "y", "--if-version", older], b"", 1, b"Condition not met\n")
        ctl.says(["set", "k", "y", "--if-version", lsn], b"OK\n")
        ctl.says(["incr", "n"], b"1\n")
        ctl.says(["incr", "n", "-11"], b"-10\n")
        ctl.says(["incr", "k"], b"", 4, b"integer")
        ctl.says(["rm", "k2", "--old"], b"OK old value: w\n")
        ctl.says(["rm", "k2"], b"", 1, b"Key not found\n")
        ctl.says(["rm", "-q", "n"], b"")
        ctl.says(["ttl", "k"], b"-1\n")
        ctl.says(["set", "short", "v", "--ttl", "1h"], b"OK\n")
        left = int(ctl("ttl", "short")[1])
        pakv.check(3500 < left <= 3600, f"ttl: {left}")
        pakv.check(3500 < server.connect().call("TTL", "short") <= left, "RESP sees another time")
        ctl.says(["set", "short", "v", "--ttl", "1ms"], b"OK\n")
        ctl.says(["ttl", "short"], b"", 1, b"Key not found\n")
        ctl.says(["get", "short"], b"", 1, b"Key not found\n")
        ctl.says(["scan"], b"k\n")
        ctl.says(["scan", "none"], b"")
        code, out, _ = ctl("ping", "-c", "3")
        pakv.check(code == 0 and out.count(b"\n") == 3, f"ping: {out}")
        code, out, _ = ctl("stats")
        counters = dict(line.split() for line in out.decode().splitlines())
        pakv.check(code == 0 and counters["keys"] in ("1", "2"), f"stats: {out}")
        pakv.check(int(counters["received_bytes"]) > 0 and int(counters["sent_bytes"]) > 0,
                   f"stats: {out}")
        # RESP clients see the same keys.
        pakv.check(server.connect().call("GET", "k") == b"y", "RESP sees another value")

    with_server(pakvd, pakvctl, parent, body)


def a_terminal_is_not_commanded_by_keys_and_values(pakvd, pakvctl, parent):
    def body(ctl, server):
        server.connect().call("SET", b"k\n\x1b[2J", b"1\n\x1b]0;title\x07")
        ends = os.openpty()
        try:
            for command in (["scan"], ["get", b"k\n\x1b[2J"]):
                done = subprocess.run([pakvctl, "--addr", server.ports["data"], *command],
                                      stdout=ends[1], check=False, timeout=60)
                pakv.check(done.returncode == 0, f"{command}: {done}")
            wanted = b"k\\x0a\\x1b[2J\r\n1\r\n\\x1b]0;title\\x07\r\n"
            # The kernel hands on what was written in its own time.
            shown = b""
            while len(shown) < len(wanted) and select.select([ends[0]], [], [], 60)[0]:
                shown += os.read(ends[0], 4096)
            pakv.check(shown == wanted and not select.select([ends[0]], [], [], 0)[0], shown)
        finally:
            for end in ends:
                os.close(end)
        ctl.says(["scan"], b"k\n\x1b[2J\n")

    with_server(pakvd, pakvctl, parent, body)


def a_stdin_that_is_closed_is_told(pakvd, pakvctl, parent):
    def body(ctl, server):
        done = subprocess.run(["bash", "-c", 'exec "$@" <&-', "bash", pakvctl, "--addr",
                               server.ports["data"], "set", "x", "-"], capture_output=True,
                              check=False, timeout=60)
        pakv.check(done.returncode == 5 and b"stdin cannot be read: Bad file" in done.stderr, done)
        ctl.says(["get", "x"], b"", 1, b"Key not found\n")

    with_server(pakvd, pakvctl, parent, body)


def a_batch_is_all_or_nothing(pakvd, pakvctl, parent):
    def body(ctl, server):
        lines = b'# all as one\nset a 1\nset "b c" "two words\\x00\\n"\nincr n 5\n\nget n a\n'
        ctl.says(["batch"], b"OK\nOK\n5\n5\n1\n", stdin=lines)
        pakv.check(server.connect().call("MGET", "a", "b c", "n") == [b"1", b"two words\0\n", b"5"],
                   "RESP sees other values")
        ctl.says(["batch"], b"", 1, b"line 3: Condition not met; nothing was done\n",
                 stdin=b"set a 2\nincr n\nset a 3 --if-absent\nrm a\n")
        ctl.says(["get", "a", "n"], b"1\n5\n")
        ctl.says(["batch"], b"", 4,
                 b"line 3: the value is not an integer of 64 bits; nothing was done\n",
                 stdin=b"set a 2\n\nincr 'b c'\n")
        ctl.says(["get", "a"], b"1\n")
        # What there is to be done is done: that a key has gone already is no failure.
        ctl.says(["batch"], b"OK old value: 1\n", 0, b"Key not found: none\n",
                 stdin=b"rm a none --old\n")
        ctl.says(["batch"], b"5\n", 1, b"Key not found: none\n", stdin=b"get n none\n")
        long_key = b"k" * 65537
        ctl.says(["batch"], b"", 4, b"pakvctl: line 3: 65537 bytes are more than",
                 stdin=b"set a 2\nget a\nset " + long_key + b" 1\n")
        ctl.says(["batch", "-q"], b"7\n", stdin=b"set n 6\nincr n\n")
        # Nothing is sent if a line is not understood.
        for wrong, told in [(b"scan", b"made of set, get, rm and incr"), (b"set k 'v", b"quote"),
                            (b"-n 1 set k v", b"whole batch"), (b"set k -", b"for set alone"),
                            (b"set k", b"VALUE"), (b'set k "\\q"', b"backslash")]:
            ctl.says(["batch"], b"", 2, told, stdin=b"set a 9\n" + wrong + b"\n")
        ctl.says(["get", "a"], b"", 1, b"Key not found\n")
        # As JSON; from a file; in a namespace of its own, which it makes.
        path = os.path.join(parent, "lines")
        with open(path, "wb") as file:
            file.write(b"set a 1\nget a gone\nrm gone\n")
        code, out, _ = ctl("-n", "orders", "-o", "json", "batch", path)
        done = json.loads(out)
        pakv.check(code == 0 and len({each.get("lsn") for each in done[:2]}) == 1 and
                   [each.get("value") for each in done] == [None, "1", None, None] and
                   [each.get("found") for each in done] == [None, None, False, False],
                   f"json: {code} {done}")
        ctl.says(["get", "a"], b"", 1, b"Key not found\n")
        ctl.says(["batch"], b"", stdin=b"\n# nothing\n")
        ctl.says(["batch", path + ".none"], b"", 5, b"No such file")

    with_server(pakvd, pakvctl, parent, body)


def values_of_any_length_stream_both_ways(pakvd, pakvctl, parent):
    block = bytes(range(256)) * 1024
    blocks = 512  # 128 MiB

    def body(ctl, server):
        client = server.connect()
        # Odd lengths, to and from what RESP clients see.
        for length in (1 << 20, (1 << 20) + 1, (3 << 20) + 17):
            value = (block * 20)[:length]
            ctl.says(["set", "k", "-", "--ttl", "1h"], b"OK\n", stdin=value)
            pakv.check(client.call("GET", "k") == value, f"RESP sees another value of {length}")
            pakv.check(3500 < client.call("TTL", "k") <= 3600, "another time to live")
            ctl.says(["get", "k", "-o", "raw"], value)
            ctl.says(["get", "none", "k"], value + b"\n", 1, b"Key not found: none\n")
        found = json.loads(ctl("-o", "json", "get", "k")[1])
        pakv.check(len(found) == 1 and base64.b64decode(found[0]["value"]) == value, "json")
        ctl.says(["set", "k", "-", "--if-absent"], b"", 1, b"Condition not met\n", stdin=value)
        ctl.says(["get", "k", "-o", "raw"], value)
        before = pakv.memory_peak(server.process.pid)
        # One that is far longer than what either side may hold, from a pipe of unknown length.
        with subprocess.Popen([pakvctl, "--addr", ctl.address, "set", "long", "-"],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE) as setter:
            for i in range(blocks):
                setter.stdin.write(block)
                if i == blocks // 2:
                    ctl.says(["set", "other", "v"], b"OK\n")  # nobody waits for it
                    ctl.says(["get", "long"], b"", 1, b"Key not found\n")
                    peak = pakv.memory_peak(setter.pid)
                    pakv.check(peak < 32 << 20, f"pakvctl holds {peak} bytes")
            setter.stdin.close()
            pakv.check(setter.stdout.read() == b"OK\n" and setter.wait(60) == 0, "set failed")
        with subprocess.Popen([pakvctl, "--addr", ctl.address, "get", "long", "-o", "raw"],
                              stdout=subprocess.PIPE) as getter:
            for i in range(blocks):
                pakv.check(getter.stdout.read(len(block)) == block, f"other bytes in block {i}")
                if i == blocks // 2:
                    ctl.says(["get", "other"], b"v\n")
                    peak = pakv.memory_peak(getter.pid)
                    pakv.check(peak < 32 << 20, f"pakvctl holds {peak} bytes")
            pakv.check(getter.stdout.read() == b"" and getter.wait(60) == 0, "get failed")
        grown = pakv.memory_peak(server.process.pid) - before
        pakv.check(grown < 32 << 20, f"pakvd has grown by {grown} bytes")
        # A reader that goes half-way, and a writer.
        with subprocess.Popen([pakvctl, "--addr", ctl.address, "get", "long", "-o", "raw"],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE) as getter:
            getter.stdout.read(len(block))
            getter.stdout.close()
            pakv.check(getter.wait(60) != 0, "nobody read it")
        with subprocess.Popen([pakvctl, "--addr", ctl.address, "set", "k", "-"],
                              stdin=subprocess.PIPE) as setter:
            setter.stdin.write(block * 20)
            setter.stdin.flush()
            setter.kill()
        ctl.says(["get", "k", "-o", "raw"], value)
        ctl.says(["rm", "long"], b"OK\n")

    with_server(pakvd, pakvctl, parent, body, "--cache", "0")


def too_long_is_refused_early(pakvd, pakvctl, parent):
    def body(ctl, server):
        ctl.says(["set", "k", "-"], b"", 4, b"max-value", stdin=b"v" * ((4 << 20) + 1))
        ctl.says(["set", "k", "-"], b"OK\n", stdin=b"v" * (4 << 20))
        # As pakvctl would say it: it goes on sending into the refusal, and ends by itself.
        with subprocess.Popen([pakvctl, "--addr", ctl.address, "set", "k", "-"],
                              stdin=subprocess.PIPE, stderr=subprocess.PIPE) as setter:
            try:
                for _ in range(10_000):
                    setter.stdin.write(b"x" * (1 << 20))
                raise pakv.Failure("ten thousand MiB were taken")
            except BrokenPipeError:
                pass
            pakv.check(setter.wait(60) == 4, "another exit code")
            try:
                setter.stdin.close()
            except BrokenPipeError:
                pass
        del server

    with_server(pakvd, pakvctl, parent, body, "--max-value", "4MiB")


def a_server_that_goes_while_stdin_is_silent_is_noticed(pakvd, pakvctl, parent):
    server = pakv.Server(pakvd, os.path.join(parent, "data"), "--cores", "1")
    with subprocess.Popen([pakvctl, "--addr", server.ports["data"], "set", "k", "-"],
                          stdin=subprocess.PIPE, stderr=subprocess.PIPE) as setter:
        setter.stdin.write(b"a beginning")
        setter.stdin.flush()
        pakv.await_greeted(server.connect(), 1)
        server.kill()
        # Its input is still open.
        pakv.check(setter.wait(60) == 3, "another exit code")
        err = setter.stderr.read()
        # Reset, if it has sent something that was not received.
        pakv.check(b"closed the connection" in err or b"reset by peer" in err, err)


def check_and_compact_look_after_a_running_server(pakvd, pakvctl, parent):
    def body(ctl, server):
        client = server.connect()
        keys = [f"key{i}" for i in range(4000)]
        for _ in range(3):
            client.pipeline([("SET", key, "x" * 2000) for key in keys])
        client.pipeline([("DEL", key) for key in keys[1000:]])
        ctl.says(["check"], b"", 0, b"no findings")
        before = int(dict(line.split() for line in ctl("stats")[1].decode().splitlines())
                     ["disk_bytes"])
        # It may find nothing left to do: see below. What it tells of it is in the unit tests.
        ctl.says(["compact"], b"OK\n", 0, b" compact")
        after = int(dict(line.split() for line in ctl("stats")[1].decode().splitlines())
                    ["disk_bytes"])
        # Compaction may have come by itself before; what is left then is what lives, 2 MB, and
        # the segments that are open.
        pakv.check(after <= max(before / 2, 6 << 20), f"{before} bytes became {after}")
        done = json.loads(ctl("-o", "json", "compact")[1])
        # Its own copies are packed so well that none of them is worth it again.
        pakv.check(done["set_aside"] == 0 and done["segments"] == 0, f"something is left: {done}")
        found = json.loads(ctl("-o", "json", "check")[1])
        pakv.check(found["findings"] == [] and found["live_bytes"] > 2000 * 1000, f"{found}")
        replies = client.pipeline([("GET", key) for key in keys])
        pakv.check(replies == [b"x" * 2000] * 1000 + [None] * 3000, "other values")
        # A file that somebody has removed is told.
        names = sorted(os.listdir(server.directory))
        for name in names:
            if name.endswith(".seg"):
                os.unlink(os.path.join(server.directory, name))
        code, out, err = ctl("check")
        pakv.check(code == 5 and b".seg: MANIFEST lists it" in out, f"{code} {out} {err}")

    server = pakv.Server(pakvd, os.path.join(parent, "data"), "--cores", "2",
                         "--segment-size", "1MiB")
    try:
        body(Ctl(pakvctl, server.ports["data"]), server)
    finally:
        server.kill()


def connections_are_listed_and_killed(pakvd, pakvctl, parent):
    def body(ctl, server):
        client, other = server.connect(), server.connect()
        for connection, name in ((client, "one"), (other, "two")):
            pakv.check(connection.call("CLIENT", "SETNAME", name) == "OK", "SETNAME")
        listed = {each["name"]: each for each in json.loads(ctl("client", "list", "-o", "json")[1])}
        pakv.check({"one", "two", "pakvctl", ""} == set(listed), f"listed: {listed}")
        pakv.check(listed["one"]["id"] == str(client.call("CLIENT", "ID")), f"id: {listed}")
        # Those of the command before are listed until the server has heard of their end.
        deadline = time.monotonic() + 60
        while ctl("client", "list")[1].count(b"\n") != 4:
            pakv.check(time.monotonic() < deadline, "not a line each")
        ctl.says(["client", "kill", listed["one"]["id"]], b"OK\n")
        ctl.says(["client", "kill", listed["one"]["id"]], b"", 1, b"Client not found: ")
        ctl.says(["client", "kill", listed["two"]["addr"], "-q"], b"")
        pakv.check(b"name=one" not in ctl("client", "list")[1], "it is still there")
        for connection in (client, other):
            try:
                connection.call("PING")
            except (OSError, EOFError, pakv.Failure):
                continue
            raise pakv.Failure("a killed connection answers")

    with_server(pakvd, pakvctl, parent, body)


def namespaces_are_apart(pakvd, pakvctl, parent):
    def body(ctl, server):
        client = server.connect()
        # What only reads makes no namespace, and none is needed to find nothing.
        ctl.says(["-n", "orders", "get", "k", "l"], b"", 1, b"Key not found: l\n")
        ctl.says(["-n", "orders", "rm", "k"], b"", 1, b"Key not found\n")
        ctl.says(["-n", "orders", "ttl", "k"], b"", 1, b"Key not found\n")
        ctl.says(["-n", "orders", "scan"], b"")
        ctl.says(["-n", "orders", "set", "k", "an order"], b"OK\n")
        ctl.says(["set", "k", "in 0"], b"OK\n")
        ctl.says(["-n", "3", "incr", "k", "3"], b"3\n")
        ctl.says(["-n", "gr\u00fcn", "incr", "n"], b"1\n")
        ctl.says(["-n", "orders", "get", "k"], b"an order\n")
        ctl.says(["get", "k", "-n", "0"], b"in 0\n")
        ctl.says(["-n", "orders", "scan"], b"k\n")
        # SELECT's databases are the namespaces with these names.
        pakv.check(client.call("SELECT", "3") == "OK", "SELECT 3")
        pakv.check(client.call("GET", "k") == b"3", "another database 3")
        pakv.check(client.call("FLUSHDB") == "OK", "FLUSHDB")
        ctl.says(["-n", "3", "get", "k"], b"", 1, b"Key not found\n")
        ctl.says(["-n", "orders", "get", "k"], b"an order\n")
        ctl.says(["get", "k"], b"in 0\n")
        ctl.says(["namespace", "list"], b"1\t0\n1\torders\n1\tgr\xc3\xbcn\n")
        ctl.says(["namespace", "list", "-q"], b"0\norders\ngr\xc3\xbcn\n")
        # What all of them hold, by their names.
        whole = [json.loads(line) for line in ctl("dump", "--all", "-q")[1].splitlines()]
        pakv.check([(line["namespace"], line["key"]) for line in whole]
                   == [("0", "k"), ("orders", "k"), ("gr\u00fcn", "n")], f"{whole}")
        ctl.says(["namespace", "drop", "gr\u00fcn"], b"OK\n")
        ctl.says(["namespace", "drop", "gr\u00fcn"], b"OK\n")
        ctl.says(["namespace", "drop", "none"], b"", 1, b"Namespace not found: none\n")
        ctl.says(["namespace", "list"], b"1\t0\n1\torders\n0\tgr\xc3\xbcn\n")
        ctl.says(["-n", "orders", "rm", "k", "--old"], b"OK old value: an order\n")
        pakv.check(client.call("FLUSHALL") == "OK", "FLUSHALL")
        ctl.says(["get", "k"], b"", 1, b"Key not found\n")
        ctl.says(["-n", "gr\u00fcn", "scan"], b"")

    with_server(pakvd, pakvctl, parent, body)


def any_bytes_go_through(pakvd, pakvctl, parent):
    def body(ctl, server):
        value = os.urandom(1 << 20)
        ctl.says(["set", "k", "-"], b"OK\n", stdin=value)
        ctl.says(["-o", "raw", "get", "k"], value)
        ctl.says(["set", "long", "-"], b"OK\n", stdin=value + b"x")
        ctl.says(["-o", "raw", "get", "long"], value + b"x")
        for key in (b"", b"{}", b"[a,b]", b"get", b"\xff\xfe", b"a\nb", b"x" * 65536):
            ctl.says(["set", "--", key, key], b"OK\n")
            ctl.says(["-o", "raw", "get", "--", key], key)
            pakv.check(server.connect().call("GET", key) == key, f"RESP sees another {key[:20]}")
        ctl.says(["set", "--", b"x" * 65537, "v"], b"", 4, b"max-key")
        ctl.says(["set", "--", "-q", "--old"], b"OK\n")
        ctl.says(["get", "--", "-q"], b"--old\n")
        found = json.loads(ctl("-o", "json", "get", b"\xff\xfe")[1])
        pakv.check(found[0]["value"] == "//4=" and found[0]["encoding"] == "base64", f"{found}")

    with_server(pakvd, pakvctl, parent, body)


def scan_finds_every_key_once(pakvd, pakvctl, parent):
    def body(ctl, server):
        keys = [f"key:{i}" for i in range(5000)]
        server.connect().pipeline([("SET", key, "v") for key in keys + ["other"]])
        code, out, _ = ctl("scan", "key:")
        pakv.check(code == 0 and sorted(out.decode().split()) == sorted(keys), "other keys")
        pakv.check(len(ctl("scan", "--limit", "1234")[1].split()) == 1234, "the limit")
        found = json.loads(ctl("-o", "json", "scan", "key:")[1])
        pakv.check(len(found) == 5000 and found[0]["key"].startswith("key:"), "JSON")
        # Many keys of one command.
        code, out, err = ctl("get", *keys[:2000])
        pakv.check(code == 0 and out == b"v\n" * 2000, f"get of many: {code} {err}")
        code, out, err = ctl("rm", *keys)
        pakv.check(code == 0 and out == b"OK\n" * 5000, f"rm of many: {code} {err}")
        ctl.says(["scan"], b"other\n")

    with_server(pakvd, pakvctl, parent, body)


def who_is_not_there_is_exit_3(pakvd, pakvctl, parent):
    def body(ctl, server):
        with socket.socket() as taken:  # bound, so that nobody else comes to listen there
            taken.bind(("127.0.0.1", 0))
            refusing = f"127.0.0.1:{taken.getsockname()[1]}"
            gone = Ctl(pakvctl, refusing)
            gone.says(["ping"], b"", 3, b"Connection refused")
            gone.says(["--addr", ctl.address, "set", "k", "v"], b"OK\n")
            code, out, _ = Ctl(pakvctl, unix)("get", "k")
            pakv.check((code, out) == (0, b"v\n"), f"unix: {code} {out}")
            done = subprocess.run([pakvctl, "get", "k"], capture_output=True, check=False,
                                  timeout=60,
                                  env={**os.environ, "PAKV_ADDR": f"{refusing},{ctl.address}"})
            pakv.check(done.stdout == b"v\n", f"PAKV_ADDR: {done}")

    unix = "unix:" + pakv.socket_path(parent)
    with_server(pakvd, pakvctl, parent, body, "--addr", unix)


def a_server_that_is_killed_is_exit_3(pakvd, pakvctl, parent):
    server = pakv.Server(pakvd, os.path.join(parent, "data"))
    # Stopped, it takes the connection and answers nothing: the command waits until it is killed.
    server.process.send_signal(signal.SIGSTOP)
    process = subprocess.Popen([pakvctl, "--addr", server.ports["data"], "set", "k", "v"],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    server.kill()
    out, err = process.communicate(timeout=60)
    pakv.check(process.returncode == 3 and not out, f"{process.returncode} {out} {err}")


def wrong_use_is_exit_2(_pakvd, pakvctl, _parent):
    for args in ([], ["frob"], ["get"], ["set", "k"], ["ttl"], ["--user", "u", "ping"],
                 ["--addr", "localhost", "ping"], ["--addr", "h:65536", "ping"],
                 ["-n", "", "ping"], ["set", "k", "v", "--ttl", "5"], ["incr", "k", "one"],
                 ["scan", "--limit", "0"]):
        done = subprocess.run([pakvctl, *args], capture_output=True, check=False, timeout=60)
        pakv.check(done.returncode == 2 and not done.stdout and b"usage:" in done.stderr,
                   f"{args}: {done}")


def a_reader_that_goes_ends_a_scan(pakvd, pakvctl, parent):
    def body(ctl, server):
        server.connect().pipeline([("SET", f"{i:0200}", "v") for i in range(20000)])
        process = subprocess.Popen([pakvctl, "--addr", ctl.address, "scan"],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        process.stdout.readline()
        process.stdout.close()
        killer = threading.Timer(60, process.kill)
        killer.start()
        code = process.wait()
        killer.cancel()
        process.stderr.close()
        pakv.check(code in (5, -signal.SIGPIPE), f"exit {code}")

    with_server(pakvd, pakvctl, parent, body)


def a_directory_is_read_offline(pakvd, pakvctl, parent):
    directory = os.path.join(parent, "data")
    ctl = Ctl(pakvctl, "127.0.0.1:1")  # nobody is asked

    def body(_, server):
        server.connect().pipeline([("SET", f"key{i}", "v" * 1000) for i in range(1000)])
        for command in ("verify", "segments"):
            ctl.says([command, directory], b"", 5, b"locked")

    with_server(pakvd, pakvctl, parent, body)
    ctl.says(["verify", directory], b"", 0, b"no damage found")
    code, out, err = ctl("segments", directory)
    lines = out.decode().splitlines()
    pakv.check(code == 0 and lines and not err, f"segments: {code} {out} {err}")
    code, out, _ = ctl("segments", directory, "-o", "json")
    segments = json.loads(out)
    pakv.check(code == 0 and len(segments) == len(lines), f"segments: {out}")
    pakv.check(sum(segment.get("records", 0) for segment in segments) == 1000, f"{out}")

    damaged = os.path.join(directory, next(s["file"] for s in segments if s.get("end", 0) > 8192))
    with open(damaged, "r+b") as file:
        place = file.read().index(b"v" * 1000) + 500
        file.seek(place)
        file.write(b"w")
    code, out, err = ctl("verify", directory)
    pakv.check(code == 5 and out.startswith(damaged.encode() + b":") and b'key "key' in out
               and b"damage found" in err, f"verify: {code} {out} {err}")
    code, out, _ = ctl("-o", "json", "verify", directory)
    finding = json.loads(out)[0]
    pakv.check(code == 5 and finding["damage"] and finding["key"].startswith("key"), f"{finding}")
    manifest = os.path.join(directory, "MANIFEST")
    os.remove(manifest)
    code, out, err = ctl("verify", directory)
    pakv.check(code == 5 and out.startswith(manifest.encode() + b":0: damage: missing")
               and damaged.encode() in out and b"without MANIFEST, 999 records" in err,
               f"without MANIFEST: {code} {out} {err}")
    code, out, err = ctl("segments", directory)
    pakv.check(code == 5 and out.count(b" unlisted ") == len(lines) and manifest.encode() in err,
               f"without MANIFEST: {code} {out} {err}")
    ctl.says(["verify", os.path.join(parent, "nowhere")], b"", 5, b"nowhere")
    ctl.says(["verify", parent], b"", 5, b"no pakv data directory")


if __name__ == "__main__":
    pakv.main([
        every_command_prints_what_is_promised,
        a_batch_is_all_or_nothing,
        a_terminal_is_not_commanded_by_keys_and_values,
        a_stdin_that_is_closed_is_told,
        values_of_any_length_stream_both_ways,
        too_long_is_refused_early,
        a_server_that_goes_while_stdin_is_silent_is_noticed,
        check_and_compact_look_after_a_running_server,
        namespaces_are_apart,
        connections_are_listed_and_killed,
        any_bytes_go_through,
        scan_finds_every_key_once,
        who_is_not_there_is_exit_3,
        a_server_that_is_killed_is_exit_3,
        wrong_use_is_exit_2,
        a_reader_that_goes_ends_a_scan,
        a_directory_is_read_offline,
    ])
