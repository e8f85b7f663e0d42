"""Generated data of one size, and its true counts."""

import json
import random
import subprocess
import tomllib
from array import array
from bisect import bisect_right
from collections import defaultdict
from itertools import accumulate, chain
from pathlib import Path

from .instants import DAY_MS, day_ms, ms_of, text_of

SPACES = 50
DPUS = 100
# The number of days with events: for most rows, and for those about histories.
DAYS = 90
YEAR_DAYS = 365
START = "2025-03-03"
# The number of known counts of the past.
SAMPLES = 500
# The spaces with known counts of each day. A DPU of the first and one of the last is moved halfway through.
DAILY_SPACES = (1, 2, 25, SPACES)
LATE_DAYS = 10


class Data:
    """Files as `seed generate` writes them. Ids are places in the plan, from 1."""

    spaces, dpus = SPACES, DPUS
    start_ms = day_ms(START)

    def __init__(self, folder, events, seed, days=DAYS):
        self.events, self.days = events, days
        self.end_ms = self.start_ms + days * DAY_MS
        self.folder = Path(folder) / f"events-{events}-days-{days}"
        self.csv, self.plan = self.folder / "events.csv", self.folder / "plan.toml"
        self.folder.mkdir(parents=True, exist_ok=True)
        finished = self.folder / "truth.json"
        if not finished.exists():
            subprocess.run([seed, "generate", "--events", str(events), "--days", str(days), "--dpus", str(DPUS),
                            "--spaces", str(SPACES), "--start", START, "--seed", "7", "--csv", self.csv,
                            "--plan", self.plan], check=True, stdout=subprocess.DEVNULL)
            finished.write_text(json.dumps(truth(self.csv, self.plan, self.start_ms, self.end_ms)))
        known = json.loads(finished.read_text())
        self.rows, self.past, self.now = known["rows"], known["past"], known["now"]
        self.names, self.doors = known["names"], known["doors"]
        # For each day of some spaces: the count at its end, entrances and exits.
        self.daily = {space: list(map(tuple, each_day)) for space, each_day in known["daily"]}

    def late(self):
        """Returns a file with the same rows, each late by up to ten days, in the order of arrival."""
        path = self.folder / "late.csv"
        if not path.exists():
            chance = random.Random(7)
            with open(self.csv) as file:
                header, *lines = file
            arrival = [ms_of(line[1:].partition('"')[0]) + chance.randrange(LATE_DAYS * DAY_MS) for line in lines]
            in_order = sorted(range(len(lines)), key=arrival.__getitem__)
            with open(path, "w") as file:
                file.writelines(chain([header], (lines[place] for place in in_order)))
        return path


def rows(csv):
    """Yields the rows of a generated file: instant, direction, serial."""
    with open(csv) as file:
        next(file)
        for line in file:
            ts, direction, serial = line.rstrip().replace('"', "").split(",")
            yield ms_of(ts), int(direction), serial


