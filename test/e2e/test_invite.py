#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Who may use this node: private networks, lists of peers, invites. Real processes on loopback."""
import json, os, random, socket, stat, tempfile, time
from lib import *


def free_port():
    """Outside the range from which the kernel gives ports to others meanwhile."""
    while True:
        p = random.randrange(20000, 32000)
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", p))
                return p
            except OSError:
                continue


def key_file(d, name="swarm.key"):
    path = os.path.join(d, name)
    r = cli("key", "psk", path)
    assert r.returncode == 0 and path in r.stdout, r
    return path


@test
def a_network_key_is_made_once_for_this_user_alone():
    with tempfile.TemporaryDirectory() as d:
        path = key_file(d)
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
        text = open(path).read()
        assert text.startswith("/key/swarm/psk/1.0.0/\n/base16/\n") and len(text) == 96
        r = cli("key", "psk", path)
        assert r.returncode == 1 and "already" in r.stderr and open(path).read() == text
        assert text.split()[2] not in r.stdout + r.stderr
        piped = cli("key", "psk")
        assert piped.stdout.startswith("/key/swarm/psk/1.0.0/\n") and piped.stdout != text


@test
def a_key_file_that_is_none_says_what_is_wrong():
    with tempfile.TemporaryDirectory() as d:
        path = os.path.join(d, "bad.key")
        open(path, "w").write("/key/swarm/psk/1.0.0/\n/base16/\n123\n")
        r = cli("up", "--data-dir", d, "--psk", path, "--p2p-port", "0", "--http-port", "0")
        assert r.returncode == 1 and path in r.stderr and "64 hexadecimal digits" in r.stderr, r
        r = cli("up", "--data-dir", d, "--psk", path + "x", "--p2p-port", "0", "--http-port", "0")
        assert r.returncode == 1 and "not found" in r.stderr, r


@test
def a_private_network_serves_who_has_its_key_and_nobody_else():
    with tempfile.TemporaryDirectory() as d:
        key, other = key_file(d), key_file(d, "other.key")
        with Node("--psk", key, "--backend", "e=echo:", "--log-level", "info") as a, \
             Node("--psk", key, "--bootstrap", a.address) as b, \
             Node("--bootstrap", a.address) as c, \
             Node("--psk", other, "--bootstrap", a.address) as e:
            b.wait_model("e")
            s, _, answer = b.chat("e", "hello there")
            assert s == 200 and "hello there" in answer["choices"][0]["message"]["content"], answer
            wait_for("the one without a key is told", lambda: "--psk" in c.logged())
            wait_for("the one with another key is told", lambda: "not in this private network" in e.logged())
            assert c.models() == [] and e.models() == []
            wait_for("and so is the node itself", lambda: "not in this private network" in a.logged())
            assert [p["peer"] for p in a.get("/conduit/v1/peers")[1]["peers"]] == [b.peer]
            status = a.cli("status").stdout
            secret = open(key).read().split()[2]
            assert "private network" in status
            for n in (a, b, c, e):
                assert secret not in n.logged()


@test
def a_key_that_others_may_read_is_a_warning():
    with tempfile.TemporaryDirectory() as d:
        path = key_file(d)
        os.chmod(path, 0o644)
        with Node("--psk", path) as n:
            assert "chmod 600" in n.logged()
        os.chmod(path, 0o600)
        with Node("--psk", path) as n:
            assert "chmod" not in n.logged()


# --- invites ---

def invite(n, *args):
    r = n.cli("invite", *args)
    assert r.returncode == 0, r
    text = r.stdout.strip()
    assert text.startswith("conduit1:") and "\n" not in text, r
    return text


def invites(n):
    return json.loads(n.cli("invite", "list", "--json").stdout)["invites"]


def chat_code(n, model="e", text="hello"):
    s, _, b = n.chat(model, text)
    return s, (b.get("error") or {}).get("code")


@test
def mistakes_in_an_invite_are_said():
    with Node("--invite-only", "--backend", "e=echo:") as a:
        for bad in (["--hours", "8-22"], ["--hours", "08:00"], ["--hours", "25:00-26:00"], ["--expires", "soon"]):
            r = a.cli("invite", *bad)
            assert r.returncode == 2 and bad[0] in r.stderr and not r.stdout, (bad, r)
        r = a.cli("invite", "--name", "Bob", "--hours", "08:00-22:00", "--models", "e,tyop")
        assert r.returncode == 0 and r.stdout.startswith("conduit1:") and "no model 'tyop' now" in r.stderr and "'e'" not in r.stderr, r
        r = a.cli("invite", "revoke", "Eve")
        assert r.returncode == 1 and "there is no invite 'Eve'; conduit invite list" in r.stderr, r
        (bob,) = [i["id"][:8] for i in invites(a)]
        invite(a, "--name", bob)  # a name that is the ID of another
        r = a.cli("invite", "revoke", bob)
        assert r.returncode == 1 and f"'{bob}' means 2 invites" in r.stderr and all(i["id"][:8] in r.stderr for i in invites(a)), r
        assert a.cli("invite", "revoke", "Bob").returncode == 0
        assert a.cli("invite", "revoke", bob).returncode == 0
        assert [i["state"] for i in invites(a)] == ["revoked"] * 2


