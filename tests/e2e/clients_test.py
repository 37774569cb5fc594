#!/usr/bin/env python3
"""Stock clients, as Debian ships them, against pakvd: redis-cli, redis-benchmark, redis-py,
hiredis."""

import os
import shutil
import subprocess
import sys
import threading

import pakv

try:
    import redis
except ImportError:  # the system's Python has it, another one may not
    redis = None


def with_server(pakvd, parent, body):
    server = pakv.Server(pakvd, os.path.join(parent, "data"), "--cores", "2",
                         "--cache", "64MiB", "--admin-addr", "none")
    try:
        body(server)
    except BaseException:
        server.kill()
        raise
    pakv.check(server.stop() == 0, f"no clean stop:\n{server.last_log}")


def cli(server, *args, stdin=None):
    done = subprocess.run(["redis-cli", "-p", str(server.port()), *args], capture_output=True,
                          text=True, input=stdin, timeout=60, check=False)
    return done.stdout.rstrip("\n")


def redis_cli(pakvd, _pakvctl, parent):
    if shutil.which("redis-cli") is None:
        return "redis-cli is not installed"

    def body(server):
        for args, expected in [
                (["PING"], "PONG"),
                (["SET", "greeting", "hello world"], "OK"),
                (["GET", "greeting"], "hello world"),
                (["APPEND", "greeting", "!"], "12"),
                (["STRLEN", "greeting"], "12"),
                (["GET", "missing"], ""),
                (["INCRBY", "n", "41"], "41"),
                (["INCR", "n"], "42"),
                (["EXISTS", "n", "greeting", "missing"], "2"),
                (["TYPE", "n"], "string"),
                (["MGET", "n", "missing"], "42\n"),
                (["DBSIZE"], "2"),
                (["DEL", "n", "missing"], "1"),
                (["NOSUCH", "x"], "ERR unknown command 'NOSUCH', with args beginning with: 'x' ")]:
            got = cli(server, *args)
            pakv.check(got.strip() == expected.strip(), f"{args}: {got!r}, not {expected!r}")
        pakv.check("redis_version:7." in cli(server, "INFO"), "INFO names no version")
        for i in range(50):
            cli(server, "SET", f"scan:{i}", str(i))
        found = cli(server, "--scan", "--pattern", "scan:*").split()
        pakv.check(sorted(found) == sorted(f"scan:{i}" for i in range(50)), "--scan")
        pakv.check("HELLO" in cli(server, "-3", "ECHO", "HELLO"), "RESP3")
        pakv.check(cli(server, "FLUSHALL") == "OK" and cli(server, "DBSIZE") == "0", "FLUSHALL")
        commands = "".join(f"SET pipe{i} {i}\r\n" for i in range(1000))
        out = subprocess.run(["redis-cli", "-p", str(server.port()), "--pipe"], input=commands,
                             capture_output=True, text=True, timeout=60, check=True).stdout
        pakv.check("errors: 0, replies: 1000" in out, f"--pipe: {out}")

    with_server(pakvd, parent, body)
    return None


def redis_benchmark(pakvd, _pakvctl, parent):
    if shutil.which("redis-benchmark") is None:
        return "redis-benchmark is not installed"

    def body(server):
        done = subprocess.run(
            ["redis-benchmark", "-p", str(server.port()), "-t", "ping,set,get,incr,mset",
             "-n", "5000", "-c", "20", "-P", "4", "-r", "1000", "-q"],
            capture_output=True, text=True, timeout=120, check=False)
        pakv.check(done.returncode == 0, done.stderr)
        for test in ("PING", "SET", "GET", "INCR", "MSET"):
            pakv.check(test in done.stdout, f"{test} is missing: {done.stdout}")

    with_server(pakvd, parent, body)
    return None


