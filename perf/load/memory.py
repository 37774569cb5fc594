#!/usr/bin/env python3
"""What a key takes of memory, and whether --memory holds: `./dev bench memory`.

First without a cache: (RSS with the keys − RSS empty) / keys − key bytes, with keys of 16 B and
values of 64 B. Goal: 48 B.

Then a day in short under --memory: the keys grow to about half of it, are read and written by a
skewed draw with values of mixed sizes, a part is deleted and comes again, clients come and go. RSS
is sampled all the while; once the cache is full it has to stay within 10 % of --memory.
"""

import argparse
import os
import random
import socket
import time

from _servers import VALUE_BYTES, Servers, add_dir_option, cpus, fail, say, write_json

KEY_BYTES = 16
GOAL_BYTES_PER_KEY = 48
GOAL_PART = 0.10
VALUE_SIZES = (16, 64, 64, 64, 200, 1000, 4000, 20_000)
BATCH = 200


def resident_bytes(server):
    with open(f"/proc/{server.process.pid}/status", encoding="ascii") as status:
        for line in status:
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
    return fail("the server has gone")


def settled_bytes(server):
    """RSS once it no longer changes: footers and freed buffers take a moment."""
    before = -1
    now = resident_bytes(server)
    while before != now:
        time.sleep(1)
        before, now = now, resident_bytes(server)
    return now


class Connection:
    def __init__(self, server):
        self.socket = socket.create_connection(("127.0.0.1", server.port))
        self.input = self.socket.makefile("rb", buffering=1 << 16)

    def run(self, commands):
        """The replies' first bytes."""
        self.socket.sendall(b"".join(
            b"*%d\r\n" % len(command) + b"".join(b"$%d\r\n%s\r\n" % (len(arg), arg)
                                               for arg in command) for command in commands))
        kinds = []
        for _ in commands:
            line = self.input.readline()
            if line[:1] == b"$" and line[1:2] != b"-":
                self.input.read(int(line[1:]) + 2)
            kinds.append(line[:4])
        return kinds

    def info(self):
        self.socket.sendall(b"INFO memory\r\n")
        length = int(self.input.readline()[1:])
        text = self.input.read(length + 2).decode()
        return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)

    def close(self):
        self.input.close()
        self.socket.close()


def per_key(args, servers):
    server = servers.pakvd("pakvd", args.pakvd, args.cores, cpus(), ["--cache", "0"])
    empty = settled_bytes(server)
    server.preload(args.keys)
    full = settled_bytes(server)
    connection = Connection(server)
    index = int(connection.info()["pakv_index_bytes"])
    connection.close()
    servers.end(server)
    took = (full - empty) / args.keys - KEY_BYTES
    say(f"{args.keys} keys of {KEY_BYTES} + {VALUE_BYTES} B: RSS {empty >> 20} -> "
        f"{full >> 20} MiB, {took:.1f} B per key beside the key's own (index: "
        f"{index / args.keys - KEY_BYTES:.1f}), goal {GOAL_BYTES_PER_KEY}")
    return {"keys": args.keys, "rss_empty_bytes": empty, "rss_bytes": full, "index_bytes": index,
            "bytes_per_key": took, "goal_bytes_per_key": GOAL_BYTES_PER_KEY,
            "holds": took <= GOAL_BYTES_PER_KEY}


def day(args, servers):
    """Grow, then a skewed mix with waves of deletes and of connections."""
    memory = args.memory_mib << 20
    server = servers.pakvd("pakvd", args.pakvd, args.cores, cpus(),
                           ["--memory", f"{args.memory_mib}MiB"])
    draw = random.Random(1)
    keys = args.day_keys
    connections = [Connection(server) for _ in range(4)]
    refused = 0

    def one_set(number):
        return (b"SET", b"key:%012d" % number, b"x" * draw.choice(VALUE_SIZES))

    for begin in range(0, keys, BATCH):
        kinds = connections[0].run([one_set(i) for i in range(begin, min(begin + BATCH, keys))])
        refused += sum(kind == b"-OOM" for kind in kinds)
    samples = []
    begin = time.monotonic()
    wave = 0
    while time.monotonic() - begin < args.seconds:
        commands = []
        for _ in range(BATCH):
            number = int(keys * draw.random() ** 4)  # most of the draws fall on few keys
            commands.append((b"GET", b"key:%012d" % number) if draw.random() < 0.8
                            else one_set(number))
        kinds = draw.choice(connections).run(commands)
        refused += sum(kind == b"-OOM" for kind in kinds)
        wave += 1
        if wave % 50 == 0:
            at = draw.randrange(max(1, keys - BATCH))
            span = range(at, min(at + BATCH, keys))
            connections[1].run([(b"DEL", b"key:%012d" % i) for i in span])
            connections[2].run([one_set(i) for i in span])
        if wave % 100 == 0:
            connections.pop(0).close()
            connections.append(Connection(server))
            samples.append(resident_bytes(server))
    told = connections[0].info()
    samples.append(resident_bytes(server))
    cap = int(told["pakv_cache_cap_bytes"])
    counted = int(told["used_memory"])
    for connection in connections:
        connection.close()
    servers.end(server)
    late = samples[len(samples) // 2:]
    # As long as the cache is not full there is nothing to hold.
    cache_is_full = counted > memory * 0.9
    worst = max(abs(rss / memory - 1) for rss in late)
    say(f"--memory {args.memory_mib} MiB: counted {counted >> 20}, RSS {min(late) >> 20} to "
        f"{max(late) >> 20} MiB in the second half, {worst * 100:.1f} % off, goal "
        f"{GOAL_PART * 100:.0f} %" + ("" if cache_is_full else " (the cache was not full)"))
    return {"memory_bytes": memory, "counted_bytes": counted, "cache_cap_bytes": cap,
            "rss_bytes": samples, "refused": refused, "worst_part": worst, "goal_part": GOAL_PART,
            "cache_was_full": cache_is_full, "holds": worst <= GOAL_PART or not cache_is_full}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pakvd", default="build/bin/pakvd")
    parser.add_argument("--cores", type=int, default=2)
    add_dir_option(parser)
    parser.add_argument("--keys", type=int, default=5_000_000)
    parser.add_argument("--memory-mib", type=int, default=512)
    parser.add_argument("--day-keys", type=int, default=2_000_000)
    parser.add_argument("--seconds", type=float, default=300, help="of the day")
    parser.add_argument("--json", default="build/memory.json")
    args = parser.parse_args()
    with Servers(args.dir, "memory") as servers:
        results = {"per_key": per_key(args, servers), "day": day(args, servers)}
    write_json(args.json, {"cores": args.cores, **results})


if __name__ == "__main__":
    main()
