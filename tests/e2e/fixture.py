"""Fixtures of tests/fixtures: unpacked, and compared with what a server has of them."""

import base64
import hashlib
import json
import os
import subprocess
import tarfile

import pakv

NAMESPACES = ("0", "5", "9", "orders", "größe")
# Database of the values that are longer than a frame: read over RESP, which has no versions.
LARGE = "15"
SHOWN_MAX = 200


def unpack(folder, parent):
    """The data directory of a fixture, in `parent`, which is made; its path."""
    os.makedirs(parent)
    with tarfile.open(os.path.join(folder, "data.tar.xz")) as archive:
        archive.extractall(parent)
    return os.path.join(parent, "data")


def shorten(line):
    """A line of a dump in which what is long stands as its length and SHA-256."""
    for field in ("key", "value"):
        data = line[field].encode()
        if len(data) > SHOWN_MAX:
            line[field] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    return line


def order(line):
    """What lines are sorted by."""
    return line["namespace"], json.dumps(line["key"])


def make_line(name, key, value, at_ms):
    """A line as `pakvctl dump` has it, but for its LSN, shortened."""
    line = {"namespace": name}
    for field, encoding, data in (("key", "key_encoding", key), ("value", "encoding", value)):
        try:
            line[field] = data.decode()
        except UnicodeDecodeError:
            line[field], line[encoding] = base64.b64encode(data).decode(), "base64"
    if at_ms is not None:
        line["expires_at_ms"] = at_ms
    return shorten(line)


def large_lines(client):
    """The same of LARGE."""
    pakv.check(client.call("SELECT", LARGE) == "OK", "SELECT")
    lines = []
    for key in client.call("KEYS", "*"):
        at_ms = client.call("PEXPIRETIME", key)
        lines.append(make_line(LARGE, key, client.call("GET", key), at_ms if at_ms > 0 else None))
    return lines


def dump(pakvctl, server):
    """The lines of all namespaces, shortened and sorted."""
    lines = large_lines(server.connect())
    for name in NAMESPACES:
        done = subprocess.run([pakvctl, "--addr", server.ports["data"], "-q", "-n", name, "dump"],
                              capture_output=True, check=False, timeout=60)
        pakv.check(done.returncode == 0, f"dump of {name}: {done.returncode} {done.stderr}")
        lines += [shorten(json.loads(line)) for line in done.stdout.splitlines()]
    return sorted(lines, key=order)
