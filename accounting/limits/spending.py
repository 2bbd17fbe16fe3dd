"""What a budget has spent in a period, from the ledger: what counters are rebuilt from and checked against.

`SpentBy` is all that the rest knows of it. Adjustments count: a re-rated period has spent what it comes to now.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal

from accounting.limits.book import fits
from accounting.limits.periods import NEVER, Period
from accounting.limits.terms import KEY, PROJECT, TEAM, USER, BudgetTerms
from accounting.models import VirtualKey
from accounting.money.reports import Question, each_usage, total_cost

SpentBy = Callable[[BudgetTerms, Period], Decimal]
Names = tuple[tuple[str, str], ...]


def spent_by_ledger(terms: BudgetTerms, period: Period) -> Decimal:
    """Dollars of the requests that began in the period, out of roll-ups. Raises `django.db.Error` while the database is
    away."""
    names = _names(terms)
    if names is None:
        return Decimal(0)
    name, _, value = terms.tag.partition("=")
    question = Question(
        group_by=("alias", "model") if terms.model else (),
        since=datetime.fromtimestamp(period.start, UTC),
        until=None if period.end == NEVER else datetime.fromtimestamp(period.end, UTC),
        names=names,
        tags=((name, value),) if terms.tag else (),
    )
    if not terms.model:
        return total_cost(question)
    rows = (row for row in each_usage(question) if fits(terms.model, (str(row.group[0]), str(row.group[1]))))
    return sum((Decimal(row.sums["cost_usd"]) for row in rows), Decimal(0))


def _names(terms: BudgetTerms) -> Names | None:
    """What the requests of a budget's scope are called; None for a key that is gone."""
    scope = terms.scope
    if scope.type == TEAM:
        return (("team", scope.name),)
    if scope.type == USER:
        return (("user", scope.name),)
    if scope.type == PROJECT:
        return (("team", scope.team), ("project", scope.name.partition("/")[2]))
    if scope.type != KEY:
        return ()
    # By name: a key that was given a new secret has another prefix and the same budget.
    key = VirtualKey.objects.select_related("project__team").filter(pk=scope.id).first()
    if key is None:
        return None
    return (("team", key.project.team.name), ("project", key.project.name), ("key", key.name))
