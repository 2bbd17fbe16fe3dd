"""Where an explanation gets its figures: from the gateway that runs in this process, else from the database.

A command and a page of another process know the configuration exactly, and health as the running processes last wrote it.
"""

import time
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.conf import settings

from accounting.access.directory import Directory, load_directory
from accounting.access.grant import Grant
from accounting.limits.redis import RedisBooks
from accounting.limits.standing import watch, watched
from accounting.money.price_book import STANDARD, PriceBook
from accounting.money.price_store import load_price_book
from routing.explaining.decision import Sources
from routing.explaining.limits import limits_of
from routing.explaining.recorded import recorded_health
from routing.proxy.runtime import running
from routing.snapshot import load_snapshot


class NoSuchKey(Exception):
    """No key of this gateway begins so, or more than one does; the text says which."""


def grant_of(prefix: str, directory: Directory, *, team: str | None = None) -> Grant:
    """The one caller whose key has this prefix, in this team if one is named. Raises `NoSuchKey`."""
    found = [grant for grant in directory.grants.values() if grant.key_prefix == prefix and team in (None, grant.team)]
    usable = [grant for grant in found if not grant.refusal]
    if not found:
        raise NoSuchKey(f"No key has the prefix {prefix!r}.")
    if len(usable or found) > 1:
        raise NoSuchKey(f"{len(usable or found)} keys have the prefix {prefix!r}; it does not say which.")
    return (usable or found)[0]


def sources(now: datetime, *, client_ip: str = "") -> tuple[Sources, Directory]:
    """Everything an explanation needs, as of now, and the keys that there are."""
    runtime = running()
    unix = now.timestamp()
    if runtime is not None:
        house = runtime.house
        book = house.billing.book
        figures = Sources(
            snapshot=house.snapshot,
            health=house.health,
            now=time.monotonic(),
            unix=unix,
            limits=limits_of(house.directory, unix, house.limits.admission),
            price=lambda provider, model: _price(book, provider, model, unix),
            live=True,
            client_ip=client_ip,
        )
        return figures, house.directory
    if settings.REDIS_URL and watched() is None:
        watch(RedisBooks(settings.REDIS_URL))  # the counters that all gateways share
    directory, stored = load_directory(), load_price_book()
    figures = Sources(
        snapshot=load_snapshot(),
        health=recorded_health(now),
        now=unix,
        unix=unix,
        limits=limits_of(directory, unix),
        price=lambda provider, model: _price(stored, provider, model, unix),
        live=False,
        client_ip=client_ip,
    )
    return figures, directory


def _price(book: PriceBook, provider: str, model: str, at: float) -> dict[str, Any]:
    row = book.row(provider, model, at) or book.unknown
    return row.shown(STANDARD, row.rates, Decimal(1), Decimal(1))
