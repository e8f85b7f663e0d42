"""Processes that are killed, suspended and started again, and always end with the run."""

import os
import signal
import subprocess
import time
import urllib.request
from pathlib import Path

START_SECONDS_MAX = 60
END_SECONDS_MAX = 20


class Process:
    """A server process. It is killed by its own id, with its children."""

    def __init__(self, name, command, log, ready, environment=None, user=None):
        """`ready` returns whether it serves; `start` waits for that. `user`: another user to run it as."""
        self.name, self.command, self.log, self.ready = name, [str(part) for part in command], Path(log), ready
        self.environment = {**os.environ, **(environment or {})}
        self.user = user
        self.process = None

    def start(self, wait=True):
        """Starts it. Retries if it ends, because a killed process may still occupy the port."""
        deadline = time.monotonic() + START_SECONDS_MAX
        self._spawn()
        while wait and not self.ready():
            if time.monotonic() > deadline:
                raise SystemExit(f"{self.name} does not become ready:\n{self.tail()}")
            if self.process.poll() is not None:
                time.sleep(0.2)
                self._spawn()
            time.sleep(0.02)
        return self

    def _spawn(self):
        as_user = {"user": self.user, "group": self.user, "extra_groups": []} if self.user else {}
        with open(self.log, "ab") as output:
            self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                                            env=self.environment, cwd=self.log.parent, start_new_session=True, **as_user)

    def running(self):
        return self.process is not None and self.process.poll() is None

    def kill(self):
        """Kills it immediately, with all of its children."""
        if self.running():
            for child in [*children(self.process.pid), self.process.pid]:
                send(child, signal.SIGKILL)
            self.process.wait()

    def pause(self):
        send(self.process.pid, signal.SIGSTOP)

    def resume(self):
        send(self.process.pid, signal.SIGCONT)

    def ask_to_end(self):
        send(self.process.pid, signal.SIGTERM)

    def end(self):
        if not self.running():
            return
        self.resume()
        # SIGINT is PostgreSQL's fast shutdown; the other servers accept it, too.
        send(self.process.pid, signal.SIGINT)
        try:
            self.process.wait(timeout=END_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self.kill()

    def tail(self, lines=20):
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


def children(pid):
    """Returns the ids of its direct children."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                # The name is in parentheses and may contain any character.
                parent = (entry / "stat").read_text().rpartition(")")[2].split()[1]
            except (OSError, IndexError):
                continue
            if int(parent) == pid:
                found.append(int(entry.name))
    return found


def send(pid, kind):
    try:
        os.kill(pid, kind)
    except ProcessLookupError:
        pass


def answers_http(url):
    def ready():
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:
                return answer.status == 200
        except OSError:
            return False
    return ready