def connections_are_listed_and_killed(server, client):
    """Of both cores, by redis-py's own parser."""
    others = [redis.Redis(port=server.port(), client_name=f"other{i}") for i in range(8)]
    for other in others:
        pakv.check(other.ping(), "ping")
    listed = {entry["name"]: entry for entry in client.client_list()}
    pakv.check(all(f"other{i}" in listed for i in range(8)), f"client list: {listed}")
    ids = [other.client_id() for other in others]
    pakv.check([listed[f"other{i}"]["id"] for i in range(8)] == [str(each) for each in ids],
               f"ids: {listed}")
    own = client.client_info()
    pakv.check(own["id"] == client.client_id() and own["cmd"] == "client|info", f"info: {own}")
    pakv.check(client.client_kill(listed["other0"]["addr"]), "client kill")
    for other_id in ids[1:]:
        pakv.check(client.client_kill_filter(_id=other_id) == 1, "client kill id")
    left = [entry["name"] for entry in client.client_list()]
    pakv.check(not any(name.startswith("other") for name in left), f"left: {left}")
    # They connect again; one that hears of its end only now says so first.
    for other in others:
        try:
            pakv.check(other.ping(), "ping after a kill")
        except redis.ConnectionError:
            pakv.check(other.ping(), "ping after a kill was told")


def by_another_python(test):
    """Runs the test with the interpreter that Debian's python3-redis belongs to; why not, if there
    is none."""
    if sys.executable != "/usr/bin/python3" and os.path.exists("/usr/bin/python3"):
        probe = subprocess.run(["/usr/bin/python3", "-c", "import redis"], capture_output=True,
                               check=False)
        if probe.returncode == 0:
            done = subprocess.run(["/usr/bin/python3", *sys.argv[:3], test], capture_output=True,
                                  text=True, check=False)
            pakv.check(done.returncode == 0, done.stdout + done.stderr)
            return None
    return "redis-py is not installed"


def redis_py(pakvd, _pakvctl, parent):
    if redis is None:
        return by_another_python("redis_py")

    def body(server):
        client = redis.Redis(port=server.port())
        pakv.check(client.ping(), "ping")
        value = bytes(range(256)) * 100
        pakv.check(client.set("key", value) and client.get("key") == value, "binary values")
        pakv.check(client.set("key", "other", nx=True) is None, "nx")
        pakv.check(client.set("key", "other", xx=True, get=True) == value, "xx get")
        pakv.check(client.incr("n", 5) == 5 and client.decr("n") == 4, "incr")
        pakv.check(client.mget("key", "n", "none") == [b"other", b"4", None], "mget")
        pakv.check(client.delete("key", "n", "none") == 2, "delete")
        client.set("from", "value", ex=100)
        pakv.check(client.rename("from", "to") and client.ttl("to") > 90, "rename")
        pakv.check(client.copy("to", "copy") and client.move("copy", 1), "copy and move")
        pakv.check(client.getrange("to", 1, -2) == b"alu", "getrange")
        pakv.check(client.setrange("to", 7, "x") == 8, "setrange")
        pakv.check(client.incrbyfloat("f", 1.5) == 1.5, "incrbyfloat")
        pakv.check(client.object("encoding", "to") == b"embstr" and client.wait(0, 1) == 0,
                   "object and wait")
        pakv.check(client.unlink("to", "f", "none") == 2, "unlink")
        # In files of their own, on a real disk.
        large = value * 120
        pakv.check(client.set("large", large) and client.rename("large", "renamed"), "rename large")
        pakv.check(client.copy("renamed", "copy") and client.append("copy", "tail")
                   == len(large) + 4, "copy and append large")
        pakv.check(client.mget("renamed", "large", "copy") == [large, None, large + b"tail"],
                   "mget large")
        pakv.check(client.setrange("renamed", 1 << 20, "here") == len(large)
                   and client.getrange("renamed", (1 << 20) - 1, (1 << 20) + 4)
                   == large[(1 << 20) - 1:1 << 20] + b"here" + large[(1 << 20) + 4:(1 << 20) + 5],
                   "setrange and getrange large")
        pakv.check(client.delete("renamed", "copy") == 2, "delete large")
        with client.pipeline(transaction=False) as pipeline:
            for i in range(1000):
                pipeline.set(f"p{i}", i)
            pakv.check(all(pipeline.execute()), "pipeline")
        pakv.check(sorted(client.scan_iter("p*")) == sorted(b"p%d" % i for i in range(1000)),
                   "scan_iter")
        pakv.check(client.dbsize() == 1000, "dbsize")
        connections_are_listed_and_killed(server, client)
        with client.pipeline(transaction=True) as pipeline:
            pipeline.set("q", 1).dbsize().keys("q*").delete("q").dbsize()
            pakv.check(pipeline.execute() == [True, 1001, [b"q"], 1, 1000], "dbsize in MULTI")
        with client.pipeline(transaction=True) as pipeline:
            pipeline.flushdb().get("p1").dbsize()
            pakv.check(pipeline.execute() == [True, None, 0], "flushdb in MULTI")
        pakv.check(client.info()["redis_mode"] == "standalone", "info")
        pakv.check(client.config_get("save") is not None, "config get")
        try:
            client.execute_command("LPUSH", "list", "x")
            raise pakv.Failure("LPUSH was accepted")
        except redis.ResponseError as error:
            pakv.check("unknown command" in str(error), str(error))
        pakv.check(client.flushall(), "flushall")

    with_server(pakvd, parent, body)
    return None


