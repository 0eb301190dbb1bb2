# SPDX-License-Identifier: MIT
"""Avahi on a host of the site, with a D-Bus of its own: a third opinion on mDNS."""
import os, pathlib, subprocess, tempfile
from lan import Skip, wait_for
from lib import spawn

HERE = pathlib.Path(__file__).resolve().parent
BUS = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><listen>unix:path={dir}/bus</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/>
<allow user="*"/></policy></busconfig>
"""
CONF = "[server]\nuse-ipv4=yes\nuse-ipv6=yes\nallow-interfaces=eth0\nenable-dbus=yes\n[publish]\ndisable-publishing=yes\n"


class Avahi:
    def __init__(self, site, host):
        words = subprocess.run([HERE / "setup.sh"], capture_output=True, text=True, timeout=400).stdout.split(None, 2)
        if len(words) < 3 or words[1] != "run":
            raise Skip("avahi: " + (words[2].strip() if len(words) > 2 else "test/net/setup.sh said nothing"))
        root = pathlib.Path(words[2].strip())
        self.dir = tempfile.mkdtemp(prefix="conduit-avahi-")
        libs = ":".join(str(p) for p in [*root.glob("usr/lib/*-linux-gnu"), *root.glob("lib/*-linux-gnu")])
        self.env = {**os.environ, "LD_LIBRARY_PATH": libs, "DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={self.dir}/bus"}
        pathlib.Path(self.dir, "bus.conf").write_text(BUS.format(dir=self.dir))
        pathlib.Path(self.dir, "avahi.conf").write_text(CONF)
        self.log = open(os.path.join(self.dir, "log"), "w+")
        self.browser = site.exec(host, str(root / "usr/bin/avahi-browse"))
        bus = self.start([str(root / "usr/bin/dbus-daemon"), "--nofork", "--config-file", f"{self.dir}/bus.conf"])
        wait_for("the bus", lambda: os.path.exists(f"{self.dir}/bus") or bus.poll() is not None, 5)
        # Its folder under /run and its user are built in: it gets a /run and a passwd of its own.
        for name, line in (("passwd", "avahi:x:0:0::/:/bin/false\n"), ("group", "avahi:x:0:\n")):
            pathlib.Path(self.dir, name).write_text(pathlib.Path("/etc", name).read_text() + line)
        own = (f"mount -t tmpfs none /run && mount --bind {self.dir}/passwd /etc/passwd && "
               f"mount --bind {self.dir}/group /etc/group && exec \"$@\"")
        self.daemon = self.start(site.exec(host, "unshare", "-m", "sh", "-c", own, "-", str(root / "usr/sbin/avahi-daemon"),
                                           "--no-drop-root", "--no-chroot", "--no-rlimits", "-f", f"{self.dir}/avahi.conf"))
        try:
            wait_for("avahi answers", lambda: self.browse("-a", timeout=5) is not None or self.daemon.poll() is not None, 10)
            alive = self.daemon.poll() is None
        except AssertionError:
            alive = False
        if not alive:
            self.log.seek(0)
            why = self.log.read().strip().splitlines()
            self.close()
            raise Skip(f"avahi does not run here: {why[-1] if why else 'it says nothing'}")

    def start(self, argv):
        return spawn(argv, env=self.env, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)

    def browse(self, *what, timeout=10):
        """What avahi-browse prints for scripts; None when the daemon is not there."""
        r = subprocess.run([*self.browser, "-r", "-p", "-t", *what], env=self.env, capture_output=True, text=True, timeout=timeout)
        return r.stdout if r.returncode == 0 else None

    def close(self):
        import lib, shutil
        for p in [p for p in lib._procs if p.args and self.dir in " ".join(map(str, p.args))]:
            p.terminate()
            p.wait(5)
        self.log.close()
        shutil.rmtree(self.dir, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()
