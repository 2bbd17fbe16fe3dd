"""Keeps the counters equal to the records: filled at the start, compared every minute, put right with a line in the log.

A counter runs ahead of the records (they are stored a moment later) or behind them (Redis was told a moment later), never
for long. So a difference counts only in one direction: what was counted before the records were summed up must be in them,
and what is in them must have been counted by the time that they have been. And it counts only if it is there twice.
"""

import time
from collections.abc import Callable, Iterable

from accounting.limits.book import BudgetLine, LimitBook, counter_of, line_at
from accounting.limits.counters import Books, Seed, Standing
from accounting.limits.periods import NEVER, Period, period_at, period_before
from accounting.limits.spending import SpentBy
from accounting.limits.terms import BudgetTerms, nano_of
from gateway_project.telemetry import logger

MOST_PERIODS_BACK = 12  # that what is carried over is followed
CHECK_EVERY = 60.0  # seconds
STORED_WITHIN = 5.0  # seconds between the halves of a check: records are stored by then
MOST_BEHIND = 2000  # records that are not stored yet; more, and the database is behind
MENTIONED = 1_000_000  # nano-dollars; what is less than a thousandth of a dollar is put right without a word

log = logger(__name__)


class Checker:
    """One of a process, used by one thread. `behind` gives the number of requests whose records are not stored yet."""

    def __init__(
        self,
        books: Books,
        spent_by: SpentBy,
        *,
        behind: Callable[[], int] = lambda: 0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._books = books
        self._spent_by = spent_by
        self._behind = behind
        self._clock = clock
        self._first: dict[str, Standing] = {}
        self._suspected: dict[str, int] = {}
        self.seen: dict[str, int] = {}  # what the records said, for whoever has to do without the counters

    def fill(self, book: LimitBook) -> None:
        """Seeds every counter of which nothing is known: of this period, and of the one before where it matters."""
        lines = [line_at(terms, self._clock()) for terms in book.budgets]
        keys = [key for line in lines for key in (line.key, line.before) if key]
        known = dict(zip(keys, self._books.standing(keys), strict=True)) if keys else {}
        seeds: dict[str, Seed] = {}
        for line in lines:
            if not known[line.key].known:
                seeds[line.key] = self._seed(line.terms, self._clock(), line.lifetime)
            if line.before and not known[line.before].known:
                seeds[line.before] = self._seed(line.terms, line.period.start - 1, line.lifetime)
        if seeds:
            self._books.seed(seeds)
        self._books.declare_ready()

    def look(self, book: LimitBook) -> None:
        """The first half of a check: what is counted now will be in the records when `check` sums them up."""
        lines = [line_at(terms, self._clock()) for terms in book.budgets]
        keys = [line.key for line in lines]
        self._first = dict(zip(keys, self._books.standing(keys), strict=True)) if keys else {}

    def check(self, book: LimitBook) -> None:
        """The second half, some seconds later: compares the counters with the records, corrects what has drifted."""
        lines = [line for line in (line_at(terms, self._clock()) for terms in book.budgets) if line.key in self._first]
        if not lines:
            return
        stored = self._behind() < MOST_BEHIND
        sums = [nano_of(self._spent_by(line.terms, line.period)) for line in lines]
        after = self._books.standing([line.key for line in lines])
        suspected: dict[str, int] = {}
        self.seen = {}
        for line, recorded, last in zip(lines, sums, after, strict=True):
            self.seen[line.key] = recorded
            difference = drift(recorded, self._first[line.key], last)
            if difference < 0 and not stored:
                continue
            if difference and difference * self._suspected.get(line.key, 0) > 0:
                self._correct(line, difference, recorded)
            elif difference:
                suspected[line.key] = difference
        self._suspected, self._first = suspected, {}

    def _correct(self, line: BudgetLine, difference: int, recorded: int) -> None:
        # The smaller of the two findings: what happened between them is not drift.
        difference = min(difference, self._suspected[line.key], key=abs)
        self._books.correct(line.key, difference)
        if abs(difference) >= MENTIONED:
            log.warning(
                "a budget's counter had drifted from the records and was put right",
                budget=line.terms.id,
                scope=str(line.terms.scope),
                period=line.terms.period,
                difference_nano=difference,
                recorded_nano=recorded,
            )

    def _seed(self, terms: BudgetTerms, moment: float, lifetime: int) -> Seed:
        period = period_at(terms.period, moment, terms.zone, terms.fiscal_start_month)
        spent = nano_of(self._spent_by(terms, period))
        return Seed(spent, self._carried_into(terms, moment), lifetime)

    def _carried_into(self, terms: BudgetTerms, moment: float) -> int:
        """What the periods since the budget was made have left over, the oldest first."""
        if not terms.carry_over:
            return 0
        periods: list[Period] = []
        period = period_at(terms.period, moment, terms.zone, terms.fiscal_start_month)
        while len(periods) < MOST_PERIODS_BACK and period.start > terms.created_at:
            earlier = period_before(terms.period, period, terms.zone, terms.fiscal_start_month)
            if earlier is None:
                break
            periods.append(earlier)
            period = earlier
        left = 0
        for each in reversed(periods):
            left = min(terms.amount, max(0, terms.amount + left - nano_of(self._spent_by(terms, each))))
        return left


def drift(recorded: int, first: Standing, last: Standing) -> int:
    """By how much a counter is to be changed; it was read `first` well before the records were summed up, `last` after."""
    if recorded < first.spent:
        return recorded - first.spent
    return recorded - last.spent if recorded > last.spent else 0


def current_keys(book: LimitBook, now: float) -> frozenset[str]:
    """The counters that are of use: this period's and the one's before."""
    return frozenset(_keys(book.budgets, now))


def _keys(budgets: Iterable[BudgetTerms], now: float) -> Iterable[str]:
    for terms in budgets:
        period = period_at(terms.period, now, terms.zone, terms.fiscal_start_month)
        yield counter_of(terms, period)
        if period.end != NEVER:
            yield counter_of(terms, period_at(terms.period, period.start - 1, terms.zone, terms.fiscal_start_month))
