"""A disk that is full, and one that fails to write, below SQLite."""

import os
import re
import shutil
import subprocess
import time
from collections import Counter

from .stage import Skipped, say, wait_until


def events():
    """Events that a server is tried out with, each another one: what is recorded already needs no room. They count for
    no space."""
    for minute in range(24 * 60):
        yield f'{{"timestamp":"2025-03-02T{minute // 60:02}:{minute % 60:02}:00Z","direction":1,"dpu_id":"F-spare"}}'


def full(stage):
    """The disk is full, and later there is room again: what is refused is said to be, and the rest is kept."""
    room = small_disk(stage)
    database = stage.sqlite(room)
    fleet = stage.fleet(database, dpus=100, spaces=10, events=30_000 if stage.short else 60_000, batch=100)
    server = stage.serve(database)
    ballast, spare = room / "ballast", events()
    with fleet.sending(server.url, rate=10_000, timeout=5) as sending:
        for _ in range(2 if stage.short else 5):
            stage.wait(0.3, 0.6)
            fill(ballast)
            told = wait_for_refusal(server, spare)
            say(f"on a full disk a sender is told: {told}")
            # What is stored can be read all the same.
            wait_until(server.process.ready, "the server answers on a full disk", 5)
            ballast.unlink()
        say(f"the server lives: {server.process.running()}; {shutil.disk_usage(room).free // 1024} KiB are free again")
        if not server.process.running():
            server.process.start()
        if not sending.running():
            raise SystemExit("everything was sent before the disk was full: the fault did not happen")
        # The rest of the fleet's events wants more.
        subprocess.run(["mount", "-o", "remount,size=64m", room], check=True)
    fleet.check(server)
    stage.verify(database)


def small_disk(stage, mebibytes=8):
    """A folder on a disk of a few MiB, which is gone when the stage closes."""
    room = stage.folder / "tmpfs"
    room.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m", "tmpfs", room], stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, text=True)
    if mounted.returncode:
        raise Skipped(f"a small disk cannot be mounted here: {mounted.stdout.strip()}")
    stage.endings.append(lambda: subprocess.run(["umount", "-l", room], check=False))
    return room


def fill(path):
    """Takes all the room that is left."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    try:
        while True:
            os.write(file, b"\0" * 4096)
    except OSError:
        os.close(file)


def wait_for_refusal(server, spare):
    """Sends one event after the other until an answer says that it cannot be recorded; other answers say that it is."""
    answers = []

    def refused():
        answers.append(server.post(next(spare)))
        return answers[-1][0] == 503
    wait_until(refused, "the server says 503 to what it cannot record", 20)
    statuses = Counter(status for status, _ in answers)
    if set(statuses) - {200, 503}:
        raise SystemExit(f"answers that nobody can make sense of: {answers}")
    return answers[-1][1]


def flush_errors(stage):
    """Flushes fail now and then: an event is acknowledged when it is on the disk, and not otherwise."""
    if not shutil.which("strace"):
        raise Skipped("strace is not installed")
    traced = subprocess.run(["strace", "-f", "-o", os.devnull, "true"], stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True)
    if traced.returncode:
        raise Skipped(f"processes cannot be traced here: {traced.stdout.strip()}")
    database = stage.sqlite()
    fleet = stage.fleet(database, dpus=50, spaces=10, events=4_000 if stage.short else 40_000, batch=20)
    log = stage.folder / "flushes"
    wrap = ["strace", "-f", "-qq", "-o", log, "-e", "trace=fdatasync,fsync", "-e",
            "inject=fdatasync,fsync:error=EIO:when=20+10"]
    server = stage.serve(database, wrap=wrap)
    with fleet.sending(server.url, rate=2_000, timeout=10, senders=4):
        time.sleep(0.5)
    failed = len(re.findall(r"\(INJECTED\)", log.read_text()))
    if not failed:
        raise SystemExit("no flush failed: the fault did not happen")
    say(f"{failed} flushes failed")
    fleet.check(server)
    # Once more, as after a power cut: by what is in the file.
    server.process.kill()
    again = stage.serve(database)
    fleet.check(again)
    stage.verify(database)
