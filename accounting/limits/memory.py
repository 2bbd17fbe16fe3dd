"""Counters of one process, in its memory. Every call is atomic; threads and the event loop share them."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence

from accounting.limits.book import BudgetLine, Plan, RateLine
from accounting.limits.counters import (
    SLICE,
    TICKET_LIFETIME,
    WINDOW,
    BudgetState,
    Decision,
    Held,
    RateState,
    Seed,
    Settlement,
    Standing,
    Verdict,
    Wish,
    carried,
    is_slot,
    verdict,
    wanted,
)

SLOT_WAIT = 1_000_000  # microseconds after which it is worth asking for a slot again; nobody knows when one comes free
MOST_COUNTERS = 200_000  # windows that are kept; idle ones go first


class Window:
    """How much there was in the last sixty seconds, in slices. A slice leaves with its last event, so that never more than
    the limit is within any sixty seconds; an earlier event of it leaves up to a slice late."""

    __slots__ = ("_slices", "total")

    def __init__(self) -> None:
        self.total = 0
        self._slices: dict[int, list[int]] = {}  # number of the slice → [its last moment, its sum], oldest first

    def expire(self, now: int) -> None:
        slices = self._slices
        while slices:
            oldest = next(iter(slices))
            last, amount = slices[oldest]
            if last + WINDOW > now:
                return
            self.total -= amount
            del slices[oldest]

    def add(self, amount: int, now: int) -> None:
        self.total += amount
        found = self._slices.get(now // SLICE)
        if found is None:
            self._slices[now // SLICE] = [now, amount]
        else:
            found[0] = max(now, found[0])
            found[1] += amount

    def correct(self, at: int, difference: int) -> None:
        """Changes what was counted at the moment `at`, if it is still within the window."""
        found = self._slices.get(at // SLICE)
        if found is not None:
            difference = max(difference, -found[1])
            found[1] += difference
            self.total += difference

    def wait(self, need: int, limit: int, now: int) -> int:
        """Microseconds until `need` more fits, if nothing else comes."""
        free = limit - self.total
        if need <= free:
            return 0
        for last, amount in self._slices.values():
            free += amount
            if need <= free:
                return max(1, last + WINDOW - now)
        return WINDOW


class MemoryCounters:
    """`clock` gives microseconds that never go back."""

    def __init__(self, clock: Callable[[], int] = lambda: time.monotonic_ns() // 1000) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._spent: dict[str, int] = {}
        self._reserved: dict[str, int] = {}
        self._carried: dict[str, int] = {}
        self._windows: dict[str, Window] = {}
        self._slots: dict[str, int] = {}
        self._tickets: OrderedDict[str, Held] = OrderedDict()  # the first to expire stands first

    # -- the hot path ------------------------------------------------------------------------------------------------

    async def admit(self, ticket: str, plan: Plan, wish: Wish) -> Decision:
        return self.decide(ticket, plan, wish)

    def decide(self, ticket: str, plan: Plan, wish: Wish) -> Decision:
        """`admit`, for whoever is not on the event loop."""
        with self._lock:
            now = self._clock()
            self._expire(now)
            wants = [wanted(line, wish) for line in plan.rates]
            budgets = [self._look(line, wish) for line in plan.budgets]
            rates = [self._look_at(line, want, now) for line, want in zip(plan.rates, wants, strict=True)]
            passed = True
            for budget in budgets:
                passed = passed and budget.verdict is Verdict.FITS
            for rate in rates:
                passed = passed and not rate.wait
            if passed:
                self._charge(ticket, plan, wish.cost, wants, now)
                for budget, each in zip(budgets, plan.budgets, strict=True):
                    budget.reserved += wish.cost
                    if each.before:
                        self._carried[each.key] = budget.limit - each.limit
                for rate, want in zip(rates, wants, strict=True):
                    rate.used += want
            return Decision(passed, now, budgets, rates)

    def settle(self, settlement: Settlement) -> None:
        with self._lock:
            if not self._free(settlement.ticket) and settlement.again:
                return
            for key, _ in settlement.spent:
                self._spent[key] = self._spent.get(key, 0) + settlement.cost
            for key, difference in settlement.corrections:
                window = self._windows.get(key)
                if window is not None:
                    window.correct(settlement.at, difference)

    async def renew(self, tickets: Sequence[str]) -> None:
        with self._lock:
            expires = self._clock() + TICKET_LIFETIME
            for ticket in tickets:
                held = self._tickets.get(ticket)
                if held is not None:
                    held.expires = expires
                    self._tickets.move_to_end(ticket)

    async def caught_up(self) -> bool:
        return False

    async def start(self) -> None:
        """Nothing to connect to."""

    async def stop(self) -> None:
        """Nothing to let go of."""

    # -- for threads -------------------------------------------------------------------------------------------------

    def standing(self, keys: Sequence[str]) -> Sequence[Standing]:
        with self._lock:
            self._expire(self._clock())
            return [self._standing(key) for key in keys]

    def used(self, lines: Sequence[RateLine]) -> Sequence[int]:
        with self._lock:
            now = self._clock()
            self._expire(now)
            return [self._used(line, now) for line in lines]

    def _used(self, line: RateLine, now: int) -> int:
        if is_slot(line):
            return self._slots.get(line.key, 0)
        window = self._windows.get(line.key)
        if window is None:
            return 0
        window.expire(now)
        return window.total

    def seed(self, seeds: Mapping[str, Seed]) -> None:
        with self._lock:
            for key, seed in seeds.items():
                if key not in self._spent:
                    self._spent[key], self._carried[key] = seed.spent, seed.carried

    def correct(self, key: str, difference: int) -> None:
        with self._lock:
            self._spent[key] = self._spent.get(key, 0) + difference

    def ready(self) -> bool:
        return True

    def declare_ready(self) -> None:
        """Memory is lost with its process only."""

    def claim(self, process: str, seconds: int) -> bool:
        return True

    def forget(self, keep: frozenset[str]) -> None:
        """Drops the budgets' counters of periods that are over: all that are not in `keep` and hold no reservation."""
        with self._lock:
            for key in [key for key in self._spent if key not in keep and not self._reserved.get(key)]:
                del self._spent[key]
                self._carried.pop(key, None)

    # -- inside the lock ---------------------------------------------------------------------------------------------

    def _standing(self, key: str) -> Standing:
        spent = self._spent.get(key)
        return Standing(spent or 0, self._reserved.get(key, 0), self._carried.get(key, 0), known=spent is not None)

    def _look(self, line: BudgetLine, wish: Wish) -> BudgetState:
        spent, reserved, limit = self._spent.get(line.key, 0), self._reserved.get(line.key, 0), line.limit
        if line.before:
            limit += carried(line, self._standing(line.before))
        return BudgetState(verdict(line, wish, spent, reserved, limit), spent, reserved, limit)

    def _look_at(self, line: RateLine, want: int, now: int) -> RateState:
        if is_slot(line):
            running = self._slots.get(line.key, 0)
            return RateState(running, 0 if running < line.limit else SLOT_WAIT)
        window = self._windows.get(line.key)
        if window is None:
            if len(self._windows) >= MOST_COUNTERS:
                self._sweep(now)
            window = self._windows[line.key] = Window()
        window.expire(now)
        return RateState(window.total, window.wait(want, line.limit, now))

    def _charge(self, ticket: str, plan: Plan, cost: int, wants: Sequence[int], now: int) -> None:
        slots: list[str] = []
        for line, want in zip(plan.rates, wants, strict=True):
            if is_slot(line):
                self._slots[line.key] = self._slots.get(line.key, 0) + 1
                slots.append(line.key)
            else:
                self._windows[line.key].add(want, now)
        budgets = tuple([line.key for line in plan.budgets])
        for key in budgets:
            self._reserved[key] = self._reserved.get(key, 0) + cost
            self._spent.setdefault(key, 0)
        if budgets or slots:
            expires = now + TICKET_LIFETIME
            self._tickets[ticket] = Held(expires, cost, budgets, tuple(slots))

    def _free(self, ticket: str) -> bool:
        held = self._tickets.pop(ticket, None)
        if held is None:
            return False
        for key in held.budgets:
            left = self._reserved.get(key, 0) - held.cost  # nothing may be there: a model may cost nothing
            if left:
                self._reserved[key] = left
            else:
                self._reserved.pop(key, None)
        for key in held.slots:
            self._slots[key] -= 1
            if not self._slots[key]:
                del self._slots[key]
        return True

    def _expire(self, now: int) -> None:
        """Frees what tickets hold that were not renewed: whoever had them is gone."""
        tickets = self._tickets
        while tickets:
            ticket = next(iter(tickets))
            if tickets[ticket].expires > now:
                return
            self._free(ticket)

    def _sweep(self, now: int) -> None:
        """Drops windows in which nothing is left."""
        for key, window in list(self._windows.items()):
            window.expire(now)
            if not window.total:
                del self._windows[key]
