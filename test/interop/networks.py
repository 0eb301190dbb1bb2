# SPDX-License-Identifier: MIT
"""A whole Conduit node (build/conduit, not our peer program) in a network where nobody else is one: some
nodes of another implementation with `/conduit/kad/1.0.0`, which keep and tell the records.

The hard thing: rust-libp2p learns of a peer only by being told, so they are introduced to each
other, both ways; the Conduit node is introduced to nobody and has to be found.
"""
import os
import sys
from contextlib import ExitStack

from peer import Lacks, expect
from reach import scene

E2E = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e")
SIZE = {"js": 3}  # else 5; a js node takes a second of a core to start
KEYS = ("model:echo", "protocol:openai", "all_nodes")


def node(stack, *options):
    sys.path.insert(0, E2E)
    import lib  # what the end-to-end tests stand on
    sys.path.remove(E2E)
    return stack.enter_context(lib.Node(*options))


def foreign_network(stack, stage, name):
    if "ours" not in (stage.client_name, stage.server_name):
        raise Lacks("neither of the two is a Conduit node")
    peers = [stack.enter_context(stage.peer(name)) for _ in range(SIZE.get(name, 5))]
    for one in peers:
        for other in peers:
            if one is not other:
                one.do("kad_add", addr=other.addr)
    return peers


def finds(peer, key, who):
    """Whether the peer finds `who` as provider of the key."""
    def has(answer):
        return any(p["peer"] == who for p in answer["providers"])
    return has(peer.until(has, "find_providers", 20, key=key))


@scene("network", "a Conduit node among those of the other's kind")
def scene_network(stage):
    """ours → theirs: two Conduit nodes find each other through them. theirs → ours: they find it, and
    talk to it."""
    with ExitStack() as stack:
        if stage.client_name != "ours":
            peers = foreign_network(stack, stage, stage.client_name)
            provider = node(stack, "--bootstrap", peers[-1].addr, "--backend", "echo:")
            for peer in peers:
                for key in KEYS:
                    expect(finds(peer, key, provider.peer), f"{peer.name} finds no provider of {key}")
            peers[1].do("ping", addr=provider.address)
            known = peers[2].do("http", addr=provider.address, method="GET",
                                path="/.well-known/libp2p/protocols", headers={})
            expect(known["status"] == 200, f"status {known['status']}")
            return
        peers = foreign_network(stack, stage, stage.server_name)
        provider = node(stack, "--bootstrap", peers[-1].addr, "--backend", "echo:")
        consumer = node(stack, "--bootstrap", peers[1].addr)
        consumer.wait_model("echo", 30)  # unasked: nobody but the DHT, all theirs, can tell
        status, _, answer = consumer.chat("echo", text="through strangers")
        expect(status == 200, f"status {status}: {answer}")
        expect("through strangers" in str(answer), f"{answer}")
        peers[0].stop()  # and it does not hang on one of them
        expect(finds(peers[2], KEYS[0], provider.peer), "not found any more")
