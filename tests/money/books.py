"""Books of prices from rows as the configuration file writes them."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from accounting.money.price_book import RATE_NAMES, PriceBook, PriceRow, Rates
from accounting.money.price_list import Listed, rows_of

NOW = datetime(2026, 11, 25, tzinfo=UTC).timestamp()


def rates(entry: dict[str, Any], prefix: str = "") -> Rates:
    return Rates(*(Decimal(str(entry[prefix + name])) for name in RATE_NAMES))


def row(entry: dict[str, Any], number: int = 1, *, shipped: bool = False) -> PriceRow:
    long, fast = entry.get("long_context"), entry.get("fast")
    return PriceRow(
        id=number,
        provider=entry.get("provider", "*"),
        model=entry["model"],
        valid_from=datetime.fromisoformat(entry.get("valid_from", "2025-01-01")).replace(tzinfo=UTC),
        rates=rates(entry),
        above=long["above"] if long else None,
        long=rates(long) if long else None,
        fast=rates(fast) if fast else None,
        batch=Decimal(str(entry.get("batch_multiplier", 1))),
        geo={name: Decimal(str(value)) for name, value in entry.get("geo_multipliers", {}).items()},
        web_search_per_1000=Decimal(str(entry.get("web_search_per_1000", 10))),
        shipped=shipped,
    )


def book(entries: list[dict[str, Any]], unknown: dict[str, Any] | None = None) -> PriceBook:
    rows = [row(entry, number) for number, entry in enumerate(entries, 1)]
    if unknown is None:
        return PriceBook(1, rows)
    return PriceBook(1, rows, PriceRow(None, "*", "*", None, rates(unknown)))


def shipped_book(listed: tuple[Listed, ...]) -> PriceBook:
    """The book of a fresh installation."""
    rows = []
    for number, values in enumerate((values for each in listed for values in rows_of(each)), 1):
        entry = dict(values)
        long = {name: entry.get(f"long_{name}") for name in RATE_NAMES} | {"above": entry["long_above"]}
        fast = {name: entry.get(f"fast_{name}") for name in RATE_NAMES}
        entry |= {"long_context": long if entry["long_above"] else None, "fast": fast if fast["input"] else None}
        entry["valid_from"] = entry["valid_from"].date().isoformat()
        rows.append(row(entry, number, shipped=True))
    return PriceBook(1, rows)
