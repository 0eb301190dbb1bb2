#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Two nodes, a provider before the scripted backend and a consumer: what a client sees when all is well and
when the backend is wrong in each way of the field. The numbers are rows of the table of failures in the
conventions sheet: 1 tool index, 2 unasked usage, 3 base64 embeddings, 4 finish reason, 5 mid-stream
failure, 6 error shape, 7 CORS, 8 roles and limits, 9 reasoning, 10 UTF-8, 11 meta frames, 12 cancel,
14 missing fields, 16 model list, 17 Retry-After, 18 buffering, 19 null, 20 two hosts."""
import base64, http.client, json, os, re, socket, struct, sys, threading, time
from lib import *

B = Backend()
P = Node("--backend", B.url)
C = Node("--bootstrap", P.address)
C.wait_model("ok")


def both():
    """The same question to the provider's own address and through the network."""
    return (("own", P), ("remote", C))


@test
def a_plain_answer_comes_from_the_other_node():
    s, h, b = C.chat()
    assert s == 200 and b["choices"][0]["message"]["content"].startswith("Paris"), b
    assert b["usage"]["total_tokens"] == 10
    assert h["x-conduit-peer"] == P.peer and "x-conduit-route" in h and h["x-request-id"]


@test
def a_stream_is_complete_and_in_order():
    for name, n in both():
        s, h, ev, raw, orderly = n.stream()
        assert s == 200 and h["content-type"].startswith("text/event-stream"), (name, s, h)
        assert ev[-1] == "[DONE]" and orderly and text_of(ev) == "Paris is the capital 😀", (name, ev)
        assert len({e["id"] for e in ev[:-1]}) == 1
        assert not any("usage" in e and e["usage"] for e in ev[:-1]), "usage nobody asked for"


@test
def usage_comes_when_asked_for():
    for name, n in both():
        ev = n.stream(stream_options={"include_usage": True})[2]
        u = [e for e in ev[:-1] if e.get("usage")]
        assert len(u) == 1 and u[0]["choices"] == [] and ev[-2] is u[0], (name, ev)


@test
def failure_01_tool_calls_get_their_index():
    for name, n in both():
        for model in ("tools", "tools-no-index"):
            ev = n.stream(model, tools=[])[2]
            calls = [t for e in ev[:-1] for c in e["choices"] for t in c["delta"].get("tool_calls", [])]
            assert calls and all(t["index"] == 0 for t in calls), (name, model, calls)
            assert "".join(t["function"].get("arguments", "") for t in calls) == '{"city":"Paris"}'


@test
def failure_02_no_chunk_without_choices_unasked():
    for name, n in both():
        ev = n.stream("unasked-usage")[2]
        assert ev[-1] == "[DONE]" and all(e["choices"] for e in ev[:-1]), (name, ev)


@test
def failure_03_embeddings_in_base64():
    for name, n in both():
        body = {"model": "ok", "input": "hello", "encoding_format": "base64"}
        s, h, b = n.request("POST", "/v1/embeddings", body)
        e = json.loads(b)["data"][0]["embedding"]
        assert s == 200 and struct.unpack("<3f", base64.b64decode(e)) == (0.5, -1.0, 0.25), (name, b)
        s, h, b = n.request("POST", "/v1/embeddings", {**body, "encoding_format": "float"})
        assert json.loads(b)["data"][0]["embedding"] == [0.5, -1.0, 0.25]
        s, h, b = n.request("POST", "/v1/embeddings", {**body, "encoding_format": "hex"})
        assert s == 400 and json.loads(b)["error"]["param"] == "encoding_format", (name, s, b)


@test
def failure_04_finish_reason_of_tool_calls():
    for name, n in both():
        ev = n.stream("tools-stop")[2]
        reasons = [c["finish_reason"] for e in ev[:-1] for c in e["choices"] if c["finish_reason"]]
        assert reasons == ["tool_calls"], (name, reasons)
        b = n.chat("tools-stop")[2]
        assert b["choices"][0]["finish_reason"] == "tool_calls"


