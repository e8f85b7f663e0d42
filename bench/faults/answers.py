"""Lost acknowledgements: the request succeeds, but its sender never receives the answer."""

from .stage import say


def lost(stage):
    """Senders repeat events that are already recorded; they count once."""
    database = stage.sqlite()
    fleet = stage.fleet(database, dpus=200, spaces=20, events=30_000 if stage.short else 500_000, batch=100)
    server = stage.serve(database)
    proxy = stage.proxy(server.address)
    with fleet.sending(proxy.url, rate=8_000 if stage.short else 20_000, timeout=2) as sending:
        losing = False
        while sending.running():
            losing = not losing
            proxy.lose_answers(losing)
            stage.wait(0.1, 0.4)
        proxy.lose_answers(False)
    if not proxy.lost:
        raise SystemExit("no answer was lost: the fault did not happen")
    say(f"{proxy.lost} answers were lost")
    fleet.check(server)
    stage.verify(database)
