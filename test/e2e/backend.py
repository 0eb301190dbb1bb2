#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A scripted OpenAI-compatible backend that can be wrong in every way that was seen in the field.

    backend.py [--port N]      prints "ready PORT" and serves until its stdin ends

The model's name chooses the behaviour (see BEHAVIOURS); GET /v1/models lists them all. Each request
is recorded; GET /_seen returns what arrived (bodies, headers, and whether the client went away
before the end), POST /_reset forgets. Raw sockets, one thread a connection, so that every byte and
every close is chosen here."""
import json, socket, sys, threading, time

seen, lock = [], threading.Lock()


def chunk_of(model, delta, finish=None, **extra):
    return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1700000000, "model": model,
            "choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **extra}


def words(n=5):
    return ["Paris", " is", " the", " capital", " 😀"][:n] + ["x"] * max(0, n - 5)


class Gone(Exception):
    pass


class Reply:
    def __init__(self, sock, req):
        self.s, self.req = sock, req
        self.model = req["body"].get("model", "ok") if isinstance(req["body"], dict) else "ok"
        self.chunked = False

    def raw(self, data):
        try:
            self.s.sendall(data if isinstance(data, bytes) else data.encode())
        except OSError:
            self.req["gone"] = True
            raise Gone

    def head(self, status=200, ctype="text/event-stream", length=None, extra=""):
        self.chunked = length is None
        how = "Transfer-Encoding: chunked" if self.chunked else f"Content-Length: {length}"
        self.raw(f"HTTP/1.1 {status} X\r\nContent-Type: {ctype}\r\n{how}\r\n{extra}\r\n")

    def body(self, data):
        data = data if isinstance(data, bytes) else data.encode()
        self.raw(b"%x\r\n%s\r\n" % (len(data), data) if self.chunked else data)

    def event(self, obj):
        self.body("data: " + (obj if isinstance(obj, str) else json.dumps(obj, ensure_ascii=False)) + "\n\n")

    def end(self):
        if self.chunked:
            self.raw("0\r\n\r\n")

    def json(self, obj, status=200):
        data = json.dumps(obj).encode()
        self.head(status, "application/json", len(data))
        self.raw(data)

    def wants_usage(self):
        return bool((self.req["body"].get("stream_options") or {}).get("include_usage"))

    # --- good answers -----------------------------------------------------------------------------
    def completion(self, message=None, finish="stop", **extra):
        message = message or {"role": "assistant", "content": "".join(words())}
        self.json({"id": "chatcmpl-1", "object": "chat.completion", "created": 1700000000, "model": self.model,
                   "choices": [{"index": 0, "message": message, "finish_reason": finish, "logprobs": None}],
                   "usage": {"prompt_tokens": 5, "completion_tokens": 5, "total_tokens": 10}, **extra})

    def stream(self, n=5, pause=0.0):
        self.head()
        self.event(chunk_of(self.model, {"role": "assistant", "content": ""}))
        for w in words(n):
            if pause:
                time.sleep(pause)
            self.event(chunk_of(self.model, {"content": w}))
        self.finish()

    def finish(self, reason="stop"):
        self.event(chunk_of(self.model, {}, reason))
        if self.wants_usage():
            self.event({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1700000000,
                        "model": self.model, "choices": [],
                        "usage": {"prompt_tokens": 5, "completion_tokens": 5, "total_tokens": 10}})
        self.event("[DONE]")
        self.end()


def b_ok(r):
    r.stream() if r.req["body"].get("stream") else r.completion()


def b_echo_request(r):
    """The body as it arrived, as the answer's text."""
    text = json.dumps(r.req["body"], sort_keys=True)
    r.completion({"role": "assistant", "content": text, "reasoning_content": "because"},
                 logprobs_seen=True, system_fingerprint="fp")


def b_slow(r):
    r.stream(50, 0.1)


def b_paced(r):
    r.stream(int(r.req["body"].get("max_tokens") or 100), 0.01)


def b_slow_once(r):
    """The first word after two seconds."""
    time.sleep(2)
    b_ok(r)


def b_never_ends(r):
    r.head()
    r.event(chunk_of(r.model, {"role": "assistant", "content": ""}))
    while True:
        r.event(chunk_of(r.model, {"content": "x"}))
        time.sleep(0.05)


def b_stall(r):
    r.head()
    r.event(chunk_of(r.model, {"role": "assistant", "content": "a"}))
    time.sleep(600)


def b_stall_before_head(r):
    time.sleep(600)


def b_drop(r):
    """Drops the connection after k bytes: model drop-K."""
    k, sent = int(r.model.split("-")[1]), 0
    real = r.raw

    def limited(data):
        nonlocal sent
        data = data if isinstance(data, bytes) else data.encode()
        real(data[:max(0, k - sent)])
        sent += len(data)
        if sent >= k:
            raise Gone
    r.raw = limited
    b_ok(r)


