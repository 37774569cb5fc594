#!/usr/bin/env python3
"""What a GET costs whose value is on the device alone: `./dev bench cold_get`.

The data is ten times as large as the memory that the server may use: a control group's limit where
one can be made (cgroup v2, root), else --memory alone; segments are read with direct I/O, so the
page cache does not help in either case. One connection asks for keys at random, one at a time.
In turn with it the same device is read directly, 4 KiB at random places of the same files.

The server has one core, on the first CPU. The client is left to the scheduler, as the two take
turns: it finds them one CPU as a rule. `--client-cpu` pins it to another; then a wake-up between
CPUs is part of each answer, on a virtual machine some 25 us each way: look at PING. With
`--cores 2` half of the GETs hop to the other core and back.

Goals: at most one read of the device per GET; p50 at most twice the device's own.
"""

import argparse
import mmap
import os
import random
import socket
import statistics
import time

from _servers import Servers, add_dir_option, cpus, fail, say, write_json

MEBIBYTE = 1 << 20
KEY_BYTES = 16
RECORD_HEADER_BYTES = 40
READ_BYTES = 4096
# Of the memory, for what the server is without any key.
BASE_BYTES = 48 * MEBIBYTE
GOAL_READS = 1.0
GOAL_RATIO = 2.0


class ControlGroup:
    """A cgroup v2 with a memory limit; `path` is None where none can be made."""

    def __init__(self, limit_bytes):
        self.path = f"/sys/fs/cgroup/pakv-cold-get-{os.getpid()}"
        try:
            os.mkdir(self.path)
            self.write("memory.max", limit_bytes)
            self.write("memory.swap.max", 0)
        except OSError:
            self.close()

    def write(self, name, value):
        with open(os.path.join(self.path, name), "w", encoding="ascii") as file:
            file.write(str(value))

    def add(self, process):
        """All its threads; what it has so far stays where it was counted."""
        self.write("cgroup.procs", process.pid)

    def close(self):
        if self.path is not None and os.path.isdir(self.path):
            try:
                os.rmdir(self.path)
            except OSError:
                pass
        self.path = None


def percentile(sorted_values, part):
    return sorted_values[min(len(sorted_values) - 1, int(len(sorted_values) * part))]


def device_reads(path):
    """Reads that the device under `path` has completed, None where it does not tell."""
    device = os.stat(path).st_dev
    name = f"/sys/dev/block/{os.major(device)}:{os.minor(device)}/stat"
    try:
        with open(name, encoding="ascii") as stat:
            return int(stat.read().split()[0])
    except (OSError, IndexError):
        return None


def process_read_bytes(pid):
    with open(f"/proc/{pid}/io", encoding="ascii") as file:
        for line in file:
            if line.startswith("read_bytes:"):
                return int(line.split()[1])
    return 0


