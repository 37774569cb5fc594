#!/usr/bin/env python3
"""What starts, stops, connects and cuts leave behind: nothing. And a listener on a unix socket."""

import os
import resource
import select
import socket
import struct
import subprocess
import time

import pakv

STARTS = 100
CONNECTS = 1000
CUTS = 5000
MAX_CONNECTIONS = 16
AT_ONCE = 24  # more than are served
STRETCHES_MAX = 12
RSS_GROWTH_BYTES_MAX = 1 << 20  # in the stretch that grows least


def names(directory, name_of):
    """What the entries of a directory below /proc are; those that go meanwhile are not there, nor
    are those without a name."""
    found = []
    for entry in os.listdir(directory):
        try:
            found.append(name_of(os.path.join(directory, entry)))
        except OSError:
            pass
    return sorted(name for name in found if name is not None)


IO_WORKER, EXITING = 0x10, 0x4  # PF_IO_WORKER, PF_EXITING: proc_pid_stat(5), flags


def thread_name(path):
    """None of one that the kernel has made for a ring, whatever its name is, or that ends."""
    with open(os.path.join(path, "stat"), encoding="ascii") as stat:
        name, _, rest = stat.read().partition("(")[2].rpartition(") ")
    return None if int(rest.split()[6]) & (IO_WORKER | EXITING) else name


class Footprint:
    """What a process holds on account of its clients, as /proc tells it: without the segments,
    which it makes ahead of need, the MANIFEST that lists them, and the kernel's workers of its
    rings."""

    def __init__(self, pid):
        self.descriptors = [name for name in names(f"/proc/{pid}/fd", os.readlink)
                            if ".seg" not in name and "/MANIFEST" not in name]
        self.threads = names(f"/proc/{pid}/task", thread_name)
        with open(f"/proc/{pid}/statm", encoding="ascii") as statm:
            self.rss_bytes = int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def __str__(self):
        return f"{self.descriptors} and threads {self.threads}"

    def is_like(self, other):
        return self.descriptors == other.descriptors and self.threads == other.threads


def settled(server, before=None):
    """The only connection that is left, once the server has let go of all others, and what the
    server holds then: what it held `before`, if that is given."""
    deadline = time.monotonic() + 60
    while True:
        client = server.connect()
        try:
            while True:
                while b"\r\nconnected_clients:1\r\n" not in client.call("INFO", "clients"):
                    pass
                now = Footprint(server.process.pid)
                if before is None or now.is_like(before):
                    return client, now
                pakv.check(time.monotonic() < deadline, f"{before} became {now}")
        except (pakv.ServerError, ConnectionError):
            client.close()  # it is still full (--overflow reject)


def leaves_nothing(server, work, stretches_min):
    """Stretches of `work`: none leaves a descriptor or a thread. Memory that it leaves behind grows
    in every stretch; what the process touches once, as it comes to it (buffers to receive into, an
    arena), does not: so the stretch that grows least is judged. Returns the only connection."""
    client, before = settled(server)
    grown = []
    while len(grown) < stretches_min or min(grown) > RSS_GROWTH_BYTES_MAX:
        pakv.check(len(grown) < STRETCHES_MAX, f"{before.rss_bytes} bytes are resident: {grown}")
        client.close()
        work()
        client, after = settled(server, before)
        grown.append(after.rss_bytes - before.rss_bytes)
        before = after
    return client


def a_hundred_starts_and_stops_of_one_directory(pakvd, _pakvctl, parent):
    data = os.path.join(parent, "data")
    for start in range(STARTS):
        server = pakv.Server(pakvd, data, "--admin-addr", "none", "--cores", str(1 + start % 2),
                             "--segment-size", "1MiB")
        client = server.connect()
        pakv.check(client.call("INCR", "starts") == start + 1, f"start {start} lost the last one")
        client.close()
        code = server.stop()
        pakv.check(code == 0, f"start {start}: exit {code}:\n{server.last_log}")


