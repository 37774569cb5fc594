#!/usr/bin/env python3
"""The same commands to pakvd and to redis-server 7: the same bytes come back.

Every command by a table of uses and misuses, then random sequences of them over few keys, both over
RESP2 and RESP3. What cannot be equal (times, ids, orders, what Redis knows and pakvd does not) is
taken out by name, below.

Long because: the table has each command with its uses and misuses, in the order that they build on.

`redis_compare_test.py --record FILE` writes what redis-server replies to the table, for
tests/net/resp/resp_replies_test.cc."""

import os
import random
import re
import shutil
import socket
import subprocess
import sys

import pakv

SEED = int(os.environ.get("PAKV_E2E_SEED", "1"))
RANDOM_COMMANDS = 4000
BIG = "9223372036854775807"
FAR = "99999999999123"  # in 5138
NEAR = "9999999999123"  # in 2286


class Redis:
    """redis-server on a port of its own."""

    def __init__(self):
        for _ in range(20):  # somebody may take the port in between
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                self.port = probe.getsockname()[1]
            self.process = subprocess.Popen(
                ["redis-server", "--port", str(self.port), "--save", ""], stdout=subprocess.PIPE)
            # What it says is the event: whoever tries to connect to a port where nobody listens yet
            # may be given that very port, and has itself at the other end.
            said = []
            while self.process.poll() is None and b"Ready to accept" not in b"".join(said[-1:]):
                said.append(self.process.stdout.readline())
            if self.process.poll() is None:
                return
            self.process.stdout.close()
        raise pakv.Failure(f"redis-server does not start: {b''.join(said).decode()}")

    def stop(self):
        self.process.terminate()
        self.process.communicate()


class RawClient(pakv.Client):
    """Replies as the bytes that came."""

    def reply(self):
        line = self.line()
        raw = line + b"\r\n"
        kind, rest = line[:1], line[1:]
        if kind in b"$=" and int(rest) >= 0:
            while len(self.buffer) < int(rest) + 2:
                self.more()
            raw += self.buffer[:int(rest) + 2]
            self.buffer = self.buffer[int(rest) + 2:]
        elif kind in b"*~>%":
            for _ in range(int(rest) * (2 if kind == b"%" else 1)):
                raw += self.reply()
        return raw

    version = "2"

    def ask(self, *args):
        self.send(*args)
        reply = self.reply()
        if reply == b"+RESET\r\n" and self.version != "2":
            self.greet(self.version)
        return reply

    def greet(self, version):
        self.version = version
        self.ask("HELLO", version)


