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
    before = pakv.tree(data)
    server = pakv.Server(pakvd, data, *FLAGS, wait=False)
    code = server.wait()
    pakv.check(code == 3, f"exit {code}:\n{server.last_log}")
    for part in (*parts, "nothing was changed", "start with --salvage", f"pakvctl verify {data}"):
        pakv.check(part in server.last_log, f"no {part!r} in:\n{server.last_log}")
    after = pakv.tree(data)
    changed = [path for path in {**before, **after}
               if path not in before or path not in after or before[path] != after[path]]
    pakv.check(not changed, f"changed all the same: {changed}")


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
    pakv.check("removed 1 key whose value is lost" in server.log(), server.log())
    client = server.connect()
    pakv.check(client.call("EXISTS", "without") == 0, "it is there")
    pakv.check(client.call("GET", "safe") == safe, "another value")
    server.kill()
    sound(pakvctl, data)
    server = pakv.Server(pakvd, data, *FLAGS)
    pakv.check(server.connect().call("GET", "safe") == safe, "another value")
    pakv.check(server.stop() == 0, "no clean stop")


def a_refused_start_changes_nothing(pakvd, pakvctl, parent):
    """Of each kind of damage, on what a kill has left: spares, a torn tail, an orphan, and all."""
    data = parent + "/data"
    server = pakv.Server(pakvd, data, *FLAGS)
    client = server.connect()
    # Two sealed segments and one that is not.
    for i in range(40):
        pakv.check(client.call("SET", f"key{i}", os.urandom(4000)) == "OK", "SET")
    pakv.check(client.call("SET", "large", os.urandom(LARGE)) == "OK", "SET")
    (large,) = value_files(data)
    # To the beginning of a segment: what follows lies in one that MANIFEST has listed by then.
    keys, begun = 41, segments(data)
    while segments(data) == begun:
        pakv.check(client.call("SET", f"more{keys}", os.urandom(4000)) == "OK", "SET")
        keys += 1
    with open(os.path.join(data, "MANIFEST"), "rb") as file:
        without_name = file.read()
    # In a namespace with a name, which the MANIFEST of a moment ago does not know.
    named = subprocess.run([pakvctl, "--addr", server.ports["data"], "-n", "orders", "set", "key",
                            "value"], capture_output=True, text=True, check=False, timeout=60)
    pakv.check(named.returncode == 0, f"{named}")
    server.kill()
    with open(os.path.join(data, "00000000ffffffff.val"), "wb") as file:
        file.write(b"left by a crash")
    sealed = sorted(segments(data))[0]
    sound_files = pakv.tree(data)

    def write(name, change):
        """`change` of its bytes; None removes the file."""
        path = os.path.join(data, name)
        new = change(sound_files[name])
        if new is None:
            os.unlink(path)
            return
        with open(path, "wb") as file:
            file.write(new)

    for name, change, told in [
            (sealed, lambda was: was[:300] + bytes([was[300] ^ 8]) + was[301:], sealed),
            (sealed, lambda was: was[:4096], sealed),
            (sealed, lambda was: None, sealed),
            (large, lambda was: was[:1 << 20], 'key "large"'),
            (large, lambda was: None, 'key "large"'),
            ("MANIFEST", lambda was: was[:40] + b"x" + was[41:], "MANIFEST"),
            ("MANIFEST", lambda was: None, "MANIFEST"),
            ("MANIFEST", lambda was: without_name, "has no name for namespace 16")]:
        write(name, change)
        refused(pakvd, data, told)
        found = verify(pakvctl, data)
        pakv.check(found.returncode == 5, f"verify of {name}: {found}")
        write(name, lambda was: was)
    pakv.check(pakv.tree(data) == sound_files, "the test has not put back what was there")
    server = pakv.Server(pakvd, data, *FLAGS)
    pakv.check(server.connect().call("DBSIZE") == keys, "keys are missing")
    pakv.check(server.stop() == 0, "no clean stop")
    sound(pakvctl, data)


def files_of_flushed_keys_are_not_missed(pakvd, pakvctl, parent):
    """A FLUSHALL has one record, of no namespace in particular."""
    for command in ("FLUSHALL", "FLUSHDB"):
        data = f"{parent}/{command}"
        server = pakv.Server(pakvd, data, *FLAGS)
        client = server.connect()
        pakv.check(client.call("SET", "large", os.urandom(LARGE)) == "OK", "SET")
        pakv.check(client.call(command) == "OK", command)
        pakv.check(server.stop() == 0, "no clean stop")
        sound(pakvctl, data)


if __name__ == "__main__":
    pakv.main([a_refused_start_changes_nothing, files_of_flushed_keys_are_not_missed,
               salvage_goes_on_without_what_is_damaged, files_of_lost_records_are_kept,
               a_key_whose_file_is_missing_is_listed])
