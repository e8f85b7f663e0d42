"""The environment of a fault: servers, databases, a fleet and its true counts, in a temporary folder.

Uses none of the machine's services: PostgreSQL and NATS are started on free ports.
"""

import json
import os
import pwd
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

from harness.machine import answers, free_address

from .processes import Process, answers_http
from .proxy import Proxy

ROOT = Path(__file__).resolve().parents[2]
# Maximum time to wait for an expected condition.
SECONDS_MAX = 120


class Skipped(Exception):
    """The machine does not allow this fault. The message says what is missing."""


class Stage:
    def __init__(self, short, binaries, seed=1):
        self.short = short
        self.binaries = Path(binaries).resolve()
        self.random = random.Random(seed)
        self.folder = Path(tempfile.mkdtemp(prefix="headcount-fault-"))
        # Contains the folder of a server that runs as another user.
        self.folder.chmod(0o755)
        self.endings = []
        self.numbers = {}

    def close(self, failed):
        for ending in reversed(self.endings):
            ending()
        if failed:
            say(f"logs are left in {self.folder}")
        else:
            shutil.rmtree(self.folder, ignore_errors=True)

    def name(self, kind):
        """Returns a unique name, also for a log."""
        self.numbers[kind] = self.numbers.get(kind, 0) + 1
        return f"{kind}-{self.numbers[kind]}"

    def binary(self, name):
        path = self.binaries / name
        if not path.exists():
            raise SystemExit(f"{path} is missing: cargo build --workspace")
        return path

    def process(self, kind, command, ready, environment=None, user=None):
        name = self.name(kind)
        process = Process(name, command, self.folder / f"{name}.log", ready, environment, user)
        self.endings.append(process.end)
        return process

    def output(self, binary, *arguments):
        command = [self.binary(binary), *map(str, arguments)]
        done = subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              timeout=10 * SECONDS_MAX)
        if done.returncode:
            raise SystemExit(f"{binary} {' '.join(map(str, arguments))} failed ({done.returncode}):\n{done.stdout[-4000:]}")
        return done.stdout

    # Servers.

    def postgres(self, *settings):
        """Starts a PostgreSQL server with an empty database."""
        return Postgres(self, settings)

    def pgbouncer(self, postgres, mode):
        """Starts a pooler for a PostgreSQL server, with this `pool_mode`."""
        return PgBouncer(self, postgres, mode)

    def nats(self, **settings):
        """Starts a NATS server. A kill alone needs no `sync`: written data survives the process."""
        return Nats(self, **settings)

    def nats_cluster(self, size=3):
        """Starts the servers of a cluster, and waits until all are ready."""
        routes = [free_address() for _ in range(size)]
        servers = [Nats(self, route=route, routes=routes, wait=False, sync=False) for route in routes]
        for server in servers:
            wait_until(server.process.ready, "the NATS servers are ready")
        return servers

    def sqlite(self, folder=None):
        return f"sqlite://{(folder or self.folder) / self.name('database')}.db?mode=rwc"

    def serve(self, database, *arguments, wrap=(), environment=None):
        return Serving(self, database, arguments, wrap, environment)

    def consume(self, database, nats, *arguments):
        """Starts a consumer. Does not wait until it works."""
        command = [self.binary("headcount"), "consume", "--nats-url", nats, "--database-url", database, *arguments]
        return self.process("consume", command, lambda: True, {"RUST_LOG": "info"}).start()

    def needs_consume(self):
        told = subprocess.run([self.binary("headcount"), "consume", "--help"], stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL)
        if told.returncode:
            raise Skipped("this headcount does not have the command consume")

    def proxy(self, target):
        """Starts a proxy on a free port for `target`, a HOST:PORT."""
        proxy = Proxy(target)
        self.endings.append(proxy.close)
        return proxy

    # True counts.

    def fleet(self, database, kinds="mixed", **settings):
        """Returns a fleet, after loading its floor plan into the database. `kinds` is "mixed" or "crossings"."""
        # Each DPU has six intervals or readings an hour.
        return Fleet(self, database, {"kinds": kinds, "hours": 24 if self.short else 240, **settings})

    def verify(self, database):
        """Checks that every tally equals its events."""
        told = self.output("headcount", "verify", "--database-url", database)
        say(f"verify: {told.strip().splitlines()[-1]}")

    def wait(self, least, most):
        """Waits for a random number of seconds, the same in every run."""
        time.sleep(self.random.uniform(least, most))