@test
def a_friend_needs_the_text_and_nothing_else():
    with Node("--invite-only", "--backend", "e=echo:", "--backend", "f=echo:", "--log-level", "info") as a:
        text = invite(a, "--name", "Ann", "--models", "e", "--requests-per-day", "4")
        assert len(text) < 300, len(text)
        (row,) = invites(a)
        assert row["state"] == "waiting" and row["guest"] == "" and row["models"] == ["e"], row
        with Node("--join", text) as b:
            assert chat_code(b) == (200, None)
            assert b.models() == ["e"]  # and not f
            assert chat_code(b, "f")[0] == 404
            (row,) = invites(a)
            assert row["state"] == "in use" and row["guest"] == b.peer and row["requests_today"] == 1, row
            assert row["tokens_today"] > 0, row
            status = b.cli("status").stdout
            assert "guest of" in status and "accepted" in status and a.peer in status, status
            status = a.cli("status").stdout
            assert "guests with an invite" in status and "guests 1" in status, status
            table = a.cli("invite", "list").stdout
            assert "Ann" in table and "1 of 4" in table and b.peer in table
            with Node("--join", text) as c:
                wait_for("another one is told", lambda: "showed it first" in c.logged())
                assert chat_code(c)[0] == 404
                assert "refused" in c.cli("status").stdout
                assert "showed it first" in c.cli("doctor").stdout
            assert chat_code(b) == (200, None)
            r = a.cli("invite", "revoke", "Ann")
            assert r.returncode == 0, r
            assert chat_code(b) == (403, "invite_needed")
            wait_for("its models are gone", lambda: b.models() == [])
            assert invites(a)[0]["state"] == "revoked"
            for n in (a, b, c):
                assert text[9:40] not in n.logged() if n is not c else True
        assert stat.S_IMODE(os.stat(os.path.join(a.dir, "data", "invites.cbor")).st_mode) == 0o600


@test
def who_was_sent_away_is_out_also_where_everybody_is_served():
    with Node("--backend", "e=echo:") as a:
        with Node("--join", invite(a, "--name", "Ann")) as b, Node("--bootstrap", a.address) as c:
            assert chat_code(b) == (200, None)
            r = a.cli("invite", "revoke", "Ann")
            assert r.returncode == 0, r
            assert chat_code(b) == (403, "invite_needed")
            assert chat_code(c) == (200, None)


@test
def a_revocation_that_cannot_be_kept_is_said_to_be_so():
    with Node("--invite-only", "--backend", "e=echo:") as a, Node("--join", invite(a, "--name", "Ann")) as b:
        assert chat_code(b) == (200, None)
        path = os.path.join(a.dir, "data", "invites.cbor")
        os.remove(path)
        os.mkdir(path)  # nothing can be put in its place
        r = a.cli("invite", "revoke", "Ann")
        assert r.returncode == 1 and "cannot be written" in r.stderr, r
        assert chat_code(b) == (403, "invite_needed")  # yet it holds no longer
        os.rmdir(path)


@test
def the_text_may_come_from_a_file_or_the_environment():
    with Node("--invite-only", "--backend", "e=echo:") as a, tempfile.TemporaryDirectory() as d:
        path = os.path.join(d, "invite.txt")
        text = invite(a)
        open(path, "w").write("\n".join(text[i:i + 60] for i in range(0, len(text), 60)) + "\r\n")  # as mail folds it
        with Node("--join", path) as b:
            assert chat_code(b) == (200, None)
        with Node(env={"CONDUIT_JOIN": invite(a, "--name", "other")}) as c:
            assert chat_code(c) == (200, None)


@test
def a_slip_of_the_pen_is_said_to_be_one():
    with Node("--backend", "e=echo:") as a, tempfile.TemporaryDirectory() as d:
        text = invite(a)
        wrong = text[:50] + ("A" if text[50] != "A" else "B") + text[51:]
        for bad, say in ((wrong, "missing or was changed"), (text[:-1], "missing or was changed"),
                         (text[1:], "neither an invite"), ("nonsense", "neither an invite")):
            r = cli("up", "--data-dir", d, "--join", bad, "--p2p-port", "0", "--http-port", "0")
            assert r.returncode == 1 and say in r.stderr, (bad, r)
            assert text[12:40] not in r.stderr


