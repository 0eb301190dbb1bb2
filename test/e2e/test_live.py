#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Who dies, falls silent, is wedged or goes in order, with real processes: noticed in time, and no request hangs.

    client --> consumer ==p2p==> providers --> scripted backends, or echo:

The moments are asserted exactly in virtual time (test/unit/node/test_live.c); here with slack, since the machine
is shared."""
import os, signal, socket, threading, time
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


if __name__ == "__main__":
    main()
