#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Who dies, falls silent, is wedged or goes in order, with real processes: noticed in time, and no request hangs.

    client --> consumer ==p2p==> providers --> scripted backends, or echo:

The moments are asserted exactly in virtual time (test/unit/node/test_live.c); here with slack, since the machine
is shared."""
import json, os, signal, socket, threading, time
from lib import *


def clock(f, *a, **kw):
    start = time.monotonic()
    return f(*a, **kw), time.monotonic() - start


@test
def a_second_backend_takes_over_when_the_first_dies():
    """Two backends of one node have the same model: the death of one costs no request."""
    a, b = Backend(), Backend()
    with Node("--backend", f"a={a.url}", "--backend", f"b={b.url}") as n, Node("--bootstrap", n.address) as c:
        n.wait_model("ok")
        c.wait_model("ok")
        assert n.chat("ok")[0] == 200
        first, second = (a, b) if a.seen() else (b, a)
        os.kill(first.proc.pid, signal.SIGKILL)
        first.proc.wait()
        for who in (n, c, n, c):
            s, h, body = who.chat("ok", timeout=10)
            assert s == 200, (s, body)
        assert len(second.seen()) == 4
        second.stop()


@test
def limits_are_shown():
    with Node("--backend", "echo:") as n, Node("--bootstrap", n.address) as c:
        c.wait_model("echo")
        doc = json.loads(n.cli("status", "--limits", "--json", check=True).stdout)["limits"]
        rows = {(r["scope"], r["resource"], r.get("name") if r["scope"] == "protocol" else None): r for r in doc}
        assert rows["system", "connections", None]["used"] == 1
        assert rows["peer", "connections", None]["name"] == c.peer
        assert rows["protocol", "streams_in", "/http/1.1"]["used"] >= 1  # the feed of offers
        assert all(r["used"] <= r.get("limit", 1 << 63) for r in doc)
        table = n.cli("status", "--limits", check=True).stdout.splitlines()
        assert table[0].split() == ["SCOPE", "RESOURCE", "USED", "LIMIT", "REFUSED", "WHICH"] and len(table) == len(doc) + 1
        c.proc.terminate()
        assert c.proc.wait(10) == 0
        wait_for("the scopes of who is gone are empty", lambda: not any(
            r["used"] for r in json.loads(n.cli("status", "--limits", "--json").stdout)["limits"]
            if r["scope"] in ("peer", "connection", "ip", "protocol")), 5)


if __name__ == "__main__":
    main()
