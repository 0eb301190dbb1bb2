# SPDX-License-Identifier: MIT
"""The tests of two peers on loopback: bytes, streams, HTTP, the DHT. reach.py has those of relays,
NATs and the LAN.

A test is a function of the client that dials, the server that is dialled, and a maker of further
peers; each belongs to a row of the table that is printed at the end. The peers are the same ones
from the first test of a pair to the last.
"""
import json
import os
import threading
import time

from peer import KAD, Failure, Lacks, expect

ECHO = "/conduit-test/echo/1.0.0"
NOBODY = "12D3KooWBtg3aaRMjxwedh83aGiUkwSxDwUZkzuJcfaqUmo7R3pq"
TESTS = []  # (row, name, function)


def test(row, name):
    def add(function):
        TESTS.append((row, name, function))
        return function
    return add


@test("connect", "dial")
def test_dial(client, server, _):
    answer = client.do("dial", addr=server.addr)
    expect(answer["peer"] == server.id, f"dialled {server.id}, got {answer['peer']}")


@test("connect", "dial with another's id is refused")
def test_wrong_id(client, server, _):
    client.do("close", addr=server.addr)
    address = server.addr.rsplit("/p2p/", 1)[0]
    answer = client.ask("dial", addr=f"{address}/p2p/{NOBODY}")
    expect(not answer["ok"], "a connection to a wrong peer was taken for the right one")
    client.do("dial", addr=server.addr)


@test("ping", "ping")
def test_ping(client, server, _):
    for _ in range(3):
        ms = client.do("ping", addr=server.addr)["ms"]
        expect(0 < ms < 5000, f"{ms} ms is no round trip on loopback")


@test("identify", "identify")
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


@test("streams", "64 streams of 1 MiB")
def test_echo(client, server, _):
    client.do("echo", addr=server.addr, streams=64, bytes=1 << 20)


@test("streams", "400 streams of 1 KiB, 50 at a time")
def test_many(client, server, _):
    # go takes at most 64 streams of one protocol from one peer, rust negotiates 128 at once
    for _ in range(8):
        client.do("echo", addr=server.addr, streams=50, bytes=1 << 10)


@test("streams", "streams of 0 and 1 bytes")
def test_small(client, server, _):
    client.do("echo", addr=server.addr, streams=1, bytes=1)
    # rust opens a stream with its first byte, and js answers nothing to a stream without one, so
    # an empty stream is sent only where it can be seen.
    if client.lang not in ("rust", "js"):
        client.do("echo", addr=server.addr, streams=1, bytes=0)


@test("HTTP", "http")
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


@test("HTTP", "http: /.well-known/libp2p/protocols")
def test_well_known(client, server, _):
    known = client.do("http", addr=server.addr, method="GET", path="/.well-known/libp2p/protocols",
                      headers={})
    expect(known["status"] == 200, f"status {known['status']}")
    expect(isinstance(json.loads(known["body"]).get("protocols"), dict), f"body {known['body']!r}")


@test("HTTP", "16 http requests at once")
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


@test("SSE", "sse of 50 events")
def test_sse(client, server, _):
    for body in (None, '{"stream":true}'):
        fields = {} if body is None else {"body": body}
        answer = client.do("sse", addr=server.addr, path="/sse?n=50", **fields)
        expect(answer["status"] == 200, f"status {answer['status']}")
        want = [json.dumps({"i": i}, separators=(",", ":")) for i in range(50)] + ["[DONE]"]
        expect(answer["events"] == want,
               f"{len(answer['events'])} events, the last {answer['events'][-1:]}")
        expect(answer["orderly"], "the body did not come to its proper end")


@test("SSE", "sse that breaks off is seen to")
def test_sse_cut(client, server, _):
    # A reset throws away what was not read yet, the head of the answer too: then it is an error.
    answer = client.ask("sse", addr=server.addr, path="/sse?n=50&cut=10")
    expect(not answer.get("orderly"), "a body that broke off was taken for complete")
    count = len(answer.get("events", []))
    expect(count <= 10, f"{count} events of a body cut after 10")
    expect(client.do("sse", addr=server.addr, path="/sse?n=3")["orderly"], "the next one failed")


@test("HTTP", "http, half-closed after the request")
def test_half_close(client, server, _):
    answer = client.ask("http", addr=server.addr, method="POST", path="/echo", body="a" * 10_000,
                        headers={"content-type": "text/plain"}, half_close=True)
    if client.lang == "rust" and not answer["ok"]:
        raise Lacks(answer["error"])
    expect(answer["ok"], answer.get("error"))
    expect(answer["status"] == 200 and answer["body"] == "a" * 10_000, f"status {answer['status']}")


@test("kad", "FIND_NODE")
def test_find_node(client, server, make):
    with make(client) as third:  # known to the server alone
        server.do("kad_add", addr=third.addr)
        client.do("kad_add", addr=server.addr)
        found = client.do("find_node", peer=third.id)
        expect(found["found"], "the server did not name a peer that it knows")
        address = third.addr.rsplit("/p2p/", 1)[0]
        addresses = [a.rsplit("/p2p/", 1)[0] for a in found["addrs"]]
        expect(address in addresses, f"{address} is not in {addresses}")


@test("kad", "provide, and find providers")
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


@test("kad", "find what the server provides")
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


@test("connect", "five connections, one after another")
def test_reconnect(client, server, _):
    times = client.do("connect1", addr=server.addr, n=5)["ms"]
    expect(len(times) == 5, f"{len(times)} connections")


@test("connect", "five connections with a request each, one after another")
def test_first_answer(client, server, _):
    times = client.do("http1", addr=server.addr, n=5)["ms"]
    expect(len(times) == 5 and all(t > 0 for t in times), f"{times}")


@test("bulk", "bulk of 16 MiB each way")
def test_bulk(client, server, _):
    client.do("bulk", addr=server.addr, up=16 << 20, down=16 << 20)


def test_idle(client, server, _):
    """rust-libp2p closes a connection on which nothing lives after 10 s; either side then redials."""
    client.do("echo", addr=server.addr, streams=1, bytes=1000)
    time.sleep(13)
    client.do("echo", addr=server.addr, streams=1, bytes=1000)
    answer = client.do("http", addr=server.addr, method="GET", path="/hello", headers={})
    expect(answer["status"] == 200, f"status {answer['status']}")


# What two foreign peers cannot do with each other; of no concern to a run with ours.
KNOWN = {
    (frozenset(("js", "rust")), "bulk of 16 MiB each way"):
        "js sends frames as long as the window, rust refuses those of more than 1 MiB",
}
