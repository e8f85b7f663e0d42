"""Measures the processor time and memory of single requests, on a database with a year of events."""

import os
import statistics
import subprocess
import time
import urllib.error
import urllib.request

from . import machine

EVENTS, DPUS, SPACES, DAYS, START = 1_000_000, 1_000, 500, 365, "2025-03-03"
# The number of doorways of the last space.
DOORS = 100
CPU_S_MAX, MEMORY_MB_MAX, REFUSED_MS_MAX = 1.0, 64, 10
TICKS = os.sysconf("SC_CLK_TCK")


def prepare(binaries, folder):
    """Creates a database with a year of events, and one space with many doorways."""
    plan, csv, url = f"{folder}/plan.toml", f"{folder}/events.csv", f"sqlite://{folder}/costs.db?mode=rwc"
    subprocess.run([binaries / "seed", "generate", "--events", str(EVENTS), "--days", str(DAYS), "--dpus", str(DPUS),
                    "--spaces", str(SPACES), "--start", START, "--seed", "7", "--csv", csv, "--plan", plan],
                   check=True, stdout=subprocess.DEVNULL)
    with open(plan, "a") as file:
        file.write('\n[[space]]\nname = "Hundred doors"\n')
        for number in range(DOORS):
            file.write(f'\n[[assignment]]\ndpu = "{1001 + number}"\nspace = "Hundred doors"\nplacement = "inside"\n')
    subprocess.run([binaries / "seed", "--database-url", url, "--plan", plan, "--csv", csv], check=True,
                   stdout=subprocess.DEVNULL)
    return url


def ask(address, path, body=None, content_type="application/json", **more):
    """Returns the milliseconds until the answer, whether the request succeeded, and the answer's length."""
    headers = {"Content-Type": content_type, "Accept": "application/json", **more}
    request = urllib.request.Request(f"http://{address}{path}", body, headers)
    start = time.perf_counter()
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            text = answer.read()
            given = b'"errors"' not in text[:20] and b'"errors":[' not in text[-4096:]
    except urllib.error.HTTPError as error:
        text, given = error.read(), False
    return (time.perf_counter() - start) * 1000, given, len(text)


def cpu_s(pid):
    """Returns the processor time that a process has used, in seconds."""
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def measured(serve, act):
    """Calls `act` with the address of a freshly started server. Returns the processor time that the server used, in
    seconds, its additional memory at the peak, in MB, the latency of a count one second later, in milliseconds, and the
    result of `act`."""
    with serve() as server:
        # Memory that any first request uses in the driver does not count.
        ask(server.address, "/space/2/count")
        before = cpu_s(server.pid), machine.resident_mb(server.pid)
        result = act(server.address)
        cpu, memory = cpu_s(server.pid) - before[0], machine.peak_resident_mb(server.pid) - before[1]
        time.sleep(1)
        after_ms = statistics.median(ask(server.address, f"/space/{n}/count")[0] for n in range(2, 30))
    return cpu, memory, after_ms, result
