"""A process that is suspended for a while, like on a machine that swaps or is migrated."""

import time

from .stage import say


def consumer(stage):
    """A consumer is suspended for longer than the acknowledgement timeout, and then continues with its messages."""
    stage.needs_consume()
    nats, postgres = stage.nats(sync=False), stage.postgres()
    fleet = stage.fleet(postgres.url, dpus=200, spaces=20, events=20_000 if stage.short else 400_000, batch=100)
    server = stage.serve(postgres.url)
    ack_wait_s = 2 if stage.short else 30
    sleeper = stage.consume(postgres.url, nats.url, "--nats-ack-wait", str(ack_wait_s))
    other = None
    with fleet.sending(nats.url, rate=4_000 if stage.short else 10_000):
        stage.wait(0.5, 1)
        sleeper.pause()
        # Another consumer gets its messages and records them.
        other = stage.consume(postgres.url, nats.url, "--nats-ack-wait", str(ack_wait_s))
        time.sleep(ack_wait_s * 1.5)
        sleeper.resume()
    fleet.check(server)
    say(f"the consumer stood still for {ack_wait_s * 1.5} s and runs: {sleeper.running() and other.running()}")
    stage.verify(postgres.url)
