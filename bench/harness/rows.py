"""The rows of the table: the measurement of each, and its bar."""

import re
import statistics
import subprocess
import threading
import time
import urllib.request
from contextlib import ExitStack

from . import servers
from .data import DPUS, rows as rows_of
from .instants import text_of
from .machine import flush_ms, resident_mb
from .report import Finding
from .requests import Reads, drive

MB = 2**20
# Minimum size of an event in memory: an instant, and a running sum.
EVENT_BYTES = 16
EVENTS_PER_BODY = 500
# Number of prepared writing requests per second. A round that needs more ends the run.
WRITES_PER_SECOND_MAX = 60_000
MEMORY_CACHE_BYTES = 256 * MB
# In that case there is no bar.
NO_CACHE_BYTES = "this server does not have --cache-bytes, so its cache has its default size"
ALL = {}


def row(function):
    ALL[function.__name__.replace("_", "-")] = function
    return function


def interleaved(run, sides):
    """Runs every side once per round, in alternating order; returns the figures of each side."""
    figures = {name: [] for name in sides}
    for number in range(run.rounds):
        names = list(sides) if number % 2 == 0 else list(reversed(sides))
        for name in names:
            figures[name].append(sides[name](number))
    return figures


def millions(events):
    return f"{events / 1e6:g} M events"


def warm(run, server, data):
    """Requests counts until the cache has all pages that fit."""
    while not run.drive(server, Reads(data).rest_each_day(), connections=1).laps:
        pass


# Reading, against constants.


def reading(run, name, requests, bar, **checked):
    """One kind of requests, compared with the baseline."""
    for data in run.data():
        for database in run.databases:
            url = run.loaded(database, data)
            reads = getattr(Reads(data), requests)
            with run.serve(url) as ours, run.baseline() as base:
                servers.check(ours.address, data, **checked)
                warm(run, ours, data)

                def side(server):
                    return lambda number: run.drive(server, reads(number)).rate

                rates = interleaved(run, {"ours": side(ours), "base": side(base)})
                servers.check(ours.address, data, **checked)
            against = "bare axum route" if requests.startswith("rest") else "async-graphql on constants"
            yield Finding(name, f"{database.name}, {millions(data.events)}", "/s", rates["ours"], against,
                          rates["base"], at_least=bar)


@row
def rest_now(run):
    yield from reading(run, "rest-now", "rest_now", 0.75, graphql=False)


@row
def rest_past(run):
    yield from reading(run, "rest-past", "rest_past", 0.65, graphql=False)


@row
def graphql_space(run):
    yield from reading(run, "graphql-space", "graphql_space", 0.8, rest=False)


@row
def graphql_spaces(run):
    yield from reading(run, "graphql-spaces", "graphql_spaces", 0.7, rest=False, nested=True)


# Reading, when memory is scarce and when there is much data.


