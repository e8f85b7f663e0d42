"""Instants as milliseconds since the Unix epoch, and as text."""

from datetime import datetime, timezone
from functools import lru_cache

DAY_MS = 86_400_000


def text_of(ms):
    seconds, rest = divmod(ms, 1000)
    moment = datetime.fromtimestamp(seconds, timezone.utc)
    return f"{moment:%Y-%m-%dT%H:%M:%S}" + (f".{rest:03d}Z" if rest else "Z")


@lru_cache(maxsize=None)
def day_ms(date):
    return int(datetime.fromisoformat(date).replace(tzinfo=timezone.utc).timestamp()) * 1000


def ms_of(text):
    """Parses `YYYY-MM-DDThh:mm:ss[.fff]Z`, the only format in generated files."""
    fraction = int(text[20:23]) if len(text) > 20 else 0
    seconds = int(text[11:13]) * 3600 + int(text[14:16]) * 60 + int(text[17:19])
    return day_ms(text[:10]) + seconds * 1000 + fraction