def b_split_emoji(r):
    """Every byte of the stream in a chunk and a packet of its own around the emoji."""
    r.head()
    r.event(chunk_of(r.model, {"role": "assistant", "content": ""}))
    data = ("data: " + json.dumps(chunk_of(r.model, {"content": "a😀b"}), ensure_ascii=False) + "\n\n").encode()
    for i in range(len(data)):
        r.body(data[i:i + 1])
        time.sleep(0.0005)
    r.finish()


def b_no_done(r):
    r.head()
    r.event(chunk_of(r.model, {"role": "assistant", "content": "Paris"}))
    r.event(chunk_of(r.model, {}, "stop"))
    r.end()


def b_no_finish(r):
    r.head()
    r.event(chunk_of(r.model, {"role": "assistant", "content": "Par"}))
    r.end()


def tool_deltas(index):
    i = {"index": 0} if index else {}
    return [{"role": "assistant", "content": None,
             "tool_calls": [{**i, "id": "call_1", "type": "function", "function": {"name": "weather", "arguments": ""}}]},
            {"tool_calls": [{**i, "function": {"arguments": "{\"city\":"}}]},
            {"tool_calls": [{**i, "function": {"arguments": "\"Paris\"}"}}]}]


def tools(r, index, finish):
    if not r.req["body"].get("stream"):
        return r.completion({"role": "assistant", "content": None, "tool_calls": [
            {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{\"city\":\"Paris\"}"}}]}, finish)
    r.head()
    for d in tool_deltas(index):
        r.event(chunk_of(r.model, d))
    r.finish(finish)


def b_json_schema(r):
    schema = r.req["body"]["response_format"]["json_schema"]["schema"]
    r.completion({"role": "assistant", "content": json.dumps({k: "Paris" for k in schema["properties"]})})


def b_html(r):
    data = "<html><body>It works!</body></html>"
    r.head(200, "text/html", len(data))
    r.raw(data)


def b_empty(r):
    r.head(200, "application/json", 0)


def b_half_json(r):
    data = '{"id":"x","object":"chat.completion","choi'
    r.head(200, "application/json", len(data))
    r.raw(data)


def b_garbage(r):
    r.raw(b"\x00\x01\x02 this is not HTTP at all \xff\xfe\r\n\r\n")


def b_nothing(r):
    raise Gone


def b_event_10mb(r):
    r.head()
    r.event(chunk_of(r.model, {"role": "assistant", "content": "a"}))
    r.event(chunk_of(r.model, {"content": "x" * (10 << 20)}))
    r.finish()


def b_close_after_sse(r):
    """Announces keep-alive, closes after each streamed reply: as llama-server does."""
    b_ok(r)
    if r.req["body"].get("stream"):
        raise Gone


def b_no_ids(r):
    r.head()
    for w in words():
        r.event({"choices": [{"delta": {"role": "assistant", "content": w}}]})
    r.event({"choices": [{"delta": {}, "finish_reason": "stop"}]})
    r.event("[DONE]")
    r.end()