TABLE = [
    # Connection.
    ["PING"], ["ping", "hi"], ["PING", "a", "b"], ["PING", ""], ["ECHO", "x"], ["ECHO"],
    ["ECHO", "a", "b"], ["SELECT", "0"], ["SELECT", "1x"], ["SELECT", "-1"], ["SELECT", "99"],
    ["SELECT"], ["SELECT", "99999999999999999999"], ["SELECT", "2147483648"],
    ["SELECT", "-2147483649"], ["SELECT", "00"], ["SELECT", ""], ["SELECT", "0", "1"],
    ["AUTH", "x"], ["AUTH", "default", "x"],
    ["AUTH", "nobody", "x"], ["AUTH"], ["AUTH", "a", "b", "c"], ["HELLO", "1"], ["HELLO", "4"],
    ["HELLO", "x"], ["HELLO", "2", "SETNAME"], ["HELLO", "2", "NOSUCH"],
    ["HELLO", "2", "AUTH", "nobody", "x"], ["HELLO", "2", "SETNAME", "a b"],
    ["CLIENT", "GETNAME"], ["CLIENT", "SETNAME", "me"], ["CLIENT", "GETNAME"],
    ["CLIENT", "SETNAME", "a b"], ["CLIENT", "SETNAME", "a\nb"], ["CLIENT", "GETNAME"],
    ["CLIENT", "SETNAME", ""], ["CLIENT", "GETNAME"], ["CLIENT", "SETNAME"], ["CLIENT"],
    ["CLIENT", "NOSUCH"], ["CLIENT", "ID", "x"], ["client", "getname", "x"],
    *[["CLIENT", *more.split()] for more in (
        "list type", "list type x y", "list nosuch", "list nosuch 1", "list id", "list id x",
        "list id 1 x", "list id 999999999", "list id 0 -1", "list type nosuch", "list type pubsub",
        "list TYPE master", "list type replica", "info x", "kill", "kill 127.0.0.1:1", "kill id",
        "kill id x", "kill id 0", "kill id -1", "kill id 999999999", "kill id 9223372036854775808",
        "kill addr 127.0.0.1:1", "kill laddr 127.0.0.1:1", "kill user nosuch", "kill type nosuch",
        "kill type pubsub", "kill type replica skipme no", "kill addr x skipme maybe",
        "kill addr x skipme", "kill nosuch x", "kill id 999999999 addr x laddr y type normal "
        "user default skipme yes", "reply", "reply x", "reply ON", "reply x y",
        "no-evict", "no-evict x", "no-evict on", "no-evict OFF")],
    ["CLIENT", "SETNAME", "again"], ["RESET"], ["CLIENT", "GETNAME"], ["RESET", "x"],
    ["HELLO", "2", "SETNAME", "q", "AUTH", "nobody", "x"], ["CLIENT", "GETNAME"],
    ["HELLO", "2", "SETNAME", "stays", "NOSUCH"], ["CLIENT", "GETNAME"],
    ["HELLO", "2", "AUTH", "default"], ["HELLO", "5", "SETNAME", "no"], ["CLIENT", "GETNAME"],
    ["HELLO", ""], ["HELLO", "-1"], ["HELLO", "03"], ["AUTH", ""], ["AUTH", "default", ""],
    # Unknown things.
    ["NOSUCH"], ["NOSUCH", "a", "b"], ["NOSUCH", "x" * 200, "y"], ["N" * 200], [""],
    ["NOSUCH", "a\r\nb"], ["G"], ["GETT", "a"], ["COMMAND", "NOSUCH"], ["CONFIG", "NOSUCH", "a"],
    ["CONFIG"], ["CONFIG", "GET"], ["CONFIG", "SET", "a"], ["CONFIG", "SET", "nosuch", "1"],
    ["CONFIG", "SET", "appendonly", "yes", "save"], ["CONFIG", "SET", "save", ""],
    ["CONFIG", "GET", "nosuch"], ["CONFIG", "GET", "SAVE"], ["CONFIG", "GET", "maxmemory-polic?"],
    ["CONFIG", "GET", "save", "s[a]ve", "nosuch"], ["CONFIG", "SET", "save", "", "SAVE", ""],
    ["CONFIG", "SET", "save", "", "nosuch", "1"], ["CONFIG", "SET", "SAVE", "", "timeout", "0"],
    ["CONFIG", "RESETSTAT"], ["CONFIG", "RESETSTAT", "x"], ["CONFIG", "HELP", "x"],
    ["CLIENT", "HELP", "x"],
    # COMMAND.
    ["COMMAND", "INFO", "nosuch", "get"], ["COMMAND", "COUNT", "x"],
    ["COMMAND", "GETKEYS", "get", "a"], ["COMMAND", "GETKEYS", "mset", "a", "1", "b", "2"],
    ["COMMAND", "GETKEYS", "ping", "x"], ["COMMAND", "GETKEYS", "nosuch", "x"],
    ["COMMAND", "GETKEYS", "get", "a", "b"], ["COMMAND", "GETKEYS", "del", "a", "b"],
    ["COMMAND", "GETKEYS"], ["COMMAND", "LIST", "x"], ["COMMAND", "LIST", "FILTERBY", "x", "y"],
    ["COMMAND", "LIST", "FILTERBY", "ACLCAT"], ["COMMAND", "LIST", "FILTERBY", "ACLCAT", "x"],
    ["COMMAND", "LIST", "FILTERBY", "ACLCAT", "@read"],
    ["COMMAND", "LIST", "FILTERBY", "MODULE", "x"],
    ["COMMAND", "LIST", "FILTERBY", "PATTERN", "nosuch*"],
    ["COMMAND", "INFO", "get|x"], ["COMMAND", "INFO", "client|nosuch"], ["COMMAND", "INFO", ""],
    *[["COMMAND", "INFO", name] for name in (
        "client|getname client|id client|info client|kill client|list client|no-evict "
        "client|reply client|setname command|count command|docs command|getkeys "
        "command|help command|info command|list config|get config|help CONFIG|RESETSTAT "
        "config|set").split()],
    ["COMMAND", "DOCS", "nosuch"],
    *[["COMMAND", "INFO", name] for name in (
        "append auth dbsize decr decrby del echo exists flushall flushdb get getdel getset hello "
        "incr incrby info keys mget mset msetnx ping quit randomkey reset scan select set setnx "
        "strlen time type unlink expire expireat expiretime getex persist pexpire pexpireat "
        "pexpiretime psetex pttl setex ttl").split()],
    # Strings.
    ["SET", "a", "1"], ["GET", "a"], ["GET"], ["GET", "a", "b"], ["SET", "a"], ["SET"],
    ["SET", "a", "2", "NX"], ["SET", "new", "1", "nx"], ["SET", "new2", "1", "XX"],
    ["SET", "a", "3", "xx"], ["SET", "a", "4", "GET"], ["SET", "fresh", "4", "GET"],
    ["SET", "a", "5", "NX", "GET"], ["SET", "fresh2", "5", "NX", "GET"],
    ["SET", "none", "5", "XX", "GET"], ["SET", "a", "6", "NX", "XX"],
    ["SET", "a", "6", "XX", "NX"], ["SET", "a", "6", "NX", "NX"], ["SET", "a", "6", "NOSUCH"],
    ["SET", "a", "6", "GET", "NX", "XX"], ["SET", "a", "6", "xx", "get", "XX"],
    ["SET", "a", "6", "NX", "EX"], ["SET", "a", "6", "NX "],
    ["SET", "a", "6", "GET", "GET", "XX"], ["GET", "a"], ["SET", "", "empty key"], ["GET", ""],
    ["SET", "e", ""], ["GET", "e"], ["STRLEN", "e"], ["STRLEN", "nosuch"], ["STRLEN"],
    ["SETNX", "a", "x"], ["SETNX", "b", "x"], ["SETNX", "b"], ["GETSET", "b", "y"],
    ["GETSET", "c", "y"], ["GETSET", "c"], ["GETDEL", "c"], ["GETDEL", "c"], ["GETDEL"],
    ["APPEND", "s", "abc"], ["APPEND", "s", "def"], ["APPEND", "s", ""], ["GET", "s"],
    ["APPEND", "s"], ["STRLEN", "s"], ["SET", "bin", b"\x00\r\n\xff"], ["GET", "bin"],
    ["MGET", "a", "nosuch", "b", "a"], ["MGET"], ["MSET", "m1", "1", "m2", "2"],
    ["MSET", "m1", "1", "m2"], ["MSET"], ["MSET", "d", "1", "d", "2", "d", "3"], ["GET", "d"],
    ["MGET", "m1", "m2"], ["MSETNX", "m1", "3", "m3", "3"], ["MSETNX", "m3", "3", "m4", "4"],
    ["MSETNX", "m5", "5", "m5", "6"], ["MGET", "m1", "m3", "m4", "m5"], ["MSETNX", "m3"],
    ["MSETNX", "m3", "1", "m4"], ["EXISTS", "m1", "m3", "nosuch", "m1"],
    # Numbers.
    ["INCR", "n"], ["INCR", "n"], ["DECR", "n"], ["INCRBY", "n", "10"], ["DECRBY", "n", "3"],
    ["INCRBY", "n", "-4"], ["INCRBY", "n", "x"], ["INCRBY", "n", "1.5"], ["INCRBY", "n", " 1"],
    ["INCRBY", "n", "+1"], ["INCRBY", "n", "01"], ["INCRBY", "n", ""], ["INCRBY", "n"],
    ["INCR"], ["INCR", "s"], ["INCR", "e"], ["SET", "n", BIG], ["INCR", "n"], ["DECR", "n"],
    ["SET", "n", "-" + BIG], ["DECR", "n"], ["DECR", "n"], ["GET", "n"],
    ["DECRBY", "n", "-9223372036854775808"], ["INCRBY", "n", "-9223372036854775808"],
    ["INCRBY", "n", "9223372036854775808"], ["SET", "n", "-0"], ["INCR", "n"],
    ["SET", "n", " 5"], ["INCR", "n"], ["SET", "n", "05"], ["INCR", "n"],
    ["INCRBY", "nosuch1", "0"],
    ["DECRBY", "n", "x"], ["GETSET", "n", "7"], ["INCR", "n"],
    ["COMMAND", "INFO", "incrbyfloat", "getrange", "substr", "setrange"],
    ["INCRBYFLOAT"], ["INCRBYFLOAT", "f"], ["INCRBYFLOAT", "f", "1", "2"],
    ["SET", "f", "10.5"], *[["INCRBYFLOAT", "f", by] for by in (
        "0.1", "-5.6", "5.0e3", "1e300", "-1e300", "", "x", " 1", "1 ", "1.", ".5", "+.5", "0x10",
        "0x1p-3", "1e", "nan", "-nan", "inf", "-inf", "infinity", "1e5000", "-1e5000", "1e-5000",
        "1e-4940", "1e-20", "3.0000000000000000001", "0.1", "0.2", "123456789012345678901234567890",
        "-0", "0", "1\n", b"1\x00", "1" * 30, "1" * 5000, "1" * 5200, "0." + "9" * 60)],
    ["GET", "f"], ["INCRBYFLOAT", "fnew", "-0.0"], ["INCRBYFLOAT", "fnew", "-1e-18"],
    ["SET", "f", "1e4932"], ["INCRBYFLOAT", "f", "1e4932"], ["INCRBYFLOAT", "f", "-1"],
    *[command for text in ("", "abc", " 1", "1 ", "inf", "-inf", "nan", "0x1F", "1e3", "3.00", "-0",
                           BIG) for command in (
        ["SET", "f", text], ["INCRBYFLOAT", "f", "1"], ["GET", "f"])],
    ["SET", "f", "5", "PXAT", FAR], ["INCRBYFLOAT", "f", "0.5"], ["PEXPIRETIME", "f"],
    ["INCR", "f"], ["DEL", "f", "fnew"],
    # Parts of values.
    ["SET", "r", "This is a string"], ["GETRANGE", "r"], ["GETRANGE", "r", "0"],
    *[["GETRANGE", "r", *pair.split()] for pair in (
        "0 3", "-3 -1", "0 -1", "10 100", "5 3", "-1 -5", "-100 2", "-100 -50", "16 20", "15 15",
        "0 -100", "-5 100", "3 -14", "0 0", "-1 -1", BIG + " -1", "-" + BIG + " " + BIG,
        "0 -9223372036854775808", "x 1", "1 x", "1.5 2", "01 2", "0 9223372036854775808")],
    ["GETRANGE", "e", "0", "-1"], ["GETRANGE", "nosuch", "0", "-1"], ["GETRANGE", "bin", "1", "2"],
    ["GETRANGE", "nosuch", "x", "1"], ["GETRANGE", "r", "0", "1", "2"],
    ["SUBSTR", "r", "0", "3"], ["substr", "r", "-3", "-1"], ["SUBSTR", "r", "0"],
    ["SETRANGE", "r", "10", "STRING"], ["GET", "r"], ["SETRANGE", "r", "5", ""],
    ["SETRANGE", "r", "18", b"\xff\x00"], ["GET", "r"], ["SETRANGE", "nosuch", "5", ""],
    ["EXISTS", "nosuch"], ["SETRANGE", "gap", "3", "x"], ["GET", "gap"], ["STRLEN", "gap"],
    ["SETRANGE", "r", "-1", "x"], ["SETRANGE", "r", "x", "x"], ["SETRANGE", "r", "1"],
    ["SETRANGE", "r", "-1", ""], ["SETRANGE", "r", "536870912", "x"],
    ["SETRANGE", "r", "536870911", "xy"], ["SETRANGE", "r", BIG, "x"], ["SETRANGE", "r", BIG, ""],
    ["SETRANGE", "r", "9223372036854775808", "x"], ["SETRANGE", "nosuch", "536870912", "x"],
    ["SET", "r", "12345", "PXAT", FAR], ["SETRANGE", "r", "1", "x"], ["PEXPIRETIME", "r"],
    ["SETRANGE", "r", "1", "0"], ["INCR", "r"], ["PEXPIRETIME", "r"], ["DEL", "r", "gap"],
    # Values that become another key's.
    ["COMMAND", "INFO", "rename", "renamenx", "copy", "move"],
    *[["COMMAND", "GETKEYS", *words.split()] for words in (
        "rename a b", "copy a b db 1", "move a 1", "rename a")],
    ["SET", "x", "X", "PXAT", FAR], ["SET", "y", "Y"], ["RENAME", "x", "y"], ["GET", "y"],
    ["PEXPIRETIME", "y"], ["EXISTS", "x", "y"], ["RENAME", "x", "y"], ["RENAME", "y", "y"],
    ["RENAME", "x", "x"], ["RENAME", "y", "z"], ["GET", "z"], ["RENAME", "z"], ["RENAME"],
    ["RENAME", "z", "a", "b"], ["SET", "y", "Y"], ["RENAMENX", "z", "y"], ["RENAMENX", "x", "y"],
    ["RENAMENX", "x", "x"], ["RENAMENX", "y", "y"], ["RENAMENX", "z", "x"], ["PEXPIRETIME", "x"],
    ["GET", "x"], ["EXISTS", "z"], ["RENAME", "y", ""], ["GET", ""], ["RENAME", "", "y"],
    ["COPY", "x", "y"], ["GET", "y"], ["COPY", "x", "y", "REPLACE"], ["GET", "y"],
    ["PEXPIRETIME", "y"], ["COPY", "x", "z"], ["GET", "z"], ["COPY", "x", "x"],
    ["COPY", "nosuch", "x"], ["COPY", "nosuch", "nosuch"], ["COPY", "nosuch", "x", "REPLACE"],
    *[["COPY", "x", *more.split()] for more in (
        "y foo", "y db", "y db x", "y db 16", "y db -1", "y db 2147483648", "x db 0",
        "x db 1 db 0", "y db 1", "y db 1", "y db 1 replace", "y replace db 2 REPLACE", "y db",
        "x db 1 replace replace", "y replace db 1x")],
    ["COPY", "x"], ["SELECT", "1"], ["MGET", "x", "y"], ["PEXPIRETIME", "y"], ["FLUSHDB"],
    ["SELECT", "2"], ["GET", "y"], ["FLUSHDB"], ["SELECT", "0"],
    ["MOVE", "x", "1"], ["GET", "x"], ["MOVE", "x", "1"], ["SET", "x", "again"], ["MOVE", "x", "1"],
    ["GET", "x"], *[["MOVE", "x", db] for db in ("0", "16", "-1", "x", "2147483648", "1.5")],
    ["MOVE", "nosuch", "1"], ["MOVE", "nosuch", "0"], ["MOVE", "x"], ["MOVE", "x", "1", "2"],
    ["SELECT", "1"], ["GET", "x"], ["PEXPIRETIME", "x"], ["MOVE", "x", "3"], ["DBSIZE"],
    ["SELECT", "3"], ["GET", "x"], ["FLUSHDB"], ["SELECT", "0"],
    ["SET", "x", "5"], ["RENAME", "x", "y"], ["INCR", "y"], ["DEL", "x", "y", "z"],
    ["SET", "x", "1"], ["SET", "y", "2"], ["DEL", "x", "nosuch", "x", "y"], ["UNLINK", "x", "y"],
    ["MSET", "x", "1", "y", "2"], ["unlink", "x", "nosuch", "x", "y", "y"], ["EXISTS", "x", "y"],
    # What is known of a key beside its value.
    *[["COMMAND", "INFO", name] for name in (
        "object|encoding object|freq object|idletime object|refcount object|help memory|usage "
        "memory|help wait").split()],
    *[["OBJECT", what, "nosuch"] for what in ("ENCODING", "FREQ", "IDLETIME", "REFCOUNT")],
    ["SET", "o", "hello"], ["OBJECT", "ENCODING", "o"], ["object", "refcount", "o"],
    ["OBJECT", "FREQ", "o"], ["OBJECT", "IDLETIME", "o"], ["OBJECT"], ["OBJECT", "NOSUCH", "o"],
    ["OBJECT", "ENCODING"], ["OBJECT", "ENCODING", "o", "o"], ["OBJECT", "HELP", "o"],
    *[command for text in ("1", "-1", BIG, "9223372036854775808", "01", "", "x" * 44, "x" * 45,
                           "1" * 20, "-9223372036854775808", "1.5") for command in (
        ["SET", "o", text], ["OBJECT", "ENCODING", "o"])],
    ["SELECT", "1"], ["OBJECT", "ENCODING", "o"], ["SELECT", "0"], ["DEL", "o"],
    ["MEMORY"], ["MEMORY", "NOSUCH"], ["MEMORY", "USAGE"], ["MEMORY", "USAGE", "nosuch"],
    ["SET", "o", "1"], *[["MEMORY", "USAGE", "o", *more.split()] for more in (
        "samples", "samples -1", "samples x", "nosuch", "nosuch 1", "samples 1 samples")],
    ["MEMORY", "USAGE", "nosuch", "SAMPLES", "0"], ["DEL", "o"], ["MEMORY", "HELP", "x"],
    ["COMMAND", "GETKEYS", "object", "encoding", "x"], ["COMMAND", "GETKEYS", "object", "help"],
    ["COMMAND", "GETKEYS", "memory", "usage", "x", "samples", "1"],
    ["COMMAND", "GETKEYS", "object", "nosuch", "x"], ["COMMAND", "GETKEYS", "object", "freq"],
    ["WAIT"], ["WAIT", "0"], ["WAIT", "0", "0"], ["WAIT", "-1", "0"], ["WAIT", "x", "0"],
    ["WAIT", "0", "x"], ["WAIT", "0", "-1"], ["WAIT", "x", "x"], ["WAIT", "0", BIG],
    ["WAIT", "1", "1"], ["WAIT", "0", "0", "0"],
    # Times to live: what a second of waiting does not change.
    ["SET", "t", "1", "EX", "100"], ["TTL", "t"], ["GET", "t"], ["EXISTS", "t"],
    ["SET", "t", "2"], ["TTL", "t"], ["PTTL", "t"], ["EXPIRETIME", "t"], ["PEXPIRETIME", "t"],
    *[[name, "nosuch"] for name in ("TTL", "PTTL", "EXPIRETIME", "PEXPIRETIME", "PERSIST")],
    *[[name] for name in ("TTL", "PTTL", "EXPIRETIME", "PEXPIRETIME", "PERSIST", "GETEX",
                          "EXPIRE", "PEXPIRE", "EXPIREAT", "PEXPIREAT", "SETEX", "PSETEX")],
    ["TTL", "t", "x"], ["PERSIST", "t", "x"], ["EXPIRE", "t"], ["SETEX", "t", "1"],
    ["SETEX", "t", "1", "v", "x"],
    ["SET", "t", "3", "PXAT", FAR], ["PEXPIRETIME", "t"], ["EXPIRETIME", "t"],
    ["SET", "t", "4", "EXAT", "99999999999"], ["PEXPIRETIME", "t"],
    ["SET", "t", "5", "KEEPTTL"], ["GET", "t"], ["PEXPIRETIME", "t"],
    ["SET", "t", "6", "KEEPTTL", "GET"], ["SET", "t", "6", "GET", "PXAT", FAR],
    ["PEXPIRETIME", "t"], ["SET", "t", "7", "XX", "GET", "keepttl", "KEEPTTL"],
    ["PEXPIRETIME", "t"],
    ["SET", "t", "8", "NX", "PX", "1000"], ["PEXPIRETIME", "t"], ["GET", "t"],
    ["SET", "t", "8", "NX", "GET", "PX", "1000"], ["SET", "nokey", "8", "KEEPTTL"],
    ["TTL", "nokey"], ["SET", "nokey2", "8", "XX", "EX", "10"], ["GET", "nokey2"],
    ["SET", "t", "x", "EX", "0"], ["SET", "t", "x", "EX", "-1"], ["SET", "t", "x", "PX", "0"],
    ["SET", "t", "x", "EX", "x"], ["SET", "t", "x", "EX"], ["SET", "t", "x", "PX"],
    ["SET", "t", "x", "EX", "1.5"], ["SET", "t", "x", "EX", BIG], ["SET", "t", "x", "PX", BIG],
    ["SET", "t", "x", "EXAT", BIG], ["SET", "t", "x", "EXAT", "0"], ["SET", "t", "x", "PXAT", "0"],
    ["SET", "t", "x", "PXAT", "-5"], ["SET", "t", "x", "EX", "9223372036854775"],
    ["SET", "t", "x", "EX", "9223372036854776"], ["SET", "t", "x", "EX", "10", "PX", "10"],
    ["SET", "t", "x", "EX", "10", "KEEPTTL"], ["SET", "t", "x", "KEEPTTL", "EX", "10"],
    ["SET", "t", "x", "EX", "10", "EXAT", "10"], ["SET", "t", "x", "PERSIST"],
    ["SET", "t", "x", "EX", "10", "EX", "20"], ["TTL", "t"],
    ["SET", "t", "x", "PXAT", "10", "pxat", FAR], ["PEXPIRETIME", "t"],
    ["SET", "t", "x", "EX", "10", "NX", "XX"], ["SET", "t", "x", "NX", "EX", "0"],
    ["GET", "t"], ["PEXPIRETIME", "t"], ["SET", "t", "past", "PXAT", "1000"], ["GET", "t"],
    ["SET", "t", "past", "EXAT", "1"], ["EXISTS", "t"], ["TTL", "t"],
    ["SET", "t", "past", "EXAT", "1", "GET"], ["SET", "t", "again", "NX"], ["GET", "t"],
    ["SETEX", "t", "100", "v"], ["TTL", "t"], ["GET", "t"], ["SETEX", "t", "0", "v"],
    ["SETEX", "t", "-1", "v"], ["SETEX", "t", "x", "v"], ["SETEX", "t", BIG, "v"],
    ["PSETEX", "t", "100000", "v2"], ["TTL", "t"], ["GET", "t"], ["PSETEX", "t", "0", "v"],
    ["PSETEX", "t", BIG, "v"], ["PSETEX", "t", "", "v"],
    ["PERSIST", "t"], ["PERSIST", "t"], ["TTL", "t"], ["GET", "t"],
    ["EXPIRE", "t", "100"], ["TTL", "t"], ["EXPIRE", "nosuch", "100"], ["EXPIRE", "t", "x"],
    ["EXPIRE", "nosuch", "x"], ["EXPIRE", "t", BIG], ["EXPIRE", "t", "-" + BIG],
    ["PEXPIRE", "t", BIG], ["EXPIREAT", "t", BIG], ["EXPIRE", "nosuch", BIG],
    ["PEXPIREAT", "t", FAR], ["PEXPIRETIME", "t"], ["EXPIREAT", "t", "99999999999"],
    ["EXPIRETIME", "t"], ["PEXPIRE", "t", "100000"], ["TTL", "t"],
    ["EXPIRE", "t", "200", "NX"], ["EXPIRE", "t", "200", "XX"], ["TTL", "t"],
    ["EXPIRE", "t", "100", "GT"], ["EXPIRE", "t", "300", "gt"], ["EXPIRE", "t", "400", "LT"],
    ["EXPIRE", "t", "100", "lt"], ["TTL", "t"], ["PEXPIREAT", "t", FAR],
    ["PEXPIREAT", "t", FAR, "GT"], ["PEXPIREAT", "t", FAR, "LT"], ["PERSIST", "t"],
    ["EXPIRE", "t", "100", "XX"], ["EXPIRE", "t", "100", "GT"], ["TTL", "t"],
    ["EXPIRE", "t", "100", "LT"], ["TTL", "t"], ["PERSIST", "t"], ["EXPIRE", "t", "100", "NX"],
    ["EXPIRE", "t", "300", "XX", "GT"], ["EXPIRE", "t", "200", "XX", "LT"], ["TTL", "t"],
    ["EXPIRE", "t", "100", "NX", "XX"], ["EXPIRE", "t", "100", "GT", "LT"],
    ["EXPIRE", "t", "100", "NX", "GT"], ["EXPIRE", "t", "100", "LT", "NX"],
    ["EXPIRE", "t", "100", "NOSUCH"], ["EXPIRE", "t", "x", "NOSUCH"],
    ["EXPIRE", "t", "x", "NX", "XX"],
    ["EXPIRE", "t", "100", "XX", "XX"], ["EXPIRE", "t", "100", "a\nb"],
    ["EXPIRE", "t", "100", "a\r\n"], ["EXPIREAT", "t", "1", "\r\n"],
    ["EXPIRE", "nosuch", "100", "NX"],
    ["GETEX", "t"], ["TTL", "t"], ["GETEX", "t", "EX", "500"], ["TTL", "t"],
    ["GETEX", "t", "PXAT", FAR], ["PEXPIRETIME", "t"], ["GETEX", "t", "persist"], ["TTL", "t"],
    ["GETEX", "t", "PERSIST"], ["GETEX", "t", "PX", "100000"], ["TTL", "t"],
    ["GETEX", "t", "EXAT", "99999999999"], ["EXPIRETIME", "t"],
    ["GETEX", "nosuch"], ["GETEX", "nosuch", "EX", "0"], ["GETEX", "nosuch", "EX", "x"],
    ["GETEX", "nosuch", "EX"], ["GETEX", "t", "EX", "0"], ["GETEX", "t", "EX", "x"],
    ["GETEX", "t", "EX"], ["GETEX", "t", "EX", BIG], ["GETEX", "t", "PERSIST", "EX", "1"],
    ["GETEX", "t", "EX", "1", "PERSIST"], ["GETEX", "t", "EX", "100", "EX", "200"], ["TTL", "t"],
    ["GETEX", "t", "PERSIST", "PERSIST"], ["GETEX", "t", "KEEPTTL"], ["GETEX", "t", "NX"],
    ["GETEX", "t", "PXAT", "1"], ["GET", "t"], ["GETEX", "t", "EXAT", "1"],
    ["SET", "t", "1"], ["EXPIRE", "t", "0"], ["GET", "t"], ["SET", "t", "1"],
    ["EXPIRE", "t", "-5"], ["EXISTS", "t"], ["SET", "t", "1"], ["PEXPIREAT", "t", "1"],
    ["TTL", "t"], ["SET", "t", "1"], ["EXPIREAT", "t", "0"], ["GET", "t"],
    # What keeps a time to live, and what takes it away.
    *[command for change in (
        ["INCR", "t"], ["APPEND", "t", "2"], ["GETSET", "t", "3"], ["SET", "t", "4"],
        ["SETNX", "t", "5"], ["DECRBY", "t", "6"], ["GETEX", "t"], ["GETDEL", "t"],
        ["MSET", "t", "7"], ["INCR", "s"], ["SET", "t", "8", "NX"], ["SET", "t", "9", "XX"],
        ["GET", "t"]) for command in (
            ["SET", "t", "1", "PXAT", FAR], change, ["PEXPIRETIME", "t"])],
    ["DEL", "t", "nokey"],
    # Keys.
    ["EXISTS", "a"], ["EXISTS", "a", "a", "nosuch", "b"], ["EXISTS"], ["TYPE", "a"],
    ["TYPE", "nosuch"], ["TYPE"], ["DEL", "nosuch"], ["DEL", "m1"], ["DEL", "m1", "m2", "m2"],
    ["DEL"], ["UNLINK", "b", "d"], ["UNLINK"], ["DBSIZE"], ["DBSIZE", "x"], ["KEYS"],
    ["KEYS", "*"], ["KEYS", "a"], ["KEYS", "[a-c]*"], ["KEYS", "nosuch*"], ["RANDOMKEY", "x"],
    ["SCAN"], ["SCAN", "x"], ["SCAN", "+0", "COUNT", "999"],
    ["SCAN", " 0"], ["SCAN", "", "COUNT", "999"], ["SCAN", "0x"], ["SCAN", "0", "COUNT"],
    ["SCAN", "0", "COUNT", "0"],
    ["SCAN", "0", "COUNT", "x"], ["SCAN", "0", "NOSUCH", "x"], ["SCAN", "0", "COUNT", "1000"],
    ["SCAN", "0", "COUNT", "1000", "MATCH", "?"], ["SCAN", "0", "COUNT", "1000", "TYPE", "list"],
    ["SCAN", "0", "TYPE", "string", "COUNT", "1000"], ["SCAN", "0", "MATCH"],
    ["SCAN", "0", "COUNT", "-1"], ["SCAN", "0", "TYPE"],
    ["SCAN", "0", "COUNT", "99999999999999999999"],
    ["SCAN", "0", "MATCH", "a", "MATCH", "*", "COUNT", "1000"],
    ["SCAN", "18446744073709551616"], ["FLUSHDB", "x"], ["FLUSHDB", "ASYNC", "SYNC"],
    ["FLUSHALL", "SYNC"], ["DBSIZE"], ["RANDOMKEY"], ["SET", "one", "1"], ["RANDOMKEY"],
    ["FLUSHDB", "async"], ["GET", "one"], ["KEYS", "*"], ["SCAN", "0"], ["TIME", "x"],
    ["FLUSHALL", "ASYNC", "ASYNC"], ["INFO", "nosuch"], ["INFO", "modules"], ["INFO", "cluster"],
    ["INFO", ""],
    # Databases.
    ["FLUSHALL"], ["INFO", "keyspace"], ["SET", "in0", "0"], ["SELECT", "15"], ["GET", "in0"],
    ["DBSIZE"], ["RANDOMKEY"], ["KEYS", "*"], ["SCAN", "0"], ["SET", "in15", "15"], ["DBSIZE"],
    ["RANDOMKEY"], ["KEYS", "*"], ["SCAN", "0", "COUNT", "1000"], ["EXISTS", "in0", "in15"],
    ["SELECT", "16"], ["GET", "in15"], ["SELECT", "3"], ["SET", "in15", "3"], ["DEL", "in0"],
    ["INFO", "keyspace"], ["SELECT", "15"], ["GET", "in15"], ["FLUSHDB"], ["DBSIZE"],
    ["GET", "in15"], ["INFO", "keyspace"], ["SET", "in15", "again"], ["GET", "in15"], ["RESET"],
    ["GET", "in15"], ["GET", "in0"], ["RANDOMKEY"], ["SELECT", "3"], ["GET", "in15"],
    ["FLUSHALL"], ["DBSIZE"],
    ["INFO", "keyspace"], ["SELECT", "0"], ["DBSIZE"], ["CONFIG", "GET", "databases"],
    # Transactions.
    ["EXEC"], ["DISCARD"], ["MULTI"], ["MULTI"], ["WATCH", "a"], ["PING"], ["SET", "a", "1"],
    ["INCR", "a"], ["GET", "a"], ["APPEND", "a", "x"], ["INCR", "a"], ["MGET", "a", "nosuch"],
    ["DEL", "a", "nosuch"], ["EXISTS", "a"], ["MSET", "a", "1", "b", "2"], ["MSET", "a", "1", "b"],
    ["MSETNX", "c", "3", "d", "4"], ["MSETNX", "c", "5", "e", "6"], ["SET", "a", "1", "EX", "0"],
    ["SET", "t", "v", "PXAT", FAR], ["PEXPIRETIME", "t"], ["TYPE", "a"], ["ECHO", "x"],
    ["SELECT", "2"], ["SET", "a", "in2"], ["SELECT", "x"], ["GET", "a"], ["SELECT", "0"],
    ["GETDEL", "b"], ["UNWATCH"], ["STRLEN", "a"], ["TOUCH", "a", "b", "c"], ["EXEC"],
    ["EXEC"], ["GET", "a"], ["SELECT", "2"], ["GET", "a"], ["SELECT", "0"], ["MULTI"], ["EXEC"],
    ["MULTI"], ["SET", "a", "2"], ["DISCARD"], ["GET", "a"], ["DISCARD"],
    ["MULTI"], ["NOSUCH"], ["SET", "a", "3"], ["EXEC"], ["GET", "a"],
    ["MULTI"], ["GET"], ["EXEC"], ["MULTI"], ["CLIENT", "NOSUCH"], ["EXEC"],
    ["EXEC", "x"], ["MULTI"], ["EXEC", "x"], ["EXEC"], ["MULTI"], ["SET", "a", "4"], ["RESET"],
    ["EXEC"],
    ["GET", "a"], ["WATCH"], ["WATCH", "a", "b"], ["UNWATCH"], ["UNWATCH", "x"],
    ["WATCH", "a"], ["SET", "a", "5"], ["MULTI"], ["GET", "a"], ["EXEC"],
    ["WATCH", "a"], ["MULTI"], ["GET", "a"], ["EXEC"],
    ["WATCH", "a"], ["SET", "a", "6"], ["UNWATCH"], ["MULTI"], ["GET", "a"], ["EXEC"],
    ["WATCH", "a"], ["SET", "a", "7"], ["MULTI"], ["DISCARD"], ["MULTI"], ["GET", "a"], ["EXEC"],
    ["WATCH", "new"], ["SET", "new", "1"], ["DEL", "new"], ["MULTI"], ["EXEC"],
    ["WATCH", "a"], ["FLUSHDB"], ["MULTI"], ["PING"], ["EXEC"],
    ["WATCH", "a"], ["SELECT", "2"], ["FLUSHDB"], ["SELECT", "0"], ["MULTI"], ["PING"], ["EXEC"],
    ["MULTI"], ["HELLO", "2", "SETNAME", "in"], ["DISCARD"], ["CLIENT", "GETNAME"],
    ["COMMAND", "INFO", "multi", "exec", "discard", "watch", "unwatch", "touch"],
    ["TOUCH"], ["TOUCH", "nosuch"],
    ["MULTI"], ["SET", "q", "12.5"], ["INCRBYFLOAT", "q", "0.25"], ["OBJECT", "ENCODING", "q"],
    ["GETRANGE", "q", "1", "3"], ["SETRANGE", "q", "6", "x"], ["GET", "q"],
    ["OBJECT", "ENCODING", "nosuch"], ["OBJECT", "REFCOUNT", "q"], ["MEMORY", "USAGE", "nosuch"],
    ["WAIT", "0", "0"], ["INCRBYFLOAT", "q", "1"], ["EXEC"], ["DEL", "q"],
    ["MSET", "x", "1", "y", "2"], ["MULTI"], ["RENAME", "x", "z"], ["RENAME", "x", "z"],
    ["INCR", "z"], ["COPY", "z", "x"], ["COPY", "z", "x"], ["RENAMENX", "y", "x"],
    ["RENAMENX", "y", "w"], ["MGET", "x", "y", "z", "w"], ["MOVE", "z", "0"], ["MOVE", "z", "16"],
    ["MOVE", "z", "1"], ["COPY", "x", "y", "foo"], ["COPY", "x", "v", "DB", "1"], ["SELECT", "1"],
    ["RENAME", "z", "u"], ["MGET", "u", "v", "z"], ["DEL", "u", "v", "u"], ["SELECT", "0"],
    ["RENAME", "x", "x"], ["SET", "x", "new"], ["RENAME", "x", "y"], ["SET", "x", "newer"],
    ["RENAMENX", "y", "x"], ["COPY", "x", "y", "REPLACE"], ["DEL", "x"], ["RENAME", "y", "x"],
    ["EXEC"], ["MULTI"], ["RENAME", "a"], ["EXEC"],
    ["MULTI"], ["SET", "x", "1"], ["RENAME", "x", "y"], ["DEL", "y", "x"], ["EXEC"],
    ["MGET", "x", "y", "w", "z"], ["DEL", "w", "y", "x"],
    ["SET", "x", "1"], ["WATCH", "y"], ["RENAME", "x", "y"], ["MULTI"], ["PING"], ["EXEC"],
    ["WATCH", "y"], ["RENAME", "y", "x"], ["MULTI"], ["PING"], ["EXEC"],
    ["WATCH", "y"], ["COPY", "x", "y"], ["MULTI"], ["PING"], ["EXEC"],
    ["WATCH", "x"], ["COPY", "x", "y"], ["MULTI"], ["PING"], ["EXEC"], ["DEL", "x", "y"],
    # Commands of a transaction that look at all keys.
    ["FLUSHALL"], ["MSET", "one", "1", "one's", "2"], ["DEL", "one's"],
    ["MULTI"], ["DBSIZE"], ["KEYS", "*"], ["SET", "two", "2"], ["DBSIZE"], ["KEYS", "t*"],
    ["SCAN", "0", "MATCH", "t*", "COUNT", "1000"], ["SCAN", "0", "TYPE", "list", "COUNT", "1000"],
    ["SCAN", "x"], ["DEL", "one"], ["KEYS", "*"], ["RANDOMKEY"], ["SCAN", "0", "COUNT", "1000"],
    ["RENAME", "two", "three"], ["KEYS", "*"], ["DBSIZE"], ["COPY", "three", "four"], ["DBSIZE"],
    ["MSETNX", "three", "3", "five", "5"], ["DBSIZE"], ["SET", "six", "6", "EX", "0"], ["DBSIZE"],
    ["DEL", "two", "three", "four"], ["DBSIZE"], ["RANDOMKEY"], ["KEYS", "*"], ["SCAN", "0"],
    ["SELECT", "1"], ["DBSIZE"], ["SET", "in1", "1"], ["DBSIZE"], ["KEYS", "*"], ["SELECT", "0"],
    ["DBSIZE"], ["MOVE", "one", "1"], ["SET", "one", "1"], ["MOVE", "one", "1"], ["DBSIZE"],
    ["SELECT", "1"], ["DBSIZE"], ["DEL", "one", "in1"], ["SELECT", "0"], ["SET", "one", "back"],
    ["INFO", "nosuch"], ["CONFIG", "RESETSTAT"], ["EXEC"], ["KEYS", "*"], ["DBSIZE"],
    ["MULTI"], ["FLUSHDB"], ["GET", "one"], ["DBSIZE"], ["EXISTS", "one", "one"], ["KEYS", "*"],
    ["SCAN", "0"], ["RANDOMKEY"], ["MGET", "one", "two"], ["TTL", "one"], ["TYPE", "one"],
    ["OBJECT", "IDLETIME", "one"], ["OBJECT", "ENCODING", "one"], ["MEMORY", "USAGE", "one"],
    ["FLUSHDB", "SYNC"], ["FLUSHDB", "x"], ["FLUSHALL", "ASYNC"], ["SELECT", "5"], ["DBSIZE"],
    ["STRLEN", "one"], ["EXEC"], ["SELECT", "0"], ["DBSIZE"], ["SET", "one", "1"],
    ["MULTI"], ["FLUSHALL"], ["EXEC"], ["EXISTS", "one"],
    ["MULTI"], ["FLUSHDB", "x"], ["SET", "one", "1"], ["FLUSHALL", "x"], ["EXEC"], ["DEL", "one"],
]

