# SPDX-License-Identifier: MIT
"""What `make bench` measures and measures against: processes that it starts, pins and ends.

Everything measured runs alone on core 0; the backend (mock.c) and the client (load.c) share core 1. A target
is an address to send requests to and the processes whose CPU and memory count as its own. CPU is the
process's own clock in nanoseconds, threads and all (a tick of utime is 10 ms, too coarse for a short run).
"""
import atexit
import json
import os
import pathlib
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
MEASURED_CORE, LOAD_CORE = 0, 1
CONNS_MAX = 4096
_started = []


class Unavailable(Exception):
    """This yardstick is not installed, or did not start."""


@atexit.register
def end_all():
    for process in reversed(_started):
        if process.poll() is None:
            process.terminate()
    for process in reversed(_started):
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
    _started.clear()


def raise_files():
    """Thousands of streams need thousands of descriptors; children inherit it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def pinned(core, command):
    return ["taskset", "-c", str(core), *map(str, command)]


def spawn(core, command, **options):
    process = subprocess.Popen(pinned(core, command), **options)
    _started.append(process)
    return process


def wait_for(what, condition, seconds=30.0):
    end = time.monotonic() + seconds
    while not (got := condition()):
        if time.monotonic() > end:
            raise Unavailable(f"not after {seconds:.0f} s: {what}")
        time.sleep(0.05)
    return got


def first_line(process, seconds=30.0):
    got = []
    reader = threading.Thread(target=lambda: got.append(process.stdout.readline()), daemon=True)
    reader.start()
    reader.join(seconds)
    return got[0] if got else b""


def models_at(port):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/models", timeout=2) as answer:
            return {row["id"] for row in json.load(answer)["data"]}
    except (OSError, ValueError, KeyError):
        return set()


def children(pid):
    found = [pid]
    for task in pathlib.Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            found += children(int(child))
    return found


class Target:
    """`processes` are what is measured; none for the backend asked directly."""

    def __init__(self, name, port, processes):
        self.name, self.port, self.processes = name, port, processes

    def pids(self):
        return [pid for process in self.processes for pid in children(process.pid)]

    def cpu_ns(self):
        # CPUCLOCK_SCHED of another process: see clock_getcpuclockid(3)
        return sum(time.clock_gettime_ns((~pid << 3) | 2) for pid in self.pids())

    def memory_kb(self, field):
        """A line of smaps_rollup, summed: Rss is all that is resident, Anonymous what was allocated."""
        total = 0
        for pid in self.pids():
            for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith(field + ":"):
                    total += int(line.split()[1])
        return total

    def check_alive(self):
        for process in self.processes:
            if process.poll() is not None:
                raise Unavailable(f"{self.name} has ended by itself with {process.returncode}")


class Workplace:
    """The directory, the tools and the ports of one run."""

    def __init__(self, build, models):
        self.build, self.models = pathlib.Path(build), models
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="conduit-bench-"))
        atexit.register(shutil.rmtree, self.dir, ignore_errors=True)
        raise_files()
        self.mock = spawn(LOAD_CORE, [self.build / "bench-mock", 0, *models], stdout=subprocess.PIPE)
        self.mock_port = json.loads(first_line(self.mock))["port"]

    def load(self, *arguments):
        """One run of the client; its result as a dict."""
        done = subprocess.run(pinned(LOAD_CORE, [self.build / "bench-load", *arguments]),
                              stdout=subprocess.PIPE, check=True, timeout=300)
        return json.loads(done.stdout)

    def log(self, name):
        return open(self.dir / f"{name}.log", "ab")


def free_port():
    import socket
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def program(name):
    path = shutil.which(name) or shutil.which(f"/usr/sbin/{name}")
    if not path:
        raise Unavailable(f"{name} is not installed: make bench installs it with tools/setup.sh bench")
    return path


# --- the yardsticks ------------------------------------------------------------------------------------------
NGINX = """
daemon off; worker_processes 1; pid {dir}/nginx.pid; error_log {dir}/nginx.log; {user}
events {{ worker_connections 16384; }}
http {{
    access_log off; tcp_nodelay on; keepalive_requests 100000000; keepalive_timeout 300s;
    client_max_body_size 64m; client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy;
    fastcgi_temp_path {dir}/f; uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s;
    upstream backend {{ server 127.0.0.1:{mock}; keepalive 256; keepalive_requests 100000000; }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://backend; proxy_http_version 1.1; proxy_set_header Connection "";
            proxy_buffering off; proxy_request_buffering off; proxy_read_timeout 300s;
        }}
    }}
}}
"""

HAPROXY = """
global
    nbthread 1
    maxconn 8192
