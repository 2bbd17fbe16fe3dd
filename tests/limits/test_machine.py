"""Any interleaving of reserve, settle, release, crash, renewal and change of window keeps every counter equal to a plain
model, in memory and in Redis alike."""

import asyncio
import uuid
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, multiple, rule, run_state_machine_as_test

from accounting.limits.book import BudgetLine, Plan, RateLine
from accounting.limits.counters import TICKET_LIFETIME, WINDOW, Counters, Decision, Settlement, Verdict, Wish
from accounting.limits.memory import MemoryCounters
from accounting.limits.redis import RedisBooks, RedisCounters
from accounting.limits.shared import SharedCounters
from accounting.limits.terms import CONCURRENT_REQUESTS, INPUT_TOKENS, OUTPUT_TOKENS, REQUESTS
from tests.limits.conftest import REDIS_URL, Clock, budget_line, forget_keys, rate_line, redis_or_skip

DAY = 86_400
# The clock of the machine moves in whole slices, so that a model which knows no slices must agree to the microsecond.
STEP = 10_000


@dataclass(slots=True)
class Reserved:
    expires: int
    at: int
    cost: int
    plan: Plan
    wish: Wish
    counted: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class Model:
    """What the counters should say, by the plainest means: lists of everything that happened."""

    spent: dict[str, int] = field(default_factory=dict)
    carried: dict[str, int] = field(default_factory=dict)
    open: dict[str, Reserved] = field(default_factory=dict)
    events: dict[str, list[list[int]]] = field(default_factory=dict)  # window → [moment, amount]

    def reserved(self, key: str, now: int) -> int:
        lines = (each for each in self.open.values() if each.expires > now)
        return sum(each.cost for each in lines if any(line.key == key for line in each.plan.budgets))

    def running(self, key: str, now: int) -> int:
        lines = (each for each in self.open.values() if each.expires > now)
        return sum(any(rate.key == key for rate in each.plan.rates) for each in lines)

    def within(self, key: str, now: int) -> int:
        return sum(amount for at, amount in self.events.get(key, []) if at + WINDOW > now)

    def limit(self, line: BudgetLine, now: int) -> int:
        if not line.before:
            return line.limit
        left = line.amount + self.carried.get(line.before, 0) - self.spent.get(line.before, 0)
        return line.limit + min(line.amount, max(0, left - self.reserved(line.before, now)))

    def verdict(self, line: BudgetLine, wish: Wish, now: int) -> Verdict:
        spent, reserved, limit = self.spent.get(line.key, 0), self.reserved(line.key, now), self.limit(line, now)
        if not line.hard or spent + reserved + wish.cost <= limit:
            return Verdict.FITS
        if spent >= limit or spent + wish.least > limit:
            return Verdict.STOPS
        return Verdict.WAITS if reserved else Verdict.FITS

    def takes(self, rate: RateLine, wish: Wish) -> int:
        asked = {INPUT_TOKENS: wish.input_tokens, OUTPUT_TOKENS: wish.output_tokens}.get(rate.kind)
        return 1 if asked is None else min(asked, rate.limit)

    def fits(self, rate: RateLine, wish: Wish, now: int) -> bool:
        if rate.kind == CONCURRENT_REQUESTS:
            return self.running(rate.key, now) < rate.limit
        return self.within(rate.key, now) + self.takes(rate, wish) <= rate.limit

    def admit(self, ticket: str, plan: Plan, wish: Wish, now: int) -> None:
        limits = {line.key: self.limit(line, now) - line.limit for line in plan.budgets if line.before}
        self.carried.update(limits)
        self.open[ticket] = Reserved(now + TICKET_LIFETIME, now, wish.cost, plan, wish)
        for line in plan.budgets:
            self.spent.setdefault(line.key, 0)
        for rate in plan.rates:
            if rate.kind != CONCURRENT_REQUESTS:
                event = [now, self.takes(rate, wish)]
                self.events.setdefault(rate.key, []).append(event)

    def correct(self, key: str, at: int, difference: int) -> None:
        """Events of one moment are one slice; nothing is taken below zero."""
        same = [event for event in self.events.get(key, []) if event[0] == at]
        if same:
            difference = max(difference, -sum(event[1] for event in same))
            same[0][1] += difference


LINES = {
    "organization": budget_line(1, 500, amount=500),
    "team": budget_line(2, 200, amount=200),
    "team, the next day": budget_line(2, 200, before="b:2:0", start=DAY),
    "soft": budget_line(3, 50, hard=False),
}
RATES = {
    "requests": rate_line(REQUESTS, 6, "1"),
    "input": rate_line(INPUT_TOKENS, 300, "2"),
    "output": rate_line(OUTPUT_TOKENS, 200, "3"),
    "running": rate_line(CONCURRENT_REQUESTS, 4, "4"),
}
PLANS = st.builds(
    lambda budgets, rates: Plan(tuple(LINES[name] for name in budgets), tuple(RATES[name] for name in rates)),
    st.lists(st.sampled_from(sorted(LINES)), unique=True, max_size=3),
    st.lists(st.sampled_from(sorted(RATES)), unique=True, max_size=4),
)
AMOUNTS = st.integers(0, 250)


