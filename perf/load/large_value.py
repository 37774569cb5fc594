#!/usr/bin/env python3
"""What one large value costs, in and out: `./dev bench large_value`.

A client of small requests at a steady rate, alone and beside one that sets and gets a value of 512
MiB without a pause; the two by turns, so that a noisy machine hits both. Counted are the server's
memory (VmRSS, looked at every few milliseconds) before, while and after the large value is under
way, its rate in and out, and the small requests' p90.

Goals: memory grows by at most 16 MiB, SET and GET p90 at most 1.5 times those without.
"""

import argparse
import os
import socket
import statistics
import threading
import time

from _servers import Servers, add_dir_option, cpus, fail, paced_load, say, write_json

MEMORY_GOAL_BYTES = 16 << 20
P90_GOAL = 1.5
PIECE = bytes(range(256)) * 4096  # 1 MiB, sent again and again
SAMPLE_SECONDS = 0.005


class Memory(threading.Thread):
    """Looks at the server's memory until it is stopped."""

    def __init__(self, process):
        super().__init__(daemon=True)
        self.path = f"/proc/{process.pid}/status"
        self.largest = 0
        self.ended = threading.Event()

    def now(self):
        with open(self.path, encoding="ascii") as status:
            for line in status:
                if line.startswith("VmRSS:"):
                    return int(line.split()[1]) * 1024
        return 0

    def run(self):
        while not self.ended.is_set():
            self.largest = max(self.largest, self.now())
            time.sleep(SAMPLE_SECONDS)


class LargeValue(threading.Thread):
    """Sets and gets the value, at least once, until it is told to end. Each byte that comes back is
    compared."""

    def __init__(self, port, value_bytes):
        super().__init__(daemon=True)
        self.port = port
        self.value_bytes = value_bytes
        self.ending = threading.Event()
        self.in_seconds = []
        self.out_seconds = []
        self.error = None

    def run(self):
        # It leaves the server's CPU alone, and the small requests' client its own as soon as that
        # wants it: what those wait for is the server.
        os.sched_setaffinity(self.native_id, [cpus()[1]])
        os.sched_setscheduler(self.native_id, os.SCHED_IDLE, os.sched_param(0))
        try:
            with socket.create_connection(("127.0.0.1", self.port)) as connection:
                while not self.ending.is_set() or not self.out_seconds:
                    self.in_seconds.append(self.timed(self.set, connection))
                    self.out_seconds.append(self.timed(self.get, connection))
                connection.sendall(b"*2\r\n$3\r\nDEL\r\n$5\r\nlarge\r\n")
                self.expect(connection, b":1\r\n")
        except (OSError, ValueError) as error:
            self.error = error

    @staticmethod
    def timed(what, connection):
        begin = time.monotonic()
        what(connection)
        return time.monotonic() - begin

    def expect(self, connection, reply):
        got = b""
        while len(got) < len(reply):
            more = connection.recv(len(reply) - len(got))
            if not more:
                raise ValueError(f"the server closed the connection after {got!r}")
            got += more
        if got != reply:
            raise ValueError(f"{got!r} in place of {reply!r}")

    def set(self, connection):
        connection.sendall(b"*3\r\n$3\r\nSET\r\n$5\r\nlarge\r\n$%d\r\n" % self.value_bytes)
        left = self.value_bytes
        while left > 0:
            connection.sendall(PIECE[:left])
            left -= min(left, len(PIECE))
        connection.sendall(b"\r\n")
        self.expect(connection, b"+OK\r\n")

    def get(self, connection):
        connection.sendall(b"*2\r\n$3\r\nGET\r\n$5\r\nlarge\r\n")
        self.expect(connection, b"$%d\r\n" % self.value_bytes)
        buffer = memoryview(bytearray(len(PIECE)))
        piece = memoryview(PIECE)
        at = 0
        while at < self.value_bytes:
            offset = at % len(PIECE)
            wanted = min(self.value_bytes - at, len(PIECE) - offset)
            got = connection.recv_into(buffer, wanted)
            if got == 0 or buffer[:got] != piece[offset:offset + got]:
                raise ValueError(f"wrong bytes behind {at}")
            at += got
        self.expect(connection, b"\r\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pakvd", default="build/bin/pakvd")
    parser.add_argument("--paced-load", default="build/perf/load/paced_load")
    parser.add_argument("--cores", type=int, default=1)
    add_dir_option(parser)
    parser.add_argument("--value-bytes", type=int, default=512 << 20)
    parser.add_argument("--connections", type=int, default=20)
    parser.add_argument("--rate", type=float, default=2000)
    parser.add_argument("--keys", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", default="build/large_value.json")
    args = parser.parse_args()

    with Servers(args.dir, "large-value") as servers:
        server = servers.pakvd("pakvd", args.pakvd, args.cores, [cpus()[0]])
        server.preload(args.keys)
        flags = ["--connections", str(args.connections), "--rate", str(args.rate), "--seconds",
                 str(args.seconds), "--keys", str(args.keys), "--mix", "1:1"]
        paced_load(args.paced_load, server, *flags)  # what it needs at all, it has by now
        memory = Memory(server.process)
        before = memory.now()
        memory.start()
        rounds = []
        in_seconds, out_seconds = [], []
        for _ in range(args.rounds):
            alone = paced_load(args.paced_load, server, *flags)
            large = LargeValue(server.port, args.value_bytes)
            large.start()
            beside = paced_load(args.paced_load, server, *flags)
            large.ending.set()
            large.join(600)
            if large.error is not None or large.is_alive():
                fail(f"the large value: {large.error or 'does not end'}")
            in_seconds += large.in_seconds
            out_seconds += large.out_seconds
            rounds.append({"alone": alone, "beside": beside})
        memory.ended.set()
        memory.join()
        after = memory.now()

    mib = args.value_bytes / (1 << 20)
    results = {
        "value_bytes": args.value_bytes,
        "rss_before_bytes": before,
        "rss_largest_bytes": memory.largest,
        "rss_after_bytes": after,
        "rss_growth_bytes": memory.largest - before,
        "rss_growth_goal_bytes": MEMORY_GOAL_BYTES,
        "in_mib_per_second": mib / statistics.median(in_seconds),
        "out_mib_per_second": mib / statistics.median(out_seconds),
        "values": len(in_seconds),
        "p90_ratio_goal": P90_GOAL,
        "rounds": rounds,
    }
    say(f"{len(in_seconds)} values of {mib:.0f} MiB: in {results['in_mib_per_second']:.0f} MiB/s, "
        f"out {results['out_mib_per_second']:.0f} MiB/s")
    say(f"memory: {before / (1 << 20):.1f} MiB before, at the most "
        f"{memory.largest / (1 << 20):.1f} "
        f"(+{results['rss_growth_bytes'] / (1 << 20):.1f}, goal +16), "
        f"{after / (1 << 20):.1f} after")
    for kind in ("set", "get"):
        name = f"{kind}_p90_us"
        ratios = [one["beside"][name] / one["alone"][name] for one in rounds]
        results[f"{kind}_p90_ratio"] = statistics.median(ratios)
        say(f"{kind} p90: {statistics.median(one['alone'][name] for one in rounds):.0f} us alone, "
            f"{statistics.median(one['beside'][name] for one in rounds):.0f} us beside, "
            f"{results[f'{kind}_p90_ratio']:.2f} x (goal {P90_GOAL} x)")
    write_json(args.json, results)


if __name__ == "__main__":
    main()
