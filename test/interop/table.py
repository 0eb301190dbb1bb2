# SPDX-License-Identifier: MIT
"""The matrix as a table: on the terminal, and as docs/INTEROP.md.

A cell is a row (what is tested) of a pair (who dials whom). It is `passed` when all of its tests that
could run passed, `part lacks` when a peer does not have what some of them test and the others passed,
`lacks` when it has nothing of it, `FAILED` when one failed, `not run` when this machine could not. What differs from run to run (times, second tries) is left out.
"""
from collections import namedtuple

ROWS = ("connect", "ping", "identify", "streams", "HTTP", "SSE", "kad", "relay", "hole punch",
        "AutoNAT", "mDNS", "private network", "network", "bulk")
MEANING = {
    "connect": "dial, refuse a wrong id, close and dial again, outlive the other's idle timeout",
    "ping": "`/ipfs/ping/1.0.0`",
    "identify": "`/ipfs/id/1.0.0`: protocols, addresses, the observed address",
    "streams": "64 streams of 1 MiB at once, 400 small ones, empty ones, compared byte by byte",
    "HTTP": "`/http/1.1` over streams: GET, POST, 16 at once, half-closed, `/.well-known/libp2p/protocols`",
    "SSE": "an event stream to its end, and one that breaks off",
    "kad": "FIND_NODE, provide, find providers, from each side and from a third peer",
    "relay": "circuit relay v2: a reservation, and a dial through a relay of either kind, with ping, "
             "identify, HTTP, SSE and the DHT over it; the limits of a relay kept",
    "hole punch": "DCUtR: a relayed connection becomes direct between public hosts, and through two NATs",
    "AutoNAT": "v1 and v2: a public host and one behind a NAT are told which they are",
    "mDNS": "two hosts on one LAN find each other",
    "private network": "pnet: the same key connects; another key or none does not",
    "network": "a whole Conduit node joins a network of theirs alone, is found by all of them, and by another Conduit "
               "node through them",
    "bulk": "`/perf/1.0.0`, 16 MiB each way",
}
STATES = ("FAIL", "ok", "skip", "lacks")  # the first that a test of the cell has, is the cell's
WORDS = {"FAIL": "FAILED", "ok": "passed", "skip": "not run", "lacks": "lacks", "part": "part lacks", None: ""}

Result = namedtuple("Result", "names row name kind reason")


def cell(results, names, row):
    kinds = {r.kind for r in results if r.names == names and r.row == row}
    if kinds >= {"ok", "lacks"} and "FAIL" not in kinds:
        return "part"
    return next((state for state in STATES if state in kinds), None)


def text(pairs, results):
    heads = [f"{a}→{b}" for a, b in pairs]
    lines = [" " * 16 + "".join(f"{head:12}" for head in heads)]
    for row in ROWS:
        cells = [WORDS[cell(results, names, row)] for names in pairs]
        if any(cells):
            lines.append(f"{row:16}" + "".join(f"{word:12}" for word in cells))
    return "\n".join(line.rstrip() for line in lines)


def is_whole(results, has_all_peers, only):
    """Whether the run says everything: nothing filtered, nothing that this machine could not do."""
    return has_all_peers and only is None and not any(r.kind == "skip" for r in results)


def page(pairs, results, versions):
    out = [
        "# Interoperation with other libp2p implementations",
        "",
        "Written by `make interop` when everything could run; `test/interop/README.md` says how the tests",
        "work. Each cell is one pair, the first dials the second. *passed*: all tests of the row passed.",
        "*part lacks*: those passed that the peer has what they need for; what it does not have is below.",
        "*lacks*: it has nothing of the row. *FAILED*: at least one failed (below).",
        "",
        "| peer | version |",
        "|---|---|",
    ]
    out += [f"| {name} | {version} |" for name, version in versions.items()]
    out += ["", "| | " + " | ".join(f"{a} → {b}" for a, b in pairs) + " |",
            "|---" * (len(pairs) + 1) + "|"]
    for row in ROWS:
        cells = [WORDS[cell(results, names, row)] for names in pairs]
        out.append(f"| {row} | " + " | ".join(cells) + " |")
    out += ["", "What a row tests:", ""]
    out += [f"- **{row}**: {MEANING[row]}" for row in ROWS]
    for kind, head in (("FAIL", "What failed:"), ("lacks", "What a peer does not have:")):
        found = [r for r in results if r.kind == kind]
        if found:
            out += ["", head, ""]
            out += [f"- {r.names[0]} → {r.names[1]}, {r.row}, {r.name}" +
                    (f": {r.reason}" if kind == "lacks" else "") for r in found]
    return "\n".join(out) + "\n"
