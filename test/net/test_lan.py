#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Real nodes on a LAN of namespaces: mDNS, who is used and who is served, interfaces that come and go, and a site
without a way out. The site is drawn in lan.py."""
import json, os, subprocess, time
from avahi import Avahi
from lan import *
from lib import main, spawn, test

MODEL = ["--backend", "echo:"]


def sees(node, other, trust=None, timeout=2.0):
    """The entry of the other one in the list of peers."""
    end = time.monotonic() + timeout
    entry = wait_for(f"{other.host} in the peers of {node.host}", lambda: node.peers().get(other.peer), timeout)
    if trust:
        wait_for(f"{node.host} says of {other.host}: {trust}",
                 lambda: node.peers().get(other.peer, {}).get("trust") == trust, max(0.1, end - time.monotonic()))
    return entry


@test
def they_list_each_other_in_two_seconds():
    with Site() as s, s.node("a", *MODEL) as a, s.node("b") as b:
        start = time.monotonic()
        for one, other in ((b, a), (a, b)):
            assert sees(one, other, "listed")["found"] == "lan"
        took = time.monotonic() - start
        assert took < 2, took
        wait_for("its models", lambda: a.peers()[b.peer]["models"] == [] and b.peers()[a.peer]["models"] == ["echo"], 3)
        table = subprocess.run([*s.exec("b", lib_conduit()), "peers", "--data-dir", b.dir + "/data"],
                               capture_output=True, text=True, timeout=10).stdout
        assert a.peer in table and "lan" in table and "listed" in table, table
        assert "eth0" in b.ready["lan"], b.ready
        a.proc.terminate()
        wait_for("the goodbye", lambda: a.peer not in b.peers(), 3)


@test
def who_is_used_and_who_is_served():
    with Site() as s:
        rows = [([], [], 403, "use strangers with --open"), (["--open"], [], 403, "use strangers with --open"),
                ([], ["--open"], 403, "does not serve strangers"), (["--open"], ["--open"], 200, ""),
                ([], ["--bootstrap", "10.77.0.2:8000"], 200, ""),
                (["--open"], ["--bootstrap", "10.77.0.2:8000"], 200, "")]
        for on_a, on_b, status, says in rows:
            with s.node("a", *MODEL, *on_a) as a, s.node("b", *on_b) as b:
                sees(b, a)
                wait_for("a's offer", lambda: b.peers()[a.peer]["models"] == ["echo"], 5)
                got, h, body = b.chat("echo")
                assert got == status, (on_a, on_b, got, body)
                if status == 403:
                    assert a.peer in body["error"]["message"] and says in body["error"]["message"], body
                    r = subprocess.run([*s.exec("b", lib_conduit()), "ask", "--data-dir", b.dir + "/data", "--model", "echo", "hello"],
                                       capture_output=True, text=True, timeout=20, stdin=subprocess.DEVNULL)
                    assert r.returncode == 1 and a.peer in r.stderr and says in r.stderr, (r.returncode, r.stderr)
                served = a.get("/conduit/v1/status")[1]["requests"]["ok"]
                assert served == (1 if status == 200 else 0), (on_a, on_b, served)


@test
def no_mdns_is_the_switch():
    with Site() as s, s.node("a", "--open", *MODEL) as a, s.node("b", "--open", "--no-mdns") as b:
        time.sleep(2)
        assert not a.peers() and not b.peers() and not b.ready["lan"]


@test
def interfaces_that_must_not_break_it():
    """docker0 without a container, a container's cable end, a tunnel; and two networks at once."""
    with Site() as s:
        s.ip("a", "link", "add", "docker0", "type", "bridge")
        s.ip("a", "addr", "add", "172.17.0.1/16", "dev", "docker0")
        s.ip("a", "link", "set", "docker0", "up")
        s.ip("a", "link", "add", "veth1", "type", "veth", "peer", "name", "veth2")
        s.ip("a", "link", "set", "veth1", "up")
        s.ip("a", "link", "set", "veth2", "up")
        s.ip("a", "link", "add", "wlan0", "type", "veth", "peer", "name", "a-wlan0", "netns", s.ns("sw"))
        s.ip("a", "addr", "add", "10.88.0.2/24", "dev", "wlan0")
        s.ip("a", "link", "set", "wlan0", "up")
        try:
            s.ip("a", "tuntap", "add", "tun0", "mode", "tun")
            s.ip("a", "addr", "add", "10.8.0.2", "peer", "10.8.0.1", "dev", "tun0")
            s.ip("a", "link", "set", "tun0", "up")
        except AssertionError:
            pass  # no tunnels in this kernel
        with s.node("a", *MODEL) as a, s.node("b") as b:
            sees(b, a)
            # A bridge that never had a port counts as up; wlan0 has no carrier.
            assert a.ready["lan"].split(":")[0] in ("joined on eth0", "joined on eth0, docker0"), a.ready
            wait_for("connected", lambda: b.peers()[a.peer].get("connected"), 3)
            remote = b.peers()[a.peer]["remote"]
            assert remote.startswith(("10.77.0.2:", "[fd77::2]:")) or b.peers()[a.peer]["inbound"], remote


