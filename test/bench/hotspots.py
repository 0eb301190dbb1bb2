# SPDX-License-Identifier: MIT
"""Where the time goes: perf on the measured processes while a scenario runs, or callgrind where perf is not
allowed or is told to be (it counts instructions of user space only; the kernel's part it does not see)."""
import glob
import shutil
import signal
import subprocess
import sys
import time

import targets

SECONDS, TOP = 6, 45


def load_for(place, scenario, target, seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        place.load(*scenario.arguments(target.port, False))


def with_perf(place, scenario, target):
    data = place.dir / "perf.data"
    pids = ",".join(map(str, target.pids()))
    # cpu-clock: virtual machines have no cycle counter
    perf = subprocess.Popen(["perf", "record", "-q", "-e", "cpu-clock", "-F", "4000", "-p", pids, "-o", data],
                            stderr=subprocess.PIPE)
    load_for(place, scenario, target, SECONDS)
    perf.send_signal(signal.SIGINT)
    _, said = perf.communicate(timeout=30)
    if not data.exists():
        raise targets.Unavailable(f"perf: {said.decode(errors='replace').strip()}")
    for sort, top in (("dso", 8), ("symbol,dso", TOP)):
        out = subprocess.run(["perf", "report", "-q", "--stdio", "--no-children", "-s", sort, "-i", data],
                             stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False).stdout
        print("\n".join([line for line in out.splitlines() if line.strip()][:top]) + "\n")


def with_callgrind(place, scenario, name):
    wrapper = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={place.dir}/callgrind.%p"]
    target = targets.start(place, [name], wrapper=wrapper)[0]
    place.load(*scenario.arguments(target.port, True))
    for process in target.processes:
        process.terminate()
        process.wait(60)
    for path in sorted(glob.glob(f"{place.dir}/callgrind.*")):
        out = subprocess.run(["callgrind_annotate", "--threshold=95", path], stdout=subprocess.PIPE, text=True,
                             check=False).stdout
        print("\n".join(out.splitlines()[:TOP + 20]) + "\n")


def show(place, scenario, options):
    if options.callgrind or not shutil.which("perf"):
        with_callgrind(place, scenario, options.on)
        return 0
    started = targets.start(place, [options.on])
    if not started or not started[0].processes:
        return 1
    place.load(*scenario.arguments(started[0].port, True))
    with_perf(place, scenario, started[0])
    got = place.load(*scenario.arguments(started[0].port, True))
    print({k: got[k] for k in ("requests", "errors", "rps", "p50_us", "events_per_s", "first_p50_us")},
          file=sys.stderr)
    return 0
