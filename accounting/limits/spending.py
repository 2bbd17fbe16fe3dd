"""What a budget has spent in a period, from the ledger: what counters are rebuilt from and checked against.

`SpentBy` is all that the rest knows of it. Adjustments count: a re-rated period has spent what it comes to now.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

from accounting.limits.book import fits
from accounting.limits.periods import NEVER, Period
from accounting.limits.terms import KEY, PROJECT, TEAM, USER, BudgetTerms
from accounting.models import VirtualKey
from accounting.money.reports import Question, each_usage, total_cost, total_costs

SpentBy = Callable[[BudgetTerms, Period], Decimal]
Names = tuple[tuple[str, str], ...]


def spent_by_ledger(terms: BudgetTerms, period: Period) -> Decimal:
    """Dollars of the requests that began in the period, out of roll-ups. Raises `django.db.Error` while the database is
    away."""
    question = _question(terms, period)
    if question is None:
        return Decimal(0)
    if not terms.model:
        return total_cost(question)
    rows = each_usage(replace(question, group_by=("alias", "model")))
    fitting = (row for row in rows if fits(terms.model, (str(row.group[0]), str(row.group[1]))))
    return sum((Decimal(row.sums["cost_usd"]) for row in fitting), Decimal(0))


def spent_together(budgets: Sequence[tuple[BudgetTerms, Period]]) -> list[Decimal]:
    """The same of several budgets without a pattern of models, in one query (one more for each of a key)."""
    questions = [_question(terms, period) for terms, period in budgets]
    found = iter(total_costs([question for question in questions if question is not None]))
    return [Decimal(0) if question is None else next(found) for question in questions]


def _question(terms: BudgetTerms, period: Period) -> Question | None:
    """What a budget's scope has used in a period, whatever the model; None for a key that is gone."""
    names = _names(terms)
    if names is None:
        return None
    name, _, value = terms.tag.partition("=")
    return Question(
        since=datetime.fromtimestamp(period.start, UTC),
        until=None if period.end == NEVER else datetime.fromtimestamp(period.end, UTC),
        names=names,
        tags=((name, value),) if terms.tag else (),
    )


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