@test
def failure_05_an_answer_that_breaks_ends_with_an_error_and_without_done():
    for name, n in both():
        for model in ("drop-700", "no-finish", "error-mid"):
            s, h, ev, raw, orderly = n.stream(model)
            if s != 200:
                assert model == "drop-700", (name, model, s)
                continue
            assert orderly and ev[-1] != "[DONE]", (name, model, ev)
            e = ev[-1]["error"]
            assert e["message"] and e["type"] and isinstance(e["code"], (str, type(None))), e


@test
def failure_06_errors_have_one_shape():
    for name, n in both():
        for model, status in (("error-422", (400, 422)), ("error-string", (400,)), ("error-number", (400,)),
                              ("html", (502,)), ("empty", (502,)), ("half-json", (502,)), ("garbage", (502,)),
                              ("nothing", (502,)), ("drop-0", (502,)), ("error-500", (500, 502, 503))):
            s, h, b = n.chat(model)
            e = b["error"]
            assert set(e) >= {"message", "type", "param", "code"}, (name, model, b)
            assert isinstance(e["message"], str) and isinstance(e["code"], (str, type(None))), (name, model, b)
            assert s in status, (name, model, s, b)


@test
def failure_07_preflight_reflects_what_the_browser_asks():
    s, h, b = C.request("OPTIONS", "/v1/chat/completions", headers={
        "Origin": "http://localhost:3000", "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type,x-stainless-os"})
    assert s in (200, 204) and h["access-control-allow-origin"] == "http://localhost:3000", (s, h)
    assert "x-stainless-os" in h["access-control-allow-headers"] and "POST" in h["access-control-allow-methods"]


@test
def failure_08_every_field_reaches_the_backend():
    fields = {"max_completion_tokens": 7, "temperature": 0.123456789012345678, "seed": 12345678901234567890, "top_k": 3,
              "chat_template_kwargs": {"a": [1, None]}, "logit_bias": {"1": -1}}
    for name, n in both():
        body = json.dumps({"model": "echo-request", "messages": [{"role": "developer", "content": "x"}], **fields})
        raw = body.replace(repr(0.123456789012345678), "0.123456789012345678901")
        s, h, b = n.request("POST", "/v1/chat/completions", raw.encode())
        b = json.loads(b)
        got = json.loads(b["choices"][0]["message"]["content"])
        for k, v in fields.items():
            assert got[k] == v, (name, k, got.get(k))
        assert b["logprobs_seen"] is True and b["system_fingerprint"] == "fp"


@test
def failure_09_both_names_of_reasoning():
    for name, n in both():
        m = n.chat("reasoning")[2]["choices"][0]["message"]
        assert m["reasoning_content"] == m["reasoning"] == "because", (name, m)
        ev = n.stream("reasoning")[2]
        d = next(c["delta"] for e in ev[:-1] for c in e["choices"] if "reasoning" in c["delta"])
        assert d["reasoning_content"] == d["reasoning"] == "because"


@test
def failure_10_an_emoji_is_never_cut():
    for name, n in both():
        ev = n.stream("split-emoji")[2]
        assert text_of(ev) == "a😀b", (name, ev)


@test
def failure_11_no_meta_lines_reach_the_client():
    for name, n in both():
        s, h, ev, raw, o = n.stream("meta-frames")
        assert text_of(ev) == "Paris" and ev[-1] == "[DONE]"
        for line in raw.decode().split("\n"):
            assert not line.startswith(("id:", "retry:", "event:")), (name, line)


