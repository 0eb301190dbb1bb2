# SPDX-License-Identifier: MIT
"""A small internet of network namespaces, for the tests that loopback cannot hold.

    lan0 is one bridge with public addresses, where multicast reaches everybody:

        lan1 192.168.7.2     lan2 192.168.7.3

        a 5.5.0.2     b 5.5.0.3     relay 5.5.0.10     c 5.5.0.4 ╳ d 5.5.0.5     nat1 5.5.1.1     nat2 5.5.1.2
                                                       (no route between c and d)     |               |
                                                                               in1 10.1.0.2     in2 10.2.0.2

The addresses are public ones because go- and js-libp2p punch no holes to private ones, and those of
the LAN are private because js-libp2p tells no others by mDNS; nothing of this is connected to the machine's own network. A NAT masquerades and keeps the port where it can, and
lets in only what answers (port-restricted, which TCP gets through by dialling from both sides at once).

The hard thing: what is left behind when the driver is killed. Names carry the driver's pid, and the
next driver removes those of the dead.
"""
import os
import shutil
import subprocess

from peer import Skip

BRIDGE = "lan0"
NAT = """
table ip nat {
    chain out { type nat hook postrouting priority srcnat; oifname "e0" masquerade; }
}
table ip filter {
    chain in { type filter hook input priority filter; policy accept; iifname "e0" ct state new drop; }
    chain through { type filter hook forward priority filter; policy accept; iifname "e0" ct state new drop; }
}
"""


class Host:
    """A place where a peer can be started."""

    def __init__(self, namespace, ip):
        self.ip = ip
        self.prefix = ("ip", "netns", "exec", namespace)


def ip(*arguments, stdin=None):
    done = subprocess.run(["ip", *arguments], input=stdin, text=True, check=False,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode:
        raise Skip(f"ip {' '.join(arguments)}: {done.stdout.strip()}")


class World:
    """Built at once, and taken down by close()."""

    def __init__(self):
        if os.geteuid() != 0:
            raise Skip("needs root, for network namespaces")
        if not (shutil.which("ip") and shutil.which("nft")):
            raise Skip("needs ip and nft (iproute2, nftables)")
        self.mark = "cdi%d-"
        self.remove_dead()
        self.mark %= os.getpid()
        self.made = []
        try:
            self.build()
        except Skip:
            self.close()
            raise

    def build(self):
        self.inet = self.namespace("inet")
        self.exec(self.inet, "ip", "link", "add", BRIDGE, "type", "bridge", "mcast_snooping", "0")
        self.exec(self.inet, "ip", "link", "set", BRIDGE, "up")
        self.lan1 = self.public("lan1", "192.168.7.2")
        self.lan2 = self.public("lan2", "192.168.7.3")
        self.a = self.public("a", "5.5.0.2")
        self.b = self.public("b", "5.5.0.3")
        self.c = self.public("c", "5.5.0.4", unreachable="5.5.0.5")
        self.d = self.public("d", "5.5.0.5", unreachable="5.5.0.4")
        self.relay = self.public("relay", "5.5.0.10")
        self.in1 = self.behind_nat("1", "5.5.1.1", "10.1.0")
        self.in2 = self.behind_nat("2", "5.5.1.2", "10.2.0")

    def namespace(self, name):
        full = self.mark + name
        ip("netns", "add", full)
        self.made.append(full)
        self.exec(full, "ip", "link", "set", "lo", "up")
        return full

    def exec(self, namespace, *command, stdin=None):
        ip("netns", "exec", namespace, *command, stdin=stdin)

    def public(self, name, address, unreachable=None):
        """A host on the bridge."""
        space = self.namespace(name)
        self.exec(space, "ip", "link", "add", "e0", "type", "veth", "peer", "name", name, "netns", self.inet)
        self.exec(self.inet, "ip", "link", "set", "dev", name, "master", BRIDGE, "up")
        self.exec(space, "ip", "address", "add", address + "/16", "dev", "e0")
        self.exec(space, "ip", "link", "set", "e0", "up")
        self.exec(space, "ip", "route", "add", "default", "dev", "e0")
        if unreachable:
            self.exec(space, "ip", "route", "add", "unreachable", unreachable)
        return Host(space, address)

    def behind_nat(self, name, address, net):
        """A host behind a router of its own."""
        router = self.public("nat" + name, address).prefix[-1]
        space = self.namespace("in" + name)
        self.exec(space, "ip", "link", "add", "e0", "type", "veth", "peer", "name", "e1", "netns", router)
        self.exec(router, "ip", "address", "add", net + ".1/24", "dev", "e1")
        self.exec(router, "ip", "link", "set", "e1", "up")
        self.exec(router, "sysctl", "-qw", "net.ipv4.ip_forward=1")
        self.exec(router, "nft", "-f", "-", stdin=NAT)
        self.exec(space, "ip", "address", "add", net + ".2/24", "dev", "e0")
        self.exec(space, "ip", "link", "set", "e0", "up")
        self.exec(space, "ip", "route", "add", "default", "via", net + ".1")
        return Host(space, net + ".2")

    def remove_dead(self):
        listed = subprocess.run(["ip", "netns", "list"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                text=True, check=False)
        for line in listed.stdout.splitlines():
            name = line.split(" ")[0]
            pid = name[3:].split("-")[0]
            if name.startswith("cdi") and pid.isdigit() and not os.path.exists(f"/proc/{pid}"):
                subprocess.run(["ip", "netns", "delete", name], check=False)

    def close(self):
        for name in reversed(self.made):
            subprocess.run(["ip", "netns", "delete", name], check=False)
        self.made = []
