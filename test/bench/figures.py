# SPDX-License-Identifier: MIT
"""The figures of `make bench`: which run of the client each needs, and how it becomes a ratio.

A scenario is one run of load.c against one target; a figure is computed *within a round*, from runs that
stood seconds apart, and only then is the median over rounds taken. So a slow minute of the machine
falls on both sides of a ratio.
"""
import dataclasses
import statistics
import typing

SSE_EVENTS, PACED_EVENTS, PACED_RATE = 500, 200, 100
LONG_PROMPT = 400_000


@dataclasses.dataclass
class Scenario:
    name: str
    model: str
    conns: int
    requests: int
    targets: tuple = ("direct", "nginx", "haproxy", "one", "two")
    stream: bool = False
    prompt: int = 40
    shrinks: bool = True  # --quick takes a quarter of the requests

    def arguments(self, port, quick):
        requests = max(self.conns, self.requests // 4) if quick and self.shrinks else self.requests
        return ["--port", port, "--model", self.model, "--conns", self.conns, "--requests", requests,
                "--prompt-bytes", self.prompt] + (["--stream"] if self.stream else [])


SCENARIOS = [
    Scenario("one-at-a-time", "json", 1, 3000),
    Scenario("sixty-four", "json", 64, 20000),
    Scenario("events-by-1", f"sse-{SSE_EVENTS}-1", 16, 128, stream=True),
    Scenario("events-by-16", f"sse-{SSE_EVENTS}-16", 16, 256, stream=True),
    Scenario("first-event", "sse-4-1", 1, 1200, stream=True),
    Scenario("long-prompt", "json", 1, 400, ("direct", "nginx", "haproxy", "one", "two"),
             prompt=LONG_PROMPT),
    Scenario("paced-1", f"paced-{PACED_EVENTS}-{PACED_RATE}", 1, 1, ("direct", "two"), stream=True,
             shrinks=False),
    Scenario("paced-8", f"paced-{PACED_EVENTS}-{PACED_RATE}", 8, 8, ("direct", "two"), stream=True,
             shrinks=False),
]
MODELS = sorted({s.model for s in SCENARIOS} | {"idle"})


def of(key):
    """The value `key` of a target's run."""
    return lambda round_, scenario, target: round_[scenario][target][key]


def ratio(scenario, key, target, yardstick):
    return lambda r: of(key)(r, scenario, target) / of(key)(r, scenario, yardstick)


def added(r, scenario, key, target):
    return of(key)(r, scenario, target) - of(key)(r, scenario, "direct")


def added_ratio(scenario, key, target, yardstick):
    return lambda r: added(r, scenario, key, target) / added(r, scenario, key, yardstick)


def long_prompt_ratio(r):
    allowed = 2 * r["memcpy_us"] + added(r, "long-prompt", "p50_us", "nginx")
    return added(r, "long-prompt", "p50_us", "one") / allowed


@dataclasses.dataclass
class Figure:
    title: str
    beside: str
    goal: float
    better: str  # "<=" or ">="
    compute: typing.Callable
    parts: tuple = ()  # (label, unit, scenario, key, target, added?): the medians the ratio comes from


def part(label, unit, scenario, key, target, is_added=False):
    return (label, unit, scenario, key, target, is_added)


def cpu_parts(scenario, key, ours):
    return tuple(part(t, "µs", scenario, key, t) for t in (ours, "haproxy", "nginx"))


def added_parts(scenario, key, ours):
    return tuple(part(t, "µs", scenario, key, t, True) for t in (ours, "nginx", "haproxy"))


def rate_parts(scenario, key, unit, *names):
    return tuple(part(t, unit, scenario, key, t) for t in names)


FIGURES = [
    Figure("CPU per non-streaming request, one node", "HAProxy", 1.0, "<=",
           ratio("sixty-four", "cpu_us", "one", "haproxy"), cpu_parts("sixty-four", "cpu_us", "one")),
    Figure("added p50 at one connection, one node", "nginx's added", 1.0, "<=",
           added_ratio("one-at-a-time", "p50_us", "one", "nginx"),
           added_parts("one-at-a-time", "p50_us", "one")),
    Figure("requests/s at 64 connections, one node", "nginx", 1.0, ">=",
           ratio("sixty-four", "rps", "one", "nginx"),
           rate_parts("sixty-four", "rps", "/s", "one", "nginx", "haproxy", "direct")),
    Figure("CPU per request, two nodes together", "HAProxy", 2.5, "<=",
           ratio("sixty-four", "cpu_us", "two", "haproxy"), cpu_parts("sixty-four", "cpu_us", "two")),
    Figure("CPU per event at 1 a write, two nodes together", "HAProxy", 3.0, "<=",
           ratio("events-by-1", "cpu_event_us", "two", "haproxy"),
           cpu_parts("events-by-1", "cpu_event_us", "two")),
    Figure("CPU per event at 16 a write, two nodes together", "HAProxy", 3.0, "<=",
           ratio("events-by-16", "cpu_event_us", "two", "haproxy"),
           cpu_parts("events-by-16", "cpu_event_us", "two")),
    Figure("tokens/s through two nodes, 1 stream paced at 100/s", "direct", 0.98, ">=",
           ratio("paced-1", "stream_rate", "two", "direct"),
           rate_parts("paced-1", "stream_rate", "/s", "two", "direct")),
    Figure("tokens/s through two nodes, 8 streams paced at 100/s each", "direct", 0.98, ">=",
           ratio("paced-8", "stream_rate", "two", "direct"),
           rate_parts("paced-8", "stream_rate", "/s", "two", "direct")),
    Figure("added time to first event, two nodes, connected", "nginx's added", 3.0, "<=",
           added_ratio("first-event", "first_p50_us", "two", "nginx"),
           added_parts("first-event", "first_p50_us", "two")),
    Figure("400 kB prompt, one node: added p50", "2 × memcpy + nginx's added", 1.0, "<=",
           long_prompt_ratio, added_parts("long-prompt", "p50_us", "one")),
]
# Not asked for, good to know: one node's streams, and two nodes' other figures.
ASIDES = [
    Figure("CPU per event at 1 a write, one node", "HAProxy", None, "<=",
           ratio("events-by-1", "cpu_event_us", "one", "haproxy"),
           cpu_parts("events-by-1", "cpu_event_us", "one")),
    Figure("CPU per event at 16 a write, one node", "HAProxy", None, "<=",
           ratio("events-by-16", "cpu_event_us", "one", "haproxy"),
           cpu_parts("events-by-16", "cpu_event_us", "one")),
    Figure("added p50 at one connection, two nodes", "nginx's added", None, "<=",
           added_ratio("one-at-a-time", "p50_us", "two", "nginx"),
           added_parts("one-at-a-time", "p50_us", "two")),
    Figure("requests/s at 64 connections, two nodes", "nginx", None, ">=",
           ratio("sixty-four", "rps", "two", "nginx"),
           rate_parts("sixty-four", "rps", "/s", "two", "nginx", "haproxy")),
    Figure("added time to first event, one node", "nginx's added", None, "<=",
           added_ratio("first-event", "first_p50_us", "one", "nginx"),
           added_parts("first-event", "first_p50_us", "one")),
    Figure("400 kB prompt, two nodes: added p50", "nginx's added", None, "<=",
           added_ratio("long-prompt", "p50_us", "two", "nginx"),
           added_parts("long-prompt", "p50_us", "two")),
]


def quartiles(samples):
    if len(samples) < 2:
        return samples[0], samples[0]
    low, _, high = statistics.quantiles(samples, n=4)
    return low, high


def row(title, beside, goal, better, samples, detail):
    """One line of the table."""
    median = statistics.median(samples)
    low, high = quartiles(samples)
    met = None if goal is None else median <= goal if better == "<=" else median >= goal
    return {"title": title, "beside": beside, "goal": goal, "better": better, "median": median, "low": low,
            "high": high, "met": met, "rounds": len(samples), "detail": detail}


def part_text(rounds, label, unit, scenario, key, target, is_added):
    def value(r):
        return added(r, scenario, key, target) if is_added else of(key)(r, scenario, target)
    values = [value(r) for r in rounds if target in r[scenario]]
    if not values:
        return f"{label} –"
    return f"{label} {statistics.median(values):,.{2 if unit == 'µs' else 0}f} {unit}"


def tabulate(figures, rounds):
    """The rows of the figures whose runs are all there."""
    rows = []
    for figure in figures:
        try:
            samples = [figure.compute(r) for r in rounds]
        except (KeyError, ZeroDivisionError):
            continue
        detail = ", ".join(part_text(rounds, *p) for p in figure.parts)
        rows.append(row(figure.title, figure.beside, figure.goal, figure.better, samples, detail))
    return rows
