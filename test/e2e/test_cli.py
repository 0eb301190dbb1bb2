#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The commands, their mistakes, and every command line of the two seeds' READMEs (seed Conduit and LlamaNet)
with `conduit` in the place of `cargo run --release --` and `python -m inference_node.server`."""
import json, os, random, signal, socket, subprocess, tempfile, time
from lib import *


def free_port():
    """Outside the range from which the kernel gives ports to others meanwhile."""
    while True:
        p = random.randrange(20000, 32000)
        with socket.socket() as s:
            try:
                s.bind(("0.0.0.0", p))
                return p
            except OSError:
                continue


def starts(args, env=None, json_line=True, files=None):
    """Starts `conduit ARGS` in an empty directory and returns the node once it says that it is ready."""
    n = Node.__new__(Node)
    n.own_dir, n.dir = True, tempfile.mkdtemp(prefix="conduit-e2e-")
    for name, text in (files or {}).items():
        os.makedirs(os.path.dirname(os.path.join(n.dir, name)) or n.dir, exist_ok=True)
        if isinstance(text, bytes):
            os.symlink(text.decode(), os.path.join(n.dir, name))
        else:
            open(os.path.join(n.dir, name), "w").write(text)
    clean = {k: v for k, v in os.environ.items() if not k.startswith("CONDUIT_")}
    clean.update({"XDG_DATA_HOME": os.path.join(n.dir, "share"), "XDG_CONFIG_HOME": os.path.join(n.dir, "config"), "CONDUIT_THREADS": "1", **(env or {})})
    n.log_path = os.path.join(n.dir, "log")
    n.log = open(n.log_path, "ab")
    n.proc = spawn([CONDUIT, *args, "--json"], stdout=subprocess.PIPE, stderr=n.log, stdin=subprocess.DEVNULL, env=clean, cwd=n.dir)
    n.env = clean
    return n.wait_ready()


@test
def version_help_and_mistakes():
    r = cli("version")
    assert r.returncode == 0 and r.stdout.startswith("conduit 0.")
    assert json.loads(cli("version", "--json").stdout)["version"]
    assert cli("--help").returncode == 0 and "conduit up" in cli("--help").stdout
    r = cli("modles")
    assert r.returncode == 2 and "did you mean 'models'" in r.stderr
    assert cli().returncode == 2
    for c in ("up", "ask", "chat", "models", "peers", "status", "key", "engine", "version", "dht", "doctor", "invite",
              "sim", "key psk", "invite list", "invite revoke", "dht get", "dht get --json", "dht status"):
        r = cli(*c.split(), "--help")
        assert r.returncode == 0 and c.split()[0] in r.stdout, (c, r)
    r = cli("invite", "list", "--yesterday")
    assert r.returncode == 2 and "'--yesterday' means nothing" in r.stderr, r
    r = cli("key", "psk", "--out")  # no name of a file that somebody means
    assert r.returncode == 2 and "'--out' means nothing" in r.stderr and not os.path.exists("--out"), r
    r = cli("up", "--http-prot", "1")
    assert r.returncode == 2 and "--http-port" in r.stderr, r


@test
def a_simulated_network_says_what_it_cannot_do():
    for bad in ("--svg", "--log"):  # at once, not after the run
        r = cli("sim", "--nodes", "2000", "--minutes", "1000", bad, "/nonexistent/file", timeout=10)
        assert r.returncode == 1 and "/nonexistent/file cannot be written: No such file" in r.stderr, r
    for left in ("--nodes", "--svg"):
        r = cli("sim", left)
        assert r.returncode == 2 and f"{left} needs a value" in r.stderr, r
    r = cli("sim", "--nodse", "5")
    assert r.returncode == 2 and "what is '--nodse'?" in r.stderr, r
    r = cli("sim", "--seed", "99999999999999999999999")
    assert r.returncode == 2 and "is not a number from 0 to 18446744073709551615" in r.stderr, r
    r = cli("sim", "--nodes", "4", "--minutes", "2", "--warm", "60", "--heal", "61")
    assert r.returncode == 2 and "longer than --minutes 2" in r.stderr, r


@test
def a_short_run_needs_no_more_options():
    r = cli("sim", "--nodes", "4", "--minutes", "2", "--json", "--quiet")
    assert r.returncode == 0 and "--heal is more than 120" in r.stderr, r
    a = json.loads(r.stdout)
    assert a["asked"] == a["answered"] + a["failed"] + a["abandoned"] + a["open"], a
    b = json.loads(cli(*a["command"].split()[1:], "--json", "--quiet").stdout)
    assert a["log_hash"] == b["log_hash"] and a["command"] == b["command"], (a, b)


@test
def a_run_that_is_ended_leaves_nothing():
    base = "/dev/shm" if os.access("/dev/shm", os.W_OK) else tempfile.gettempdir()
    ours = lambda: {d for d in os.listdir(base) if d.startswith("conduit-sim-") and len(os.listdir(f"{base}/{d}")) == 77}
    for s in (signal.SIGINT, signal.SIGTERM):
        before = ours()
        p = spawn([CONDUIT, "sim", "--nodes", "77", "--minutes", "100000", "--quiet"], stdout=subprocess.PIPE)
        mine = wait_for("its directory", lambda: ours() - before)
        time.sleep(0.5)
        p.send_signal(s)
        assert p.wait(20) == 128 + s and p.stdout.read() == b""
        assert not mine & ours(), mine


@test
def without_a_node_commands_say_what_to_do():
    with tempfile.TemporaryDirectory() as d:
        for c in (["models"], ["peers"], ["status"], ["ask", "hello"]):
            r = cli(*c, "--data-dir", d)
            assert r.returncode == 1 and "conduit up" in r.stderr, (c, r)


@test
def a_config_with_an_unknown_key_names_its_line():
    with tempfile.TemporaryDirectory() as d:
        path = os.path.join(d, "c.yml")
        open(path, "w").write("http_port: 0\nmodles: [a]\n")
        r = cli("up", "--data-dir", d, "--config", path)
        assert r.returncode == 2 and f"{path}:2: unknown key 'modles'; did you mean 'models'?" in r.stderr, r


@test
def a_taken_port_names_the_way_out():
    with Node() as n, tempfile.TemporaryDirectory() as d:
        r = cli("up", "--data-dir", d, "--http-port", str(n.port), "--p2p-port", "0")
        assert r.returncode == 1 and f"port {n.port} is in use" in r.stderr and "--http-port 0" in r.stderr, r
        p2p = n.address.split("/tcp/")[1].split("/")[0]
        r = cli("up", "--data-dir", d, "--http-port", "0", "--p2p-port", p2p, "--p2p-host", "127.0.0.1")
        assert r.returncode == 1 and f"port {p2p} is in use" in r.stderr and "--p2p-port 0" in r.stderr, r


@test
def a_second_node_in_a_directory_is_refused():
    with Node() as n:
        r = cli("up", "--data-dir", os.path.join(n.dir, "data"), "--http-port", "0", "--p2p-port", "0")
        assert r.returncode == 1 and f"pid {n.proc.pid}" in r.stderr and "--data-dir" in r.stderr, r


@test
def the_identity_is_kept_and_private():
    with tempfile.TemporaryDirectory() as d:
        a = Node(dir=d)
        peer = a.peer
        assert a.cli("key").stdout.strip() == peer
        a.stop()
        assert os.stat(os.path.join(d, "data/identity.key")).st_mode & 0o777 == 0o600
        assert cli("key", "--data-dir", os.path.join(d, "data")).stdout.strip() == peer
        b = Node(dir=d)
        assert b.peer == peer and b.cli("key", "--json").returncode == 0
        b.stop()


@test
def status_models_and_peers():
    with Node("--backend", "echo:") as p, Node("--bootstrap", p.address) as c:
        c.wait_model("echo")
        st = json.loads(c.cli("status", "--json").stdout)
        assert st["peer"] == c.peer and st["version"]
        assert any(x["peer"] == p.peer for x in json.loads(c.cli("peers", "--json").stdout)["peers"])
        assert "echo" in c.cli("models").stdout
        assert any(m["id"] == "echo" for m in json.loads(c.cli("models", "--json").stdout)["data"])
        assert c.cli("status").returncode == 0 and c.peer in c.cli("status").stdout
        assert p.peer in c.cli("peers").stdout
        r = c.cli("ask", "say this", "--model", "echo", "--json")
        j = json.loads(r.stdout)
        assert j["peer"] == p.peer and "say this" in j["text"], r
        r = c.cli("ask", "x", "--model", "nonesuch")
        assert r.returncode == 1 and "nonesuch" in r.stderr, r
        r = c.cli("chat", "--model", "echo", input="first\nsecond\n")
        assert r.returncode == 0 and "first" in r.stdout and "second" in r.stdout, r


@test
def a_listener_off_loopback_needs_a_key():
    with tempfile.TemporaryDirectory() as d:
        r = cli("up", "--data-dir", d, "--http-host", "0.0.0.0", "--http-port", "0", "--p2p-port", "0", timeout=20)
        assert r.returncode == 1 and "--no-auth" in r.stderr and "--access-key" in r.stderr, r
    with Node("--http-host", "0.0.0.0", "--access-key", "sesame", "--backend", "echo:") as n:
        assert n.request("GET", "/v1/models")[0] == 401
        assert n.request("GET", "/v1/models", headers={"Authorization": "Bearer wrong"})[0] == 401
        assert n.request("GET", "/v1/models", headers={"Authorization": "Bearer sesame"})[0] == 200
        assert n.request("GET", "/v1/models", headers={"x-api-key": "sesame"})[0] == 200
        assert n.request("GET", "/health")[0] == 200
        assert "sesame" not in n.logged()


# --- seed Conduit's README -----------------------------------------------------------------------------
CONFIG_YML = '''# URL of your local OpenAI-compatible backend (e.g., Ollama, vLLM, LM Studio)
local_llm: "http://127.0.0.1:%d/v1"

# Maximum number of requests allowed per minute
rate_limit:
  requests_per_minute: 10

# Time window when your node is actively sharing (local machine time)
schedule:
  start: "%s"
  end: "%s"
'''


def window(open_now):
    now = time.localtime()
    h = now.tm_hour
    return (f"{h:02}:00", f"{(h + 2) % 24:02}:00") if open_now else (f"{(h + 2) % 24:02}:00", f"{(h + 4) % 24:02}:00")


@test
def seed_conduit_readme_three_nodes_and_its_limits():
    B = Backend()
    p2p, http, p2p2, http2 = (free_port() for _ in range(4))
    home = starts(["--p2p-port", str(p2p), "--http-port", str(http), "--models", "llama-3", "--config", "config.yml"],
                  files={"config.yml": CONFIG_YML % (B.port, *window(True))})
    away = starts(["--p2p-port", str(p2p2), "--http-port", str(http2), "--bootstrap", f"/ip4/127.0.0.1/tcp/{p2p}"])
    assert home.port == http and away.port == http2
    away.wait_model("llama-3")
    assert away.models() == ["llama-3"], away.models()
    B.reset()
    body = b'{\n    "model": "llama-3",\n    "messages": [\n      {"role": "user", "content": "What is the capital of France?"}\n    ]\n  }'
    s, h, b = away.request("POST", "/v1/chat/completions", body)
    assert s == 200 and h["x-conduit-peer"] == home.peer, (s, b)
    statuses = [away.chat("llama-3")[0] for _ in range(12)]
    assert statuses.count(200) == 9 and set(statuses) == {200, 429}, statuses
    s, h, b = away.chat("llama-3")
    assert s == 429 and int(h["retry-after"]) >= 1, (s, h)
    assert all(home.chat("llama-3")[0] == 200 for _ in range(15)), "the owner is bound by nothing"
    vps = starts(["--p2p-port", str(free_port()), "--http-port", str(free_port())])
    for n in (away, home, vps):
        n.stop()
    B.stop()


@test
def outside_the_window_nothing_is_offered():
    B = Backend()
    home = starts(["--p2p-port", "0", "--http-port", "0", "--models", "llama-3", "--config", "config.yml"],
                  files={"config.yml": CONFIG_YML % (B.port, *window(False))})
    away = starts(["--p2p-port", "0", "--http-port", "0", "--bootstrap", home.address])
    time.sleep(3)
    assert away.models() == [] and home.models() == ["llama-3"]
    assert away.chat("llama-3")[0] in (404, 503)
    assert home.chat("llama-3")[0] == 200
    away.stop()
    home.stop()
    B.stop()


# --- LlamaNet's README ---------------------------------------------------------------------------------
def need_engine():
    if cli("engine", "version").returncode != 0:
        raise Skip("no llama-server (make engine)")


@test
def llamanet_readme_command_lines():
    need_engine()
    a, ad, b, bd = (str(free_port()) for _ in range(4))
    model = {"models/model.gguf": TINY.encode()}
    one = starts(["up", "--model-path", "./models/model.gguf", "--port", a, "--dht-port", ad, "--node-id", "bootstrap-node"], files=model)
    two = starts(["up", "--model-path", "./models/model.gguf", "--port", b, "--dht-port", bd, "--bootstrap-nodes", f"localhost:{ad}"], files=model)
    wait_for("both know the model", lambda: "conduit-tiny" in one.models() and "conduit-tiny" in two.models(), 40)
    s, h, body = two.chat("model", temperature=0)
    assert s == 200 and "Paris" in body["choices"][0]["message"]["content"], (s, body)
    two.stop()
    one.stop()


@test
def llamanet_readme_environment():
    need_engine()
    a, ad, b, bd = (str(free_port()) for _ in range(4))
    model = {"models/model.gguf": TINY.encode()}
    one = starts(["up", "--compat", "llamanet"], files=model, env={"MODEL_PATH": "./models/model.gguf", "PORT": a, "DHT_PORT": ad, "NODE_ID": "bootstrap-node", "BOOTSTRAP_NODES": ""})
    two = starts(["up", "--compat", "llamanet"], files=model, env={"MODEL_PATH": "./models/model.gguf", "PORT": b, "DHT_PORT": bd, "BOOTSTRAP_NODES": f"localhost:{ad}"})
    assert one.port == int(a) and two.port == int(b)
    wait_for("the model", lambda: "conduit-tiny" in two.models(), 40)
    two.stop()
    one.stop()


@test
def llamanet_readme_gpu_layers_and_names_that_do_not_resolve():
    need_engine()
    model = {"models/research-model.gguf": TINY.encode()}
    n = starts(["up", "--model-path", "./models/research-model.gguf", "--n-gpu-layers", "35", "--bootstrap-nodes", "lab-a.university.edu:8001",
                "--port", "0", "--dht-port", "0"], files=model)
    n.wait_model("conduit-tiny", 40)
    n.stop()


if __name__ == "__main__":
    main()
