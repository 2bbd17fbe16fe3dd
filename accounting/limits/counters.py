"""What counts: the interface of the counters, and the one decision that they take. `memory` and `redis` are the two kinds.

A reservation belongs to a ticket, which lives until it is settled, released or not renewed in time; then what it holds is
free again. Budgets count nano-dollars, windows requests and tokens of the last sixty seconds, slots what runs now.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

import msgspec

from accounting.limits.book import BudgetLine, Plan, RateLine
from accounting.limits.terms import INPUT_TOKENS

SECOND = 1_000_000  # counters' clocks tell microseconds
WINDOW = 60 * SECOND
SLICE = 10_000  # microseconds that a window counts together; they leave it together, with the last of them
TICKET_LIFETIME = 60 * SECOND  # without being renewed


class CountersLost(Exception):
    """The counters cannot be reached, and the organization has chosen to serve nothing uncounted."""


class Verdict(Enum):
    """What a budget says to a reservation: it fits; others' reservations stand in the way; there is too little left."""

    FITS = 0
    WAITS = 1
    STOPS = 2


class Wish(msgspec.Struct, frozen=True):
    """What a request wants to reserve: nano-dollars, the least it can cost, tokens."""

    cost: int = 0
    least: int = 0
    input_tokens: int = 0
    output_tokens: int = 0


class BudgetState(msgspec.Struct):
    """A budget's counter after the decision; `limit` includes what was carried over."""

    verdict: Verdict
    spent: int
    reserved: int
    limit: int


class RateState(msgspec.Struct):
    """A rate's counter after the decision; `wait` is in microseconds, 0 when it fits."""

    used: int
    wait: int


class Decision(msgspec.Struct):
    """All pass and all are charged, or none. `at` is the counters' own time of it."""

    passed: bool
    at: int
    budgets: Sequence[BudgetState]
    rates: Sequence[RateState]
    fallback: bool = False  # decided without the shared counters


class Settlement(msgspec.Struct):
    """What a ticket has come to. `spent` are the budgets to charge, `corrections` what its windows counted too much or
    too little. Without `spent` and `corrections` it is a release."""

    ticket: str
    at: int = 0
    cost: int = 0
    spent: Sequence[tuple[str, int]] = ()  # (counter, lifetime in seconds)
    corrections: Sequence[tuple[str, int]] = ()
    again: bool = False  # tried before, and perhaps done


class Standing(msgspec.Struct, frozen=True):
    """A budget's counter as it stands, in nano-dollars; `carried` came from the period before. `known` is false before
    anything was counted or read from the records."""

    spent: int = 0
    reserved: int = 0
    carried: int = 0
    known: bool = False


@dataclass(frozen=True, slots=True)
class Seed:
    """What the records say of a counter that nothing is known of yet; `lifetime` in seconds, 0 for ever."""

    spent: int
    carried: int = 0
    lifetime: int = 0


class Counters(Protocol):
    """The hot path, on the event loop."""

    async def admit(self, ticket: str, plan: Plan, wish: Wish) -> Decision:
        """One atomic decision. Raises CountersLost."""
        ...

    def settle(self, settlement: Settlement) -> None:
        """Ends a ticket; does not wait. A ticket that is not there any more is charged all the same."""
        ...

    async def renew(self, tickets: Sequence[str]) -> None: ...

    async def caught_up(self) -> bool:
        """Waits for what was settled and is still on its way; whether that can have changed anything."""
        ...

    async def start(self) -> None: ...

    async def stop(self) -> None: ...


class Books(Protocol):
    """The same counters for threads: reading, and putting right."""

    def standing(self, keys: Sequence[str]) -> Sequence[Standing]: ...

    def used(self, lines: Sequence[RateLine]) -> Sequence[int]:
        """How much of each rate limit is used now: counts of the last sixty seconds, or what runs."""
        ...

    def seed(self, seeds: Mapping[str, Seed]) -> None:
        """Sets what was spent, where nothing is known yet."""
        ...

    def correct(self, key: str, difference: int) -> None: ...

    def ready(self) -> bool:
        """Whether the counters hold what was spent; after they were lost they do not."""
        ...

    def declare_ready(self) -> None: ...

    def claim(self, process: str, seconds: int) -> bool:
        """Whether this process is the one that compares the counters with the records."""
        ...

    def forget(self, keep: frozenset[str]) -> None:
        """Drops counters of budgets that are not in `keep`, where nobody else does."""
        ...


def wanted(line: RateLine, wish: Wish) -> int:
    """How much of a rate limit a request takes. More than a whole minute's worth counts as just that: such a request is
    served when nothing else was within the last minute, instead of never."""
    if not line.of_tokens or not line.limit:
        return 1
    return min(wish.input_tokens if line.kind == INPUT_TOKENS else wish.output_tokens, line.limit)


def verdict(line: BudgetLine, wish: Wish, spent: int, reserved: int, limit: int) -> Verdict:
    """The rule of a hard budget.

    A reservation fits next to the others. Where it does not, it waits until they are settled, as long as the least that it
    can cost would fit if they cost nothing; alone, that least decides. So the last request may overdraw by what it costs
    beyond that least, and there is never a second one at the same time.
    """
    if not line.hard or spent + reserved + wish.cost <= limit:
        return Verdict.FITS
    if spent >= limit or spent + wish.least > limit:
        return Verdict.STOPS
    return Verdict.WAITS if reserved else Verdict.FITS


def carried(line: BudgetLine, before: Standing) -> int:
    """What the period before has left over, of its amount and of what it had carried over itself: at most one amount."""
    return min(line.amount, max(0, line.amount + before.carried - before.spent - before.reserved))


class Held(msgspec.Struct):
    """What a ticket holds."""

    expires: int
    cost: int
    budgets: tuple[str, ...]
    slots: tuple[str, ...]
