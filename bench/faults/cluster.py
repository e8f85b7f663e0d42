"""A cluster of NATS servers, each with a copy of every message."""

from .stage import say, wait_until


def rolling_kills(stage):
    """Three servers, three replicas: each in turn is killed and comes back, and nothing acknowledged is lost."""
    stage.needs_consume()
    servers = stage.nats_cluster()
    servers[0].needs_durable()
    postgres = stage.postgres()
    fleet = stage.fleet(postgres.url, dpus=60 if stage.short else 200, spaces=20,
                        events=10_000 if stage.short else 300_000, batch=50)
    server = stage.serve(postgres.url)
    urls = ",".join(nats.url for nats in servers)
    consumer = stage.consume(postgres.url, urls, "--nats-replicas", "3", "--nats-ack-wait", "5")
    with fleet.sending(urls, rate=300 if stage.short else 1_500, timeout=5) as sending:
        for death in range(len(servers) * (2 if stage.short else 15)):
            # As an operator would: the next is killed only when all are up to date and one of them leads.
            wait_until(lambda: any(nats.leads_all() for nats in servers), "the cluster is whole")
            stage.wait(0.5, 1.5)
            nats = servers[death % len(servers)]
            nats.process.kill()
            stage.wait(0.2, 1)
            nats.process.start()
            wait_until(nats.process.ready, "the NATS server that was killed is ready")
        say(f"{death + 1} times a NATS server was killed")
    if not consumer.running():
        consumer.start()
    fleet.check(server)
    stage.verify(postgres.url)
