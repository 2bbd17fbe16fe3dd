"""The ledger's benchmark writes rows past the models: they have what the tables and the API want."""

import json
import re
from datetime import UTC, datetime

import pytest
from django.db.models import Model

from accounting.api.serializers import AppliedPriceSerializer
from accounting.models import LedgerEntry, RequestRecord
from bench.ledger import PRICE, Plan, _lines, _records

PLAN = Plan(300_000, datetime(2026, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize(("model", "statement"), [(LedgerEntry, _lines(PLAN, 0)), (RequestRecord, _records(PLAN, 0))])
def test_no_column_that_needs_a_value_is_left_out(model: type[Model], statement: str) -> None:
    found = re.match(r"INSERT INTO (\w+) \((.+?)\) SELECT ", statement)
    assert found is not None
    assert found[1] == model._meta.db_table
    named = {name.strip(' "') for name in found[2].split(",")}
    needed = {field.column for field in model._meta.concrete_fields if not field.null and not field.primary_key}
    assert needed - named == set()


def test_the_price_has_the_parts_that_the_api_shows() -> None:
    shown = AppliedPriceSerializer(json.loads(PRICE)).data
    assert set(shown) == set(json.loads(PRICE))
