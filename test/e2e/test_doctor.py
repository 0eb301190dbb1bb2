#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""`conduit doctor` against real faults: each is made, and must be named, with its remedy and exit status 1; and a
healthy node has nothing wrong. Everything is on loopback."""
import contextlib, http.server, json, os, socket, tempfile, threading
from lib import *

PSK = "/key/swarm/psk/1.0.0/\n/base16/\n" + "a1" * 32 + "\n"


def doctor(*args, data, ports=True):
    extra = ["--p2p-port", "0", "--http-port", "0", "--p2p-host", "127.0.0.1"] if ports else []
    r = cli("doctor", *args, "--data-dir", data, *extra, "--json", timeout=90)
    assert r.returncode in (0, 1), r
    report = json.loads(r.stdout)
    assert report["ok"] == (r.returncode == 0), r
    assert all(c["remedy"] for c in report["checks"] if c["level"] == "fail"), report  # the last line promises it
    return r.returncode, report["checks"]


def find(checks, name, level=None):
    return [c for c in checks if c["check"] == name and level in (None, c["level"])]


def failed(checks, name):
    got = find(checks, name, "fail")
    assert got, (name, checks)
    assert got[0]["remedy"], got
    return got[0]


@contextlib.contextmanager
def listener(handle=None):
    """A port on loopback; `handle(conn)` serves each connection, None: accepts and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as s:
        kept = []

        def run():
            while True:
                try:
                    c, _ = s.accept()
                except OSError:
                    return
                kept.append(c)
                if handle:
                    handle(c)

        threading.Thread(target=run, daemon=True).start()
        yield s.getsockname()[1]
        for c in kept:
            c.close()


def hang_up_as_web(c):
    c.recv(4096)
    c.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
    c.close()


def closed_port():
    with socket.create_server(("127.0.0.1", 0)) as s:
        return s.getsockname()[1]


@test
def a_healthy_node_has_nothing_wrong():
    with Node() as boot, Node("--bootstrap", boot.address, "--backend", "m=echo:m") as n:
        rc, checks = doctor(data=os.path.join(n.dir, "data"))
        assert rc == 0, checks
        assert boot.peer in find(checks, "bootstrap", "ok")[0]["text"], checks
        assert find(checks, "backend", "ok") and find(checks, "network", "ok") and find(checks, "version", "ok"), checks
        assert "agrees" in " ".join(c["text"] for c in find(checks, "clock")), checks
        r = n.cli("doctor")
        assert r.returncode == 0 and "Nothing stops this node" in r.stdout, r


@test
def without_a_node_one_is_started_and_ended():
    with tempfile.TemporaryDirectory() as d:
        rc, checks = doctor("--backend", "m=echo:m", data=d)
        assert rc == 0, checks
        assert find(checks, "backend", "ok") and not find(checks, "sharing"), checks
        r = cli("status", "--data-dir", d)
        assert r.returncode == 1 and "conduit up" in r.stderr, r  # it is gone


@test
def a_node_started_for_it_is_looked_at_when_it_has_joined():
    with Node() as boot, tempfile.TemporaryDirectory() as d:
        rc, checks = doctor("--bootstrap", boot.address, data=d)
        assert rc == 0 and find(checks, "version", "ok"), checks
        assert "agrees" in " ".join(c["text"] for c in find(checks, "clock")), checks
        assert "started for this report" in find(checks, "node", "ok")[0]["text"], checks
        # on one machine nobody can tell how strangers see it: that is said, not taken for good news
        for name in ("firewall", "nat", "relay"):
            c = find(checks, name)
            assert len(c) == 1 and c[0]["level"] == "skip" and "not known yet" in c[0]["text"], checks
        assert "own network" in find(checks, "firewall")[0]["text"] and "own network" in find(checks, "nat")[0]["text"], checks


@test
def a_running_node_is_not_said_to_have_tried_what_is_given():
    with Node() as n:
        r = n.cli("doctor", "--bootstrap", "192.0.2.1:8000", "--backend=http://127.0.0.1:1/v1", "--json")
        c = find(json.loads(r.stdout)["checks"], "options", "warn")
        assert c and "not tried: --bootstrap, --backend" in c[0]["text"] and "--data-dir" in c[0]["remedy"], r
        assert not find(json.loads(n.cli("doctor", "--json").stdout)["checks"], "options")


