#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Bad input gets a clear error, and nothing is lost: what is malformed, oversized, slow or lying, given to the
real program from outside. After each, the same node must still answer a good request.

Each layer's own tests try every byte offset; here it is the wiring that is tried: that the limits are in force
on the listeners a stranger reaches, and that the sentence gets to the person."""
import contextlib, json, os, pathlib, random, resource, socket, struct, subprocess, sys, tempfile, threading, time
from lib import *

PARTS = {}


def node():
    """A provider in front of the scripted backend, shared by the tests; it must outlive all of them."""
    if not PARTS:
        PARTS["b"] = Backend()
        PARTS["n"] = Node("--backend", PARTS["b"].url)
        PARTS["n"].wait_model("ok")
    n = PARTS["n"]
    assert n.proc.poll() is None, n.logged()[-2000:]
    return n


def still_well(n):
    start = time.monotonic()
    s, h, b = n.chat("ok", timeout=10)
    assert s == 200, (s, b)
    return time.monotonic() - start


def status_of(raw):
    """Status of the first answer, and the parsed error."""
    if not raw.startswith(b"HTTP/1.1 "):
        return 0, {}
    head, _, body = raw.partition(b"\r\n\r\n")
    try:
        return int(head.split()[1]), json.loads(body).get("error") or {}
    except ValueError:
        return int(head.split()[1]), {}


def rss_kib(n):
    with open(f"/proc/{n.proc.pid}/status") as f:
        return int(next(l for l in f if l.startswith("VmRSS:")).split()[1])


# --- HTTP: what it must not be talked into -------------------------------------------------------------
BODY = b'{"model":"ok","messages":[]}'
LEN = b"Content-Length: %d\r\n" % len(BODY)
CHUNKED = b"Transfer-Encoding: chunked\r\n"
CHUNKS = b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"
# name: the fields after Host, and what follows the empty line
SMUGGLING = {
    "both lengths": (LEN + CHUNKED, CHUNKS),
    "two different lengths": (LEN + b"Content-Length: 5\r\n", BODY),
    "a list of lengths": (b"Content-Length: 28, 5\r\n", BODY),
    "a signed length": (b"Content-Length: +28\r\n", BODY),
    "a hexadecimal length": (b"Content-Length: 0x1c\r\n", BODY),
    "a negative length": (b"Content-Length: -1\r\n", BODY),
    "an endless length": (b"Content-Length: 99999999999999999999999\r\n", BODY),
    "an empty length": (b"Content-Length:\r\n", BODY),
    "space before the colon": (b"Content-Length : 28\r\n", BODY),
    "tab before the colon": (b"Transfer-Encoding\t: chunked\r\n", CHUNKS),
    "folded header": (b"X-A: b\r\n Transfer-Encoding: chunked\r\n", CHUNKS),
    "folded transfer-encoding": (b"Transfer-Encoding:\r\n chunked\r\n", CHUNKS),
    "chunked twice": (b"Transfer-Encoding: chunked, chunked\r\n", CHUNKS),
    "two fields of transfer-encoding": (CHUNKED + b"Transfer-Encoding: identity\r\n", CHUNKS),
    "chunked not last": (b"Transfer-Encoding: chunked, gzip\r\n", CHUNKS),
    "unknown coding": (b"Transfer-Encoding: xchunked\r\n", CHUNKS),
    "quoted coding": (b'Transfer-Encoding: "chunked"\r\n', CHUNKS),
    "bare CR in a value": (b"X-A: b\rTransfer-Encoding: chunked\r\n", CHUNKS),
    "NUL in a value": (LEN + b"X-A: b\0c\r\n", BODY),
    "NUL in a name": (LEN + b"X\0A: b\r\n", BODY),
    "no name": (LEN + b": b\r\n", BODY),
    "no colon": (LEN + b"what is this\r\n", BODY),
    "chunk size with 0x": (CHUNKED, b"0x1c\r\n" + BODY + b"\r\n0\r\n\r\n"),
    "chunk size with sign": (CHUNKED, b"+1c\r\n" + BODY + b"\r\n0\r\n\r\n"),
    "chunk size too long": (CHUNKED, b"1" + b"0" * 17 + b"\r\n" + BODY),
    "chunk size of nothing": (CHUNKED, b"\r\n" + BODY + b"\r\n0\r\n\r\n"),
    "chunk without its CRLF": (CHUNKED, b"%x\r\n%s0\r\n\r\n" % (len(BODY), BODY)),
    "chunk longer than it says": (CHUNKED, b"%x\r\n%sXX\r\n0\r\n\r\n" % (len(BODY), BODY)),
    "bare LF after the chunk size": (CHUNKED, b"%x\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)),
}


@test
def smuggling_gets_400_and_the_connection_ends():
    n = node()
    for name, (fields, rest) in SMUGGLING.items():
        raw = raw_exchange(n.port, b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n" + fields + b"\r\n" + rest + SMUGGLED, timeout=5)
        status, error = status_of(raw)
        assert status in (400, 413, 501) and error.get("message"), (name, raw[:300])
        assert raw.count(b"HTTP/1.1 ") == 1, (name, "it went on with what followed", raw[-300:])
    still_well(n)


@test
def malformed_request_lines_and_hosts_get_400():
    n = node()
    lines = {
        b"GET": (400,), b"GET /": (400, 505), b"GET  /health HTTP/1.1": (400,), b"GET /health HTTP/1.1 x": (400,),
        b"GET /health HTTP/9.9": (400, 505), b"GET /health http/1.1": (400, 505), b"G(T /health HTTP/1.1": (400,),
        b"GET /he\x00lth HTTP/1.1": (400,), b"GET health HTTP/1.1": (400,), b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03": (400,),
        b"PRI * HTTP/2.0": (400, 505),
    }
    for line, statuses in lines.items():
        raw = raw_exchange(n.port, line + b"\r\nHost: localhost\r\nConnection: close\r\n\r\n", timeout=5)
        assert status_of(raw)[0] in statuses, (line, raw[:200])
    for hosts in (b"", b"Host: localhost\r\nHost: localhost\r\n", b"Host: a b\r\n", b"Host: localhost/x\r\n", b"Host: user@localhost\r\n"):
        raw = raw_exchange(n.port, b"GET /v1/models HTTP/1.1\r\n" + hosts + b"Connection: close\r\n\r\n", timeout=5)
        assert status_of(raw)[0] in (400, 403), (hosts, raw[:200])
    still_well(n)


@test
def oversized_heads_and_bodies_get_their_status():
    n = node()
    post = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n"
    cases = {
        "a header of 40 kB": (b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-A: " + b"a" * 40000 + b"\r\n\r\n", (431,)),
        "1,000 headers": (b"GET /health HTTP/1.1\r\nHost: localhost\r\n" + b"X-A: b\r\n" * 1000 + b"\r\n", (431,)),
        "a target of 20 kB": (b"GET /" + b"a" * 20000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", (414,)),
        "33 MiB announced": (post + b"Content-Length: %d\r\n\r\n" % (33 << 20), (413,)),
        "33 MiB announced, 100-continue": (post + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % (33 << 20), (413,)),
        "chunk of 1 GiB announced": (post + CHUNKED + b"\r\n40000000\r\n", (413,)),
        "chunk extension of 20 kB": (post + CHUNKED + b"\r\n1;x=" + b"a" * 20000 + b"\r\n", (400, 413)),
        "trailers of 20 kB": (post + CHUNKED + b"\r\n0\r\nX-A: " + b"a" * 20000 + b"\r\n\r\n", (400, 413, 431)),
    }
    for name, (data, statuses) in cases.items():
        status, error = status_of(raw_exchange(n.port, data, timeout=8))
        assert status in statuses and error.get("message"), (name, status, error)
    # Announced as nothing and then sent without an end: refused on the way, not collected first.
    s = socket.create_connection(("127.0.0.1", n.port), timeout=10)
    s.sendall(post + CHUNKED + b"\r\n")
    sent, piece = 0, b"%x\r\n%s\r\n" % (65536, b"x" * 65536)
    with contextlib.suppress(ConnectionError):
        while sent < 64 << 20:
            s.sendall(piece)
            sent += 65536
    assert sent < 48 << 20, sent
    s.close()
    still_well(n)


@test
def json_that_is_too_deep_or_too_wide_gets_400():
    n = node()
    post = lambda b: n.request("POST", "/v1/chat/completions", b)
    bad = {
        "10,000 brackets": b'{"model":"ok","messages":' + b"[" * 10000 + b"]" * 10000 + b"}",
        "10,000 members": b"{" + b",".join(b'"k%d":1' % i for i in range(10000)) + b"}",
        "a lone surrogate in the model": b'{"model":"\\ud800","messages":[]}',
        "not UTF-8": b'{"model":"\xff\xfe","messages":[]}',
        "two documents": b'{"model":"ok"}{"model":"ok"}',
        "a model that is a number": b'{"model":7,"messages":[]}',
        "a model of 100 kB": b'{"model":"' + b"m" * 100000 + b'","messages":[]}',
    }
    for name, body in bad.items():
        s, h, b = post(body)
        assert s in (400, 404) and json.loads(b)["error"]["message"], (name, s, b[:300])
        assert len(b) < 4000, (name, "an answer as long as the question", len(b))
    still_well(n)


# --- HTTP: slow, and many -------------------------------------------------------------------------------
def drip(port, head, rest, result, key):
    """Sends `head` at once and `rest` one byte a second; how long until an answer came, and the answer."""
    s = socket.create_connection(("127.0.0.1", port), timeout=60)
    s.sendall(head)
    start, got = time.monotonic(), b""
    s.settimeout(1.0)
    for i in range(len(rest)):
        try:
            s.sendall(rest[i:i + 1])
            if (d := s.recv(65536)) or True:
                got += d
                break
        except TimeoutError:
            continue
        except OSError:
            break
    s.close()
    result[key] = (time.monotonic() - start, got)


@test
def one_byte_a_second_gets_408_within_the_deadline():
    n = node()
    result = {}
    jobs = {"head": (b"", b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n" + LEN),
            "body": (b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4000\r\n\r\n", b"x" * 40),
            "chunks": (b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n" + CHUNKED + b"\r\n", b"1\r\nx\r\n" * 10)}
    ts = [threading.Thread(target=drip, args=(n.port, *v, result, k)) for k, v in jobs.items()]
    [t.start() for t in ts]
    time.sleep(2)
    assert still_well(n) < 3, "others wait for the slow one"
    [t.join() for t in ts]
    for k, (took, got) in result.items():
        assert status_of(got)[0] == 408 and status_of(got)[1]["message"], (k, took, got[:200])
        assert took < 25, (k, took)


IDLE = '''
import resource, socket, sys
port, count = int(sys.argv[1]), int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
socks = []
try:
    for i in range(count):
        s = socket.create_connection(("127.0.0.1", port), timeout=30, source_address=("127.0.0.%d" % int(sys.argv[3]), 0))
        socks.append(s)
    for s in socks[::10]:   # a tenth has begun a request, and will not go on
        s.sendall(b"GET /v1/models HTTP/1.1\\r\\nHo")
finally:
    print(len(socks), flush=True)
sys.stdin.read()
'''


@test
def ten_thousand_idle_connections():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard < 11000:
        raise Skip(f"only {hard} open files a process are allowed here; 11,000 are needed")
    n = node()
    before = rss_kib(n)
    clients = [spawn([sys.executable, "-c", IDLE, str(n.port), "5000", str(i)], stdin=subprocess.PIPE,
                     stdout=subprocess.PIPE, text=True) for i in (2, 3)]
    try:
        got = sum(int(c.stdout.readline()) for c in clients)
        assert got == 10000, got
        took = still_well(n)
        wait_for("all are accepted", lambda: len(os.listdir(f"/proc/{n.proc.pid}/fd")) > 10000, 30)
        after = rss_kib(n)
        took = max(took, still_well(n))
        print(f"     10,000 idle connections: {after / 1024:.1f} MiB RSS, {(after - before) * 1024 / 10000:.0f} bytes each; "
              f"a request took {took * 1000:.0f} ms")
        assert took < 5, took
        assert (after - before) * 1024 / 10000 <= 4096, (before, after)
    finally:
        for c in clients:
            c.stdin.close()
            c.wait(10)
    wait_for("they are let go", lambda: len(os.listdir(f"/proc/{n.proc.pid}/fd")) < 200, 30)
    still_well(n)


# --- the libp2p port ---------------------------------------------------------------------------------------
MSS = b"\x13/multistream/1.0.0\n"
NOISE = b"\x07/noise\n"


def p2p_port(n):
    return int(n.address.split("/tcp/")[1].split("/")[0])


def until_closed(port, data, pause=0.0, limit=20):
    """Sends, then waits for the other side to close; how long that took, or None."""
    s = socket.create_connection(("127.0.0.1", port), timeout=5)
    start = time.monotonic()
    s.settimeout(0.5)
    with s:
        i = 0
        while time.monotonic() - start < limit:
            try:
                if pause == 0 and i == 0:
                    s.sendall(data)
                    i = len(data)
                elif i < len(data):
                    s.sendall(data[i:i + 1])
                    i += 1
                    s.settimeout(pause)
                if s.recv(65536) == b"":
                    return time.monotonic() - start
            except TimeoutError:
                continue
            except OSError:
                return time.monotonic() - start
    return None


@test
def garbage_on_the_libp2p_port_is_closed_and_the_node_goes_on():
    n = node()
    rng = random.Random(7)
    bad = {
        "random bytes": (rng.randbytes(4096), 0),
        "HTTP": (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", 0),
        "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + rng.randbytes(500), 0),
        "nothing": (b"", 0),
        "half a line": (MSS[:7], 0),
        "a line of 1 MB announced": (b"\xc0\x84\x3d" + b"/" * 100, 0),
        "an endless varint": (b"\xff" * 40, 0),
        "multistream, then silence": (MSS, 0),
        "noise agreed, then silence": (MSS + NOISE, 0),
        "noise agreed, then half a message": (MSS + NOISE + b"\x00\x20" + rng.randbytes(5), 0),
        "noise agreed, then garbage": (MSS + NOISE + b"\x00\x20" + rng.randbytes(32) + b"\x10\x00" + rng.randbytes(4096), 0),
        "noise agreed, then an empty message": (MSS + NOISE + b"\x00\x00", 0),
        "an unknown protocol again and again": (MSS + b"\x07/nose!\n" * 3000, 0),
        "a byte every half second": (MSS + NOISE, 0.5),
    }
    took, ts = {}, []
    for name, (data, pause) in bad.items():
        ts.append(threading.Thread(target=lambda name=name, data=data, pause=pause:
                                   took.__setitem__(name, until_closed(p2p_port(n), data, pause))))
    [t.start() for t in ts]
    c = Node("--bootstrap", n.address).wait_model("ok", 20)  # while they hang there, an honest node joins
    assert c.chat("ok")[0] == 200
    [t.join() for t in ts]
    c.stop()
    late = {k: v for k, v in took.items() if v is None or v > 11}
    assert len(took) == len(bad) and not late, late
    still_well(n)


@test
def a_flood_of_half_handshakes_keeps_nobody_out():
    n = node()
    socks = []
    with contextlib.suppress(OSError):
        for _ in range(400):
            s = socket.create_connection(("127.0.0.1", p2p_port(n)), timeout=3)
            socks.append(s)
            s.sendall(MSS + NOISE)
    start = time.monotonic()
    c = Node("--bootstrap", n.address).wait_model("ok", 30)
    print(f"     {len(socks)} half handshakes; a node joined in {time.monotonic() - start:.1f} s")
    assert c.chat("ok")[0] == 200
    c.stop()
    [s.close() for s in socks]
    still_well(n)


@test
def a_wrong_peer_id_in_bootstrap_is_said():
    n = node()
    other = "12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN"
    assert other != n.peer
    wrong = n.address.split("/p2p/")[0] + "/p2p/" + other
    with Node("--bootstrap", wrong) as c:
        line = wait_for("a line about it", lambda: next((l for l in c.logged().splitlines() if "bootstrap" in l), None), 10)
        assert other in line and ("another peer" in line or n.peer in line), line
        assert "ok" not in c.models()


@test
def bootstrap_addresses_that_are_none_are_refused():
    with tempfile.TemporaryDirectory() as d:
        for bad in ("/ip4/1.2.3/tcp/8000", "/ip4/1.2.3.4/tcp/99999", "/ip4/1.2.3.4/tcp/8000/p2p/QmNope", "host:port", "::::"):
            r = cli("up", "--data-dir", d, "--http-port", "0", "--p2p-port", "0", "--bootstrap", bad, timeout=20)
            assert r.returncode in (1, 2) and bad in r.stderr and len(r.stderr.splitlines()) <= 2, (bad, r)


# --- configuration -------------------------------------------------------------------------------------------
@test
def errors_in_the_configuration_name_file_line_and_way_out():
    bad = {
        "http_port: 0\nmodles: [a]\n": (2, "unknown key 'modles'; did you mean 'models'"),
        "http_port: many\n": (1, "many"),
        "http_port: 99999\n": (1, "99999"),
        "rate_limit:\n  requests_per_minute: 1\n  per_pear: 2\n": (3, "per_pe"),
        "models: {a: b}\n": (1, "models"),
        "http_port: [1, 2]\n": (1, "http_port"),
        "\tmodels: a\n": (1, ""),
        "models: [a\n": (None, ""),
        "models: a\nmodels: b\n": (2, "models: given twice"),
        "- a\n- b\n": (1, ""),
        "a: &x [*x]\n": (1, ""),
        "schedule:\n  start: \"25:00\"\n  end: \"26:00\"\n": (None, "25:00"),
        "\x00\x01\x02": (None, ""),
    }
    with tempfile.TemporaryDirectory() as d:
        path = os.path.join(d, "c.yml")
        for text, (line, words) in bad.items():
            with open(path, "w") as f:
                f.write(text)
            r = cli("up", "--data-dir", d, "--p2p-port", "0", "--config", path, timeout=20)
            assert r.returncode in (1, 2) and r.stderr.startswith("conduit up: "), (text, r)
            assert words in r.stderr and len(r.stderr.splitlines()) <= 2, (text, r.stderr)
            if line:
                assert f"{path}:{line}: " in r.stderr, (text, r.stderr)
        r = cli("up", "--data-dir", d, "--config", os.path.join(d, "none.yml"), timeout=20)
        assert r.returncode == 2 and "none.yml" in r.stderr, r
        r = cli("up", "--data-dir", os.path.join(path, "under-a-file"), "--p2p-port", "0", "--http-port", "0", timeout=20)
        assert r.returncode == 1 and path in r.stderr, r


# --- models ----------------------------------------------------------------------------------------------------
def refuses_model(path, *words):
    with tempfile.TemporaryDirectory() as d:
        r = cli("up", "--data-dir", d, "--p2p-port", "0", "--http-port", "0", "--model", path, timeout=30)
        assert r.returncode == 1 and r.stderr.startswith("conduit up: ") and os.path.basename(path) in r.stderr, (words, r)
        assert all(w in r.stderr for w in words) and len(r.stderr.splitlines()) <= 2, (words, r.stderr)


def patched(at, data):
    whole = bytearray(open(TINY, "rb").read())
    whole[at:at + len(data)] = data
    return bytes(whole)


@test
def a_gguf_that_lies_is_refused_before_llama_cpp_sees_it():
    """Offsets: magic 0, version 4, tensors 8, pairs 16, length of the first key 24."""
    whole = open(TINY, "rb").read()
    u32, u64 = (lambda v: struct.pack("<I", v)), (lambda v: struct.pack("<Q", v))
    first_key = struct.unpack_from("<Q", whole, 24)[0]
    lies = {
        "no magic": patched(0, b"GGML"),
        "version 99": patched(4, u32(99)),
        "2^60 tensors": patched(8, u64(1 << 60)),
        "2^63 pairs": patched(16, u64(1 << 63)),
        "one tensor too many": patched(8, u64(struct.unpack_from("<Q", whole, 8)[0] + 1)),
        "a key of 2^40 bytes": patched(24, u64(1 << 40)),
        "a type that is none": patched(32 + first_key, u32(77)),
        "cut in the header": whole[:100],
        "cut in the weights": whole[:len(whole) // 2],
        "one byte short": whole[:-1],
        "only the magic": whole[:4],
        "nothing": b"",
        "a text": b"What is the capital of France?\n" * 1000,
    }
    with tempfile.TemporaryDirectory() as d:
        for name, data in lies.items():
            path = os.path.join(d, name.replace(" ", "-").replace("^", "") + ".gguf")
            with open(path, "wb") as f:
                f.write(data)
            try:
                refuses_model(path)
            except AssertionError as e:
                raise AssertionError(f"{name}: {e}")


@test
def what_is_not_a_model_file_is_refused():
    with tempfile.TemporaryDirectory() as d:
        text = os.path.join(d, "notes.txt")
        open(text, "w").write("these are notes\n")
        refuses_model(text)
        refuses_model(os.path.join(d, "missing.gguf"), "No such file")
        refuses_model(d)
        os.mkfifo(os.path.join(d, "pipe.gguf"))
        refuses_model(os.path.join(d, "pipe.gguf"))
        refuses_model("/dev/zero")


# --- nothing is lost --------------------------------------------------------------------------------------------
@test
def after_kill_9_the_same_node_comes_back():
    with tempfile.TemporaryDirectory() as d:
        a = Node("--backend", "echo:", dir=d)
        peer, api = a.peer, a.port
        a.kill()
        a.proc.stdout.close()
        b = Node("--backend", "echo:", dir=d)  # the lock went with the process; the old socket is in the way
        assert b.peer == peer and b.chat("echo", text="still there?")[0] == 200
        assert b.cli("status").returncode == 0
        for _ in range(3):
            b.kill()
            b.proc.stdout.close()
            b = Node("--backend", "echo:", dir=d, wait=False)
            time.sleep(random.Random(api).random() / 5)  # also in the middle of its start
        b.kill()
        b.proc.stdout.close()
        b = Node("--backend", "echo:", dir=d)
        assert b.peer == peer and b.chat("echo", text="and now?")[0] == 200
        assert b.stop() == 0


@test
def a_damaged_identity_is_named_and_not_replaced():
    with tempfile.TemporaryDirectory() as d:
        Node(dir=d).stop()
        path = os.path.join(d, "data/identity.key")
        good = open(path, "rb").read()
        for bad in (b"", good[:-1], b"x" * len(good)):
            open(path, "wb").write(bad)
            r = cli("up", "--data-dir", os.path.join(d, "data"), "--p2p-port", "0", "--http-port", "0", timeout=20)
            assert r.returncode == 1 and "identity.key" in r.stderr, r
            assert open(path, "rb").read() == bad, "it was written over"


@test
def the_node_that_had_all_this_is_well_and_stops_in_order():
    n = node()
    still_well(n)
    print(f"     {rss_kib(n) / 1024:.1f} MiB RSS at the end")
    assert n.stop() == 0
    PARTS["b"].stop()


if __name__ == "__main__":
    main()
