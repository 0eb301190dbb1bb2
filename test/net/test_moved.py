# SPDX-License-Identifier: MIT
"""A machine that gets another address while two nodes talk, or sleeps; and the delay relay itself.

      consumer 10.9.0.1 ---- veth ---- provider 10.9.0.2, later 10.9.0.7
"""
import os, signal, subprocess, sys, time

import netns
from netns import World, lib


ECHO = """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("", 7))
print("up", flush=True)
while True:
    d, who = s.recvfrom(2048); s.sendto(d, who)
"""
ASK = """
import socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(%f); took = []
for i in range(%d):
    t = time.monotonic(); s.sendto(b"%%d" %% i, ("10.8.0.2", 7))
    try:
        s.recv(64); took.append((time.monotonic() - t) * 1000)
    except TimeoutError:
        pass
print(len(took), min(took))
"""


def echoed(w, count, timeout):
    """How many datagrams came back, and the shortest round trip in ms (the others say how busy the machine is)."""
    p = lib.spawn(["ip", "netns", "exec", w.name("b"), sys.executable, "-c", ECHO], stdout=subprocess.PIPE, text=True)
    assert p.stdout.readline() == "up\n"
    out = subprocess.run(["ip", "netns", "exec", w.name("a"), sys.executable, "-c", ASK % (timeout, count)],
                         capture_output=True, text=True, check=True).stdout.split()
    p.terminate()
    p.wait()
    p.stdout.close()
    return int(out[0]), float(out[1])


@lib.test
def the_delay_relay_delays_by_what_it_says():
    with World() as w:
        w.add("a", "b")
        w.delayed("a", "10.8.0.1", "b", "10.8.0.2", us=30000)
        n, rtt = echoed(w, 9, 1)
        assert n == 9 and 60 <= rtt < 64, (n, rtt)


@lib.test
def the_delay_relay_loses_what_it_says():
    with World() as w:
        w.add("a", "b")
        w.delayed("a", "10.8.0.1", "b", "10.8.0.2", us=100, loss=20, seed=1)
        n, _ = echoed(w, 300, 0.02)
        assert 0.53 < n / 300 < 0.75, n  # 0.8² = 64 %


@lib.test
def another_address_while_two_nodes_talk():
    with World() as w:
        w.add("c", "p")
        w.link("c", "e0", "10.9.0.1/24", "p", "e0", "10.9.0.2/24")
        provider = w.node("p", "--backend", "echo:")
        consumer = w.node("c", "--bootstrap", "/ip4/10.9.0.2/tcp/8000")
        lib.wait_for("an answer", lambda: consumer.ask()[0] == 200)
        w.run("p", "ip addr add 10.9.0.7/24 dev e0 && ip addr del 10.9.0.2/24 dev e0")
        # deleting the first address of a subnet takes the second one along unless told otherwise
        w.run("p", "ip addr show dev e0 | grep -q 10.9.0.7 || ip addr add 10.9.0.7/24 dev e0")
        began = time.monotonic()
        lib.wait_for("the new address is known", lambda: any(
            "/ip4/10.9.0.7/tcp/8000" in p["addresses"] for p in consumer.peers() if p["peer"] == provider.peer), 20)
        lib.wait_for("an answer from there", lambda: consumer.ask(timeout=3)[0] == 200, 20)
        took = time.monotonic() - began
        print(f"   answered {took:.1f} s after the address had changed")
        assert took < 15, took


@lib.test
def a_machine_that_slept_is_back_within_seconds():
    """The process stands still for 20 s, as in suspend; the other side gave up on it after 15."""
    with World() as w:
        w.add("c", "p")
        w.link("c", "e0", "10.9.0.1/24", "p", "e0", "10.9.0.2/24")
        provider = w.node("p", "--backend", "echo:")
        consumer = w.node("c", "--bootstrap", "/ip4/10.9.0.2/tcp/8000")
        lib.wait_for("an answer", lambda: consumer.ask()[0] == 200)
        os.kill(provider.proc.pid, signal.SIGSTOP)
        time.sleep(20)
        assert consumer.peers() == [], "the sleeper was noticed"
        os.kill(provider.proc.pid, signal.SIGCONT)
        began = time.monotonic()
        lib.wait_for("it noticed", lambda: "this machine slept" in provider.logged(), 5)
        lib.wait_for("an answer", lambda: consumer.ask(timeout=3)[0] == 200, 20)
        took = time.monotonic() - began
        print(f"   answered {took:.1f} s after it woke")
        assert took < 10, took


if __name__ == "__main__":
    netns.main()
