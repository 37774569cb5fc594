#!/usr/bin/env python3
"""How pakvd starts and stops: what it refuses, with which exit code and in which words, and that it
touches nothing that is not its own.
Long because: each refusal is a case beside the others, over one set of helpers."""

import functools
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import threading
import time

import pakv


def run(pakvd, *flags, environment=None, seconds=60):
    """A start that is expected to end by itself: exit code, stdout, stderr."""
    done = subprocess.run([pakvd, *flags], capture_output=True, text=True, timeout=seconds,
                          env={**os.environ, **(environment or {})}, check=False)
    return done.returncode, done.stdout, done.stderr


def one_line(text):
    """The error that a person reads: one line, whatever log lines stand before it."""
    lines = [line for line in text.splitlines() if line.strip()]
    pakv.check(lines, "nothing was said on stderr")
    return lines[-1]


def wrong_usage_is_exit_2_and_names_the_culprit(pakvd, _pakvctl, parent):
    data = os.path.join(parent, "data")
    for flags, culprit in [
            (["--no-such-flag"], "no-such-flag"),
            (["--cores", "0"], "cores"),
            (["--cores", "257"], "cores"),
            (["--addr", "127.0.0.1"], "127.0.0.1"),
            (["--addr", "127.0.0.1:65536"], "65536"),
            (["--max-value", "lots"], "lots"),
            (["--idle-timeout", "soon"], "soon"),
            (["--durability", "sometimes"], "sometimes"),
            (["--engine", "sled"], "sled"),
            (["--config", os.path.join(parent, "missing.toml")], "missing.toml"),
            (["--addr", "0.0.0.0:0"], "--insecure")]:
        code, out, err = run(pakvd, "--dir", data, "--admin-addr", "none", *flags)
        pakv.check(code == 2, f"{flags}: exit {code}: {err}")
        pakv.check(culprit in err, f"{flags}: {culprit!r} is not named: {err}")
        pakv.check(not out, f"{flags}: stdout is for data: {out}")
    config = os.path.join(parent, "pakvd.toml")
    with open(config, "w", encoding="ascii") as file:
        file.write('cores = 1\nno-such-key = "x"\n')
    code, _, err = run(pakvd, "--config", config, "--dir", data)
    pakv.check(code == 2 and "no-such-key" in err, f"exit {code}: {err}")
    code, _, err = run(pakvd, "--dir", data, environment={"PAKV_CORES": "many"})
    pakv.check(code == 2 and "PAKV_CORES" in err, f"exit {code}: {err}")
    pakv.check(not os.path.exists(data), "a refused start left a data directory")


def print_config_shows_value_and_source(pakvd, _pakvctl, parent):
    config = os.path.join(parent, "pakvd.toml")
    with open(config, "w", encoding="ascii") as file:
        file.write('max-connections = 7\nmax-key = "1KiB"\ncores = 3\n')
    code, out, err = run(pakvd, "--config", config, "--cores", "2", "--print-config",
                         environment={"PAKV_MAX_KEY": "2KiB"})
    pakv.check(code == 0, f"exit {code}: {err}")
    rows = {line.split()[0]: line.split()[1:] for line in out.splitlines()}
    pakv.check(rows["max-connections"] == ["7", "file"], rows)
    pakv.check(rows["max-key"] == ["2KiB", "environment"], rows)
    pakv.check(rows["cores"] == ["2", "flag"], rows)
    pakv.check(rows["durability"] == ["always", "default"], rows)


def version_and_help(pakvd, pakvctl, _parent):
    for program in (pakvd, pakvctl):
        for flag in ("--version", "-V", "--help"):
            code, out, err = run(program, flag)
            pakv.check(code == 0 and out and not err, f"{program} {flag}: {code} {out} {err}")
        _, out, _ = run(program, "--version")
        pakv.check(re.search(r"\d+\.\d+\.\d+", out), out)


