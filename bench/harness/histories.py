"""The rows about histories: a year of a space, with warm and with empty caches."""

import http.client
import json
import statistics
import threading
import time
from itertools import groupby
from pathlib import Path

from . import servers
from .data import DAILY_SPACES, YEAR_DAYS
from .instants import DAY_MS, text_of
from .machine import peak_resident_mb, resident_mb
from .report import Finding
from .requests import Reads, drive
from .rows import MB, MEMORY_CACHE_BYTES, interleaved, millions, warm

# Number of clients that request histories concurrently.
CLIENTS = 8
COUNTING_CONNECTIONS = 4
# Allowed memory in addition to the cache after many histories.
BESIDE_CACHE_MB = 64
SCAN = "SELECT count(*), sum(direction) FROM event WHERE dpu_id IN ({dpus}) AND ts >= {start} AND ts < {end}"
# The same answer from hourly sums: for each day the entrances, the exits and the count at its end.
FROM_HOURLY_SUMS = f"""
    SELECT day, coalesce(entrances, 0), coalesce(exits, 0), coalesce(sum(entrances - exits) OVER (ORDER BY day), 0)
    FROM generate_series({{start}} / {DAY_MS}, ({{end}} - 1) / {DAY_MS}) AS day
    LEFT JOIN (
        SELECT bucket / {DAY_MS} AS day,
            sum(CASE placement WHEN 1 THEN toward ELSE away END) AS entrances,
            sum(CASE placement WHEN 1 THEN away ELSE toward END) AS exits
        FROM assignment JOIN hourly USING (dpu_id)
        WHERE space_id = {{space}} AND bucket >= {{start}} AND bucket < {{end}}
            AND (starts_at IS NULL OR bucket >= starts_at) AND (ends_at IS NULL OR bucket < ends_at)
        GROUP BY 1
    ) AS crossed USING (day)
    ORDER BY day"""


class Scans:
    """The time that the database alone needs for each space's year."""

    def __init__(self, database, name, data):
        self.database, self.name, self.data = database, name, data
        (_, assigned), = database.timed(name, ["SELECT DISTINCT space_id, dpu_id FROM assignment ORDER BY 1, 2"])
        self.dpus = {space: {dpu for _, dpu in pairs} for space, pairs in groupby(assigned, lambda pair: pair[0])}

    def median_ms(self):
        """Returns the median time of reading the year's events of a space."""
        year = {"start": self.data.start_ms, "end": self.data.end_ms}
        statements = [SCAN.format(dpus=", ".join(map(str, sorted(dpus))), **year) for dpus in self.dpus.values()]
        answers = self.database.timed(self.name, statements)
        if (seen := sum(count for _, ((count, _),) in answers)) < self.data.events:
            raise SystemExit(f"the scans read {seen} events of {self.data.events}")
        return statistics.median(ms for ms, _ in answers)

    def hourly_median_ms(self):
        """Returns the median time of computing a space's year by day from hourly sums."""
        statements = [FROM_HOURLY_SUMS.format(space=space, start=self.data.start_ms, end=self.data.end_ms)
                      for space in self.dpus]
        answers = dict(zip(self.dpus, self.database.timed(self.name, statements)))
        for space, days in self.data.daily.items():
            given = [(count, entrances, exits) for _, entrances, exits, count in answers[space][1]]
            if given != days:
                raise SystemExit(f"the hourly sums of space {space} are wrong")
        return statistics.median(ms for ms, _ in answers.values())

    def strangers(self):
        """Returns the spaces in groups without a common DPU, so that a history of one space caches nothing that another
        one of its group needs."""
        groups = []
        for space, dpus in self.dpus.items():
            group = next((group for group in groups if not group["dpus"] & dpus), None)
            if group is None:
                groups.append(group := {"spaces": [], "dpus": set()})
            group["spaces"].append(space)
            group["dpus"] |= dpus
        return [group["spaces"] for group in groups]


class Client:
    """A keep-alive connection."""

    def __init__(self, address):
        self.connection = http.client.HTTPConnection(address, timeout=120)
        self.connection.connect()

    def ask(self, path, body=None):
        """Returns the milliseconds until the answer, its status and its body."""
        body = body and json.dumps(body).encode()
        start = time.perf_counter()
        self.connection.request("POST" if body else "GET", path, body, {"Content-Type": "application/json"})
        answer = self.connection.getresponse()
        text = answer.read()
        return (time.perf_counter() - start) * 1000, answer.status, text

    def close(self):
        self.connection.close()


