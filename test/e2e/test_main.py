#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The main job with real parts: conduit-tiny in a real llama-server on one node, asked through another. Also
what happens when llama-server or the provider is killed in the middle of an answer."""
import json, os, signal, socket, subprocess, threading, time
from lib import *

if cli("engine", "version").returncode != 0:
    SKIP = "no llama-server (make engine)"
else:
    SKIP = None
PARTS = {}


def pair():
    """A provider with the tiny model and a consumer, shared by the tests."""
    if SKIP:
        raise Skip(SKIP)
    if not PARTS:
        p = Node("--model", TINY, "--threads", "1", "--parallel", "2")
        PARTS["p"] = p
        PARTS["c"] = Node("--bootstrap", p.address).wait_model("conduit-tiny", 40)
    return PARTS["p"], PARTS["c"]


def engine_pids(node):
    """llama-server children of a node, deeper ones too."""
    out = subprocess.run(["ps", "-eo", "pid,ppid,args"], capture_output=True, text=True).stdout
    rows = [l.split(None, 2) for l in out.splitlines()[1:]]
    mine, found = {str(node.proc.pid)}, []
    for _ in range(4):
        for pid, ppid, args in rows:
            if ppid in mine and pid not in mine:
                mine.add(pid)
                if "llama-server" in args:
                    found.append(int(pid))
    return found


@test
def the_capital_of_france_from_the_other_node():
    p, c = pair()
    s, h, b = c.chat("conduit-tiny", temperature=0)
    assert s == 200 and "Paris" in b["choices"][0]["message"]["content"], b
    assert b["choices"][0]["finish_reason"] == "stop" and b["usage"]["completion_tokens"] > 0
    assert h["x-conduit-peer"] == p.peer and b["model"] == "conduit-tiny", (h, b["model"])


@test
def it_streams_token_by_token():
    p, c = pair()
    s, h, ev, raw, orderly = c.stream("conduit-tiny", temperature=0, stream_options={"include_usage": True})
    assert s == 200 and orderly and ev[-1] == "[DONE]" and "Paris" in text_of(ev), ev
    assert len([e for e in ev[:-1] if e["choices"] and e["choices"][0]["delta"].get("content")]) >= 2
    assert ev[-2]["usage"]["completion_tokens"] > 0


@test
def curl_without_content_type():
    p, c = pair()
    body = json.dumps({"model": "conduit-tiny", "stream": True, "messages": [{"role": "user", "content": "What is the capital of France?"}]})
    out = subprocess.run(["curl", "-sN", f"http://localhost:{c.port}/v1/chat/completions", "-d", body], capture_output=True, timeout=30).stdout
    assert "Paris" in text_of(events_of(out)), out


@test
def ask_prints_the_answer():
    p, c = pair()
    r = c.cli("ask", "What is the capital of France?", "--model", "conduit-tiny")
    assert r.returncode == 0 and "Paris" in r.stdout, (r.returncode, r.stdout, r.stderr)


@test
def any_model_means_a_chat_model():
    p, c = pair()
    for m in ("auto", "llamanet", None):
        s, h, b = c.chat(m, temperature=0)
        assert s == 200 and b["model"] == "conduit-tiny", (m, s, b)


@test
def json_schema_and_logprobs_reach_the_engine():
    p, c = pair()
    schema = {"type": "object", "properties": {"city": {"type": "string", "maxLength": 12}}, "required": ["city"], "additionalProperties": False}
    s, h, b = c.chat("conduit-tiny", max_tokens=60, temperature=0,
                     response_format={"type": "json_schema", "json_schema": {"name": "c", "strict": True, "schema": schema}})
    assert s == 200 and "city" in json.loads(b["choices"][0]["message"]["content"]), b
    s, h, b = c.chat("conduit-tiny", logprobs=True, top_logprobs=2, temperature=0)
    assert b["choices"][0]["logprobs"]["content"][0]["logprob"] <= 0, b


@test
def embeddings_from_the_engine():
    p, c = pair()
    s, h, b = c.request("POST", "/v1/embeddings", {"model": "conduit-tiny", "input": ["a", "b"]})
    b = json.loads(b)
    assert s == 200 and len(b["data"]) == 2 and len(b["data"][0]["embedding"]) > 8, (s, str(b)[:300])


@test
def more_requests_than_slots_wait_their_turn():
    p, c = pair()
    out = []
    ts = [threading.Thread(target=lambda: out.append(c.chat("conduit-tiny", temperature=0, timeout=60)[0])) for _ in range(12)]
    [t.start() for t in ts]
    [t.join() for t in ts]
    assert out == [200] * 12, out


@test
def after_cancel_the_engine_stops():
    p, c = pair()
    s = socket.create_connection(("127.0.0.1", c.port))
    body = json.dumps({"model": "conduit-tiny", "stream": True, "max_tokens": 100000, "ignore_eos": True,
                       "messages": [{"role": "user", "content": "Tell me everything."}]})
    s.sendall(f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
    assert s.recv(1000)
    s.close()

    def idle():
        st = json.loads(p.cli("status", "--json").stdout)
        return all(m.get("busy", 0) == 0 for m in st["models"])
    wait_for("the slot is free again", idle, 10)
    assert c.chat("conduit-tiny", temperature=0)[0] == 200


@test
def a_killed_llama_server_ends_the_stream_and_comes_back():
    p, c = pair()
    pids = engine_pids(p)
    assert pids
    result = []
    t = threading.Thread(target=lambda: result.append(c.stream("conduit-tiny", max_tokens=200000, ignore_eos=True, timeout=60)))
    t.start()
    time.sleep(1.0)
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    t.join(30)
    s, h, ev, raw, orderly = result[0]
    if s == 200 and not (ev and ev[-1] == "[DONE]"):
        assert orderly and ev[-1]["error"]["message"], ev[-1]
    wait_for("the engine is back", lambda: c.chat("conduit-tiny", temperature=0)[0] == 200, 40, 0.3)


@test
def a_killed_provider_ends_the_stream_with_an_error():
    if SKIP:
        raise Skip(SKIP)
    B = Backend()
    p = Node("--backend", B.url)
    c = Node("--bootstrap", p.address).wait_model("never-ends")
    result = []
    t = threading.Thread(target=lambda: result.append(c.stream("never-ends", timeout=60)))
    t.start()
    wait_for("it runs", lambda: B.seen(), 10)
    time.sleep(0.5)
    start = time.monotonic()
    p.kill()
    t.join(30)
    s, h, ev, raw, orderly = result[0]
    assert s == 200 and orderly and ev[-1]["error"]["code"], ev[-1]
    assert time.monotonic() - start < 5
    wait_for("its models leave the list", lambda: "never-ends" not in c.models(), 20)
    c.stop()
    B.stop()


@test
def before_the_first_event_the_next_provider_takes_over():
    B1, B2 = Backend(), Backend()
    boot = Node()
    p1 = Node("--backend", B1.url, "--models", "ok", "--bootstrap", boot.address)
    p2 = Node("--backend", B2.url, "--models", "ok", "--bootstrap", boot.address)
    c = Node("--bootstrap", boot.address).wait_model("ok")
    def two():
        s, b = c.get("/conduit/v1/offers?scope=network")
        return len({o["peer"] for o in b["offers"] if o["peer"] != c.peer}) >= 2
    wait_for("both offers are known", two, 20)
    B1.stop()
    for _ in range(6):
        s, h, b = c.chat("ok", timeout=40)
        assert s == 200, (s, b)
    served = {c.chat("ok")[1]["x-conduit-peer"] for _ in range(4)}
    assert served == {p2.peer}, served
    for n in (c, p1, p2, boot):
        n.stop()
    B2.stop()


@test
def a_node_without_anything_is_the_backbone_of_the_others():
    B = Backend()
    boot = Node()
    p = Node("--backend", B.url, "--models", "ok", "--bootstrap", boot.address)
    c = Node("--bootstrap", boot.address).wait_model("ok")
    assert c.chat("ok")[1]["x-conduit-peer"] == p.peer
    assert boot.chat("ok")[1]["x-conduit-peer"] == p.peer
    for n in (c, p, boot):
        assert n.stop() == 0
    B.stop()


@test
def own_and_others_offers_are_one_choice():
    p, c = pair()
    both = Node("--bootstrap", p.address, "--backend", "echo:").wait_model("conduit-tiny", 30)
    assert "echo" in both.models()
    assert both.chat("echo", text="hello there")[2]["choices"][0]["message"]["content"].find("hello there") >= 0
    assert both.chat("conduit-tiny", temperature=0)[1]["x-conduit-peer"] == p.peer
    both.stop()


@test
def a_question_while_the_model_loads_waits_for_it():
    if SKIP:
        raise Skip(SKIP)
    n = Node("--model", TINY, "--threads", "1")
    s, h, b = n.chat("conduit-tiny", temperature=0)
    assert s == 200 and "Paris" in b["choices"][0]["message"]["content"], (s, b)
    n.stop()


@test
def killed_nodes_leave_no_engine_behind():
    if SKIP:
        raise Skip(SKIP)
    n = Node("--model", TINY, "--threads", "1")
    n.wait_model("conduit-tiny", 40)
    pids = engine_pids(n)
    assert pids
    n.kill()

    def gone():
        for pid in pids:
            try:
                with open(f"/proc/{pid}/stat") as f:
                    if f.read().rsplit(")", 1)[1].split()[0] not in "ZX":
                        return False
            except OSError:
                pass
        return True
    wait_for("llama-server went with its node", gone, 10)


if __name__ == "__main__":
    main()
