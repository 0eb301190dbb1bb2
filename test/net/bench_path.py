#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Speed over a path of 60 ms: ours beside js-, rust- and go-libp2p, through delay.c.

     client 10.8.0.1 --- tun --- delay.c: 30 ms each way, no limit --- tun --- 10.8.0.2 server

Each implementation talks to itself. Figures, each from no connection at all:

  http   until the head of an HTTP answer is there (GET /hello over /http/1.1), of a server met before, whose
         protocols are known; `first`: by a process that never met it
  echo   one byte there and back on a stream of the echo protocol
  bulk   one stream of /perf/1.0.0 downwards in Mbit/s, best of so many rounds after a warm-up (a window has
         to grow first)

Medians; in round trips: what it takes over the path's own; less the SYN: as a relay on loopback would show it,
which does not delay the handshake of TCP. Rounds take turns. Needs root (network namespaces).
"""
import argparse, json, os, statistics, subprocess, sys, time

import netns
from netns import World, lib

sys.path.insert(0, str(netns.ROOT / "test/interop"))
import run  # noqa: E402


class Peers:
    def __init__(self, w, name, command, log):
        self.name = name
        self.inside = lambda space: ["ip", "netns", "exec", w.name(space), *command]
        self.log = log
        self.server = run.Peer(name, self.inside("b"), log, "--listen", "/ip4/10.8.0.2/tcp/0")
        self.client = None
        self.samples = {"first": [], "http": [], "echo": [], "bulk": []}
        try:
            self.fresh_client()
        except run.Failure:
            self.server.stop()
            raise

    def fresh_client(self):
        if self.client:
            self.client.stop()
        self.client = run.Peer(self.name, self.inside("a"), self.log, "--listen", "/ip4/10.8.0.1/tcp/0")

    def connect_round(self):
        """go refuses too many connections of one address in a second."""
        for figure, command, n in (("first", "http1", 1), ("http", "http1", 3), ("echo", "connect1", 3)):
            if figure == "first":
                self.fresh_client()
            self.samples[figure] += self.client.do(command, addr=self.server.addr, n=n)["ms"]
            time.sleep(0.5)

    def bulk_round(self, size):
        b = self.client.do("bulk", addr=self.server.addr, up=0, down=size)
        self.samples["bulk"].append(size * 8 / (b["up_ms"] + b["down_ms"]) / 1000)

    def rows(self, rtt):
        for figure in ("http", "first", "echo"):
            got = self.samples[figure]
            ms = statistics.median(got or [float("nan")])
            yield {"peer": self.name, "figure": figure, "ms": round(ms, 1), "round_trips": round(ms / rtt, 2),
                   "without_syn_ms": round(ms - rtt, 1), "samples": len(got)}
        if self.samples["bulk"]:
            yield {"peer": self.name, "figure": "bulk", "mbit": round(max(self.samples["bulk"][1:], default=0))}

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
    arguments.add_argument("--mib", type=int, default=256, help="of one transfer; 0: none")
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--json", action="store_true")
    options = arguments.parse_args()
    why = netns.why_not()
    if why:
        sys.exit(f"bench_path: {why}")
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
            for step, rounds in ((Peers.connect_round, options.rounds),
                                 (lambda p: p.bulk_round(options.mib << 20), options.rounds + 1 if options.mib else 0)):
                for _ in range(rounds):
                    for p in pairs:
                        try:
                            step(p)
                        except run.Failure as e:
                            print(f"{p.name}: {e}".split("\n", maxsplit=1)[0], file=sys.stderr)
        finally:
            for p in pairs:
                p.stop()
        rows = [row for p in pairs for row in p.rows(rtt)]
    load = os.getloadavg()[0]
    if options.json:
        print(json.dumps({"rtt_ms": rtt, "load": load, "rows": rows}))
        return
    print(f"path of {rtt:.1f} ms, load average {load:.1f}")
    print(f"{'':6} {'':24} {'median':>10} {'round trips':>12} {'less the SYN':>13}")
    titles = {"http": "connect + HTTP head", "first": "… never met before", "echo": "connect + 1 byte"}
    for r in rows:
        if r["figure"] == "bulk":
            print(f"{r['peer']:6} {'one stream':24} {r['mbit']:5} Mbit/s")
        else:
            print(f"{r['peer']:6} {titles[r['figure']]:24} {r['ms']:7.1f} ms {r['round_trips']:12.2f} {r['without_syn_ms']:10.1f} ms")


if __name__ == "__main__":
    main()
