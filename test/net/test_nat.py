# SPDX-License-Identifier: MIT
"""Two hosts behind each pair of NATs, a public relay between; real nodes, real kernels' NAT.

     host a 10.1.0.2 --- nat a 10.1.0.1 | 198.51.100.2 ---.
                                                            \\
                                              internet (a router, 198.51.100.1 192.0.2.1 203.0.113.1)
                                                            /            \\
     host b 10.2.0.2 --- nat b 10.2.0.1 | 192.0.2.2 ------'              203.0.113.10 relay, bootstrap

A host without NAT ("none") has the NAT's public address itself. The kinds, as nft rules:

     full cone           masquerade (keeps the port), and the port forwarded to the host (DNAT)
     address-restricted  as a full cone, but only for addresses that the host has sent to (not in the matrix)
     port-restricted     masquerade (keeps the port); only answers come in
     symmetric           masquerade random,fully-random: another port for each destination; only answers come in

What comes in uninvited is dropped, as routers at home do. `a` provides (echo), `b` asks; both know only the
relay. Asserted: every pair gets its question answered, directly or relayed; and directly, by a plain dial or
a punched hole, wherever TCP allows it:

     none, full cone   with anything: one side can be dialled, the other one dials (or is asked to)
     restricted pairs  by simultaneous open: both know the port that the other side's NAT shows
     symmetric         with restricted or symmetric: never. The port towards the peer is another one than the
                       relay has seen, and TCP leaves no way to guess among 64,512; such pairs stay relayed.
"""
import argparse, concurrent.futures, itertools, json, os, sys, time

import netns
from netns import World, lib

KINDS = ["none", "full cone", "port-restricted", "symmetric"]
WAN = {"a": ("198.51.100.1", "198.51.100.2"), "b": ("192.0.2.1", "192.0.2.2"), "r": ("203.0.113.1", "203.0.113.10")}
RELAY = "/ip4/203.0.113.10/tcp/8000"


def direct_is_possible(a, b):
    hard = ("port-restricted", "symmetric")
    return not ("symmetric" in (a, b) and a in hard and b in hard)


def nat_rules(kind, wan, host):
    masquerade = "masquerade random,fully-random" if kind == "symmetric" else "masquerade"
    known = "ip saddr @sent" if kind == "address-restricted" else ""
    is_forwarded = kind in ("full cone", "address-restricted")
    forward = f"iifname {wan} {known} tcp dport 8000 dnat to {host}:8000" if is_forwarded else ""
    invited = "ct status dnat accept" if is_forwarded else ""
    return f"""
table ip nat {{
  set sent {{ type ipv4_addr; flags dynamic, timeout; timeout 10m; }}
  chain out {{ type filter hook forward priority 1; policy accept;
    oifname {wan} add @sent {{ ip daddr }}
  }}
  chain pre {{ type nat hook prerouting priority -100; policy accept;
    {forward}
  }}
  chain post {{ type nat hook postrouting priority 100; policy accept;
    oifname {wan} {masquerade}
  }}
}}
table ip filter {{
  chain forward {{ type filter hook forward priority 0; policy accept;
    ct state established,related accept
    {invited}
    iifname {wan} drop
  }}
  chain input {{ type filter hook input priority 0; policy accept;
    ct state established,related accept
    iifname {wan} drop
  }}
}}"""


def access(w, space, side, us):
    """The line from `space` to the internet: a wire, or one with a delay. The name of its end in `space`."""
    gateway, public = WAN[side]
    if us:
        w.delayed(space, public, "i", gateway, dev="line-" + side, us=us)
    else:
        w.link(space, "line-" + side, f"{public}/24", "i", "to-" + side, f"{gateway}/24")
    w.run(space, f"ip route add default via {gateway}")
    return "line-" + side


def attach(w, side, kind, us=0):
    """One side of the drawing; the namespace whose name is the side runs the node."""
    if kind == "none":
        w.add(side)
        access(w, side, side, us)
        return
    lan = "10.1.0" if side == "a" else "10.2.0"
    w.add(side, "n" + side)
    wan = access(w, "n" + side, side, us)
    w.link(side, "lan", f"{lan}.2/24", "n" + side, "lan", f"{lan}.1/24")
    w.run(side, f"ip route add default via {lan}.1")
    w.run("n" + side, "echo 1 >/proc/sys/net/ipv4/ip_forward")
    w.nft("n" + side, nat_rules(kind, wan, f"{lan}.2"))


def internet(w, a, b, loss=0, us=0):
    w.add("i")
    w.run("i", "echo 1 >/proc/sys/net/ipv4/ip_forward")
    for side, kind in (("r", "none"), ("a", a), ("b", b)):
        attach(w, side, kind, us)
    # what nobody announces is dropped on the way: private addresses have no route out there
    drop = f"numgen random mod 100 < {loss} drop" if loss else ""
    w.nft("i", f"""
table ip f {{
  chain c {{ type filter hook forward priority 0; policy accept;
    ip daddr {{ 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16 }} drop
    {drop}
  }}
}}""")


