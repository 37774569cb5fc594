#!/usr/bin/env python3
"""What it costs to write ten keys as one: `./dev bench transactions`.

The server's CPU time per key of four ways to write KEYS keys, from CONNECTIONS connections that
each wait for the answer: as many SETs in one pipeline, MSET, MULTI with as many SETs and EXEC, and
MSETNX of keys that are new, which is a transaction that looks first; each with `--cores 1`, where
one core owns all keys, and with `--cores 2`, where two do (the SETs there are spread over both).
The client's own time does not count.
Goals: MSET and EXEC with one owner take no more than the SETs, with two no more than twice that.
"""

import argparse
import socket
import time

from _servers import (VALUE_BYTES, Servers, add_dir_option, cpus, fail, median_of, need_tools,
                      write_json)

GOALS = {1: 1.0, 2: 2.0}
GOAL_WAYS = ("MSET", "EXEC")
WAYS = ("SET", *GOAL_WAYS, "MSETNX")


def command(*words):
    return b"*%d\r\n" % len(words) + b"".join(
        b"$%d\r\n%s\r\n" % (len(word), word) for word in words)


class Load:
    """Connections that take turns: all ask, then all are heard."""

    def __init__(self, server, connections, keys):
        self.server = server
        self.sockets = [socket.create_connection(("127.0.0.1", server.port))
                        for _ in range(connections)]
        for each in self.sockets:
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.keys = keys
        self.asked = 0

    def close(self):
        for each in self.sockets:
            each.close()

    def names(self, space):
        """The next request's keys, always the same few thousand or never the same."""
        self.asked += 1
        first = self.asked * self.keys
        return [b"%s:%012d" % (space, (first + i) % 100_000 if space == b"key" else first + i)
                for i in range(self.keys)]

    def request(self, way):
        value = b"x" * VALUE_BYTES
        if way in ("SET", "EXEC"):
            sets = b"".join(command(b"SET", name, value) for name in self.names(b"key"))
            return sets if way == "SET" else command(b"MULTI") + sets + command(b"EXEC")
        names = self.names(b"key" if way == "MSET" else b"new%d" % id(self))
        return command(way.encode(), *[word for name in names for word in (name, value)])

    def reply(self, way):
        ok = b"+OK\r\n"
        queued = ok + b"+QUEUED\r\n" * self.keys + b"*%d\r\n" % self.keys
        return {"SET": ok * self.keys, "MSET": ok, "MSETNX": b":1\r\n",
                "EXEC": queued + ok * self.keys}[way]

    def run(self, way, seconds):
        """CPU per key, and keys per second."""
        reply = self.reply(way)
        begin = time.monotonic()
        cpu_before = self.server.cpu_seconds()
        keys = 0
        while time.monotonic() < begin + seconds:
            for each in self.sockets:
                each.sendall(self.request(way))
            for each in self.sockets:
                heard = b""
                while len(heard) < len(reply):
                    got = each.recv(65536)
                    if not got:
                        fail(f"{self.server.name} closed a connection")
                    heard += got
                if heard != reply:
                    fail(f"{self.server.name} answered {way} with {heard[:200]!r}")
            keys += self.keys * len(self.sockets)
        cpu = self.server.cpu_seconds() - cpu_before
        return {"cpu_us_per_key": cpu / keys * 1e6, "keys_per_second":
                keys / (time.monotonic() - begin)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pakvd", default="build/bin/pakvd")
    add_dir_option(parser)
    parser.add_argument("--connections", type=int, default=50)
    parser.add_argument("--keys", type=int, default=10, help="written as one")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="length of one round")
    parser.add_argument("--json", default="build/transactions.json")
    parser.add_argument("pakvd_flags", nargs="*", help="further flags of pakvd, behind --")
    args = parser.parse_args()
    need_tools("taskset")
    results = []
    with Servers(args.dir, "transactions") as servers:
        print(f"{'owners':>6}  {'way':8}{'CPU us/key':>12}{'beside SET':>12}{'keys/s':>10}")
        baseline = None
        for owners, goal in GOALS.items():
            server = servers.pakvd(f"cores {owners}", args.pakvd, owners, cpus(), args.pakvd_flags)
            load = Load(server, args.connections, args.keys)
            rounds = {way: [] for way in WAYS}
            for _ in range(args.rounds):
                for way, own in rounds.items():
                    own.append(load.run(way, args.seconds))
            load.close()
            servers.end(server)
            medians = {way: median_of(own) for way, own in rounds.items()}
            # Of the SETs with one core: what two owners cost is part of the question.
            baseline = baseline or medians["SET"]["cpu_us_per_key"] or None
            for way, own in medians.items():
                ratio = own["cpu_us_per_key"] / baseline if baseline else None
                shown = "-" if ratio is None else f"{ratio:.2f}"
                print(f"{owners:6}  {way:8}{own['cpu_us_per_key']:12.2f}{shown:>12}"
                      f"{own['keys_per_second']:10.0f}"
                      + (f"  (goal: at most {goal:.1f})" if way in GOAL_WAYS else ""), flush=True)
                results.append({"owners": owners, "way": way, "median": own,
                                "beside_set": ratio, "rounds": rounds[way]})
    write_json(args.json, results)


if __name__ == "__main__":
    main()
