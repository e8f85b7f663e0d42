"""SQLite on a disk that is full, and on one that fails to write."""

import os
import re
import shutil
import subprocess
import time
from collections import Counter

from .stage import Skipped, say, wait_until


def events():
    """Yields events to test a server with, all different, because a repeated event needs no disk space. They do not
    count for any space."""
    for minute in range(24 * 60):
        yield f'{{"timestamp":"2025-03-02T{minute // 60:02}:{minute % 60:02}:00Z","direction":1,"dpu_id":"F-spare"}}'


def full(stage):
    """The disk is full for a while: refused events are reported as such, and all others are kept."""
    room = small_disk(stage)
    database = stage.sqlite(room)
    fleet = stage.fleet(database, dpus=100, spaces=10, events=45_000 if stage.short else 60_000, batch=100)
    server = stage.serve(database)
    ballast, spare = room / "ballast", events()
    with fleet.sending(server.url, rate=10_000, timeout=5) as sending:
        for _ in range(2 if stage.short else 5):
            stage.wait(0.3, 0.6)
            fill(ballast)
            told = wait_for_refusal(server, spare)
            say(f"on a full disk a sender is told: {told}")
            # Stored data can still be read.
            wait_until(server.process.ready, "the server answers on a full disk", 5)
            ballast.unlink()
        say(f"the server lives: {server.process.running()}; {shutil.disk_usage(room).free // 1024} KiB are free again")
        if not server.process.running():
            server.process.start()
        if not sending.running():
            raise SystemExit("everything was sent before the disk was full: the fault did not happen")
        # The rest of the fleet's events needs a larger disk.
        subprocess.run(["mount", "-o", "remount,size=64m", room], check=True)
    fleet.check(server)
    stage.verify(database)


def small_disk(stage, mebibytes=8):
    """Mounts a disk of a few MiB, until the stage closes."""
    room = stage.folder / "tmpfs"
    room.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m", "tmpfs", room], stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, text=True)
    if mounted.returncode:
        raise Skipped(f"a small disk cannot be mounted here: {mounted.stdout.strip()}")
    stage.endings.append(lambda: subprocess.run(["umount", "-l", room], check=False))
    return room


def fill(path):
    """Fills the disk."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    try:
        while True:
            os.write(file, b"\0" * 4096)
    except OSError:
        os.close(file)


def wait_for_refusal(server, spare):
    """Sends events until one is refused with 503. All others must be accepted with 200."""
    answers = []

    def refused():
        answers.append(server.post(next(spare)))
        return answers[-1][0] == 503
    wait_until(refused, "the server refuses an event with 503", 20)
    statuses = Counter(status for status, _ in answers)
    if set(statuses) - {200, 503}:
        raise SystemExit(f"unexpected answers: {answers}")
    return answers[-1][1]


def flush_errors(stage):
    """Flushes fail now and then: an event is acknowledged only if it is on the disk."""
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
    # Once more with the contents of the file, as after a power cut.
    server.process.kill()
    again = stage.serve(database)
    fleet.check(again)
    stage.verify(database)