def check_history(address, data, space, status, text):
    """Ends the run if this history by day is an error, has too few days, or differs from the known counts."""
    if status != 200:
        raise SystemExit(f"{address} returned {status} for the history of space {space}: {text.decode()}")
    given = [(day["count"], day["entrances"], day["exits"]) for day in json.loads(text)["counts"]]
    if len(given) != data.days:
        raise SystemExit(f"{address} returned {len(given)} days of space {space}, not {data.days}")
    for day, (answered, known) in enumerate(zip(given, data.daily.get(space, given))):
        if answered != known:
            raise SystemExit(f"{address} has a wrong day {day} of space {space}: {answered}, not {known}")


def check_histories(address, data):
    """Compares histories by day with the known counts. Ends the run if one is wrong."""
    client = Client(address)
    for space in data.daily:
        _, status, text = client.ask(Reads(data).year_path(space))
        check_history(address, data, space, status, text)
    client.close()


def loaded(run, database, data):
    """Returns the name of a database with the data, without pending background work."""
    name = run.loaded_name(database, data)
    database.tidy(name)
    return name


def warm_histories(run, server, data):
    """Requests the history of each space until all of them are cached."""
    while not run.drive(server, Reads(data).rest_years(), connections=1, pool=data.spaces).laps:
        pass


def warm_ms(run, server, data):
    """Returns a measurement of the median latency of a year by day, one request at a time."""
    return lambda _: run.drive(server, Reads(data).rest_years(), connections=1).p50_ms


def history_warm(run):
    """A year of a space by day, all cached, compared with reading its events, and with hourly sums."""
    for data in run.data(YEAR_DAYS):
        for database in run.databases:
            name = loaded(run, database, data)
            scans = Scans(database, name, data)
            with run.serve(database.url(name)) as ours:
                check_histories(ours.address, data)
                warm_histories(run, ours, data)
                sides = {"ours": warm_ms(run, ours, data), "scan": lambda _: scans.median_ms()}
                if database is run.postgres():
                    database.make_hourly_sums(name)
                    database.tidy(name)
                    sides["hourly"] = lambda _: scans.hourly_median_ms()
                times = interleaved(run, sides)
                check_histories(ours.address, data)
            label = f"{database.name}, {millions(data.events)}"
            bar = 0.05 if data.events >= 1e7 else 0.33 if data.events >= 1e6 else None
            yield Finding("history-warm", label, "ms", times["ours"], "a scan of its events", times["scan"],
                          at_most=bar)
            if "hourly" in times:
                yield Finding("history-warm", label, "ms", times["ours"], "SQL over hourly sums", times["hourly"],
                              at_most=1)


def history_cold(run):
    """The first history of each space from a new server, compared with reading its events."""
    for data in run.data(YEAR_DAYS):
        for database in run.databases:
            name = loaded(run, database, data)
            scans = Scans(database, name, data)

            def cold(_):
                times = []
                for spaces in scans.strangers():
                    with run.serve(database.url(name)) as ours:
                        client = Client(ours.address)
                        for space in spaces:
                            ms, status, text = client.ask(Reads(data).year_path(space))
                            check_history(ours.address, data, space, status, text)
                            times.append(ms)
                        client.close()
                return statistics.median(times)

            cold(0)
            times = interleaved(run, {"ours": cold, "scan": lambda _: scans.median_ms()})
            yield Finding("history-cold", f"{database.name}, {millions(data.events)}", "ms", times["ours"],
                          "a scan of its events", times["scan"], at_most=6)


def history_growth(run):
    """The median latency of a year by day, all cached: much data compared with little."""
    sizes = sorted(run.data(YEAR_DAYS), key=lambda data: data.events)
    if len(sizes) < 2:
        run.say("history-growth needs two sizes: skipped")
        return
    few, many = sizes[0], sizes[-1]
    for database in run.databases:
        urls = [database.url(loaded(run, database, data)) for data in (few, many)]
        with run.serve(urls[0]) as little, run.serve(urls[1]) as much:
            sides = {"few": (little, few), "many": (much, many)}
            for server, data in sides.values():
                check_histories(server.address, data)
                warm_histories(run, server, data)
            times = interleaved(run, {side: warm_ms(run, *pair) for side, pair in sides.items()})
        yield Finding("history-growth", f"{database.name}, {millions(many.events)}", "ms", times["many"],
                      millions(few.events), times["few"], at_most=1.3)


