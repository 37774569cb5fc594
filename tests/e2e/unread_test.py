#!/usr/bin/env python3
"""Clients that ask for far more than they send, and do not read: what the process really takes
stays within what docs/commands.md says, and others are served meanwhile."""

import socket

import pakv

MEBIBYTE = 1 << 20
VALUE = b"v" * 100_000
CLIENTS = 4


def resident(client):
    text = client.call("INFO", "memory").decode()
    lines = [line for line in text.splitlines() if line.startswith("used_memory_rss:")]
    return int(lines[0].partition(":")[2])


class Deaf:
    """A connection that is written to and never read from, with little room in the kernel."""

    def __init__(self, port):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.settimeout(60)
        self.socket.connect(("127.0.0.1", port))

    def send(self, data):
        self.socket.settimeout(2)
        try:
            self.socket.sendall(data)
        except TimeoutError:
            pass  # the server does not read from who does not read
        self.socket.settimeout(60)

    def close(self):
        self.socket.close()


def transaction(count):
    return pakv.encode("MULTI") + pakv.encode("GET", "k0") * count + pakv.encode("EXEC")


# What clients send; how much the server may hold for each, in MiB. Twice, as buffers double.
FAMILIES = {
    "GET": (pakv.encode("GET", "k0") * 2000, 2 * 4),
    "MGET of one key": (pakv.encode("MGET", *["k0"] * 5000), 2 * 4),
    "MGET of many keys": (pakv.encode("MGET", *[f"k{i % 100}" for i in range(5000)]), 2 * 4 + 10),
    "EXEC": (transaction(500), 2 * 4 + 50),
    "SCAN": (pakv.encode("SCAN", "0", "MATCH", "x*", "COUNT", "10000") * 20, 2 * 4),
    "COMMAND": (pakv.encode("COMMAND") * 500, 2 * 4),
    "COMMAND INFO": (pakv.encode("COMMAND", "INFO", *["client"] * 1000) * 20, 2 * 6),
}


def check_others(client, name):
    pakv.check(client.call("PING") == "PONG", name)
    pakv.check(client.call("GET", "k1") == VALUE, name)
    pakv.check(client.call("MGET", "k1", "nosuch", "k2") == [VALUE, None, VALUE], name)
    replies = client.pipeline([("MULTI",), ("GET", "k1"), ("INCR", "n"), ("EXEC",)])
    pakv.check(replies[3][0] == VALUE, f"{name}: {replies}")


def unread_replies_are_bounded(pakvd, _pakvctl, parent):
    for cores in (1, 2):
        flags = ["--cores", str(cores), "--admin-addr", "none", "--memory", "1GiB"]
        server = pakv.Server(pakvd, f"{parent}/data{cores}", *flags)
        try:
            client = server.connect()
            for i in range(100):
                pakv.check(client.call("SET", f"k{i}", VALUE) == "OK", "SET")
            for i in range(0, 500, 50):
                keys = [b"x%d" % j + b"k" * 60_000 for j in range(i, i + 50)]
                client.pipeline([("SET", key, "v") for key in keys])
            for name, (request, mebibytes) in FAMILIES.items():
                before = resident(client)
                deaf = [Deaf(server.port()) for _ in range(CLIENTS)]
                for one in deaf:
                    one.send(request)
                for _ in range(20):
                    check_others(client, name)
                grown = resident(client) - before
                allowed = CLIENTS * mebibytes * MEBIBYTE + 32 * MEBIBYTE
                pakv.check(grown <= allowed,
                           f"{cores} cores: {name} of {CLIENTS} clients holds {grown} bytes, "
                           f"{allowed} are allowed")
                for one in deaf:
                    one.close()
            pakv.check(server.stop() == 0, "no clean stop")
        finally:
            if server.process.poll() is None:
                server.kill()


def what_is_too_much_is_refused_whole(pakvd, _pakvctl, parent):
    server = pakv.Server(pakvd, f"{parent}/data", "--cores", "2", "--admin-addr", "none")
    try:
        client = server.connect()
        client.call("SET", "k0", VALUE)
        client.send_raw(pakv.encode("MULTI") + pakv.encode("SET", "a", "1") + transaction(700)[15:])
        replies = [client.reply() for _ in range(703)]
        pakv.check(str(replies[-1]).startswith("ERR too many keys or bytes"), replies[-1])
        pakv.check(client.call("EXISTS", "a") == 0, "a part of it was done")
        client.send("COMMAND", "DOCS", *["client"] * 100_000)
        reply = str(client.reply())
        pakv.check(reply.startswith("ERR at most 1024 commands"), reply)
        pakv.check(server.stop() == 0, "no clean stop")
    finally:
        if server.process.poll() is None:
            server.kill()


def many_large_reads_at_once_are_bounded(pakvd, _pakvctl, parent):
    """Of whom small replies were expected: all are under way before one has come."""
    keys, clients, room = 32, 8, 64  # MiB: a quarter of --memory, all cores together
    small = pakv.encode("GET", "small0") + pakv.encode("GET", "small1")
    for cores in (1, 2):
        server = pakv.Server(pakvd, f"{parent}/data{cores}", "--cores", str(cores),
                             "--admin-addr", "none", "--memory", "256MiB")
        try:
            client = server.connect()
            values = [bytes([ord("a") + i % 26]) * MEBIBYTE for i in range(keys)]
            for i, value in enumerate(values):
                pakv.check(client.call("SET", f"large{i}", value) == "OK", "SET")
            client.pipeline([("SET", f"small{i}", "v") for i in range(2)])
            for i, value in enumerate(values):
                pakv.check(client.call("GET", f"large{i}") == value, "GET")
            before = resident(client)
            gets = b"".join(pakv.encode("GET", f"large{i % keys}") for i in range(1024))
            deaf = [Deaf(server.port()) for _ in range(clients)]
            for one in deaf:
                for _ in range(60):
                    one.send(small)
                    received = 0
                    while received < 14:
                        received += len(one.socket.recv(14 - received))
                one.send(gets)
            for i in range(keys):
                pakv.check(client.call("GET", f"large{i}") == values[i], "GET of others")
                pakv.check(client.call("GET", "small0") == b"v", "GET of others")
            # Buffers of reads from the device; output that grows by doubling, sent and behind that.
            allowed = (room + cores * 64 + clients * 2 * 5 + 32) * MEBIBYTE
            grown = resident(client) - before
            pakv.check(grown <= allowed, f"{cores} cores: {grown} bytes held, {allowed} allowed")
            for one in deaf:
                one.close()
            # Who reads gets all of them.
            other = server.connect()
            other.pipeline([("GET", "small0"), ("GET", "small1")] * 60)
            replies = other.pipeline([("GET", f"large{i % keys}") for i in range(300)])
            for i, reply in enumerate(replies):
                pakv.check(reply == values[i % keys], f"reply {i} is {str(reply)[:60]}")
            pakv.check(server.stop() == 0, "no clean stop")
        finally:
            if server.process.poll() is None:
                server.kill()


if __name__ == "__main__":
    pakv.main([unread_replies_are_bounded, many_large_reads_at_once_are_bounded,
               what_is_too_much_is_refused_whole])
