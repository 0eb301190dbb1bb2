#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Speed of one libp2p connection over loopback: ours beside js-, rust- and go-libp2p.

Each implementation talks to itself, server on core 0 and client on core 1, in rounds that take
turns: the machine's noise then falls on all alike. Medians with their spread (quartiles), the ratio
to ours, and the load average are printed; `--json` gives the same to a program.

Figures: one stream of /perf/1.0.0 upwards and downwards in Gbit/s, after one warm-up of each; a new
connection with one byte there and back in milliseconds (median of 20 in each round).
"""
import argparse
import json
import os
import shutil
import statistics
import sys

import run

CONNECTS = 20


def pinned(command, core):
    return ["taskset", "-c", str(core), *command] if shutil.which("taskset") else command


class Pair:
    """One implementation on both ends."""

    def __init__(self, name, command, log):
        cores = os.cpu_count() or 1
        self.name = name
        self.server = run.Peer(name, pinned(command, 0), log)
        try:
            self.client = run.Peer(name, pinned(command, 1 % cores), log)
        except run.Failure:
            self.server.stop()
            raise
        self.samples = {"up": [], "down": [], "connect": []}

    def warm(self, size):
        self.client.do("bulk", addr=self.server.addr, up=size // 4, down=size // 4)

    def round(self, size):
        bulk = self.client.do("bulk", addr=self.server.addr, up=size, down=0)
        self.samples["up"].append(size * 8 / bulk["up_ms"] / 1e6)
        bulk = self.client.do("bulk", addr=self.server.addr, up=0, down=size)
        # the first byte ends the upload of nothing, so the whole time is the download's
        self.samples["down"].append(size * 8 / (bulk["up_ms"] + bulk["down_ms"]) / 1e6)
        connects = self.client.do("connect1", addr=self.server.addr, n=CONNECTS)["ms"]
        self.samples["connect"].append(statistics.median(connects))

    def stop(self):
        self.client.stop()
        self.server.stop()


def start(names, ours, log):
    pairs = []
    for name in names:
        try:
            command = run.find_command(ours if name == "ours" else name)
            pairs.append(Pair(name, command, log))
        except (run.Skip, run.Failure) as e:
            print(f"without {name}: {e}", file=sys.stderr)
    return pairs


def quartiles(samples):
    if len(samples) < 2:
        return samples[0], samples[0]
    cut = statistics.quantiles(samples, n=4)
    return cut[0], cut[2]


def summary(pairs):
    rows = []
    for figure, unit in (("up", "Gbit/s"), ("down", "Gbit/s"), ("connect", "ms")):
        base = statistics.median(pairs[0].samples[figure])
        for pair in pairs:
            samples = pair.samples[figure]
            median = statistics.median(samples)
            low, high = quartiles(samples)
            rows.append({"figure": figure, "unit": unit, "peer": pair.name,
                         "median": round(median, 3), "low": round(low, 3), "high": round(high, 3),
                         "ratio": round(median / base, 3)})
    return rows


def main():
    arguments = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    arguments.add_argument("--ours", metavar="PATH", help="our peer, of a release build")
    arguments.add_argument("--peers", default="js,rust,go", metavar="LANG,…")
    arguments.add_argument("--rounds", type=int, default=7)
    arguments.add_argument("--mib", type=int, default=256, help="size of a transfer")
    arguments.add_argument("--json", action="store_true")
    options = arguments.parse_args()
    names = (["ours"] if options.ours else []) + [p for p in options.peers.split(",") if p]
    with open(os.devnull, "w", encoding="utf-8") as log:
        pairs = start(names, options.ours, log)
        try:
            for pair in pairs:
                pair.warm(options.mib << 20)
            for i in range(options.rounds):
                for pair in pairs if i % 2 == 0 else reversed(pairs):
                    pair.round(options.mib << 20)
        finally:
            for pair in pairs:
                pair.stop()
    if not pairs:
        return 1
    rows = summary(pairs)
    load = os.getloadavg()[0]
    if options.json:
        print(json.dumps({"rounds": options.rounds, "mib": options.mib, "load": load, "rows": rows}))
        return 0
    print(f"{options.rounds} rounds of {options.mib} MiB, load average {load:.2f}; "
          f"ratios to {pairs[0].name}")
    for row in rows:
        print(f"{row['figure']:8} {row['peer']:5} {row['median']:9.3f} {row['unit']:6} "
              f"[{row['low']:.3f} … {row['high']:.3f}]  × {row['ratio']:.2f}")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except run.Failure as e:
        sys.exit(f"bench: {e}")
    except KeyboardInterrupt:
        sys.exit(130)
