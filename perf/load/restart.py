#!/usr/bin/env python3
"""How long a start takes: `./dev bench restart`.

A store is filled, then started again and again: after kill -9, after a clean stop, and after one
whose footers were spoiled, so that every segment is read whole. Counted is
the time from exec to the port file, which is written when recovery is done and clients are served.
The page cache does not matter to segments, which are read with direct I/O.

Goals, 5 M keys of 16 B + 64 B on two cores: 2 s after a clean stop, 3 s after kill -9, 10 s without
footers.
"""

import argparse
import os
import shutil
import signal
import statistics
import subprocess
import sys
import time

from _servers import Server, add_dir_option, fail, make_data_directory, say, write_json

SECTOR_BYTES = 512
GOALS_S = {"clean stop": 2.0, "kill -9": 3.0, "without footers": 10.0}


class Store:
    def __init__(self, args, directory):
        self.args = args
        self.directory = directory
        self.port_file = os.path.join(directory, "port")
        self.starts = 0

    def start(self, *flags):
        """(server, seconds until it served)."""
        if os.path.exists(self.port_file):
            os.remove(self.port_file)
        command = [self.args.pakvd, "--addr", "127.0.0.1:0", "--admin-addr", "none", "--cores",
                   str(self.args.cores), "--dir", os.path.join(self.directory, "data"),
                   "--port-file", self.port_file, *flags, *self.args.pakvd_flags]
        begin = time.monotonic()
        log = open(os.path.join(self.directory, "log"), "ab")
        process = subprocess.Popen(command, stdout=log, stderr=log)
        while not os.path.exists(self.port_file):
            if process.poll() is not None or time.monotonic() - begin > 300:
                process.kill()
                with open(log.name, encoding="utf-8", errors="replace") as text:
                    fail(f"pakvd did not start:\n{text.read()[-2000:]}")
            time.sleep(0.002)
        seconds = time.monotonic() - begin
        log.close()
        with open(self.port_file, encoding="ascii") as text:
            port = int(text.readline().rpartition(":")[2])
        return Running(process, port), seconds


    def spoil_footers(self):
        """No start believes them any more: each segment is read whole."""
        data = os.path.join(self.directory, "data")
        for name in os.listdir(data):
            if not name.endswith(".seg"):
                continue
            with open(os.path.join(data, name), "r+b") as segment:
                if segment.seek(0, os.SEEK_END) < SECTOR_BYTES:
                    continue
                segment.seek(-SECTOR_BYTES, os.SEEK_END)
                if segment.read(8)[4:] != b"PAKF":
                    continue
                segment.seek(-SECTOR_BYTES, os.SEEK_END)
                segment.write(bytes(SECTOR_BYTES))


class Running:
    """A server that serves; its preload is that of the other benchmarks."""

    preload = Server.preload
    name = "pakvd"

    def __init__(self, process, port):
        self.process = process
        self.port = port

    def peak_bytes(self):
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as status:
            for line in status:
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024
        return 0

    def cpu_seconds(self):
        return Server.cpu_seconds(self)

    def end(self, number):
        self.process.send_signal(number)
        if self.process.wait(120) != 0 and number != signal.SIGKILL:
            fail("pakvd did not stop well")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pakvd", default="build/bin/pakvd")
    parser.add_argument("--cores", type=int, default=2)
    add_dir_option(parser)
    parser.add_argument("--keys", type=int, default=5_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", default="build/restart.json")
    parser.add_argument("pakvd_flags", nargs="*", help="further flags of pakvd, behind --")
    args = parser.parse_args()

    results = {}
    directory = make_data_directory(args.dir, "restart")
    try:
        store = Store(args, directory)
        server, _ = store.start()
        begin = time.monotonic()
        server.preload(args.keys)
        say(f"{args.keys} keys set in {time.monotonic() - begin:.1f} s")
        server.end(signal.SIGKILL)

        def measure(name, before):
            seconds, peaks, cpu = [], [], []
            for _ in range(args.rounds):
                before()
                running, took = store.start()
                seconds.append(took)
                peaks.append(running.peak_bytes())
                cpu.append(running.cpu_seconds())
                store.running = running
            results[name] = {
                "seconds": seconds,
                "median_seconds": statistics.median(seconds),
                "median_cpu_seconds": statistics.median(cpu),
                "peak_bytes": max(peaks),
                "goal_seconds": GOALS_S[name],
            }
            say(f"{name}: {statistics.median(seconds):.2f} s "
                f"({', '.join(f'{s:.2f}' for s in seconds)}), CPU {statistics.median(cpu):.2f} s, "
                f"peak {max(peaks) >> 20} MiB, goal {GOALS_S[name]:.0f} s")

        store.running = None

        def stop_with(number):
            def stop():
                if store.running is not None:
                    store.running.end(number)
                store.running = None
            return stop

        measure("kill -9", stop_with(signal.SIGKILL))
        store.running.end(signal.SIGTERM)
        store.running = None
        measure("clean stop", stop_with(signal.SIGTERM))

        def spoil():
            stop_with(signal.SIGTERM)()
            store.spoil_footers()

        measure("without footers", spoil)
        store.running.end(signal.SIGKILL)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    write_json(args.json, {"keys": args.keys, "cores": args.cores, "results": results})


if __name__ == "__main__":
    main()