def a_thousand_connects_leave_nothing(pakvd, _pakvctl, parent):
    server = pakv.Server(pakvd, os.path.join(parent, "data"), "--cores", "2",
                         "--admin-addr", "none")
    try:
        for client in [server.connect() for _ in range(64)]:
            client.call("SET", "key", "x" * 1000)
            client.close()

        def connect_and_close():
            for connect in range(CONNECTS):
                client = server.connect()
                client.call("SET", "key", connect)
                client.close()

        leaves_nothing(server, connect_and_close, 1).close()
    finally:
        code = server.stop()
    pakv.check(code == 0, f"exit {code}:\n{server.last_log}")


def cut(connection, how):
    if how % 3 == 1:
        # Closing sends a reset.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    elif how % 3 == 2:
        try:
            connection.send(b"*3\r\n$3\r\nSET\r\n$3\r\nke")
        except ConnectionError:
            pass  # refused already
    connection.close()


def connect_and_cut(port, count):
    """`count` connections, AT_ONCE of them at a time, each cut in one of three ways."""
    open_ones = []
    for how in range(count):
        connection = socket.create_connection(("127.0.0.1", port), timeout=60)
        if how % 5 == 0:
            try:
                connection.send(pakv.encode("PING"))
            except ConnectionError:
                pass  # refused already
        open_ones.append(connection)
        if len(open_ones) == AT_ONCE:
            # Some of them have been answered, or told that there is no room, when they are cut.
            select.select(open_ones, [], [], 30)
            for connection in open_ones:
                cut(connection, how)
                how += 1
            open_ones.clear()
    for connection in open_ones:
        connection.close()


def ten_thousand_cuts(pakvd, parent, overflow):
    server = pakv.Server(pakvd, os.path.join(parent, "data"), "--cores", "2", "--admin-addr",
                         "none", "--max-connections", str(MAX_CONNECTIONS), "--overflow", overflow)
    try:
        client = leaves_nothing(server, lambda: connect_and_cut(server.port(), CUTS), 2)
        # All other places are free again.
        clients = [client, *(server.connect() for _ in range(MAX_CONNECTIONS - 1))]
        for client in clients:
            pakv.check(client.call("PING") == "PONG", "a place was lost")
        for client in clients:
            client.close()
    finally:
        code = server.stop()
    pakv.check(code == 0, f"exit {code}:\n{server.last_log}")


def ten_thousand_cuts_leave_nothing_when_others_wait(pakvd, _pakvctl, parent):
    ten_thousand_cuts(pakvd, parent, "wait")


def ten_thousand_cuts_leave_nothing_when_others_are_refused(pakvd, _pakvctl, parent):
    ten_thousand_cuts(pakvd, parent, "reject")


def ask_unix(path, *command):
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(30)
        connection.connect(path)
        connection.sendall(pakv.encode(*command))
        return connection.recv(4096)


def refused(pakvd, directory, address):
    """A start that has to end with exit code 2; what it said."""
    done = subprocess.run([pakvd, "--dir", directory, "--addr", address, "--admin-addr", "none"],
                          capture_output=True, text=True, timeout=60, check=False)
    pakv.check(done.returncode == 2 and address in done.stderr,
               f"exit {done.returncode}: {done.stderr}")
    pakv.check(not os.path.exists(directory), "a refused start left a data directory")


def a_unix_socket_is_served_and_its_file_is_cared_for(pakvd, _pakvctl, parent):
    data = os.path.join(parent, "data")
    path = pakv.socket_path(parent)
    address = "unix:" + path
    server = pakv.Server(pakvd, data, "--admin-addr", "none", "--addr", address)
    pakv.check(ask_unix(path, "SET", "key", "value") == b"+OK\r\n", "no answer")
    with open(server.port_file, encoding="ascii") as ports:
        pakv.check(f"data {address}\n" in ports.read(), "the port file does not name it")
    # A live one is another server's.
    refused(pakvd, os.path.join(parent, "other"), address)
    pakv.check(ask_unix(path, "GET", "key") == b"$5\r\nvalue\r\n", "the first server suffered")
    # A killed one leaves its file, which the next start replaces.
    server.kill()
    pakv.check(os.path.exists(path), "who removed the file?")
    server = pakv.Server(pakvd, data, "--admin-addr", "none", "--addr", address)
    pakv.check(ask_unix(path, "GET", "key") == b"$5\r\nvalue\r\n", "not served after a kill")
    code = server.stop()
    pakv.check(code == 0, f"exit {code}:\n{server.last_log}")
    pakv.check(not os.path.exists(path), "a clean stop left the file")


