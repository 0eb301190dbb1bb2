#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Who may use this node: private networks, lists of peers, invites. Real processes on loopback."""
import os, stat, tempfile, time
from lib import *


def key_file(d, name="swarm.key"):
    path = os.path.join(d, name)
    r = cli("key", "psk", path)
    assert r.returncode == 0 and path in r.stdout, r
    return path


@test
def a_network_key_is_made_once_for_this_user_alone():
    with tempfile.TemporaryDirectory() as d:
        path = key_file(d)
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
        text = open(path).read()
        assert text.startswith("/key/swarm/psk/1.0.0/\n/base16/\n") and len(text) == 96
        r = cli("key", "psk", path)
        assert r.returncode == 1 and "already" in r.stderr and open(path).read() == text
        assert text.split()[2] not in r.stdout + r.stderr
        piped = cli("key", "psk")
        assert piped.stdout.startswith("/key/swarm/psk/1.0.0/\n") and piped.stdout != text


@test
def a_key_file_that_is_none_says_what_is_wrong():
    with tempfile.TemporaryDirectory() as d:
        path = os.path.join(d, "bad.key")
        open(path, "w").write("/key/swarm/psk/1.0.0/\n/base16/\n123\n")
        r = cli("up", "--data-dir", d, "--psk", path, "--p2p-port", "0", "--http-port", "0")
        assert r.returncode == 1 and path in r.stderr and "64 hexadecimal digits" in r.stderr, r
        r = cli("up", "--data-dir", d, "--psk", path + "x", "--p2p-port", "0", "--http-port", "0")
        assert r.returncode == 1 and "not found" in r.stderr, r


@test
def a_private_network_serves_who_has_its_key_and_nobody_else():
    with tempfile.TemporaryDirectory() as d:
        key, other = key_file(d), key_file(d, "other.key")
        with Node("--psk", key, "--backend", "e=echo:", "--log-level", "info") as a, \
             Node("--psk", key, "--bootstrap", a.address) as b, \
             Node("--bootstrap", a.address) as c, \
             Node("--psk", other, "--bootstrap", a.address) as e:
            b.wait_model("e")
            s, _, answer = b.chat("e", "hello there")
            assert s == 200 and "hello there" in answer["choices"][0]["message"]["content"], answer
            wait_for("the one without a key is told", lambda: "--psk" in c.logged())
            wait_for("the one with another key is told", lambda: "not in this private network" in e.logged())
            assert c.models() == [] and e.models() == []
            wait_for("and so is the node itself", lambda: "not in this private network" in a.logged())
            assert [p["peer"] for p in a.get("/conduit/v1/peers")[1]["peers"]] == [b.peer]
            status = a.cli("status").stdout
            secret = open(key).read().split()[2]
            assert "private network" in status
            for n in (a, b, c, e):
                assert secret not in n.logged()


@test
def a_key_that_others_may_read_is_a_warning():
    with tempfile.TemporaryDirectory() as d:
        path = key_file(d)
        os.chmod(path, 0o644)
        with Node("--psk", path) as n:
            assert "chmod 600" in n.logged()
        os.chmod(path, 0o600)
        with Node("--psk", path) as n:
            assert "chmod" not in n.logged()


if __name__ == "__main__":
    main()
