#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Engines through the real binary and a real llama-server: split models, adapters, options, equal names, a
llama-server that is missing or too old, backends that come late, what a killed node leaves, and that
what a right backend says is left as it is. `engine install` for real where Debian's mirror can be reached."""
import gguf, glob, json, os, shutil, socket, subprocess, tempfile, time
from lib import *

if cli("engine", "version").returncode != 0:
    SKIP = "no llama-server (make engine)"
else:
    SKIP = None
TMP = tempfile.mkdtemp(prefix="conduit-e2e-engine-")


def need_llama():
    if SKIP:
        raise Skip(SKIP)


def ready(node, model="conduit-tiny"):
    """Waits until the node's own model can be asked."""
    node.wait_model(model, 30)
    wait_for(f"{model} is ready", lambda: node.chat(model, max_tokens=1)[0] == 200, 30, 0.1)
    return node


def engine_commands(node):
    """Command lines of the node's llama-servers, from the kernel."""
    found = []
    for d in glob.glob("/proc/[0-9]*"):
        try:
            argv = open(d + "/cmdline").read().split("\0")[:-1]
            stat = open(d + "/stat").read()
        except OSError:
            continue
        if int(stat.rsplit(")", 1)[1].split()[1]) == node.proc.pid and "--alias" in argv:
            found.append(argv)
    return found


