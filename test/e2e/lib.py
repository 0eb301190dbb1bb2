# SPDX-License-Identifier: MIT
"""What the end-to-end tests stand on: nodes as real processes in directories of their own, the scripted
backend, plain sockets, and a runner that counts. Standard library only.

Every process is started here and ended here, by its pid; every wait has a deadline."""
import atexit, fnmatch, http.client, json, os, pathlib, resource, shutil, signal, socket, subprocess, sys, tempfile, threading, time, traceback

ROOT = pathlib.Path(__file__).resolve().parents[2]
CONDUIT = os.environ.get("CONDUIT_BIN", str(ROOT / "build/conduit"))
TINY = str(ROOT / "models/conduit-tiny.gguf")
_procs = []


class Skip(Exception):
    pass


def wait_for(what, cond, timeout=20.0, every=0.02):
    """The first true value of cond(); an AssertionError naming `what` when time runs out."""
    end = time.monotonic() + timeout
    while True:
        v = cond()
        if v:
            return v
        if time.monotonic() > end:
            raise AssertionError(f"after {timeout} s: {what}")
        time.sleep(every)


@atexit.register
def _end_all():
    for p in _procs:
        if p.poll() is None:
            p.terminate()
    for p in _procs:
        try:
            p.wait(5)
        except subprocess.TimeoutExpired:
            p.kill()


def spawn(argv, **kw):
    p = subprocess.Popen(argv, **kw)
    _procs.append(p)
    return p


class Node:
    """`conduit up` with a data directory of its own; ports are free ones unless given."""

    def __init__(self, *args, dir=None, env=None, wait=True, ports=True, json_out=True, wrapper=(), limits=None):
        self.own_dir = dir is None
        self.dir = dir or tempfile.mkdtemp(prefix="conduit-e2e-")
        base = ["--data-dir", os.path.join(self.dir, "data")]
        if json_out:
            base.insert(0, "--json")
        if ports:
            base += ["--p2p-port", "0", "--http-port", "0", "--p2p-host", "127.0.0.1"]
        clean = {k: v for k, v in os.environ.items() if not k.startswith("CONDUIT_") or k in ("CONDUIT_LLAMA_SERVER",)}
        clean["XDG_CONFIG_HOME"] = os.path.join(self.dir, "config")
        clean["CONDUIT_MDNS"] = "0"  # nodes of other tests, and of the LAN this machine is on
        clean.update(env or {})
        self.log_path = os.path.join(self.dir, "log")
        self.log = open(self.log_path, "ab")
        self.proc = spawn([*wrapper, CONDUIT, "up", *base, *args], stdout=subprocess.PIPE, stderr=self.log,
                          stdin=subprocess.DEVNULL, env=clean, cwd=self.dir,
                          preexec_fn=(lambda: [resource.setrlimit(k, v) for k, v in limits.items()]) if limits else None)
        self.ready = None
        if wait:
            self.wait_ready()

    def wait_ready(self, timeout=30):
        got = []
        t = threading.Thread(target=lambda: got.append(self.proc.stdout.readline()), daemon=True)
        t.start()
        t.join(timeout)
        if not got or not got[0]:
            self.proc.poll()
            raise AssertionError(f"node did not become ready (exit {self.proc.returncode}): {self.logged()[-1500:]}")
        self.ready = json.loads(got[0])
        self.peer, self.address, self.api = self.ready["peer"], self.ready["address"], self.ready["api"]
        self.port = int(self.api.split(":")[2].split("/")[0])
        return self

    def logged(self):
        self.log.flush()
        return open(self.log_path, errors="replace").read()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.stop()

    def stop(self, timeout=15):
        if self.proc.poll() is None:
            self.proc.terminate()
            try:
                self.proc.wait(timeout)
            except subprocess.TimeoutExpired:
                self.proc.kill()
                self.proc.wait()
                raise AssertionError("the node did not stop within %s s" % timeout)
        if self.proc.stdout:
            self.proc.stdout.close()
        code = self.proc.returncode
        log = self.logged()
        self.log.close()
        if self.own_dir:
            shutil.rmtree(self.dir, ignore_errors=True)
        if "Sanitizer" in log or "runtime error:" in log:
            raise AssertionError("sanitizer report:\n" + log[-4000:])
        return code

    def kill(self):
        os.kill(self.proc.pid, signal.SIGKILL)
        self.proc.wait()

    # --- HTTP ----------------------------------------------------------------------------------------
    def request(self, method, path, body=None, headers=None, timeout=30):
        """(status, headers, bytes)."""
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        data = body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode()
        h = {"Content-Type": "application/json"} if data is not None else {}
        c.request(method, path, data, {**h, **(headers or {})})
        r = c.getresponse()
        out = r.status, {k.lower(): v for k, v in r.getheaders()}, r.read()
        c.close()
        return out

    def get(self, path, **kw):
        s, h, b = self.request("GET", path, **kw)
        return s, json.loads(b)

    def chat(self, model="ok", text="What is the capital of France?", headers=None, timeout=30, **fields):
        body = {"model": model, "messages": [{"role": "user", "content": text}], **fields}
        if model is None:
            del body["model"]
        s, h, b = self.request("POST", "/v1/chat/completions", body, headers, timeout)
        return s, h, json.loads(b)

    def stream(self, model="ok", text="What is the capital of France?", timeout=30, **fields):
        """(status, headers, events as parsed JSON or "[DONE]", raw bytes, ended orderly)."""
        body = {"model": model, "stream": True, "messages": [{"role": "user", "content": text}], **fields}
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        c.request("POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"})
        r = c.getresponse()
        orderly = True
        try:
            raw = r.read()
        except http.client.IncompleteRead as e:
            raw, orderly = e.partial, False
        c.close()
        return r.status, {k.lower(): v for k, v in r.getheaders()}, events_of(raw), raw, orderly

    def models(self):
        s, b = self.get("/v1/models")
        assert s == 200, (s, b)
        return [m["id"] for m in b["data"]]

    def wait_model(self, model, timeout=20):
        wait_for(f"{model} in /v1/models of the consumer", lambda: model in self.models(), timeout)
        return self

    def cli(self, *args, timeout=60, check=False, input=None):
        return subprocess.run([CONDUIT, args[0], "--data-dir", os.path.join(self.dir, "data"), *args[1:]],
                              capture_output=True, text=True, timeout=timeout, check=check, input=input)