class Incrementer(threading.Thread):
    """Counts by WATCH, GET, MULTI, SET, EXEC until it has been answered `count` times, or the
    server has gone."""

    def __init__(self, port, count):
        super().__init__()
        self.client = redis.Redis(port=port)
        self.left = count
        self.done = 0
        self.conflicts = 0
        self.error = None

    def run(self):
        try:
            while self.left > 0:
                self.increment()
        except (redis.ConnectionError, redis.WatchError):
            pass  # what was under way may have happened; the latter tells of the former, too
        except Exception as error:  # pylint: disable=broad-except
            self.error = error

    def increment(self):
        with self.client.pipeline() as pipeline:
            pipeline.watch("counter")
            before = int(pipeline.get("counter") or 0)
            pipeline.multi()
            pipeline.set("counter", before + 1)
            pipeline.incr("calls")
            try:
                pipeline.execute()
            except redis.WatchError as error:
                if "ConnectionError" in str(error):
                    raise redis.ConnectionError from error
                self.conflicts += 1
                return
        self.left -= 1
        self.done += 1


def redis_py_loses_no_increment(pakvd, _pakvctl, parent):
    """Several clients, each of which reads, adds one, writes; the server is killed under them."""
    if redis is None:
        return by_another_python("redis_py_loses_no_increment")
    acknowledged, conflicts, unknown = 0, 0, 0
    for killed in (False, True, True, False):
        server = pakv.Server(pakvd, os.path.join(parent, "data"), "--cores", "2",
                             "--admin-addr", "none")
        client = redis.Redis(port=server.port())
        try:
            counted = [int(client.get(key) or 0) for key in ("counter", "calls")]
            pakv.check(counted[0] == counted[1], f"half of an EXEC: {counted}")
            pakv.check(acknowledged <= counted[0] <= acknowledged + unknown,
                       f"{counted[0]} counted, {acknowledged} acknowledged, {unknown} unknown")
            acknowledged, unknown = counted[0], 0
            threads = [Incrementer(server.port(), 1 << 30 if killed else 60) for _ in range(5)]
            for thread in threads:
                thread.start()
            while killed and int(client.get("counter") or 0) < acknowledged + 150:
                pass  # each look is a round trip
        except BaseException:
            server.kill()
            raise
        if killed:
            server.kill()
            unknown = len(threads)
        for thread in threads:
            thread.join()
            pakv.check(thread.error is None, f"{thread.error!r}")
            acknowledged += thread.done
            conflicts += thread.conflicts
        if not killed:
            counter = int(client.get("counter"))
            pakv.check(counter == acknowledged, f"{counter} of {acknowledged}")
            pakv.check(server.stop() == 0, f"no clean stop:\n{server.last_log}")
    pakv.check(conflicts > 0, "no WATCH was ever broken: nothing was tried")
    return None


def hiredis(pakvd, _pakvctl, parent):
    program = os.environ.get("PAKV_HIREDIS_CLIENT", "")
    if not os.path.exists(program):
        return "hiredis is not installed"

    def body(server):
        done = subprocess.run([program, str(server.port())], capture_output=True, text=True,
                              timeout=60, check=False)
        pakv.check(done.returncode == 0, done.stderr)

    with_server(pakvd, parent, body)
    return None


if __name__ == "__main__":
    pakv.main([redis_cli, redis_benchmark, redis_py, redis_py_loses_no_increment, hiredis])