def a_taken_port_is_exit_2(pakvd, _pakvctl, parent):
    data = os.path.join(parent, "data")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = "127.0.0.1:%d" % taken.getsockname()[1]
        code, _, err = run(pakvd, "--dir", data, "--addr", address, "--admin-addr", "none")
        pakv.check(code == 2 and address in err, f"exit {code}: {err}")
        pakv.check("ss -tlnp" in err and "another --addr (port 0 picks a free one)" in err, err)
        code, _, err = run(pakvd, "--dir", data, "--addr", "127.0.0.1:0", "--admin-addr", address)
        pakv.check(code == 2 and address in err, f"exit {code}: {err}")
        pakv.check("another --admin-addr" in err, err)


def an_address_that_cannot_be_had_is_told_apart(pakvd, _pakvctl, parent):
    flags = ["--dir", os.path.join(parent, "data"), "--admin-addr", "none", "--insecure"]
    for address, words in (("nosuch.invalid:7000", "no address is found for that name"),
                           ("192.0.2.1:7000", "none of this machine's interfaces has that")):
        # A name server that does not answer is not waited for.
        code, _, err = run(pakvd, "--addr", address, *flags,
                           environment={"RES_OPTIONS": "timeout:1 attempts:1"})
        pakv.check(code == 2 and address in err and words in err, f"exit {code}: {err}")
    code, _, err = run(pakvd, "--dir", "/proc/data", "--addr", "127.0.0.1:0", "--admin-addr",
                       "none")
    pakv.check(code == 3 and "/proc/data" in err and "give --dir" in err, f"exit {code}: {err}")


def a_second_server_is_refused(pakvd, _pakvctl, parent):
    data = os.path.join(parent, "data")
    server = pakv.Server(pakvd, data, "--admin-addr", "none")
    try:
        server.connect().call("SET", "key", "value")
        code, _, err = run(pakvd, "--dir", data, "--addr", "127.0.0.1:0", "--admin-addr", "none")
        pakv.check(code == 3 and data in err, f"exit {code}: {err}")
        pakv.check(server.connect().call("GET", "key") == b"value", "the first server suffered")
    finally:
        pakv.check(server.stop() == 0, "the first server did not stop cleanly")


def a_foreign_directory_is_refused_untouched(pakvd, _pakvctl, parent):
    data = os.path.join(parent, "data")
    os.mkdir(data)
    with open(os.path.join(data, "thesis.txt"), "w", encoding="ascii") as file:
        file.write("years of work")
    before = pakv.tree(data)
    code, _, err = run(pakvd, "--dir", data, "--addr", "127.0.0.1:0", "--admin-addr", "none")
    pakv.check(code == 3 and data in err, f"exit {code}: {err}")
    pakv.check(pakv.tree(data) == before, "a foreign directory was changed")
    code, _, err = run(pakvd, "--dir", os.path.join(data, "thesis.txt"), "--addr", "127.0.0.1:0",
                       "--admin-addr", "none")
    pakv.check(code == 3, f"a file as directory: exit {code}: {err}")


def garbage_in_the_directory_is_told_by_file_and_offset(pakvd, _pakvctl, parent):
    data = os.path.join(parent, "data")
    server = pakv.Server(pakvd, data, "--admin-addr", "none", "--cores", "1",
                         "--segment-size", "1MiB")
    client = server.connect()
    for i in range(50):
        client.call("SET", f"key{i}", "value")
    pakv.check(server.stop() == 0, "no clean stop")
    segment = sorted(name for name in os.listdir(data) if name.endswith(".seg"))[0]
    with open(os.path.join(data, segment), "r+b") as file:
        # Blocks are as long as the device's sectors, and marks lie between them where time passed.
        block = [each for each in pakv.blocks(file.read()) if each.records > 0][3]
        file.seek(block.offset + 90)
        file.write(b"garbage")
    damaged = pakv.tree(data)
    code, _, err = run(pakvd, "--dir", data, "--addr", "127.0.0.1:0", "--admin-addr", "none")
    line = one_line(err)
    pakv.check(code == 3, f"exit {code}: {err}")
    pakv.check(re.search(rf"{segment}\D+{block.offset}\b", line),
               f"{segment} and {block.offset} are not named: {line}")
    pakv.check(pakv.tree(data) == damaged, "the damaged directory was changed")