def way_to(node, peer):
    """How a node is connected with a peer: 'direct', 'relayed', or None."""
    for p in node.peers():
        if p["peer"] == peer:
            return "relayed" if p.get("relayed") else "direct"
    return None


def one_pair(a, b, loss=0, us=0, patience=40):
    """(answered?, how, seconds to the answer, seconds to a direct connection, reach of a, nat of a)"""
    with World() as w:
        try:
            internet(w, a, b, loss, us)
            relay = w.node("r", "--share", "none")
            boot = f"{RELAY}/p2p/{relay.peer}"
            provider = w.node("a", "--backend", "echo:", "--bootstrap", boot)
            consumer = w.node("b", "--share", "none", "--bootstrap", boot)
            began = time.monotonic()
            status = text = None
            while status != 200 and time.monotonic() - began < patience:
                status, text = consumer.ask(timeout=10)
                if status != 200:
                    time.sleep(0.5)
            answered = time.monotonic() - began
            if status != 200:
                return {"a": a, "b": b, "ok": False, "why": f"{status} {text[:200]}", "logs": logs(w)}
            how, direct = way_to(consumer, provider.peer), None
            until = time.monotonic() + (25 if direct_is_possible(a, b) else 6)
            while how != "direct" and time.monotonic() < until:
                time.sleep(0.3)
                how = way_to(consumer, provider.peer)
            if how == "direct":
                direct = time.monotonic() - began
            again, _ = consumer.ask(timeout=10)
            reach = provider.status()
            return {"a": a, "b": b, "ok": again == 200, "how": how, "answered": answered, "direct": direct,
                    "reach": reach.get("reach"), "nat": reach.get("nat"), "logs": logs(w)}
        except Exception as e:  # the pair failed, not the run
            return {"a": a, "b": b, "ok": False, "why": repr(e)[:300], "logs": logs(w)}


def logs(w):
    return {n.space: n.logged() for n in w.nodes}


def matrix(pairs, jobs=3, **path):
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        return list(pool.map(lambda p: one_pair(*p, **path), pairs))


def table(rows):
    out = [f"   {'provider':16} {'consumer':16} {'answered':>9} {'path':8} {'direct after':>12}  {'provider is':11} its NAT"]
    for r in rows:
        if not r["ok"]:
            out.append(f"   {r['a']:16} {r['b']:16} {'FAILED':>9} {r.get('why', '')}")
            continue
        direct = f"{r['direct']:.1f} s" if r["direct"] is not None else "-" if direct_is_possible(r["a"], r["b"]) else "cannot be"
        out.append(f"   {r['a']:16} {r['b']:16} {r['answered']:7.1f} s {r['how'] or '?':8} {direct:>12}  {r['reach'] or '':11} {r['nat'] or ''}")
    ok, direct = sum(r["ok"] for r in rows), sum(r["ok"] and r["how"] == "direct" for r in rows)
    can = sum(direct_is_possible(r["a"], r["b"]) for r in rows)
    out.append(f"   reachable {ok} of {len(rows)}; direct {direct} of {can} that can be")
    return "\n".join(out)


def keep_logs(rows):
    """Of what failed, where LOGS names a directory."""
    where = os.environ.get("LOGS")
    for r in rows if where else ():
        bad = not r["ok"] or (direct_is_possible(r["a"], r["b"]) and r["how"] != "direct")
        for space, text in r["logs"].items() if bad else ():
            with open(f"{where}/{r['a']}-{r['b']}-{space}.log".replace(" ", "_"), "w", encoding="utf-8") as f:
                f.write(text)


@lib.test
def every_pair_of_nats_is_answered_and_punched_where_it_can_be():
    rows = matrix(list(itertools.product(KINDS, KINDS)), jobs=int(os.environ.get("JOBS", "3")))
    print(table(rows))
    keep_logs(rows)
    assert all(r["ok"] for r in rows), "not every pair was answered"
    missing = [f"{r['a']} / {r['b']}" for r in rows if direct_is_possible(r["a"], r["b"]) and r["how"] != "direct"]
    assert not missing, f"relayed, though a direct way exists: {missing}"
    wrong = [f"{r['a']} / {r['b']}" for r in rows if not direct_is_possible(r["a"], r["b"]) and r["how"] == "direct"]
    assert not wrong, f"direct where TCP has no way: is the NAT what it says? {wrong}"


@lib.test
def a_lossy_path_is_answered_too():
    rows = matrix([("port-restricted", "port-restricted"), ("symmetric", "port-restricted"), ("full cone", "symmetric")], loss=5)
    print(table(rows))
    keep_logs(rows)
    assert all(r["ok"] for r in rows), "with 5 % loss"


