"""How budgets stand now, for pages, the API and alerts: the live counters where this process has them, else the records.

`watch` is called once by whoever runs the gateway in this process.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from redis import RedisError

from accounting.limits.book import BudgetLine, RateLine, line_at
from accounting.limits.counters import Books, Standing, carried
from accounting.limits.loading import PARENTS, budget_terms, organization_terms
from accounting.limits.spending import SpentBy, spent_by_ledger
from accounting.limits.terms import BudgetTerms, nano_of
from accounting.models import Budget, OrganizationSettings

MOST_LOOKED_AT = 2_000
MOST_SUMMED = 20

_books: Books | None = None


@dataclass(frozen=True, slots=True)
class BudgetStanding:
    """A budget in its current period, in nano-dollars. `live` is false where the records had to be summed up."""

    line: BudgetLine
    spent: int
    reserved: int
    limit: int
    live: bool

    @property
    def remaining(self) -> int:
        return max(0, self.limit - self.spent - self.reserved)


def watch(books: Books | None) -> None:
    """The counters of this process; None when it stops."""
    global _books
    _books = books


def watched() -> Books | None:
    return _books


def standings(
    budgets: Sequence[BudgetTerms], *, spent_by: SpentBy = spent_by_ledger, now: float | None = None
) -> list[BudgetStanding]:
    """How each of these budgets stands, in their order."""
    lines = [line_at(terms, time.time() if now is None else now) for terms in budgets]
    live = _live(lines)
    return [_of_counters(line, live) if live.get(line.key) else _of_records(line, spent_by) for line in lines]


def near_end(percent: int, *, now: float | None = None) -> list[tuple[Budget, BudgetStanding]]:
    """The budgets in use that have used so much of their current period, the most used first.

    Bounded: so many budgets are looked at, and of those that no counter knows so many are summed up from the records.
    """
    rows = list(Budget.objects.filter(enabled=True).select_related(*PARENTS).order_by("id")[:MOST_LOOKED_AT])
    organization = organization_terms(OrganizationSettings.objects.first())
    lines = [line_at(terms, time.time() if now is None else now) for terms in budget_terms(rows, organization)]
    live, summed = _live(lines), 0
    found: list[tuple[Budget, BudgetStanding]] = []
    for row, line in zip(rows, lines, strict=True):
        if not live.get(line.key) and summed >= MOST_SUMMED:
            continue
        summed += not live.get(line.key)
        standing = _of_counters(line, live) if live.get(line.key) else _of_records(line, spent_by_ledger)
        if standing.spent * 100 >= standing.limit * percent:
            found.append((row, standing))
    return sorted(found, key=lambda each: -each[1].spent / max(1, each[1].limit))


def used_now(lines: Sequence[RateLine]) -> list[int | None]:
    """How much of each rate limit is used now; None where no counters are at hand."""
    try:
        if _books is not None and lines:
            return list(_books.used(lines))
    except (RedisError, OSError):
        pass
    return [None] * len(lines)


def _live(lines: Sequence[BudgetLine]) -> dict[str, Standing]:
    keys = [key for line in lines for key in (line.key, line.before) if key]
    if _books is None or not keys:
        return {}
    try:
        found = _books.standing(keys) if _books.ready() else ()
    except (RedisError, OSError):
        return {}
    return {key: standing for key, standing in zip(keys, found, strict=False) if standing.known}


def _of_counters(line: BudgetLine, live: dict[str, Standing]) -> BudgetStanding:
    standing = live[line.key]
    limit = line.limit
    if line.before:
        limit += carried(line, live[line.before]) if line.before in live else standing.carried
    return BudgetStanding(line, standing.spent, standing.reserved, limit, live=True)


def _of_records(line: BudgetLine, spent_by: SpentBy) -> BudgetStanding:
    return BudgetStanding(line, nano_of(spent_by(line.terms, line.period)), 0, line.limit, live=False)
