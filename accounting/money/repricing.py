"""What a line of the ledger costs by a book of prices: the rule of prices, applied to what the ledger kept. Pure.

The band of rates (standard, long prompt, fast) and the region's multiplier are those that were recorded; rates, the batch
multiplier and the price of searches are those of the row that is in the book now for the moment of the request.
"""

from collections.abc import Mapping
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Any, Protocol

from accounting.models import LedgerEntry
from accounting.money.contributions import TOKENS
from accounting.money.rerate import Reprice, Repriced

_EXACT = Context(prec=80, rounding=ROUND_HALF_EVEN)
_PLACES = Decimal(1).scaleb(-12)
_PER_MILLION, _PER_THOUSAND = Decimal(1).scaleb(-6), Decimal(1).scaleb(-3)
_NAMES = ("input", "output", "cache_read", "cache_write_5m", "cache_write_1h")  # in the order of TOKENS
LONG, FAST = "long_context", "fast"


class Row(Protocol):
    """A row of prices, as the price book has it."""

    @property
    def id(self) -> int | None: ...
    @property
    def rates(self) -> Any: ...
    @property
    def long(self) -> Any: ...
    @property
    def fast(self) -> Any: ...
    @property
    def batch(self) -> Decimal: ...
    @property
    def web_search_per_1000(self) -> Decimal: ...
    def shown(self, band: str, rates: Any, batch: Decimal, geo: Decimal) -> dict[str, Any]: ...


class Book(Protocol):
    """Every row of prices."""

    @property
    def unknown(self) -> Any: ...
    def row(self, provider: str, model: str, at: float) -> Any: ...


def by_book(book: Book) -> Reprice:
    """Prices lines by `book`. A line without a price (a call that was free) and one whose row still counts stay."""

    def reprice(line: LedgerEntry) -> Repriced | None:
        price: Mapping[str, Any] | None = line.price
        if not price:
            return None
        row: Row = _row(book, line, price)
        if row.id is not None and row.id == price.get("id"):
            return None
        return _cost(line, price, row)

    return reprice


def _row(book: Book, line: LedgerEntry, price: Mapping[str, Any]) -> Row:
    """The row in force. A row for one model may have been found by what the response called it: that name counts again."""
    named = str(price.get("model") or "")
    model = named if price.get("id") is not None and "*" not in named else line.model
    found: Row = book.row(line.provider, model, line.at.timestamp()) or book.unknown
    return found


def _cost(line: LedgerEntry, price: Mapping[str, Any], row: Row) -> Repriced:
    band, rates = _rates(row, str(price.get("band")))
    kept = price.get("multipliers") or {}
    batch = row.batch if "batch" in kept else Decimal(1)
    geo = Decimal(str(kept.get("geo", 1)))
    cost = Decimal(0)
    for column, name in zip(TOKENS, _NAMES, strict=True):
        cost = _EXACT.fma(Decimal(getattr(line, column)), getattr(rates, name), cost)
    cost = _EXACT.multiply(_EXACT.multiply(_EXACT.multiply(cost, _PER_MILLION), batch), geo)
    searches = _EXACT.multiply(row.web_search_per_1000, _PER_THOUSAND)
    cost = _EXACT.fma(Decimal(line.web_searches), searches, cost)
    return Repriced(_EXACT.quantize(cost, _PLACES), row.shown(band, rates, batch, geo))


def _rates(row: Row, band: str) -> tuple[str, Any]:
    if band == FAST and row.fast is not None:
        return FAST, row.fast
    if band == LONG and row.long is not None:
        return LONG, row.long
    return "standard", row.rates
