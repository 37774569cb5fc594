#!/usr/bin/env python3
"""Real file systems on loop devices, of the kind that PAKV_E2E_DISK names: kill -9 under load,
power that goes with it, a disk that is full to the brim, few open files, flushes that stall. Needs
root and the kind's mkfs; where either is missing the test says so and is skipped."""

import errno
import functools
import os
import select
import subprocess
import time

import loop_disk
import pakv
from kill_test import kill_again_and_again

KIND = os.environ.get("PAKV_E2E_DISK", "ext4")
ROUNDS = int(os.environ.get("PAKV_E2E_DISK_ROUNDS", "5"))


def on_disk(size_bytes=None):
    """The test is given a mounted disk of the kind in place of a folder, or skipped."""
    def wrap(test):
        @functools.wraps(test)
        def run(pakvd, _pakvctl, parent):
            try:
                with loop_disk.LoopDisk(KIND, parent, size_bytes) as disk:
                    test(pakvd, disk)
            except loop_disk.Unavailable as why:
                return f"{KIND}: {why}"
            return None
        return run
    return wrap


@on_disk()
def killed_under_load_loses_nothing(pakvd, disk):
    kill_again_and_again(pakvd, os.path.join(disk.path, "data"), ROUNDS)


@on_disk()
def power_that_goes_with_it_loses_nothing(pakvd, disk):
    kill_again_and_again(pakvd, os.path.join(disk.path, "data"), ROUNDS, disk.cut_power)


def is_full(reply):
    return isinstance(reply, pakv.ServerError) and str(reply).startswith("MISCONF disk full: ")


def wait_for_room(client, key):
    """Writes resume by themselves."""
    deadline = time.monotonic() + 60
    while True:
        client.send("SET", key, "there is room")
        reply = client.reply()
        if reply == "OK":
            return
        pakv.check(is_full(reply), reply)
        pakv.check(time.monotonic() < deadline, f"writes do not resume: {key}")
        time.sleep(0.05)  # polls for the server's own retry


def delete(client, key):
    """Accepted as long as the reserve lasts; where it has gone for a moment, it comes back."""
    deadline = time.monotonic() + 60
    while True:
        client.send("DEL", key)
        reply = client.reply()
        if reply == 1:
            return
        pakv.check(is_full(reply), f"{key}: {reply}")
        pakv.check(time.monotonic() < deadline, f"{key} cannot be deleted")
        time.sleep(0.05)  # polls for the server's own retry


@on_disk()
def a_full_disk_refuses_what_is_pipelined(pakvd, disk):
    """Writes that were admitted before the disk was found full are refused, too: nobody waits."""
    ballast = disk.leave_free(24 << 20)
    flags = ["--admin-addr", "none", "--segment-size", "1MiB", "--cores", "1"]
    directory = os.path.join(disk.path, "data")
    server = pakv.Server(pakvd, directory, *flags)
    try:
        client = server.connect(timeout=60)
        value = "x" * 60000
        count = 500
        for i in range(count):
            client.send("SET", f"key{i}", value)
        replies = [client.reply() for _ in range(count)]
        done = [i for i in range(count) if replies[i] == "OK"]
        refused = [i for i in range(count) if is_full(replies[i])]
        pakv.check(len(done) + len(refused) == count, f"{set(map(str, replies))}")
        pakv.check(len(done) > 20 and len(refused) > 20, f"{len(done)} of {count} fitted")
        check_keys(client, done, refused, len(value))
        # The reserve is whole: deletes go on.
        for i in done[:10]:
            delete(client, f"key{i}")
        os.unlink(ballast)
        subprocess.run(["sync", "-f", disk.path], check=True)
        wait_for_room(client, "after the ballast")
        server.kill()
        server = pakv.Server(pakvd, directory, *flags)
        client = server.connect(timeout=60)
        check_keys(client, done[10:], refused + done[:10], len(value))
        pakv.check(server.stop() == 0, "no clean stop")
    finally:
        server.kill()


