#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What an idle p2p connection costs a node: resident memory of a real `conduit up` before and after COUNT peers, each
with an identity of its own, have connected over loopback, identified, and fallen silent.

  test/bench/idle.py [--count 10000] [--settle 20]

The kernel's own memory (sockets) is not in it: RSS is what the process holds. The process's files are limited to
`ulimit -Hn`, so COUNT may be at most that less a few. Reported beside it: the processor time that keeping them
costs (a ping each ten seconds), and what is left after all have gone."""
import argparse, json, os, pathlib, subprocess, sys, time
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
from lib import *

BENCH = os.environ.get("BENCH_IDLE", str(ROOT / "build/release/bench-idle"))


def proc(pid):
    with open(f"/proc/{pid}/status") as f:
        rss = int(next(l for l in f if l.startswith("VmRSS:")).split()[1])
    with open(f"/proc/{pid}/stat") as f:
        f = f.read().rsplit(")", 1)[1].split()
    return rss, (int(f[11]) + int(f[12])) / os.sysconf("SC_CLK_TCK")


def conns(n):
    rows = json.loads(n.cli("status", "--limits", "--json").stdout)["limits"]
    return next(r["used"] for r in rows if (r["scope"], r["resource"]) == ("system", "connections"))


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--count", type=int, default=10000)
    ap.add_argument("--settle", type=float, default=20)
    a = ap.parse_args()
    with Node("--max-connections", str(a.count * 3 // 2), "--share", "none") as n:
        port = n.address.split("/tcp/")[1].split("/")[0]
        time.sleep(2)
        before, _ = proc(n.proc.pid)
        start = time.monotonic()
        p = spawn([BENCH, f"127.0.0.1:{port}", str(a.count)], stdout=subprocess.PIPE, text=True)
        said = p.stdout.readline().strip()
        took = time.monotonic() - start
        if not said:
            sys.exit("the peers did not all connect")
        time.sleep(a.settle)
        held = conns(n)
        rss, cpu0 = proc(n.proc.pid)
        time.sleep(10)
        _, cpu1 = proc(n.proc.pid)
        p.terminate()
        p.wait(20)
        wait_for("all are gone", lambda: conns(n) == 0, 60, 0.5)
        time.sleep(2)
        after, _ = proc(n.proc.pid)
        grown = (rss - before) * 1024
        print(f"{held} connections (peers: {said}, in {took:.1f} s): {grown / 1e6:.1f} MB more than the {before / 1024:.1f} MiB "
              f"before, {grown / max(held, 1):.0f} B each; {(cpu1 - cpu0) * 10:.1f} % of a core; {after / 1024:.1f} MiB afterwards")
        sys.exit(0 if held >= a.count * 0.99 else 1)


main()
