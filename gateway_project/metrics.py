"""What a process counts for /metrics: plain numbers, added to where a request ends. exposition.py turns them into text.

Counting costs a request less than 3 microseconds, so nothing here formats, locks or looks at a clock. One event loop
counts; the number of rows is bounded.
"""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Protocol

MOST_ROWS = 5_000  # of one table; what comes beyond is counted as "other"
OTHER = "other"
# Upper bounds, in seconds: a first byte takes from milliseconds (a cached answer) to minutes (thinking models).
REQUEST_BOUNDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0)
LAG_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
TOKEN_KINDS = ("input", "output", "cache_read", "cache_write_5m", "cache_write_1h")
_BOUNDS_MS = tuple(bound * 1000 for bound in REQUEST_BOUNDS)


class Call(Protocol):
    """One upstream call of a finished request."""

    @property
    def provider(self) -> str: ...
    @property
    def status(self) -> int: ...


class Finished(Protocol):
    """A finished request, as its record has it."""

    client_format: str
    operation: str
    outcome: str
    provider: str
    status: int
    stream: bool
    ttft_ms: float | None
    duration_ms: float
    tokens_input: int
    tokens_output: int
    tokens_cache_read: int
    tokens_cache_write_5m: int
    tokens_cache_write_1h: int
    cost_usd: Decimal

    @property
    def attempts(self) -> Sequence[Call]: ...


class Histogram:
    """How many values fell under each bound (the last count: above all of them), and their sum."""

    __slots__ = ("counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def add(self, other: "Histogram") -> None:
        self.counts = [ours + theirs for ours, theirs in zip(self.counts, other.counts, strict=True)]
        self.total += other.total


class Row:
    """Requests that have their labels in common. Times are in milliseconds."""

    __slots__ = ("cost", "duration", "first_byte", "requests", "tokens")

    def __init__(self) -> None:
        self.requests = 0
        self.tokens = [0] * len(TOKEN_KINDS)
        self.cost = Decimal(0)
        self.duration = Histogram(REQUEST_BOUNDS)
        self.first_byte = Histogram(REQUEST_BOUNDS)


# client format, operation, outcome, provider, status class, whether it was a stream
Key = tuple[str, str, str, str, int, bool]


@dataclass(slots=True)
class Figures:
    """The numbers of one process. `connections` says how many client connections there are now."""

    rows: dict[Key, Row] = field(default_factory=dict)
    attempts: dict[tuple[str, int], int] = field(default_factory=dict)  # by provider and status; 0: no answer
    turned_away: dict[str, int] = field(default_factory=dict)
    lag: Histogram = field(default_factory=lambda: Histogram(LAG_BOUNDS))
    connections: Callable[[], int] = int
    most_rows: int = MOST_ROWS

    def count(self, entry: Finished) -> None:
        """A request is over."""
        key = (
            entry.client_format, entry.operation, entry.outcome, entry.provider, entry.status // 100, entry.stream,
        )  # fmt: skip
        row = self.rows.get(key) or self._new_row(key)
        row.requests += 1
        spent = entry.duration_ms
        row.duration.counts[bisect_left(_BOUNDS_MS, spent)] += 1
        row.duration.total += spent
        first = entry.ttft_ms
        if first is not None:
            row.first_byte.counts[bisect_left(_BOUNDS_MS, first)] += 1
            row.first_byte.total += first
        tokens = row.tokens
        tokens[0] += entry.tokens_input
        tokens[1] += entry.tokens_output
        tokens[2] += entry.tokens_cache_read
        tokens[3] += entry.tokens_cache_write_5m
        tokens[4] += entry.tokens_cache_write_1h
        if entry.cost_usd:
            row.cost += entry.cost_usd
        for attempt in entry.attempts:
            self._count_attempt((attempt.provider, attempt.status))

    def _count_attempt(self, call: tuple[str, int]) -> None:
        known = self.attempts.get(call)
        if known is None and len(self.attempts) >= self.most_rows:
            call = (OTHER, call[1] // 100 * 100)
            known = self.attempts.get(call)
        self.attempts[call] = 1 if known is None else known + 1

    def _new_row(self, key: Key) -> Row:
        if len(self.rows) >= self.most_rows:
            key = (*key[:3], OTHER, *key[4:])
        return self.rows.setdefault(key, Row())


FIGURES = Figures()  # this process's
count = FIGURES.count


def turned_away(reason: str) -> None:
    """A connection was refused or ended before it became a request; `reason` is one of a handful of words."""
    FIGURES.turned_away[reason] = FIGURES.turned_away.get(reason, 0) + 1


def lagged(seconds: float) -> None:
    """The event loop came so much later to a timer than the timer was due."""
    FIGURES.lag.counts[bisect_left(LAG_BOUNDS, seconds)] += 1
    FIGURES.lag.total += seconds
