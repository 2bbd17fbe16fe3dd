"""Sums of a team's usage for lists and charts, out of roll-ups; budgets as bars show them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from django.utils import formats

from accounting.limits.loading import budget_terms, organization_terms
from accounting.limits.standing import standings
from accounting.limits.terms import dollars_of
from accounting.models import Budget, OrganizationSettings, Team
from accounting.money.reports import BadQuestion, Question, UsageRow, usage
from gateway_project.dashboard.periods import Period

MOST = 5000  # rows of a list
TOKENS = ("input", "output", "cache_read", "cache_write_5m", "cache_write_1h")


@dataclass(frozen=True, slots=True)
class Days:
    """A period day by day, and in all."""

    days: tuple[tuple[date, Decimal, int], ...]
    spent: Decimal
    requests: int
    tokens: int

    @property
    def chart(self) -> dict[str, Any]:
        """As charts.js takes it."""
        values = [str(spent) for _, spent, _ in self.days]
        return {
            "labels": [formats.date_format(day, "j M") for day, _, _ in self.days],
            "series": [{"name": "USD", "values": values}],
            "unit": "usd",
        }


@dataclass(frozen=True, slots=True)
class Bar:
    """A budget with how much of it is used."""

    budget: Budget
    spent: Decimal
    limit: Decimal
    share: float


def spend_by(name: str, team: Team, period: Period) -> dict[str, Decimal]:
    """Dollars by the values of `name` (`user`, `project`) in the period."""
    question = Question((name,), since=period.since, until=period.until, names=(("team", team.name),))
    rows, _ = usage(question, limit=MOST)
    return {str(row.group[0]): Decimal(row.sums["cost_usd"]) for row in rows}


def days_of(team: Team, period: Period, *, project: str) -> Days:
    """What a project used on each day of the period, those without usage too."""
    names = (("team", team.name), ("project", project))
    question = Question(("day",), since=period.since, until=period.until, names=names, zone=period.zone.key)
    by_day = {row.group[0]: row for row in _rows(question)}
    count = (period.last_day - period.first_day).days + 1
    each = [period.first_day + timedelta(days=number) for number in range(count)]
    days = tuple((day, *_used(by_day.get(day))) for day in each)
    rows = list(by_day.values())
    tokens = sum(int(row.sums[kind]) for row in rows for kind in TOKENS)
    spent = sum((Decimal(row.sums["cost_usd"]) for row in rows), Decimal(0))
    return Days(days, spent, sum(int(row.sums["requests"]) for row in rows), tokens)


def standing_of(budgets: Sequence[Budget]) -> list[Bar]:
    """How budgets stand now."""
    organization = organization_terms(OrganizationSettings.objects.first())
    found = standings(list(budget_terms(budgets, organization)))
    return [
        Bar(row, dollars_of(each.spent), dollars_of(each.limit), each.spent / each.limit if each.limit else 1.0)
        for row, each in zip(budgets, found, strict=True)
    ]


def _rows(question: Question) -> list[UsageRow]:
    """By days of the zone; by those of UTC where a zone's days cut hours."""
    try:
        return usage(question, limit=MOST)[0]
    except BadQuestion:
        return usage(replace(question, zone="UTC"), limit=MOST)[0]


def _used(row: UsageRow | None) -> tuple[Decimal, int]:
    return (Decimal(row.sums["cost_usd"]), int(row.sums["requests"])) if row else (Decimal(0), 0)
