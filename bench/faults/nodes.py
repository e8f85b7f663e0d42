"""Several servers over one PostgreSQL."""

import time

from .stage import say, wait_until

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


def lagging_standby(stage):
    """A node reads from a standby that stands still again and again, and is killed; its counts are right all the same."""
    postgres = stage.postgres()
    fleet = stage.fleet(postgres.url, dpus=100, spaces=10, events=20_000 if stage.short else 400_000, batch=100)
    standby = postgres.standby()
    one = stage.serve(postgres.url)
    # What it holds in memory is less than it needs, so it reads all the time.
    other = stage.serve(postgres.url, "--cache-bytes=20000", environment={"DATABASE_READ_URL": standby.url})
    stood_still = 0
    with fleet.sending(one.url, rate=5_000 if stage.short else 10_000) as sending:
        while sending.running():
            standby.pause()
            stood_still += 1
            look(other, 0.2)
            standby.resume()
            look(other, 0.5)
            if stood_still % 4 == 3:
                standby.process.kill()
                look(other, 0.2)
                standby.process.start()
    fleet.check(one, other, within=SEEN_SECONDS_MAX)
    wait_until(lambda: look(other, 0) or from_standby(other), "the standby is read from")
    standby.pause()
    for number in range(10):
        fleet.mark(one, number)
        wait_until(lambda: fleet.markers(other) == number + 1, "what the standby lacks is seen", SEEN_SECONDS_MAX)
    standby.resume()
    read = from_standby(other)
    wait_until(lambda: look(other, 0) or from_standby(other) > read, "the standby is read from again")
    from_primary, lag = (other.metric(name) for name in (
        'headcount_database_reads_total{server="primary"}', "headcount_standby_lag_seconds"))
    say(f"the standby stood still {stood_still} times; reads from it: {from_standby(other):.0f}, from the primary: "
        f"{from_primary:.0f}; behind by {lag:.3f} s at the end")
    stage.verify(postgres.url)


def from_standby(server):
    return server.metric('headcount_database_reads_total{server="standby"}')


def look(server, seconds):
    """Asks for the counts of all spaces, for so long and at least once."""
    deadline = time.monotonic() + seconds
    while True:
        for space in range(1, 11):
            server.count(space)
        if time.monotonic() >= deadline:
            return
