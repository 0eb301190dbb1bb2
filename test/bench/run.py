#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""`make bench`: Conduit beside nginx, HAProxy and other libp2ps, as ratios within one run.

    test/bench/run.py                        every figure, nine rounds
    test/bench/run.py --quick                three short rounds: is it about right?
    test/bench/run.py --profile events-by-1 --on two     where the time of that scenario goes
    test/bench/run.py --only first-event     one scenario's figures

Machines differ, and one machine differs from minute to minute; the ratio of two things measured in turns
differs much less. So: what is measured alone on core 0, backend and client on core 1; rounds in which every
target takes its turn, in an order that moves on by one each round; ratios within a round; medians of them, with
quartiles. A figure here never fails a test; it is printed beside its goal.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

import figures
import hotspots
import targets

IDLE_STREAMS = 2000


def measure(place, scenario, target, quick):
    """One run; the client's result with the target's CPU per request and per event."""
    before = target.cpu_ns()
    got = place.load(*scenario.arguments(target.port, quick))
    cpu = target.cpu_ns() - before
    target.check_alive()
    if got["errors"]:
        raise targets.Unavailable(f"{scenario.name} on {target.name}: {got['errors']} errors")
    got["cpu_us"] = cpu / got["requests"] / 1000
    got["cpu_event_us"] = cpu / got["events"] / 1000 if got["events"] else 0
    return got


def one_round(place, started, scenarios, number, quick):
    result = {"memcpy_us": place.load("--memcpy", figures.LONG_PROMPT)["memcpy_us"]}
    for scenario in scenarios:
        turns = [t for t in started if t.name in scenario.targets]
        turns = turns[number % len(turns):] + turns[:number % len(turns)]
        result[scenario.name] = {}
        for target in turns:
            try:
                result[scenario.name][target.name] = measure(place, scenario, target, quick)
            except (targets.Unavailable, subprocess.SubprocessError) as e:
                print(f"round {number + 1}: {e}", file=sys.stderr)
    return result


def run_rounds(place, started, scenarios, options):
    rounds = []
    for scenario in scenarios:  # connections, caches and allocators warm
        for target in started:
            if target.name in scenario.targets and not scenario.name.startswith("paced"):
                place.load(*scenario.arguments(target.port, True))
    for number in range(options.rounds):
        start = time.monotonic()
        rounds.append(one_round(place, started, scenarios, number, options.quick))
        print(f"round {number + 1} of {options.rounds}: {time.monotonic() - start:.0f} s, "
              f"load average {os.getloadavg()[0]:.2f}", file=sys.stderr)
    return rounds


# --- memory --------------------------------------------------------------------------------------------------
def idle_node(place):
    """Resident memory of a node that has nothing to do, two seconds after its start, in MB."""
    node = targets.start_idle(place)
    time.sleep(2)
    mb = node.memory_kb("Rss") / 1024
    node.processes[0].terminate()
    node.processes[0].wait(10)
    return mb


