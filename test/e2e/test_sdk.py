#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Real clients through two nodes: the current OpenAI SDKs for Python and Node.js, and for Python the 0.28 of
LlamaNet's README with that README's examples as they are written, port apart.

    test_sdk.py                the tests
    test_sdk.py --direct       the SDK programs against the scripted backend itself, without any node: shows what
                               is the SDK's own doing (cases that need a node to put things right fail)

Each SDK has its program (sdk_py.py, sdk_028.py, sdk.mjs), which runs all its cases in one process and prints a
line for each; here each line becomes a test. Names say who answers: tiny_… conduit-tiny in a real llama-server;
scripted_… the scripted backend, for what that small model cannot be relied on for."""
import functools, os, pathlib, re, subprocess, sys
from lib import *

HERE = pathlib.Path(__file__).resolve().parent
PROGRAMS = {"py": "sdk_py.py", "py028": "sdk_028.py", "js": "sdk.mjs"}
NAMES = {"py": "openai_python", "py028": "openai_python_028", "js": "openai_node"}
PARTS, RESULTS = {}, {}

# From LlamaNet's README, word for word.
README_PYTHON = '''\
import openai

# Configure to use LlamaNet
openai.api_base = "http://localhost:8000/v1"
openai.api_key = "dummy-key"  # Not used but required by the library

# Text completion
response = openai.Completion.create(
    model="llamanet",
    prompt="What is artificial intelligence?",
    max_tokens=100,
    temperature=0.7
)
print(response.choices[0].text)

# Chat completion
response = openai.ChatCompletion.create(
    model="llamanet",
    messages=[
        {"role": "system", "content": "You are a helpful assistant."},
        {"role": "user", "content": "Explain quantum computing."}
    ],
    max_tokens=150
)
print(response.choices[0].message.content)
'''
README_CURL = '''\
# List models
curl http://localhost:8000/v1/models

# Text completion
curl -X POST http://localhost:8000/v1/completions \\
  -H "Content-Type: application/json" \\
  -d '{
    "model": "llamanet",
    "prompt": "What is machine learning?",
    "max_tokens": 100,
    "temperature": 0.7
  }'

# Chat completion
curl -X POST http://localhost:8000/v1/chat/completions \\
  -H "Content-Type: application/json" \\
  -d '{
    "model": "llamanet",
    "messages": [
      {"role": "user", "content": "Hello, how are you?"}
    ],
    "max_tokens": 100
  }'
'''


def has_engine():
    return cli("engine", "version").returncode == 0


def nodes():
    """TINY and SCRIPTED: the addresses of two consumers. Two networks, since to ask for the model "llamanet"
    is to ask for any, and those of the scripted backend are broken on purpose."""
    if PARTS:
        return PARTS
    b = PARTS["b"] = Backend()
    p = PARTS["p"] = Node("--backend", b.url)
    c = PARTS["c"] = Node("--bootstrap", p.address).wait_model("ok")
    env = {"SCRIPTED": f"http://127.0.0.1:{c.port}/v1", "BACKEND": f"http://127.0.0.1:{b.port}"}
    if has_engine():
        p = PARTS["tp"] = Node("--model", TINY, "--threads", "1", "--parallel", "2")
        c = PARTS["tc"] = Node("--bootstrap", p.address).wait_model("conduit-tiny", 60)
        env["TINY"] = f"http://localhost:{c.port}/v1"
    PARTS["env"] = env
    return PARTS


@functools.cache
def sdk_line(sdk):
    return subprocess.run([HERE / "setup.sh", sdk], capture_output=True, text=True, timeout=600).stdout.strip()


def sdk_command(sdk):
    """How to run it, or Skip with the reason why not."""
    word, rest = (sdk_line(sdk).split(" ", 2) + ["", ""])[1:3]
    if word != "run":
        raise Skip(rest or "setup.sh failed")
    command = rest.split(" ")
    return command if sdk == "js" else command + [str(HERE / PROGRAMS[sdk])]


def run_sdk(command, env):
    clean = {k: v for k, v in os.environ.items() if "proxy" not in k.lower() and not k.startswith("OPENAI_")}
    return subprocess.run(command, capture_output=True, text=True, timeout=300,
                          env={**clean, "WHY": "no llama-server (make engine)", **env})


def results_of(sdk):
    """{case: line} of one run of all cases, done when the first of them is wanted."""
    if sdk not in RESULTS:
        r = run_sdk(sdk_command(sdk), nodes()["env"])
        lines = [l.split(" ", 1) for l in r.stdout.splitlines() if l.split(" ", 1)[0] in ("ok", "skip", "FAIL")]
        RESULTS[sdk] = {rest.split(":")[0]: (word, rest) for word, rest in lines}
        RESULTS[sdk][""] = ("end", f"exit {r.returncode}: {(r.stdout + r.stderr)[-1500:]}")
    return RESULTS[sdk]


def cases_of(sdk):
    text = (HERE / PROGRAMS[sdk]).read_text()
    return re.findall(r"^(?:def|  async) ((?:tiny|scripted)_\w+)\(", text, re.M)


def make_test(sdk, case):
    def t():
        got = results_of(sdk)
        word, rest = got.get(case, ("FAIL", f"the program ended before this case: {got[''][1]}"))
        for name, n in PARTS.items():
            if isinstance(n, Node):
                assert n.proc.poll() is None, f"{name} died with {n.proc.returncode}: {n.logged()[-500:]}; {rest}"
        if word == "skip":
            raise Skip(rest.split(": ", 1)[1])
        assert word == "ok", rest
    t.__name__ = f"{NAMES[sdk]}_{case}"
    return test(t)


def engine_or_skip():
    if not has_engine():
        raise Skip("no llama-server (make engine)")
    return nodes()["env"]["TINY"]


@test
def llamanet_readme_python_examples_with_openai_028():
    base = engine_or_skip()
    python = sdk_command("py028")[0]
    script = README_PYTHON.replace("http://localhost:8000/v1", base)
    assert base in script
    r = run_sdk([python, "-c", script], {})
    assert r.returncode == 0, r.stderr[-1500:]
    assert len(r.stdout.strip().split()) >= 3, r.stdout


@test
def llamanet_readme_curl_examples():
    base = engine_or_skip()
    script = README_CURL.replace("http://localhost:8000/v1", base)
    r = run_sdk(["bash", "-ec", script.replace("curl ", "curl -sS --fail-with-body -w '\\n' ")], {})
    assert r.returncode == 0, (r.stdout, r.stderr)
    models, completion, chat = [json.loads(l) for l in r.stdout.splitlines() if l.strip()]
    assert "conduit-tiny" in [m["id"] for m in models["data"]]
    assert completion["object"] == "text_completion" and isinstance(completion["choices"][0]["text"], str), completion
    assert chat["choices"][0]["message"]["content"] and chat["model"] == "conduit-tiny", chat


for _sdk in PROGRAMS:
    for _case in cases_of(_sdk):
        make_test(_sdk, _case)


@test
def the_nodes_that_served_them_stop_in_order():
    parts = nodes()
    for name in ("c", "p", "tc", "tp"):
        if name in parts:
            assert parts[name].stop() == 0, name  # also fails on a report of a sanitizer
    parts["b"].stop()


def direct():
    b = Backend()
    for sdk in PROGRAMS:
        try:
            r = run_sdk(sdk_command(sdk), {"SCRIPTED": b.url, "BACKEND": f"http://127.0.0.1:{b.port}"})
            print(f"-- {sdk}\n{r.stdout}{r.stderr}", end="")
        except Skip as e:
            print(f"-- {sdk} skip: {e}")
    b.stop()


if __name__ == "__main__":
    if sys.argv[1:] == ["--direct"]:
        direct()
    else:
        main()