class Serving:
    """`headcount serve` on a fixed address."""

    def __init__(self, stage, database, arguments, wrap, environment):
        self.address = free_address()
        self.url = f"http://{self.address}"
        command = [*wrap, stage.binary("headcount"), "serve", "--database-url", database, "--listen", self.address,
                   *arguments]
        self.process = stage.process("serve", command, answers_http(f"{self.url}/healthz"),
                                     {"RUST_LOG": "warn", **(environment or {})})
        self.process.start()

    def metric(self, line):
        """Returns a value of /metrics, by name and labels."""
        with urllib.request.urlopen(f"{self.url}/metrics", timeout=30) as answer:
            found = re.search(f"^{re.escape(line)} (\\S+)$", answer.read().decode(), re.MULTILINE)
        return float(found.group(1)) if found else None

    def count(self, space):
        with urllib.request.urlopen(f"{self.url}/space/{space}/count", timeout=30) as answer:
            return json.load(answer)["count"]

    def readiness(self):
        """Returns the status of /readyz, and the result of each check."""
        try:
            with urllib.request.urlopen(f"{self.url}/readyz", timeout=30) as answer:
                status, body = answer.status, answer.read()
        except urllib.error.HTTPError as error:
            status, body = error.code, error.read()
        return status, json.loads(body)["checks"]

    def is_ready(self):
        return self.readiness()[0] == 200

    def post(self, line, timeout=60):
        """Sends one event; returns the status and the answer."""
        request = urllib.request.Request(f"{self.url}/events", line.encode(), {"Content-Type": "application/x-ndjson"})
        try:
            with urllib.request.urlopen(request, timeout=timeout) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()


