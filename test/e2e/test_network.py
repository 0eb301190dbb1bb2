#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""No node is one that the others cannot do without, with real processes; and what `conduit dht` shows.

The moments are asserted in virtual time (test/unit/node/test_network.c); here with slack."""
import json, os, shutil, stat, tempfile
from lib import *


def peers_of(n):
    return [p["peer"] for p in n.get("/conduit/v1/peers")[1]["peers"]]


def dht_get(n, key):
    r = n.cli("dht", "get", key, "--json")
    d = json.loads(r.stdout)
    assert r.returncode == (0 if d["peers"] or "record" in d else 1), r
    return d


def at_rest(d):
    """The answer once everybody in it has told that nothing runs."""
    return d if d["peers"] and all(o.get("busy") == 0 for p in d["peers"] for o in p["offers"]) else None


@test
def what_the_dht_shows():
    with Node("--node-id", "the-provider", "--backend", "echo:") as p, Node("--bootstrap", p.address) as c:
        c.wait_model("echo")
        assert c.stream("echo", text="one two three four five six seven eight nine ten eleven twelve")
        for key in ("model:echo", "protocol:openai", "all_nodes"):
            d = wait_for(key, lambda: at_rest(dht_get(c, key)), 20)
            row = d["peers"][0]
            assert row["peer"] == p.peer and row["state"] == "connected" and row["addresses"], d
            offer = row["offers"][0]
            assert offer["model"] == "echo" and offer["busy"] == 0 and offer["slots"] > 0 and offer["load"] == 0, d
            assert row["last_seen_ms"] > 1e12 and "uptime_s" in row, d
        text = c.cli("dht", "get", "model:echo").stdout
        assert "TOKENS/S" in text and p.peer in text and "UPTIME" in text and "LAST SEEN" in text, text
        d = wait_for("the node's record", lambda: (lambda d: d if "record" in d else None)(dht_get(c, "node:" + p.peer)), 20)
        assert d["record"]["name"] == "the-provider" and "echo" in d["record"]["models"], d
        assert dht_get(c, "model:nonesuch")["peers"] == []
        for unknown in ("model:nonesuch", "node:12D3KooWGC6TvWhfapngX6wvJHMYvKpDMXPb3ZnCZ6dMoaMtimQ5"):
            r = c.cli("dht", "get", unknown)
            assert r.returncode == 1 and "not found" in r.stderr and "nobody" in r.stdout, r
        s = json.loads(c.cli("dht", "status", "--json").stdout)
        assert s["peers"] == 1 and s["server"], s
        for bad in ("m", "nonsense", "node:nobody", "model:"):
            r = c.cli("dht", "get", bad)
            assert r.returncode == 2 and ("a key is" in r.stderr or "peer id" in r.stderr), r
        assert c.cli("dht").returncode == 2 and c.cli("dht", "get").returncode == 2
        assert "all_nodes" in cli("dht", "--help").stdout
        # not over TCP: whoever may ask the API may not make the node dial about
        assert c.get("/conduit/v1/dht/get?key=all_nodes")[0] == 403


@test
def who_is_alone_asks_nobody():
    with Node() as n:
        r = n.cli("dht", "get", "all_nodes")
        assert r.returncode == 1 and "nobody could be asked" in r.stderr and "--bootstrap" in r.stderr, r


@test
def the_bootstrap_node_is_killed_and_returns():
    d = tempfile.mkdtemp(prefix="conduit-e2e-")
    boot = Node(dir=d)
    address, port = boot.address, boot.address.split("/")[4]
    p, c = Node("--bootstrap", address, "--backend", "echo:"), Node("--bootstrap", address)
    c.wait_model("echo")
    wait_for("all three know each other", lambda: len(peers_of(c)) == 2 and len(peers_of(p)) == 2, 20)
    boot.kill()
    wait_for("its death noticed", lambda: boot.peer not in peers_of(c), 5)
    assert c.chat("echo")[0] == 200
    # somebody new comes in by another address, finds the provider, and is found as one
    late = Node("--bootstrap", c.address, "--backend", "late=echo:").wait_model("echo")
    assert late.chat("echo")[0] == 200
    p.wait_model("late")
    assert p.chat("late")[0] == 200
    again = Node("--p2p-port", port, "--p2p-host", "127.0.0.1", "--http-port", "0", dir=d, ports=False)
    assert again.peer == boot.peer
    wait_for("it is one of them again", lambda: boot.peer in peers_of(c) and boot.peer in peers_of(p), 70, 0.5)
    again.wait_model("echo")
    assert again.chat("echo")[0] == 200
    for n in (late, p, c, again):
        n.stop()
    shutil.rmtree(d)


@test
def good_peers_are_kept_over_a_restart():
    d = tempfile.mkdtemp(prefix="conduit-e2e-")
    boot, p = Node(), None
    p = Node("--bootstrap", boot.address, "--backend", "echo:")
    c = Node("--bootstrap", boot.address, dir=d).wait_model("echo")
    wait_for("the consumer knows both", lambda: json.loads(c.cli("dht", "status", "--json").stdout)["peers"] == 2, 20)
    c.stop()
    path = os.path.join(d, "data", "peers")
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert p.peer in open(path).read()
    boot.kill()
    c = Node("--bootstrap", boot.address, dir=d)  # dead, and the only address it is told
    c.wait_model("echo", timeout=30)
    assert c.chat("echo")[0] == 200
    # without the file it is alone
    c.stop()
    os.unlink(path)
    c = Node("--bootstrap", boot.address, dir=d)
    s, _, body = c.chat("echo", timeout=30)
    assert s == 503 or s == 404, (s, body)
    c.stop()
    p.stop()
    shutil.rmtree(d)


if __name__ == "__main__":
    main()
