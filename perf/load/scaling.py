#!/usr/bin/env python3
"""What a second core costs: `./dev bench scaling`.

pakvd with `--cores 1` beside pakvd with `--cores 2` at the same rate: half of the peak of one core,
in batches of 16 (the peak is measured first). With two cores and keys drawn evenly, half of the
keys of every connection belong to the other core. Goal: at most 1.4 times the CPU per request.

A machine of two CPUs cannot give each core one and the generator a third, so both are measured:

  one CPU    both core threads share the server's CPU, the generator has its own. The generator
             disturbs nothing; what a hop costs in messages, wake-ups and switches of threads
             counts, the travel of cache lines between CPUs does not.
  two CPUs   the server may use both, and the generator shares the second. Cache lines travel and
             wake-ups are interrupts of another CPU, as in use; both servers share with the same
             generator at the same rate. CPU time counts as the kernel charges it to the server.

The two servers take turns, round after round; the median of the rounds counts.
"""

import argparse
import math

from _servers import (Servers, add_dir_option, cpus, fail, median_of, need_tools, paced_load,
                      write_json)

CPU_RATIO_MAX = 1.4
LATE_US_MAX = 1000  # a generator that is later than this was the wall, not the server


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pakvd", default="build/bin/pakvd")
    parser.add_argument("--paced-load", default="build/perf/load/paced_load")
    parser.add_argument("--cores", type=int, default=2, help="beside one")
    add_dir_option(parser)
    parser.add_argument("--keys", type=int, default=1_000_000, help="set before, and drawn from")
    parser.add_argument("--connections", type=int, default=50)
    parser.add_argument("--pipeline", type=int, default=16)
    parser.add_argument("--mixes", default="set,get", help="paced_load's --mix, each of these")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0, help="length of one round")
    parser.add_argument("--json", default="build/scaling.json")
    parser.add_argument("pakvd_flags", nargs="*", help="further flags of pakvd, behind --")
    args = parser.parse_args()
    if args.cores < 2:
        fail("--cores is what stands beside one core: at least 2", 2)
    need_tools("taskset")
    first, second = cpus()
    placements = {"one CPU": [first], "two CPUs": [first, second]}

    def load(server, mix, rate):
        return paced_load(args.paced_load, server, "--connections", str(args.connections),
                          "--pipeline", str(args.pipeline), "--keys", str(args.keys),
                          "--mix", mix, "--rate", str(rate), "--seconds", str(args.seconds))

    results = []
    with Servers(args.dir, "scaling") as servers:
        pairs = {}
        for placement, on_cpus in placements.items():
            pairs[placement] = [
                servers.pakvd(f"--cores {cores}, {placement}", args.pakvd, cores, on_cpus,
                              args.pakvd_flags) for cores in (1, args.cores)]
        for server in servers.all:
            server.preload(args.keys)
        print(f"{'mix':6}{'server on':12}{'cores':>6}{'req/s':>10}{'p50 us':>9}{'p99 us':>9}"
              f"{'p99.9 us':>10}{'CPU us/req':>12}{'CPU x':>7}")
        for mix in args.mixes.split(","):
            one = pairs["one CPU"][0]
            with servers.alone(one):
                peak = median_of([load(one, mix, 0) for _ in range(min(3, args.rounds))])
            rate = peak["requests_per_second"] / 2
            print(f"{mix}: peak of one core {peak['requests_per_second']:.0f} requests/s")
            for placement, pair in pairs.items():
                rounds = {server: [] for server in pair}
                for _ in range(args.rounds):
                    for server in pair:
                        with servers.alone(server):
                            rounds[server].append(load(server, mix, rate))
                base = median_of(rounds[pair[0]])["cpu_us_per_request"] or math.nan
                for cores, server in zip((1, args.cores), pair):
                    own = median_of(rounds[server])
                    ratio = own["cpu_us_per_request"] / base
                    late = own["late_p99_us"] > LATE_US_MAX
                    print(f"{mix:6}{placement:12}{cores:6}{own['requests_per_second']:10.0f}"
                          f"{own['p50_us']:9.0f}{own['p99_us']:9.0f}{own['p999_us']:10.0f}"
                          f"{own['cpu_us_per_request']:12.2f}{ratio:7.2f}"
                          f"{'  generator late' if late else ''}", flush=True)
                    results.append({"mix": mix, "placement": placement, "cores": cores,
                                    "peak": peak["requests_per_second"], "rate": rate,
                                    "median": own, "rounds": rounds[server], "cpu_ratio": ratio,
                                    "cpu_ratio_max": CPU_RATIO_MAX})
    worst = max(one["cpu_ratio"] for one in results)
    print(f"highest ratio {worst:.2f}, goal at most {CPU_RATIO_MAX}")
    write_json(args.json, results)


if __name__ == "__main__":
    main()
