#!/usr/bin/env python3
"""What giving space back costs: `./dev bench overwrite`.

A store is overwritten for a long time at half of its peak rate, every other request a GET, so that
it lives on the space that compaction gives back. Keys are drawn evenly in one run, by Zipf's law in
another. Measured, window after window: the bytes of its segments beside the live ones, its memory,
and the latencies. Beside it, in turn, a fresh store of the same keys under the same load, whose
space has not run short yet: what SET and GET take without compaction, in the same minutes on the
same machine. (A pair in which the fresh one did compact is left out and counted.)

Goals: disk at most 2.2 times the live data, memory grows by at most 64 MiB, SET p90 at most 1.5
and GET p90 at most 1.3 times those without compaction.
"""

import argparse
import socket
import statistics

from _servers import Servers, add_dir_option, cpus, fail, need_tools, paced_load, say, write_json

SPACE_GOAL = 2.2
MEMORY_GOAL = 64 << 20
P90_GOALS = {"set": 1.5, "get": 1.3}


def info(server):
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(b"INFO\r\n")
        reader = connection.makefile("rb")
        text = reader.read(int(reader.readline()[1:])).decode()
    return dict(line.split(":", 1) for line in text.split("\r\n") if ":" in line)


def resident_bytes(server):
    with open(f"/proc/{server.process.pid}/status", encoding="ascii") as status:
        for line in status:
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
    return fail(f"{server.name} has no memory")


class Bench:
    def __init__(self, args, servers, draw):
        self.args = args
        self.servers = servers
        self.draw = draw

    def load(self, server, rate):
        return paced_load(self.args.paced_load, server, "--connections",
                          str(self.args.connections), "--keys", str(self.args.keys), "--mix", "1:1",
                          "--draw", self.draw, "--rate", str(rate), "--seconds",
                          str(self.args.window))

    def start(self, name):
        server = self.servers.pakvd(name, self.args.pakvd, self.args.cores, [cpus()[0]],
                                    self.args.pakvd_flags)
        server.preload(self.args.keys)
        return server

    def fresh_window(self, rate):
        """The load on a store without dead space; None if it compacted all the same, or if the
        window was too short for either kind."""
        server = self.start("fresh")
        with self.servers.alone(server):
            result = self.load(server, rate)
        compacted = int(info(server)["pakv_compacted_segments"])
        self.servers.end(server)
        seen = all(result[f"{kind}_p90_us"] > 0 for kind in P90_GOALS)
        return result if compacted == 0 and seen else None

    def run(self):
        old = self.start(f"overwritten, {self.draw}")
        peak = self.load(old, 0)["requests_per_second"]
        rate = self.args.rate or peak / 2
        print(f"{self.draw}: {rate:.0f} requests/s, half of them SET (peak {peak:.0f})")
        windows = max(2, round(self.args.seconds / self.args.window))
        rows, pairs, left_out = [], [], 0
        for window in range(windows):
            result = self.load(old, rate)
            facts = info(old)
            live = int(facts["pakv_live_bytes"])
            rows.append({"space": int(facts["pakv_disk_bytes"]) / live, "live_bytes": live,
                         "disk_bytes": int(facts["pakv_disk_bytes"]),
                         "memory_bytes": resident_bytes(old),
                         "compacted_segments": int(facts["pakv_compacted_segments"]), **result})
            # Both ends of a pair meet the same neighbours.
            if window >= windows // 3 and window % self.args.pair_every == 0:
                fresh = self.fresh_window(rate)
                if fresh is None:
                    left_out += 1
                else:
                    pairs.append({kind: result[f"{kind}_p90_us"] / fresh[f"{kind}_p90_us"]
                                  for kind in P90_GOALS})
        self.servers.end(old)
        return self.judge(rows, pairs, left_out, rate)

    def judge(self, rows, pairs, left_out, rate):
        # The first third fills the space and the cache.
        settled = rows[len(rows) // 3:]
        outcome = {
            "draw": self.draw, "rate": rate, "windows": rows, "pairs": pairs,
            "pairs_left_out": left_out,
            "overwritten_times": sum(row["sets"] for row in rows) / self.args.keys,
            "compacted_segments": rows[-1]["compacted_segments"],
            "space_max": max(row["space"] for row in settled),
            "memory_growth_bytes": settled[-1]["memory_bytes"] - settled[0]["memory_bytes"],
        }
        for kind in P90_GOALS:
            outcome[f"{kind}_p90_ratio"] = (
                statistics.median(pair[kind] for pair in pairs) if pairs else None)
        self.print(outcome)
        return outcome

    def print(self, outcome):
        def line(name, value, goal):
            print(f"  {name:34}{value:>12}   goal {goal}", flush=True)

        print(f"  each key overwritten {outcome['overwritten_times']:.1f} times, "
              f"{outcome['compacted_segments']} segments compacted")
        line("disk / live, highest", f"{outcome['space_max']:.2f}", f"<= {SPACE_GOAL}")
        line("memory growth, MiB", f"{outcome['memory_growth_bytes'] / (1 << 20):.1f}",
             f"<= {MEMORY_GOAL >> 20}")
        for kind, goal in P90_GOALS.items():
            ratio = outcome[f"{kind}_p90_ratio"]
            line(f"{kind.upper()} p90 / without compaction",
                 "no pair" if ratio is None else f"{ratio:.2f}", f"<= {goal}")
        if outcome["pairs_left_out"]:
            say(f"{outcome['pairs_left_out']} pairs left out: the fresh store compacted too; "
                "fewer seconds per window or more keys help")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pakvd", default="build/bin/pakvd")
    parser.add_argument("--paced-load", default="build/perf/load/paced_load")
    parser.add_argument("--cores", type=int, default=1)
    add_dir_option(parser)
    parser.add_argument("--keys", type=int, default=1_000_000, help="set before, and drawn from")
    parser.add_argument("--connections", type=int, default=50)
    parser.add_argument("--rate", type=float, default=0, help="requests/s; 0: half of the peak")
    parser.add_argument("--draws", default="even,zipf", help="paced_load's --draw, each of these")
    parser.add_argument("--seconds", type=float, default=1800, help="length of each run")
    parser.add_argument("--window", type=float, default=10, help="seconds between two looks")
    parser.add_argument("--pair-every", type=int, default=6, help="windows for each fresh store")
    parser.add_argument("--json", default="build/overwrite.json")
    parser.add_argument("pakvd_flags", nargs="*", help="further flags of pakvd, behind --")
    args = parser.parse_args()
    need_tools("taskset")
    with Servers(args.dir, "overwrite") as servers:
        results = [Bench(args, servers, draw).run() for draw in args.draws.split(",")]
    write_json(args.json, results)


if __name__ == "__main__":
    main()