def b_unasked_usage(r):
    r.head()
    r.event(chunk_of(r.model, {"role": "assistant", "content": "Paris"}))
    r.event(chunk_of(r.model, {}, "stop"))
    r.event({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": r.model, "choices": [],
             "usage": {"prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 6}})
    r.event("[DONE]")
    r.end()


def b_reasoning(r):
    if not r.req["body"].get("stream"):
        return r.completion({"role": "assistant", "content": "Paris", "reasoning": "because"})
    r.head()
    r.event(chunk_of(r.model, {"role": "assistant", "reasoning": "because"}))
    r.event(chunk_of(r.model, {"content": "Paris"}))
    r.finish()


def b_meta_frames(r):
    r.head()
    r.body(": keep-alive\n\n")
    r.body("id: 7\nretry: 100\nevent: ping\n\n")
    r.body("event: message\nid: 8\ndata: " + json.dumps(chunk_of(r.model, {"role": "assistant", "content": "Paris"})) + "\n\n")
    r.finish()


def b_error_mid(r):
    r.head()
    r.event(chunk_of(r.model, {"role": "assistant", "content": "Par"}))
    r.event({"error": "out of memory"})
    r.end()


BEHAVIOURS = {
    "ok": b_ok, "echo-request": b_echo_request, "slow": b_slow, "paced": b_paced, "never-ends": b_never_ends, "slow-once": b_slow_once,
    "stall": b_stall, "stall-before-head": b_stall_before_head, "split-emoji": b_split_emoji, "no-done": b_no_done,
    "no-finish": b_no_finish, "tools": lambda r: tools(r, True, "tool_calls"),
    "tools-no-index": lambda r: tools(r, False, "tool_calls"), "tools-stop": lambda r: tools(r, True, "stop"),
    "json-schema": b_json_schema, "html": b_html, "empty": b_empty, "half-json": b_half_json, "garbage": b_garbage,
    "nothing": b_nothing, "event-10mb": b_event_10mb, "close-after-sse": b_close_after_sse, "no-ids": b_no_ids,
    "unasked-usage": b_unasked_usage, "reasoning": b_reasoning, "meta-frames": b_meta_frames, "error-mid": b_error_mid,
    "error-500": lambda r: r.json({"error": {"message": "boom", "type": "server_error", "param": None, "code": None}}, 500),
    "error-422": lambda r: r.json({"detail": [{"msg": "field required"}]}, 422),
    "error-string": lambda r: r.json({"error": "bad thing"}, 400),
    "error-number": lambda r: r.json({"error": {"message": "m", "type": "t", "code": 400}}, 400),
    "error-429": lambda r: r.json({"error": {"message": "slow down"}}, 429),
    "drop-0": b_drop, "drop-50": b_drop, "drop-200": b_drop, "drop-400": b_drop, "drop-700": b_drop,
}


def embeddings(r):
    body = r.req["body"]
    inputs = body["input"] if isinstance(body["input"], list) and not all(isinstance(x, int) for x in body["input"]) else [body["input"]]
    r.json({"object": "list", "model": body.get("model"), "usage": {"prompt_tokens": 3, "total_tokens": 3},
            "data": [{"object": "embedding", "index": i, "embedding": [0.5, -1.0, 0.25]} for i in range(len(inputs))]})


def answer(sock, req):
    r, path = Reply(sock, req), req["path"].split("?")[0]
    path = path[3:] if path.startswith("/v1/") else path
    if path == "/models":
        return r.json({"object": "list", "data": [{"id": m, "object": "model", "created": 1, "owned_by": "test"} for m in BEHAVIOURS]})
    if path == "/_seen":
        with lock:
            return r.json([s for s in seen if not s["path"].startswith("/_")])
    if path == "/_reset":
        with lock:
            seen.clear()
        return r.json({})
    if path == "/embeddings":
        return embeddings(r)
    if path == "/completions":
        if req["body"].get("stream"):
            r.head()
            for w in words():
                r.event({"id": "cmpl-1", "object": "text_completion", "created": 1, "model": r.model,
                         "choices": [{"index": 0, "text": w, "finish_reason": None, "logprobs": None}]})
            r.event({"id": "cmpl-1", "object": "text_completion", "created": 1, "model": r.model,
                     "choices": [{"index": 0, "text": "", "finish_reason": "stop", "logprobs": None}]})
            r.event("[DONE]")
            return r.end()
        return r.json({"id": "cmpl-1", "object": "text_completion", "created": 1, "model": r.model,
                       "choices": [{"index": 0, "text": "Paris", "finish_reason": "stop", "logprobs": None}],
                       "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}})
    if path == "/chat/completions":
        return BEHAVIOURS.get(r.model, b_ok)(r)
    r.json({"error": {"message": "no such path", "type": "invalid_request_error", "param": None, "code": None}}, 404)


def read_request(f):
    line = f.readline()
    if not line:
        return None
    method, path, _ = line.decode().split(" ", 2)
    headers = {}
    while (h := f.readline().strip()):
        k, v = h.decode().split(":", 1)
        headers[k.lower()] = v.strip()
    if headers.get("transfer-encoding") == "chunked":
        data = b""
        while (n := int(f.readline().split(b";")[0], 16)):
            data += f.read(n)
            f.readline()
        f.readline()
    else:
        data = f.read(int(headers.get("content-length", 0)))
    try:
        body = json.loads(data) if data else {}
    except ValueError:
        body = data.decode("latin1")
    return {"method": method, "path": path, "headers": headers, "body": body, "gone": False, "done": False}


def watch(sock, req):
    """Notices that the client went away although nothing is being written."""
    sock.settimeout(0.05)
    while not req["done"]:
        try:
            if sock.recv(1, socket.MSG_PEEK) == b"":
                req["gone"] = not req["done"]
                return
            return
        except TimeoutError:
            continue
        except OSError:
            req["gone"] = not req["done"]
            return


def serve(sock):
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    f = sock.makefile("rb")
    try:
        while (req := read_request(f)):
            with lock:
                seen.append(req)
            watcher = None
            if req["path"].endswith("completions") and isinstance(req["body"], dict) and req["body"].get("stream"):
                watcher = threading.Thread(target=watch, args=(sock, req), daemon=True)
                watcher.start()
            try:
                answer(sock, req)
            finally:
                req["done"] = True
                if watcher:
                    watcher.join()
                    sock.settimeout(None)
    except (Gone, OSError, ValueError):
        pass
    finally:
        f.close()
        sock.close()


def main():
    port = int(sys.argv[sys.argv.index("--port") + 1]) if "--port" in sys.argv else 0
    ls = socket.create_server(("127.0.0.1", port), backlog=512)

    def accept():
        while True:
            s, _ = ls.accept()
            threading.Thread(target=serve, args=(s,), daemon=True).start()
    threading.Thread(target=accept, daemon=True).start()
    print("ready", ls.getsockname()[1], flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
