# SPDX-License-Identifier: MIT
"""A site of network namespaces: a switch, hosts on it, and a router whose uplink leads to the rest of the world.

      a 10.77.0.2 ══╗                          nft counts every packet
      b 10.77.0.3 ══╬══ switch ══ router 10.77.0.1 ──uplink── world 198.51.100.1
      c 10.77.0.4 ══╝                  (not forwarding until asked to)

A host's own counter `leaving` counts what it sends beyond the LAN, whether or not there is a way. Names carry the
pid of the test; what a dead one left behind is removed by the next. Root only."""
import http.client, json, os, shutil, socket, subprocess, sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
from lib import Node, Skip, wait_for  # noqa: F401 (for the tests)

COUNT = """
table inet conduit_test {
    counter leaving { }
    chain out { type filter hook output priority filter; policy accept;
        oifname "lo" accept
        ip daddr { 10.77.0.0/24, 224.0.0.0/4, 255.255.255.255 } accept
        ip6 daddr { fe80::/10, ff00::/8, fd77::/64 } accept
        counter name leaving
    }
}
"""
UPLINK = """
table inet conduit_test {
    counter leaving { }
    chain out { type filter hook postrouting priority filter; policy accept; oifname "up0" counter name leaving; }
}
"""


def run(*argv, stdin=None, check=True):
    r = subprocess.run(argv, input=stdin, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=20)
    if check and r.returncode:
        raise AssertionError(f"{' '.join(argv)}: {r.stdout.strip()}")
    return r.stdout


def remove_dead():
    for line in run("ip", "netns", "list").splitlines():
        name = line.split()[0]
        if not name.startswith("cdl"):
            continue
        pid = name[3:].split("-")[0]
        if pid.isdigit() and not os.path.exists(f"/proc/{pid}"):
            run("ip", "netns", "delete", name, check=False)


class Site:
    def __init__(self, hosts="ab"):
        if os.geteuid() != 0:
            raise Skip("needs root, for network namespaces")
        if not (shutil.which("ip") and shutil.which("nft")):
            raise Skip("needs ip and nft (iproute2, nftables)")
        remove_dead()
        self.mark, self.names = f"cdl{os.getpid()}-", []
        try:
            for name in ["sw", "router", "world", *hosts]:
                self.add(name)
            self.ip("sw", "link", "add", "br0", "type", "bridge", "mcast_snooping", "0")
            self.ip("sw", "link", "set", "br0", "up")
            self.plug("router", "10.77.0.1/24")
            for i, host in enumerate(hosts):
                self.plug(host, f"10.77.0.{2 + i}/24", f"fd77::{2 + i}/64")
                self.nft(host, COUNT)
            self.uplink()
        except (AssertionError, FileNotFoundError) as e:
            self.close()
            raise Skip(f"network namespaces cannot be made here: {e}")

    def ns(self, name):
        return self.mark + name

    def exec(self, name, *argv):
        return ["ip", "netns", "exec", self.ns(name), *argv]

    def ip(self, name, *argv):
        return run("ip", "-n", self.ns(name), *argv)

    def nft(self, name, rules):
        run(*self.exec(name, "nft", "-f", "-"), stdin=rules)

    def add(self, name):
        run("ip", "netns", "add", self.ns(name))
        self.names.append(name)
        self.ip(name, "link", "set", "lo", "up")

    def plug(self, name, *addrs, device="eth0"):
        """A cable from the host to the switch."""
        port = f"{name}-{device}"[:15]
        self.ip(name, "link", "add", device, "type", "veth", "peer", "name", port, "netns", self.ns("sw"))
        self.ip("sw", "link", "set", port, "master", "br0", "up")
        for a in addrs:
            self.ip(name, "addr", "add", a, "dev", device, *(["nodad"] if ":" in a else []))
        self.ip(name, "link", "set", device, "up")

    def unplug(self, name, device="eth0"):
        self.ip(name, "link", "delete", device)

    def uplink(self):
        self.ip("router", "link", "add", "up0", "type", "veth", "peer", "name", "eth0", "netns", self.ns("world"))
        run(*self.exec("router", "sysctl", "-qw", "net.ipv6.conf.up0.disable_ipv6=1"))
        run(*self.exec("world", "sysctl", "-qw", "net.ipv6.conf.eth0.disable_ipv6=1"))
        self.ip("router", "addr", "add", "198.51.100.2/24", "dev", "up0")
        self.ip("world", "addr", "add", "198.51.100.1/24", "dev", "eth0")
        self.ip("router", "link", "set", "up0", "up")
        self.ip("world", "link", "set", "eth0", "up")
        self.ip("world", "route", "add", "10.77.0.0/24", "via", "198.51.100.2")
        self.nft("router", UPLINK)

    def open_route(self, hosts):
        """The way out is there (again)."""
        run(*self.exec("router", "sysctl", "-qw", "net.ipv4.ip_forward=1"))
        for h in hosts:
            self.ip(h, "route", "add", "default", "via", "10.77.0.1")

    def leaving(self, name):
        """Packets counted on their way out."""
        got = json.loads(run(*self.exec(name, "nft", "-j", "list", "counter", "inet", "conduit_test", "leaving")))
        return next(x["counter"]["packets"] for x in got["nftables"] if "counter" in x)

    def close(self):
        for name in reversed(self.names):
            run("ip", "netns", "delete", self.ns(name), check=False)
        self.names = []

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def node(self, host, *args, **kw):
        return NetNode(self, host, *args, **kw)


class Control(http.client.HTTPConnection):
    """HTTP to a node's control socket, which has no namespace."""

    def __init__(self, path, timeout):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class NetNode(Node):
    """A node on a host of the site: as a user starts it, on all interfaces, with mDNS."""

    def __init__(self, site, host, *args, env=None, **kw):
        self.site, self.host = site, host
        super().__init__(*args, env={"CONDUIT_MDNS": "1", **(env or {})}, wrapper=site.exec(host), ports=False, **kw)

    def request(self, method, path, body=None, headers=None, timeout=30):
        c = Control(os.path.join(self.dir, "data", "control.sock"), timeout)
        data = body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode()
        c.request(method, path, data, {**({"Content-Type": "application/json"} if data is not None else {}), **(headers or {})})
        r = c.getresponse()
        out = r.status, {k.lower(): v for k, v in r.getheaders()}, r.read()
        c.close()
        return out

    def peers(self):
        return {p["peer"]: p for p in self.get("/conduit/v1/peers")[1]["peers"]}
