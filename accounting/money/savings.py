"""About how many dollars caching saved. Pure.

    tokens read from a cache x (price of input - price of cache reads)
    - tokens written for 5 minutes x (their price - price of input)
    - tokens written for an hour x (their price - price of input)

by the standard prices in force on the day, of each provider and model. It is an estimate: long prompts, fast mode, batches and
regions have other prices, and roll-ups do not keep which tokens those were. Models without a price count as nothing.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal

from accounting.money.price_book import PriceBook

_MILLIONTH = Decimal(1).scaleb(-6)


@dataclass(frozen=True, slots=True)
class Cached:
    """What one model of a provider read from caches, and wrote to them, about a day."""

    provider: str
    model: str
    day: date
    read: int
    written_5m: int
    written_1h: int


def saved(rows: Iterable[Cached], book: PriceBook) -> Decimal:
    """Dollars; below zero where writing cost more than reading saved."""
    return sum((_saved(row, book) for row in rows), Decimal(0)) * _MILLIONTH


def _saved(row: Cached, book: PriceBook) -> Decimal:
    noon = datetime.combine(row.day, time(12), UTC)
    price = book.row(row.provider, row.model, noon.timestamp())
    if price is None:
        return Decimal(0)
    rates = price.rates
    return (
        row.read * (rates.input - rates.cache_read)
        - row.written_5m * (rates.cache_write_5m - rates.input)
        - row.written_1h * (rates.cache_write_1h - rates.input)
    )