@test
def names_are_looked_up_where_there_are_any():
    with Node() as boot, tempfile.TemporaryDirectory() as d:
        rc, checks = doctor("--bootstrap", boot.address, data=d)
        assert rc == 0 and [c["text"] for c in find(checks, "dns")] == ["not needed: no name is configured"], checks
        rc, checks = doctor("--bootstrap", boot.address + ",nosuch.invalid:8000", data=d)
        c = find(checks, "dns", "warn")  # the network was joined over the other address
        assert rc == 0 and "nosuch.invalid" in c[0]["text"] and "resolv.conf" in c[0]["remedy"], checks
        rc, checks = doctor("--bootstrap", "nosuch.invalid:8000", data=d)
        assert rc == 1 and "nosuch.invalid" in failed(checks, "dns")["text"], checks
        rc, checks = doctor("--backend", "http://nosuch.invalid/v1", data=d)
        assert rc == 1 and "of a backend" in failed(checks, "dns")["text"], checks


@test
def a_taken_port_is_named_with_who_holds_it():
    with tempfile.TemporaryDirectory() as d, listener() as port:
        rc, checks = doctor("--p2p-port", str(port), "--http-port", "0", data=d, ports=False)
        c = failed(checks, "p2p port")
        assert rc == 1 and str(port) in c["text"] and f"pid {os.getpid()}" in c["text"], c
        assert str(port) in find(checks, "start", "fail")[0]["text"], checks


@test
def each_bootstrap_fault_is_named_by_its_layer():
    with tempfile.TemporaryDirectory() as d, listener(hang_up_as_web) as web, listener() as silent:
        gone = closed_port()
        for address, says in ((f"127.0.0.1:{gone}", "refused"), (f"127.0.0.1:{web}", "libp2p"),
                              (f"127.0.0.1:{silent}", "did not finish"), ("nosuch.invalid:8000", "resolved")):
            rc, checks = doctor("--bootstrap", address, data=d)
            c = failed(checks, "bootstrap")
            assert rc == 1 and address in c["text"] and says in c["text"] + c["remedy"], (address, c)


@test
def one_bootstrap_of_two_is_enough():
    with Node() as boot, tempfile.TemporaryDirectory() as d:
        rc, checks = doctor("--bootstrap", f"{boot.address},127.0.0.1:{closed_port()}", data=d)
        assert rc == 0, checks
        assert find(checks, "bootstrap", "ok") and find(checks, "bootstrap", "warn"), checks


@test
def another_network_key_is_named():
    with tempfile.TemporaryDirectory() as d:
        key, other = os.path.join(d, "key"), os.path.join(d, "other")
        for path, text in ((key, PSK), (other, PSK.replace("a1", "b2"))):
            with open(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600), "w") as f:
                f.write(text)
        with Node("--psk", key) as boot:
            at = f"127.0.0.1:{boot.address.split('/tcp/')[1].split('/')[0]}"
            for mine in ([], ["--psk", other]):
                rc, checks = doctor("--bootstrap", at, *mine, data=os.path.join(d, "data"))
                c = failed(checks, "bootstrap")
                assert rc == 1 and "private network" in c["text"] + c["remedy"] and "--psk" in c["remedy"], c
            rc, checks = doctor("--bootstrap", at, "--psk", key, data=os.path.join(d, "data"))
            assert rc == 0 and find(checks, "network key", "ok"), checks


@test
def a_backend_and_a_model_that_do_not_work_are_named():
    with tempfile.TemporaryDirectory() as d:
        rc, checks = doctor("--backend", f"http://127.0.0.1:{closed_port()}/v1", data=d)
        assert rc == 1 and failed(checks, "backend"), checks
        bad = os.path.join(d, "bad.gguf")
        open(bad, "wb").write(b"GGUF" + b"\xff" * 100)
        rc, checks = doctor("--model", bad, data=d)
        assert rc == 1 and "bad.gguf" in failed(checks, "start")["text"], checks
        rc, checks = doctor("--psk", os.path.join(d, "no.key"), data=d)
        assert rc == 1 and "no.key" in failed(checks, "start")["text"], checks
        rc, checks = doctor("--model", os.path.join(d, "none.gguf"), data=d)
        assert rc == 1 and failed(checks, "model"), checks


@test
def a_mistake_in_the_options_is_usage():
    r = cli("doctor", "--http-prot", "1")
    assert r.returncode == 2 and "--http-port" in r.stderr, r


