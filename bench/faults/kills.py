"""`kill -9` and clean stops in loops, while senders repeat unacknowledged events."""

import shutil
from pathlib import Path

from .stage import SECONDS_MAX, say


def _while_sending(stage, sending, killed, least, most):
    """Kills the processes in turn and starts them again, each at least once, until everything is acknowledged. The
    number of kills is limited, because nothing can be acknowledged if they are killed faster than they start."""
    deaths, most_deaths = 0, len(killed) * (5 if stage.short else 100)
    while deaths < len(killed) or sending.running() and deaths < most_deaths:
        stage.wait(least, most)
        process = killed[deaths % len(killed)]
        process.kill()
        stage.wait(0, 0.3)
        process.start()
        deaths += 1
    say(f"{deaths} times one of {', '.join(process.name for process in killed)} was killed")


def sqlite(stage):
    """A server with SQLite is killed."""
    database = stage.sqlite()
    fleet = stage.fleet(database, dpus=200, spaces=20, events=40_000 if stage.short else 2_000_000, batch=100)
    server = stage.serve(database)
    with fleet.sending(server.url, rate=10_000 if stage.short else 40_000) as sending:
        _while_sending(stage, sending, [server.process], 0.2, 1)
    fleet.check(server)
    stage.verify(database)


def postgres(stage):
    """A server and its PostgreSQL are killed in turn."""
    postgres = stage.postgres()
    fleet = stage.fleet(postgres.url, dpus=200, spaces=20, events=40_000 if stage.short else 1_000_000, batch=100)
    server = stage.serve(postgres.url)
    with fleet.sending(server.url, rate=8_000 if stage.short else 15_000) as sending:
        _while_sending(stage, sending, [postgres.process, server.process], 0.3, 1.2)
    fleet.check(server)
    stage.verify(postgres.url)


def broker(stage):
    """A consumer, NATS, PostgreSQL and a server are killed in turn."""
    stage.needs_consume()
    nats = stage.nats(sync=False)
    nats.needs_durable()
    postgres = stage.postgres()
    fleet = stage.fleet(postgres.url, dpus=200, spaces=20, events=20_000 if stage.short else 500_000, batch=100)
    server = stage.serve(postgres.url)
    consumers = [stage.consume(postgres.url, nats.url, "--nats-ack-wait", "5") for _ in range(2)]
    with fleet.sending(nats.url, rate=4_000 if stage.short else 8_000) as sending:
        killed = [consumers[0], nats.process, postgres.process, consumers[1], server.process]
        _while_sending(stage, sending, killed, 0.3, 1.2)
    for consumer in consumers:
        # A service manager would restart a consumer that ended because of an error.
        if not consumer.running():
            consumer.start()
    fleet.check(server)
    stage.verify(postgres.url)


def clean_ends(stage):
    """A server with SQLite is stopped under load; each time its file is complete without a -wal file."""
    database = stage.sqlite()
    file = Path(database.removeprefix("sqlite://").partition("?")[0])
    fleet = stage.fleet(database, dpus=200, spaces=20, events=20_000 if stage.short else 400_000, batch=100)
    server, ends = stage.serve(database), 5 if stage.short else 50
    with fleet.sending(server.url, rate=4_000 if stage.short else 8_000):
        for _ in range(ends):
            stage.wait(0.2, 1)
            server.process.ask_to_end()
            if code := server.process.process.wait(timeout=SECONDS_MAX):
                raise SystemExit(f"the server ended with {code}:\n{server.process.tail()}")
            if beside := [other.name for other in file.parent.glob(f"{file.name}-*")]:
                raise SystemExit(f"{file.name} has other files beside it: {', '.join(beside)}")
            alone = shutil.copy(file, file.with_name("alone.db"))
            server.process.start()
            stage.verify(f"sqlite://{alone}")
    say(f"{ends} times the server was stopped, and its file was complete")
    fleet.check(server)
    stage.verify(database)
