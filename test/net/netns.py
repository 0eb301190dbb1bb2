# SPDX-License-Identifier: MIT
"""Network namespaces for tests: made here with names of their own, and removed whatever happens.

A World is a set of namespaces joined by veth pairs (links) or by delay relays (delay.c). Nothing outside of
them is touched; the machine's own network is not used at all."""
import atexit, itertools, json, os, pathlib, shutil, subprocess, sys, tempfile, threading

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(HERE.parent / "e2e"))
import lib  # noqa: E402  (the end-to-end tests' nodes and runner)

_worlds = []
_serial = itertools.count()
_building = threading.Lock()


def why_not():
    """Why namespaces cannot be had here; None when they can."""
    if os.name != "posix" or not sys.platform.startswith("linux"):
        return "needs Linux"
    if os.geteuid() != 0:
        return "needs root"
    for tool in ("ip", "nft"):
        if not shutil.which(tool):
            return f"needs {tool} (tools/setup.sh test installs it)"
    if not os.path.exists("/dev/net/tun"):
        return "needs /dev/net/tun"
    probe = f"cdt{os.getpid()}p"
    if subprocess.run(["ip", "netns", "add", probe], capture_output=True).returncode:
        return "may not make network namespaces"
    ok = subprocess.run(["ip", "netns", "exec", probe, "nft", "add table ip probe"], capture_output=True).returncode == 0
    subprocess.run(["ip", "netns", "del", probe], capture_output=True)
    return None if ok else "nft does not work in a network namespace"


def delay_program():
    """Builds test/net/delay.c once, whoever asks first."""
    with _building:
        return _build_delay()


def _build_delay():
    out = ROOT / "build" / "net" / "delay"
    source = HERE / "delay.c"
    if not out.exists() or out.stat().st_mtime < source.stat().st_mtime:
        out.parent.mkdir(parents=True, exist_ok=True)
        part = out.with_suffix(f".{os.getpid()}")
        subprocess.run([os.environ.get("CC", "cc").split()[-1], "-O2", "-Wall", "-Wextra", "-Werror", "-o", part, source], check=True)
        part.rename(out)
    return str(out)