@lib.test
def far_away_ones_are_punched_too():
    """30 ms each way on every line: 120 ms between a and b, as between continents."""
    rows = matrix([("port-restricted", "port-restricted"), ("port-restricted", "full cone")], us=30000)
    print(table(rows))
    keep_logs(rows)
    assert all(r["ok"] and r["how"] == "direct" for r in rows), "over 120 ms"


@lib.test
def a_plain_node_on_a_server_routes_for_two_behind_nat():
    """`conduit up` without any option, as on a rented server; both others behind NATs that cannot be punched."""
    with World() as w:
        internet(w, "symmetric", "symmetric")
        relay = w.node("r")
        boot = f"{RELAY}/p2p/{relay.peer}"
        provider = w.node("a", "--backend", "echo:", "--bootstrap", boot)
        consumer = w.node("b", "--bootstrap", boot)
        lib.wait_for("the provider has a place at the relay",
                     lambda: (provider.status().get("relay") or {}).get("places"), 30, 0.2)
        lib.wait_for("a first answer", lambda: consumer.ask()[0] == 200, 30, 0.3)
        for i in range(20):
            status, text = consumer.ask(text=f"question {i}")
            assert status == 200 and f"question {i}" in text, (status, text)
        assert way_to(consumer, provider.peer) == "relayed"
        carried = relay.status()["relay"]
        print(f"   the relay carried {carried['bytes']} bytes over {carried['circuits_total']} circuits")
        assert carried["circuits_total"] >= 1 and carried["bytes"] > 4000, carried
        model = [m for m in relay.status().get("models", [])]
        assert not model, "the server has no model"


def doctor(w, space, *args):
    """(exit status, checks by name) of `conduit doctor` in that namespace."""
    r = w.run(space, " ".join([lib.CONDUIT, "doctor", "--json", *args]), check=False)
    return r.returncode, {c["check"]: c for c in json.loads(r.stdout)["checks"]}


@lib.test
def the_doctor_says_what_a_node_is_behind():
    """Of a node that runs, and of one started for the report, which has to wait for the first answers."""
    for kind, level, nat in (("none", "ok", "none"), ("port-restricted", "warn", None), ("symmetric", "warn", None)):
        with World() as w:
            internet(w, kind, "none")
            relay = w.node("r", "--share", "none")
            boot = f"{RELAY}/p2p/{relay.peer}"
            rc, fresh = doctor(w, "a", "--data-dir", os.path.join(w.dir, "fresh"), "--bootstrap", boot)
            n = w.node("a", "--share", "none", "--bootstrap", boot)
            lib.wait_for(f"{kind}: reach is known", lambda: n.status().get("reach") in ("public", "private"), 30, 0.2)
            if level == "warn":
                lib.wait_for("a place at the relay", lambda: n.status()["relay"]["places"], 20, 0.2)
            for got_rc, checks in ((rc, fresh), doctor(w, "a", "--data-dir", os.path.join(n.dir, "data"))):
                print(f"   {kind:16} {checks['firewall']['text']}; {checks['nat']['text']}; {checks['relay']['text']}")
                assert got_rc == 0 and checks["firewall"]["level"] == level, checks
                assert checks["nat"]["text"].startswith(nat or "there is one"), checks
                assert ("place held" if level == "warn" else "not needed") in checks["relay"]["text"], checks


@lib.test
def a_node_knows_what_it_is_behind():
    want = {"none": ("public", "none"), "full cone": ("likely", None), "address-restricted": ("likely", None),
            "port-restricted": ("private", None), "symmetric": ("private", None)}
    for kind in want:
        with World() as w:
            internet(w, kind, "none")
            relay = w.node("r", "--share", "none")
            n = w.node("a", "--share", "none", "--bootstrap", f"{RELAY}/p2p/{relay.peer}")
            state, nat = want[kind]
            lib.wait_for(f"{kind}: {state}", lambda: n.status().get("reach") == state, 30, 0.2)
            reach = n.status()
            print(f"   {kind:18} {reach['reach']:8} NAT {reach['nat']:22} reached at {' '.join(reach['confirmed']) or '-'}")
            assert nat is None or reach["nat"] == nat, reach
            outside = f"/ip4/{WAN['a'][1]}/tcp/8000"
            assert reach["confirmed"] == ([outside] if state != "private" else []), reach
            if state == "likely":
                # It had dialled the relay. A stranger knows more, and until then it is reached over the relay too.
                lib.wait_for("a place at the relay", lambda: n.status()["relay"]["places"], 20, 0.2)
                w.node("b", "--share", "none", "--bootstrap", f"{outside}/p2p/{n.peer}")
                if kind == "full cone":
                    lib.wait_for("public, as a stranger found", lambda: n.status().get("reach") == "public", 30, 0.2)
                else:
                    time.sleep(5)
                    assert n.status().get("reach") == "likely" and n.status()["peers"] == 1, n.status()


if __name__ == "__main__":
    netns.main()
