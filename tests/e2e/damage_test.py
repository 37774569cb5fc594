#!/usr/bin/env python3
"""A sample of tests/kv/log/read/log_damage_test.cc with the real programs: the log cut, zeroed and
bit-flipped. pakvd starts with all that was acknowledged, or refuses with exit code 3, a file and
what to do; `pakvctl verify` tells the same of the directory."""

import os
import random
import shutil
import subprocess

import pakv

SEED = int(os.environ.get("PAKV_E2E_SEED", "1"))
SAMPLES = 40
SECTOR = 512


def fill(pakvd, directory):
    """A directory that was killed when its logs were idle; the values that it holds."""
    server = pakv.Server(pakvd, directory, "--cores", "2", "--admin-addr", "none",
                         "--segment-size", "128KiB")
    client = server.connect()
    wanted = {}
    for i in range(600):
        key = f"key{i % 150}"
        wanted[key] = f"{key}={i}:" + "v" * (i * 7 % 900)
        pakv.check(client.call("SET", key, wanted[key]) == "OK", "SET")
    pakv.await_logs_at_rest(directory)
    server.kill()
    return wanted


def damage(data, end, generator):
    """One of the ways in which the last 8 KiB before `end` may go wrong."""
    place = generator.randrange(max(0, end - 8192), end)
    kind = generator.choice(["cut", "sector", "bit", "bit"])
    damaged = bytearray(data)
    if kind == "cut":
        del damaged[place:]
    elif kind == "sector":
        sector = place // SECTOR * SECTOR
        damaged[sector:sector + SECTOR] = bytes(SECTOR)
    else:
        damaged[place] ^= 1 << generator.randrange(8)
    return kind, place, bytes(damaged)


def damaged_logs_are_refused_or_whole(pakvd, pakvctl, parent):
    good = os.path.join(parent, "good")
    wanted = fill(pakvd, good)
    generator = random.Random(SEED)
    newest = [(name, data, len(data.rstrip(b"\0")))
              for name, data in pakv.written_segments(good).items()]
    started = refused = 0
    for _ in range(SAMPLES):
        name, data, end = generator.choice(newest)
        kind, place, damaged = damage(data, end, generator)
        what = f"{name}, {kind} at {place}"
        copy = os.path.join(parent, "copy")
        shutil.copytree(good, copy)
        with open(os.path.join(copy, name), "wb") as file:
            file.write(damaged)
        before = pakv.tree(copy)
        verify = subprocess.run([pakvctl, "verify", copy], capture_output=True, text=True,
                                check=False, timeout=60)
        server = pakv.Server(pakvd, copy, "--cores", "1", "--admin-addr", "none", wait=False)
        try:
            server.wait_until_ready()
            started += 1
            client = server.connect()
            for key, value in wanted.items():
                client.send("GET", key)
                reply = client.reply()
                # What is damaged at rest may also be found by whoever reads it.
                is_told = isinstance(reply, pakv.ServerError) and name in str(reply)
                pakv.check(reply == value.encode() or is_told, f"{what}: {key} is {reply}")
        except pakv.Failure as failure:
            if server.process.poll() is None:
                raise
            refused += 1
            log = server.log()
            pakv.check(server.process.returncode == 3, f"{what}: {failure}")
            pakv.check(name in log, f"{what}: the file is not named: {log}")
            pakv.check(f"pakvctl verify {copy}" in log and "nothing was changed" in log,
                       f"{what}: what to do is not said: {log}")
            pakv.check(pakv.tree(copy) == before, f"{what}: something was changed")
            pakv.check(verify.returncode == 5 and name in verify.stdout,
                       f"{what}: refused, but verify says {verify}")
        finally:
            if server.process.poll() is None:
                server.kill()
        shutil.rmtree(copy)
    pakv.note(f"{SAMPLES} damaged logs: {started} started whole, {refused} refused")
    pakv.check(refused > 0, "no damage was found: this test tests nothing")


if __name__ == "__main__":
    pakv.main([damaged_logs_are_refused_or_whole])