defaults
    mode http
    option http-no-delay
    http-reuse always
    timeout connect 5s
    timeout client 300s
    timeout server 300s
frontend front
    bind 127.0.0.1:{port}
    default_backend back
backend back
    server mock 127.0.0.1:{mock}
"""


def start_direct(place):
    return Target("direct", place.mock_port, [])


def start_nginx(place):
    port, config = free_port(), place.dir / "nginx.conf"
    user = "user root;" if os.getuid() == 0 else ""
    config.write_text(NGINX.format(dir=place.dir, port=port, mock=place.mock_port, user=user))
    process = spawn(MEASURED_CORE, [program("nginx"), "-p", place.dir, "-e", place.dir / "nginx.log",
                                    "-c", config], stderr=place.log("nginx-out"))
    wait_for("nginx answers", lambda: models_at(port), 10)
    return Target("nginx", port, [process])


def start_haproxy(place):
    port, config = free_port(), place.dir / "haproxy.cfg"
    config.write_text(HAPROXY.format(port=port, mock=place.mock_port))
    process = spawn(MEASURED_CORE, [program("haproxy"), "-db", "-q", "-f", config],
                    stderr=place.log("haproxy"))
    wait_for("HAProxy answers", lambda: models_at(port), 10)
    return Target("haproxy", port, [process])


# --- Conduit -------------------------------------------------------------------------------------------------
def start_node(place, name, *arguments, wrapper=()):
    home = place.dir / name
    home.mkdir()
    clean = {k: v for k, v in os.environ.items() if not k.startswith("CONDUIT_")}
    clean["XDG_CONFIG_HOME"] = str(home / "config")
    command = [*wrapper, place.build / "conduit", "up", "--json", "--data-dir", home / "data",
               "--p2p-port", 0, "--p2p-host", "127.0.0.1", "--http-port", 0, *arguments]
    process = spawn(MEASURED_CORE, command, stdout=subprocess.PIPE, stderr=place.log(name),
                    stdin=subprocess.DEVNULL, env=clean, cwd=home)
    line = first_line(process, 120)
    if not line:
        log = (place.dir / f"{name}.log").read_text(errors="replace")
        raise Unavailable(f"conduit up ({name}) did not become ready: {log[-600:]}")
    ready = json.loads(line)
    port = int(ready["api"].split(":")[2].split("/")[0])
    return process, port, ready["address"]


def start_one(place, wrapper=()):
    """One node: its gateway, and the backend behind it."""
    process, port, _ = start_node(place, "one", "--backend", f"http://127.0.0.1:{place.mock_port}/v1",
                                  wrapper=wrapper)
    wait_for("the node knows the backend's models", lambda: models_at(port) >= set(place.models))
    return Target("one", port, [process])


def start_two(place, wrapper=()):
    """Two nodes: the consumer's gateway, libp2p over loopback, the provider and the backend behind it."""
    provider, _, address = start_node(place, "provider", "--backend",
                                      f"http://127.0.0.1:{place.mock_port}/v1",
                                      "--max-concurrent", CONNS_MAX, wrapper=wrapper)
    consumer, port, _ = start_node(place, "consumer", "--bootstrap", address, wrapper=wrapper)
    wait_for("the consumer knows the provider's models", lambda: models_at(port) >= set(place.models), 60)
    return Target("two", port, [consumer, provider])


def start_idle(place):
    process, port, _ = start_node(place, f"idle{time.monotonic_ns()}")
    return Target("idle", port, [process])


STARTS = {"direct": start_direct, "nginx": start_nginx, "haproxy": start_haproxy,
          "one": start_one, "two": start_two}


def start(place, names, **options):
    """The targets that could be started, in order; says which could not, and why."""
    targets = []
    for name in names:
        try:
            targets.append(STARTS[name](place, **(options if name in ("one", "two") else {})))
        except Unavailable as e:
            print(f"without {name}: {e}", file=sys.stderr)
    return targets
