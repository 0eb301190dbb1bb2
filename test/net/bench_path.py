#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Speed over a path of 60 ms: ours beside js-, rust- and go-libp2p, through delay.c.

     client 10.8.0.1 --- tun --- delay.c: 30 ms each way, no limit --- tun --- 10.8.0.2 server

Each implementation talks to itself. Figures: a new connection and one byte there and back (median; in
round trips: what it takes over the path's own), and one stream of /perf/1.0.0 downwards in Mbit/s (best of
3 after a warm-up: a window has to grow first). Rounds take turns. Needs root (network namespaces).
"""
import argparse, json, os, statistics, subprocess, sys, time

import netns
from netns import World, lib

sys.path.insert(0, str(netns.ROOT / "test/interop"))
import run  # noqa: E402


class Peers:
    def __init__(self, w, name, command, log):
        self.name = name
        inside = lambda space: ["ip", "netns", "exec", w.name(space), *command]
        self.server = run.Peer(name, inside("b"), log, "--listen", "/ip4/10.8.0.2/tcp/0")
        try:
            self.client = run.Peer(name, inside("a"), log, "--listen", "/ip4/10.8.0.1/tcp/0")
        except run.Failure:
            self.server.stop()
            raise
        self.connects, self.bulk = [], []

    def stop(self):
        self.client.stop()
        self.server.stop()


def rtt_ms(w):
    out = subprocess.run(["ip", "netns", "exec", w.name("a"), sys.executable, "-c",
                          "import socket,time\nt=[]\nfor i in range(7):\n s=time.monotonic()\n"
                          " try: socket.create_connection(('10.8.0.2',9),2)\n except OSError: pass\n"
                          " t.append(time.monotonic()-s)\nprint(sorted(t)[3]*1000)"],
                         capture_output=True, text=True, check=True)
    return float(out.stdout)


def main():
    arguments = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    arguments.add_argument("--ours", metavar="PATH", default=str(netns.ROOT / "build/release/interop-peer"))
    arguments.add_argument("--peers", default="js,rust,go", metavar="LANG,…")
    arguments.add_argument("--us", type=int, default=30000, help="delay each way")
    arguments.add_argument("--mib", type=int, default=256, help="of one transfer")
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--json", action="store_true")
    options = arguments.parse_args()
    why = netns.why_not()
    if why:
        sys.exit(f"bench_path: {why}")
    rows = []
    with World() as w, open(os.devnull, "w", encoding="utf-8") as log:
        w.add("a", "b")
        w.delayed("a", "10.8.0.1", "b", "10.8.0.2", us=options.us, queue_ms=1000)
        for space in "ab":  # what a server on long paths is given; the same for all
            w.run(space, "echo '4096 131072 33554432' >/proc/sys/net/ipv4/tcp_rmem; echo '4096 65536 33554432' >/proc/sys/net/ipv4/tcp_wmem")
        rtt = rtt_ms(w)
        pairs = []
        for name in ["ours", *[p for p in options.peers.split(",") if p]]:
            try:
                pairs.append(Peers(w, name, run.find_command(options.ours if name == "ours" else name), log))
            except (run.Skip, run.Failure) as e:
                print(f"without {name}: {e}", file=sys.stderr)
        try:
            for i in range(options.rounds):
                for p in pairs:
                    try:
                        p.connects += p.client.do("connect1", addr=p.server.addr, n=3)["ms"]
                    except run.Failure as e:  # go refuses too many connections of one address
                        print(f"{p.name}: connect: {e}".split("\n")[0], file=sys.stderr)
                time.sleep(1)
            for i in range(options.rounds + 1):
                for p in pairs:
                    size = options.mib << 20
                    try:
                        b = p.client.do("bulk", addr=p.server.addr, up=0, down=size)
                    except run.Failure as e:
                        print(f"{p.name}: bulk: {e}", file=sys.stderr)
                        continue
                    if i:
                        p.bulk.append(size * 8 / (b["up_ms"] + b["down_ms"]) / 1000)
        finally:
            for p in pairs:
                p.stop()
        for p in pairs:
            ms = statistics.median(p.connects or [float("nan")])
            rows.append({"peer": p.name, "connect_ms": round(ms, 1), "round_trips": round(ms / rtt, 2),
                         "without_syn_ms": round(ms - rtt, 1), "mbit": round(max(p.bulk, default=0))})
    load = os.getloadavg()[0]
    if options.json:
        print(json.dumps({"rtt_ms": rtt, "load": load, "rows": rows}))
        return
    print(f"path of {rtt:.1f} ms, load average {load:.1f}")
    print(f"{'':6} {'connect + 1 byte':>17} {'round trips':>12} {'less the SYN':>13} {'one stream':>14}")
    for r in rows:
        print(f"{r['peer']:6} {r['connect_ms']:14.1f} ms {r['round_trips']:12.2f} {r['without_syn_ms']:10.1f} ms {r['mbit']:7.0f} Mbit/s")


if __name__ == "__main__":
    main()
