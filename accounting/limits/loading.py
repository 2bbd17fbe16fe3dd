"""Reads all limits from the database: three queries, whatever their number."""

import secrets
from collections.abc import Iterable

from accounting.limits.book import LimitBook
from accounting.limits.terms import (
    EVERYTHING,
    USER,
    BudgetTerms,
    OrganizationTerms,
    RateTerms,
    Scope,
    nano_of,
)
from accounting.models import Budget, OrganizationSettings, RateLimit, Revision
from accounting.models.limits import Scoped, scope_name

PARENTS = ("team", "project__team", "user", "key__project__team")


def load_limits() -> LimitBook:
    """Every limit in use, the organization's first."""
    organization = organization_terms(OrganizationSettings.objects.first())
    budgets = Budget.objects.filter(enabled=True).select_related(*PARENTS).order_by("id")
    rates = RateLimit.objects.filter(enabled=True).select_related(*PARENTS).order_by("id")
    return LimitBook(organization, tuple(budget_terms(budgets, organization)), tuple(rate_terms(rates)))


def installation() -> str:
    """A name of this database's own, made once: installations that share a Redis do not share their counters."""
    row, _ = Revision.objects.get_or_create(name="installation", defaults={"number": secrets.randbits(60)})
    return f"{row.number:x}"


def organization_terms(row: OrganizationSettings | None) -> OrganizationTerms:
    if row is None:
        return OrganizationTerms()
    return OrganizationTerms(row.timezone, row.fiscal_start_month, row.on_counter_loss, row.reservation)


def budget_terms(rows: Iterable[Budget], organization: OrganizationTerms) -> Iterable[BudgetTerms]:
    for row in rows:
        team = row.owning_team
        yield BudgetTerms(
            id=row.pk,
            scope=scope_of(row),
            period=row.period,
            amount=nano_of(row.amount),
            zone=team.timezone if team else organization.timezone,
            fiscal_start_month=organization.fiscal_start_month,
            hard=row.hard,
            soft=tuple(sorted(row.soft)),
            carry_over=row.carry_over,
            raise_amount=nano_of(row.raise_amount) if row.raise_amount is not None else 0,
            raise_until=row.raise_until.timestamp() if row.raise_until else 0.0,
            created_at=row.created_at.timestamp(),
            model=row.model,
            tag=row.tag,
        )


def scope_of(row: Scoped) -> Scope:
    if row.owner is None:
        return EVERYTHING
    team = row.owning_team
    return Scope(row.scope, row.owner.pk, scope_name(row.owner), team.name if team and row.scope != USER else "")


def rate_terms(rows: Iterable[RateLimit]) -> Iterable[RateTerms]:
    for row in rows:
        yield RateTerms(str(row.pk), scope_of(row), row.kind, row.amount, row.model, row.tag)