def check_keys(client, there, gone, length):
    for i in there:
        pakv.check(client.call("STRLEN", f"key{i}") == length, f"key{i} is lost")
    for i in gone:
        pakv.check(client.call("EXISTS", f"key{i}") == 0, f"key{i} was refused, and is there")


@on_disk()
def a_stop_on_a_full_disk_is_clean(pakvd, disk):
    """It waits for no space, and it is no failure."""
    disk.leave_free(24 << 20)
    flags = ["--admin-addr", "none", "--segment-size", "1MiB", "--cores", "1"]
    directory = os.path.join(disk.path, "data")
    server = pakv.Server(pakvd, directory, *flags)
    try:
        client = server.connect(timeout=60)
        value = "x" * 60000
        count = 500
        for i in range(count):
            client.send("SET", f"key{i}", value)
        deadline = time.monotonic() + 60
        while "No space left on device; writes are refused" not in server.log():
            pakv.check(time.monotonic() < deadline, f"the disk is not full:\n{server.log()}")
            time.sleep(0.05)  # polls what another process writes
        code = server.stop()
        pakv.check(code == 0, f"exit {code}:\n{server.last_log}")
        acknowledged = 0
        try:
            while acknowledged < count and client.reply() == "OK":
                acknowledged += 1
        except (OSError, EOFError, pakv.Failure):
            pass
        pakv.check(acknowledged > 20, f"only {acknowledged} writes fitted")
        server = pakv.Server(pakvd, directory, *flags)
        client = server.connect(timeout=60)
        for i in range(acknowledged):
            pakv.check(client.call("STRLEN", f"key{i}") == len(value), f"key{i} is lost")
        pakv.check(server.stop() == 0, "no clean stop")
    finally:
        server.kill()


