"""The servers that are compared, and the checks of their answers."""

import json
import os
import subprocess
import tempfile
import time
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from . import data as files
from .instants import ms_of, text_of
from .machine import answers, free_address, running
from .requests import INGEST, SPACES, post, space_body

# The port of the peers' PostgreSQL server.
PEERS_PORT = os.environ.get("PEERS_PGPORT", "55432")


@dataclass
class Server:
    address: str
    pid: int


@contextmanager
def headcount(binary, url, log, cache_bytes=None, options=()):
    address = free_address()
    cache = ["--cache-bytes", str(cache_bytes)] if cache_bytes else []
    command = [binary, "serve", "--database-url", url, "--listen", address, *cache, *options]
    with running(command, log, address, {"RUST_LOG": "warn"}, "/healthz") as pid:
        yield Server(address, pid)


def knows_cache_bytes(binary):
    told = subprocess.run([binary, "serve", "--help"], check=True, text=True, stdout=subprocess.PIPE).stdout
    return "--cache-bytes" in told


@contextmanager
def baseline(binary, log):
    address = free_address()
    with running([binary, address], log, address) as pid:
        yield Server(address, pid)


def ask(address, path, body=None):
    request = urllib.request.Request(f"http://{address}{path}", body and json.dumps(body).encode(),
                                     {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=120) as answer:
        return json.load(answer)


def check(address, data, rest=True, graphql=True, nested=False, now=True, samples=100, **types):
    """Compares answers with the known counts. Ends the run if one is wrong."""

    def same(asked, given, expected):
        if given != expected:
            raise SystemExit(f"{address} returned {given} for {asked}, not {expected}")

    for space, ts, count in data.past[:samples]:
        if rest:
            answer = ask(address, f"/space/{space}/count?ts={ts}")
            same(f"space {space} at {ts}", (answer["space_id"], answer["count"]), (space, count))
        if graphql:
            answer = ask(address, "/graphql", space_body(space, ms_of(ts), **types))["data"]["space"]
            given = answer["name"], answer["count"], sorted(dpu["name"] for dpu in answer["dpus"])
            same(f"space {space} at {ts}", given, (data.names[space - 1], count, data.doors[space - 1]))
    if rest and now:
        for space, count in enumerate(data.now, 1):
            same(f"space {space} now", ask(address, f"/space/{space}/count")["count"], count)
    if nested:
        for space in ask(address, "/graphql", {"query": SPACES})["data"]["spaces"]["nodes"]:
            place = int(space["id"]) - 1
            given = space["name"], space["count"], sorted(dpu["name"] for dpu in space["dpus"])
            expected = data.names[place], data.now[place] if now else space["count"], data.doors[place]
            same(f"space {space['id']} among all", given, expected)


def mutations(first_ms):
    """Yields this server's mutations of single events, at different instants."""
    for number in endless():
        variables = {"dpu": str(1001 + number * 7 % files.DPUS), "ts": text_of(first_ms + number),
                     "direction": "TOWARD" if number % 3 else "AWAY"}
        yield post("/graphql", {"query": INGEST, "variables": variables})


def endless():
    number = 0
    while True:
        yield number
        number += 1


class Peer:
    """Another implementation of the server, run by the script `bench.sh` in the peers' folder."""

    ADDRESS = "127.0.0.1:8080"

    def __init__(self, scripts, name):
        self.script, self.name = Path(scripts) / "bench.sh", name
        self.kind = name.partition("-")[0]
        self.rest, self.graphql = self.kind != "postgraphile", self.kind != "django"
        self.types = {"id_type": "Int", "time_type": "Datetime" if self.kind == "postgraphile" else "DateTime"}

    @property
    def product(self):
        kinds = {"django": "Django", "yoga": "GraphQL Yoga", "postgraphile": "PostGraphile", "strawberry": "Strawberry"}
        how = ", a row for every count" if self.name.endswith("-running") else ""
        return kinds.get(self.kind, self.kind) + how

    @staticmethod
    def load(scripts, data, say):
        """Loads the data into the peers' database, unless it is already loaded."""
        state = Path(os.environ.get("PEERS_STATE") or Path(tempfile.gettempdir(), "peers"))
        preset = f"headcount{data.events}"
        folder = state / "data" / preset
        if not (folder / "loaded").exists():
            say(f"loading {data.events:,} events into the peers' database")
            files.write_for_peers(data, folder)
            subprocess.run([Path(scripts) / "bench.sh", "load", preset], check=True, stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL)
            (folder / "loaded").touch()
        return preset

    @contextmanager
    def serve(self, preset, log):
        if answers(self.ADDRESS):
            raise SystemExit(f"another process listens on {self.ADDRESS}, the address of the peers")
        with running([self.script, "serve", preset, self.name], log, self.ADDRESS) as pid:
            yield Server(self.ADDRESS, pid)
        # Its workers may end a moment later.
        for _ in range(100):
            if not answers(self.ADDRESS):
                break
            time.sleep(0.1)

    def writes(self, first_ms):
        """Yields this peer's requests to store one event, and a part of their correct answers."""
        for number in endless():
            dpu, ts, direction = 1 + number * 7 % files.DPUS, text_of(first_ms + number), 1 if number % 3 else -1
            if self.kind == "django":
                yield post("/events", {"dpu_id": dpu, "timestamp": ts, "direction": direction})
                continue
            variables = {"dpu": dpu, "ts": ts, "direction": direction}
            add = "addEvent(dpuId: $dpu, ts: $ts, direction: $direction) { id }"
            if self.kind == "postgraphile":
                add = "createEvent(input: {event: {dpuId: $dpu, ts: $ts, direction: $direction}}) { event { id } }"
            head = f"mutation ($dpu: Int!, $ts: {self.types['time_type']}!, $direction: Int!)"
            yield post("/graphql", {"query": f"{head} {{ {add} }}", "variables": variables})
