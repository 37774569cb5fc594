#!/usr/bin/env python3
"""kill -9 under load, again and again, each time with another number of cores: every acknowledged
write is there after the restart, and nothing that nobody wrote.

Several connections set their own keys to growing numbers and increment their own counters, in
pipelines. What a client knows when the server dies: `acknowledged`, the newest number that was
answered, and `sent`, the newest that left. After the restart a key holds something in between.
"""

import os
import threading

import pakv

ROUNDS = int(os.environ.get("PAKV_E2E_ROUNDS", "50"))
CONNECTIONS = 8
KEYS = 16
PIPELINE = 8
WRITES_MIN = 64  # that are acknowledged in each round before the kill


class Writer(threading.Thread):
    """One connection's load, until the server dies."""

    def __init__(self, number, state, acknowledged):
        super().__init__()
        self.number = number
        self.state = state
        self.semaphore = acknowledged  # released once per acknowledged write
        self.error = None
        self.writes = 0
        self.port = None

    def connect_to(self, server):
        self.port = server.port()

    def run(self):
        try:
            client = pakv.Client(self.port)
            turn = 0
            while True:
                turn += 1
                commands = []
                for i in range(PIPELINE):
                    name = f"{self.number}:{(turn * PIPELINE + i) % KEYS}"
                    if i % 4 == 3:
                        commands.append(("INCR", "counter:" + name))
                    else:
                        commands.append(("SET", "key:" + name, self.state.next_number(name)))
                for command in commands:
                    self.state.sent(command)
                client.send_raw(b"".join(pakv.encode(*command) for command in commands))
                for command in commands:
                    reply = client.reply()
                    if isinstance(reply, pakv.ServerError):
                        raise pakv.Failure(f"{command} was answered {reply}")
                    self.state.acknowledged(command, reply)
                    self.writes += 1
                    self.semaphore.release()
        except (ConnectionError, OSError):
            pass  # the server was killed
        except Exception as error:  # pylint: disable=broad-except
            self.error = error


class State:
    """What one connection may expect of its keys."""

    def __init__(self):
        self.numbers = {}
        self.low = {}   # acknowledged: the key holds at least this
        self.high = {}  # sent: and at most this

    def next_number(self, name):
        self.numbers[name] = self.numbers.get(name, 0) + 1
        return self.numbers[name]

    def sent(self, command):
        if command[0] == "SET":
            self.high[command[1]] = command[2]
        else:
            self.high[command[1]] = self.high.get(command[1], 0) + 1

    def acknowledged(self, command, reply):
        if command[0] == "SET":
            pakv.check(reply == "OK", f"{command} was answered {reply}")
            self.low[command[1]] = command[2]
        else:
            pakv.check(reply > self.low.get(command[1], 0), f"{command} went back to {reply}")
            self.low[command[1]] = reply

    def verify(self, client):
        """Compares with what the server has, and goes on from there."""
        keys = sorted(self.high)
        for key, value in zip(keys, client.pipeline([("GET", key) for key in keys])):
            number = int(value) if value is not None else 0
            low, high = self.low.get(key, 0), self.high[key]
            pakv.check(low <= number <= high,
                       f"{key} holds {number}, but {low} was acknowledged and {high} sent")
            self.low[key] = number
            self.high[key] = number
            if key.startswith("key:"):
                self.numbers[key[4:]] = max(self.numbers.get(key[4:], 0), number)
        return len(keys)


def killed_under_load_loses_nothing(pakvd, _pakvctl, parent):
    kill_again_and_again(pakvd, os.path.join(parent, "data"), ROUNDS)


def kill_again_and_again(pakvd, directory, rounds, after_kill=lambda: None):
    """`after_kill` is called when the process is gone."""
    states = [State() for _ in range(CONNECTIONS)]
    writes = 0
    for number in range(rounds):
        cores = 1 + number % 3
        server = pakv.Server(pakvd, directory, "--cores", str(cores), "--segment-size", "1MiB",
                             "--cache", "1MiB" if number % 2 else "0", "--admin-addr", "none")
        try:
            client = server.connect()
            for state in states:
                state.verify(client)
            known = set()
            for state in states:
                known.update(state.high)
            cursor, keys = b"0", set()
            while True:
                cursor, found = client.call("SCAN", cursor, "COUNT", "1000")
                keys.update(key.decode() for key in found)
                if cursor == b"0":
                    break
            pakv.check(keys <= known, f"keys that nobody wrote: {sorted(keys - known)[:5]}")
            client.close()
            acknowledged = threading.Semaphore(0)
            writers = [Writer(i, state, acknowledged) for i, state in enumerate(states)]
            for writer in writers:
                writer.connect_to(server)
                writer.start()
            for _ in range(WRITES_MIN):
                pakv.check(acknowledged.acquire(timeout=60), "nothing is acknowledged")
            # Load for a while, and then in the middle of it: the kill is the test.
            threading.Event().wait(0.02 + 0.013 * (number % 17))
        finally:
            server.kill()
        after_kill()
        for writer in writers:
            writer.join()
            if writer.error:
                raise writer.error
            writes += writer.writes
    server = pakv.Server(pakvd, directory, "--cores", "2", "--admin-addr", "none")
    client = server.connect()
    for state in states:
        state.verify(client)
    client.close()
    pakv.check(server.stop() == 0, f"the last stop was not clean:\n{server.last_log}")
    pakv.check(writes >= rounds * WRITES_MIN, f"only {writes} writes in {rounds} rounds")
    pakv.note(f"{rounds} kills, {writes} acknowledged writes, none lost")


if __name__ == "__main__":
    pakv.main([killed_under_load_loses_nothing])