@test
def failure_12_going_away_cancels():
    for name, n in both():
        for model in ("never-ends", "stall", "stall-before-head"):
            B.reset()
            s = socket.create_connection(("127.0.0.1", n.port))
            body = json.dumps({"model": model, "stream": True, "messages": []})
            s.sendall(f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
            if model != "stall-before-head":
                assert s.recv(100)
            wait_for(f"{name} {model} at the backend", lambda: B.seen(), 5)
            s.close()
            wait_for(f"{name} {model}: the backend is told", lambda: B.seen()[0]["gone"], 5)


@test
def failure_14_every_chunk_has_its_fields():
    for name, n in both():
        ev = n.stream("no-ids")[2]
        assert ev[-1] == "[DONE]" and text_of(ev).startswith("Paris")
        for e in ev[:-1]:
            assert e["id"] and e["model"] and e["created"] and e["object"] == "chat.completion.chunk" and "choices" in e, (name, e)
            assert all("index" in c for c in e["choices"])
        assert len({e["id"] for e in ev[:-1]}) == 1
        roles = [c["delta"].get("role") for e in ev[:-1] for c in e["choices"]]
        assert roles.count("assistant") == 1, (name, roles)


@test
def failure_16_what_is_listed_can_be_asked():
    ids = C.models()
    assert "ok" in ids and len(ids) == len(set(ids))
    s, b = C.get("/v1/models/ok")
    assert s == 200 and b["id"] == "ok" and b["object"] == "model"
    s, h, b = C.chat("no-such-model")
    assert s == 404 and b["error"]["code"] == "model_not_found", (s, b)
    s, b = C.get("/v1/models/no/such:model")
    assert s == 404 and b["error"]["code"] == "model_not_found"


@test
def failure_17_retry_after_is_told():
    for name, n in both():
        s, h, b = n.chat("error-429")
        assert s == 429 and int(h["retry-after"]) >= 0 and b["error"]["message"], (name, s, h)


@test
def failure_18_the_first_token_is_not_held_back():
    for name, n in both():
        c = http.client.HTTPConnection("127.0.0.1", n.port, timeout=20)
        start = time.monotonic()
        c.request("POST", "/v1/chat/completions", json.dumps({"model": "slow", "stream": True, "messages": []}))
        r = c.getresponse()
        r.read1(10)
        first = time.monotonic() - start
        r.read()
        total = time.monotonic() - start
        c.close()
        assert first < total / 2, (name, first, total)


@test
def failure_19_null_is_like_absent():
    for name, n in both():
        s, h, b = n.chat("ok", tools=None, stop=None, stream=None, stream_options=None, response_format=None)
        assert s == 200, (name, s, b)
        for bad in (b"[]", b'"x"', b"3", b"null", b"{", b'{"model":"ok","messages":[', b""):
            s, h, b = n.request("POST", "/v1/chat/completions", bad)
            assert s == 400 and json.loads(b)["error"]["type"] == "invalid_request_error", (name, bad, s, b)


@test
def failure_20_many_at_once_are_not_mixed_up():
    results, errors = [], []

    def one(i):
        try:
            s, h, b = C.chat("echo-request", text=f"question {i}")
            got = json.loads(b["choices"][0]["message"]["content"])
            results.append(got["messages"][0]["content"] == f"question {i}")
        except Exception as e:
            errors.append(e)
    ts = [threading.Thread(target=one, args=(i,)) for i in range(60)]
    [t.start() for t in ts]
    [t.join() for t in ts]
    assert not errors and all(results) and len(results) == 60, (errors[:3], results)


@test
def duplicate_keys_are_refused():
    for name, n in both():
        s, h, b = n.request("POST", "/v1/chat/completions", b'{"model":"ok","model":"echo-request","messages":[]}')
        assert s == 400 and "model" in json.loads(b)["error"]["message"], (name, s, b)


@test
def a_missing_done_is_put_right_only_after_a_finish_reason():
    for name, n in both():
        ev = n.stream("no-done")[2]
        assert ev[-1] == "[DONE]", (name, ev)


@test
def an_event_of_10_mb_is_refused_in_band():
    for name, n in both():
        s, h, ev, raw, orderly = n.stream("event-10mb")
        assert orderly and ev[-1] != "[DONE]" and ev[-1]["error"], (name, len(raw))


@test
def a_backend_that_closes_after_each_stream_is_no_trouble():
    for name, n in both():
        for _ in range(5):
            assert n.stream("close-after-sse")[2][-1] == "[DONE]"
            assert n.chat("close-after-sse")[0] == 200


@test
def clients_secrets_never_leave_the_node():
    B.reset()
    C.chat("ok", headers={"Authorization": "Bearer secret-1", "x-api-key": "secret-2", "Cookie": "secret-3",
                          "X-Custom": "secret-4"})
    assert "secret" not in json.dumps(B.seen())


@test
def any_chat_model_will_do():
    for m in ("auto", "llamanet", None):
        s, h, b = C.chat(m)
        assert s in (200, 400, 429, 500, 502, 503) and "error" not in (b if s == 200 else {}), (m, s, b)


@test
def foreign_hosts_and_origins_are_refused():
    for h in ({"Host": "evil.example"}, {"Origin": "https://evil.example"}):
        s, _, b = C.request("POST", "/v1/chat/completions", {"model": "ok", "messages": []}, headers=h)
        assert s == 403 and json.loads(b)["error"]["message"], (h, s, b)
    for host in ("localhost", f"127.0.0.1:{C.port}", f"localhost:{C.port}", f"[::1]:{C.port}"):
        assert C.request("GET", "/v1/models", headers={"Host": host})[0] == 200, host


@test
def completions_work_too():
    for name, n in both():
        s, h, b = n.request("POST", "/v1/completions", {"model": "ok", "prompt": "hi"})
        b = json.loads(b)
        assert s == 200 and b["object"] == "text_completion" and b["choices"][0]["text"] == "Paris"
        s, h, b = n.request("POST", "/v1/completions", {"model": "ok", "prompt": "hi", "stream": True})
        ev = events_of(b)
        assert ev[-1] == "[DONE]" and "".join(c["text"] for e in ev[:-1] for c in e["choices"]).startswith("Paris")


def prometheus(text):
    """{series: value}; an AssertionError where the text format's rules or the conventions on names are broken."""
    kinds, values, done, now = {}, {}, set(), None
    for line in text.splitlines():
        if line.startswith("# HELP "):
            name = line.split()[2]
            assert name not in done and len(line.split()) > 3, ("twice, or without a word", line)
            if now:
                done.add(now)
            now = name
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split()
            assert name == now and kind in ("counter", "gauge"), line
            assert (kind == "counter") == name.endswith("_total"), ("counters end in _total", line)
            kinds[name] = kind
        else:
            m = re.fullmatch(r'([a-z_:][a-z0-9_:]*)(\{[a-z_]+="[^"\n]*"(?:,[a-z_]+="[^"\n]*")*\})? (\d+)', line)
            assert m and m[1] == now and now in kinds, line
            series = m[1] + (m[2] or "")
            assert series not in values, ("the same twice", line)
            values[series] = int(m[3])
    return values


@test
def health_head_and_metrics():
    assert C.get("/health") == (200, {"status": "ok"})
    for path in ("/", "/health", "/v1/models"):
        s, h, b = C.request("HEAD", path)
        assert s == 200 and b == b"", (path, s)
    s, h, b = C.request("GET", "/metrics")
    assert s == 200 and h["content-type"].startswith("text/plain; version=0.0.4")
    values = prometheus(b.decode())
    for name in ("conduit_peers", "conduit_p2p_connections", "conduit_p2p_dials_total", "conduit_dht_peers",
                 'conduit_offers{whose="own"}', 'conduit_requests_finished_total{outcome="ok"}',
                 'conduit_limit{scope="system",resource="connections"}',
                 'conduit_limit_used{scope="peer",resource="streams_in"}',
                 'conduit_limit_refused_total{scope="ip",resource="pending_connections"}'):
        assert name in values, (name, b.decode())
    s, h, b = C.request("DELETE", "/v1/models")
    assert s == 405 and "GET" in h["allow"]
    assert C.request("GET", "/nowhere")[0] == 404


@test
def paths_without_v1_work():
    assert C.request("POST", "/chat/completions", {"model": "ok", "messages": []})[0] == 200
    assert C.request("GET", "/models/")[0] == 200
    assert C.request("GET", "//v1/models")[0] == 200


@test
def chunked_bodies_and_expect_continue():
    body = json.dumps({"model": "echo-request", "messages": [{"role": "user", "content": "x" * 5000}]}).encode()
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(body[i:i + 700]), body[i:i + 700]) for i in range(0, len(body), 700)) + b"0\r\n\r\n"
    out = raw_exchange(C.port, b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks)
    assert b"200 OK" in out.split(b"\r\n")[0] and b"xxxx" in out
    s = socket.create_connection(("127.0.0.1", C.port), timeout=10)
    s.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body))
    assert s.recv(1000).startswith(b"HTTP/1.1 100")
    s.sendall(body)
    out = b""
    while (d := s.recv(65536)):
        out += d
    assert b" 200 " in out.split(b"\r\n")[0]


if __name__ == "__main__":
    main()