class Machine(RuleBasedStateMachine):
    """`make` gives counters and books on a clock; set by the test."""

    make: Any = None
    tickets: Bundle[str] = Bundle("tickets")

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.runner = asyncio.Runner()
        self.counters, self.books, self.close = self.runner.run(type(self).make(self.clock))
        self.model = Model()
        self.number = 0

    def teardown(self) -> None:
        self.runner.run(self.close())
        self.runner.close()

    async def _admit(self, ticket: str, plan: Plan, wish: Wish) -> Decision:
        counters: Counters = self.counters
        return await counters.admit(ticket, plan, wish)

    @rule(target=tickets, plan=PLANS, cost=AMOUNTS, least=AMOUNTS, tokens=st.tuples(AMOUNTS, AMOUNTS))
    def reserve(self, plan: Plan, cost: int, least: int, tokens: tuple[int, int]) -> Any:
        wish = Wish(cost, min(cost, least), *tokens)
        self.number += 1
        ticket = f"t{self.number}"
        now, model = self.clock.now, self.model
        verdicts = [model.verdict(line, wish, now) for line in plan.budgets]
        fits = [model.fits(rate, wish, now) for rate in plan.rates]
        decision = self.runner.run(self._admit(ticket, plan, wish))
        assert [state.verdict for state in decision.budgets] == verdicts
        assert [not state.wait for state in decision.rates] == fits
        assert decision.passed == (all(fits) and all(each is Verdict.FITS for each in verdicts))
        assert [state.limit for state in decision.budgets] == [model.limit(line, now) for line in plan.budgets]
        if not decision.passed:
            return multiple()
        model.admit(ticket, plan, wish, now)
        return ticket

    @rule(ticket=tickets, cost=AMOUNTS, tokens=st.tuples(AMOUNTS, AMOUNTS), again=st.booleans())
    def settle(self, ticket: str, cost: int, tokens: tuple[int, int], again: bool) -> None:
        """Also of tickets that are settled already (`again`: they were tried before) or have expired."""
        held = self.model.open.get(ticket)
        if held is None:
            if again:
                self._tell(Settlement(ticket, 0, cost, [("b:1:0", DAY)], again=True))
            return
        used = {INPUT_TOKENS: tokens[0], OUTPUT_TOKENS: tokens[1]}
        corrections = [
            (rate.key, used[rate.kind] - self.model.takes(rate, held.wish))
            for rate in held.plan.rates
            if rate.kind in used
        ]
        spent = [(line.key, DAY) for line in held.plan.budgets]
        expired = held.expires <= self.clock.now
        self._tell(Settlement(ticket, held.at, cost, spent, corrections))
        del self.model.open[ticket]
        for key, _ in spent:
            self.model.spent[key] = self.model.spent.get(key, 0) + cost
        for key, difference in corrections:
            if held.at + WINDOW > self.clock.now:
                self.model.correct(key, held.at, difference)
        assert expired or held.expires > self.clock.now

    @rule(ticket=tickets)
    def release(self, ticket: str) -> None:
        self._tell(Settlement(ticket))
        self.model.open.pop(ticket, None)

    @rule(ticket=tickets)
    def renew(self, ticket: str) -> None:
        self.runner.run(self.counters.renew([ticket]))
        held = self.model.open.get(ticket)
        if held is not None and held.expires > self.clock.now:
            held.expires = self.clock.now + TICKET_LIFETIME

    @rule(ticket=tickets)
    def crash(self, ticket: str) -> None:
        """Whoever holds the ticket is gone: nobody renews it, and its time passes."""
        held = self.model.open.get(ticket)
        if held is not None:
            self.clock.now = max(self.clock.now, held.expires)

    @rule(steps=st.one_of(st.integers(1, 300), st.integers(1, 7000)))
    def time_passes(self, steps: int) -> None:
        self.clock.now += steps * STEP

    def _tell(self, settlement: Settlement) -> None:
        async def tell() -> None:
            self.counters.settle(settlement)
            await self.counters.caught_up()

        self.runner.run(tell())

    @invariant()
    def every_budget_stands_as_in_the_model(self) -> None:
        keys = sorted({line.key for line in LINES.values()})
        found = self.books.standing(keys)
        for key, standing in zip(keys, found, strict=True):
            assert standing.spent == self.model.spent.get(key, 0)
            assert standing.reserved == self.model.reserved(key, self.clock.now)
            assert standing.carried == self.model.carried.get(key, 0)

    @invariant()
    def every_rate_stands_as_in_the_model(self) -> None:
        """Seen through a request that cannot pass, and so changes nothing."""
        impossible = budget_line(9, 1)
        probe = Plan((impossible,), tuple(RATES.values()))
        decision = self.runner.run(self._admit("probe", probe, Wish(cost=2, least=2)))
        assert not decision.passed
        now = self.clock.now
        for rate, state in zip(probe.rates, decision.rates, strict=True):
            slot = rate.kind == CONCURRENT_REQUESTS
            assert state.used == (self.model.running(rate.key, now) if slot else self.model.within(rate.key, now))


SETTINGS: dict[str, Any] = {"stateful_step_count": 40, "deadline": None, "suppress_health_check": list(HealthCheck)}


def test_counters_in_memory_equal_the_model() -> None:
    class InMemory(Machine):
        @staticmethod
        async def make(clock: Clock) -> Any:
            memory = MemoryCounters(clock)

            async def close() -> None:
                """Nothing to let go of."""

            return memory, memory, close

    run_state_machine_as_test(InMemory, settings=settings(max_examples=150, **SETTINGS))


@pytest.mark.redis
def test_counters_in_redis_equal_the_model() -> None:
    client = redis_or_skip()

    class InRedis(Machine):
        @staticmethod
        async def make(clock: Clock) -> Any:
            prefix = f"test:{{{uuid.uuid4().hex[:12]}}}"
            books = RedisBooks(REDIS_URL, prefix=prefix, clock=clock)
            books.declare_ready()
            counters = SharedCounters(
                RedisCounters(REDIS_URL, prefix=prefix, clock=clock), process="p", policy=lambda: "closed"
            )
            await counters.start()

            async def close() -> None:
                await counters.stop()
                books._client.close()
                forget_keys(client, prefix)

            return counters, books, close

    run_state_machine_as_test(InRedis, settings=settings(max_examples=40, **SETTINGS))
    client.close()
