"""Why a request is not admitted: which limit, its numbers, when it makes sense to try again. No I/O."""

from dataclasses import dataclass

from accounting.limits.book import BudgetLine, RateLine
from accounting.limits.periods import NEVER
from accounting.limits.terms import CONCURRENT

BUDGET_EXCEEDED, RATE_LIMITED = "budget_exceeded", "rate_limited"
TOO_MANY_CONCURRENT, COUNTERS_LOST = "too_many_concurrent", "counters_lost"


@dataclass(slots=True)
class LimitReached(Exception):
    """A limit that stands in the way. `retry_after` is whole seconds, None when waiting does not help."""

    reason: str
    retry_after: int | None
    budget: BudgetLine | None = None
    rate: RateLine | None = None
    spent: int = 0
    reserved: int = 0
    limit: int = 0
    used: int = 0


def budget_reached(line: BudgetLine, now: float, *, spent: int, reserved: int, limit: int) -> LimitReached:
    wait = None if line.period.end == NEVER else max(1, line.period.end - int(now))
    return LimitReached(BUDGET_EXCEEDED, wait, budget=line, spent=spent, reserved=reserved, limit=limit)


def rate_reached(line: RateLine, *, used: int, wait: int) -> LimitReached:
    """`wait` is in microseconds."""
    reason = TOO_MANY_CONCURRENT if line.kind in CONCURRENT else RATE_LIMITED
    return LimitReached(reason, max(1, -(-wait // 1_000_000)), rate=line, used=used, limit=line.limit)
