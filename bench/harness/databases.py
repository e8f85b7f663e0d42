"""Creates, copies and drops databases: SQLite files, and databases of a PostgreSQL server."""

import os
import shutil
import sqlite3
import subprocess
import time
from contextlib import closing
from pathlib import Path

# Number of rows in one commit of the seed binary.
COMMIT_ROWS = 20_000


class Sqlite:
    name = "SQLite"

    def __init__(self, folder):
        self.folder = Path(folder)

    def path(self, name):
        return self.folder / f"{name}.db"

    def url(self, name):
        return f"sqlite://{self.path(name)}?mode=rwc"

    def create(self, name):
        self.drop(name)
        return self.url(name)

    def copy(self, source, name):
        self.drop(name)
        with closing(sqlite3.connect(self.path(source))) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        shutil.copyfile(self.path(source), self.path(name))
        return self.url(name)

    def drop(self, name):
        for suffix in ("", "-wal", "-shm"):
            Path(f"{self.path(name)}{suffix}").unlink(missing_ok=True)

    def events(self, name):
        with closing(sqlite3.connect(self.path(name))) as connection:
            return connection.execute("SELECT count(*) FROM event").fetchone()[0]

    def timed(self, name, statements):
        """Returns the milliseconds of each reading statement, and its rows of integers."""
        answers = []
        with closing(sqlite3.connect(f"file:{self.path(name)}?mode=ro", uri=True)) as connection:
            for statement in statements:
                start = time.perf_counter()
                rows = connection.execute(statement).fetchall()
                answers.append(((time.perf_counter() - start) * 1000, rows))
        return answers

    def settle(self):
        os.sync()

    def tidy(self, name):
        """Does the background work that follows a bulk load: SQLite has none."""

    def raw_rate(self, name, rows):
        """Returns the rows per second of prepared inserts into a bare table with the same key, without any checks."""
        self.drop(name)
        connection = sqlite3.connect(self.path(name), isolation_level=None)
        with closing(connection):
            connection.executescript("""
                PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
                CREATE TABLE event (dpu_id INTEGER, ts INTEGER, direction INTEGER, seq INTEGER, created INTEGER,
                    PRIMARY KEY (dpu_id, ts, direction, seq)) WITHOUT ROWID, STRICT""")
            start = time.perf_counter()
            for first in range(0, len(rows), COMMIT_ROWS):
                connection.execute("BEGIN")
                connection.executemany("INSERT INTO event VALUES (?, ?, ?, 0, 0) ON CONFLICT DO NOTHING",
                                       sorted(rows[first:first + COMMIT_ROWS]))
                connection.execute("COMMIT")
            rate = len(rows) / (time.perf_counter() - start)
        self.drop(name)
        return rate


class Postgres:
    name = "PostgreSQL"

    def __init__(self, server):
        """`server`: the URL of the server, without a database."""
        self.server = server.rstrip("/")
        self.prefix = f"headcount_bench_{os.getpid()}_"
        self.made = set()

    def sql(self, statement, database="postgres"):
        command = ["psql", "-qAtX", "-v", "ON_ERROR_STOP=1", "-d", f"{self.server}/{database}", "-c", statement]
        quiet = {**os.environ, "PGOPTIONS": "-c client_min_messages=warning"}
        return subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE, env=quiet).stdout.strip()

    def version(self):
        return self.sql("SHOW server_version").split()[0]

    def url(self, name):
        return f"{self.server}/{self.prefix}{name}"

    def create(self, name, template="template1"):
        self.drop(name)
        self.sql(f"CREATE DATABASE {self.prefix}{name} TEMPLATE {template}")
        self.made.add(name)
        return self.url(name)

    def copy(self, source, name):
        return self.create(name, f"{self.prefix}{source}")

    def drop(self, name):
        self.sql(f"DROP DATABASE IF EXISTS {self.prefix}{name} WITH (FORCE)")
        self.made.discard(name)

    def close(self):
        for name in list(self.made):
            self.drop(name)

    def events(self, name):
        return int(self.sql("SELECT count(*) FROM event", f"{self.prefix}{name}"))

    def event_bytes(self, name):
        """Returns the size of its events, with their key."""
        size = "SELECT sum(pg_total_relation_size(relid)) FROM pg_partition_tree('event')"
        return int(self.sql(size, f"{self.prefix}{name}"))

    def timed(self, name, statements):
        """Returns the milliseconds of each reading statement, and its rows of integers."""
        command = ["psql", "-qAtX", "-v", "ON_ERROR_STOP=1", "-d", self.url(name)]
        script = "\n".join(["\\timing on", *(f"{statement};" for statement in statements)])
        output = subprocess.run(command, check=True, text=True, input=script, stdout=subprocess.PIPE,
                                env={**os.environ, "LC_ALL": "C"}).stdout
        answers, rows = [], []
        for line in output.splitlines():
            if line.startswith("Time: "):
                answers.append((float(line.split()[1]), rows))
                rows = []
            else:
                rows.append(tuple(map(int, line.split("|"))))
        return answers

    def settle(self):
        self.sql("CHECKPOINT")

    def tidy(self, name):
        """Does the background work that follows a bulk load now, so that it does not disturb the measurement."""
        self.sql("VACUUM (ANALYZE)", f"{self.prefix}{name}")

    def make_hourly_sums(self, name):
        """Creates the table that a program with hourly counts would maintain."""
        self.sql("DROP TABLE IF EXISTS hourly; "
                 "CREATE TABLE hourly AS SELECT dpu_id, bucket, toward, away FROM tally WHERE resolution = 1; "
                 "ALTER TABLE hourly ADD PRIMARY KEY (dpu_id, bucket)", f"{self.prefix}{name}")

    def forget_events(self, name):
        self.sql("TRUNCATE event, tally", f"{self.prefix}{name}")
        self.settle()