def a_file_that_is_no_socket_is_left_alone(pakvd, _pakvctl, parent):
    path = os.path.join(parent, "thesis.txt")
    with open(path, "w", encoding="ascii") as file:
        file.write("years of work")
    refused(pakvd, os.path.join(parent, "data"), "unix:" + path)
    with open(path, encoding="ascii") as file:
        pakv.check(file.read() == "years of work", "it was changed")


def a_unix_socket_whose_queue_is_full_is_somebodys(pakvd, _pakvctl, parent):
    path = pakv.socket_path(parent)
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(path)
        other.listen(0)
        waiting = []
        try:
            while True:
                waiting.append(socket.socket(socket.AF_UNIX))
                waiting[-1].setblocking(False)
                waiting[-1].connect(path)
        except BlockingIOError:
            pass
        refused(pakvd, os.path.join(parent, "data"), "unix:" + path)
        for connection in waiting:
            connection.close()


def write_until_refused(client, keys):
    """All that is ready is used first. Notes what was acknowledged."""
    for i in range(10_000):
        client.send("SET", f"key{i:05d}", "v" * 2000)
        reply = client.reply()
        if reply != "OK":
            return reply
        keys.append(f"key{i:05d}")
    return "nothing is refused"


def a_process_out_of_descriptors_refuses_and_resumes(pakvd, _pakvctl, parent):
    directory = os.path.join(parent, "data")
    flags = ["--admin-addr", "none", "--segment-size", "64KiB", "--cores", "1"]
    server = pakv.Server(pakvd, directory, *flags)
    try:
        client = server.connect()
        client.call("SET", "first", "1")
        # Once it has all that it makes ahead: the log's segment, a spare, its reserve of two, and
        # compaction's.
        deadline = time.monotonic() + 60
        while len([name for name in os.listdir(directory) if name.endswith(".seg")]) < 6:
            pakv.check(time.monotonic() < deadline, "no segments are made ahead")
            time.sleep(0.005)  # polls for what the server does in the background
        # What is open stays so, and nothing more can be.
        limits = resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (3, limits[1]))
        keys = []
        refused = write_until_refused(client, keys)
        pakv.check(str(refused).startswith("MISCONF out of file descriptors: "), refused)
        pakv.check(client.call("GET", keys[-1]) == b"v" * 2000, "reads suffer")
        pakv.check(client.call("DEL", keys.pop()) == 1, "deletes are refused")
        pakv.check("ulimit -n" in server.log(), f"the log does not help:\n{server.log()}")
        resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, limits)
        deadline = time.monotonic() + 60
        reply = None
        while reply != "OK":
            client.send("SET", "after", "2" * 2000)
            reply = client.reply()
            pakv.check(reply == "OK" or str(reply) == str(refused), reply)
            pakv.check(time.monotonic() < deadline, "writes do not resume")
            time.sleep(0.05)  # polls for the server's own retry
        server.kill()
        server = pakv.Server(pakvd, directory, *flags)
        client = server.connect()
        pakv.check(client.call("EXISTS", "first", "after", *keys) == len(keys) + 2,
                   "what was acknowledged is lost")
        pakv.check(server.stop() == 0, "no clean stop")
    finally:
        if server.process.poll() is None:
            server.kill()


if __name__ == "__main__":
    pakv.main([
        a_hundred_starts_and_stops_of_one_directory,
        a_thousand_connects_leave_nothing,
        ten_thousand_cuts_leave_nothing_when_others_wait,
        ten_thousand_cuts_leave_nothing_when_others_are_refused,
        a_unix_socket_is_served_and_its_file_is_cared_for,
        a_file_that_is_no_socket_is_left_alone,
        a_unix_socket_whose_queue_is_full_is_somebodys,
        a_process_out_of_descriptors_refuses_and_resumes,
    ])