def truth(csv, plan, start_ms, end_ms):
    """Computes counts by brute force, from the files alone. Every server must return the same."""
    plan = tomllib.loads(Path(plan).read_text())
    seen, total = defaultdict(lambda: array("q")), 0
    for ts, direction, serial in rows(csv):
        # In a single number, so that a hundred million fit into memory.
        seen[serial].append(ts * 2 + (direction > 0))
        total += 1
    instants, sums = {}, {}
    for serial in list(seen):
        # A repeated row is one event.
        distinct = sorted(set(seen.pop(serial)))
        instants[serial] = array("q", (event >> 1 for event in distinct))
        sums[serial] = array("q", accumulate((1 if event & 1 else -1) for event in distinct))

    def odometer(serial, ts):
        """Returns the DPU's net crossings up to and including this instant."""
        place = bisect_right(instants.get(serial, ()), ts)
        return sums[serial][place - 1] if place else 0

    def crossings(serial, ts):
        """Returns the DPU's crossings up to this instant: towards it, and away from it."""
        seen_by_then, net = bisect_right(instants.get(serial, ()), ts), odometer(serial, ts)
        return (seen_by_then + net) // 2, (seen_by_then - net) // 2

    def bound(assignment, key):
        return ms_of(assignment[key]) if key in assignment else None

    def count(space, ts):
        people = 0
        for assignment in plan["assignment"]:
            if assignment["space"] != space:
                continue
            starts_at, ends_at = bound(assignment, "starts_at"), bound(assignment, "ends_at")
            until = ts if ends_at is None else min(ts, ends_at - 1)
            added = odometer(assignment["dpu"], until)
            if starts_at is not None:
                added = added - odometer(assignment["dpu"], starts_at - 1) if until >= starts_at else 0
            people += added if assignment["placement"] == "inside" else -added
        return people

    def passed(space, start, end):
        """Returns the number of people who entered and who left the space in `[start, end)`."""
        entrances, exits = 0, 0
        for assignment in plan["assignment"]:
            starts_at, ends_at = bound(assignment, "starts_at"), bound(assignment, "ends_at")
            first = start if starts_at is None else max(start, starts_at)
            until = end if ends_at is None else min(end, ends_at)
            if assignment["space"] != space or first >= until:
                continue
            before, after = crossings(assignment["dpu"], first - 1), crossings(assignment["dpu"], until - 1)
            toward, away = after[0] - before[0], after[1] - before[1]
            entered, left = (toward, away) if assignment["placement"] == "inside" else (away, toward)
            entrances, exits = entrances + entered, exits + left
        return entrances, exits

    def each_day(space):
        return [(count(space, day + DAY_MS - 1), *passed(space, day, day + DAY_MS))
                for day in range(start_ms, end_ms, DAY_MS)]

    names = [space["name"] for space in plan["space"]]
    door = {dpu["serial"]: dpu["name"] for dpu in plan["dpu"]}
    doors = [sorted(door[assignment["dpu"]] for assignment in plan["assignment"]
                    if assignment["space"] == name and "ends_at" not in assignment) for name in names]
    chance = random.Random(7)
    moments = [(chance.randint(1, len(names)), chance.randrange(start_ms, end_ms)) for _ in range(SAMPLES)]
    return {
        "rows": total,
        "names": names,
        "doors": doors,
        "now": [count(name, end_ms) for name in names],
        "past": [(space, text_of(ts), count(names[space - 1], ts)) for space, ts in moments],
        "daily": [(space, each_day(names[space - 1])) for space in DAILY_SPACES],
    }


def write_for_peers(data, folder):
    """Writes the data as the peers' files: ids instead of names, and each event once."""
    folder.mkdir(parents=True, exist_ok=True)
    plan = tomllib.loads(data.plan.read_text())
    spaces = {space["name"]: number for number, space in enumerate(plan["space"], 1)}
    dpus = {dpu["serial"]: number for number, dpu in enumerate(plan["dpu"], 1)}
    before = text_of(data.start_ms - DAY_MS)

    def write(name, header, lines):
        with open(folder / name, "w") as file:
            file.write(header + "\n")
            file.writelines(",".join(map(str, line)) + "\n" for line in lines)

    write("spaces.csv", "id,name", ((number, name) for name, number in spaces.items()))
    write("dpus.csv", "id,name", ((dpus[dpu["serial"]], dpu["name"]) for dpu in plan["dpu"]))
    write("assignments.csv", "dpu_id,space_id,multiplier,starts_at,ends_at", (
        (dpus[assignment["dpu"]], spaces[assignment["space"]], 1 if assignment["placement"] == "inside" else -1,
         assignment.get("starts_at", before), assignment.get("ends_at", "")) for assignment in plan["assignment"]))

    def once():
        seen = set()
        for ts, direction, serial in rows(data.csv):
            event = (ts * 2 + (direction > 0)) * 1000 + dpus[serial]
            if event not in seen:
                seen.add(event)
                yield text_of(ts), direction, dpus[serial]

    write("events.csv", "timestamp,direction,dpu_id", once())
    span = {"start": text_of(data.start_ms), "end": text_of(data.end_ms)}
    meta = {"spaces": len(spaces), "dpus": len(dpus), "events": data.events, "days": data.days, **span}
    (folder / "meta.json").write_text(json.dumps(meta))