# Commands whose replies differ by nature.
ORDERLESS = {"KEYS", "SCAN"}


def without_order(raw):
    head, *bulks = re.split(rb"(?=\$\d+\r\n)", raw)
    return head, sorted(bulks)


def without_averages(raw):
    return re.sub(rb"avg_ttl=-?\d+", b"avg_ttl=N", raw).partition(b"\r\n")[2]


def same(command, ours, theirs):
    name = command[0].upper()
    if name in ORDERLESS:
        return without_order(ours) == without_order(theirs)
    if name == "INFO":
        return without_averages(ours) == without_averages(theirs)
    return ours == theirs


def show(command, ours, theirs):
    at = next((i for i, (a, b) in enumerate(zip(ours, theirs)) if a != b), 0)
    begin = max(0, at - 60)
    return (f"{command}:\n  pakvd {ours[begin:begin + 200]!r}\n"
            f"  redis {theirs[begin:begin + 200]!r}")


def compare(commands, ours, theirs):
    differences = []
    for command in commands:
        pair = ours.ask(*command), theirs.ask(*command)
        if not same(command, *pair):
            differences.append(show(command, *pair))
    return differences


def random_commands(prng, count):
    keys = ["k1", "k2", "k3", "", "k\r\n5"]
    values = ["", "0", "1", "-7", BIG, "-" + BIG, "x", "hello", "10", b"\x00\xff", "12345678901"]
    places = ["0", "1", "3", "10", "60", "-1", "-2", "-4", "-70", "x", BIG]
    patterns = ["*", "k*", "?1", "[k]?", "[^k]*", "k[1-2]", "\\k1", "*1*", "k[3-1]", "k[", "*\r*"]

    def key():
        return prng.choice(keys)

    def value():
        return prng.choice(values)

    makers = [
        lambda: ["SET", key(), value()],
        lambda: ["SET", key(), value()] + prng.sample(["NX", "XX", "GET", "get"],
                                                      prng.randint(1, 3)),
        lambda: ["GET", key()], lambda: ["GETSET", key(), value()], lambda: ["GETDEL", key()],
        lambda: ["SETNX", key(), value()], lambda: ["APPEND", key(), value()],
        lambda: ["STRLEN", key()], lambda: ["INCR", key()], lambda: ["DECR", key()],
        lambda: ["INCRBY", key(), value()], lambda: ["DECRBY", key(), value()],
        lambda: ["MGET"] + [key() for _ in range(prng.randint(1, 5))],
        lambda: ["MSETNX"] + [word for _ in range(prng.randint(1, 3)) for word in (key(), value())],
        lambda: ["MSET"] + [word for _ in range(prng.randint(1, 4)) for word in (key(), value())],
        lambda: ["DEL"] + [key() for _ in range(prng.randint(1, 3))],
        lambda: ["UNLINK", key()], lambda: ["EXISTS"] + [key() for _ in range(prng.randint(1, 4))],
        lambda: ["TYPE", key()], lambda: ["DBSIZE"], lambda: ["KEYS", prng.choice(patterns)],
        lambda: ["SCAN", "0", "COUNT", "1000", "MATCH", prng.choice(patterns)],
        lambda: ["PING", value()], lambda: ["ECHO", value()],
        lambda: ["SELECT", prng.choice(["0", "0", "1", "2"])], lambda: ["INFO", "keyspace"],
        lambda: ["SET", key(), value()] + prng.sample(
            ["KEEPTTL", "NX", "XX", "GET", "PXAT", FAR], prng.randint(1, 4)),
        lambda: ["SET", key(), value(), "PXAT", prng.choice([FAR, NEAR])],
        lambda: [prng.choice(["PEXPIREAT", "EXPIREAT"]), key(),
                 prng.choice([NEAR, FAR, "1", "0", "-1", BIG, "x"])]
        + prng.sample(["NX", "XX", "GT", "LT"], prng.choice([0, 0, 1, 2])),
        lambda: [prng.choice(["PEXPIRETIME", "EXPIRETIME", "PERSIST"]), key()],
        lambda: ["GETRANGE", key(), prng.choice(places), prng.choice(places)],
        lambda: ["SETRANGE", key(), prng.choice(places), value()],
        lambda: ["INCRBYFLOAT", key(), prng.choice(["0.1", "-2.5", "1e9", "x", "1e-17", BIG])],
        lambda: ["OBJECT", "REFCOUNT", key() + "x"],
        lambda: [prng.choice(["RENAME", "RENAMENX"]), key(), key()],
        lambda: ["COPY", key(), key()] + prng.sample(["REPLACE", "DB", "1", "2"],
                                                     prng.randint(0, 3)),
        lambda: ["MOVE", key(), prng.choice(["0", "1", "2"])],
        lambda: ["GETEX", key()] + prng.sample(["PXAT", FAR, NEAR, "PERSIST"], prng.randint(0, 3)),
    ]
    commands = [prng.choice(makers)() for _ in range(count)]
    # Transactions, among them some that are broken, discarded, or whose watch is.
    for index in range(100, count - 20, 60):
        length = prng.randint(0, 8)
        if prng.random() < 0.3:
            commands[index - 1] = ["WATCH", key(), key()]
        commands[index] = ["MULTI"]
        for at in range(index + 1, index + 1 + length):
            while commands[at][0] in ("KEYS", "SCAN", "INFO"):  # orders, and EXEC's end
                commands[at] = prng.choice(makers)()
        commands[index + 1 + length] = prng.choice([["EXEC"], ["EXEC"], ["EXEC"], ["DISCARD"]])
    for index in range(0, count, 500):
        commands[index] = ["FLUSHALL"]
        commands[index + 250] = ["FLUSHDB"]
    return commands


