"""The vendor's list prices as of 2026-11-20. Never changed: later lists are lists of their own, with a later day.

A name stands for every spelling of the model (`price_book.canonical`). Where the day since when a price holds is not known
it is the day before anything that this gateway could have recorded.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from accounting.money.price_book import RATE_NAMES

SOURCE = "Claude Code 2.1.330 model catalog built 2026-11-20; vendor price page, 2026-08 to 2026-10"
BEFORE_ALL = "2024-01-01"
GEO = {"us": "1.1"}
GEO_AND_REGIONS = {"us": "1.1", "regional": "1.1"}  # from the 4.5 generation on, on regional endpoints of the clouds
BATCH_MULTIPLIER = "0.5"
WEB_SEARCH_PER_1000 = "10"

Five = tuple[str, str, str, str, str]  # input, output, cache write 5 m, cache write 1 h, cache read


@dataclass(frozen=True, slots=True)
class Listed:
    """One price of the list, in dollars for a million tokens."""

    models: tuple[str, ...]
    rates: Five
    valid_from: str = BEFORE_ALL
    above: int | None = None
    long: Five | None = None
    fast: Five | None = None
    regional: bool = True


_OPUS_5 = ("5", "25", "6.25", "10", "0.50")
_SONNET_5 = ("2", "10", "2.50", "4", "0.20")
_SONNET_4 = ("3", "15", "3.75", "6", "0.30")
_FAST_5 = ("10", "50", "12.50", "20", "1.00")
_FAST_4 = ("30", "150", "37.50", "60", "3.00")

LIST_2026_11_20: tuple[Listed, ...] = (
    Listed(("claude-fable-5-2", "claude-mythos-5-2"), ("8", "40", "10", "16", "0.20"), fast=("16", "80", "20", "32", "0.40")),
    Listed(("claude-fable-5-1", "claude-mythos-5-1"), ("10", "50", "12.50", "20", "0.25")),
    Listed(("claude-fable-5", "claude-mythos-5"), ("10", "50", "12.50", "20", "1.00")),
    Listed(("claude-opus-5-5",), ("4", "20", "5", "8", "0.20"), fast=("8", "40", "10", "16", "0.40")),
    Listed(("claude-opus-5", "claude-opus-4-8"), _OPUS_5, fast=_FAST_5),
    Listed(("claude-opus-4-7", "claude-opus-4-6"), _OPUS_5, fast=_FAST_4),
    Listed(("claude-opus-4-5",), _OPUS_5),
    Listed(("claude-opus-4-1", "claude-opus-4", "claude-opus-4-0"), ("15", "75", "18.75", "30", "1.50"), regional=False),
    Listed(("claude-sonnet-5-5",), _SONNET_5),
    Listed(("claude-sonnet-5-5",), ("2", "10", "2.50", "4", "0.10"), valid_from="2026-10-07"),
    Listed(("claude-sonnet-5",), _SONNET_5),
    Listed(("claude-sonnet-4-6", "claude-sonnet-4-5"), _SONNET_4),
    Listed(
        ("claude-sonnet-4", "claude-sonnet-4-0", "claude-3-7-sonnet", "claude-3-5-sonnet", "claude-3-sonnet"),
        _SONNET_4,
        regional=False,
    ),
    Listed(
        ("claude-haiku-5-5",),
        ("0.10", "0.50", "0.125", "0.20", "0.01"),
        above=100_000,
        long=("0.50", "2.50", "0.625", "1.00", "0.05"),
    ),
    Listed(("claude-haiku-4-5",), ("1", "5", "1.25", "2", "0.10")),
    Listed(("claude-3-5-haiku",), ("0.80", "4", "1", "1.60", "0.08"), regional=False),
)  # fmt: skip


def rows_of(listed: Listed) -> Iterator[dict[str, Any]]:
    """The columns of a listed price's rows, one row for each model."""
    values: dict[str, Any] = {
        "provider": "*",
        "valid_from": datetime.fromisoformat(listed.valid_from).replace(tzinfo=UTC),
        "long_above": listed.above,
        "batch_multiplier": Decimal(BATCH_MULTIPLIER),
        "geo_multipliers": dict(GEO_AND_REGIONS if listed.regional else GEO),
        "web_search_per_1000": Decimal(WEB_SEARCH_PER_1000),
        "source": SOURCE,
    }
    for prefix, rates in (("", listed.rates), ("long_", listed.long), ("fast_", listed.fast)):
        if rates is not None:
            values.update({f"{prefix}{name}": Decimal(rate) for name, rate in zip(RATE_NAMES, rates, strict=True)})
    for model in listed.models:
        yield {"model": model, **values}
