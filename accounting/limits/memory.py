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
    verdict,
    wanted,
)

SLOT_WAIT = 1_000_000  # microseconds after which it is worth asking for a slot again; nobody knows when one comes free
MOST_COUNTERS = 200_000  # windows that are kept; idle ones go first


class Window:
    """How much there was in the last sixty seconds, in slices. A slice leaves with its last event, so that never more than
    the limit is within any sixty seconds; an earlier event of it leaves up to a slice late."""

    __slots__ = ("_lasting", "_slices", "total")

    def __init__(self) -> None:
        self.total = 0
        self._slices: dict[int, list[int]] = {}  # number of the slice → [its last moment, its sum], oldest first
        self._lasting = 0  # before this moment nothing leaves

    def expire(self, now: int) -> None:
        if now < self._lasting:
            return
        slices = self._slices
        while slices:
            oldest = next(iter(slices))
            last, amount = slices[oldest]
            if last + WINDOW > now:
                self._lasting = last + WINDOW
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
            budgets = self._look(plan.budgets, wish)
            rates = self._look_at(plan.rates, wants, now)
            passed = True
            for budget in budgets:
                if budget.verdict is not Verdict.FITS:
                    passed = False
            for rate in rates:
                if rate.wait:
                    passed = False
            if passed:
                self._charge(ticket, plan, wish.cost, budgets, now)
                self._count(plan, wants, rates, now)
            return Decision(passed, now, budgets, rates)

    def settle(self, settlement: Settlement) -> None:
        with self._lock:
            if not self._free(settlement.ticket) and settlement.again:
                return
            spent, cost = self._spent, settlement.cost
            for key, _ in settlement.spent:
                spent[key] = spent[key] + cost if key in spent else cost
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
        if line.slot:
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

    def _look(self, lines: Sequence[BudgetLine], wish: Wish) -> list[BudgetState]:
        all_spent, all_reserved = self._spent, self._reserved
        states = []
        for line in lines:
            key, limit = line.key, line.limit
            spent = all_spent.get(key, 0)
            reserved = all_reserved.get(key, 0)
            if line.before:
                limit += carried(line, self._standing(line.before))
            states.append(BudgetState(verdict(line, wish, spent, reserved, limit), spent, reserved, limit))
        return states

    def _look_at(self, lines: Sequence[RateLine], wants: Sequence[int], now: int) -> list[RateState]:
        states = []
        for line, want in zip(lines, wants, strict=True):
            limit = line.limit
            if line.slot:
                used = self._slots.get(line.key, 0)
                states.append(RateState(used, 0 if used < limit else SLOT_WAIT))
                continue
            window = self._windows.get(line.key) or self._new_window(line.key, now)
            window.expire(now)
            used = window.total
            states.append(RateState(used, 0 if used + want <= limit else window.wait(want, limit, now)))
        return states

    def _new_window(self, key: str, now: int) -> Window:
        if len(self._windows) >= MOST_COUNTERS:
            self._sweep(now)
        window = self._windows[key] = Window()
        return window

    def _charge(self, ticket: str, plan: Plan, cost: int, states: Sequence[BudgetState], now: int) -> None:
        """Reserves in each budget, which its state then tells, and keeps what the ticket holds."""
        for line, state in zip(plan.budgets, states, strict=True):
            key = line.key
            state.reserved = self._reserved[key] = state.reserved + cost
            if not state.spent:
                self._spent.setdefault(key, 0)
            if line.before:
                self._carried[key] = state.limit - line.limit
        if plan.keys or plan.slots:
            self._tickets[ticket] = Held(now + TICKET_LIFETIME, cost, plan.keys, plan.slots)

    def _count(self, plan: Plan, wants: Sequence[int], states: Sequence[RateState], now: int) -> None:
        for line, want, state in zip(plan.rates, wants, states, strict=True):
            state.used += want
            if line.slot:
                self._slots[line.key] = state.used
            else:
                (self._windows.get(line.key) or self._new_window(line.key, now)).add(
                    want, now
                )  # it may be swept by now

    def _free(self, ticket: str) -> bool:
        held = self._tickets.pop(ticket, None)
        if held is None:
            return False
        reserved, cost = self._reserved, held.cost
        for key in held.budgets:
            if key not in reserved:
                continue  # a model may cost nothing
            if left := reserved[key] - cost:
                reserved[key] = left
            else:
                del reserved[key]
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