class DeviceReader:
    """4 KiB at random places of the files that are there at the start."""

    def __init__(self, directory):
        self.files = []
        for name in sorted(os.listdir(directory)):
            path = os.path.join(directory, name)
            if name.endswith(".seg") and os.path.getsize(path) >= READ_BYTES:
                self.files.append((os.open(path, os.O_RDONLY | os.O_DIRECT),
                                   os.path.getsize(path) // READ_BYTES))
        self.buffer = mmap.mmap(-1, READ_BYTES)

    def run(self, count, draw):
        times = []
        for _ in range(count):
            file, units = draw.choice(self.files)
            offset = draw.randrange(units) * READ_BYTES
            begin = time.perf_counter_ns()
            os.preadv(file, [self.buffer], offset)
            times.append((time.perf_counter_ns() - begin) / 1000)
        return times

    def close(self):
        for file, _ in self.files:
            os.close(file)


class Client:
    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, request, length):
        """Microseconds until `length` bytes of answer were there."""
        begin = time.perf_counter_ns()
        self.socket.sendall(request)
        got = 0
        while got < length:
            part = self.socket.recv(length - got)
            if not part:
                fail("the server closed the connection")
            got += len(part)
        return (time.perf_counter_ns() - begin) / 1000

    def counters(self):
        self.socket.sendall(b"INFO all\r\n")
        text = b""
        while b"\r\n" not in text:
            text += self.socket.recv(1 << 16)
        head, _, text = text.partition(b"\r\n")
        while len(text) < int(head[1:]) + 2:
            text += self.socket.recv(1 << 16)
        return dict(line.split(":", 1) for line in text.decode().splitlines() if ":" in line)


def preload(port, keys, value_bytes):
    value = b"x" * value_bytes
    with socket.create_connection(("127.0.0.1", port)) as connection:
        for begin in range(0, keys, 500):
            end = min(begin + 500, keys)
            connection.sendall(b"".join(
                b"*3\r\n$3\r\nSET\r\n$16\r\nkey:%012d\r\n$%d\r\n%s\r\n" % (i, value_bytes, value)
                for i in range(begin, end)))
            expected = len(b"+OK\r\n") * (end - begin)
            while expected > 0:
                got = connection.recv(expected)
                if not got:
                    fail("the server closed the connection while it was loaded")
                if b"-" in got:
                    refusal = got[got.index(b"-"):].split(b"\r\n")[0]
                    fail(f"the preload was refused: {refusal.decode()}")
                expected -= len(got)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pakvd", default="build/bin/pakvd")
    parser.add_argument("--cores", type=int, default=1)
    add_dir_option(parser)
    parser.add_argument("--client-cpu", action="store_true",
                        help="the client has the second CPU to itself")
    parser.add_argument("--keys", type=int, default=3_000_000)
    parser.add_argument("--value-bytes", type=int, default=1000)
    parser.add_argument("--gets", type=int, default=20_000, help="in all rounds")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--memory-mib", type=int, default=0, help="default: a tenth of the data")
    parser.add_argument("--json", default="build/cold_get.json")
    args = parser.parse_args()

    data_bytes = args.keys * (KEY_BYTES + RECORD_HEADER_BYTES + args.value_bytes)
    memory = max(data_bytes // 10, BASE_BYTES)
    if args.memory_mib != 0:
        memory = args.memory_mib << 20
    group = ControlGroup(memory)
    draw = random.Random(1)
    try:
        with Servers(args.dir, "cold-get") as servers:
            server_cpu, client_cpu = cpus()
            server_cpus = (server_cpu,) if args.cores == 1 else (server_cpu, client_cpu)
            server = servers.pakvd("pakvd", args.pakvd, args.cores, server_cpus,
                                   ["--cache", "0", "--memory", str(memory)])
            if group.path is not None:
                group.add(server.process)
            if args.client_cpu:
                os.sched_setaffinity(0, {client_cpu})
            preload(server.port, args.keys, args.value_bytes)
            client = Client(server.port)
            data = os.path.join(server.directory, "data")
            device = DeviceReader(data)
            answer_bytes = len(f"${args.value_bytes}\r\n\r\n") + args.value_bytes
            per_round = max(1, args.gets // args.rounds)
            gets, reads, pings = [], [], []
            medians = []
            bytes_read = blocks = 0
            before = client.counters()
            for _ in range(args.rounds):
                pings += [client.ask(b"PING\r\n", len(b"+PONG\r\n")) for _ in range(per_round // 4)]
                read_before, blocks_before = process_read_bytes(server.process.pid), \
                    device_reads(data)
                some = [client.ask(b"*2\r\n$3\r\nGET\r\n$16\r\nkey:%012d\r\n"
                                   % draw.randrange(args.keys), answer_bytes)
                        for _ in range(per_round)]
                bytes_read += process_read_bytes(server.process.pid) - read_before
                if blocks_before is not None:
                    blocks += device_reads(data) - blocks_before
                own = device.run(per_round, draw)
                medians.append((statistics.median(some), statistics.median(own)))
                gets += some
                reads += own
            after = client.counters()
            device.close()
    finally:
        limited = group.path is not None
        group.close()

    count = len(gets)
    from_device = int(after["pakv_read_device"]) - int(before["pakv_read_device"])
    from_memory = int(after["pakv_read_hits"]) - int(before["pakv_read_hits"])
    gets.sort()
    reads.sort()
    pings.sort()
    ratio = statistics.median(get / own for get, own in medians)
    say(f"{count} GETs of {args.value_bytes} B out of {data_bytes >> 20} MiB with "
        f"{memory >> 20} MiB of memory ({'a control group' if limited else '--memory alone'})")
    say(f"{'':14}{'p50':>8}{'p90':>8}{'p99':>8}  us")
    for name, times in (("GET", gets), ("device 4 KiB", reads), ("PING", pings)):
        say(f"{name:14}" + "".join(f"{percentile(times, part):8.0f}" for part in (0.5, 0.9, 0.99)))
    blocks_per_get = blocks / count
    say(f"p50 / device's: {ratio:.2f}, goal {GOAL_RATIO:.0f}; per GET: {from_device / count:.3f} "
        f"records from the device, {blocks_per_get:.2f} reads of the device (others' too), "
        f"{bytes_read / count:.0f} bytes; goal {GOAL_READS:.0f} read")
    results = {
        "cores": args.cores,
        "keys": args.keys, "value_bytes": args.value_bytes, "data_bytes": data_bytes,
        "memory_bytes": memory, "control_group": limited, "gets": count,
        "records_from_device_per_get": from_device / count,
        "records_from_memory_per_get": from_memory / count,
        "device_reads_per_get": blocks_per_get, "read_bytes_per_get": bytes_read / count,
        "p50_ratio": ratio, "goal_ratio": GOAL_RATIO, "goal_reads": GOAL_READS,
        "round_medians_us": medians,
        "holds": ratio <= GOAL_RATIO and from_device <= count,
    }
    for name, times in (("get", gets), ("device", reads), ("ping", pings)):
        for label, part in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99)):
            results[f"{name}_{label}_us"] = percentile(times, part)
    write_json(args.json, results)


if __name__ == "__main__":
    main()
