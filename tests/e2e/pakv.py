"""What the end-to-end tests share: a server process, and a small RESP client on a plain socket."""

import os
import resource
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time


class Failure(Exception):
    """A demand that was not met; its text says which."""


def check(condition, text):
    if not condition:
        raise Failure(text)


def limit_file_bytes(bytes_max, pid=0):
    """As long as a file of the process may become (ulimit -Sf)."""
    hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)[1]
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (bytes_max, hard))


def tree(directory):
    """All that lies below it, by path: the bytes of files, None for folders."""
    found = {}
    for folder, folders, files in os.walk(directory):
        for name in folders:
            found[os.path.relpath(os.path.join(folder, name), directory)] = None
        for name in files:
            path = os.path.join(folder, name)
            with open(path, "rb") as file:
                found[os.path.relpath(path, directory)] = file.read()
    return found


def socket_path(parent):
    """Of a unix socket in `parent`. An address holds 107 bytes of it: so it is relative, or a deep
    folder would be too long."""
    return os.path.relpath(os.path.join(parent, "socket"))


class Block:
    """A block of a segment, as docs/format.md has it."""

    def __init__(self, data, offset):
        (self.run, self.log, _, self.offset, self.bytes, self.sequence, self.durable, _, _, _,
         self.records, _) = struct.unpack_from("<QIIIIQQQIIII", data, offset + 8)
        check(self.offset == offset, f"a block of {self.offset} lies at {offset}")


def blocks(data):
    """Those of a segment's file, up to where it is zero, or has its footer."""
    found, offset = [], 0
    while data[offset + 4:offset + 8] == b"PAKB":
        found.append(Block(data, offset))
        offset += found[-1].bytes
    return found


def written_segments(directory):
    """The bytes of those that have blocks, by name."""
    found = {}
    for name in sorted(name for name in os.listdir(directory) if name.endswith(".seg")):
        try:
            with open(os.path.join(directory, name), "rb") as file:
                data = file.read()
        except FileNotFoundError:
            continue  # compaction has removed it meanwhile
        if blocks(data):
            found[name] = data
    return found


def await_logs_at_rest(directory):
    """Until each log of a server that nobody writes to says on disk, by the mark behind its last
    block, that all before the mark is durable."""
    deadline = time.monotonic() + 60
    while True:
        newest = {}
        for data in written_segments(directory).values():
            last = blocks(data)[-1]
            newest[last.log] = last
        if newest and all(last.records == 0 and last.durable == last.sequence - 1
                          for last in newest.values()):
            return
        check(time.monotonic() < deadline, "a log has written no mark")
        time.sleep(0.005)  # what another process writes is the event; there is no other


def await_greeted(client, count):
    """Until `count` connections of the pakv protocol (resp=0 in a list of all) have been answered
    their greeting. One that is listed has sent it; to be listed again takes a later pass of its
    core, and the answer left with the pass before."""
    looks = 0
    deadline = time.monotonic() + 60
    while looks < 2:
        listed = client.call("CLIENT", "LIST").count(b" resp=0 ")
        looks = looks + 1 if listed == count else 0
        check(time.monotonic() < deadline, f"{listed} of {count} are connected")


