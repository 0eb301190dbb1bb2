#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Drives two libp2p peers against each other and checks what they say.

Every peer, ours and the foreign ones, is a program that speaks the command protocol of README.md.
A test is written once (cases.py, reach.py) and runs for each foreign language in both directions. One
line per test, `ok|FAIL|skip name reason`, then the table of rows and pairs, and
`N passed, N failed, N skipped` at the end; exit status 1 if one failed.

The hard thing: three or four programs share two cores. So each deadline is generous, and what failed
once is tried once more, alone and with fresh peers, and says so (TRIES=1: not). What failed is said
again below the table, with its reason, since of a long log often only the end is kept.
"""
import argparse
import contextlib
import os
import shlex
import subprocess
import sys
import threading

import cases
import networks  # its scenes are among reach.SCENES
import reach
import table
import world
from peer import Failure, Lacks, Peer, Skip

HERE = os.path.dirname(os.path.abspath(__file__))
LANGUAGES = ("js", "rust", "go")
IDLE = ("connect", "after 13 s of idling")
START = ("connect", "start")
TRIES_TWICE = int(os.environ.get("TRIES", "2")) > 1


class Report:
    """Counts, prints, and keeps what the table shows."""

    def __init__(self, only):
        self.only = only
        self.counts = {"ok": 0, "FAIL": 0, "skip": 0}
        self.results = []  # table.Result
        self.retried = []  # what passed only at the second try

    def wants(self, names, row, name):
        return self.only is None or self.only in f"{row}: {title(names, name)}"

    def line(self, result, names, row, name, reason="", kind=None):
        self.counts[result] += 1
        self.results.append(table.Result(names, row, name, kind or result, reason))
        print(f"{result:4} {title(names, name)}{': ' + reason if reason else ''}", flush=True)

    def run(self, names, row, name, function, *arguments, again=None, before=""):
        """One test. With `again` (a list) a failure is noted there for a second try instead of counted;
        `before` is what the first try said."""
        if not self.wants(names, row, name):
            return
        try:
            function(*arguments)
            if before:
                self.retried.append(f"{row}: {title(names, name)}: {before}")
            self.line("ok", names, row, name, f"at the second try, after: {before}" if before else "")
            return
        except Lacks as e:
            self.line("skip", names, row, name, str(e), kind="lacks")
            return
        except Skip as e:
            self.line("skip", names, row, name, str(e))
            return
        except Failure as e:
            reason = str(e)
        except Exception as e:  # an answer without the fields that README.md promises
            reason = f"{type(e).__name__}: {e}"
        if again is None or not TRIES_TWICE:
            first = f" (the first time: {before})" if before not in ("", reason) else ""
            self.line("FAIL", names, row, name, reason + first)
        else:
            print(f"     {title(names, name)}: {reason}; once more with fresh peers", flush=True)
            again.append((row, name, function, reason))

    def summary(self):
        """What a reader of the last lines has to know."""
        for line in self.retried:
            print(f"passed at the second try: {line}")
        for r in self.results:
            if r.kind == "FAIL":
                print(f"FAILED {r.row}: {title(r.names, r.name)}: {r.reason}")
        counts = self.counts
        print(f"{counts['ok']} passed, {counts['FAIL']} failed, {counts['skip']} skipped")


def title(names, name):
    return f"{names[0]} dials {names[1]}: {name}"


def find_command(what):
    """The command of a peer: a language, or the path of a binary."""
    if what not in LANGUAGES:
        if not os.access(what, os.X_OK):
            raise Failure(f"{what} is not built")
        return [what]
    setup = subprocess.run([os.path.join(HERE, "setup.sh"), what], stdout=subprocess.PIPE,
                           text=True, check=False)
    verdict, _, rest = setup.stdout.strip().partition(" ")
    if setup.returncode != 0 or verdict not in ("run", "skip"):
        raise Failure(f"setup.sh {what} failed")
    if verdict == "skip":
        raise Skip(rest)
    return shlex.split(rest)


class Stage:
    """Who plays, and where: what a scene of reach.py is given."""

    shared_world = None  # built when first needed, or why it cannot be

    def __init__(self, names, commands, log):
        self.client_name, self.server_name = names
        self.commands = commands
        self.log = log

    def peer(self, name, *options, host=None):
        return Peer(name, self.commands[name], self.log, *options, host=host)

    def client(self, *options, host=None):
        return self.peer(self.client_name, *options, host=host)

    def server(self, *options, host=None):
        return self.peer(self.server_name, *options, host=host)

    @staticmethod
    def world():
        if Stage.shared_world is None:
            try:
                Stage.shared_world = world.World()
            except Skip as e:
                Stage.shared_world = e
        if isinstance(Stage.shared_world, Skip):
            raise Stage.shared_world
        return Stage.shared_world

    @staticmethod
    def close_world():
        if isinstance(Stage.shared_world, world.World):
            Stage.shared_world.close()


def all_tests(names):
    return ([(row, name) for row, name, _ in cases.TESTS] + ([IDLE] if "rust" in names else []) +
            [(row, name) for row, name, _ in reach.SCENES])


def run_direction(report, names, commands, log):
    """All tests of one client against one server."""
    if not any(report.wants(names, *which) for which in all_tests(names)):
        return
    waiting = None
    if "rust" in names and report.wants(names, *IDLE):
        waiting = IdleTest(names, commands, log)
    if any(report.wants(names, *which[:2]) for which in cases.TESTS):
        run_cases(report, names, commands, log)
    stage = Stage(names, commands, log)
    again = []
    for row, name, function in reach.SCENES:
        report.run(names, row, name, function, stage, again=again)
    for row, name, function, reason in again:
        report.run(names, row, name, function, stage, before=reason)
    if waiting is not None:
        again = []
        report.run(names, *IDLE, waiting.result, again=again)
        for row, name, _, reason in again:
            report.run(names, row, name, IdleTest(names, commands, log).result, before=reason)


def run_cases(report, names, commands, log):
    """The tests that share two peers on loopback."""
    client_name, server_name = names

    @contextlib.contextmanager
    def pair():
        with Peer(server_name, commands[server_name], log) as server, \
                Peer(client_name, commands[client_name], log) as client:
            def make(like):
                name = client_name if like is client else server_name
                return Peer(name + " (third)", commands[name], log)

            yield client, server, make

    def run_alone(function):
        with pair() as players:
            function(*players)

    again = []
    for is_last in (not TRIES_TWICE, True):
        try:
            with pair() as players:
                for row, name, function in cases.TESTS:
                    known = cases.KNOWN.get((frozenset(names), name))
                    if known is None:
                        report.run(names, row, name, function, *players, again=again)
                    elif report.wants(names, row, name):
                        report.line("skip", names, row, name, known, kind="lacks")
            break
        except Failure as e:  # to start
            if is_last:
                report.line("FAIL", names, *START, str(e))
                return
            print(f"     {title(names, 'start')}: {e}; once more", flush=True)
    for row, name, function, reason in again:
        report.run(names, row, name, run_alone, function, before=reason)


class IdleTest(threading.Thread):
    """The one test that mostly waits runs beside the others, with peers of its own."""

    def __init__(self, names, commands, log):
        super().__init__(daemon=True)
        self.arguments = names, commands, log
        self.failure = None
        self.start()

    def run(self):
        (client_name, server_name), commands, log = self.arguments
        try:
            with Peer(server_name, commands[server_name], log, "--idle-s", "10") as server, \
                    Peer(client_name, commands[client_name], log, "--idle-s", "10") as client:
                cases.test_idle(client, server, None)
        except Exception as e:
            self.failure = e

    def result(self):
        self.join()
        if self.failure is not None:
            raise self.failure


def versions(commands, log):
    """What each peer says it is."""
    said = {}
    for name, command in commands.items():
        with Peer(name, command, log) as peer:
            said[name] = peer.version
    return said


def main():
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("--ours", required=True, metavar="PATH|LANG",
                           help="our peer, or js, rust or go in its place")
    arguments.add_argument("--peers", default=",".join(LANGUAGES), metavar="LANG,…")
    arguments.add_argument("--only", metavar="TEXT", help="only tests with TEXT in their row or name")
    arguments.add_argument("--log", metavar="FILE", help="where the peers' stderr goes (- is here)")
    arguments.add_argument("--docs", metavar="FILE",
                           help="where to write the table when everything could run")
    options = arguments.parse_args()
    report = Report(options.only)
    log = sys.stderr if options.log == "-" else open(options.log or os.devnull, "w", encoding="utf-8")
    ours = options.ours if options.ours in LANGUAGES else "ours"
    foreign = [p for p in options.peers.split(",") if p and p != ours]
    commands, missing, pairs = {}, {}, []
    for name, what in [(ours, options.ours)] + [(p, p) for p in foreign]:
        try:
            commands[name] = find_command(what)
        except (Skip, Failure) as e:
            missing[name] = e
    try:
        for peer in foreign:
            for names in ((ours, peer), (peer, ours)):
                pairs.append(names)
                absent = next((missing[name] for name in names if name in missing), None)
                if absent is None:
                    run_direction(report, names, commands, log)
                    continue
                for row, name in all_tests(names):
                    if report.wants(names, row, name):
                        report.line("skip" if isinstance(absent, Skip) else "FAIL", names, row, name,
                                    str(absent))
    finally:
        Stage.close_world()
    print("\n" + table.text(pairs, report.results) + "\n")
    if options.docs and ours == "ours" and table.is_whole(report.results, foreign == list(LANGUAGES),
                                                          options.only):
        with open(options.docs, "w", encoding="utf-8") as file:
            file.write(table.page(pairs, report.results, versions(commands, log)))
    report.summary()
    return 1 if report.counts["FAIL"] else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
