#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""`ask` and `chat` as programs, asked straight at the scripted backend, so that what is wrong with an answer
reaches them unmended: what they print, what they say, and how they exit."""
import http.server, json, os, pty, select, signal, subprocess, tempfile, threading, time
from lib import *

B = None


def backend():
    global B
    B = B or Backend()
    return B


def ask(*args, model="ok", input=None, env=None):
    return cli("ask", "--api", backend().url, "--model", model, *args, input=input, env=env, timeout=30)


@test
def the_answer_is_stdout_and_nothing_else():
    r = ask("What", "is", "it?")
    assert (r.returncode, r.stdout, r.stderr) == (0, "Paris is the capital 😀\n", ""), r
    r = ask("q", "--show-peer")
    assert r.returncode == 0 and r.stdout == "Paris is the capital 😀\n" and "answered by" in r.stderr, r


@test
def json_is_one_object():
    r = ask("q", "--json")
    j = json.loads(r.stdout)
    assert j["text"] == "Paris is the capital 😀" and j["model"] == "ok" and j["finish_reason"] == "stop", r
    assert j["usage"]["total_tokens"] == 10 and j["peer"] is None and j["route"] is None, r


@test
def the_options_are_in_the_request():
    r = ask("a", "b", "--system", "be brief", "--max-tokens=7", "--temperature", "0.5", model="echo-request")
    assert json.loads(r.stdout) == {"model": "echo-request", "stream": True, "max_tokens": 7, "temperature": 0.5, "messages": [
        {"role": "system", "content": "be brief"}, {"role": "user", "content": "a b"}]}, r
    r = ask(model="echo-request", input="from a\n\"pipe\"\n")
    assert json.loads(r.stdout)["messages"] == [{"role": "user", "content": 'from a\n"pipe"'}], r
    assert json.loads(ask("-", model="echo-request", input="x").stdout)["messages"][0]["content"] == "x"
    assert json.loads(ask("--", "--x", model="echo-request").stdout)["messages"][0]["content"] == "--x"


@test
def the_key_is_sent_and_never_printed():
    backend().reset()
    r = ask("q", env={"CONDUIT_ACCESS_KEY": "sesame"})
    assert r.returncode == 0 and backend().seen()[0]["headers"]["authorization"] == "Bearer sesame"
    assert "sesame" not in r.stdout + r.stderr


@test
def every_bad_answer_fails_with_a_sentence():
    for model, text, why in (
            ("no-done", "Paris\n", "cut off"), ("no-finish", "Par\n", "cut off"), ("error-mid", "Par\n", "out of memory"),
            ("error-500", "", "boom"), ("error-422", "", "field required"), ("error-string", "", "bad thing"),
            ("error-429", "", "slow down"), ("html", "", "not JSON"), ("empty", "", "not JSON"), ("half-json", "", "not JSON"),
            ("garbage", "", "failed"), ("nothing", "", "failed"), ("drop-50", "", "failed"), ("drop-400", "", "failed"),
            ("event-10mb", "a\n", "too big")):
        r = ask("q", model=model)
        assert r.returncode == 1 and r.stdout == text, (model, r)
        assert r.stderr.startswith("conduit ask: ") and why in r.stderr and r.stderr.count("\n") == 1, (model, r)


@test
def odd_but_good_answers_are_read():
    for model, text in (("split-emoji", "a😀b"), ("meta-frames", "Paris"), ("no-ids", "Paris is the capital 😀"),
                        ("reasoning", "Paris"), ("close-after-sse", "Paris is the capital 😀"), ("unasked-usage", "Paris")):
        r = ask("q", model=model)
        assert r.returncode == 0 and r.stdout == text + "\n", (model, r)


@test
def mistakes_are_usage_errors():
    for args in (["--modle", "x", "q"], ["q", "--model"], ["q", "--temperature", "9"], ["q", "--temperature", "nan"],
                 ["q", "--max-tokens", "0"], ["q", "--max-tokens", "-1"], [""], ["q", "--bootstrap", "h:1", "--api", "http://x/v1"],
                 ["q", "--api", "ftp://x"]):
        r = cli("ask", *args, input="")
        assert r.returncode == 2 and r.stderr.startswith("conduit ask: "), (args, r)
    assert cli("chat", "hello").returncode == 2
    r = cli("ask", "q", "--api", "http://127.0.0.1:1/v1")
    assert r.returncode == 1 and "http://127.0.0.1:1/v1" in r.stderr and "refused" in r.stderr, r


@test
def ctrl_c_ends_the_answer_and_the_request():
    backend().reset()
    p = spawn([CONDUIT, "ask", "--api", backend().url, "--model", "never-ends", "q"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert p.stdout.read(3) == b"xxx"
    p.send_signal(signal.SIGINT)
    out, err = p.communicate(timeout=10)
    assert p.returncode == 130 and err == b"" and out.strip(b"x") == b"\n", (p.returncode, out, err)
    wait_for("the backend sees the client go", lambda: backend().seen()[0]["gone"], 10)


@test
def a_reader_that_goes_away_ends_it():
    p = spawn([CONDUIT, "ask", "--api", backend().url, "--model", "never-ends", "q"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert p.stdout.read(1) == b"x"
    p.stdout.close()
    assert p.wait(10) == 1
    p.stderr.close()


@test
def chat_keeps_the_conversation():
    backend().reset()
    r = cli("chat", "--api", backend().url, "--model", "ok", "--system", "s",
            input="first\n\n second\n/model error-500\nlost\n/model ok\nthird\n/clear\nfourth\n/what\n/exit\nnever\n")
    assert r.returncode == 1 and r.stdout == "Paris is the capital 😀\n" * 4, r
    assert "conduit chat: boom" in r.stderr and "/help" in r.stderr and ">" not in r.stdout, r
    asked = [s["body"]["messages"] for s in backend().seen()]
    sys, ans = {"role": "system", "content": "s"}, {"role": "assistant", "content": "Paris is the capital 😀"}
    q = lambda t: {"role": "user", "content": t}
    assert asked[0] == [sys, q("first")]
    assert asked[1] == [sys, q("first"), ans, q(" second")]
    assert asked[2] == asked[1] + [ans, q("lost")]
    assert asked[3] == asked[1] + [ans, q("third")], "a question that failed is out again"
    assert asked[4:] == [[sys, q("fourth")]]


@test
def chat_json_is_an_object_a_line():
    r = cli("chat", "--api", backend().url, "--model", "ok", "--json", input="a\nb\n")
    assert r.returncode == 0 and [json.loads(l)["text"] for l in r.stdout.splitlines()] == ["Paris is the capital 😀"] * 2, r


class Terminal:
    def __init__(self, *args):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execv(CONDUIT, [CONDUIT, *args])
        self.got = ""

    def expect(self, text, timeout=10):
        end = time.monotonic() + timeout
        while text not in self.got:
            assert time.monotonic() < end, f"no {text!r} in {self.got!r}"
            if select.select([self.fd], [], [], 0.1)[0]:
                self.got += os.read(self.fd, 65536).decode(errors="replace")
        at = self.got.index(text) + len(text)
        before, self.got = self.got[:at], self.got[at:]
        return before

    def type(self, text):
        os.write(self.fd, text.encode())

    def wait(self):
        code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        os.close(self.fd)
        return code


@test
def ctrl_c_in_chat_returns_to_the_prompt():
    t = Terminal("chat", "--api", backend().url, "--model", "never-ends")
    t.expect("> ")
    t.type("hello\n")
    t.expect("xxx")
    t.type("\x03")
    t.expect("> ")
    t.type("/model ok\n")
    t.expect("> ")
    t.type("again\n")
    t.expect("capital")
    t.expect("> ")
    t.type("/exit\n")
    assert t.wait() == 0


EVIL = "a\x1b]0;owned\x07b\x9b31mc\u202fd"


class Evil(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        event = json.dumps({"choices": [{"delta": {"content": EVIL}}]}, ensure_ascii=False)
        data = f"data: {event}\n\ndata: [DONE]\n\n".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Content-Length", str(len(data)))
        self.send_header("X-Conduit-Peer", "evil\xc2\x9bpeer")
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args):
        pass


@test
def a_model_cannot_drive_the_terminal():
    server = http.server.HTTPServer(("127.0.0.1", 0), Evil)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    api = f"http://127.0.0.1:{server.server_port}/v1"
    t = Terminal("ask", "--api", api, "--show-peer", "q")
    shown = t.expect("d\r\n") + t.expect("\n")
    assert t.wait() == 0 and shown.startswith("a]0;ownedb31mc\u202fd\r\n"), shown
    assert not set(shown) & set("\x1b\x07\x9b"), shown
    assert cli("ask", "--api", api, "q").stdout == EVIL + "\n", "a pipe gets it as it is"
    said = cli("ask", "--api", api, "--json", "q").stdout  # JSON is the same to who reads it, wherever it goes
    assert json.loads(said)["text"] == EVIL and not set(said) & set("\x1b\x07\x9b"), said
    server.shutdown()


@test
def a_node_of_its_own_for_one_question():
    with Node("--backend", "echo:") as p, tempfile.TemporaryDirectory() as d:
        env = {"TMPDIR": d}
        r = cli("ask", "--bootstrap", p.address, "--model", "echo", "--json", "hi there", env=env)
        assert r.returncode == 0 and json.loads(r.stdout)["text"] == "hi there" and json.loads(r.stdout)["peer"] == p.peer, r
        c = spawn([CONDUIT, "ask", "--bootstrap", p.address, "--model", "nonesuch", "hi"], stderr=subprocess.PIPE,
                  stdout=subprocess.PIPE, env={**os.environ, **env})
        wait_for("its node runs", lambda: [x for x in os.listdir(d) if os.path.exists(os.path.join(d, x, "control.sock"))])
        time.sleep(0.5)
        c.send_signal(signal.SIGINT)
        assert c.communicate(timeout=10) == (b"", b"") and c.returncode == 130
        assert os.listdir(d) == [], "the node's directory is gone with it"
    r = cli("ask", "--bootstrap", "not an address", "hi", timeout=60)
    assert r.returncode == 1 and "did not start" in r.stderr and "not an address" in r.stderr, r


@test
def a_key_is_shown_without_a_node():
    with tempfile.TemporaryDirectory() as d:
        r = cli("key", "--data-dir", d)
        assert r.returncode == 1 and "conduit up" in r.stderr and os.listdir(d) == [], r
        # the Ed25519 vector of the libp2p peer id specification
        with open(os.path.join(d, "identity.key"), "wb") as f:
            f.write(bytes.fromhex("080112407e0830617c4a7de83925dfb2694556b12936c477a0e1feb2e148ec9da60fee7d"
                                  "1ed1e8fae2c4a144b8be8fd4b47bf3d3b34b871c3cacf6010f0e42d474fce27e"))
        assert cli("key", "--data-dir", d).stdout == "12D3KooWBtg3aaRMjxwedh83aGiUkwSxDwUZkzuJcfaqUmo7R3pq\n"
        assert json.loads(cli("key", "--data-dir", d, "--json").stdout)["public_key"].startswith("1ed1e8fa")
        with open(os.path.join(d, "identity.key"), "wb") as f:
            f.write(b"not a key")
        assert cli("key", "--data-dir", d).returncode == 1


if __name__ == "__main__":
    main()
