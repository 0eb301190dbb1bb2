# SPDX-License-Identifier: MIT
"""The tests of how peers reach each other: private networks, relays, hole punching, AutoNAT, mDNS.

A scene is a function of a Stage: who is the client and who is the server, and where peers may be
started (world.py draws the places). Each scene starts peers of its own.

The hard thing is what must not be there: on loopback two peers behind a relay find the direct way at
once, so a circuit is tested between two hosts without a route to each other, and a punched hole
between two hosts that no unasked connection gets into.
"""
import os
import tempfile
import time

from cases import ECHO, NOBODY
from peer import Lacks, expect

SCENES = []  # (row, name, function)
DCUTR = "/libp2p/dcutr"
PUNCH_S = 25  # a dial that comes to nothing may take go 5 s, and there are three


def scene(row, name):
    def add(function):
        SCENES.append((row, name, function))
        return function
    return add


def circuit(relay, server):
    """The server's address through the relay."""
    return f"{relay.addr}/p2p-circuit/p2p/{server.id}"


def transport(addr):
    return addr.rsplit("/p2p/", 1)[0]


# ---- private networks ------------------------------------------------------------------------


def swarm_key(folder, name):
    path = os.path.join(folder, name)
    with open(path, "w", encoding="ascii") as file:
        file.write("/key/swarm/psk/1.0.0/\n/base16/\n" + os.urandom(32).hex() + "\n")
    return path


@scene("private network", "the same key")
def scene_psk(stage):
    with tempfile.TemporaryDirectory() as folder:
        key = swarm_key(folder, "swarm.key")
        with stage.server("--psk", key) as server, stage.client("--psk", key) as client:
            client.do("ping", addr=server.addr)
            hello = client.do("http", addr=server.addr, method="GET", path="/hello", headers={})
            expect(hello["body"] == f"hello from {server.lang}", f"body {hello['body']!r}")
            client.do("echo", addr=server.addr, streams=4, bytes=1 << 20)
            client.do("kad_add", addr=server.addr)
            expect(not client.do("find_providers", key="model:nobody")["providers"], "of nothing")


@scene("private network", "another key, or none, is refused")
def scene_psk_other(stage):
    with tempfile.TemporaryDirectory() as folder:
        keys = [swarm_key(folder, str(i)) for i in range(2)]
        with stage.server("--psk", keys[0]) as server:
            with stage.client("--psk", keys[1]) as client:
                expect(not client.ask("dial", addr=server.addr)["ok"], "got in with another key")
            with stage.client() as client:
                expect(not client.ask("dial", addr=server.addr)["ok"], "got in without a key")
        with stage.server() as server, stage.client("--psk", keys[0]) as client:
            expect(not client.ask("dial", addr=server.addr)["ok"], "left the private network")


# ---- relays ----------------------------------------------------------------------------------


def use_circuit(client, server, addr):
    """What a relayed connection has to carry."""
    dialled = client.do("dial", addr=addr)
    expect(dialled["peer"] == server.id, f"dialled {server.id}, got {dialled['peer']}")
    conns = client.do("conns", addr=addr)
    expect((conns["direct"], conns["relayed"]) == (0, 1), f"connections: {conns}")
    client.do("ping", addr=addr)
    # rust-libp2p sees one who comes through a relay as /p2p/<id>, at which js-libp2p's identify throws.
    if (client.lang, server.lang) != ("js", "rust"):
        them = client.do("identify", addr=addr)
        expect(ECHO in them["protocols"], f"protocols {them['protocols']}")
    hello = client.do("http", addr=addr, method="GET", path="/hello", headers={})
    expect(hello["body"] == f"hello from {server.lang}", f"body {hello['body']!r}")
    events = client.do("sse", addr=addr, path="/sse?n=20")
    expect(events["orderly"] and len(events["events"]) == 21, f"{len(events['events'])} events")


def reserve(server, relay):
    addrs = server.do("reserve", addr=relay.addr)["addrs"]
    wanted = circuit(relay, server)
    expect(wanted in addrs, f"{wanted} is not in {addrs}")
    return wanted


def relayed_dial(stage, relay_lang):
    world = stage.world()
    with stage.peer(relay_lang, "--relay", "unlimited", host=world.relay) as relay, \
            stage.server(host=world.d) as server, stage.client(host=world.c) as client:
        nobody = client.ask("dial", addr=f"{relay.addr}/p2p-circuit/p2p/{NOBODY}")
        expect(not nobody["ok"], "a circuit to one who has no reservation")
        addr = reserve(server, relay)
        use_circuit(client, server, addr)
        client.do("echo", addr=addr, streams=8, bytes=1 << 18)
        # Found in the DHT, with the circuit as the way to go.
        key = f"model:behind-{relay_lang}-{os.getpid()}"
        server.do("kad_add", addr=relay.addr)
        server.do("provide", key=key)
        client.do("kad_add", addr=relay.addr)
        found = client.until(lambda a: a["providers"], "find_providers", 5, key=key)["providers"]
        match = [p for p in found if p["peer"] == server.id]
        expect(match, f"{server.id} is not among {found}")
        if match[0]["addrs"] is not None:  # rust-libp2p does not tell them
            ways = [transport(a) if a.endswith(server.id) else a for a in match[0]["addrs"]]
            expect(transport(addr) in ways, f"{transport(addr)} is not in {ways}")