def a_port_file_stands_for_a_server_that_is_ready(pakvd, _pakvctl, parent):
    data = os.path.join(parent, "data")
    server = pakv.Server(pakvd, data, "--admin-addr", "none", "--segment-size", "1MiB")
    ports = os.path.join(parent, "ports")
    shutil.copy(server.port_file, ports)
    flags = ["--dir", data, "--addr", "127.0.0.1:0", "--admin-addr", "none", "--port-file", ports]
    code, _, err = run(pakvd, *flags)
    pakv.check(code == 3, f"exit {code}: {err}")
    pakv.check(os.path.exists(ports), "a second server removed the first one's file")
    server.kill()
    # Killed and not startable: it stands for nobody.
    with open(os.path.join(data, "MANIFEST"), "r+b") as manifest:
        manifest.write(b"garbage")
    code, _, err = run(pakvd, *flags)
    pakv.check(code == 3, f"exit {code}: {err}")
    pakv.check(not os.path.exists(ports), "the file of a killed server was left")


def a_port_file_that_cannot_be_written_is_told_before_the_data_is_read(pakvd, _pakvctl, parent):
    data = os.path.join(parent, "data")
    path = os.path.join(parent, "missing", "ports")
    for flags in ([], ["--check-config"]):
        code, _, err = run(pakvd, "--dir", data, "--addr", "127.0.0.1:0", "--admin-addr", "none",
                           "--port-file", path, *flags)
        line = one_line(err)
        pakv.check(code == 2 and path in line and "make that directory" in line, f"{code}: {err}")
        pakv.check(not os.path.exists(data), "a refused start made a data directory")


def directories_above_are_made_too(pakvd, _pakvctl, parent):
    top = os.path.join(parent, "a")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = "127.0.0.1:%d" % taken.getsockname()[1]
        code, _, err = run(pakvd, "--dir", top + "/b/c", "--addr", address, "--admin-addr", "none")
        pakv.check(code == 2, f"exit {code}: {err}")
    pakv.check(not os.path.exists(top), "a refused start made directories")
    server = pakv.Server(pakvd, top + "/b/c", "--admin-addr", "none")
    pakv.check(server.connect().call("SET", "key", "value") == "OK", "no write")
    pakv.check(server.stop() == 0, f"no clean stop:\n{server.last_log}")
    pakv.check(os.path.exists(top + "/b/c/IDENTITY"), "the store is elsewhere")


def sigterm_answers_and_exits_0(pakvd, _pakvctl, parent):
    data = os.path.join(parent, "data")
    server = pakv.Server(pakvd, data, "--admin-addr", "none", "--cores", "2", "--drain-timeout",
                         "1h")
    client = server.connect()
    count = 2000
    client.send_raw(b"".join(pakv.encode("SET", f"key{i}", i) for i in range(count)))
    server.process.send_signal(signal.SIGTERM)
    replies = 0
    try:
        while True:
            pakv.check(client.reply() == "OK", "a write was refused during the stop")
            replies += 1
    except ConnectionError:
        pass
    code = server.wait()
    pakv.check(code == 0, f"exit {code}:\n{server.last_log}")
    server = pakv.Server(pakvd, data, "--admin-addr", "none")
    client = server.connect()
    held = sum(value is not None
               for value in client.pipeline([("GET", f"key{i}") for i in range(count)]))
    pakv.check(held >= replies, f"{replies} writes were answered, {held} are there")
    pakv.check(server.stop() == 0, "no clean stop")


