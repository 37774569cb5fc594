"""What the load benchmarks share: servers and generators, each on its own CPU, and what a run costs
the server and the device.

The server has the first CPU that this process may use, the generator the second: neither takes
the other's time. Servers keep their data below the directory of --dir.
"""

import contextlib
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

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
VALUE_BYTES = 64
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
EXIT_SKIPPED = 77  # meson's: this machine cannot run it
EXIT_UNSUPPORTED = 4  # pakvd's and paced_load's: no io_uring here


def say(text):
    print(f"{os.path.basename(sys.argv[0]).removesuffix('.py')}: {text}", file=sys.stderr)


def fail(text, exit_code=1):
    say(text)
    sys.exit(exit_code)


# ---- The machine. ----


def cpus():
    """(the server's CPU, the generator's CPU)."""
    allowed = sorted(os.sched_getaffinity(0))
    if len(allowed) < 2:
        fail("needs two CPUs: one for the server, one for the generator", EXIT_SKIPPED)
    return allowed[0], allowed[1]


def need_tools(*names):
    for name in names:
        if shutil.which(name) is None:
            fail(f"{name} is missing", EXIT_SKIPPED)


def add_dir_option(parser):
    """--dir, as every load benchmark has it: data belongs below build/, not into the checkout."""
    parser.add_argument("--dir", default=os.path.join(ROOT, "build", "bench"),
                        help="where servers keep their data, made if missing; not on tmpfs "
                             "(default: build/bench)")


def make_data_directory(path, prefix):
    """A new directory below that of --dir. Whoever makes it removes it, also when this process is
    told to end."""
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    os.makedirs(path, exist_ok=True)
    name = subprocess.run(["stat", "-f", "-c", "%T", path], capture_output=True, text=True,
                          check=True).stdout.strip()
    if name in ("tmpfs", "ramfs"):
        fail(f"{os.path.abspath(path)} is on {name}, where nothing is durable; choose a directory "
             "on a disk with --dir", EXIT_SKIPPED)
    return tempfile.mkdtemp(prefix=f"pakv-{prefix}-", dir=os.path.abspath(path))


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


# ---- Servers. ----


class Server:
    """A server process on the given CPUs, ready when it answers PING."""

    def __init__(self, name, command, port_of, directory, on_cpus):
        self.name = name
        self.directory = directory
        self.log = open(os.path.join(directory, "log"), "wb")
        self.process = subprocess.Popen(
            ["taskset", "-c", ",".join(str(cpu) for cpu in on_cpus), *command], stdout=self.log,
            stderr=self.log, cwd=directory)
        deadline = time.monotonic() + 120
        self.port = None
        while self.port is None or not self.answers():
            ended = self.process.poll()
            if ended is not None or time.monotonic() > deadline:
                self.kill()
                with open(self.log.name, encoding="utf-8", errors="replace") as log:
                    fail(f"{name} did not start:\n{log.read()}",
                         EXIT_SKIPPED if ended == EXIT_UNSUPPORTED else 1)
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
        """Of all its threads, those that have ended too."""
        with open(f"/proc/{self.process.pid}/stat", encoding="ascii") as stat:
            fields = stat.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND

    def preload(self, keys):
        """Sets every key that a generator can draw."""
        value = b"x" * VALUE_BYTES
        with socket.create_connection(("127.0.0.1", self.port)) as connection:
            for begin in range(0, keys, 10_000):
                end = min(begin + 10_000, keys)
                batch = b"".join(
                    b"*3\r\n$3\r\nSET\r\n$16\r\nkey:%012d\r\n$%d\r\n%s\r\n"
                    % (i, VALUE_BYTES, value) for i in range(begin, end))
                connection.sendall(batch)
                expected = len(b"+OK\r\n") * (end - begin)
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
            say(f"{self.name} did not stop within 30 s of SIGTERM")
        self.kill()

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.log.close()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start_redis(name, parent, durable, on_cpus):
    directory = tempfile.mkdtemp(prefix=f"{name.replace(' ', '-')}-", dir=parent)
    port = free_port()
    command = ["redis-server", "--port", str(port), "--dir", directory, "--save", "",
               "--daemonize", "no", "--auto-aof-rewrite-percentage", "0"]
    command += (["--appendonly", "yes", "--appendfsync", "always"] if durable
                else ["--appendonly", "no"])
    return Server(name, command, lambda: port, directory, on_cpus)