def cli(*args, timeout=60, env=None, input=None):
    return subprocess.run([CONDUIT, *args], capture_output=True, text=True, timeout=timeout,
                          env={"CONDUIT_MDNS": "0", **os.environ, **(env or {})}, input=input)


def events_of(raw):
    out = []
    for block in raw.decode().replace("\r\n", "\n").split("\n\n"):
        data = [l[5:].lstrip() for l in block.split("\n") if l.startswith("data:")]
        if data:
            d = "\n".join(data)
            out.append(d if d == "[DONE]" else json.loads(d))
    return out


def text_of(events):
    return "".join(c["delta"].get("content") or "" for e in events if isinstance(e, dict) for c in e.get("choices", []))


def error_of(events):
    return next((e["error"] for e in events if isinstance(e, dict) and e.get("error")), None)


class Backend:
    def __init__(self):
        self.proc = spawn([sys.executable, str(ROOT / "test/e2e/backend.py")], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, text=True)
        self.port = int(self.proc.stdout.readline().split()[1])
        self.url = f"http://127.0.0.1:{self.port}/v1"

    def ask(self, method, path):
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        c.request(method, path, "{}")
        out = json.loads(c.getresponse().read())
        c.close()
        return out

    def seen(self):
        return [r for r in self.ask("GET", "/_seen") if r["path"].split("/")[-1] != "models"]

    def reset(self):
        self.ask("POST", "/_reset")

    def stop(self):
        self.proc.stdin.close()
        self.proc.wait(5)


def raw_exchange(port, data, timeout=10, pieces=None, pause=0.0):
    """Sends bytes as they are, reads until the end; what came."""
    s = socket.create_connection(("127.0.0.1", port), timeout=timeout)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for p in pieces or [data]:
        s.sendall(p)
        if pause:
            time.sleep(pause)
    out = b""
    try:
        while (d := s.recv(65536)):
            out += d
    except (TimeoutError, ConnectionResetError):
        pass
    s.close()
    return out


_tests = []


def test(f):
    _tests.append(f)
    return f


def main():
    """Runs the tests of the calling file (an argument chooses by glob), prints and counts."""
    want = sys.argv[1] if len(sys.argv) > 1 else "*"
    p = f = s = 0
    for t in _tests:
        name = t.__name__
        if not fnmatch.fnmatch(name, want):
            continue
        for attempt in (1, 2):
            start = time.monotonic()
            try:
                t()
                p += 1
                print(f"ok   {name} ({time.monotonic() - start:.1f} s{', at the second try' if attempt > 1 else ''})", flush=True)
                break
            except Skip as e:
                s += 1
                print(f"skip {name}: {e}", flush=True)
                break
            except Exception as e:
                traceback.print_exc()
                # A shared machine stalls now and then: one more try, never silently. CI says TRIES=2.
                if attempt < int(os.environ.get("TRIES", "1")):
                    print(f"     {name}: {e}; once more", flush=True)
                    continue
                f += 1
                print(f"FAIL {name}: {e}", flush=True)
                break
    counts = os.environ.get("COUNTS")
    if counts:
        with open(counts, "r+") as c:
            old = [int(x) for x in (c.read().split() or [0, 0, 0])]
            c.seek(0)
            c.write(f"{old[0] + p} {old[1] + f} {old[2] + s}\n")
            c.truncate()
    print(f"{p} passed, {f} failed, {s} skipped", flush=True)
    sys.exit(1 if f else 0)