def a_terminal_that_hangs_up_ends_nothing(pakvd, _pakvctl, parent):
    data = os.path.join(parent, "data")
    server = pakv.Server(pakvd, data, "--admin-addr", "none")
    client = server.connect()
    for _ in range(3):
        server.process.send_signal(signal.SIGHUP)
        pakv.check(client.call("PING") == "PONG", "it is gone")
    pakv.check(server.stop() == 0, "no clean stop")


def a_second_signal_ends_at_once_with_1(pakvd, _pakvctl, parent):
    data = os.path.join(parent, "data")
    server = pakv.Server(pakvd, data, "--admin-addr", "none", "--drain-timeout", "1h")
    client = server.connect()
    # Half a request holds the drain. The answer tells that it was received, with the PING.
    client.send_raw(b"*1\r\n$4\r\nPING\r\n" + b"*2\r\n$3\r\nGET\r\n")
    pakv.check(client.reply() == "PONG", "PING")
    server.process.send_signal(signal.SIGTERM)
    deadline = time.monotonic() + 60
    try:
        while True:  # the listener closes: the stop has begun
            socket.create_connection(("127.0.0.1", server.port()), timeout=60).close()
            pakv.check(time.monotonic() < deadline, "it went on accepting")
            time.sleep(0.005)  # polls for that
    except ConnectionError:
        pass
    # The same signal is a second one only after a while: see StopRequests.
    server.process.send_signal(signal.SIGINT)
    code = server.wait()
    pakv.check(code == 1, f"exit {code}")
    pakv.check("a second Interrupt" in server.last_log, server.last_log)


def a_port_file_goes_when_the_server_does(pakvd, _pakvctl, parent):
    for held in (False, True):
        server = pakv.Server(pakvd, os.path.join(parent, "data"), "--admin-addr", "none",
                             "--drain-timeout", "100ms" if held else "1h")
        client = server.connect()
        # The answer tells that it was accepted, and what is behind the PING received with it.
        client.send_raw(b"*1\r\n$4\r\nPING\r\n" + (b"*2\r\n$3\r\nGET\r\n" if held else b""))
        pakv.check(client.reply() == "PONG", "PING")
        pakv.check(os.path.exists(server.port_file), "there is none")
        server.process.send_signal(signal.SIGTERM)
        code = server.process.wait(60)
        pakv.check(code == (1 if held else 0), f"exit {code}:\n{server.log()}")
        pakv.check(not os.path.exists(server.port_file), "it outlives the server")
        server.wait()


def standard_descriptors_that_are_closed_stay_free_of_others(pakvd, _pakvctl, parent):
    ports = os.path.join(parent, "ports")
    command = ["bash", "-c", 'exec "$@" <&- >&- 2>&-', "bash", pakvd, "--addr", "127.0.0.1:0",
               "--admin-addr", "none", "--dir", os.path.join(parent, "data"), "--port-file", ports]
    with subprocess.Popen(command) as process:
        try:
            deadline = time.monotonic() + 60
            while not os.path.exists(ports):
                pakv.check(process.poll() is None, f"it ended: {process.returncode}")
                pakv.check(time.monotonic() < deadline, "it is not ready")
                time.sleep(0.01)  # the file's appearance is the event; there is no other
            for descriptor in range(3):
                path = os.readlink(f"/proc/{process.pid}/fd/{descriptor}")
                pakv.check(path == "/dev/null", f"{descriptor} is {path}")
        finally:
            process.terminate()
        pakv.check(process.wait(60) == 0, f"exit {process.returncode}")


