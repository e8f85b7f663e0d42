"""Connections that break, or stay open at both ends while no data passes."""

import time

from .stage import say, wait_until


def _while_sending(stage, sending, proxy, silences):
    """Cuts connections until everything is acknowledged, and silences them a few times."""
    cut, silent, faults = 0, 0, 0
    while sending.running() or faults < 3:
        stage.wait(0.2, 0.8)
        if faults < 3 * silences and faults % 3 == 1:
            silent += proxy.fall_silent()
        else:
            cut += proxy.cut()
        faults += 1
    say(f"{cut} connections were cut and {silent} fell silent")


def senders(stage):
    """Between senders and the server."""
    database = stage.sqlite()
    fleet = stage.fleet(database, dpus=200, spaces=20, events=40_000 if stage.short else 1_000_000, batch=100)
    server = stage.serve(database)
    proxy = stage.proxy(server.address)
    with fleet.sending(proxy.url, rate=10_000 if stage.short else 20_000, timeout=1) as sending:
        _while_sending(stage, sending, proxy, silences=2 if stage.short else 20)
    fleet.check(server)
    stage.verify(database)


def postgres(stage):
    """Between a server and PostgreSQL. Another server writes at the same time, and the first must notice."""
    postgres = stage.postgres()
    fleet = stage.fleet(postgres.url, dpus=50, spaces=10, events=20_000 if stage.short else 400_000, batch=100)
    proxy = stage.proxy(postgres.address)
    behind, beside = stage.serve(postgres.url_at(proxy.address)), stage.serve(postgres.url)
    with fleet.sending(behind.url, beside.url, rate=4_000 if stage.short else 8_000, timeout=5) as sending:
        _while_sending(stage, sending, proxy, silences=1 if stage.short else 3)
    fleet.check(behind, beside)
    # Its caches must not become stale while others write, even without notifications.
    say(f"{proxy.fall_silent()} connections of the server fall silent for good")
    for number in range(1, 4):
        fleet.mark(beside, number)
        begun = time.monotonic()
        wait_until(lambda: fleet.markers(behind) == number, "the server sees what another has written", 60)
        say(f"it sees what another has written after {time.monotonic() - begun:.1f} s")
    stage.verify(postgres.url)


def nats(stage):
    """Between the consumer and NATS."""
    stage.needs_consume()
    nats, postgres = stage.nats(sync=False), stage.postgres()
    fleet = stage.fleet(postgres.url, dpus=200, spaces=20, events=20_000 if stage.short else 400_000, batch=100)
    server = stage.serve(postgres.url)
    proxy = stage.proxy(nats.address)
    consumer = stage.consume(postgres.url, f"nats://{proxy.address}", "--nats-ack-wait", "5")
    wait_until(consumer.running, "the consumer runs")
    with fleet.sending(nats.url, rate=4_000 if stage.short else 8_000) as sending:
        _while_sending(stage, sending, proxy, silences=1 if stage.short else 5)
    fleet.check(server)
    stage.verify(postgres.url)