@on_disk()
def a_full_disk_refuses_and_resumes(pakvd, disk):
    ballast = disk.leave_free(24 << 20)
    flags = ["--admin-addr", "none", "--segment-size", "1MiB"]
    directory = os.path.join(disk.path, "data")
    server = pakv.Server(pakvd, directory, "--cores", "1", *flags)
    try:
        client = server.connect(timeout=60)
        value = "x" * 65536
        keys = []
        refused = None
        for i in range(6000):
            client.send("SET", f"key{i:06d}", value)
            refused = client.reply()
            if refused != "OK":
                break
            keys.append(f"key{i:06d}")
        pakv.check(is_full(refused), f"{refused} after {len(keys)} writes")
        pakv.check(len(keys) > 100, f"only {len(keys)} writes fitted")
        pakv.check(client.call("GET", keys[0]) == value.encode(), "reads suffer")
        # Deletes go on, and make room by themselves.
        for key in keys[:len(keys) // 2]:
            delete(client, key)
        wait_for_room(client, "after the deletes")
        # To the brim again, and then somebody else frees space.
        for i in range(6000):
            client.send("SET", f"more{i:06d}", value)
            if client.reply() != "OK":
                break
        os.unlink(ballast)
        # btrfs gives space back when it commits, which is every 30 s if nothing asks for it.
        subprocess.run(["sync", "-f", disk.path], check=True)
        wait_for_room(client, "after the ballast")
        server.kill()
        server = pakv.Server(pakvd, directory, "--cores", "2", *flags)
        client = server.connect(timeout=60)
        for key in ("after the deletes", "after the ballast"):
            pakv.check(client.call("GET", key) == b"there is room", f"{key}: the write is lost")
        for key in keys[:len(keys) // 2]:
            pakv.check(client.call("EXISTS", key) == 0, f"{key} came back")
        for key in keys[len(keys) // 2:]:
            pakv.check(client.call("STRLEN", key) == len(value), f"{key} is lost")
        pakv.check(server.stop() == 0, "no clean stop")
    finally:
        if server.process.poll() is None:
            server.kill()


@on_disk()
def more_segments_than_open_files(pakvd, disk):
    directory = os.path.join(disk.path, "data")
    flags = ["--admin-addr", "none", "--segment-size", "64KiB", "--cache", "0"]
    written = []
    for cores in (1, 3, 2):
        server = pakv.Server(pakvd, directory, "--cores", str(cores), *flags, file_limit=64)
        try:
            client = server.connect()
            for i in range(0, 1000, 50):
                replies = client.pipeline([("SET", f"{cores}:{k}", f"{k}" * 2000)
                                           for k in range(i, i + 50)])
                pakv.check(replies == ["OK"] * 50, f"{replies}")
            written.append(cores)
            names = [n for n in os.listdir(directory) if n.endswith(".seg")]
            pakv.check(len(names) > 64, f"only {len(names)} segments")
            # Cold, over all segments, back and forth: one after the other, and all at once.
            order = list(range(0, 1000, 7)) + list(range(999, 0, -11))
            for life in written:
                for k in order:
                    got = client.call("GET", f"{life}:{k}")
                    pakv.check(got == f"{k}".encode() * 2000, f"{life}:{k}")
                values = client.pipeline([("GET", f"{life}:{k}") for k in order])
                for k, got in zip(order, values):
                    pakv.check(got == f"{k}".encode() * 2000, f"{life}:{k}: {str(got)[:200]}")
            most = len(os.listdir(f"/proc/{server.process.pid}/fd"))
            pakv.check(most <= 64, f"{most} are open")
        finally:
            server.kill()


def to_the_brim(disk):
    """What another program does to it; returns its file."""
    path = os.path.join(disk.path, "brim")
    with open(path, "ab", buffering=0) as file:
        for piece in (1 << 20, 4096):
            try:
                while file.write(b"b" * piece):
                    pass
            except OSError as error:
                pakv.check(error.errno == errno.ENOSPC, error)
        try:
            os.fsync(file.fileno())
        except OSError as error:
            pakv.check(error.errno == errno.ENOSPC, error)
    return path


@on_disk()
def a_killed_server_starts_on_a_full_disk(pakvd, disk):
    directory = os.path.join(disk.path, "data")
    flags = ["--admin-addr", "none", "--segment-size", "1MiB"]
    for cores in (2, 1, 3):
        server = pakv.Server(pakvd, directory, "--cores", str(cores), *flags)
        try:
            client = server.connect(timeout=60)
            if cores == 2:
                keys = [f"key{i}" for i in range(300)]
                for key in keys:
                    pakv.check(client.call("SET", key, key * 500) == "OK", "SET")
            else:
                client.send("SET", "whatever there is room for", "value")
                reply = client.reply()
                pakv.check(reply == "OK" or is_full(reply), reply)
            for key in keys:
                pakv.check(client.call("GET", key) == key.encode() * 500, f"{key} is lost")
        finally:
            server.kill()
        brim = to_the_brim(disk)
    server = pakv.Server(pakvd, directory, "--cores", "2", *flags)
    try:
        client = server.connect(timeout=60)
        os.unlink(brim)
        subprocess.run(["sync", "-f", disk.path], check=True)
        wait_for_room(client, "after the brim")
        for key in keys:
            pakv.check(client.call("GET", key) == key.encode() * 500, f"{key} is lost")
        pakv.check(server.stop() == 0, "no clean stop")
    finally:
        if server.process.poll() is None:
            server.kill()


@on_disk()
def a_disk_for_reading_only_is_refused_with_the_remedy(pakvd, disk):
    directory = os.path.join(disk.path, "data")
    server = pakv.Server(pakvd, directory, "--admin-addr", "none", "--cores", "1")
    pakv.check(server.stop() == 0, "no clean stop")
    loop_disk.run("mount", "-o", "remount,ro", disk.path)
    server = pakv.Server(pakvd, directory, "--admin-addr", "none", "--cores", "1", wait=False)
    code = server.wait()
    pakv.check(code == 3, f"exit {code}: {server.last_log}")
    for part in ("Read-only file system", "mount it for writing"):
        pakv.check(part in server.last_log, server.last_log)
    loop_disk.run("mount", "-o", "remount,rw", disk.path)
    server = pakv.Server(pakvd, directory, "--admin-addr", "none", "--cores", "1")
    pakv.check(server.stop() == 0, "no clean stop")


# The disk is a file on another one, which fsfreeze(8) stops for as long as it likes: what is
# written and flushed meanwhile waits. ext4 below: it is the kind on top that is tried.
def flushes_that_stall_delay_writes_alone(pakvd, _pakvctl, parent):
    try:
        with loop_disk.LoopDisk("ext4", parent, 640 << 20) as below:
            with loop_disk.LoopDisk(KIND, below.path) as disk:
                stall(pakvd, below, disk)
    except loop_disk.Unavailable as why:
        return f"{KIND}: {why}"
    return None


def await_segments(directory):
    """Until all that the server makes ahead is there: ext4 updates a file's time within the write
    call, and where a flush of such a file is in the journal's way the call waits for it."""
    deadline = time.monotonic() + 60
    before, since = None, time.monotonic()
    while time.monotonic() < since + 1:
        now = sorted((entry.name, entry.stat().st_size) for entry in os.scandir(directory)
                     if entry.name.endswith(".seg"))
        if now != before:
            before, since = now, time.monotonic()
        pakv.check(time.monotonic() < deadline, f"segments come and go: {now}")
        time.sleep(0.02)  # polls for what the server does in the background


def stall(pakvd, below, disk):
    directory = os.path.join(disk.path, "data")
    server = pakv.Server(pakvd, directory, "--cores", "2", "--admin-addr", "none")
    try:
        reader, writer = server.connect(), server.connect()
        pakv.check(writer.pipeline([("SET", "k", "before")]) == ["OK"], "SET")
        # ext4 updates a file's time within the write call, and waits there, and its core with it,
        # while the journal commits that inode's block: `lazytime`, as docs/running.md advises.
        if KIND == "ext4":
            loop_disk.run("mount", "-o", "remount,lazytime", disk.path)
        await_segments(directory)
        loop_disk.run("sync", "-f", directory)
        for number in range(3):
            loop_disk.run("fsfreeze", "-f", below.path)
            try:
                begin = time.monotonic()
                writer.send("SET", "k", f"{number}")
                reads = 0
                # A read that waits for the disk waits for ever: until the disk goes on, which is
                # not before these are answered.
                while reads < 500 or time.monotonic() < begin + 0.8:
                    value = reader.call("GET", "k")
                    wanted = b"before" if number == 0 else f"{number - 1}".encode()
                    pakv.check(value == wanted, f"{value} is shown, and not durable")
                    reads += 1
                told = select.select([writer.socket], [], [], 0)[0]
                pakv.check(not told, "the write did not wait")
            finally:
                loop_disk.run("fsfreeze", "-u", below.path)
            pakv.check(writer.reply() == "OK", "the write failed")
            pakv.check(reader.call("GET", "k") == f"{number}".encode(), "the write is not shown")
        server.kill()
        server = pakv.Server(pakvd, directory, "--cores", "1", "--admin-addr", "none")
        pakv.check(server.connect().call("GET", "k") == b"2", "the write is lost")
        pakv.check(server.stop() == 0, "no clean stop")
    finally:
        if server.process.poll() is None:
            server.kill()


if __name__ == "__main__":
    pakv.main([
        killed_under_load_loses_nothing,
        power_that_goes_with_it_loses_nothing,
        a_full_disk_refuses_and_resumes,
        a_full_disk_refuses_what_is_pipelined,
        a_stop_on_a_full_disk_is_clean,
        more_segments_than_open_files,
        a_killed_server_starts_on_a_full_disk,
        a_disk_for_reading_only_is_refused_with_the_remedy,
        flushes_that_stall_delay_writes_alone,
    ])
