"""Requests as bytes, and wrk, which sends them."""

import itertools
import json
import random
import subprocess
from dataclasses import dataclass
from pathlib import Path

from .instants import DAY_MS, text_of

SCRIPT = Path(__file__).with_name("requests.lua")
# Number of different requests per thread; a reading round repeats them.
POOL = 20_000

SPACE = "query ($id: %s!, $ts: %s) { space(id: $id) { name count(ts: $ts) dpus { name } } }"
SPACES = "{ spaces(first: 50) { nodes { id name count dpus { name } } } }"
INGEST = ("mutation ($dpu: String!, $ts: DateTime!, $direction: Direction!) "
          "{ ingest(events: [{dpu: $dpu, ts: $ts, direction: $direction}]) { accepted } }")
HISTORIES = ("query ($start: DateTime!, $end: DateTime!) { spaces(first: 50) { nodes { id "
             "history(start: $start, end: $end, interval: MONTH) { count max } } } }")


def get(path):
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()


def post(path, body):
    body = json.dumps(body, separators=(",", ":")).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    return f"{head}\r\n\r\n".encode() + body


def space_body(space, ts, id_type="ID", time_type="DateTime"):
    """Returns the query of one space as a typed client sends it: a fixed text, and variables."""
    return {"query": SPACE % (id_type, time_type), "variables": {"id": space, "ts": text_of(ts)}}


class Reads:
    """Reading requests: random spaces at random instants of the data, the same in every run."""

    def __init__(self, data):
        self.data = data

    def pairs(self, seed):
        chance = random.Random(seed)
        while True:
            yield chance.randint(1, self.data.spaces), chance.randrange(self.data.start_ms, self.data.end_ms)

    def rest_now(self, seed):
        return (get(f"/space/{space}/count") for space, _ in self.pairs(seed))

    def rest_past(self, seed):
        return (get(f"/space/{space}/count?ts={text_of(ts)}") for space, ts in self.pairs(seed))

    def rest_each_day(self):
        """Returns a count of each space on each day, to fill the cache with pages."""
        days = range(self.data.start_ms, self.data.end_ms, DAY_MS)
        return (get(f"/space/{space}/count?ts={text_of(day + DAY_MS // 2)}")
                for day in days for space in range(1, self.data.spaces + 1))

    def year_path(self, space):
        """Returns the path of a space's history by day, over all days of the data."""
        start, end = text_of(self.data.start_ms), text_of(self.data.end_ms)
        return f"/space/{space}/counts?start={start}&end={end}&interval=day"

    def rest_years(self):
        """Returns the history of each space in turn, endlessly."""
        return itertools.cycle([get(self.year_path(space)) for space in range(1, self.data.spaces + 1)])

    def graphql_years(self):
        """Returns the request body for the histories of all spaces by month."""
        variables = {"start": text_of(self.data.start_ms), "end": text_of(self.data.end_ms)}
        return {"query": HISTORIES, "variables": variables}

    def graphql_space(self, seed, **types):
        return (post("/graphql", space_body(space, ts, **types)) for space, ts in self.pairs(seed))

    def graphql_spaces(self, seed):
        return itertools.repeat(post("/graphql", {"query": SPACES}))


@dataclass
class Shot:
    """The result of one round of wrk."""

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float
    laps: int
    wrong: int

    @property
    def rate(self):
        return self.requests / self.seconds


def drive(address, folder, requests, *, connections, seconds, threads, pool=POOL):
    """Sends the requests over this many connections for this long."""
    threads = min(threads, connections)
    file = Path(folder) / "requests."
    for thread in range(threads):
        with open(f"{file}{thread}", "wb") as records:
            for request in itertools.islice(requests, pool):
                records.write(b"%08d%b" % (len(request), request))
    command = ["wrk", f"-t{threads}", f"-c{connections}", f"-d{seconds}s", "--timeout", "60s", "-s", SCRIPT,
               f"http://{address}", "--", file]
    answer = subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE).stdout
    shot = Shot(**json.loads(answer.splitlines()[-1]))
    if shot.wrong:
        raise SystemExit(f"{shot.wrong} of {shot.requests} answers from {address} were errors")
    return shot
