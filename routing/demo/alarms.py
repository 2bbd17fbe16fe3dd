"""Soft limits of the demo: looked at in the moments at which one was reached, by the gateway's own rule."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from accounting.limits.alerts import Alerts
from accounting.limits.book import BudgetLine, LimitBook, line_at
from accounting.limits.checking import Checker
from accounting.limits.memory import MemoryCounters
from accounting.limits.periods import NEVER
from accounting.limits.spending import spent_by_ledger
from accounting.limits.standing import watch, watched
from accounting.limits.terms import BudgetTerms, nano_of
from accounting.money.entry import Entry
from routing.demo.budgets import Plan


@dataclass(slots=True)
class _Meter:
    """What one budget has spent in the period that the requests have come to."""

    plan: Plan
    terms: BudgetTerms
    line: BudgetLine | None = None
    spent: int = 0

    def passes(self, entry: Entry) -> bool:
        """Counts a request; whether it has reached a soft limit."""
        if not entry.cost_usd or not self.plan.covers(entry):
            return False
        if self.line is None or not _holds(self.line, entry.started_at):
            self.line, self.spent = line_at(self.terms, entry.started_at), 0
        before, self.spent = self.spent, self.spent + nano_of(entry.cost_usd)
        return any(before * 100 < self.line.limit * each <= self.spent * 100 for each in self.terms.soft)


def _holds(line: BudgetLine, at: float) -> bool:
    return line.period.end == NEVER or at < line.period.end


def reached(entries: Iterable[Entry], budgets: Sequence[tuple[Plan, BudgetTerms]]) -> frozenset[str]:
    """The ids of the requests that have reached a soft limit of one of these budgets."""
    meters = [_Meter(plan, terms) for plan, terms in budgets if terms.soft]
    return frozenset(entry.request_id for entry in entries if [meter for meter in meters if meter.passes(entry)])


def look(book: LimitBook, at: float) -> None:
    """Raises the alerts that are due at this moment, from what is stored by then."""
    soft = replace(book, budgets=tuple(terms for terms in book.budgets if terms.soft))
    counters = MemoryCounters()
    Checker(counters, spent_by_ledger, clock=lambda: at).fill(soft)
    before = watched()
    watch(counters)
    try:
        Alerts(lambda: at).look(soft)
    finally:
        watch(before)