class World:
    def __init__(self):
        self.prefix = f"cdt{os.getpid()}n{next(_serial)}"
        self.spaces, self.relays, self.nodes = [], [], []
        self.dir = tempfile.mkdtemp(prefix="conduit-net-")
        _worlds.append(self)

    def name(self, space):
        return f"{self.prefix}-{space}"

    def add(self, *spaces):
        for s in spaces:
            subprocess.run(["ip", "netns", "add", self.name(s)], check=True)
            self.spaces.append(s)
            self.run(s, "ip link set lo up")

    def run(self, space, command, check=True, input=None):
        r = subprocess.run(["ip", "netns", "exec", self.name(space), "sh", "-c", command],
                           capture_output=True, text=True, input=input)
        assert not check or r.returncode == 0, f"{space}: {command}: {r.stderr}"
        return r

    def nft(self, space, rules):
        r = self.run(space, "nft -f -", check=False, input=rules)
        assert r.returncode == 0, f"nft: {r.stderr}"

    def link(self, a, a_if, a_addr, b, b_if, b_addr):
        """A veth pair, up, with addresses."""
        subprocess.run(["ip", "link", "add", a_if, "netns", self.name(a), "type", "veth",
                        "peer", "name", b_if, "netns", self.name(b)], check=True)
        for space, dev, addr in ((a, a_if, a_addr), (b, b_if, b_addr)):
            self.run(space, f"ip addr add {addr} dev {dev} && ip link set {dev} up")

    def delayed(self, a, a_addr, b, b_addr, dev="d0", **options):
        """A point-to-point path through delay.c; options: us, mbit, loss, queue_ms, seed."""
        argv = [delay_program(), self.name(a), self.name(b), dev]
        for key, value in options.items():
            argv += ["--" + key.replace("_", "-"), str(value)]
        p = lib.spawn(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert p.stdout.readline() == "ready\n", "the delay relay did not start"
        self.relays.append(p)
        for space, addr, peer in ((a, a_addr, b_addr), (b, b_addr, a_addr)):
            self.run(space, f"ip addr add {addr} peer {peer} dev {dev} && ip link set {dev} up mtu 1500 txqueuelen 10000")
        return p

    def node(self, space, *args, env=None):
        """`conduit up` in that namespace; see Node."""
        n = Node(self, space, args, env)
        self.nodes.append(n)
        return n

    def curl(self, space, url, body=None, timeout=20):
        """(status, text) of a request made inside; (0, why) when there was none."""
        argv = ["ip", "netns", "exec", self.name(space), "curl", "-sS", "-m", str(timeout), "-w", "\n%{http_code}", url]
        if body is not None:
            argv += ["-H", "content-type: application/json", "-d", json.dumps(body)]
        r = subprocess.run(argv, capture_output=True, text=True)
        if r.returncode:
            return 0, r.stderr.strip()
        text, _, status = r.stdout.rpartition("\n")
        return int(status), text

    def close(self):
        for n in self.nodes:
            n.stop()
        for p in self.relays:
            p.stdin.close()
            p.wait(10)
        for s in self.spaces:
            subprocess.run(["ip", "netns", "del", self.name(s)], capture_output=True)
        self.nodes, self.relays, self.spaces = [], [], []
        shutil.rmtree(self.dir, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Node:
    """A node in a namespace: fixed ports (8000 for peers, 8888 for its user), a data directory of its own."""

    def __init__(self, world, space, args, env):
        self.world, self.space = world, space
        self.dir = tempfile.mkdtemp(prefix=f"{space}-", dir=world.dir)
        clean = {k: v for k, v in os.environ.items() if not k.startswith("CONDUIT_")}
        clean.update({"XDG_CONFIG_HOME": self.dir, "XDG_DATA_HOME": self.dir, "XDG_RUNTIME_DIR": self.dir, **(env or {})})
        self.log = open(os.path.join(self.dir, "log"), "ab")
        self.proc = lib.spawn(["ip", "netns", "exec", world.name(space), lib.CONDUIT, "up", "--json", "--data-dir",
                               os.path.join(self.dir, "data"), "--log-level", os.environ.get("NET_LOG", "info"), *args],
                              stdout=subprocess.PIPE, stderr=self.log, stdin=subprocess.DEVNULL, env=clean)
        line = self.proc.stdout.readline()
        assert line, f"{space} did not start: {self.logged()[-1500:]}"
        self.ready = json.loads(line)
        self.peer = self.ready["peer"]

    def get(self, path, timeout=10):
        status, text = self.world.curl(self.space, f"http://127.0.0.1:8888{path}", timeout=timeout)
        return json.loads(text) if status == 200 else None

    def status(self):
        return self.get("/conduit/v1/status") or {}

    def peers(self):
        return (self.get("/conduit/v1/peers") or {}).get("peers", [])

    def ask(self, model="echo", text="hello", timeout=20):
        return self.world.curl(self.space, "http://127.0.0.1:8888/v1/chat/completions", timeout=timeout,
                               body={"model": model, "messages": [{"role": "user", "content": text}]})

    def logged(self):
        self.log.flush()
        with open(self.log.name, encoding="utf-8", errors="replace") as f:
            return f.read()

    def stop(self):
        if self.proc.poll() is None:
            self.proc.terminate()
            try:
                self.proc.wait(8)
            except subprocess.TimeoutExpired:
                self.proc.kill()
                self.proc.wait()
        self.proc.stdout.close()
        self.log.close()


@atexit.register
def _close_all():
    for w in _worlds:
        w.close()


def main():
    """The tests of the calling file; all of them skipped, with the reason, where namespaces cannot be had."""
    why = why_not()
    if why:
        def skipped():
            raise lib.Skip(why)
        for i, t in enumerate(lib._tests):
            stand_in = lambda: skipped()
            stand_in.__name__ = t.__name__
            lib._tests[i] = stand_in
    lib.main()