@scene("relay", "reserve, relayed dial (the listener's kind of relay)")
def scene_relay_server(stage):
    relayed_dial(stage, stage.server_name)


@scene("relay", "reserve, relayed dial (the dialler's kind of relay)")
def scene_relay_client(stage):
    relayed_dial(stage, stage.client_name)


@scene("relay", "two of the dialler's kind through a relay of the listener's")
def scene_relay_only(stage):
    """And the other way round in the other direction; the relay's limits are the default ones."""
    world = stage.world()
    with stage.server("--relay", "limited", host=world.relay) as relay, \
            stage.peer(stage.client_name, host=world.d) as server, stage.client(host=world.c) as client:
        addr = reserve(server, relay)
        use_circuit(client, server, addr)
        cut = client.ask("bulk", addr=addr, up=1 << 20, down=0)
        expect(not cut["ok"], "1 MiB went through a circuit of 128 KiB")


# ---- hole punching ---------------------------------------------------------------------------


def punch(stage, host_of_server, host_of_client):
    """A relayed connection that becomes a direct one by itself."""
    world = stage.world()
    with stage.server("--relay", "limited", host=world.relay) as relay, \
            stage.server("--observed", "on", host=host_of_server) as server, \
            stage.client("--observed", "on", host=host_of_client) as client:
        # What there is to offer is known when the relay has told them how it sees them; go-libp2p
        # serves DCUtR only from then on, looking every so often, and rust-libp2p asks only once.
        for one in (server, client):
            one.do("identify", addr=relay.addr)
            if one.lang == "go":
                they = relay.until(lambda a: DCUTR in a["protocols"], "identify", 10, addr=one.addr)
                expect(DCUTR in they["protocols"], f"{one.name} does not serve {DCUTR}")
        addr = reserve(server, relay)
        client.do("dial", addr=addr)
        conns = client.until(lambda c: c["direct"] > 0, "conns", PUNCH_S, addr=addr)
        expect(conns["direct"] > 0, f"still only {conns}")
        hello = client.do("http", addr=addr, method="GET", path="/hello", headers={})
        expect(hello["body"] == f"hello from {server.lang}", f"body {hello['body']!r}")


@scene("hole punch", "a circuit between two public hosts becomes direct")
def scene_upgrade(stage):
    world = stage.world()
    punch(stage, world.b, world.a)


@scene("hole punch", "through two NATs")
def scene_punch(stage):
    if "js" in (stage.client_name, stage.server_name):
        raise Lacks("Node cannot dial from the port it listens on, so js-libp2p punches no TCP holes")
    world = stage.world()
    punch(stage, world.in2, world.in1)


# ---- AutoNAT ---------------------------------------------------------------------------------


def autonat(stage, version, host, reach):
    world = stage.world()
    if stage.server_name == "js" and version == 1:
        raise Lacks("js-libp2p's AutoNAT v1 server closes the connection it is asked over, not the one it dials")
    if stage.server_name == "rust" and version == 2 and reach == "private":
        raise Lacks("rust-libp2p's AutoNAT v2 server gives no answer when nothing answers its dial")
    if stage.client_name == "js" and reach == "private":
        raise Lacks("js-libp2p asks about public addresses of its own only, and has none behind a NAT")
    with stage.server("--autonat", str(version), host=world.relay) as server, \
            stage.client("--autonat", str(version), host=host) as client:
        answer = client.do("autonat", addr=server.addr, version=version)
        expect(answer["reach"] == reach, f"{answer}, but the host is {reach}")
        if reach == "public":
            expect(transport(answer["addr"]) == transport(client.addr) or
                   answer["addr"] == transport(client.addr), f"{answer}, but we are {client.addr}")


def autonat_scenes(version):
    @scene("AutoNAT", f"v{version}: a public host is told so")
    def scene_public(stage):
        autonat(stage, version, stage.world().a, "public")

    @scene("AutoNAT", f"v{version}: a host behind a NAT is told so")
    def scene_private(stage):
        autonat(stage, version, stage.world().in1, "private")


autonat_scenes(1)
autonat_scenes(2)


# ---- the LAN ---------------------------------------------------------------------------------


@scene("mDNS", "found by each other")
def scene_mdns(stage):
    world = stage.world()
    with stage.server("--mdns", "on", host=world.lan2) as server, \
            stage.client("--mdns", "on", host=world.lan1) as client:
        start = time.monotonic()
        for one, other in ((client, server), (server, client)):
            # go-libp2p's resolver believes only in an instance with a host and its address, which these
            # do not send, nor does the spec ask for it; ours does.
            if one.lang == "go" and other.lang in ("js", "rust"):
                continue
            left = max(1, 20 - (time.monotonic() - start))
            peers = one.until(lambda a: other.id in a["peers"], "mdns_peers", left)["peers"]
            expect(other.id in peers, f"{one.name} found {peers}, not {other.name} {other.id}")