def ask_unix(path, target):
    """The body of a GET over a unix socket."""
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(10)
        s.connect(path)
        s.sendall(f"GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        data = b""
        while d := s.recv(65536):
            data += d
    return data.split(b"\r\n\r\n", 1)[1]


def up_fails(*args, env=None):
    """What `conduit up` says when it cannot start; the exit code must be 1."""
    d = tempfile.mkdtemp(dir=TMP)
    r = cli("up", "--data-dir", d + "/data", "--p2p-port", "0", "--http-port", "0", "--p2p-host", "127.0.0.1", *args,
            env={"XDG_CONFIG_HOME": d, **(env or {})}, timeout=30)
    assert r.returncode == 1, (r.returncode, r.stdout, r.stderr)
    return r.stderr


# --- models ------------------------------------------------------------------------------------------------
@test
def a_split_model_answers():
    need_llama()
    paths = gguf.split(TINY, TMP + "/tiny", 3)
    assert [os.path.basename(p) for p in paths][0] == "tiny-00001-of-00003.gguf"
    with Node("--model", paths[0], "--parallel", "2") as n:
        s, h, b = ready(n).chat("conduit-tiny", temperature=0)
        assert s == 200 and "Paris" in b["choices"][0]["message"]["content"], b
        assert n.chat("tiny", max_tokens=1)[0] == 200  # the alias is the stem without its number
    said = up_fails("--model", paths[1])
    assert "give the first file of a split model" in said, said
    os.rename(paths[2], paths[2] + ".away")
    said = up_fails("--model", paths[0])
    assert "tiny-00003-of-00003.gguf" in said, said


@test
def an_adapter_is_loaded_and_what_is_none_is_refused():
    need_llama()
    adapter = gguf.idle_adapter(TINY, TMP + "/idle.gguf")
    with Node("--model", TINY, "--lora", adapter, "--parallel", "2") as n:
        s, h, b = ready(n).chat("conduit-tiny", temperature=0)
        assert s == 200 and "Paris" in b["choices"][0]["message"]["content"], b
        argv = engine_commands(n)[0]
        loaded = json.loads(ask_unix(argv[argv.index("--host") + 1], "/lora-adapters"))
        assert [a["path"] for a in loaded] == [adapter], loaded
    said = up_fails("--model", TINY, "--lora", TINY)
    assert "no LoRA adapter" in said, said
    said = up_fails("--model", TINY, "--mmproj", TINY)
    assert "no projector for images" in said, said
    said = up_fails("--model", adapter)
    assert "its type is adapter, not model" in said, said


@test
def options_reach_llama_server():
    need_llama()
    with Node("--model", "t=" + TINY, "--ctx", "256", "--parallel", "3", "--threads", "1", "--batch", "128",
              "--gpu-layers", "0") as n:
        ready(n, "t")
        argv = engine_commands(n)
        assert len(argv) == 1, argv
        flags = dict(zip(argv[0], argv[0][1:]))
        want = {"--ctx-size": "768", "--parallel": "3", "--threads": "1", "--batch-size": "128", "--n-gpu-layers": "0",
                "--alias": "t"}
        assert {k: flags.get(k) for k in want} == want, argv
        row = next(m for m in n.get("/v1/models")[1]["data"] if m["id"] == "t")
        assert row, row


@test
def equal_names_are_one_row():
    need_llama()
    with Node("--model", TINY, "--model", TINY, "--threads", "1", "--parallel", "1") as n:
        ready(n)
        assert n.models().count("conduit-tiny") == 1, n.models()
        wait_for("two engines", lambda: len(engine_commands(n)) == 2)
        assert len(glob.glob(n.dir + "/data/engine-*.log")) == 2, os.listdir(n.dir + "/data")
        assert n.chat("conduit-tiny", temperature=0)[0] == 200


# --- llama-server missing, old, or saying nothing ------------------------------------------------------------
def server_saying(says):
    d = tempfile.mkdtemp(dir=TMP)
    with open(d + "/llama-server", "w") as f:
        f.write(f"#!/bin/sh\necho '{says}'\n")
    os.chmod(d + "/llama-server", 0o755)
    return d


def without_llama(path=""):
    return {"PATH": path + ":/usr/sbin:/sbin", "XDG_CACHE_HOME": TMP + "/no-cache", "CONDUIT_LLAMA_SERVER": ""}


@test
def without_a_llama_server_the_way_out_is_named():
    said = up_fails("--model", TINY, env=without_llama())
    assert "conduit engine install" in said and len(said.strip().splitlines()) <= 2, said
    said = up_fails("--model", TINY, env=without_llama(server_saying("version: 5000 (abc)")))
    assert "is build 5000" in said and "conduit engine install" in said, said
    said = up_fails("--model", TINY, env=without_llama(server_saying("version: 0 (unknown)")))
    assert "does not say which build it is" in said and "--llama-server" in said, said
    said = up_fails("--model", TINY, "--llama-server", "/nonexistent/llama-server", env=without_llama())
    assert "/nonexistent/llama-server is not a program" in said, said


@test
def one_that_does_not_start_says_why():
    d = tempfile.mkdtemp(dir=TMP)
    with open(d + "/llama-server", "w") as f:
        f.write("#!/bin/sh\n[ \"$1\" = --version ] && { echo 'version: 12000 (abc)'; exit 0; }\n"
                "echo 'error: out of memory' >&2; exit 3\n")
    os.chmod(d + "/llama-server", 0o755)
    with Node("--model", TINY, "--llama-server", d + "/llama-server") as n:
        wait_for("it says why", lambda: "llama-server died (status 3: error: out of memory, log: " in n.logged(), 10)
        s, _, b = n.chat("conduit-tiny", timeout=20)
        assert s in (404, 503) and b["error"]["code"], (s, b)


# --- backends ------------------------------------------------------------------------------------------------
@test
def a_backend_that_comes_late_is_used():
    with socket.create_server(("127.0.0.1", 0)) as s:
        port = s.getsockname()[1]
    with Node("--backend", f"late=http://127.0.0.1:{port}") as n:
        assert n.models() == []
        b = spawn([sys.executable, str(ROOT / "test/e2e/backend.py"), "--port", str(port)], stdin=subprocess.PIPE,
                  stdout=subprocess.PIPE, text=True)
        b.stdout.readline()
        n.wait_model("ok", 10)
        assert n.chat("ok")[0] == 200
        b.stdin.close()
        b.wait(5)
        # The first request that fails is a reason to ask; the model is not offered after two.
        assert n.chat("ok")[0] in (502, 503)
        wait_for("the model is not offered any more", lambda: "ok" not in n.models() or n.chat("ok")[0] != 200, 5)


# --- a real llama-server is right, and stays as it is ---------------------------------------------------------
def direct(port, path, body):
    c = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    c.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
    r = c.getresponse()
    out = r.status, r.read()
    c.close()
    return out


def bare(o):
    """Without what differs between two answers to one question."""
    if isinstance(o, dict):
        return {k: bare(v) for k, v in o.items() if k not in ("id", "created", "timings", "model")}
    return [bare(v) for v in o] if isinstance(o, list) else o


QUESTION = {"model": "tiny", "temperature": 0, "seed": 1, "max_tokens": 24, "cache_prompt": False,
            "messages": [{"role": "user", "content": "What is the capital of France?"}]}
def tool(name, *arguments):
    return {"type": "function", "function": {"name": name, "description": name, "parameters": {
        "type": "object", "properties": {a: {"type": "string"} for a in arguments}, "required": [arguments[0]]}}}


WEATHER = {"tools": [tool("get_weather", "location", "unit"), tool("search", "query")], "max_tokens": 100,
           "messages": [{"role": "user", "content": "What is the weather in Paris?"}]}
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


@test
def what_llama_server_says_is_left_as_it_is():
    need_llama()
    path = json.loads(cli("engine", "version", "--json").stdout)["path"]
    with socket.create_server(("127.0.0.1", 0)) as s:
        port = s.getsockname()[1]
    log = open(TMP + "/llama.log", "wb")
    server = spawn([path, "--model", TINY, "--port", str(port), "--alias", "tiny", "--parallel", "1", "--ctx-size", "1024",
                    "--threads", "1", "--jinja", "--embeddings", "--pooling", "mean", "--no-webui", "--offline"],
                   stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    try:
        # Named models: the list is not read, so the backend is not known to be right, and all is looked at.
        with Node("--backend", f"box=http://127.0.0.1:{port}", "--models", "tiny") as n:
            ready(n, "tiny")
            chats = [{}, {"logprobs": True, "top_logprobs": 2}, WEATHER,
                     {"n": 1, "stop": ["."]}, {"max_tokens": 2},
                     {"response_format": {"type": "json_schema", "json_schema": {"schema": CITY}}}]
            for more in chats:
                body = {**QUESTION, **more}
                s, _, got = n.request("POST", "/v1/chat/completions", body)
                want = direct(port, "/v1/chat/completions", body)
                assert (s, bare(json.loads(got))) == (want[0], bare(json.loads(want[1]))), (more, got, want)
                choice = json.loads(got)["choices"][0]
                assert ("tools" in more) == bool(choice["message"].get("tool_calls")), choice
                assert ("logprobs" in more) == bool(choice.get("logprobs")), choice
                body = {**body, "stream": True, "stream_options": {"include_usage": True}}
                s, _, got = n.request("POST", "/v1/chat/completions", body)
                want = direct(port, "/v1/chat/completions", body)
                assert [bare(e) for e in events_of(got)] == [bare(e) for e in events_of(want[1])], (more, got, want)
            for where, body in (("/v1/completions", {"model": "tiny", "prompt": "a", "max_tokens": 8, "temperature": 0}),
                                ("/v1/embeddings", {"model": "tiny", "input": ["a", "b"]})):
                s, _, got = n.request("POST", where, body)
                want = direct(port, where, body)
                assert (s, bare(json.loads(got))) == (want[0], bare(json.loads(want[1]))), (where, got, want)
    finally:
        server.terminate()
        server.wait(10)


@test
def newer_roles_and_fields_are_understood():
    """Failure 8 of the field: `developer` for `system`, `max_completion_tokens` for `max_tokens`."""
    need_llama()
    with Node("--model", TINY, "--parallel", "1") as n:
        ready(n)
        ask = [{"role": "user", "content": "What is the capital of France?"}]
        for role in ("system", "developer"):
            body = {"model": "conduit-tiny", "temperature": 0, "messages": [{"role": role, "content": "Be brief."}, *ask]}
            s, _, b = n.request("POST", "/v1/chat/completions", body)
            assert s == 200 and json.loads(b)["choices"][0]["message"]["content"], (role, s, b)
        for field in ("max_tokens", "max_completion_tokens"):
            body = {"model": "conduit-tiny", "temperature": 0, "messages": ask, field: 2}
            s, _, b = n.request("POST", "/v1/chat/completions", body)
            b = json.loads(b)
            assert s == 200 and b["usage"]["completion_tokens"] == 2, (field, s, b)
            assert b["choices"][0]["finish_reason"] == "length", (field, b)


# --- what a killed node leaves ----------------------------------------------------------------------------------
@test
def a_killed_nodes_folder_is_removed_by_the_next():
    need_llama()
    run = tempfile.mkdtemp(dir="/tmp", prefix="conduit-run-")
    try:
        a = Node("--model", TINY, "--parallel", "1", env={"XDG_RUNTIME_DIR": run})
        ready(a)
        b = ready(Node("--model", TINY, "--parallel", "1", env={"XDG_RUNTIME_DIR": run}))
        assert len(os.listdir(run)) == 2, os.listdir(run)
        a.kill()
        with Node("--model", TINY, "--parallel", "1", env={"XDG_RUNTIME_DIR": run}) as c:
            ready(c)
            assert len(os.listdir(run)) == 2, os.listdir(run)  # b's and c's own
            assert b.chat("conduit-tiny", max_tokens=1)[0] == 200
        b.stop()
        assert os.listdir(run) == [], os.listdir(run)
        a.stop()
    finally:
        shutil.rmtree(run, ignore_errors=True)


# --- installing ---------------------------------------------------------------------------------------------------
@test
def install_fetches_once():
    if not os.path.exists("/usr/share/keyrings/debian-archive-keyring.gpg"):
        raise Skip("no Debian keyring on this machine")
    cache = tempfile.mkdtemp(prefix="conduit-e2e-cache-")
    env = {**without_llama(":".join(p for p in os.environ["PATH"].split(":") if not os.path.exists(p + "/llama-server"))),
           "XDG_CACHE_HOME": cache, "CONDUIT_ENGINE_NO_APT": "1"}
    try:
        r = cli("engine", "install", env=env, timeout=300)
        if "cannot be read" in r.stderr and r.returncode != 0:
            raise Skip("Debian's mirror cannot be reached")
        assert r.returncode == 0 and "fetching" in r.stderr and cache in r.stdout, (r.stdout, r.stderr)
        assert sorted(os.listdir(cache + "/conduit/engine")) == ["bin", "lock", "root"]
        start = time.monotonic()
        again = cli("engine", "install", env=env)
        assert again.returncode == 0 and "is there" in again.stderr and time.monotonic() - start < 5, again.stderr
        with Node("--model", TINY, "--parallel", "1", env=env) as n:
            assert "Paris" in ready(n).chat("conduit-tiny", temperature=0)[2]["choices"][0]["message"]["content"]
    finally:
        shutil.rmtree(cache, ignore_errors=True)


@test
def an_install_that_cannot_says_what_to_do():
    cache = TMP + "/no-way"
    env = {**without_llama(os.environ["PATH"]), "XDG_CACHE_HOME": cache, "CONDUIT_ENGINE_NO_APT": "1",
           "CONDUIT_ENGINE_MIRROR": "file:///nonexistent"}
    if shutil.which("llama-server"):
        raise Skip("a llama-server is in PATH")
    r = cli("engine", "install", env=env, timeout=60)
    assert r.returncode == 1 and "--llama-server PATH" in r.stderr and "--backend URL" in r.stderr, r.stderr
    assert os.listdir(cache + "/conduit/engine") == ["lock"], os.listdir(cache + "/conduit/engine")


try:
    main()
finally:
    shutil.rmtree(TMP, ignore_errors=True)