class Postgres:
    def __init__(self, stage, settings):
        self.stage, self.settings = stage, settings
        versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
        found = versions[-1] if versions else shutil.which("initdb")
        if not found:
            raise Skipped("PostgreSQL's server programs are not installed")
        self.bin = Path(found).parent
        self._begin([self.bin / "initdb", "-A", "trust", "-U", "postgres"])

    def _begin(self, make):
        """Creates the data folder with a command, and starts the server."""
        # PostgreSQL refuses to run as root.
        self.user = "postgres" if os.geteuid() == 0 else None
        home = self.stage.folder / self.stage.name("postgres-data")
        home.mkdir()
        if self.user:
            account = pwd.getpwnam(self.user)
            os.chown(home, account.pw_uid, account.pw_gid)
        as_user = {"user": self.user, "group": self.user, "extra_groups": []} if self.user else {}
        subprocess.run([*make, "-D", home / "data"], check=True, cwd=home, stdout=subprocess.DEVNULL, **as_user)
        self.address = free_address()
        port = self.address.rpartition(":")[2]
        command = [self.bin / "postgres", "-D", home / "data", "-k", home, "-c", "listen_addresses=127.0.0.1", "-c",
                   f"port={port}", *[part for setting in self.settings for part in ("-c", setting)]]
        self.url = self.url_at(self.address)
        ready = [str(self.bin / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", port]
        self.process = self.stage.process("postgres", command, lambda: subprocess.run(ready).returncode == 0,
                                          user=self.user)
        self.process.start()

    def url_at(self, address):
        return f"postgres://postgres@{address}/postgres"

    def sql(self, statement):
        command = ["psql", "-qAtX", "-v", "ON_ERROR_STOP=1", "-d", self.url, "-c", statement]
        return subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE).stdout.strip()

    def standby(self):
        """Starts a standby of this server."""
        return Standby(self)


class Standby(Postgres):
    def __init__(self, primary):
        self.stage, self.settings, self.bin = primary.stage, primary.settings, primary.bin
        self._begin([self.bin / "pg_basebackup", "-R", "-X", "stream", "-c", "fast", "-d", primary.url])

    def pause(self):
        """Makes it continue to receive data, but not replay it."""
        self.sql("SELECT pg_wal_replay_pause()")

    def resume(self):
        self.sql("SELECT pg_wal_replay_resume()")


class PgBouncer:
    def __init__(self, stage, postgres, mode):
        binary = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
        if not binary:
            raise Skipped("pgbouncer is not installed")
        self.address = free_address()
        host, _, port = self.address.rpartition(":")
        file = stage.folder / f"{stage.name('pgbouncer')}.ini"
        users = file.with_suffix(".users")
        users.write_text('"postgres" ""\n')
        file.write_text("\n".join([
            "[databases]", f"* = host=127.0.0.1 port={postgres.address.rpartition(':')[2]}", "[pgbouncer]",
            f"listen_addr = {host}", f"listen_port = {port}", "unix_socket_dir =", "auth_type = trust",
            f"auth_file = {users}", f"pool_mode = {mode}", "ignore_startup_parameters = extra_float_digits",
            "default_pool_size = 60", ""]))
        process = stage.process("pgbouncer", [binary, file], lambda: answers(self.address), user=postgres.user)
        process.start()


class Nats:
    # Older versions may lose a stream when they are killed.
    SAFE = (2, 10, 23)

    def __init__(self, stage, route=None, routes=(), wait=True, sync=True):
        """`sync`: flush each message before acknowledging it, if the server supports that."""
        binary = os.environ.get("NATS_SERVER") or shutil.which("nats-server") or shutil.which("nats-server", path="/usr/sbin")
        if not binary:
            raise Skipped("nats-server is not installed: set NATS_SERVER to its path")
        told = subprocess.run([binary, "--version"], text=True, stdout=subprocess.PIPE).stdout
        self.version = tuple(int(part) for part in told.strip().rpartition("v")[2].split("-")[0].split("."))
        self.name = name = stage.name("nats")
        self.address, self.monitor = free_address(), free_address()
        lines = [f'server_name: "{name}"', f'listen: "{self.address}"', f'http: "{self.monitor}"',
                 f'jetstream {{ store_dir: "{stage.folder / name}"{", sync_interval: always" if sync and self.durable() else ""} }}']
        if route:
            others = ", ".join(f'"nats://{other}"' for other in routes if other != route)
            lines.append(f'cluster {{ name: "fleet", listen: "{route}", routes: [{others}] }}')
        file = stage.folder / f"{name}.conf"
        file.write_text("\n".join(lines) + "\n")
        self.url = f"nats://{self.address}"
        # Includes JetStream, which in a cluster needs a leader.
        self.process = stage.process("nats", [binary, "-c", file], answers_http(f"http://{self.monitor}/healthz"))
        self.process.start(wait)

    def waiting(self):
        """Returns the number of messages that are not recorded and acknowledged yet."""
        return sum(consumer["num_pending"] + consumer["num_ack_pending"] for consumer in self._consumers())

    def consumed(self):
        """Returns whether there is a consumer."""
        return bool(self._consumers())

    def leads_all(self):
        """Returns whether it leads a stream that is up to date on all other servers."""
        try:
            clusters = [stream.get("cluster") or {} for stream in self._streams()]
        except OSError:
            return False
        led = [cluster for cluster in clusters if cluster.get("leader") == self.name]
        return bool(led) and all(replica.get("current") and not replica.get("offline")
                                 for cluster in led for replica in cluster.get("replicas") or [{}])

    def _consumers(self):
        return [consumer for stream in self._streams() for consumer in stream.get("consumer_detail") or []]

    def _streams(self):
        with urllib.request.urlopen(f"http://{self.monitor}/jsz?consumers=true", timeout=30) as answer:
            accounts = json.load(answer).get("account_details") or []
        return [stream for account in accounts for stream in account.get("stream_detail") or []]

    def durable(self):
        """Returns whether acknowledged messages survive when the server is killed."""
        return self.version >= self.SAFE

    def needs_durable(self):
        if not self.durable():
            raise Skipped(f"nats-server {'.'.join(map(str, self.version))} may lose a stream when it is killed; 2.10.23 "
                          "and newer do not: set NATS_SERVER to the path of one")


class Fleet:
    def __init__(self, stage, database, settings):
        self.stage, self.database = stage, database
        self.options = [f"--{key.replace('_', '-')}={value}" for key, value in settings.items()]
        self.journal = stage.folder / f"{stage.name('fleet')}.journal"
        plan = self.journal.with_suffix(".toml")
        stage.output("fleet", "plan", *self.options, "--file", plan)
        told = stage.output("seed", "--database-url", database, "--plan", plan)
        self.marker_space = re.search(r"space (\d+): Fleet markers", told).group(1)

    @contextmanager
    def sending(self, *to, rate=0, senders=4, timeout=3, give_up=SECONDS_MAX, probe=None):
        """Sends while the block runs, then waits until everything is acknowledged."""
        command = [self.stage.binary("fleet"), "send", *self.options, "--journal", self.journal, "--rate", rate,
                   "--senders", senders, "--timeout-s", timeout, "--give-up-s", give_up]
        command += [part for url in to for part in ("--to", url)] + (["--probe", probe] if probe else [])
        process = self.stage.process("send", command, lambda: True)
        process.start()
        yield process
        try:
            code = process.process.wait(timeout=2 * SECONDS_MAX + give_up)
        except subprocess.TimeoutExpired:
            raise SystemExit(f"the senders do not finish:\n{process.tail()}") from None
        if code:
            raise SystemExit(f"the senders failed ({code}):\n{process.tail()}")
        for line in process.log.read_text().splitlines():
            if "events acknowledged" not in line:
                say(f"send: {line}")

    def send(self, *to, **how):
        with self.sending(*to, **how):
            pass

    def mark(self, server, number):
        """Records one more event, which checks do not include."""
        line = f'{{"timestamp":"2025-03-02T00:00:00.{number:03}Z","direction":1,"dpu_id":"F-marker"}}'
        status, answer = server.post(line)
        if status != 200:
            raise SystemExit(f"an event is answered with {status}: {answer}")

    def markers(self, server):
        """Returns the number of counted markers, or `None` without an answer."""
        try:
            with urllib.request.urlopen(f"{server.url}/space/{self.marker_space}/count", timeout=5) as answer:
                return json.load(answer)["count"]
        except OSError:
            return None

    def check(self, *servers, within=SECONDS_MAX, others=()):
        """Checks that every count is correct within this many seconds. `others` have sent to the same spaces."""
        options = [part for server in servers for part in ("--server", server.url)]
        options += [part for fleet in (self, *others) for part in ("--journal", fleet.journal)]
        told = self.stage.output("fleet", "check", "--within", within, *options)
        say(f"check: {told.strip()}")


def wait_until(condition, what, seconds=SECONDS_MAX):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit(f"not within {seconds} s: {what}")
        time.sleep(0.05)


def say(text):
    print(f"  {text}", file=sys.stderr, flush=True)