@test
def a_peer_is_explained_step_by_step():
    with Node("--backend", "m=echo:m") as a, Node("--bootstrap", a.address) as b:
        data = os.path.join(b.dir, "data")
        b.wait_model("m")
        for target in (a.peer, a.address, a.address.split("/p2p/")[0]):
            rc, steps = doctor(target, data=data)
            assert rc == 0 and steps[-1]["check"] == "verdict" and "reached" in steps[-1]["text"], steps
            assert "1 offers" in steps[-1]["text"] and find(steps, "identity", "ok"), steps
        port = a.address.split("/tcp/")[1].split("/")[0]
        rc, steps = doctor("/ip4/127.0.0.1/nonsense", data=data)
        assert rc == 1 and "names no peer" in steps[-1]["text"], steps
        r = b.cli("doctor", "--no-mdns", a.address, "--json")  # --data-dir D before it
        assert r.returncode == 0 and "reached" in json.loads(r.stdout)["checks"][-1]["text"], r
        r = b.cli("doctor", a.address, a.peer)
        assert r.returncode == 2 and "unexpected argument" in r.stderr, r
        other = "12D3KooWBtg3aaRMjxwedh83aGiUkwSxDwUZkzuJcfaqUmo7R3pq"
        rc, steps = doctor(f"/ip4/127.0.0.1/tcp/{port}/p2p/{other}", data=data)
        assert rc == 1 and a.peer in failed(steps, "verdict")["text"], steps
        rc, steps = doctor(other, data=data)  # nobody knows it
        assert rc == 1 and "no address" in failed(steps, "verdict")["text"], steps
        rc, steps = doctor(b.peer, data=data)
        assert rc == 1 and "itself" in failed(steps, "verdict")["text"], steps


@test
def a_peer_that_cannot_be_reached_says_which_layer_refused():
    with Node() as n, listener(hang_up_as_web) as web, listener() as silent:
        data = os.path.join(n.dir, "data")
        gone = closed_port()
        for port, layer in ((gone, "tcp"), (web, "libp2p"), (silent, "libp2p")):
            rc, steps = doctor(f"/ip4/127.0.0.1/tcp/{port}", data=data)
            assert rc == 1 and failed(steps, layer) and failed(steps, "verdict"), (port, steps)
            assert find(steps, layer)[0]["text"].startswith(f"127.0.0.1:{port}"), steps


@test
def a_peer_that_does_not_admit_us_is_no_success():
    other = "12D3KooWBtg3aaRMjxwedh83aGiUkwSxDwUZkzuJcfaqUmo7R3pq"
    with Node() as a, Node("--deny-peer", a.peer) as denies, Node("--allow-peer", other) as allows:
        for b in (denies, allows):
            rc, steps = doctor(b.address, data=os.path.join(a.dir, "data"))
            c = failed(steps, "verdict")
            assert rc == 1 and steps[-1] == c and "hung up right after the handshake" in c["text"], steps
            assert "--deny-peer" in c["remedy"] and "--allow-peer" in c["remedy"] and a.peer in c["remedy"], c
            assert failed(steps, "admitted") and find(steps, "identity", "ok"), steps
        rc, steps = doctor(a.address, data=os.path.join(denies.dir, "data"))  # who denies is told of its own flag
        assert rc == 1 and "--deny-peer" in failed(steps, "verdict")["remedy"], steps


@test
def what_cannot_be_dialled_says_what_can():
    with Node() as n:
        data = os.path.join(n.dir, "data")
        rc, steps = doctor("/ip4/127.0.0.1/udp/8000/quic-v1", data=data)
        assert rc == 1 and "TCP" in failed(steps, "verdict")["remedy"] and failed(steps, "address"), steps
        rc, steps = doctor("/dnsaddr/nosuch.invalid", data=data)
        assert rc == 1 and "resolv.conf" in failed(steps, "verdict")["remedy"] and failed(steps, "dns"), steps


@test
def what_is_too_long_for_a_peer_is_no_peer():
    with Node() as n:
        r = cli("doctor", "x" * 600, "--data-dir", os.path.join(n.dir, "data"))
        assert r.returncode == 1 and "too long" in r.stdout and "multiaddr" in r.stdout, r


@test
def only_the_owner_may_ask():
    with Node() as n:
        s, body = n.get("/conduit/v1/doctor")
        assert s == 403 and body["error"]["code"] == "control_socket_only", (s, body)


if __name__ == "__main__":
    main()
