#!/usr/bin/env python3
"""--salvage on the real kernel: refused without it, with the remedy; what is damaged is left out
and kept, value files whose records are lost are kept whole, and afterwards the directory opens as
usual and `pakvctl verify` finds nothing."""

import os
import subprocess

import pakv

FLAGS = ["--cores", "1", "--admin-addr", "none", "--segment-size", "64KiB"]
LARGE = 2 << 20


def segments(data):
    """Those that something was written into."""
    names = set()
    for name in os.listdir(data):
        if name.endswith(".seg"):
            with open(os.path.join(data, name), "rb") as file:
                if any(file.read()):
                    names.add(name)
    return names


def value_files(directory):
    names = os.listdir(directory) if os.path.isdir(directory) else []
    return {name for name in names if name.endswith(".val")}


def refused(pakvd, data, *parts):
    server = pakv.Server(pakvd, data, *FLAGS, wait=False)
    code = server.wait()
    pakv.check(code == 3, f"exit {code}:\n{server.last_log}")
    for part in (*parts, "nothing was changed", "start with --salvage", f"pakvctl verify {data}"):
        pakv.check(part in server.last_log, f"no {part!r} in:\n{server.last_log}")


def verify(pakvctl, data):
    return subprocess.run([pakvctl, "verify", data], capture_output=True, text=True, check=False,
                          timeout=60)


def sound(pakvctl, data):
    found = verify(pakvctl, data)
    pakv.check(found.returncode == 0 and ".val" not in found.stdout, f"verify says {found}")


def salvage_goes_on_without_what_is_damaged(pakvd, pakvctl, parent):
    data = parent + "/data"
    server = pakv.Server(pakvd, data, *FLAGS)
    client = server.connect()
    for i in range(300):
        pakv.check(client.call("SET", f"key{i}", f"value{i}" * 100) == "OK", "SET")
    pakv.check(server.stop() == 0, "no clean stop")
    name = sorted(name for name in os.listdir(data) if name.endswith(".seg"))[0]
    with open(os.path.join(data, name), "r+b") as segment:
        segment.seek(300)
        byte = segment.read(1)
        segment.seek(300)
        segment.write(bytes([byte[0] ^ 8]))
    refused(pakvd, data, name)
    server = pakv.Server(pakvd, data, "--salvage", *FLAGS)
    pakv.check("went on without what is damaged" in server.log(), server.log())
    values = [server.connect().call("GET", f"key{i}") for i in range(300)]
    pakv.check(values.count(None) == 1, f"{values.count(None)} of 300 are lost")
    pakv.check(os.path.exists(os.path.join(data, "salvage", name)), "the file is not kept")
    server.kill()
    server = pakv.Server(pakvd, data, *FLAGS)
    again = [server.connect().call("GET", f"key{i}") for i in range(300)]
    pakv.check(again == values, "it is not what it was after the salvage")
    pakv.check(server.stop() == 0, "no clean stop")
    sound(pakvctl, data)


def files_of_lost_records_are_kept(pakvd, pakvctl, parent):
    data = parent + "/data"
    kept = data + "/salvage"
    safe, lost = os.urandom(LARGE), os.urandom(LARGE + 1)
    server = pakv.Server(pakvd, data, *FLAGS)
    pakv.check(server.connect().call("SET", "safe", safe) == "OK", "SET")
    pakv.check(server.stop() == 0, "no clean stop")
    first = segments(data)
    safe_files = value_files(data)
    server = pakv.Server(pakvd, data, *FLAGS)
    pakv.check(server.connect().call("SET", "lost", lost) == "OK", "SET")
    pakv.check(server.stop() == 0, "no clean stop")
    gone = segments(data) - first
    (lost_file,) = value_files(data) - safe_files
    pakv.check(gone, "the second life has no segment")
    for name in gone:
        os.unlink(os.path.join(data, name))
    refused(pakvd, data, *gone)
    pakv.check(verify(pakvctl, data).returncode == 5, "verify finds no damage")
    server = pakv.Server(pakvd, data, "--salvage", *FLAGS)
    pakv.check(f"kept in {kept}/{lost_file}" in server.log(), server.log())
    client = server.connect()
    pakv.check(client.call("GET", "lost") is None, "its record is lost")
    pakv.check(client.call("GET", "safe") == safe, "another value")
    pakv.check(server.stop() == 0, "no clean stop")
    for _ in range(2):
        pakv.check(value_files(data) == safe_files, f"files: {value_files(data)}")
        pakv.check(value_files(kept) == {lost_file}, f"kept: {os.listdir(kept)}")
        pakv.check(not os.path.exists(kept + "/UNFINISHED"), "it is not over")
        with open(os.path.join(kept, lost_file), "rb") as file:
            content = file.read()
        pakv.check(content[:len(lost)] == lost and not any(content[len(lost):]), "other bytes")
        sound(pakvctl, data)
        server = pakv.Server(pakvd, data, *FLAGS)
        pakv.check(server.connect().call("GET", "safe") == safe, "another value")
        pakv.check(server.stop() == 0, "no clean stop")


def a_key_whose_file_is_missing_is_listed(pakvd, pakvctl, parent):
    data = parent + "/data"
    safe = os.urandom(LARGE)
    server = pakv.Server(pakvd, data, *FLAGS)
    client = server.connect()
    pakv.check(client.call("SET", "safe", safe) == "OK", "SET")
    safe_files = value_files(data)
    pakv.check(client.call("SET", "without", os.urandom(LARGE)) == "OK", "SET")
    pakv.check(server.stop() == 0, "no clean stop")
    (name,) = value_files(data) - safe_files
    os.unlink(os.path.join(data, name))
    refused(pakvd, data, name, 'key "without"')
    pakv.check(verify(pakvctl, data).returncode == 5, "verify finds no damage")
    server = pakv.Server(pakvd, data, "--salvage", *FLAGS)
    pakv.check(f"{name}: damaged at offset 0: missing" in server.log(), server.log())
    pakv.check("removed 1 keys whose values are lost" in server.log(), server.log())
    client = server.connect()
    pakv.check(client.call("EXISTS", "without") == 0, "it is there")
    pakv.check(client.call("GET", "safe") == safe, "another value")
    server.kill()
    sound(pakvctl, data)
    server = pakv.Server(pakvd, data, *FLAGS)
    pakv.check(server.connect().call("GET", "safe") == safe, "another value")
    pakv.check(server.stop() == 0, "no clean stop")


if __name__ == "__main__":
    pakv.main([salvage_goes_on_without_what_is_damaged, files_of_lost_records_are_kept,
               a_key_whose_file_is_missing_is_listed])
