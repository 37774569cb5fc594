#!/usr/bin/env python3
"""pakvd beside Redis, in one run on one machine: `./dev bench compare`.

Three servers stand side by side on CPU 0, idle but for the one whose turn it is: pakvd, Redis with
`appendfsync always` (the same promise), and Redis without persistence (no promise). The generator,
redis-benchmark, has CPU 1. Per case they take turns, round after round, and the median of the
rounds counts; a round's length is set by time, so that fast and slow servers are measured alike.

Measured: requests/s, p50 and p99 as the generator sees them, CPU time of the server process (all
its threads) per request, and flushes that the device completed per request.

Refuses a directory on tmpfs: there a flush costs nothing, and nothing is durable.
"""

import argparse
import csv
import io
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

CASES = [
    ("c1", ["-c", "1"]),
    ("c50", ["-c", "50"]),
    ("c512", ["-c", "512"]),
    ("c50 P16", ["-c", "50", "-P", "16"]),
    ("c50 P64", ["-c", "50", "-P", "64"]),
]
KEYS = 1_000_000
VALUE_BYTES = 64
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def fail(text):
    print(f"compare: {text}", file=sys.stderr)
    sys.exit(1)


def file_system(path):
    return subprocess.run(["stat", "-f", "-c", "%T", path], capture_output=True, text=True,
                          check=True).stdout.strip()


def device_flushes(path):
    """Flush requests that the device under `path` has completed, None where it does not tell."""
    device = os.stat(path).st_dev
    name = f"/sys/dev/block/{os.major(device)}:{os.minor(device)}/stat"
    try:
        with open(name, encoding="ascii") as stat:
            fields = stat.read().split()
    except OSError:
        return None
    return int(fields[15]) if len(fields) > 15 else None


class Server:
    """A server process on CPU 0, ready when it answers PING."""

    def __init__(self, name, command, port_of, directory):
        self.name = name
        self.directory = directory
        self.log = open(os.path.join(directory, "log"), "wb")
        self.process = subprocess.Popen(["taskset", "-c", "0", *command], stdout=self.log,
                                        stderr=self.log, cwd=directory)
        deadline = time.monotonic() + 30
        self.port = None
        while self.port is None or not self.answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.log.flush()
                with open(self.log.name, encoding="utf-8", errors="replace") as log:
                    fail(f"{name} did not start:\n{log.read()}")
            self.port = port_of()
            time.sleep(0.02)

    def answers(self):
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(64).startswith(b"+PONG")
        except OSError:
            return False

    def cpu_seconds(self):
        with open(f"/proc/{self.process.pid}/stat", encoding="ascii") as stat:
            fields = stat.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND

    def preload(self):
        """Sets every key that redis-benchmark can draw."""
        value = b"x" * VALUE_BYTES
        with socket.create_connection(("127.0.0.1", self.port)) as connection:
            for begin in range(0, KEYS, 10_000):
                batch = b"".join(
                    b"*3\r\n$3\r\nSET\r\n$16\r\nkey:%012d\r\n$%d\r\n%s\r\n"
                    % (i, VALUE_BYTES, value) for i in range(begin, begin + 10_000))
                connection.sendall(batch)
                expected = 5 * 10_000
                while expected > 0:
                    got = connection.recv(min(expected, 1 << 20))
                    if not got:
                        fail(f"{self.name} closed the connection during the preload")
                    if b"-" in got:
                        fail(f"{self.name} answered the preload with {got[:200]!r}")
                    expected -= len(got)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start_redis(name, parent, durable):
    directory = tempfile.mkdtemp(prefix=f"{name.replace(' ', '-')}-", dir=parent)
    port = free_port()
    command = ["redis-server", "--port", str(port), "--dir", directory, "--save", "",
               "--daemonize", "no", "--auto-aof-rewrite-percentage", "0"]
    command += (["--appendonly", "yes", "--appendfsync", "always"] if durable
                else ["--appendonly", "no"])
    return Server(name, command, lambda: port, directory)


def start_pakvd(binary, parent, cores, extra):
    directory = tempfile.mkdtemp(prefix="pakvd-", dir=parent)
    port_file = os.path.join(directory, "ports")

    def port_of():
        try:
            with open(port_file, encoding="ascii") as ports:
                for line in ports:
                    name, address = line.split()
                    if name == "data":
                        return int(address.rpartition(":")[2])
        except OSError:
            pass
        return None

    command = [binary, "--addr", "127.0.0.1:0", "--admin-addr", "none", "--cores", str(cores),
               "--dir", os.path.join(directory, "data"), "--port-file", port_file, *extra]
    return Server("pakvd", command, port_of, directory)