def too_little_memory_is_told(pakvd, _pakvctl, parent):
    """Wherever in a start a limit of the address space is met, it ends with a line about it."""
    for kibibytes in range(40_000, 100_000, 2_000):
        limit = functools.partial(resource.setrlimit, resource.RLIMIT_AS,
                                  (kibibytes << 10, kibibytes << 10))
        ports = os.path.join(parent, "ports")
        if os.path.exists(ports):
            os.unlink(ports)  # of one that met its limit when it was ready
        with subprocess.Popen([pakvd, "--addr", "127.0.0.1:0", "--admin-addr", "none", "--cores",
                               "2", "--memory", "1GiB", "--dir", os.path.join(parent, "data"),
                               "--port-file", ports],
                              stderr=subprocess.PIPE, text=True, preexec_fn=limit) as process:
            while process.poll() is None and not os.path.exists(ports):
                time.sleep(0.01)  # one of both comes
            process.terminate()
            _, err = process.communicate(timeout=60)
        if process.returncode == 127 and "shared" in err:
            continue  # the loader's word
        pakv.check(process.returncode in (0, 1, 3, 4), f"{kibibytes} KiB: {err}")
        if process.returncode != 0:
            pakv.check("memory" in one_line(err) or "threads" in one_line(err), err)
            pakv.check("locked memory" not in err, err)


def a_client_without_memory_says_so(_pakvd, pakvctl, _parent):
    """Wherever it meets the limit, once it has been loaded: no abort, and exit code 5, or 3."""
    for kibibytes in range(20_000, 80_000, 3_000):
        limit = functools.partial(resource.setrlimit, resource.RLIMIT_AS,
                                  (kibibytes << 10, kibibytes << 10))
        done = subprocess.run([pakvctl, "--addr", "unix:/nowhere/pakv", "get", "key"],
                              capture_output=True, text=True, preexec_fn=limit, check=False,
                              timeout=60)
        told = f"{kibibytes} KiB: exit {done.returncode}: {done.stderr}"
        if done.returncode == 127 and "shared" in done.stderr:
            continue  # the loader's word
        pakv.check(done.returncode in (3, 5), told)
        pakv.check(one_line(done.stderr).startswith("pakvctl: "), told)
        if done.returncode == 5:
            pakv.check("no more memory" in done.stderr, told)


def memory_that_ends_while_it_serves(pakvd, _pakvctl, parent):
    """The system gives less than --memory allows: keys are refused, or it ends and says why."""
    server = pakv.Server(pakvd, os.path.join(parent, "data"), "--cores", "1", "--memory", "4GiB",
                         "--admin-addr", "none")
    client = server.connect()
    for i in range(1000):
        pakv.check(client.call("SET", f"first{i}", "v") == "OK", "no write")
    with open(f"/proc/{server.process.pid}/statm", encoding="ascii") as statm:
        now = int(statm.read().split()[0]) * resource.getpagesize()
    limit = (now + (4 << 20), now + (4 << 20))
    resource.prlimit(server.process.pid, resource.RLIMIT_AS, limit)
    try:
        for i in range(3000):
            client.call("SET", f"key{i}" + "k" * 6000, "v")
        raise pakv.Failure("18 MB of keys in 4 MiB")
    except pakv.ServerError as refused:
        pakv.check(str(refused).startswith("OOM"), refused)
        pakv.check(client.call("GET", "first7") == b"v", "what is there is read")
        pakv.check(server.stop() in (0, 1), f"no stop:\n{server.last_log}")
    except ConnectionError:
        code = server.wait()
        pakv.check(code == 1 and "the system gives no more memory" in server.last_log,
                   f"exit {code}: {server.last_log}")


def what_cannot_be_printed_is_an_error(pakvd, pakvctl, _parent):
    for program, flags, wanted in ((pakvd, ["--version"], 1), (pakvd, ["--print-config"], 1),
                                   (pakvd, ["--help"], 1), (pakvctl, ["--help"], 5),
                                   (pakvctl, ["--version"], 5), (pakvctl, ["get", "--help"], 5)):
        with open("/dev/full", "wb") as full:
            done = subprocess.run([program, *flags], stdout=full, stderr=subprocess.PIPE, text=True,
                                  check=False, timeout=60)
        pakv.check(done.returncode == wanted, f"{program} {flags}: {done}")
        pakv.check("stdout cannot be written: No space left on device" in done.stderr, done.stderr)


