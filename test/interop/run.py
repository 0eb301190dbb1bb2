#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Drives two libp2p peers against each other and checks what they say.

Every peer, ours and the foreign ones, is a program that speaks the command protocol of README.md.
A test is a function of two peers, the client that dials and the server that is dialled; it runs for
each foreign language in both directions. One line per test, `ok|FAIL|skip name reason`, and
`N passed, N failed, N skipped` at the end; exit status 1 if one failed.

The hard thing is that a peer may hang, die, or answer late: every wait has a deadline, answers are
matched by id, and whatever was started is ended, also when the driver is interrupted.
"""
import argparse
import json
import os
import queue
import shlex
import signal
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
LANGUAGES = ("js", "rust", "go")
READY_S = 30
ANSWER_S = 60  # twice what a peer allows itself: it answers with an error before that
KAD = "/conduit/kad/1.0.0"
ECHO = "/conduit-test/echo/1.0.0"


class Failure(Exception):
    """What a test found wrong."""


class Skip(Exception):
    """Why a test cannot run here."""


# ---- a peer ----------------------------------------------------------------------------------


class Peer:
    """A running peer program. Used as a context manager: leaving ends it."""

    def __init__(self, name, command, log, *options):
        self.name = name
        self.log = log
        self.answers = {}
        self.arrived = threading.Condition()
        self.next_id = 0
        self.ready = queue.Queue()
        self.ended = False
        self.process = subprocess.Popen(
            [*command, "--listen", "/ip4/127.0.0.1/tcp/0", "--kad", KAD, *options],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, bufsize=1,
            start_new_session=True)
        threading.Thread(target=self._read, daemon=True).start()
        try:
            ready = self.ready.get(timeout=READY_S)
        except queue.Empty:
            self.stop()
            raise Failure(f"{name} said nothing within {READY_S} s") from None
        if ready is None:
            self.stop()
            raise Failure(f"{name} ended before it was ready (status {self.process.returncode})")
        self.id = ready["peer"]
        self.addr = ready["addrs"][0]
        self.lang = ready["lang"]
        self.version = ready.get("version", "")

    def _read(self):
        for line in self.process.stdout:
            try:
                answer = json.loads(line)
            except ValueError:
                self.log.write(f"[{self.name}] not JSON: {line}")
                continue
            if answer.get("event") == "ready":
                self.ready.put(answer)
                continue
            with self.arrived:
                self.answers[answer.get("id")] = answer
                self.arrived.notify_all()
        with self.arrived:
            self.ended = True
            self.arrived.notify_all()
        self.ready.put(None)

    def send(self, cmd, **fields):
        """Sends a command and returns its id."""
        with self.arrived:
            self.next_id += 1
            number = self.next_id
        try:
            self.process.stdin.write(json.dumps({"id": number, "cmd": cmd, **fields}) + "\n")
            self.process.stdin.flush()
        except OSError:
            raise Failure(f"{self.name} is gone (status {self.process.poll()})") from None
        return number

    def ask(self, cmd, **fields):
        """The answer to a command, whatever it is."""
        number = self.send(cmd, **fields)
        with self.arrived:
            self.arrived.wait_for(lambda: number in self.answers or self.ended, ANSWER_S)
            if number in self.answers:
                return self.answers.pop(number)
        if self.ended:
            raise Failure(f"{self.name} died during {cmd} (status {self.process.poll()})")
        raise Failure(f"{self.name} did not answer {cmd} within {ANSWER_S} s")

    def do(self, cmd, **fields):
        """The answer to a command that must succeed."""
        answer = self.ask(cmd, **fields)
        if not answer.get("ok"):
            raise Failure(f"{self.name}: {cmd}: {answer.get('error', 'no reason given')}")
        return answer

    def stop(self):
        """Ends the program: asked by the end of its stdin, then told, then killed."""
        try:
            self.process.stdin.close()
        except OSError:
            pass
        for end in (None, signal.SIGTERM, signal.SIGKILL):
            if end is not None:
                self.process.send_signal(end)
            try:
                self.process.wait(2)
                return
            except subprocess.TimeoutExpired:
                continue

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def expect(condition, text):
    if not condition:
        raise Failure(text)


# ---- the tests: each gets the client, the server, and a maker of further peers ----------------

TESTS = []


def test(name):
    def add(function):
        TESTS.append((name, function))
        return function
    return add


@test("dial")
def test_dial(client, server, _):
    answer = client.do("dial", addr=server.addr)
    expect(answer["peer"] == server.id, f"dialled {server.id}, got {answer['peer']}")


@test("dial with another's id is refused")
def test_wrong_id(client, server, _):
    client.do("close", addr=server.addr)
    address = server.addr.rsplit("/p2p/", 1)[0]
    answer = client.ask("dial", addr=f"{address}/p2p/12D3KooWBtg3aaRMjxwedh83aGiUkwSxDwUZkzuJcfaqUmo7R3pq")
    expect(not answer["ok"], "a connection to a wrong peer was taken for the right one")
    client.do("dial", addr=server.addr)


@test("ping")
def test_ping(client, server, _):
    for _ in range(3):
        ms = client.do("ping", addr=server.addr)["ms"]
        expect(0 < ms < 5000, f"{ms} ms is no round trip on loopback")


@test("identify")
def test_identify(client, server, _):
    them = client.do("identify", addr=server.addr)
    expect(them["peer"] == server.id, f"is {them['peer']}, not {server.id}")
    for protocol in ("/ipfs/ping/1.0.0", "/ipfs/id/1.0.0", "/http/1.1", ECHO, KAD):
        expect(protocol in them["protocols"], f"{protocol} is not in {them['protocols']}")
    listens = server.addr.rsplit("/p2p/", 1)[0]
    addresses = [a.rsplit("/p2p/", 1)[0] for a in them["listenAddrs"]]
    expect(listens in addresses, f"{listens} is not in {addresses}")
    expect(them["agent"], "no agent version")
    expect((them["observedAddr"] or "").startswith("/ip4/127.0.0.1/tcp/"),
           f"we are seen as {them['observedAddr']}")


@test("64 streams of 1 MiB")
def test_echo(client, server, _):
    client.do("echo", addr=server.addr, streams=64, bytes=1 << 20)


@test("400 streams of 1 KiB, 50 at a time")
def test_many(client, server, _):
    # go takes at most 64 streams of one protocol from one peer, rust negotiates 128 at once
    for _ in range(8):
        client.do("echo", addr=server.addr, streams=50, bytes=1 << 10)


@test("streams of 0 and 1 bytes")
def test_small(client, server, _):
    client.do("echo", addr=server.addr, streams=1, bytes=1)
    # rust opens a stream with its first byte, and js answers nothing to a stream without one, so
    # an empty stream is sent only where it can be seen.
    if client.lang not in ("rust", "js"):
        client.do("echo", addr=server.addr, streams=1, bytes=0)


@test("http")
def test_http(client, server, _):
    hello = client.do("http", addr=server.addr, method="GET", path="/hello", headers={})
    expect(hello["status"] == 200, f"status {hello['status']}")
    expect(hello["body"] == f"hello from {server.lang}", f"body {hello['body']!r}")
    expect(hello["headers"].get("content-length") == str(len(hello["body"])),
           f"headers {hello['headers']}")
    body = json.dumps({"text": "é" * 40_000})
    back = client.do("http", addr=server.addr, method="POST", path="/echo", body=body,
                     headers={"content-type": "application/json"})
    expect(back["status"] == 200 and back["body"] == body, "the posted body did not come back")
    expect(back["headers"].get("content-type") == "application/json", f"headers {back['headers']}")
    none = client.do("http", addr=server.addr, method="GET", path="/nowhere", headers={})
    expect(none["status"] == 404, f"status {none['status']} for an unknown path")


@test("http: /.well-known/libp2p/protocols")
def test_well_known(client, server, _):
    known = client.do("http", addr=server.addr, method="GET", path="/.well-known/libp2p/protocols",
                      headers={})
    expect(known["status"] == 200, f"status {known['status']}")
    expect(isinstance(json.loads(known["body"]).get("protocols"), dict), f"body {known['body']!r}")


@test("16 http requests at once")
def test_http_parallel(client, server, _):
    bodies = [f"request {i} " * 2000 for i in range(16)]
    wrong = []

    def post(body):
        try:
            answer = client.do("http", addr=server.addr, method="POST", path="/echo", body=body,
                               headers={"content-type": "text/plain"})
            if answer["body"] != body:
                wrong.append("got another request's answer")
        except Failure as e:
            wrong.append(str(e))
    threads = [threading.Thread(target=post, args=(body,)) for body in bodies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expect(not wrong, f"{len(wrong)} of 16 failed: {wrong[:1]}")


@test("sse of 50 events")
def test_sse(client, server, _):
    for body in (None, '{"stream":true}'):
        fields = {} if body is None else {"body": body}
        answer = client.do("sse", addr=server.addr, path="/sse?n=50", **fields)
        expect(answer["status"] == 200, f"status {answer['status']}")
        want = [json.dumps({"i": i}, separators=(",", ":")) for i in range(50)] + ["[DONE]"]
        expect(answer["events"] == want,
               f"{len(answer['events'])} events, the last {answer['events'][-1:]}")
        expect(answer["orderly"], "the body did not come to its proper end")


@test("sse that breaks off is seen to")
def test_sse_cut(client, server, _):
    # A reset throws away what was not read yet, the head of the answer too: then it is an error.
    answer = client.ask("sse", addr=server.addr, path="/sse?n=50&cut=10")
    expect(not answer.get("orderly"), "a body that broke off was taken for complete")
    count = len(answer.get("events", []))
    expect(count <= 10, f"{count} events of a body cut after 10")
    expect(client.do("sse", addr=server.addr, path="/sse?n=3")["orderly"], "the next one failed")


@test("http, half-closed after the request")
def test_half_close(client, server, _):
    answer = client.ask("http", addr=server.addr, method="POST", path="/echo", body="a" * 10_000,
                        headers={"content-type": "text/plain"}, half_close=True)
    if client.lang == "rust" and not answer["ok"]:
        raise Skip(answer["error"])
    expect(answer["ok"], answer.get("error"))
    expect(answer["status"] == 200 and answer["body"] == "a" * 10_000, f"status {answer['status']}")


@test("FIND_NODE")
def test_find_node(client, server, make):
    with make(client) as third:  # known to the server alone
        server.do("kad_add", addr=third.addr)
        client.do("kad_add", addr=server.addr)
        found = client.do("find_node", peer=third.id)
        expect(found["found"], "the server did not name a peer that it knows")
        address = third.addr.rsplit("/p2p/", 1)[0]
        addresses = [a.rsplit("/p2p/", 1)[0] for a in found["addrs"]]
        expect(address in addresses, f"{address} is not in {addresses}")


@test("provide, and find providers")
def test_provide(client, server, make):
    key = f"model:interop-{client.lang}-{server.lang}-{os.getpid()}"
    client.do("kad_add", addr=server.addr)
    with make(client) as provider:
        provider.do("kad_add", addr=server.addr)
        provider.do("provide", key=key)
        await_provider(client, key, provider)
    # The provider itself can no longer be asked: now the answer is the server's alone.
    await_provider(client, key, provider)
    none = client.do("find_providers", key=key + "-unheard-of")["providers"]
    expect(not none, f"providers of what nobody provides: {none}")


@test("find what the server provides")
def test_find_provided(client, server, _):
    key = f"model:served-{client.lang}-{server.lang}-{os.getpid()}"
    server.do("kad_add", addr=client.addr)
    server.do("provide", key=key)
    client.do("kad_add", addr=server.addr)
    await_provider(client, key, server)


def await_provider(asker, key, provider):
    """ADD_PROVIDER has no reply, so a record may be a moment later than the answer to `provide`."""
    deadline = time.monotonic() + 5
    while True:
        found = asker.do("find_providers", key=key)["providers"]
        match = [p for p in found if p["peer"] == provider.id]
        if match or time.monotonic() > deadline:
            break
        time.sleep(0.2)
    expect(match, f"{provider.name} is not among the providers {found}")
    addresses = match[0]["addrs"]
    if addresses is not None:  # rust-libp2p does not tell them
        expect([a.rsplit("/p2p/", 1)[0] for a in addresses].count(provider.addr.rsplit("/p2p/", 1)[0]),
               f"{provider.addr} is not in {addresses}")


@test("five connections, one after another")
def test_reconnect(client, server, _):
    times = client.do("connect1", addr=server.addr, n=5)["ms"]
    expect(len(times) == 5, f"{len(times)} connections")


@test("bulk of 16 MiB each way")
def test_bulk(client, server, _):
    client.do("bulk", addr=server.addr, up=16 << 20, down=16 << 20)


IDLE = "after 13 s of idling"


def test_idle(client, server, _):
    """rust-libp2p closes a connection on which nothing lives after 10 s; either side then redials."""
    client.do("echo", addr=server.addr, streams=1, bytes=1000)
    time.sleep(13)
    client.do("echo", addr=server.addr, streams=1, bytes=1000)
    answer = client.do("http", addr=server.addr, method="GET", path="/hello", headers={})
    expect(answer["status"] == 200, f"status {answer['status']}")


# What foreign peers cannot do with each other; of no concern to a run with ours.
KNOWN = {
    (frozenset(("js", "rust")), "bulk of 16 MiB each way"):
        "js sends frames as long as the window, rust refuses those of more than 1 MiB",
}


# ---- the matrix ------------------------------------------------------------------------------


class Report:
    def __init__(self, only):
        self.only = only
        self.counts = {"ok": 0, "FAIL": 0, "skip": 0}

    def wants(self, name):
        return self.only is None or self.only in name

    def line(self, result, name, reason=""):
        self.counts[result] += 1
        print(f"{result:4} {name}{': ' + reason if reason else ''}", flush=True)

    def run(self, name, function, *arguments, again=None, before=""):
        """One test. With `again` (a list) a failure is noted there for a second try instead of counted;
        `before` is what the first try said."""
        if not self.wants(name):
            return
        try:
            function(*arguments)
            self.line("ok", name, f"at the second try, after: {before}" if before else "")
            return
        except Skip as e:
            self.line("skip", name, str(e))
            return
        except Failure as e:
            reason = str(e)
        except Exception as e:  # an answer without the fields that README.md promises
            reason = f"{type(e).__name__}: {e}"
        if again is None:
            self.line("FAIL", name, reason)
        else:
            print(f"     {name}: {reason}; once more with fresh peers", flush=True)
            again.append((name, function, reason))


def find_command(what):
    """The command of a peer: a language, or the path of a binary."""
    if what not in LANGUAGES:
        if not os.access(what, os.X_OK):
            raise Failure(f"{what} is not built")
        return [what]
    setup = subprocess.run([os.path.join(HERE, "setup.sh"), what], stdout=subprocess.PIPE,
                           text=True, check=False)
    verdict, _, rest = setup.stdout.strip().partition(" ")
    if setup.returncode != 0 or verdict not in ("run", "skip"):
        raise Failure(f"setup.sh {what} failed")
    if verdict == "skip":
        raise Skip(rest)
    return shlex.split(rest)


def test_names(names):
    client_name, server_name = names
    tests = [name for name, _ in TESTS] + ([IDLE] if "rust" in names else [])
    return [f"{client_name} dials {server_name}: {name}" for name in tests]


def run_direction(report, names, commands, log):
    """All tests of one client against one server, each pair in fresh processes."""
    client_name, server_name = names
    title = f"{client_name} dials {server_name}: "
    tests = [(title + name, function) for name, function in TESTS]
    idle = title + IDLE
    with_idle = "rust" in names
    if not any(map(report.wants, test_names(names))):
        return

    def make(like):
        name = client_name if like is client else server_name
        return Peer(name + " (third)", commands[name], log)

    waiting, again = None, []
    try:
        if with_idle and report.wants(idle):
            waiting = IdleTest(names, commands, log)
        with Peer(server_name, commands[server_name], log) as server, \
                Peer(client_name, commands[client_name], log) as client:
            for name, function in tests:
                known = KNOWN.get((frozenset(names), name.removeprefix(title)))
                if known is None:
                    report.run(name, function, client, server, make, again=again)
                elif report.wants(name):
                    report.line("skip", name, known)
        # Three programs share two cores: what failed once is tried once more, alone, and says so.
        for name, function, reason in again:
            with Peer(server_name, commands[server_name], log) as server, \
                    Peer(client_name, commands[client_name], log) as client:
                report.run(name, function, client, server, make, before=reason)
    except Failure as e:
        report.line("FAIL", title + "start", str(e))
    if waiting is not None:
        report.run(idle, waiting.result)


class IdleTest(threading.Thread):
    """The one test that mostly waits runs beside the others, with peers of its own."""

    def __init__(self, names, commands, log):
        super().__init__(daemon=True)
        self.arguments = names, commands, log
        self.failure = None
        self.start()

    def run(self):
        (client_name, server_name), commands, log = self.arguments
        try:
            with Peer(server_name, commands[server_name], log, "--idle-s", "10") as server, \
                    Peer(client_name, commands[client_name], log, "--idle-s", "10") as client:
                test_idle(client, server, None)
        except Exception as e:
            self.failure = e

    def result(self):
        self.join()
        if self.failure is not None:
            raise self.failure


def main():
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("--ours", required=True, metavar="PATH|LANG",
                           help="our peer, or js, rust or go in its place")
    arguments.add_argument("--peers", default=",".join(LANGUAGES), metavar="LANG,…")
    arguments.add_argument("--only", metavar="TEXT", help="only tests with TEXT in their name")
    arguments.add_argument("--log", metavar="FILE", help="where the peers' stderr goes (- is here)")
    options = arguments.parse_args()
    report = Report(options.only)
    log = sys.stderr if options.log == "-" else open(options.log or os.devnull, "w", encoding="utf-8")
    ours = options.ours if options.ours in LANGUAGES else "ours"
    foreign = [p for p in options.peers.split(",") if p and p != ours]
    commands = {}
    missing = {}
    for name, what in [(ours, options.ours)] + [(p, p) for p in foreign]:
        try:
            commands[name] = find_command(what)
        except (Skip, Failure) as e:
            missing[name] = e
    for peer in foreign:
        for names in ((peer, ours), (ours, peer)):
            absent = next((missing[name] for name in names if name in missing), None)
            if absent is None:
                run_direction(report, names, commands, log)
                continue
            for name in test_names(names):
                if report.wants(name):
                    report.line("skip" if isinstance(absent, Skip) else "FAIL", name, str(absent))
    counts = report.counts
    print(f"{counts['ok']} passed, {counts['FAIL']} failed, {counts['skip']} skipped")
    return 1 if counts["FAIL"] else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
