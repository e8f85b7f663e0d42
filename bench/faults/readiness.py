"""A database that does not accept writes: /readyz reports it exactly as long as it lasts."""

import time

from .disk import events, fill, small_disk, wait_for_refusal
from .stage import say, wait_until

# /readyz caches its result for a second: after two it has checked again.
LOOKS_AGAIN_S = 2


def full_disk(stage):
    """SQLite's disk is full: /readyz reports it, and is ready again without an event once there is room."""
    # Each trial of /readyz needs 4 MB, which SQLite then keeps.
    room = small_disk(stage, 64)
    database = stage.sqlite(room)
    fleet = stage.fleet(database, dpus=20, spaces=5, events=1_000, batch=50)
    server = stage.serve(database)
    wait_until(server.is_ready, "the server is ready")
    spare, ballast = events(), room / "ballast"
    for _ in range(1 if stage.short else 5):
        fill(ballast)
        wait_for_refusal(server, spare)
        unready_while_refused(server, spare, "the disk of the database is full")
        ballast.unlink()
        wait_until(server.is_ready, "the server is ready once there is room", 10)
    fleet.send(server.url)
    fleet.check(server)
    stage.verify(database)


def read_only_database(stage):
    """PostgreSQL is read-only for a while, as after a failover: /readyz reports it; everything is recorded later."""
    postgres = stage.postgres()
    fleet = stage.fleet(postgres.url, dpus=50, spaces=10, events=5_000 if stage.short else 50_000, batch=20)
    server = stage.serve(postgres.url)
    wait_until(server.is_ready, "the server is ready")
    spare = events()
    with fleet.sending(server.url, rate=1_000, timeout=5) as sending:
        for _ in range(1 if stage.short else 5):
            stage.wait(0.3, 0.6)
            if not sending.running():
                raise SystemExit("everything was sent before the database was read-only: the fault did not happen")
            set_read_only(postgres, "on")
            unready_while_refused(server, spare, "the database is read-only")
            set_read_only(postgres, "off")
            wait_until(server.is_ready, "the server is ready once the database accepts writes", 10)
    fleet.check(server)
    stage.verify(postgres.url)


def set_read_only(postgres, switch):
    postgres.sql(f"ALTER SYSTEM SET default_transaction_read_only = {switch}")
    postgres.sql("SELECT pg_reload_conf()")


def unready_while_refused(server, spare, reason):
    """Checks that the server reports why it is not ready, as long as it refuses events."""
    wait_until(lambda: not server.is_ready(), "the server is not ready", 10)
    for _ in range(3):
        status, checks = server.readiness()
        if status != 503 or reason not in checks["writes"]:
            raise SystemExit(f"/readyz answers {status} and {checks}, not that {reason}")
        status, answer = server.post(next(spare))
        if status != 503:
            raise SystemExit(f"an event is answered with {status}, not 503: {answer}")
        time.sleep(LOOKS_AGAIN_S)
    say(f"/readyz says: {checks['writes']}")
