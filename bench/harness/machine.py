"""The machine: its processes, its description, and the cost of a flush."""

import os
import platform
import signal
import socket
import sqlite3
import statistics
import subprocess
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = b"\0" * 8192
PAGES = 1024
START_SECONDS_MAX = 60


@contextmanager
def running(command, log, address, environment=None, path="/"):
    """Runs a server, and waits until it answers. Its whole process group is ended afterwards."""
    with open(log, "wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True,
                                   env={**os.environ, **(environment or {})})
    try:
        wait_for(f"http://{address}{path}", process, log)
        yield process.pid
    finally:
        for kind in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(process.pid, kind)
                process.wait(timeout=15)
            except ProcessLookupError:
                break
            except subprocess.TimeoutExpired:
                continue
        process.wait()


def wait_for(url, process, log):
    deadline = time.monotonic() + START_SECONDS_MAX
    while True:
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return
        except urllib.error.HTTPError:
            return
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"{process.args[0]} does not answer:\n{open(log).read()}")
            time.sleep(0.05)


def answers(address):
    host, port = address.split(":")
    with socket.socket() as probe:
        return probe.connect_ex((host, int(port))) == 0


def free_address():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


def resident_mb(pid):
    return status_mb(pid, "VmRSS")


def peak_resident_mb(pid):
    return status_mb(pid, "VmHWM")


def status_mb(pid, name):
    with open(f"/proc/{pid}/status") as file:
        line = next(line for line in file if line.startswith(f"{name}:"))
    return int(line.split()[1]) / 1024


def flush_ms(folder, seconds):
    """Returns the median time of writing one page and flushing it, the minimum of a commit."""
    path, times = os.path.join(folder, "flushes"), []
    file = os.open(path, os.O_RDWR | os.O_CREAT)
    try:
        # Into a file of constant size, like a log that is overwritten.
        os.write(file, PAGE * PAGES)
        os.fsync(file)
        deadline = time.perf_counter() + seconds
        while (start := time.perf_counter()) < deadline:
            os.pwrite(file, PAGE, len(times) % PAGES * len(PAGE))
            os.fdatasync(file)
            times.append((time.perf_counter() - start) * 1000)
    finally:
        os.close(file)
        os.remove(path)
    return statistics.median(times)


def description():
    with open("/proc/cpuinfo") as file:
        model = next((line.partition(":")[2].strip() for line in file if line.startswith("model name")), "unknown")
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (f"{os.cpu_count()} × {model}, {memory_gb:.0f} GB of memory, {platform.system()} {platform.release()}; "
            f"load {os.getloadavg()[0]:.1f} when it began")


def first_line(*command):
    output = subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT).stdout
    return output.splitlines()[0].strip()


def revision():
    return "revision " + first_line("git", "-C", os.path.dirname(__file__), "describe", "--always", "--dirty")


def versions(postgres):
    known = [revision(), first_line("rustc", "--version"), first_line("wrk", "-v").partition(" Copyright")[0],
             f"Python's SQLite {sqlite3.sqlite_version}"]
    return ", ".join(known + ([f"PostgreSQL {postgres.version()}"] if postgres else []))


def add_binaries_argument(parser):
    parser.add_argument("--binaries", metavar="DIR", type=Path,
                        help="folder of release binaries; default: build them with cargo")


def release_binaries(given, *packages):
    """Returns the folder of release binaries: the given one, or cargo's, after building these packages."""
    if given:
        return given
    command = ["cargo", "build", "--release", "--locked"]
    for package in packages:
        command += ["-p", package]
    subprocess.run(command, check=True, cwd=ROOT)
    return Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release"
