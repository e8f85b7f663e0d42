"""A pooler between the server and PostgreSQL."""

import subprocess

from .stage import say

# Must be part of the error.
ADVICE = "set pool_mode = session"


def pgbouncer(stage):
    """A server refuses to start behind a PgBouncer that shares connections, and works behind one that does not."""
    postgres = stage.postgres()
    shared = postgres.url_at(stage.pgbouncer(postgres, "transaction").address)
    refused = subprocess.run([stage.binary("headcount"), "serve", "--database-url", shared, "--listen", "127.0.0.1:0"],
                             text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)
    if not refused.returncode or ADVICE not in refused.stdout:
        raise SystemExit(f"the error behind a pooler that shares connections gives no advice: {refused.stdout}")
    say(f"it says: {refused.stdout.strip().splitlines()[-1]}")
    own = postgres.url_at(stage.pgbouncer(postgres, "session").address)
    fleet = stage.fleet(own, dpus=50, spaces=10, events=10_000 if stage.short else 200_000, batch=100)
    one, other = stage.serve(own), stage.serve(own)
    fleet.send(one.url, other.url, rate=4_000)
    fleet.check(one, other, within=10)
    stage.verify(own)
