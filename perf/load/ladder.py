#!/usr/bin/env python3
"""Writers that contend for one key: `./dev bench ladder`.

N = 1, 2, 3, 4, 8 … 64 connections set the same key and wait for the answer, each again and again:
acknowledgements per second by N, of pakvd and of Redis with `appendfsync always`, taking turns.
Goal: no collapse beyond the best N, 64 connections reach at least 90 % of it.
"""

import argparse

from _servers import (Servers, add_dir_option, cpus, fail, median_of, need_tools, paced_load,
                      write_json)

SHARE_OF_BEST_MIN = 0.9
STEPS = "1,2,3,4,8,16,24,32,48,64"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pakvd", default="build/bin/pakvd")
    parser.add_argument("--paced-load", default="build/perf/load/paced_load")
    parser.add_argument("--cores", type=int, default=1)
    add_dir_option(parser)
    parser.add_argument("--servers", default="pakvd,redis", help="which, separated by commas")
    parser.add_argument("--steps", default=STEPS, help="numbers of connections")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0, help="length of one round")
    parser.add_argument("--json", default="build/ladder.json")
    parser.add_argument("pakvd_flags", nargs="*", help="further flags of pakvd, behind --")
    args = parser.parse_args()
    need_tools("taskset")
    steps = [int(step) for step in args.steps.split(",")]
    server_cpu = [cpus()[0]]

    results = []
    with Servers(args.dir, "ladder") as servers:
        for name in args.servers.split(","):
            if name == "pakvd":
                servers.pakvd(name, args.pakvd, args.cores, server_cpu, args.pakvd_flags)
            elif name == "redis":
                need_tools("redis-server")
                servers.redis("redis always", True, server_cpu)
            else:
                fail(f"no server {name!r}; there are pakvd and redis", 2)

        print(f"{'connections':>11}  {'server':14}{'acks/s':>10}{'p50 us':>9}{'p99 us':>9}"
              f"{'CPU us/ack':>12}{'flush/ack':>11}")
        medians = {server.name: {} for server in servers.all}
        for step in steps:
            rounds = {server.name: [] for server in servers.all}
            for _ in range(args.rounds):
                for server in servers.all:
                    with servers.alone(server):
                        rounds[server.name].append(
                            paced_load(args.paced_load, server, "--connections", str(step),
                                       "--keys", "1", "--seconds", str(args.seconds)))
            for server in servers.all:
                own = median_of(rounds[server.name])
                medians[server.name][step] = own["requests_per_second"]
                flushes = own.get("flushes_per_request")
                print(f"{step:11}  {server.name:14}{own['requests_per_second']:10.0f}"
                      f"{own['p50_us']:9.0f}{own['p99_us']:9.0f}{own['cpu_us_per_request']:12.2f}"
                      f"{'-' if flushes is None else format(flushes, '.4f'):>11}", flush=True)
                results.append({"connections": step, "server": server.name,
                                "cores": args.cores, "median": own,
                                "rounds": rounds[server.name]})
        for name, by_step in medians.items():
            best = max(by_step, key=by_step.get)
            last = by_step[steps[-1]] / by_step[best]
            print(f"{name}: best at {best} connections, {steps[-1]} reach {last:.0%} of it "
                  f"(goal: at least {SHARE_OF_BEST_MIN:.0%})")
    write_json(args.json, results)


if __name__ == "__main__":
    main()
