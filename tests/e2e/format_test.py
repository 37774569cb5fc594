#!/usr/bin/env python3
"""Directories that earlier versions have written (tests/fixtures) open, with any number of cores,
and hold what they held; newer ones are refused as they are. A fixture is never written anew."""

import json
import os
import shutil
import subprocess

import fixture
import pakv

FIXTURES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "fixtures")
FORMAT = 1
FORMAT_OFFSET = 8
IDENTITY_BYTES = 512
# The clock of the machine that runs the test may be behind that of the one that made the fixture.
FLAGS = ("--admin-addr", "none", "--segment-size", "512KiB", "--accept-clock")


def crc32c(data):
    crc = 0xffffffff
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
    return crc ^ 0xffffffff


def set_format(directory, number):
    """IDENTITY as a pakvd of that format would have it."""
    path = os.path.join(directory, "IDENTITY")
    with open(path, "r+b") as file:
        data = bytearray(file.read())
        pakv.check(len(data) == IDENTITY_BYTES, "IDENTITY has another length")
        data[FORMAT_OFFSET:FORMAT_OFFSET + 4] = number.to_bytes(4, "little")
        data[:4] = crc32c(data[4:]).to_bytes(4, "little")
        file.seek(0)
        file.write(data)


def format_of(directory):
    with open(os.path.join(directory, "IDENTITY"), "rb") as file:
        return int.from_bytes(file.read()[FORMAT_OFFSET:FORMAT_OFFSET + 4], "little")


def expected(number):
    folder = os.path.join(FIXTURES, f"format-{number}")
    with open(os.path.join(folder, "dump.jsonl"), encoding="utf-8") as file:
        return folder, [json.loads(line) for line in file]


def offline(pakvctl, *args):
    return subprocess.run([pakvctl, *args], capture_output=True, text=True, check=False,
                          timeout=60)


def expect_same(found, wanted, what):
    for ours, theirs in zip(found, wanted):
        pakv.check(ours == theirs, f"{what}: {ours}, written was {theirs}")
    pakv.check(len(found) == len(wanted), f"{what}: {len(found)} keys of {len(wanted)}")


def serves_all(pakvd, pakvctl, directory, cores, wanted):
    """A start that finds everything, with versions and expiries; the books agree; a clean stop."""
    what = f"{cores} cores"
    server = pakv.Server(pakvd, directory, "--cores", str(cores), *FLAGS)
    try:
        expect_same(fixture.dump(pakvctl, server), wanted, what)
        check = subprocess.run([pakvctl, "--addr", server.ports["data"], "check"],
                               capture_output=True, text=True, check=False, timeout=60)
        pakv.check(check.returncode == 0 and "no findings" in check.stderr, f"{what}: {check}")
    finally:
        code = server.stop()
    pakv.check(code == 0, f"{what}: its stop: {code} {server.last_log}")
    verify = offline(pakvctl, "verify", directory)
    pakv.check(verify.returncode == 0, f"{what}: {verify}")


def every_format_opens_with_any_number_of_cores(pakvd, pakvctl, parent):
    formats = sorted(int(name[len("format-"):]) for name in os.listdir(FIXTURES)
                     if name.startswith("format-"))
    pakv.check(formats == list(range(1, FORMAT + 1)), f"fixtures: {formats}")
    for number in formats:
        folder, wanted = expected(number)
        for cores in (1, 2, 3):
            directory = fixture.unpack(folder, os.path.join(parent, f"{number}-{cores}"))
            pakv.check(format_of(directory) == number, "the fixture's format")
            verify = offline(pakvctl, "verify", directory)
            pakv.check(verify.returncode == 0, f"the fixture: {verify}")
            serves_all(pakvd, pakvctl, directory, cores, wanted)
            cut = os.listdir(os.path.join(directory, "cut"))
            pakv.check(len(cut) == 1, f"the torn block is not cut: {cut}")
            # What this version has made of it opens, too.
            serves_all(pakvd, pakvctl, directory, 4 - cores, wanted)
            pakv.check(format_of(directory) == FORMAT, "it is not of this format now")


def format_0_becomes_1_for_good(pakvd, pakvctl, parent):
    folder, wanted = expected(1)
    directory = fixture.unpack(folder, os.path.join(parent, "older"))
    set_format(directory, 0)
    pakv.check(offline(pakvctl, "verify", directory).returncode == 0, "verify of format 0")
    pakv.check(format_of(directory) == 0, "a tool that reads has written")
    serves_all(pakvd, pakvctl, directory, 2, wanted)
    pakv.check(format_of(directory) == FORMAT, "it is of format 0 still")
    serves_all(pakvd, pakvctl, directory, 2, wanted)


def a_newer_format_is_refused_as_it_is(pakvd, pakvctl, parent):
    folder, _ = expected(FORMAT)
    directory = fixture.unpack(folder, os.path.join(parent, "newer"))
    set_format(directory, FORMAT + 1)
    before = pakv.tree(directory)
    server = pakv.Server(pakvd, directory, "--cores", "1", *FLAGS, wait=False)
    code = server.wait()
    said = f"written by a newer pakvd (format {FORMAT + 1}; this one knows up to {FORMAT})"
    pakv.check(code == 3 and said in server.last_log, f"{code} {server.last_log}")
    verify = offline(pakvctl, "verify", directory)
    pakv.check(verify.returncode == 5 and "newer pakvd" in verify.stderr, f"{verify}")
    pakv.check(pakv.tree(directory) == before, "something was changed")
    shutil.rmtree(directory)


if __name__ == "__main__":
    pakv.main([
        every_format_opens_with_any_number_of_cores,
        format_0_becomes_1_for_good,
        a_newer_format_is_refused_as_it_is,
    ])