@test
def what_was_bound_and_used_survives_a_kill():
    with Node("--invite-only", "--backend", "e=echo:", "--p2p-port", str(free_port())) as a:
        text = invite(a, "--requests-per-day", "3")
        with Node("--join", text) as b:
            assert chat_code(b) == (200, None)
            a.kill()
            again = Node("--invite-only", "--backend", "e=echo:", "--p2p-port", a.address.split("/")[4], dir=a.dir)
            with again:
                (row,) = invites(again)
                assert row["guest"] == b.peer and row["requests_today"] == 1, row
                wait_for("the guest is back", lambda: "e" in b.models(), 40)
                assert chat_code(b) == (200, None)
                assert chat_code(b) == (200, None)
                assert chat_code(b) == (429, "invite_requests_used")


@test
def an_invite_expires():
    with Node("--invite-only", "--backend", "e=echo:") as a:
        text = invite(a, "--expires", "3s")
        with Node("--join", text) as b:
            assert chat_code(b) == (200, None)
            wait_for("it is over", lambda: chat_code(b)[0] == 403, 10)
        with Node("--join", text) as c:
            wait_for("who comes too late is told", lambda: "expired; ask for a new one" in c.logged())


@test
def an_invite_into_a_private_network_carries_its_key():
    with tempfile.TemporaryDirectory() as d:
        key = key_file(d)
        with Node("--psk", key, "--invite-only", "--backend", "e=echo:") as a:
            text = invite(a)
            with Node("--join", text) as b, Node("--bootstrap", a.address) as c:
                assert chat_code(b) == (200, None)
                wait_for("without the key there is nothing", lambda: "--psk" in c.logged())
                assert json.loads(b.cli("status", "--json").stdout)["private_network"] == \
                    json.loads(a.cli("status", "--json").stdout)["private_network"]
                secret = bytes.fromhex(open(key).read().split()[2])
                assert secret not in open(os.path.join(a.dir, "data", "invites.cbor"), "rb").read()
            other = key_file(d, "other.key")
            r = cli("up", "--data-dir", os.path.join(d, "x"), "--psk", other, "--join", text, "--http-port", "0", "--p2p-port", "0")
            assert r.returncode == 1 and "different private networks" in r.stderr, r


@test
def mistakes_in_an_invite_are_sentences():
    with Node("--backend", "e=echo:") as a:
        for args, code, say in ((["--expires", "soon"], 2, "7d"), (["--requests-per-day", "0"], 2, "from 1 on"),
                                (["--hours", "8-22"], 2, "08:00-22:00"), (["--address", "a b"], 1, "multiaddr"),
                                (["--name", "x" * 60], 1, "longer than"), (["--models", ",".join("abcdefghi")], 1, "at most 8"),
                                (["revoke"], 2, "ID or NAME"), (["revoke", "nobody"], 1, "no invite"), (["nonsense"], 2, "nonsense")):
            r = a.cli("invite", *args)
            assert r.returncode == code and say in r.stderr, (args, r)
        assert "--invite-only" in a.cli("invite", "--name", "Ann").stderr  # an open node says so
        r = a.cli("invite", "--name", "Ann")
        assert r.returncode == 1 and "holds already" in r.stderr, r
        s, _, _ = a.request("POST", "/conduit/v1/invites", {})
        assert s == 403  # not over HTTP: the control socket alone
    with tempfile.TemporaryDirectory() as d:
        r = cli("invite", "--data-dir", d)
        assert r.returncode == 1 and "conduit up" in r.stderr, r


@test
def lists_of_peers_say_who_may_connect():
    with tempfile.TemporaryDirectory() as d, Node() as b, Node() as c:
        path = os.path.join(d, "friends")
        open(path, "w").write(f"# friends\n{b.peer}  # Bea\n\n")
        with Node("--allow-peer", path, "--bootstrap", f"{b.address},{c.address}", "--backend", "e=echo:", "--log-level", "info") as a:
            b.wait_model("e")
            assert chat_code(b) == (200, None)
            with Node("--bootstrap", a.address) as e:
                wait_for("a stranger is sent away", lambda: "does not admit this node" in e.logged())
                assert e.models() == []
        with Node("--deny-peer", b.peer, "--bootstrap", f"{b.address},{c.address}", "--backend", "e=echo:") as a:
            c.wait_model("e")
            assert [p["peer"] for p in a.get("/conduit/v1/peers")[1]["peers"]] == [c.peer]
            assert "not admitted" in a.logged() and "e" not in b.models()
        open(path, "w").write("12D3KooWnonsense\n")
        r = cli("up", "--data-dir", d, "--allow-peer", path, "--p2p-port", "0", "--http-port", "0")
        assert r.returncode == 1 and f"{path}:1 is not a peer id" in r.stderr, r


if __name__ == "__main__":
    main()