@test
def an_interface_that_comes_later():
    with Site() as s:
        s.unplug("b")
        with s.node("a", *MODEL) as a, s.node("b") as b:
            assert "none yet" in b.ready["lan"], b.ready
            time.sleep(1)
            assert a.peer not in b.peers()
            s.plug("b", "10.77.0.3/24", device="eth1")
            sees(b, a, timeout=6)
            sees(a, b, timeout=6)
            s.unplug("b", "eth1")
            time.sleep(4)
            s.plug("b", "10.77.0.9/24", device="eth2")
            wait_for("b at its new address",
                     lambda: any("10.77.0.9" in x for x in a.peers().get(b.peer, {}).get("addresses", [])), 10)


@test
def two_on_one_machine():
    with Site() as s, s.node("a", "--open", *MODEL) as a, \
            s.node("a", "--open", "--p2p-port", "8001", "--http-port", "8889") as b:
        sees(b, a, "used and served")
        sees(a, b)
        assert b.chat("echo")[0] == 200


@test
def ipv6_alone():
    with Site() as s:
        for h in "ab":
            s.ip(h, "addr", "flush", "dev", "eth0", "scope", "global")
            s.ip(h, "addr", "add", f"fd77::{'ab'.index(h) + 2}/64", "dev", "eth0", "nodad")
        with s.node("a", "--open", *MODEL) as a, s.node("b", "--open") as b:
            sees(b, a, "used and served", 3)
            got, h, body = b.chat("echo")
            assert got == 200, body


@test
def a_site_without_a_way_out():
    """Starts, meets and serves; nothing waits for what is not there; not one packet is sent beyond the LAN. When
    the route comes back the rest is joined."""
    with Site("abc") as s, s.node("world", *MODEL, "--no-mdns") as x:
        far = ["--bootstrap", "198.51.100.1:8000,boot.conduit.invalid:8000"]
        start = time.monotonic()
        with s.node("a", "--open", "--backend", "near=echo:", *far) as a, s.node("b", "--open", *far) as b, \
                s.node("c", "--bootstrap", "10.77.0.2:8000") as c:
            took = time.monotonic() - start
            assert took < 6, f"three starts without DNS took {took:.1f} s"
            sees(b, a, "used and served")
            got, h, body = b.chat(None)
            assert got == 200 and h["x-conduit-peer"] == a.peer, (got, body)
            wait_for("c joined a by its address", lambda: c.peers().get(a.peer, {}).get("found") == "bootstrap", 5)
            assert c.chat(None)[0] == 200
            time.sleep(2)
            for h in "abc":
                assert s.leaving(h) == 0, (h, s.leaving(h))
            assert s.leaving("router") == 0, s.leaving("router")
            s.open_route("ab")
            for n in (a, b):
                wait_for(f"{n.host} joined the rest", lambda: n.peers().get(x.peer, {}).get("found") == "bootstrap", 40)
            assert s.leaving("router") > 0  # the counter counts
            wait_for("the far model", lambda: b.chat("echo")[0] == 200, 10)