def load(server, test, flags, requests):
    command = ["taskset", "-c", "1", "redis-benchmark", "-p", str(server.port), "-t", test,
               "-n", str(requests), "-r", str(KEYS), "-d", str(VALUE_BYTES), "--csv", *flags]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    if done.returncode != 0 or len(rows) != 1:
        fail(f"redis-benchmark against {server.name}: {done.stdout}{done.stderr}")
    return rows[0]


def measure(server, test, flags, requests):
    cpu_before = server.cpu_seconds()
    flushes_before = device_flushes(server.directory)
    row = load(server, test, flags, requests)
    cpu = server.cpu_seconds() - cpu_before
    flushes = device_flushes(server.directory)
    return {
        "requests_per_second": float(row["rps"]),
        "p50_us": float(row["p50_latency_ms"]) * 1000,
        "p99_us": float(row["p99_latency_ms"]) * 1000,
        "cpu_us_per_request": cpu / requests * 1e6,
        "flushes_per_request":
            None if flushes is None else (flushes - flushes_before) / requests,
    }


def median_of(rounds):
    return {name: None if rounds[0][name] is None
            else statistics.median(one[name] for one in rounds) for name in rounds[0]}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pakvd", default="build/bin/pakvd")
    parser.add_argument("--cores", type=int, default=1)
    parser.add_argument("--dir", default=".", help="where the servers keep their data")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="length of one round")
    parser.add_argument("--cases", default="", help="only these, separated by commas")
    parser.add_argument("--tests", default="set,get")
    parser.add_argument("--json", default="build/compare.json")
    parser.add_argument("pakvd_flags", nargs="*", help="further flags of pakvd, behind --")
    args = parser.parse_args()

    if file_system(args.dir) in ("tmpfs", "ramfs"):
        fail(f"{os.path.abspath(args.dir)} is on {file_system(args.dir)}, where nothing is "
             "durable; choose a directory on a disk with --dir")
    for tool in ("redis-server", "redis-benchmark", "taskset"):
        if shutil.which(tool) is None:
            fail(f"{tool} is missing")
    if os.cpu_count() < 2:
        fail("needs two CPUs: one for the server, one for the generator")
    wanted = [name.strip() for name in args.cases.split(",") if name.strip()]

    parent = tempfile.mkdtemp(prefix="pakv-compare-", dir=os.path.abspath(args.dir))
    servers = []
    results = []
    try:
        servers.append(start_pakvd(os.path.abspath(args.pakvd), parent, args.cores,
                                   args.pakvd_flags))
        servers.append(start_redis("redis always", parent, durable=True))
        servers.append(start_redis("redis none", parent, durable=False))
        for server in servers:
            server.preload()
        print(f"{'case':14}{'server':14}{'req/s':>11}{'p50 us':>9}{'p99 us':>9}"
              f"{'CPU us/req':>12}{'flush/req':>11}{'req/s x':>9}{'CPU x':>7}")
        for test in args.tests.split(","):
            for name, flags in CASES:
                if wanted and name not in wanted:
                    continue
                requests = {}
                for server in servers:
                    probe = load(server, test, flags, 20_000)
                    requests[server.name] = max(
                        10_000, int(float(probe["rps"]) * args.seconds))
                rounds = {server.name: [] for server in servers}
                for _ in range(args.rounds):
                    for server in servers:
                        rounds[server.name].append(
                            measure(server, test, flags, requests[server.name]))
                medians = {server.name: median_of(rounds[server.name]) for server in servers}
                base = medians["redis always"]
                for server in servers:
                    own = medians[server.name]
                    speed = own["requests_per_second"] / base["requests_per_second"]
                    cpu = own["cpu_us_per_request"] / base["cpu_us_per_request"]
                    flushes = own["flushes_per_request"]
                    print(f"{test.upper() + ' ' + name:14}{server.name:14}"
                          f"{own['requests_per_second']:11.0f}{own['p50_us']:9.0f}"
                          f"{own['p99_us']:9.0f}{own['cpu_us_per_request']:12.2f}"
                          f"{'-' if flushes is None else format(flushes, '.4f'):>11}"
                          f"{speed:9.2f}{cpu:7.2f}", flush=True)
                    results.append({"test": test, "case": name, "server": server.name,
                                    "cores": args.cores, "median": own,
                                    "rounds": rounds[server.name],
                                    "requests_ratio": speed, "cpu_ratio": cpu})
    finally:
        for server in servers:
            server.stop()
        shutil.rmtree(parent, ignore_errors=True)
    if os.path.dirname(args.json):
        os.makedirs(os.path.dirname(args.json), exist_ok=True)
    with open(args.json, "w", encoding="utf-8") as output:
        json.dump(results, output, indent=1)
    print(f"written to {args.json}")


if __name__ == "__main__":
    main()
