#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Ten thousand connections that never finish their handshake, with honest nodes beside them.

    10,000 sockets: silent | half a handshake | a byte a second  ---->  provider  <---- a consumer that was there
                                                                                  <---- one that comes now

What holds: at most 256 of them are kept at a time, none for more than ten seconds; requests of who is connected are
answered as ever; a newcomer gets in; and afterwards nothing of it is left. On loopback nobody is limited by address, so
this is worse than what a flood from outside could do."""
import contextlib, json, os, resource, selectors, socket, threading, time
from lib import *

MSS = b"\x13/multistream/1.0.0\n"
NOISE = b"\x07/noise\n"
MANY = 10000


def limit_files():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard != resource.RLIM_INFINITY and hard < MANY + 500:
        raise Skip(f"ulimit -Hn is {hard}: {MANY} sockets need more")


def rss_mib(n):
    with open(f"/proc/{n.proc.pid}/status") as f:
        return int(next(l for l in f if l.startswith("VmRSS:")).split()[1]) / 1024


def files_of(n):
    return len(os.listdir(f"/proc/{n.proc.pid}/fd"))


def pending(n):
    rows = json.loads(n.cli("status", "--limits", "--json").stdout)["limits"]
    return next((r["used"], r["limit"], r["refused"]) for r in rows if (r["scope"], r["resource"]) == ("system", "pending_connections"))


class Flood(threading.Thread):
    """MANY connections, all tried; those that the node closes are not replaced."""

    def __init__(self, port, many):
        super().__init__(daemon=True)
        self.port, self.many, self.over = port, many, threading.Event()
        self.begun = self.closed = 0

    def run(self):
        sel, live, drip = selectors.DefaultSelector(), {}, time.monotonic()
        while not self.over.is_set():
            for _ in range(200):
                if self.begun == self.many:
                    break
                s = socket.socket()
                s.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    s.connect(("127.0.0.1", self.port))
                sel.register(s, selectors.EVENT_READ | selectors.EVENT_WRITE)
                live[s] = self.begun % 3
                self.begun += 1
            for key, what in sel.select(0.02):
                s = key.fileobj
                try:
                    if what & selectors.EVENT_WRITE:
                        if live[s] == 1:
                            s.send(MSS + NOISE + b"\x00\x20" + b"e" * 7)
                        sel.modify(s, selectors.EVENT_READ)
                    elif not s.recv(4096):
                        raise OSError
                except BlockingIOError:
                    pass
                except OSError:
                    sel.unregister(s)
                    s.close()
                    del live[s]
                    self.closed += 1
            if time.monotonic() - drip > 1:
                drip = time.monotonic()
                for s, kind in list(live.items()):
                    if kind == 2:
                        with contextlib.suppress(OSError):
                            s.send(MSS[:1])
        for s in live:
            s.close()


@test
def ten_thousand_half_open_connections():
    limit_files()
    with Node("--backend", "echo:") as n, Node("--bootstrap", n.address) as c:
        c.wait_model("echo")
        port = int(n.address.split("/tcp/")[1].split("/")[0])
        before, files = rss_mib(n), files_of(n)
        flood = Flood(port, MANY)
        flood.start()
        slowest, asked, most_files, most_rss, most_pending = 0, 0, 0, 0, 0
        newcomer, joined = None, 0
        end = time.monotonic() + 60
        while (flood.begun < MANY or not joined) and time.monotonic() < end:
            start = time.monotonic()
            s, h, b = c.chat("echo", timeout=20)
            assert s == 200, (s, b)
            slowest, asked = max(slowest, time.monotonic() - start), asked + 1
            most_files, most_rss = max(most_files, files_of(n)), max(most_rss, rss_mib(n))
            most_pending = max(most_pending, pending(n)[0])
            if not newcomer and flood.begun > MANY / 4:
                newcomer, came = Node("--bootstrap", n.address), time.monotonic()
            if newcomer and not joined and "echo" in newcomer.models():
                joined = time.monotonic() - came
        assert flood.begun == MANY and joined, (flood.begun, joined)
        assert newcomer.chat("echo")[0] == 200
        print(f"     {flood.begun} connections, {flood.closed} closed by the node so far; {asked} requests beside them, the slowest "
              f"{slowest * 1000:.0f} ms; a newcomer in after {joined:.1f} s; at most {most_pending} pending, {most_files - files} files "
              f"and {most_rss - before:.1f} MiB more")
        assert slowest < 3, slowest
        assert most_pending <= 256 and most_files < files + 700, (most_pending, most_files)
        assert most_rss < before + 24, (before, most_rss)
        wait_for("none is pending any more", lambda: pending(n)[0] == 0, 20, 0.5)
        assert pending(n)[2] > MANY / 2  # refused, and counted
        flood.over.set()
        flood.join(20)
        newcomer.stop()
        wait_for("the files are given back", lambda: files_of(n) <= files + 2, 10, 0.2)
        assert c.chat("echo")[0] == 200


@test
def too_many_local_clients_leave_files_for_the_network():
    """`ulimit -n 400`: three quarters of them for local clients; the rest get 503, and a peer still connects."""
    limit_files()
    n = Node("--backend", "echo:", limits={resource.RLIMIT_NOFILE: (400, 400)})
    socks, refused = [], 0
    try:
        for _ in range(390):
            s = socket.create_connection(("127.0.0.1", n.port), timeout=5)
            socks.append(s)
        time.sleep(0.5)
        for s in socks:
            s.setblocking(False)
            with contextlib.suppress(BlockingIOError, ConnectionError):
                refused += s.recv(200).startswith(b"HTTP/1.1 503")
        assert 70 <= refused <= 110, refused
        with Node("--bootstrap", n.address) as c:
            c.wait_model("echo")
            assert c.chat("echo")[0] == 200
        row = next(r for r in json.loads(n.cli("status", "--limits", "--json").stdout)["limits"] if r["scope"] == "http")
        assert row["limit"] == 300 and refused <= row["refused"] <= 110, row  # some see a reset, not the 503
    finally:
        [s.close() for s in socks]
        n.stop()


if __name__ == "__main__":
    main()
