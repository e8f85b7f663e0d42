"""Several servers on one PostgreSQL database."""

import time

from .stage import say, wait_until

# Maximum delay until another node sees a commit. Notifications are sent at most every 100 ms.
SEEN_SECONDS_MAX = 10


def read_after_write(stage):
    """Each of two nodes sees what was written at the other, after a moment and permanently."""
    postgres = stage.postgres()
    fleet = stage.fleet(postgres.url, dpus=100, spaces=10, events=20_000 if stage.short else 400_000, batch=100)
    one, other = stage.serve(postgres.url), stage.serve(postgres.url)
    # Markers are written at the first node, and read at the second.
    fleet.send(one.url, other.url, rate=5_000 if stage.short else 10_000, probe=other.url)
    fleet.check(one, other, within=SEEN_SECONDS_MAX)
    stage.verify(postgres.url)


def one_dpu(stage):
    """Two processes concurrently record reports of the same DPU of each kind, some of them the same, in different orders."""
    postgres = stage.postgres()
    servers = [stage.serve(postgres.url) for _ in range(2)]
    # Ten days have thousands of intervals and readings.
    fleet = stage.fleet(postgres.url, dpus=3, spaces=1, events=20_000 if stage.short else 90_000, hours=240, batch=50,
                        resend=0.5)
    begun = time.monotonic()
    fleet.send(*[server.url for server in servers], senders=16)
    deadlocks = int(postgres.sql("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"))
    say(f"{time.monotonic() - begun:.1f} s, {deadlocks} deadlocks")
    if deadlocks:
        raise SystemExit("there were deadlocks")
    fleet.check(*servers, within=SEEN_SECONDS_MAX)
    stage.verify(postgres.url)


def lagging_standby(stage):
    """A node reads from a standby that is repeatedly paused and killed; its counts are still correct."""
    postgres = stage.postgres()
    fleet = stage.fleet(postgres.url, dpus=100, spaces=10, events=20_000 if stage.short else 400_000, batch=100)
    standby = postgres.standby()
    one = stage.serve(postgres.url)
    # Its cache is too small, so it reads all the time.
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
    wait_until(lambda: look(other, 0) or from_standby(other), "the node reads from the standby")
    standby.pause()
    for number in range(10):
        fleet.mark(one, number)
        wait_until(lambda: fleet.markers(other) == number + 1, "an event not on the standby is seen", SEEN_SECONDS_MAX)
    standby.resume()
    read = from_standby(other)
    wait_until(lambda: look(other, 0) or from_standby(other) > read, "the node reads from the standby again")
    from_primary, lag = (other.metric(name) for name in (
        'headcount_database_reads_total{server="primary"}', "headcount_standby_lag_seconds"))
    say(f"the standby was paused {stood_still} times; reads from it: {from_standby(other):.0f}, from the primary: "
        f"{from_primary:.0f}; behind by {lag:.3f} s at the end")
    stage.verify(postgres.url)


def from_standby(server):
    return server.metric('headcount_database_reads_total{server="standby"}')


def look(server, seconds):
    """Requests the counts of all spaces, at least once and for this long."""
    deadline = time.monotonic() + seconds
    while True:
        for space in range(1, 11):
            server.count(space)
        if time.monotonic() >= deadline:
            return
