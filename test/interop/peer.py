# SPDX-License-Identifier: MIT
"""A peer program and what may be said to it: the command protocol of README.md, seen from outside.

The hard thing is that a peer may hang, die, or answer late: every wait has a deadline, answers are
matched by id, and whatever was started is ended, also when the driver is interrupted.
"""
import json
import queue
import signal
import subprocess
import threading
import time

READY_S = 60
ANSWER_S = 60  # twice what a peer allows itself: it answers with an error before that
KAD = "/conduit/kad/1.0.0"


class Failure(Exception):
    """What a test found wrong."""


class Skip(Exception):
    """Why a test cannot run on this machine."""


class Lacks(Exception):
    """What a peer does not have, so that there is nothing to test."""


# ---- a peer ----------------------------------------------------------------------------------


class Peer:
    """A running peer program. Used as a context manager: leaving ends it."""

    def __init__(self, name, command, log, *options, host=None):
        """`host` is a place in a network of namespaces (world.py); without one it is loopback."""
        self.name = name
        self.log = log
        self.answers = {}
        self.arrived = threading.Condition()
        self.next_id = 0
        self.ready = queue.Queue()
        self.ended = False
        listen = f"/ip4/{host.ip if host else '127.0.0.1'}/tcp/0"
        self.process = subprocess.Popen(
            [*(host.prefix if host else ()), *command, "--listen", listen, "--kad", KAD, *options],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, bufsize=1,
            start_new_session=True)
        threading.Thread(target=self._read, daemon=True).start()
        try:
            ready = self.ready.get(timeout=READY_S)
        except queue.Empty:
            self.stop()
            raise Failure(f"{name} said nothing within {READY_S} s") from None
        if ready is None:
            self.stop()
            raise Failure(f"{name} ended before it was ready (status {self.process.returncode})")
        self.id = ready["peer"]
        self.addr = ready["addrs"][0]
        self.lang = ready["lang"]
        self.version = ready.get("version", "")

    def _read(self):
        for line in self.process.stdout:
            try:
                answer = json.loads(line)
            except ValueError:
                self.log.write(f"[{self.name}] not JSON: {line}")
                continue
            if answer.get("event") == "ready":
                self.ready.put(answer)
                continue
            with self.arrived:
                self.answers[answer.get("id")] = answer
                self.arrived.notify_all()
        with self.arrived:
            self.ended = True
            self.arrived.notify_all()
        self.ready.put(None)

    def send(self, cmd, **fields):
        """Sends a command and returns its id."""
        with self.arrived:
            self.next_id += 1
            number = self.next_id
        try:
            self.process.stdin.write(json.dumps({"id": number, "cmd": cmd, **fields}) + "\n")
            self.process.stdin.flush()
        except OSError:
            raise Failure(f"{self.name} is gone (status {self.process.poll()})") from None
        return number

    def ask(self, cmd, **fields):
        """The answer to a command, whatever it is."""
        number = self.send(cmd, **fields)
        with self.arrived:
            self.arrived.wait_for(lambda: number in self.answers or self.ended, ANSWER_S)
            if number in self.answers:
                answer = self.answers.pop(number)
                if "unknown command" in str(answer.get("error", "")):
                    raise Lacks(f"{self.name} has no command {cmd}")
                return answer
        if self.ended:
            raise Failure(f"{self.name} died during {cmd} (status {self.process.poll()})")
        raise Failure(f"{self.name} did not answer {cmd} within {ANSWER_S} s")

    def do(self, cmd, **fields):
        """The answer to a command that must succeed."""
        answer = self.ask(cmd, **fields)
        if not answer.get("ok"):
            raise Failure(f"{self.name}: {cmd}: {answer.get('error', 'no reason given')}")
        return answer

    def until(self, done, cmd, seconds, **fields):
        """Asks again and again until `done(answer)`; the last answer, done or not."""
        deadline = time.monotonic() + seconds
        while True:
            answer = self.do(cmd, **fields)
            if done(answer) or time.monotonic() > deadline:
                return answer
            time.sleep(0.1)

    def stop(self):
        """Ends the program: asked by the end of its stdin, then told, then killed."""
        try:
            self.process.stdin.close()
        except OSError:
            pass
        for end in (None, signal.SIGTERM, signal.SIGKILL):
            if end is not None:
                self.process.send_signal(end)
            try:
                self.process.wait(2)
                return
            except subprocess.TimeoutExpired:
                continue

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def expect(condition, text):
    if not condition:
        raise Failure(text)