def a_service_manager_is_told(pakvd, _pakvctl, parent):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        name = f"pakv-e2e-{os.getpid()}"
        manager.bind(b"\0" + name.encode())
        manager.settimeout(30)
        data = os.path.join(parent, "data")
        server = pakv.Server(pakvd, data, "--admin-addr", "none",
                             environment={**os.environ, "NOTIFY_SOCKET": "@" + name})
        pakv.check(server.stop() == 0, f"no clean stop:\n{server.last_log}")
        told = [manager.recv(4096).decode().split("\n") for _ in range(3)]
    pakv.check(told[0] == [f"STATUS=reading the data in {data}"], told)
    pakv.check(told[1] == ["READY=1", "STATUS=serving 127.0.0.1:0"], told)
    pakv.check(told[2][0] == "STOPPING=1" and len(told[2]) == 2, told)


def starts_with_64_descriptors(pakvd, _pakvctl, parent):
    data = os.path.join(parent, "data")
    command = ["bash", "-c", 'ulimit -n 64; exec "$0" "$@"', pakvd]
    port_file = os.path.join(parent, "ports")
    process = subprocess.Popen(command + ["--dir", data, "--addr", "127.0.0.1:0", "--admin-addr",
                                          "none", "--port-file", port_file, "--cores", "2"],
                               stderr=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + 60
        while not os.path.exists(port_file):
            if process.poll() is not None:
                raise pakv.Failure(f"it ended: {process.stderr.read()}")
            pakv.check(time.monotonic() < deadline, "it is not ready")
            time.sleep(0.01)
        with open(port_file, encoding="ascii") as ports:
            port = int(ports.read().rpartition(":")[2])
        client = pakv.Client(port)
        pakv.check(client.call("SET", "key", "value") == "OK", "no write")
    finally:
        process.terminate()
        _, err = process.communicate(timeout=60)
    pakv.check(process.returncode == 0, f"exit {process.returncode}: {err}")
    pakv.check("connections" in err and "64" in err, f"no warning: {err}")


def too_few_descriptors_for_the_cores_that_are_asked_for(pakvd, _pakvctl, parent):
    data = os.path.join(parent, "data")
    server = pakv.Server(pakvd, data, "--cores", "16", "--admin-addr", "none", wait=False,
                         file_limit=64)
    code = server.wait()
    line = one_line(server.last_log)
    pakv.check(code == 2, f"exit {code}: {server.last_log}")
    for part in ("may open 64 files", "ulimit -n", "16 cores need at least", "--cores 3"):
        pakv.check(part in line, f"no {part!r} in: {line}")
    pakv.check(not os.path.exists(data), "a refused start left a data directory")
    # Nobody has asked for a number: as many as there can be.
    server = pakv.Server(pakvd, data, "--admin-addr", "none", file_limit=40)
    pakv.check(server.connect().call("SET", "key", "value") == "OK", "no write")
    pakv.check(server.stop() == 0, f"no clean stop:\n{server.last_log}")


def lives_with_64_descriptors(pakvd, pakvctl, parent):
    """More segments, more large values and more clients than that, compaction, a kill, a stop."""
    data = os.path.join(parent, "data")
    flags = ["--cores", "3", "--admin-addr", "none", "--segment-size", "64KiB", "--cache", "0"]
    large = {f"large{i}": os.urandom((1 << 20) + 100 + i) for i in range(12)}
    expected = {f"key{i}": b"%d" % i * 1000 for i in range(800)}

    def write(port, part):
        client = pakv.Client(port, timeout=120)
        for key, value in part:
            pakv.check(client.call("SET", key, value) == "OK", f"SET {key}")
            pakv.check(client.call("APPEND", key, "!") == len(value) + 1, f"APPEND {key}")
            pakv.check(client.call("GET", key) == value + b"!", f"GET {key}")
        client.close()

    def in_parallel(calls):
        failures = []

        def guarded(call):
            try:
                call()
            except Exception as error:  # pylint: disable=broad-except
                failures.append(error)
        threads = [threading.Thread(target=guarded, args=(call,)) for call in calls]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        pakv.check(not failures, f"{failures}")

    server = pakv.Server(pakvd, data, *flags, file_limit=64)
    try:
        for _ in range(2):  # what was written first is garbage
            client = server.connect()
            for i in range(0, 800, 50):
                some = [f"key{k}" for k in range(i, i + 50)]
                replies = client.pipeline([("SET", key, expected[key]) for key in some])
                pakv.check(replies == ["OK"] * 50, replies)
            client.close()
        items = list(large.items())
        in_parallel([functools.partial(write, server.port(), items[i::6]) for i in range(6)])
        done = subprocess.run([pakvctl, "--addr", server.ports["data"], "compact"],
                              capture_output=True, text=True, check=False, timeout=120)
        pakv.check(done.returncode == 0, f"{done}")
        client = server.connect(timeout=120)
        keys = list(expected)
        pakv.check(client.pipeline([("GET", key) for key in keys]) == list(expected.values()),
                   "other values")
        pakv.check(client.call("SET", "last", "value") == "OK", "the store does not write any more")
        open_count = len(os.listdir(f"/proc/{server.process.pid}/fd"))
        pakv.check(open_count <= 64, f"{open_count} descriptors are open")
    finally:
        server.kill()
    server = pakv.Server(pakvd, data, *flags, file_limit=64)
    try:
        client = server.connect(timeout=120)
        pakv.check(client.pipeline([("GET", key) for key in keys]) == list(expected.values()),
                   "other values after a kill")
        for key, value in large.items():
            pakv.check(client.call("GET", key) == value + b"!", f"{key} after a kill")
        pakv.check(client.call("GET", "last") == b"value", "the last write is lost")
    finally:
        code = server.stop()
    pakv.check(code == 0, f"no clean stop:\n{server.last_log}")
    pakv.check("Too many open files" not in server.last_log, server.last_log)


def the_start_line_says_what_runs(pakvd, _pakvctl, parent):
    data = os.path.relpath(os.path.join(parent, "data"))
    server = pakv.Server(pakvd, data, "--cores", "2", "--admin-addr", "none")
    told = server.connect().call("CONFIG", "GET", "dir")
    pakv.check(told == [b"dir", os.path.abspath(data).encode()], f"CONFIG GET dir: {told}")
    pakv.check(server.stop() == 0, "no clean stop")
    for word in ("pakvd", "log", data, "2", "always", "127.0.0.1:0"):
        pakv.check(word in server.last_log, f"{word!r} is missing in: {server.last_log}")


if __name__ == "__main__":
    pakv.main([
        wrong_usage_is_exit_2_and_names_the_culprit,
        print_config_shows_value_and_source,
        version_and_help,
        a_taken_port_is_exit_2,
        an_address_that_cannot_be_had_is_told_apart,
        a_second_server_is_refused,
        a_foreign_directory_is_refused_untouched,
        garbage_in_the_directory_is_told_by_file_and_offset,
        a_port_file_stands_for_a_server_that_is_ready,
        a_port_file_that_cannot_be_written_is_told_before_the_data_is_read,
        directories_above_are_made_too,
        sigterm_answers_and_exits_0,
        a_terminal_that_hangs_up_ends_nothing,
        a_second_signal_ends_at_once_with_1,
        a_port_file_goes_when_the_server_does,
        standard_descriptors_that_are_closed_stay_free_of_others,
        too_little_memory_is_told,
        a_client_without_memory_says_so,
        memory_that_ends_while_it_serves,
        what_cannot_be_printed_is_an_error,
        a_service_manager_is_told,
        starts_with_64_descriptors,
        too_few_descriptors_for_the_cores_that_are_asked_for,
        lives_with_64_descriptors,
        the_start_line_says_what_runs,
    ])