def start_pakvd(name, binary, parent, cores, on_cpus, flags=()):
    directory = tempfile.mkdtemp(prefix="pakvd-", dir=parent)
    port_file = os.path.join(directory, "ports")

    def port_of():
        try:
            with open(port_file, encoding="ascii") as ports:
                for line in ports:
                    kind, address = line.split()
                    if kind == "data":
                        return int(address.rpartition(":")[2])
        except OSError:
            pass
        return None

    command = [os.path.abspath(binary), "--addr", "127.0.0.1:0", "--admin-addr", "none",
               "--cores", str(cores), "--dir", os.path.join(directory, "data"),
               "--port-file", port_file, *flags]
    return Server(name, command, port_of, directory, on_cpus)


class Servers:
    """Servers below one directory of their own, which goes when they do: `with Servers(...)`."""

    def __init__(self, path, prefix):
        self.all = []
        self.parent = make_data_directory(path, prefix)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        try:
            for server in self.all:
                server.stop()
        finally:
            shutil.rmtree(self.parent, ignore_errors=True)

    def redis(self, name, durable, on_cpus):
        self.all.append(start_redis(name, self.parent, durable, on_cpus))
        return self.all[-1]

    def pakvd(self, name, binary, cores, on_cpus, flags=()):
        self.all.append(start_pakvd(name, binary, self.parent, cores, on_cpus, flags))
        return self.all[-1]

    @contextlib.contextmanager
    def alone(self, server):
        """The others are halted meanwhile: an idle server may still have something to do, as pakvd
        compacts what was written in its turn."""
        others = [other for other in self.all if other is not server]
        try:
            for other in others:
                other.process.send_signal(signal.SIGSTOP)
            yield
        finally:
            for other in others:
                other.process.send_signal(signal.SIGCONT)

    def end(self, server):
        """Stops one before the others, and removes what it kept."""
        self.all.remove(server)
        server.stop()
        shutil.rmtree(server.directory, ignore_errors=True)


# ---- Load and results. ----


def paced_load(program, server, *flags):
    """Runs the generator against `server` on its own CPU: what it printed as JSON, with the CPU
    time of the server and the device's flushes per request."""
    command = ["taskset", "-c", str(cpus()[1]), os.path.abspath(program),
               "--addr", f"127.0.0.1:{server.port}", "--value-bytes", str(VALUE_BYTES), "--json",
               *flags]
    cpu_before = server.cpu_seconds()
    flushes_before = device_flushes(server.directory)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    cpu = server.cpu_seconds() - cpu_before
    flushes = device_flushes(server.directory)
    if done.returncode != 0:
        fail(f"paced_load against {server.name}: {done.stdout}{done.stderr}",
             EXIT_SKIPPED if done.returncode == EXIT_UNSUPPORTED else 1)
    result = json.loads(done.stdout)
    result["cpu_us_per_request"] = cpu / result["answered"] * 1e6
    result["flushes_per_request"] = (
        None if flushes is None else (flushes - flushes_before) / result["answered"])
    return result


def median_of(rounds):
    """Of each figure, the median over the rounds; what is no figure stays away."""
    return {name: statistics.median(one[name] for one in rounds)
            for name, value in rounds[0].items() if isinstance(value, (int, float))}


def write_json(path, results):
    if os.path.dirname(path):
        os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as output:
        json.dump(results, output, indent=1)
    print(f"written to {path}")
