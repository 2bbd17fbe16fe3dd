"""The database refuses what is no limit, whoever writes it; the forms' rules say so in a sentence."""

from decimal import Decimal
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from accounting.audit.changes import Actor, changing
from accounting.models import Budget, OrganizationSettings, RateLimit, Team

SYSTEM = Actor("tests", "system")


def budget(**fields: Any) -> Budget:
    return Budget(**{"scope": "organization", "period": "day", "amount": Decimal(1), **fields})


@pytest.mark.parametrize(
    "fields",
    [
        {"amount": Decimal(0)},
        {"amount": Decimal(-1)},
        {"amount": Decimal(9_000_001)},
        {"period": "year"},
        {"scope": "planet"},
        {"scope": "team"},
        {"raise_amount": Decimal(1)},
        {"raise_until": timezone.now()},
        {"raise_amount": Decimal(-1), "raise_until": timezone.now()},
    ],
)
def test_what_is_no_budget_reaches_no_table(any_database: str, fields: dict[str, Any]) -> None:
    with pytest.raises(DatabaseError), transaction.atomic():
        budget(**fields).save(force_insert=True)
    with pytest.raises(ValidationError), changing(SYSTEM) as change:
        change.save(budget(**fields))


@pytest.mark.parametrize("amount", ["NaN", "sNaN", "Infinity", "-Infinity", "1e400", "x", None])
def test_what_is_no_number_is_no_amount(any_database: str, amount: str | None) -> None:
    value: Any = Decimal(amount) if amount not in ("x", None) else amount
    with pytest.raises(ValidationError) as refused, changing(SYSTEM) as change:
        change.save(budget(amount=value))
    assert "amount" in refused.value.message_dict


def test_not_a_number_is_refused_by_the_database_itself(postgres: str) -> None:
    budget().save()
    with connection.cursor() as cursor, pytest.raises(DatabaseError):
        cursor.execute("UPDATE accounting_budget SET amount = 'NaN'::numeric")


@pytest.mark.parametrize("fields", [{"amount": 0}, {"kind": "requests_per_hour"}, {"scope": "key"}])
def test_what_is_no_rate_limit_reaches_no_table(any_database: str, fields: dict[str, Any]) -> None:
    values = {"scope": "organization", "kind": "requests_per_minute", "amount": 1, **fields}
    with pytest.raises(DatabaseError), transaction.atomic():
        RateLimit(**values).save(force_insert=True)
    with pytest.raises(ValidationError), changing(SYSTEM) as change:
        change.save(RateLimit(**values))


def test_there_is_one_of_a_kind_for_each_owner(any_database: str) -> None:
    with changing(SYSTEM) as change:
        one, other = Team(name="one"), Team(name="other")
        change.save(one)
        change.save(other)
        for row in (budget(scope="team", team=one), budget(scope="team", team=other), budget()):
            change.save(row)
        change.save(budget(scope="team", team=one, model="claude-*"))
    with pytest.raises(ValidationError, match="There is such a budget already"), changing(SYSTEM) as change:
        change.save(budget(scope="team", team=one, model="*"))
    with pytest.raises(ValidationError, match="There is such a budget already"), changing(SYSTEM) as change:
        change.save(budget())


def test_there_is_one_organization(any_database: str) -> None:
    with changing(SYSTEM) as change:
        change.save(OrganizationSettings())
    with pytest.raises(ValidationError), changing(SYSTEM) as change:
        change.save(OrganizationSettings())


def test_amounts_keep_every_place(any_database: str) -> None:
    amount = Decimal("8999999.123456789012")
    with changing(SYSTEM) as change:
        change.save(budget(amount=amount))
    assert Budget.objects.get().amount == amount