def idle_streams(place, target, count):
    """User memory of each of `count` streams that have sent one event and wait, in bytes."""
    before = target.memory_kb("Rss")
    load = subprocess.Popen(
        targets.pinned(targets.LOAD_CORE, [place.build / "bench-load", "--port", target.port, "--model", "idle",
                                           "--hold", "--conns", count]),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    line = targets.first_line(load, 130)
    grown = target.memory_kb("Rss") - before
    load.communicate()
    held = json.loads(line or b'{"held":0}')["held"]
    if held < count:
        raise targets.Unavailable(f"{target.name} holds {held} of {count} idle streams")
    return grown * 1024 / count


def memory_rows(place, started, quick):
    count = IDLE_STREAMS // 4 if quick else IDLE_STREAMS
    rows, by_name = [], {}
    samples = [idle_node(place) for _ in range(1 if quick else 3)]
    rows.append(figures.row("idle node, resident MB", "–", 16.0, "<=", samples, ""))
    for target in started:
        if target.name == "direct":
            continue
        try:
            by_name[target.name] = idle_streams(place, target, count)
        except targets.Unavailable as e:
            print(e, file=sys.stderr)
    others = ", ".join(f"{n} {b / 1000:.1f} kB" for n, b in by_name.items())
    if "one" in by_name:
        rows.append(figures.row(f"user memory of each of {count} idle streams, one node, kB", "–", 4.0, "<=",
                                [by_name["one"] / 1000], others))
    return rows


# --- libp2p --------------------------------------------------------------------------------------------------
def libp2p_rows(place, options):
    """One connection against other implementations': test/interop/bench.py does it."""
    ours = place.build / "interop-peer"
    if not ours.exists():
        print(f"without libp2p: {ours} is not built (make interop-peer)", file=sys.stderr)
        return []
    command = [sys.executable, targets.ROOT / "test/interop/bench.py", "--ours", ours, "--peers", "js,rust",
               "--json", "--rounds", str(options.rounds), "--mib", "64" if options.quick else "256"]
    for _ in range(2):  # rust reuses its port to dial from, which is refused now and then
        done = subprocess.run(command, stdout=subprocess.PIPE, timeout=1200, check=False)
        if done.returncode == 0:
            break
    if done.returncode != 0:
        print("without libp2p: test/interop/bench.py failed", file=sys.stderr)
        return []
    rows, got = [], json.loads(done.stdout)["rows"]
    base = {r["figure"]: r for r in got if r["peer"] == "ours"}
    titles = {"up": "one stream up, Noise + Yamux", "down": "one stream down, Noise + Yamux",
              "connect": "connect and first byte"}
    for other in (r for r in got if r["peer"] != "ours"):
        ours_row, better = base[other["figure"]], "<=" if other["unit"] == "ms" else ">="
        ratio = ours_row["median"] / other["median"]
        made = figures.row(f"libp2p: {titles[other['figure']]}", other["peer"], 1.0, better, [ratio],
                           f"ours {ours_row['median']:.2f} {other['unit']} [{ours_row['low']:.2f} … "
                           f"{ours_row['high']:.2f}], {other['peer']} {other['median']:.2f} "
                           f"[{other['low']:.2f} … {other['high']:.2f}]")
        made["rounds"] = options.rounds
        rows.append(made)
    return rows


# --- the report ----------------------------------------------------------------------------------------------
def number(value):
    return f"{value:.2f}" if value < 100 else f"{value:.0f}"


def markdown(rows):
    lines = ["| figure | beside | goal | measured (quartiles) | | from |", "|---|---|---|---|---|---|"]
    for r in rows:
        goal = "–" if r["goal"] is None else f"{'≤' if r['better'] == '<=' else '≥'} {r['goal']:g}"
        verdict = {True: "reached", False: "**not reached**", None: ""}[r["met"]]
        spread = f" ({number(r['low'])}–{number(r['high'])})" if r["low"] != r["high"] else ""
        lines.append(f"| {r['title']} | {r['beside']} | {goal} | {number(r['median'])}{spread} | {verdict} "
                     f"| {r['detail']} |")
    return "\n".join(lines)


def machine():
    """In general words: what is needed to judge the figures, nothing that names the machine."""
    model = next((l.split(":")[1].strip() for l in pathlib.Path("/proc/cpuinfo").read_text().splitlines()
                  if l.startswith("model name")), "?")
    return f"{os.cpu_count()} CPUs ({model}), Linux {os.uname().release.split('-')[0]}"


def versions():
    def first(command):
        try:
            done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
            return done.stdout.splitlines()[0].strip()
        except (OSError, IndexError):
            return "–"
    nginx = first(["/usr/sbin/nginx", "-v"]).replace("nginx version: nginx/", "nginx ")
    return f"{nginx}, {' '.join(first(['/usr/sbin/haproxy', '-v']).split()[:3])}"


def report(rows, rounds, options, load_before):
    reached = sum(1 for r in rows if r["met"])
    asked = sum(1 for r in rows if r["met"] is not None)
    text = (f"{options.rounds} rounds on {machine()}; load average {load_before:.2f} before, "
            f"{os.getloadavg()[0]:.2f} after; {versions()}.\n\n{markdown(rows)}\n\n"
            f"{reached} of {asked} figures reached.")
    print(text)
    out = targets.ROOT / "build/bench"
    out.mkdir(parents=True, exist_ok=True)
    (out / "table.md").write_text(text + "\n")
    (out / "result.json").write_text(json.dumps({"rows": rows, "rounds": rounds}, indent=1, ensure_ascii=False))
    print("\n(build/bench/table.md, build/bench/result.json)", file=sys.stderr)


def parse():
    a = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    a.add_argument("--build", default=str(targets.ROOT / "build/release"), help="where the programs are")
    a.add_argument("--rounds", type=int, help="default 9; 3 with --quick")
    a.add_argument("--quick", action="store_true", help="three rounds, a quarter of the requests")
    a.add_argument("--only", metavar="SCENARIO,…", help=", ".join(s.name for s in figures.SCENARIOS))
    a.add_argument("--targets", metavar="NAME,…", default="direct,nginx,haproxy,one,two")
    a.add_argument("--skip", metavar="memory,libp2p", default="")
    a.add_argument("--profile", metavar="SCENARIO", help="where the time goes in it, instead of the table")
    a.add_argument("--on", default="one", metavar="NAME", help="the target of --profile")
    a.add_argument("--callgrind", action="store_true", help="count instructions instead of sampling (slow)")
    options = a.parse_args()
    options.rounds = options.rounds or (3 if options.quick else 9)
    return options


def main():
    options = parse()
    scenarios = figures.SCENARIOS
    if options.only or options.profile:
        wanted = (options.profile or options.only).split(",")
        scenarios = [s for s in scenarios if s.name in wanted]
        if not scenarios:
            sys.exit(f"no such scenario; there are: {', '.join(s.name for s in figures.SCENARIOS)}")
    os.sched_setaffinity(0, {targets.LOAD_CORE % (os.cpu_count() or 1)})
    load_before = os.getloadavg()[0]
    place = targets.Workplace(options.build, figures.MODELS)
    if options.profile:
        return hotspots.show(place, scenarios[0], options)
    started = targets.start(place, options.targets.split(","))
    rounds = run_rounds(place, started, scenarios, options)
    rows = figures.tabulate(figures.FIGURES, rounds)
    skip = options.skip.split(",")
    if not options.only and "memory" not in skip:
        rows += memory_rows(place, started, options.quick)
    if not options.only and "libp2p" not in skip:
        targets.end_all()
        rows += libp2p_rows(place, options)
    rows += figures.tabulate(figures.ASIDES, rounds)
    report(rows, rounds, options, load_before)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except targets.Unavailable as e:
        sys.exit(f"bench: {e}")
    except KeyboardInterrupt:
        sys.exit(130)
