"""Money comes back to the last digit, alone and summed, whatever the database."""

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from django.db.models import F, Sum, Value

from accounting.models import RequestRecord
from accounting.models.money import MoneyField
from accounting.money.entry import Entry
from accounting.money.store import store_records, store_row_by_row


def entries(*amounts: str) -> list[Entry]:
    return [
        Entry(f"req_{number}", datetime.now(UTC).timestamp(), cost_usd=Decimal(amount))
        for number, amount in enumerate(amounts)
    ]


@pytest.mark.parametrize("store", [store_records, store_row_by_row])
def test_amounts_keep_twelve_places(store: Callable[[list[Entry]], None], any_database: str) -> None:
    amounts = ["0", "0.000000000001", "0.1", "12.345678901234", "8999999.999999999999"]
    store(entries(*amounts))
    stored = RequestRecord.objects.order_by("request_id").values_list("cost_usd", flat=True)
    assert list(stored) == [Decimal(amount) for amount in amounts]


def test_sums_and_comparisons_are_exact(any_database: str) -> None:
    store_records(entries(*["0.1"] * 7, "0.000000000003"))
    assert RequestRecord.objects.aggregate(total=Sum("cost_usd"))["total"] == Decimal("0.700000000003")
    assert RequestRecord.objects.filter(cost_usd__gte=Decimal("0.1")).count() == 7
    assert RequestRecord.objects.filter(cost_usd=Decimal("0.000000000003")).count() == 1


def test_amounts_are_added_in_the_database(any_database: str) -> None:
    store_records(entries("0.1"))
    RequestRecord.objects.update(cost_usd=F("cost_usd") + Value(Decimal("0.000000000002"), MoneyField()))
    assert RequestRecord.objects.get().cost_usd == Decimal("0.100000000002")
