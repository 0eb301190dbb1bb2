#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What a stranger tried who only had the README: options that nobody combines, keys in the environment, split
models, more than one backend, a file searched for the prompt. Each test is a promise of the documents."""
import json, os, shutil, signal, socket, ssl, struct, subprocess, tempfile, threading, time
from lib import *

SKIP = None if cli("engine", "version").returncode == 0 else "no llama-server (make engine)"


def need_engine():
    if SKIP:
        raise Skip(SKIP)


def children(node):
    """(pid, command line) of what the node started, and of what that started."""
    out = subprocess.run(["ps", "-eo", "pid,ppid,args"], capture_output=True, text=True).stdout
    rows, mine, found = [l.split(None, 2) for l in out.splitlines()[1:]], {str(node.proc.pid)}, []
    for _ in range(4):
        for pid, ppid, args in rows:
            if ppid in mine and pid not in mine:
                mine.add(pid)
                found.append((int(pid), args))
    return found


# --- GGUFs, made from the tiny model ---------------------------------------------------------------------
def gguf_read(path):
    """([(key, bytes of the pair)], [[name, dims, type, bytes]])"""
    f = open(path, "rb").read()
    at = 24
    sizes = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}

    def text():
        nonlocal at
        n, = struct.unpack_from("<Q", f, at)
        at += 8 + n
        return f[at - n:at]

    def skip(kind):
        nonlocal at
        if kind == 8:
            text()
        elif kind == 9:
            element, n = struct.unpack_from("<IQ", f, at)
            at += 12
            for _ in range(n):
                skip(element)
        else:
            at += sizes[kind]
    tensor_count, pair_count = struct.unpack_from("<QQ", f, 8)
    pairs, tensors = [], []
    for _ in range(pair_count):
        start = at
        key = text()
        at += 4
        skip(struct.unpack_from("<I", f, at - 4)[0])
        pairs.append((key.decode(), f[start:at]))
    for _ in range(tensor_count):
        name = text()
        n, = struct.unpack_from("<I", f, at)
        dims = struct.unpack_from("<%dQ" % n, f, at + 4)
        kind, offset = struct.unpack_from("<IQ", f, at + 4 + 8 * n)
        at += 16 + 8 * n
        tensors.append([name, dims, kind, offset])
    base = (at + 31) // 32 * 32
    ends = sorted(t[3] for t in tensors) + [len(f) - base]
    for t in tensors:
        t[3] = f[base + t[3]:base + ends[ends.index(t[3]) + 1]]
    return pairs, tensors


def gguf_write(path, pairs, tensors):
    out = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(pairs)) + b"".join(p[1] for p in pairs)
    data = b""
    for name, dims, kind, blob in tensors:
        out += struct.pack("<Q", len(name)) + name + struct.pack("<I", len(dims)) + struct.pack("<%dQ" % len(dims), *dims)
        out += struct.pack("<IQ", kind, len(data))
        data += blob + b"\0" * (-len(blob) % 32)
    with open(path, "wb") as f:
        f.write(out + b"\0" * (-len(out) % 32) + data)


def pair(key, kind, value):
    packed = struct.pack("<Q", len(value)) + value.encode() if kind == 8 else struct.pack({2: "<H", 5: "<i", 6: "<f"}[kind], value)
    return key, struct.pack("<Q", len(key)) + key.encode() + struct.pack("<I", kind) + packed


def make_split(folder, parts=3):
    pairs, tensors = gguf_read(TINY)
    each, out = -(-len(tensors) // parts), []
    for i in range(parts):
        out.append(os.path.join(folder, "tiny-%05d-of-%05d.gguf" % (i + 1, parts)))
        gguf_write(out[i], (pairs if i == 0 else []) + [pair("split.no", 2, i), pair("split.count", 2, parts),
                   pair("split.tensors.count", 5, len(tensors))], tensors[i * each:(i + 1) * each])
    return out


def make_lora(path, rank=4):
    pairs, tensors = gguf_read(TINY)
    name, (a, b) = next((t[0], t[1]) for t in tensors if t[0] == b"blk.0.attn_q.weight")
    gguf_write(path, [p for p in pairs if p[0] == "general.architecture"] + [pair("general.type", 8, "adapter"),
               pair("adapter.type", 8, "lora"), pair("adapter.lora.alpha", 6, 4.0)],
               [[name + b".lora_a", (a, rank), 0, b"\0" * (4 * a * rank)], [name + b".lora_b", (rank, b), 0, b"\0" * (4 * b * rank)]])


@test
def every_option_of_the_engine_reaches_it():
    need_engine()
    with tempfile.TemporaryDirectory() as d:
        lora, file = os.path.join(d, "lora.gguf"), os.path.join(d, "stem.gguf")
        make_lora(lora)
        shutil.copy(TINY, file)
        # Three slots share no batch of 512 or of 64 evenly, which aborts llama.cpp unless it is told better.
        with Node("--model", "my/name:x=" + file, "--ctx", "256", "--parallel", "3", "--threads", "1", "--batch", "64", "--lora", lora) as n:
            n.wait_model("my/name:x", 40)
            args = next(a for _, a in children(n) if "--model" in a)
            for want in ("--ctx-size 768", "--parallel 3", "--threads 1", "--batch-size 64", "--lora " + lora):
                assert want in args, (want, args)
            assert n.get("/v1/models/my/name:x")[0] == n.get("/v1/models/my%2Fname%3Ax")[0] == 200
            digest = wait_for("the digest", lambda: json.loads(n.cli("status", "--json").stdout)["models"][0]["digest"], 10)
            for name in ("my/name:x", "stem", "my/name:x:q8_0", "my/name:x@sha256:" + digest[:12], "stem@sha256:" + digest):
                s, h, b = n.chat(name, temperature=0)
                assert s == 200 and b["model"] == "my/name:x", (name, s, b)
            for name in ("my/name:x:Q2_K", "my/name:x@sha256:" + "0" * 12):
                assert n.chat(name)[0] == 404, name


@test
def a_prompt_that_is_too_long_has_the_code_that_agents_know():
    need_engine()
    with Node("--model", TINY, "--threads", "1", "--ctx", "256") as p, Node("--bootstrap", p.address) as c:
        c.wait_model("conduit-tiny", 40)
        for n in (p, c):
            s, h, b = n.chat("conduit-tiny", text="hello " * 500)
            assert s == 400 and b["error"]["code"] == "context_length_exceeded" and "context size" in b["error"]["message"], (s, b)
            s, h, ev, raw, orderly = n.stream("conduit-tiny", text="hello " * 500)
            assert s == 400 and b"context_length_exceeded" in raw, (s, raw)


@test
def layers_on_the_gpu_may_be_none():
    need_engine()
    for args, want in ((["--gpu-layers", "0"], True), ([], False)):
        with Node("--model", TINY, "--threads", "1", *args) as n:
            n.wait_model("conduit-tiny", 40)
            assert any("--n-gpu-layers 0" in a for _, a in children(n)) == want, children(n)


@test
def a_split_model_is_one_model():
    need_engine()
    with tempfile.TemporaryDirectory() as d:
        parts = make_split(d)
        with Node("--model", parts[0], "--threads", "1") as n:
            n.wait_model("conduit-tiny", 40)
            assert "Paris" in n.chat("conduit-tiny", temperature=0)[2]["choices"][0]["message"]["content"]
        r = cli("up", "--data-dir", d + "/x", "--http-port", "0", "--p2p-port", "0", "--model", parts[1], timeout=20)
        assert r.returncode == 1 and "first file" in r.stderr, r
        os.unlink(parts[2])
        r = cli("up", "--data-dir", d + "/x", "--http-port", "0", "--p2p-port", "0", "--model", parts[0], timeout=20)
        assert r.returncode == 1 and os.path.basename(parts[2]) in r.stderr, r


@test
def an_adapter_or_projector_that_is_none_is_refused_at_once():
    need_engine()
    with tempfile.TemporaryDirectory() as d:
        for flag, file, words in (("--lora", d + "/none.gguf", "No such file"), ("--mmproj", d + "/none.gguf", "No such file"),
                                  ("--lora", TINY, "no LoRA adapter"), ("--mmproj", TINY, "no projector")):
            r = cli("up", "--data-dir", d + "/x", "--http-port", "0", "--p2p-port", "0", "--model", TINY, flag, file, timeout=20)
            assert r.returncode == 1 and file in r.stderr and words in r.stderr, (flag, r)


@test
def the_engine_gets_no_secrets_and_no_network():
    need_engine()
    with Node("--model", TINY, "--threads", "1", env={"CONDUIT_BACKEND_X_KEY": "canary-1", "HF_TOKEN": "canary-2"}) as n:
        n.wait_model("conduit-tiny", 40)
        pid = next(p for p, a in children(n) if "llama-server" in a)
        read = lambda name: open(f"/proc/{pid}/{name}").read()
        assert "canary" not in read("environ") and "PATH=" in read("environ")
        assert "NoNewPrivs:\t1" in read("status") and "Seccomp:\t2" in read("status")
        assert os.getpgid(pid) != os.getpgid(n.proc.pid), "Ctrl-C in a terminal would kill it before the node"
        sockets = {os.readlink(f"/proc/{pid}/fd/{f}")[8:-1] for f in os.listdir(f"/proc/{pid}/fd")
                   if os.readlink(f"/proc/{pid}/fd/{f}").startswith("socket:[")}
        inet = {l.split()[9] for f in ("tcp", "tcp6", "udp", "udp6") for l in open("/proc/net/" + f).read().splitlines()[1:]}
        assert sockets and not sockets & inet


@test
def ctrl_c_lets_an_answer_finish():
    """A terminal sends it to every process of the group; the engine must not be the first to go."""
    need_engine()
    with tempfile.TemporaryDirectory() as d:
        p = spawn([CONDUIT, "up", "--json", "--data-dir", d, "--http-port", "0", "--p2p-port", "0", "--model", TINY, "--threads", "1"],
                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
        port = int(json.loads(p.stdout.readline())["api"].split(":")[2].split("/")[0])
        body = json.dumps({"model": "conduit-tiny", "stream": True, "max_tokens": 1500, "ignore_eos": True,
                           "messages": [{"role": "user", "content": "Hello"}]}).encode()
        request = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body

        def begin():
            s = socket.create_connection(("127.0.0.1", port), timeout=30)
            s.sendall(request)
            got = s.recv(65536)
            return (s, got) if b" 200 " in got[:20] else s.close()
        s, got = wait_for("an answer begins", begin, 40, 0.2)
        os.killpg(p.pid, signal.SIGINT)
        while (more := s.recv(65536)):
            got += more
        s.close()
        err = p.communicate(timeout=20)[1]
        assert b"data: [DONE]" in got and p.returncode == 0 and "died" not in err, (got[-300:], p.returncode, err)


@test
def a_hundred_at_once_are_all_served():
    b = Backend()
    with Node("--backend", b.url) as p, Node("--bootstrap", p.address) as c:
        c.wait_model("ok")
        out = []
        ts = [threading.Thread(target=lambda: out.append(c.stream("paced", max_tokens=5, timeout=90))) for _ in range(100)]
        [t.start() for t in ts]
        [t.join() for t in ts]
        wrong = [(r[0], r[3][:200]) for r in out if r[0] != 200 or r[2][-1] != "[DONE]"]
        assert len(out) == 100 and not wrong, (len(out), wrong[:2])
    b.stop()


@test
def no_prompt_is_written_down():
    need_engine()
    canary = "Xylocanary-7391"
    with Node("--model", TINY, "--threads", "1", "--log-level", "debug") as p, Node("--bootstrap", p.address, "--log-level", "debug") as c:
        c.wait_model("conduit-tiny", 40)
        assert c.chat("conduit-tiny", text=f"{canary}: what is the capital of France?", temperature=0)[0] == 200
        assert c.chat("conduit-tiny", text=f"{canary} " * 3000)[0] == 400
        assert c.stream("conduit-tiny", text=canary, temperature=0)[0] == 200
        assert c.chat("conduit-tiny", text=canary, messages=7)[0] == 400
        assert c.cli("ask", canary, "--model", "conduit-tiny").returncode == 0
        for n in (p, c):
            for folder, _, files in os.walk(n.dir):
                for f in files:
                    path = os.path.join(folder, f)
                    if os.path.isfile(path):
                        assert canary.encode() not in open(path, "rb").read(), path


# --- what a peer may have --------------------------------------------------------------------------------
class JsPeer:
    """The js-libp2p peer of test/interop: a stranger that knows no offers and asks all the same."""

    def __init__(self):
        said = subprocess.run([str(ROOT / "test/interop/setup.sh"), "js"], capture_output=True, text=True).stdout.strip()
        if not said.startswith("run "):
            raise Skip(said[5:] or "js-libp2p is not there")
        self.proc = spawn(said[4:].split(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.proc.stdout.readline()

    def ask(self, cmd, **fields):
        self.proc.stdin.write(json.dumps({"id": 1, "cmd": cmd, **fields}) + "\n")
        self.proc.stdin.flush()
        return json.loads(self.proc.stdout.readline())

    def post(self, node, body):
        r = self.ask("http", addr=node.address, method="POST", path="/v1/chat/completions", body=json.dumps(body))
        return r["status"], json.loads(r["body"])

    def stop(self):
        self.proc.stdin.close()
        self.proc.wait(10)


@test
def a_peer_that_asks_for_what_is_not_shared_finds_nothing():
    js, b = JsPeer(), Backend()
    ask = {"messages": [{"role": "user", "content": "hi"}]}
    for share in (["--share", "echo"], []):  # a backend with a key is shared only when named
        with Node("--backend", "b=" + b.url, "--models", "ok", "--backend", "echo:", *share, env={"CONDUIT_BACKEND_B_KEY": "kk"}) as n:
            n.wait_model("ok")
            s, body = js.post(n, {"model": "echo", **ask})
            assert s == 200, (s, body)
            s, body = js.post(n, {"model": "ok", **ask})
            assert s == 404 and body["error"]["code"] == "model_not_found", (s, body)
            for _ in range(5):
                assert js.post(n, ask)[1]["model"] == "echo"
            assert b.seen() == []
            assert n.chat("ok")[0] == 200, "the owner has it all the same"
            b.reset()
    js.stop()
    b.stop()


@test
def options_of_the_server_as_such():
    with Node() as n:
        s, h, b = n.request("OPTIONS", "*")
        assert s == 204 and "POST" in h["allow"], (s, h)


@test
def limits_bind_peers_and_not_the_owner():
    b = Backend()
    with Node("--backend", b.url, "--models", "ok", "--max-body", "9000", "--max-context", "100", "--rate-limit-requests-per-minute", "9") as p, \
            Node("--bootstrap", p.address) as c:
        c.wait_model("ok")
        s, h, body = c.chat("ok", text="word " * 500)
        assert s == 400 and body["error"]["code"] == "context_length_exceeded", (s, body)
        assert c.chat("ok", text="word " * 5000)[0] == 413
        for _ in range(12):
            assert p.chat("ok", text="word " * 5000)[0] == 200
    b.stop()


# --- the first question -----------------------------------------------------------------------------------
@test
def the_first_question_right_after_the_start_is_answered():
    """The node has said that it is ready, but it may not have heard yet what its bootstrap node offers."""
    b = Backend()
    with Node("--backend", b.url, "--models", "ok,org/m:7b") as p:
        p.wait_model("ok")
        for i in range(8):
            with Node("--bootstrap", p.address) as c:
                s, h, body = c.chat(("ok", "org/m:7b")[i % 2])
                assert s == 200, (i, s, body)
    b.stop()


@test
def a_variant_is_found_by_who_never_heard_of_the_model():
    need_engine()
    with Node() as boot, Node("--model", TINY, "--threads", "1", "--bootstrap", boot.address) as p:
        p.wait_model("conduit-tiny", 40)
        with Node("--bootstrap", boot.address) as c:
            wait_for("it is announced", lambda: c.chat("conduit-tiny:Q8_0")[0] == 200, 20, 0.3)


# --- HTTPS backends ------------------------------------------------------------------------------------------
def pump(a, b):
    try:
        while (data := a.recv(65536)):
            b.sendall(data)
        b.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def join_sockets(a, b):
    threading.Thread(target=pump, args=(a, b), daemon=True).start()
    pump(b, a)
    a.close()
    b.close()


def front(handle):
    """A port of its own; each connection is handled in a thread."""
    def one(s):
        try:
            handle(s)
        except OSError:
            s.close()

    def accept():
        while True:
            s = ls.accept()[0]
            threading.Thread(target=one, args=(s,), daemon=True).start()
    ls = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=accept, daemon=True).start()
    return ls.getsockname()[1]


def make_certificates(d):
    run = lambda *a: subprocess.run(["openssl", *a], check=True, capture_output=True, cwd=d)
    run("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=Test CA")
    run("req", "-newkey", "rsa:2048", "-nodes", "-keyout", "key.pem", "-out", "csr.pem", "-subj", "/CN=backend")
    with open(os.path.join(d, "ext"), "w") as f:
        f.write("subjectAltName=DNS:localhost,DNS:api.example\n")
    run("x509", "-req", "-in", "csr.pem", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-out", "cert.pem", "-days", "2", "-extfile", "ext")


def https_parts(d):
    """A CA of our own, TLS in front of the scripted backend, and a proxy that knows one host."""
    if not shutil.which("openssl"):
        raise Skip("openssl is not installed")
    make_certificates(d)
    b, tunnels = Backend(), []
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(os.path.join(d, "cert.pem"), os.path.join(d, "key.pem"))
    port = front(lambda s: join_sockets(tls.wrap_socket(s, server_side=True), socket.create_connection(("127.0.0.1", b.port))))

    def tunnel(s):
        head = b""
        while b"\r\n\r\n" not in head:
            head += s.recv(4096)
        tunnels.append(head.decode())
        s.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        join_sockets(s, socket.create_connection(("127.0.0.1", port)))
    return b, port, front(tunnel), tunnels


@test
def an_https_backend_is_believed_when_its_certificate_is_good():
    with tempfile.TemporaryDirectory() as d:
        b, port, _, _ = https_parts(d)
        ours = {"SSL_CERT_FILE": os.path.join(d, "ca.pem")}
        with Node("--backend", f"https://localhost:{port}", "--models", "ok", env=ours) as n:
            n.wait_model("ok", 10)
            assert n.chat("ok")[0] == 200 and n.stream("ok")[2][-1] == "[DONE]"
        for url, env in ((f"https://localhost:{port}", {}), (f"https://127.0.0.1:{port}", ours)):  # a CA nobody knows; another name
            b.reset()
            with Node("--backend", "b=" + url, "--models", "ok", env={**env, "CONDUIT_BACKEND_B_KEY": "canary"}) as n:
                wait_for("a word about it", lambda: "authenticated" in n.logged(), 10)
                assert n.chat("ok")[0] != 200 and n.models() == [] and b.ask("GET", "/_seen") == []
        b.stop()


@test
def an_https_backend_behind_a_proxy():
    with tempfile.TemporaryDirectory() as d:
        b, port, proxy, tunnels = https_parts(d)
        env = {"SSL_CERT_FILE": os.path.join(d, "ca.pem"), "HTTPS_PROXY": f"http://me:pass-canary@127.0.0.1:{proxy}"}
        with Node("--backend", "b=https://api.example/v1", "--models", "ok", env={**env, "CONDUIT_BACKEND_B_KEY": "key-canary"}) as n:
            n.wait_model("ok", 10)
            assert n.chat("ok")[0] == 200 and n.stream("ok")[2][-1] == "[DONE]"
            assert tunnels[0].startswith("CONNECT api.example:443 ") and "Basic bWU6cGFzcy1jYW5hcnk=" in tunnels[0], tunnels
            assert "key-canary" not in "".join(tunnels) and "canary" not in n.logged()
            seen = b.seen()[0]["headers"]
            assert seen["host"] == "api.example" and seen["authorization"] == "Bearer key-canary", seen
        tunnels.clear()
        with Node("--backend", f"https://localhost:{port}", "--models", "ok", env={**env, "NO_PROXY": "localhost"}) as n:
            n.wait_model("ok", 10)
            assert n.chat("ok")[0] == 200 and not tunnels
        b.stop()


# --- providers that stop answering ------------------------------------------------------------------------------
@test
def a_provider_that_is_frozen_is_noticed():
    b = Backend()
    with Node("--backend", b.url) as p, Node("--bootstrap", p.address) as c:
        c.wait_model("never-ends")
        out = []
        t = threading.Thread(target=lambda: out.append(c.stream("never-ends", timeout=60)))
        t.start()
        wait_for("it runs", lambda: b.seen(), 10)
        time.sleep(0.3)
        start = time.monotonic()
        os.kill(p.proc.pid, signal.SIGSTOP)
        try:
            t.join(30)
            took = time.monotonic() - start
        finally:
            os.kill(p.proc.pid, signal.SIGCONT)
        s, h, ev, raw, orderly = out[0]
        assert s == 200 and orderly and ev[-1]["error"]["code"] and took < 15, (took, ev[-1])
        wait_for("it is used again", lambda: c.chat("ok")[0] == 200, 30, 0.2)
    b.stop()


@test
def a_provider_over_its_limit_is_passed_over():
    b = Backend()
    with Node("--backend", b.url, "--models", "ok", "--rate-limit-requests-per-minute", "2") as p, \
            Node("--backend", b.url, "--models", "ok", "--bootstrap", p.address) as q, Node("--bootstrap", p.address) as c:
        c.wait_model("ok")
        wait_for("both are known", lambda: len({o["peer"] for o in c.get("/conduit/v1/offers?scope=network")[1]["offers"]}) == 2)
        got = [c.chat("ok") for _ in range(12)]
        assert all(s == 200 for s, h, body in got), got
        assert [h["x-conduit-peer"] for s, h, body in got].count(p.peer) <= 2
        q.kill()
        wait_for("only one is left", lambda: len({o["peer"] for o in c.get("/conduit/v1/offers?scope=network")[1]["offers"]}) == 1)
        last = [c.chat("ok") for _ in range(3)][-1]
        assert last[0] == 429 and int(last[1]["retry-after"]) >= 1, last
    b.stop()


@test
def a_backend_that_died_leaves_the_list_soon():
    b = Backend()
    with Node("--backend", b.url, "--models", "ok") as p, Node("--bootstrap", p.address) as c:
        c.wait_model("ok")
        b.stop()
        assert c.chat("ok")[0] in (502, 503)
        wait_for("it leaves the list", lambda: "ok" not in c.models() and "ok" not in p.models(), 10)


if __name__ == "__main__":
    main()
