"""The admin port of the real pakvd: its pages, its address, and what becomes of it at a stop."""

import contextlib
import http.client
import os
import pathlib
import socket
import subprocess
import time
import urllib.request

import pakv


def get(port, path, method="GET"):
    """(status, headers, body) of one request on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(method, path)
        response = connection.getresponse()
        return response.status, response.headers, response.read().decode()
    finally:
        connection.close()


def samples(page):
    """The samples of a metrics page by name."""
    return {line.split()[0]: line.split()[1] for line in page.splitlines()
            if not line.startswith("#")}


def the_process_is_told_of(server, after):
    folder = f"/proc/{server.process.pid}"
    limits = pathlib.Path(folder, "limits").read_text()
    pakv.check(f" {after['process_max_fds']} " in limits.split("Max open files")[1].splitlines()[0],
               f"max_fds {after['process_max_fds']}: {limits}")
    # Of the connections that come and go only the one that asks may make a difference. Segments are
    # made ahead of need, which is over when nobody writes.
    deadline = time.monotonic() + 60
    told, now_open = int(after["process_open_fds"]), len(os.listdir(f"{folder}/fd"))
    while abs(told - now_open) > 2:
        pakv.check(time.monotonic() < deadline, f"open_fds is {told}, {now_open} are open")
        told = int(samples(get(server.port("admin"), "/metrics")[2])["process_open_fds"])
        now_open = len(os.listdir(f"{folder}/fd"))
    pakv.check(0 < int(after["process_resident_memory_bytes"])
               < int(after["process_virtual_memory_bytes"]), "memory")
    pakv.check(float(after["process_cpu_seconds_total"]) > 0, "cpu_seconds")
    age = time.time() - float(after["process_start_time_seconds"])
    pakv.check(-2 < age < 600, f"started {age} s ago")


def the_pages_tell_what_goes_on(pakvd, pakvctl, parent):
    server = pakv.Server(pakvd, os.path.join(parent, "data"), "--cores", "2")
    port = server.port("admin")
    status, _, body = get(port, "/healthz")
    pakv.check((status, body) == (200, "ok\n"), f"/healthz: {status} {body}")
    status, _, body = get(port, "/readyz")
    pakv.check((status, body) == (200, "ready\n"), f"/readyz: {status} {body}")
    before = samples(get(port, "/metrics")[2])
    client = server.connect()
    client.pipeline([("SET", f"key{i}", "v" * 100) for i in range(1000)])
    client.pipeline([("GET", f"key{i}") for i in range(1100)])
    status, headers, page = get(port, "/metrics")
    pakv.check(status == 200 and headers["Content-Type"].startswith("text/plain; version=0.0.4"),
               f"/metrics: {status} {headers}")
    after = samples(page)

    def grown(name):
        return int(after[name]) - int(before[name])

    for name, count in [("requests", 2100), ("reads", 1100), ("read_misses", 100),
                        ("writes", 1000), ("connections_opened", 1)]:
        pakv.check(grown(f"pakv_{name}_total") == count, f"{name}: {grown(f'pakv_{name}_total')}")
    pakv.check(after["pakv_keys"] == "1000" and after["pakv_connections"] == "1", page)
    pakv.check(grown("pakv_record_bytes_total") >= 1000 * 100, "record_bytes")
    pakv.check(grown("pakv_block_bytes_total") > grown("pakv_record_bytes_total"), "block_bytes")
    pakv.check(0 < grown("pakv_blocks_total") <= 1100, "blocks")
    pakv.check(int(after["pakv_received_bytes_total"]) > 1000 * 100, "received_bytes")
    commits = grown("pakv_commit_seconds_count")
    pakv.check(commits == grown("pakv_blocks_total"), f"commits: {commits}")
    pakv.check(int(after['pakv_commit_seconds_bucket{le="+Inf"}']) >= commits, "buckets")
    pakv.check(float(after["pakv_commit_seconds_sum"]) > 0, "commit_seconds_sum")
    the_process_is_told_of(server, after)
    pakv.check(get(port, "/")[0] == 404 and get(port, "/healthz", "DELETE")[0] == 405, "refusals")
    status, headers, body = get(port, "/metrics", "HEAD")
    pakv.check(status == 200 and not body and int(headers["Content-Length"]) > 1000, "HEAD")
    # As a scraper does it.
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as response:
        pakv.check(b"pakv_keys 1000\n" in response.read(), "urllib")
    pakv.check(server.stop() == 0, server.log)


def info_tells_of_the_process_and_its_file(pakvd, _pakvctl, parent):
    config = os.path.join(parent, "pakv.toml")
    pathlib.Path(config).write_text("cores = 1\n")
    server = pakv.Server(pakvd, os.path.join(parent, "data"), "--config", config)
    client = server.connect()
    text = client.call("INFO").decode()
    info = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    pakv.check(info["config_file"] == config, info["config_file"])
    used, rss = int(info["used_memory"]), int(info["used_memory_rss"])
    pakv.check(0 < used <= int(info["used_memory_peak"]) and rss <= int(info["used_memory_peak"]),
               f"memory: {text}")
    pakv.check(rss < int(info["total_system_memory"]), f"total_system_memory: {text}")
    ratio = float(info["mem_fragmentation_ratio"])
    pakv.check(abs(ratio - rss / used) < 0.01, f"mem_fragmentation_ratio: {text}")
    for name in ("used_memory", "used_memory_rss", "used_memory_peak", "total_system_memory",
                 "maxmemory"):
        human = info[f"{name}_human"]
        units = float(human[:-1]) * 1024 ** "BKMGT".index(human[-1])
        pakv.check(abs(units - int(info[name])) <= 0.006 * 1024 ** "BKMGT".index(human[-1]),
                   f"{name}: {info[name]} is not {human}")
    pakv.check(float(info["used_cpu_user"]) + float(info["used_cpu_sys"]) > 0, f"cpu: {text}")
    pakv.check(len(info["master_replid"]) == 40, f"master_replid: {text}")
    pakv.check(abs(time.time() - int(info["rdb_last_save_time"])) < 600, f"last_save: {text}")
    pakv.check(server.stop() == 0, server.log)


def while_it_drains_it_is_alive_and_not_ready(pakvd, _pakvctl, parent):
    server = pakv.Server(pakvd, os.path.join(parent, "data"), "--drain-timeout", "1h")
    port = server.port("admin")
    client = server.connect()
    client.call("SET", "large", b"v" * (1 << 20))
    # A client that does not read what it is owed, more than any socket's buffers take, keeps the
    # server from ending.
    request = pakv.encode("GET", "large")
    client.send_raw(request * 64)
    client.more()
    server.process.terminate()
    refused = False
    while not refused:
        try:
            socket.create_connection(("127.0.0.1", server.port()), timeout=60).close()
        except ConnectionRefusedError:
            refused = True
        except ConnectionResetError:
            pass  # it was in the queue when the listener was closed
    status, _, body = get(port, "/readyz")
    pakv.check(status == 503 and body.startswith("stopping: "), f"/readyz: {status} {body}")
    status, _, body = get(port, "/healthz")
    pakv.check((status, body) == (200, "ok\n"), f"/healthz: {status} {body}")
    for _ in range(64):
        pakv.check(client.reply() == b"v" * (1 << 20), "what was received before is answered")
    pakv.check(server.wait() == 0, server.log)


def start_and_wait(pakvd, parent, *flags):
    """pakvd with these flags alone, and what it has said until it was ready; None if it ended."""
    process = subprocess.Popen([pakvd, "--dir", os.path.join(parent, "data"), *flags],
                               stderr=subprocess.PIPE, text=True)
    said = ""
    for line in process.stderr:
        said += line
        if " ready: " in line:
            return process, said
    process.wait()
    process.stderr.close()
    return None, said


def a_taken_port_is_a_warning_unless_it_was_asked_for(pakvd, _pakvctl, parent):
    with contextlib.ExitStack() as stack:
        taken = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        server = pakv.Server(pakvd, os.path.join(parent, "data"), "--admin-addr", address,
                             wait=False)
        code = server.wait()
        pakv.check(code == 2 and address in server.last_log, f"{code}: {server.last_log}")

        # The default is a fixed port; whoever has it, it is taken.
        with contextlib.suppress(OSError):
            stack.enter_context(socket.create_server(("127.0.0.1", 7380)))
        path = pakv.socket_path(parent)
        process, said = start_and_wait(pakvd, parent, "--addr", f"unix:{path}")
        pakv.check(process is not None, said)
        process.terminate()
        rest = process.communicate(timeout=60)[1]
        pakv.check(process.returncode == 0, rest)
        pakv.check(" warn " in said and "127.0.0.1:7380" in said, said)


def none_is_no_port(pakvd, _pakvctl, parent):
    server = pakv.Server(pakvd, os.path.join(parent, "data"), "--admin-addr", "none")
    pakv.check(list(server.ports) == ["data"], f"{server.ports}")
    pakv.check(server.stop() == 0, "stop")


if __name__ == "__main__":
    pakv.main([
        the_pages_tell_what_goes_on,
        info_tells_of_the_process_and_its_file,
        while_it_drains_it_is_alive_and_not_ready,
        a_taken_port_is_a_warning_unless_it_was_asked_for,
        none_is_no_port,
    ])