def with_both(pakvd, parent, body):
    if shutil.which("redis-server") is None:
        return "redis-server is not installed"
    redis = Redis()
    server = pakv.Server(pakvd, os.path.join(parent, "data"), "--cores", "1", "--cache", "8MiB",
                         "--admin-addr", "none")
    try:
        for version in ("2", "3"):
            ours, theirs = RawClient(server.port()), RawClient(redis.port)
            for client in (ours, theirs):
                client.ask("FLUSHALL")
                client.greet(version)
            body(ours, theirs)
    finally:
        redis.stop()
        code = server.stop()
    pakv.check(code == 0, f"no clean stop:\n{server.last_log}")
    return None


def every_command_replies_as_redis_does(pakvd, _pakvctl, parent):
    def body(ours, theirs):
        differences = compare(TABLE, ours, theirs)
        pakv.check(not differences, "\n".join(differences))

    return with_both(pakvd, parent, body)


def random_sequences_reply_as_redis_does(pakvd, _pakvctl, parent):
    def body(ours, theirs):
        commands = random_commands(random.Random(SEED), RANDOM_COMMANDS)
        differences = compare(commands, ours, theirs)
        pakv.check(not differences, f"seed {SEED}\n" + "\n".join(differences[:20]))

    return with_both(pakvd, parent, body)