class Server:
    """pakvd on ports of its own choice. `directory` is the data directory. `file_limit`: as many
    descriptors it may open, and cannot raise that (ulimit -Hn). `file_bytes_max`: so long its files
    may become (ulimit -Sf), its log among them."""

    running = set()  # of those that a test has started, what main() ends behind it

    def __init__(self, binary, directory, *flags, wait=True, environment=None, file_limit=None,
                 file_bytes_max=None):
        self.directory = directory
        self.scratch = tempfile.mkdtemp(prefix="pakv-e2e-")
        self.port_file = os.path.join(self.scratch, "ports")
        self.log_path = os.path.join(self.scratch, "log")
        command = [binary, "--addr", "127.0.0.1:0", "--dir", directory,
                   "--port-file", self.port_file, *flags]
        def limit_files():
            if file_limit is not None:
                resource.setrlimit(resource.RLIMIT_NOFILE, (file_limit, file_limit))
            if file_bytes_max is not None:
                limit_file_bytes(file_bytes_max)

        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=environment,
                                            preexec_fn=limit_files)
        Server.running.add(self)
        self.ports = {}
        if wait:
            self.wait_until_ready()

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as log:
            return log.read()

    def wait_until_ready(self, seconds=60):
        deadline = time.monotonic() + seconds
        while not os.path.exists(self.port_file):
            code = self.process.poll()
            check(code is None, f"pakvd ended with {code} at its start:\n{self.log()}")
            check(time.monotonic() < deadline, f"pakvd is not ready:\n{self.log()}")
            time.sleep(0.005)  # the file's appearance is the event; there is no other
        with open(self.port_file, encoding="ascii") as ports:
            for line in ports:
                name, address = line.split()
                self.ports.setdefault(name, address)

    def port(self, name="data"):
        return int(self.ports[name].rpartition(":")[2])

    def connect(self, timeout=60):
        return Client(self.port(), timeout)

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.forget()

    def stop(self, seconds=60):
        """A graceful stop; returns the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.wait(seconds)

    def wait(self, seconds=60):
        code = self.process.wait(seconds)
        self.last_log = self.log()
        self.forget()
        return code

    def forget(self):
        shutil.rmtree(self.scratch, ignore_errors=True)
        Server.running.discard(self)


def memory_peak(pid):
    """The most bytes of memory that a process has had; 0 once it has ended."""
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        lines = [line for line in status if line.startswith("VmHWM:")]
    return int(lines[0].split()[1]) << 10 if lines else 0


class ServerError(Exception):
    """An error reply."""


def encode(*args):
    parts = [b"*%d\r\n" % len(args)]
    for arg in args:
        data = arg if isinstance(arg, bytes) else str(arg).encode()
        parts.append(b"$%d\r\n%s\r\n" % (len(data), data))
    return b"".join(parts)


class Client:
    """One connection. Replies: bytes, int, None, list, str (simple), ServerError (as a value)."""

    def __init__(self, port, timeout=60):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""

    def close(self):
        self.socket.close()

    def send(self, *args):
        self.socket.sendall(encode(*args))

    def send_raw(self, data):
        self.socket.sendall(data)

    def call(self, *args):
        self.send(*args)
        reply = self.reply()
        if isinstance(reply, ServerError):
            raise reply
        return reply

    def pipeline(self, commands):
        self.socket.sendall(b"".join(encode(*command) for command in commands))
        return [self.reply() for _ in commands]

    def more(self):
        data = self.socket.recv(1 << 16)
        if not data:
            raise ConnectionError("closed by the server")
        self.buffer += data

    def line(self):
        while b"\r\n" not in self.buffer:
            self.more()
        line, _, self.buffer = self.buffer.partition(b"\r\n")
        return line

    def reply(self):
        line = self.line()
        kind, rest = line[:1], line[1:]
        if kind == b"+":
            return rest.decode()
        if kind == b"-":
            return ServerError(rest.decode())
        if kind == b":":
            return int(rest)
        if kind == b"_":
            return None
        if kind == b"$":
            length = int(rest)
            if length < 0:
                return None
            while len(self.buffer) < length + 2:
                self.more()
            data, self.buffer = self.buffer[:length], self.buffer[length + 2:]
            return data
        if kind in (b"*", b"~", b">"):
            return None if int(rest) < 0 else [self.reply() for _ in range(int(rest))]
        if kind == b"%":
            return {self.reply(): self.reply() for _ in range(int(rest))}
        raise Failure(f"not RESP: {line!r}")


def note(text):
    """For people who read the output: what was done."""
    print("# " + text.replace("\n", "\n# "), flush=True)


def main(tests):
    """Runs the test functions, each given the path of pakvd and of pakvctl and a directory of its
    own; what one returns is why it was skipped. Prints TAP, which meson counts case by case; the
    exit code is 0 if none failed. `PROGRAM PAKVD PAKVCTL [NAME…]`."""
    pakvd, pakvctl, wanted = sys.argv[1], sys.argv[2], sys.argv[3:]
    names = [test.__name__ for test in tests]
    for name in wanted:
        if name not in names:
            sys.exit(f"there is no test {name}: {', '.join(names)}")
    chosen = [test for test in tests if not wanted or test.__name__ in wanted]
    # Whatever a test or a program that it starts prints is no TAP: it goes to stderr.
    tap = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8", buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    failed = 0
    print(f"1..{len(chosen)}", file=tap)
    for number, test in enumerate(chosen, 1):
        name = test.__name__
        parent = tempfile.mkdtemp(prefix="pakv-e2e-", dir=os.environ.get("PAKV_E2E_DIR"))
        begin = time.monotonic()
        try:
            skipped = test(pakvd, pakvctl, parent)
            if skipped is not None:
                print(f"ok {number} {name} # SKIP {skipped}", file=tap)
            else:
                print(f"ok {number} {name}", file=tap)
                print(f"# {time.monotonic() - begin:.1f} s", file=tap)
        except Exception as error:  # pylint: disable=broad-except
            failed += 1
            print(f"not ok {number} {name}", file=tap)
            text = f"{type(error).__name__}: {error}".replace("\n", "\n# ")
            print(f"# {text}", file=tap)
        finally:
            for server in list(Server.running):
                server.kill()  # of a test that failed; or it would have a port or a lock of others
            shutil.rmtree(parent, ignore_errors=True)
    sys.exit(1 if failed else 0)
