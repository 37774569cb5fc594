#!/usr/bin/env python3
"""pakvd beside Redis, in one run on one machine: `./dev bench compare`.

Three servers stand side by side on the first CPU, halted but for the one whose turn it is: pakvd,
Redis with `appendfsync always` (the same promise), and Redis without persistence (no promise). The
generator, redis-benchmark, has the second. Per case they take turns, round after round, and the
median of the rounds counts; a round's length is set by time, so that fast and slow servers are
measured alike.

Measured: requests/s, p50 and p99 as the generator sees them, CPU time of the server process (all
its threads) per request, and flushes that the device completed per request.

Refuses a directory on tmpfs: there a flush costs nothing, and nothing is durable.
"""

import argparse
import csv
import io
import math
import subprocess

from _servers import (VALUE_BYTES, Servers, add_dir_option, cpus, device_flushes, fail, median_of,
                      need_tools, write_json)

# Name: connections, requests that each sends together.
CASES = {
    "c1": (1, 1),
    "c50": (50, 1),
    "c512": (512, 1),
    "c50 P16": (50, 16),
    "c50 P64": (50, 64),
}
# What tells how many requests make a round takes at least this long, or as long as a round.
PROBE_SECONDS = 0.3
# redis-benchmark tries for ever to reach a server that has gone.
ROUND_SECONDS_MAX = 300


def load(server, test, case, requests, keys):
    connections, pipeline = case
    command = ["taskset", "-c", str(cpus()[1]), "redis-benchmark", "-p", str(server.port),
               "-t", test, "-n", str(requests), "-r", str(keys), "-d", str(VALUE_BYTES), "--csv",
               "-c", str(connections), "-P", str(pipeline)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False,
                              timeout=ROUND_SECONDS_MAX)
    except subprocess.TimeoutExpired:
        fail(f"redis-benchmark against {server.name} did not end within {ROUND_SECONDS_MAX} s")
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    if done.returncode != 0 or len(rows) != 1:
        fail(f"redis-benchmark against {server.name}: {done.stdout}{done.stderr}")
    return rows[0]


def requests_of_a_round(server, test, case, args):
    """As many as this server answers in the length of a round: tried out with few, then with more,
    until they took long enough to tell."""
    connections, pipeline = case
    requests = one_batch = connections * pipeline
    while True:
        row = load(server, test, case, requests, args.keys)
        per_second = float(row["rps"])  # inf when it took less than the generator can tell
        seconds = requests / per_second
        if seconds >= min(PROBE_SECONDS, args.seconds):
            return max(one_batch, int(per_second * args.seconds))
        growth = PROBE_SECONDS / seconds if seconds > 0 else math.inf
        requests = int(requests * min(max(1.5 * growth, 2), 10))


def measure(server, test, case, requests, keys):
    cpu_before = server.cpu_seconds()
    flushes_before = device_flushes(server.directory)
    row = load(server, test, case, requests, keys)
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


def measure_case(servers, test, case, args):
    """Of each server, what each round measured; they take turns."""
    requests = {}
    for server in servers.all:
        with servers.alone(server):
            requests[server.name] = requests_of_a_round(server, test, case, args)
    rounds = {server.name: [] for server in servers.all}
    for _ in range(args.rounds):
        for server in servers.all:
            with servers.alone(server):
                rounds[server.name].append(
                    measure(server, test, case, requests[server.name], args.keys))
    return rounds


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pakvd", default="build/bin/pakvd")
    parser.add_argument("--cores", type=int, default=1)
    add_dir_option(parser)
    parser.add_argument("--keys", type=int, default=1_000_000, help="set before, and drawn from")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="length of one round")
    parser.add_argument("--cases", default="", help="only these, separated by commas")
    parser.add_argument("--tests", default="set,get")
    parser.add_argument("--json", default="build/compare.json")
    parser.add_argument("pakvd_flags", nargs="*", help="further flags of pakvd, behind --")
    args = parser.parse_args()

    need_tools("redis-server", "redis-benchmark", "taskset")
    wanted = [name.strip() for name in args.cases.split(",") if name.strip()] or list(CASES)
    for name in wanted:
        if name not in CASES:
            fail(f"no case {name!r}; there are {', '.join(CASES)}", 2)
    server_cpu = [cpus()[0]]

    results = []
    with Servers(args.dir, "compare") as servers:
        servers.pakvd("pakvd", args.pakvd, args.cores, server_cpu, args.pakvd_flags)
        servers.redis("redis always", True, server_cpu)
        servers.redis("redis none", False, server_cpu)
        for server in servers.all:
            server.preload(args.keys)
        print(f"{'case':14}{'server':14}{'req/s':>11}{'p50 us':>9}{'p99 us':>9}"
              f"{'CPU us/req':>12}{'flush/req':>11}{'req/s x':>9}{'CPU x':>7}")
        for test in args.tests.split(","):
            for name in wanted:
                rounds = measure_case(servers, test, CASES[name], args)
                base = median_of(rounds["redis always"])
                for server in servers.all:
                    own = median_of(rounds[server.name])
                    speed = own["requests_per_second"] / base["requests_per_second"]
                    # A short round may be less than one tick of the CPU's account.
                    cpu = own["cpu_us_per_request"] / (base["cpu_us_per_request"] or math.nan)
                    flushes = own.get("flushes_per_request")
                    print(f"{test.upper() + ' ' + name:14}{server.name:14}"
                          f"{own['requests_per_second']:11.0f}{own['p50_us']:9.0f}"
                          f"{own['p99_us']:9.0f}{own['cpu_us_per_request']:12.2f}"
                          f"{'-' if flushes is None else format(flushes, '.4f'):>11}"
                          f"{speed:9.2f}{cpu:7.2f}", flush=True)
                    results.append({"test": test, "case": name, "server": server.name,
                                    "cores": args.cores, "median": own,
                                    "rounds": rounds[server.name],
                                    "requests_ratio": speed, "cpu_ratio": cpu})
    write_json(args.json, results)


if __name__ == "__main__":
    main()