@row
def small_cache(run):
    """Random instants over the whole span, with a cache of a tenth of the data, compared with the peers.

    The size of the data is that of the events in the database, with their key. Also measured with a tenth of the
    minimum that a program would need, an instant and a running sum for each event.
    """
    database = run.postgres()
    if not database:
        return
    for data in run.data():
        url = run.loaded(database, data)
        whole = {"the table and its key": database.event_bytes(run.loaded_name(database, data)),
                 "16 bytes an event": data.events * EVENT_BYTES}
        caches = {f"{bytes / 10 / MB:.1f} MiB, a tenth of {what}": bytes // 10 for what, bytes in whole.items()}
        with ExitStack() as servers_of_ours:
            ours = {note: servers_of_ours.enter_context(run.serve(url, cache)) for note, cache in caches.items()}
            for server in ours.values():
                servers.check(server.address, data)
            for kind in ("rest", "graphql"):
                requests = "rest_past" if kind == "rest" else "graphql_space"
                reads = getattr(Reads(data), requests)

                def side(server, **types):
                    return lambda number: run.drive(server, reads(number, **types)).rate

                mine = {note: side(server) for note, server in ours.items()}
                label = f"{kind}, {database.name}, {millions(data.events)}"
                peers = [peer for peer in run.readers if getattr(peer, kind)]
                for peer in peers:
                    types = peer.types if kind == "graphql" else {}
                    with run.serve_peer(peer, run.peers_loaded(data)) as theirs:
                        servers.check(theirs.address, data, rest=peer.rest, graphql=peer.graphql, now=False,
                                      samples=20, **peer.types)
                        rates = interleaved(run, mine | {"peer": side(theirs, **types)})
                    for note in mine:
                        yield Finding("small-cache", label, "/s", rates[note], peer.product, rates["peer"],
                                      at_least=10, note=note)
                if not peers:
                    for note, rates in interleaved(run, mine).items():
                        yield Finding("small-cache", label, "/s", rates, "no peer", at_least=10, note=note)
            for server in ours.values():
                servers.check(server.address, data)


@row
def growth(run):
    """The median latency of a count at a random instant, cached, one at a time: much data compared with little."""
    sizes = sorted(run.data(), key=lambda data: data.events)
    if len(sizes) < 2:
        run.say("growth needs two sizes: skipped")
        return
    few, many = sizes[0], sizes[-1]
    for database in run.databases:
        with run.serve(run.loaded(database, few)) as little, run.serve(run.loaded(database, many)) as much:
            sides = {"few": (little, few), "many": (much, many)}
            for server, data in sides.values():
                servers.check(server.address, data, graphql=False)
                warm(run, server, data)

            def side(server, data):
                return lambda number: run.drive(server, Reads(data).rest_past(number), connections=1).p50_ms * 1000

            times = interleaved(run, {name: side(*pair) for name, pair in sides.items()})
        yield Finding("growth", f"{database.name}, {millions(many.events)}", "µs", times["many"],
                      millions(few.events), times["few"], at_most=1.3)


@row
def memory(run):
    """Resident memory after counts at random instants and of all spaces, with the largest data."""
    data = max(run.data(), key=lambda data: data.events)
    known = servers.knows_cache_bytes(run.binary("headcount"))
    cache_bytes, bar, note = (MEMORY_CACHE_BYTES, 1, "") if known else (None, None, NO_CACHE_BYTES)
    for database in run.databases:
        with run.serve(run.loaded(database, data), cache_bytes) as ours:
            for number in range(run.rounds):
                run.drive(ours, Reads(data).rest_past(number))
                run.drive(ours, Reads(data).graphql_spaces(number))
            servers.check(ours.address, data)
            resident = resident_mb(ours.pid)
        allowed = (cache_bytes or 0) / MB + 150
        yield Finding("memory", f"{database.name}, {millions(data.events)}", "MiB", [resident],
                      "the cache and 150 MiB", [allowed], at_most=bar, note=note)


@row
def correction(run):
    """Correcting an assignment of a year ago, and the next count, with a million and a thousand events since."""
    lines = run.output("correction").splitlines()
    for place, what in ((1, "a correction"), (2, "a count after it")):
        few, many = (microseconds(re.split(r"\s{2,}", line.strip())[place]) for line in lines[1:3])
        yield Finding("correction", f"SQLite, {what}, 1 M events", "µs", [many], "0.001 M events", [few], at_most=1.3)


def microseconds(text):
    number, unit = re.fullmatch(r"([\d.]+)(ns|µs|ms|s)", text).groups()
    return float(number) * {"ns": 1e-3, "µs": 1, "ms": 1e3, "s": 1e6}[unit]


# Writing many events.


def load_rate(run, name, csv, rows):
    """Returns the rows per second of a whole `seed --csv`: reading the file, storing and tallying."""
    start = time.perf_counter()
    run.seed(name, "--csv", csv)
    return rows / (time.perf_counter() - start)


def with_plan(run, database, data, name):
    """Creates a database with only the floor plan."""
    url = database.create(name)
    run.seed(url, "--plan", data.plan)
    database.settle()
    return url


@row
def load_sqlite(run):
    """A bulk load, compared with prepared inserts into a bare table."""
    database = run.sqlite()
    if not database:
        return
    data = run.data()[0]
    serials = {}
    rows = [(serials.setdefault(serial, len(serials)), ts, direction) for ts, direction, serial in rows_of(data.csv)]

    def load(_):
        url = with_plan(run, database, data, "load")
        rate = load_rate(run, url, data.csv, data.rows)
        expect(database.events("load"), data.events)
        database.drop("load")
        return rate

    def raw(_):
        database.settle()
        return database.raw_rate("raw", rows)

    rates = interleaved(run, {"load": load, "raw": raw})
    yield Finding("load-sqlite", f"SQLite, {millions(data.events)}", "rows/s", rates["load"], "prepared inserts",
                  rates["raw"], at_least=0.5)


@row
def load_postgres(run):
    """A bulk load, compared with inserts of arrays into the same partitioned table without tallies."""
    database = run.postgres()
    if not database:
        return
    data = run.data()[0]
    rates = {"load": [], "raw": []}
    for _ in range(run.rounds):
        # One after the other in one database: the raw inserts need the partitions that the load created.
        url = with_plan(run, database, data, "load")
        rates["load"].append(load_rate(run, url, data.csv, data.rows))
        expect(database.events("load"), data.events)
        database.forget_events("load")
        rows, seconds = run.output("unnest", url, data.csv).split()
        rates["raw"].append(int(rows) / float(seconds))
        expect(database.events("load"), data.events)
        database.drop("load")
    yield Finding("load-postgres", f"PostgreSQL, {millions(data.events)}", "rows/s", rates["load"],
                  "inserts by arrays", rates["raw"], at_least=0.6)


@row
def shuffled(run):
    """A bulk load of events that are all late by up to ten days, compared with one in order."""
    data = run.data()[0]
    late = data.late()
    for database in run.databases:
        def load(csv):
            def timed(_):
                rate = load_rate(run, with_plan(run, database, data, "load"), csv, data.rows)
                expect(database.events("load"), data.events)
                database.drop("load")
                return rate
            return timed

        rates = interleaved(run, {"late": load(late), "in order": load(data.csv)})
        yield Finding("shuffled", f"{database.name}, {millions(data.events)}", "rows/s", rates["late"], "in order",
                      rates["in order"], at_least=0.7)


def expect(given, expected):
    if given != expected:
        raise SystemExit(f"{given} events are stored, not {expected}")


# Writing single events.


@row
def mutations(run):
    """One event per mutation, answered once it is durable; compared with the peers, and with one flush of the disk."""
    data = run.data()[0]
    for database in run.databases:
        for clients, bar in ((1, None), (32, 4), (256, 8)):
            url = database.copy(run.loaded_name(database, data), "writes")
            shots, flushes = [], []
            with run.serve(url) as ours:
                before = database.events("writes")

                def mine(_):
                    flushes.append(flush_ms(run.folder, run.seconds / 4))
                    shot = run.write(ours, servers.mutations, clients)
                    shots.append(shot)
                    return shot.rate

                label = f"{database.name}, {clients} client{'s' if clients > 1 else ''}"
                findings = []
                for peer in run.writers if bar else []:
                    answered = []

                    def peers(_):
                        shot = run.write(theirs, peer.writes, clients)
                        answered.append(shot.requests)
                        return shot.rate

                    with run.serve_peer(peer, run.peers_loaded(data)) as theirs:
                        rates = interleaved(run, {"ours": mine, "peer": peers})
                    stored_all(run.peer_events(data), answered, clients)
                    run.forget_peer_events(data)
                    findings.append(Finding("mutations", label, "/s", rates["ours"], peer.product, rates["peer"],
                                            at_least=bar))
                if not findings:
                    rates = [mine(number) for number in range(run.rounds)]
                    findings.append(Finding("mutations", label, "/s", rates, "no peer", at_least=bar))
                yield from findings
                stored_all(database.events("writes") - before, [shot.requests for shot in shots], clients)
            run.verify(url)
            if clients == 1:
                yield Finding("mutations", f"{label}, median latency", "ms", [shot.p50_ms for shot in shots],
                              "one flush of 8 KiB", flushes)
            database.drop("writes")


def stored_all(stored, answered, clients):
    """Ends the run unless all acknowledged events are stored, after rounds with this many clients."""
    # Requests in progress at the end of a round may be stored without an acknowledgement.
    if not sum(answered) <= stored <= sum(answered) + clients * len(answered):
        raise SystemExit(f"{stored} events are stored, and {sum(answered)} were acknowledged")


# Reading while others write.


class Sender:
    """Posts events over a few connections, as fast as possible or at a rate."""

    CONNECTIONS = 4

    def __init__(self, address, first_ms):
        self.address, self.next_ms, self.lock = address, first_ms, threading.Lock()

    def body(self):
        with self.lock:
            first, self.next_ms = self.next_ms, self.next_ms + EVENTS_PER_BODY
        lines = [f"{text_of(first + number)},{1 if number % 3 else -1},{1001 + number * 7 % DPUS}\n"
                 for number in range(EVENTS_PER_BODY)]
        return ("timestamp,direction,dpu_id\n" + "".join(lines)).encode()

    def send(self, seconds, rate=None):
        """Returns the number of events stored per second, over this many seconds."""
        pause = EVENTS_PER_BODY * self.CONNECTIONS / rate if rate else 0
        # Enough bodies, generated beforehand so that the server has the processor for itself.
        bodies = [[self.body() for _ in range(int(seconds / pause) + 1 if rate else int(seconds * 200))]
                  for _ in range(self.CONNECTIONS)]
        stored = [0] * self.CONNECTIONS
        start = time.monotonic()

        def work(place):
            for number, body in enumerate(bodies[place]):
                time.sleep(max(0, start + number * pause + place * pause / self.CONNECTIONS - time.monotonic()))
                if time.monotonic() - start > seconds:
                    return
                request = urllib.request.Request(f"http://{self.address}/events", body, {"Content-Type": "text/csv"})
                with urllib.request.urlopen(request) as answer:
                    if f'"accepted":{EVENTS_PER_BODY},'.encode() not in answer.read():
                        raise SystemExit("events were not stored")
                stored[place] += EVENTS_PER_BODY

        workers = [threading.Thread(target=work, args=(place,)) for place in range(self.CONNECTIONS)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        return sum(stored) / (time.monotonic() - start)


@row
def reading_while_writing(run):
    """The 99th percentile of reading while events arrive at half the maximum rate, compared with idle."""
    data = run.data()[0]
    for database in run.databases:
        url = database.copy(run.loaded_name(database, data), "writes")
        with run.serve(url) as ours:
            reads = Reads(data).rest_past
            sender = Sender(ours.address, data.end_ms)
            most = statistics.median(sender.send(run.seconds) for _ in range(run.rounds))
            for connections in (4, run.connections):
                rates = []

                def idle(number):
                    return run.drive(ours, reads(number), connections=connections).p99_ms

                def busy(number):
                    writing = threading.Thread(
                        target=lambda: rates.append(sender.send(run.seconds + 1, most / 2)))
                    writing.start()
                    time.sleep(0.5)
                    try:
                        return idle(number)
                    finally:
                        writing.join()

                idle(0)
                times = interleaved(run, {"busy": busy, "idle": idle})
                note = f"{statistics.median(rates):,.0f} of at most {most:,.0f} events/s"
                yield Finding("reading-while-writing", f"{database.name}, {connections} connections, p99", "ms",
                              times["busy"], "idle", times["idle"], at_most=3, note=note)
            servers.check(ours.address, data, now=False)
        run.verify(url)
        database.drop("writes")
