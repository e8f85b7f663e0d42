"""Several servers over one PostgreSQL."""

import time

from .stage import say

# How long what one node has recorded may take to be seen at another: news are told each 100 ms at most.
SEEN_SECONDS_MAX = 10


def read_after_write(stage):
    """Each of two nodes answers with what was written at the other, a moment later and from then on."""
    postgres = stage.postgres()
    fleet = stage.fleet(postgres.url, dpus=100, spaces=10, events=20_000 if stage.short else 400_000, batch=100)
    one, other = stage.serve(postgres.url), stage.serve(postgres.url)
    # Markers are written at the first, and looked for at the second.
    fleet.send(one.url, other.url, rate=5_000 if stage.short else 10_000, probe=other.url)
    fleet.check(one, other, within=SEEN_SECONDS_MAX)
    stage.verify(postgres.url)


def one_dpu(stage):
    """Two processes record events of the same DPU at the same time, the same ones among them, and in no common order."""
    postgres = stage.postgres()
    servers = [stage.serve(postgres.url) for _ in range(2)]
    fleet = stage.fleet(postgres.url, dpus=1, spaces=1, events=20_000 if stage.short else 300_000, batch=50, resend=0.5)
    begun = time.monotonic()
    fleet.send(*[server.url for server in servers], senders=16)
    deadlocks = int(postgres.sql("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"))
    say(f"{time.monotonic() - begun:.1f} s, {deadlocks} deadlocks")
    if deadlocks:
        raise SystemExit("transactions waited for each other in a circle")
    fleet.check(*servers, within=SEEN_SECONDS_MAX)
    stage.verify(postgres.url)