def hello_is_the_same_but_for_the_id(pakvd, _pakvctl, parent):
    def body(ours, theirs):
        for version in ("2", "3"):
            pair = [re.sub(rb"(\r\nid\r\n:)\d+", rb"\1N", client.ask("HELLO", version))
                    for client in (ours, theirs)]
            pakv.check(pair[0] == pair[1], show(["HELLO", version], *pair))

    return with_both(pakvd, parent, body)


def quoted(data):
    data = data if isinstance(data, bytes) else data.encode()
    text = "".join(chr(b) if 32 <= b < 127 and b not in b'"\\' else f"\\x{b:02x}" for b in data)
    return f'"{text}"'


def record(path):
    """A line per command, and a line per reply: RESP2's, and RESP3's where it is another."""
    redis = Redis()
    replies = []
    for version in ("2", "3"):
        client = RawClient(redis.port)
        client.ask("FLUSHALL")
        client.greet(version)
        replies.append([client.ask(*command) for command in TABLE])
    redis.stop()
    with open(path, "w", encoding="ascii") as file:
        for command, reply2, reply3 in zip(TABLE, *replies):
            keys = reply2.count(b"$") - (command[0].upper() == "SCAN")
            if command[0].upper() in ORDERLESS and keys > 1:
                continue
            file.write("> " + " ".join(quoted(word) for word in command) + "\n")
            file.write("2 " + quoted(reply2) + "\n")
            if reply3 != reply2:
                file.write("3 " + quoted(reply3) + "\n")


if __name__ == "__main__" and sys.argv[1] == "--record":
    record(sys.argv[2])
elif __name__ == "__main__":
    pakv.main([every_command_replies_as_redis_does, random_sequences_reply_as_redis_does,
               hello_is_the_same_but_for_the_id])
