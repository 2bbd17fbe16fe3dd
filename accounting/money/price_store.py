"""Prices in the database: the book that processes price with, new rows, what had no price."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import F

from accounting.audit.changes import ChangeSet
from accounting.models import Price, Revision, UnknownModelPrice, UnpricedModel
from accounting.money.price_book import RATE_NAMES, PriceBook, PriceRow

ONLY = 1  # the id of the one row of UnknownModelPrice
MOST_UNPRICED = 1_000  # rows; the longest unseen ones go


@dataclass(slots=True)
class Unpriced:
    """Calls of a model that had no price, since it was last written down; `last` is a Unix time."""

    calls: int = 0
    last: float = 0.0


UnpricedKey = tuple[str, str, bool]  # provider, model, whether only the fast mode has no price


def load_price_book() -> PriceBook:
    """Reads all prices: three queries."""
    # The number first: a change that commits in between is then read again, never missed.
    revision = Revision.objects.filter(name=Revision.PRICES).values_list("number", flat=True).first() or 0
    rows = [price.as_row() for price in Price.objects.order_by("pk").iterator(chunk_size=2000)]
    return PriceBook(revision, rows, _unknown(unknown_price()))


def priced_models() -> PriceBook:
    """The same without the price of unknown models: one query."""
    return PriceBook(rows=[price.as_row() for price in Price.objects.order_by("pk").iterator(chunk_size=2000)])


def unknown_price() -> UnknownModelPrice:
    """What a model without a price costs: the row, or one that is not stored yet."""
    return UnknownModelPrice.objects.filter(pk=ONLY).first() or UnknownModelPrice(pk=ONLY)


def set_unknown_price(change: ChangeSet, values: Mapping[str, Any]) -> None:
    """Changes the price of unknown models; what `values` does not name stays. Raises ValidationError."""
    row = unknown_price()
    for name in RATE_NAMES:
        if name in values:
            setattr(row, name, values[name])
    if not row._state.adding or row.rates() != UnknownModelPrice().rates():
        change.save(row)


def add_price(change: ChangeSet, price: Price) -> bool:
    """Adds a row; false if there is the very same one. Raises ValidationError if there is another one of that moment."""
    same = Price.objects.filter(
        provider=price.provider, model=price.model, valid_from=price.valid_from, shipped=False
    ).first()
    if same is None:
        change.save(price)
        return True
    price.clean()
    if same.as_terms() == price.as_terms():
        return False
    raise ValidationError(
        f"There is another price for {price.model} from {price.valid_from:%Y-%m-%d %H:%M} UTC on already. "
        "Prices are never changed; add one with a later valid_from."
    )


def store_unpriced(found: Mapping[UnpricedKey, Unpriced]) -> None:
    """Adds up what processes have seen; not a change of configuration, so not in the audit log."""
    for (provider, model, fast), seen in found.items():
        last = datetime.fromtimestamp(seen.last, UTC)
        with transaction.atomic():
            row, _ = UnpricedModel.objects.get_or_create(
                provider=provider[:63], model=model[:300], fast=fast, defaults={"last_seen": last}
            )
            UnpricedModel.objects.filter(pk=row.pk).update(calls=F("calls") + seen.calls, last_seen=last)
    if found:
        kept = UnpricedModel.objects.order_by("-last_seen", "-pk").values_list("pk", flat=True)
        gone = list(kept[MOST_UNPRICED : MOST_UNPRICED * 2])
        UnpricedModel.objects.filter(pk__in=gone).delete()


def still_unpriced(now: datetime) -> list[UnpricedModel]:
    """Models that were used without a price and have none by now, the latest first."""
    rows = list(UnpricedModel.objects.all()[:MOST_UNPRICED])
    if not rows:
        return []
    book = load_price_book()
    return [row for row in rows if not _has_price(book, row, now)]


def _has_price(book: PriceBook, row: UnpricedModel, now: datetime) -> bool:
    price = book.row(row.provider, row.model, now.timestamp())
    return price is not None and (not row.fast or price.fast is not None)


def _unknown(row: UnknownModelPrice) -> PriceRow:
    return PriceRow(None, "*", "*", None, row.rates())


def own_prices() -> Iterable[Price]:
    """The rows that people have added, always in the same order."""
    return Price.objects.filter(shipped=False).order_by("provider", "model", "valid_from")