@test
def installing_an_engine_without_a_network_says_so():
    with Site("a") as s:
        import tempfile
        with tempfile.TemporaryDirectory(prefix="conduit-net-") as d:
            start = time.monotonic()
            r = subprocess.run([*s.exec("a", "env", f"XDG_CACHE_HOME={d}", "PATH=/usr/bin:/bin", "CONDUIT_ENGINE_NO_APT=1",
                                        lib_conduit()), "engine", "install"], capture_output=True, text=True, timeout=120,
                               stdin=subprocess.DEVNULL)
            assert r.returncode == 1 and "cannot be reached: is there a network?" in r.stderr, r.stderr
            assert "--backend URL" in r.stderr.strip().splitlines()[-1], r.stderr
            assert s.leaving("a") == 0 and time.monotonic() - start < 100


@test
def the_doctor_names_a_firewall():
    with Site() as s, s.node("a") as a:
        def lan():
            return next(c for c in a.get("/conduit/v1/doctor")[1]["checks"] if c["check"] == "lan")
        with s.node("b"):
            wait_for("all is well", lambda: lan()["level"] == "ok" and "eth0: 1 nodes" in lan()["text"], 5)
        s.nft("b", "table inet block {\nchain in {\ntype filter hook input priority 0;\nudp dport 5353 drop\n}\n}\n")
        with s.node("b") as b:
            time.sleep(1)
            check = next(c for c in b.get("/conduit/v1/doctor")[1]["checks"] if c["check"] == "lan")
            assert check["level"] == "warn" and "5353" in check["remedy"], check


@test
def avahi_shows_us():
    """The third opinion: our answers, to a question of its own and to the one for all services."""
    with Site("abc") as s, Avahi(s, "c") as avahi, s.node("a"), s.node("b"):
        def instances(*what):
            return {f[3] for f in (l.split(";") for l in (avahi.browse(*what) or "").splitlines()) if f[0] == "+" and f[4] == "_p2p._udp"}
        wait_for("two instances of _p2p._udp", lambda: len(instances("_p2p._udp")) == 2, 15)
        names = instances("_p2p._udp")
        assert all(32 <= len(n) <= 63 and n.isalnum() for n in names), names
        wait_for("the service among all", lambda: instances("-a") == names, 15)


def peer_of(lang):
    """How the interoperation peer of that language is started."""
    words = subprocess.run([os.path.join(lib_root(), "test/interop/setup.sh"), lang], capture_output=True, text=True,
                           timeout=900).stdout.split()
    if len(words) < 2 or words[0] != "run":
        raise Skip(f"{lang}: " + (" ".join(words[1:]) or "test/interop/setup.sh said nothing"))
    return words[1:]


class Foreign:
    """A libp2p of somebody else on a host of the site (test/interop/README.md says what it understands)."""

    def __init__(self, site, host, lang, ip):
        argv = [*peer_of(lang), "--listen", f"/ip4/{ip}/tcp/0", "--mdns", "on"]
        site.ip(host, "route", "replace", "224.0.0.0/4", "dev", "eth0")  # js lets the routing table choose
        self.proc = spawn(site.exec(host, *argv), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        line = self.proc.stdout.readline()
        if not line:
            raise Skip(f"the {lang} peer does not start with --mdns")
        self.peer = json.loads(line)["peer"]

    def found(self):
        self.proc.stdin.write('{"id":1,"cmd":"mdns_peers"}\n')
        self.proc.stdin.flush()
        answer = json.loads(self.proc.stdout.readline())
        assert answer["ok"], answer
        return answer["peers"]

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.proc.stdin.close()
        self.proc.terminate()
        self.proc.wait(5)
        self.proc.stdout.close()


def meets(lang):
    """A whole node and the foreign peer find each other, and are connected."""
    with Site() as s, Foreign(s, "b", lang, "10.77.0.3") as b, s.node("a") as a:
        wait_for(f"{lang} is found by us", lambda: b.peer in a.peers(), 10)
        wait_for(f"{lang} finds us", lambda: a.peer in b.found(), 10)
        assert a.peers()[b.peer]["found"] == "lan"
        wait_for("connected", lambda: a.peers()[b.peer].get("connected"), 10)


@test
def a_js_peer():
    meets("js")


@test
def a_rust_peer():
    meets("rust")


@test
def a_go_peer():
    meets("go")


def lib_root():
    import lib
    return str(lib.ROOT)


def lib_conduit():
    import lib
    return lib.CONDUIT


if __name__ == "__main__":
    main()