def history_many(run):
    """Several clients request the year of all spaces by month: the answers, and the resident memory afterwards."""
    for data in run.data(YEAR_DAYS):
        for database in run.databases:
            with run.serve(database.url(loaded(run, database, data)), MEMORY_CACHE_BYTES) as ours:
                before_mb = resident_mb(ours.pid)
                ask_for_each(ours, data)
                answered, failed = ask_for_all(ours, data, run.rounds * run.seconds)
                after_mb, peak_mb = resident_mb(ours.pid), peak_resident_mb(ours.pid)
            if failed:
                run.say(f"{len(failed)} of {answered} answers failed, the first with {failed[0]}")
            allowed_mb = before_mb + MEMORY_CACHE_BYTES / MB + BESIDE_CACHE_MB
            label = f"{database.name}, {millions(data.events)}"
            yield Finding("history-many", f"{label}, without errors", "answers", [answered - len(failed)],
                          "all of them", [answered], at_least=1)
            # The memory after failed answers is not relevant.
            yield Finding("history-many", f"{label}, memory", "MiB", [after_mb],
                          f"{before_mb:.0f} MiB before, the cache and {BESIDE_CACHE_MB} MiB", [allowed_mb],
                          at_most=1 if len(failed) < answered else None, note=f"{peak_mb:.0f} MiB at the most")


def ask_for_each(server, data):
    """Requests the year of each space once. All of them together would exceed the work limit of a request."""
    client, reads = Client(server.address), Reads(data)
    for space in range(1, data.spaces + 1):
        _, status, text = client.ask(reads.year_path(space))
        if status != 200:
            raise SystemExit(f"{server.address} returned {status} for space {space}: {text.decode()[:300]}")
    client.close()


def ask_for_all(server, data, seconds):
    """Requests the year of all spaces by month over several connections, for this long. Returns the number of answers,
    and the errors of the failed ones. A wrong count ends the run."""
    query, expected, deadline = Reads(data).graphql_years(), expected_months(data), time.monotonic() + seconds
    answers, failed, wrong, right = [], [], [], set()

    def judge(status, text):
        # The data does not change, so a correct answer is always the same.
        if text in right:
            return
        answer = json.loads(text) if status == 200 else {"errors": status}
        if "errors" in answer:
            failed.append(f"{status}: {text.decode()[:300]}")
        elif months(answer) == expected:
            right.add(text)
        else:
            wrong.append(text.decode()[:400])

    def work():
        client = Client(server.address)
        while time.monotonic() < deadline and not wrong:
            try:
                _, status, text = client.ask("/graphql", query)
                judge(status, text)
            except (OSError, http.client.HTTPException) as error:
                failed.append(repr(error))
                client.close()
            answers.append(True)
        client.close()

    workers = [threading.Thread(target=work) for _ in range(CLIENTS)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if wrong:
        raise SystemExit(f"{server.address} has wrong months of all spaces: {wrong[0]}")
    return len(answers), failed


def months(answer):
    """Returns the counts at the end of each month, for the spaces whose counts are known."""
    return {int(space["id"]): [bucket["count"] for bucket in space["history"]]
            for space in answer["data"]["spaces"]["nodes"] if int(space["id"]) in DAILY_SPACES}


def expected_months(data):
    month = [text_of(data.start_ms + day * DAY_MS)[:7] for day in range(data.days)]
    last = [day for day in range(data.days) if day + 1 == data.days or month[day] != month[day + 1]]
    return {space: [days[day][0] for day in last] for space, days in data.daily.items()}


def counts_beside_histories(run):
    """The 99th percentile of counts while several clients request histories without pause, compared with idle."""
    for data in run.data(YEAR_DAYS):
        for database in run.databases:
            with run.serve(database.url(loaded(run, database, data))) as ours:
                check_histories(ours.address, data)
                warm(run, ours, data)
                reads, shots = Reads(data), []
                # Both use request files with the same names.
                folder = Path(run.folder) / "histories"
                folder.mkdir(exist_ok=True)

                def idle(number):
                    return run.drive(ours, reads.rest_past(number), connections=COUNTING_CONNECTIONS).p99_ms

                def histories():
                    shots.append(drive(ours.address, folder, reads.rest_years(), connections=CLIENTS,
                                       seconds=run.seconds + 2, threads=1))

                def busy(number):
                    asking = threading.Thread(target=histories)
                    asking.start()
                    time.sleep(1)
                    try:
                        return idle(number)
                    finally:
                        asking.join()

                idle(0)
                times = interleaved(run, {"busy": busy, "idle": idle})
                servers.check(ours.address, data, graphql=False)
            rate = statistics.median(shot.rate for shot in shots)
            yield Finding("counts-beside-histories", f"{database.name}, {millions(data.events)}, p99", "ms",
                          times["busy"], "idle", times["idle"], at_most=2, note=f"{rate:,.0f} histories/s")


ALL = {function.__name__.replace("_", "-"): function
       for function in (history_warm, history_cold, history_growth, history_many, counts_beside_histories)}
