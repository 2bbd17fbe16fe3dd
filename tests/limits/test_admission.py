"""Admission: one decision for each request, waiting where money is only reserved, refusing with the numbers where it is gone."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace

import pytest

from accounting.limits.admission import Admission, Demand, Spent, Ticket
from accounting.limits.book import Limits
from accounting.limits.counters import Books
from accounting.limits.estimate import UnitPrices
from accounting.limits.memory import MemoryCounters
from accounting.limits.redis import RedisBooks, RedisCounters
from accounting.limits.refusal import BUDGET_EXCEEDED, RATE_LIMITED, TOO_MANY_CONCURRENT, LimitReached
from accounting.limits.shared import SharedCounters
from accounting.limits.terms import (
    CONCURRENT_REQUESTS,
    CONCURRENT_STREAMS,
    DEFAULTS,
    EVERYTHING,
    INPUT_TOKENS,
    NANO,
    REQUESTS,
    STRICT,
    BudgetTerms,
    RateTerms,
)
from tests.limits.conftest import REDIS_URL, Clock, limits

NOW = 1_764_000_000.0  # 2025-11-24T16:00:00Z, a Monday


@dataclass(frozen=True, slots=True)
class FlatPrices:
    """One price for all models."""

    prices: UnitPrices

    def ceiling(self, models: tuple[tuple[str, str], ...]) -> UnitPrices:
        return self.prices


PRICES = FlatPrices(UnitPrices(1000, 5000))
COST = 250 * 1000 + 40 * 5000  # nano-dollars of one request of these tests
TARGETS = (("main", "claude-upstream"),)


def budget(amount: int, id_: int = 1, **terms: object) -> BudgetTerms:
    return replace(BudgetTerms(id_, EVERYTHING, "day", amount), **terms)  # type: ignore[arg-type]


def rate(kind: str, amount: int, id_: str = "1", **terms: object) -> RateTerms:
    return replace(RateTerms(id_, EVERYTHING, kind, amount), **terms)  # type: ignore[arg-type]


def demand(applying: Limits, **fields: object) -> Demand:
    values: dict[str, object] = {"model": "claude", "targets": TARGETS, "size": 1000, "max_tokens": 1000, "now": NOW}
    return Demand(applying, **{**values, **fields})  # type: ignore[arg-type]


def spent(cost: int = COST) -> Spent:
    return Spent(cost, 250, 40, "claude-upstream")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def memory(clock: Clock) -> MemoryCounters:
    return MemoryCounters(clock)


@pytest.fixture
def admission(memory: MemoryCounters) -> Admission:
    return Admission(memory, process="p", prices=PRICES)


async def admitted(admission: Admission, wanted: Demand) -> Ticket:
    ticket = await admission.admit(wanted)
    assert ticket is not None
    return ticket


class TestDeciding:
    async def test_without_limits_there_is_no_ticket(self, admission: Admission) -> None:
        assert await admission.admit(demand(limits())) is None

    async def test_a_ticket_is_settled_once(self, admission: Admission, memory: MemoryCounters) -> None:
        ticket = await admitted(admission, demand(limits(budget(10 * NANO))))
        ticket.settle(spent())
        ticket.settle(spent())
        ticket.release()
        (standing,) = memory.standing([ticket.plan.budgets[0].key])
        assert (standing.spent, standing.reserved, admission.open_tickets) == (COST, 0, 0)

    async def test_a_budget_that_is_used_up_refuses_with_its_numbers_and_its_reset(self, admission: Admission) -> None:
        applying = limits(budget(COST))
        (await admitted(admission, demand(applying))).settle(spent())
        with pytest.raises(LimitReached) as refused:
            await admission.admit(demand(applying))
        reached = refused.value
        assert (reached.reason, reached.retry_after) == (BUDGET_EXCEEDED, 8 * 3600)
        assert (reached.spent, reached.limit) == (COST, COST)

    async def test_every_budget_that_applies_counts(self, admission: Admission, memory: MemoryCounters) -> None:
        applying = limits(budget(NANO, 1), budget(NANO, 2), budget(NANO, 3, model="claude-opus-*"))
        ticket = await admitted(admission, demand(applying))
        ticket.settle(spent())
        assert [line.terms.id for line in ticket.plan.budgets] == [1, 2]
        assert [each.spent for each in memory.standing([line.key for line in ticket.plan.budgets])] == [COST, COST]

    async def test_a_budget_for_models_that_did_not_serve_in_the_end_is_charged_nothing(
        self, admission: Admission, memory: MemoryCounters
    ) -> None:
        applying = limits(budget(NANO, model="claude-big"), rate(INPUT_TOKENS, 1000, model="claude-big"))
        ticket = await admitted(admission, demand(applying, targets=(("a", "claude-big"), ("b", "claude-small"))))
        ticket.settle(Spent(COST, 250, 40, "claude-small"))
        (standing,) = memory.standing([ticket.plan.budgets[0].key])
        assert (standing.spent, standing.reserved) == (0, 0)

    async def test_a_new_period_begins_at_zero(self, admission: Admission) -> None:
        applying = limits(budget(COST))
        (await admitted(admission, demand(applying))).settle(spent())
        (await admitted(admission, demand(applying, now=NOW + 86_400))).settle(spent())

    async def test_a_raise_ends_by_itself(self, admission: Admission) -> None:
        applying = limits(budget(COST, raise_amount=COST, raise_until=NOW + 60))
        for _ in range(2):
            (await admitted(admission, demand(applying))).settle(spent())
        with pytest.raises(LimitReached):
            await admission.admit(demand(applying))
        applying = limits(budget(COST, raise_amount=9 * COST, raise_until=NOW + 60))
        (await admitted(admission, demand(applying, now=NOW + 59))).settle(spent())
        with pytest.raises(LimitReached):
            await admission.admit(demand(applying, now=NOW + 60))

    async def test_the_wait_for_a_rate_is_told_in_whole_seconds_rounded_up(
        self, admission: Admission, clock: Clock
    ) -> None:
        applying = limits(rate(REQUESTS, 2))
        await admission.admit(demand(applying))
        clock.seconds(10.2)
        await admission.admit(demand(applying))
        with pytest.raises(LimitReached) as refused:
            await admission.admit(demand(applying))
        assert (refused.value.reason, refused.value.retry_after) == (RATE_LIMITED, 50)

    async def test_slots_are_given_back(self, admission: Admission) -> None:
        applying = limits(rate(CONCURRENT_REQUESTS, 1))
        ticket = await admitted(admission, demand(applying))
        with pytest.raises(LimitReached) as refused:
            await admission.admit(demand(applying))
        assert refused.value.reason == TOO_MANY_CONCURRENT
        ticket.release()
        await admitted(admission, demand(applying))

    async def test_a_limit_of_streams_is_for_streams(self, admission: Admission) -> None:
        applying = limits(rate(CONCURRENT_STREAMS, 1))
        await admitted(admission, demand(applying, stream=True))
        assert await admission.admit(demand(applying)) is None
        with pytest.raises(LimitReached):
            await admission.admit(demand(applying, stream=True))

    async def test_counting_has_a_limit_of_its_own(self, admission: Admission) -> None:
        applying = limits(budget(1), rate(REQUESTS, 1))
        for _ in range(600):
            await admission.count(applying)
        with pytest.raises(LimitReached) as refused:
            await admission.count(applying)
        assert refused.value.retry_after == 60
        await admission.count(limits(caller="2"))

    async def test_what_is_paid_later_is_refused_only_when_a_budget_is_used_up(self, admission: Admission) -> None:
        applying = limits(budget(COST))
        ticket = await admitted(admission, demand(applying))
        await admission.check(demand(applying))
        ticket.settle(spent())
        with pytest.raises(LimitReached):
            await admission.check(demand(applying))

    async def test_strict_reserves_the_full_max_tokens(self, memory: MemoryCounters) -> None:
        admission = Admission(memory, process="p", prices=PRICES)
        typical = limits(budget(100 * NANO))
        strict = replace(typical, organization=replace(DEFAULTS, reservation=STRICT))
        for _ in range(20):
            (await admitted(admission, demand(typical))).settle(spent())
        low = (await admitted(admission, demand(typical))).guess.wish.cost
        high = (await admitted(admission, demand(strict))).guess.wish.cost
        assert COST <= low <= COST * 1.3
        assert high >= 1000 * 5000

    async def test_strict_lets_nothing_in_whose_full_reservation_does_not_fit(self, memory: MemoryCounters) -> None:
        admission = Admission(memory, process="p", prices=PRICES)
        strict = replace(limits(budget(COST)), organization=replace(DEFAULTS, reservation=STRICT))
        with pytest.raises(LimitReached) as refused:
            await admission.admit(demand(strict))
        assert (refused.value.spent, refused.value.reserved, refused.value.limit) == (0, 0, COST)


class TestWaiting:
    async def test_a_request_waits_while_money_is_only_reserved(self, admission: Admission) -> None:
        applying = limits(budget(6 * NANO // 1000))
        first = await admitted(admission, demand(applying))
        second = asyncio.ensure_future(admitted(admission, demand(applying)))
        await asyncio.sleep(0)
        assert not second.done()
        first.settle(spent())
        (await second).settle(spent())

    async def test_they_are_served_in_the_order_of_their_arrival(self, admission: Admission) -> None:
        applying, order = limits(budget(6 * NANO // 1000)), []

        async def one(number: int) -> None:
            ticket = await admitted(admission, demand(applying))
            order.append(number)
            await asyncio.sleep(0)
            ticket.settle(spent(10))

        await asyncio.gather(*(one(number) for number in range(20)))
        assert order == list(range(20))

    async def test_one_that_leaves_makes_room_for_the_next(self, admission: Admission) -> None:
        applying = limits(budget(6 * NANO // 1000))
        first = await admitted(admission, demand(applying))
        waiting = [asyncio.ensure_future(admitted(admission, demand(applying))) for _ in range(3)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        first.release()
        (await waiting[1]).release()
        (await waiting[2]).release()
        assert admission.open_tickets == 0
        assert not admission._queues

    async def test_patience_ends_when_nothing_is_settled(self, memory: MemoryCounters) -> None:
        moments = iter(range(0, 10_000, 2))
        admission = Admission(memory, process="p", prices=PRICES, monotonic=lambda: float(next(moments)))
        applying = limits(budget(6 * NANO // 1000))
        await admitted(admission, demand(applying))
        with pytest.raises(LimitReached) as refused:
            await admission.admit(demand(applying))
        assert refused.value.reserved > 0
        assert refused.value.spent == 0


@asynccontextmanager
async def in_memory() -> AsyncIterator[tuple[list[Admission], Books]]:
    memory = MemoryCounters()
    yield [Admission(memory, process="p", prices=PRICES)], memory


@asynccontextmanager
async def four_processes(prefix: str) -> AsyncIterator[tuple[list[Admission], Books]]:
    books = RedisBooks(REDIS_URL, prefix=prefix)
    books.declare_ready()
    async with AsyncExitStack() as stack:
        admissions = []
        for number in range(4):
            store = RedisCounters(REDIS_URL, prefix=prefix)
            counters = SharedCounters(store, process=f"p{number}", policy=lambda: "closed")
            admission = Admission(counters, process=f"p{number}", prices=PRICES)
            await admission.start()
            stack.push_async_callback(admission.stop)
            admissions.append(admission)
        yield admissions, books


Room = Callable[[], object]


@pytest.mark.parametrize("processes", ["one", pytest.param("four", marks=pytest.mark.redis)])
@pytest.mark.parametrize("amount", [40 * COST, 40 * COST + COST // 2])
async def test_300_at_once_against_a_budget_for_40(processes: str, amount: int, request: pytest.FixtureRequest) -> None:
    """Forty are served, and what they spend stays within the budget by the error of one estimate."""
    room = in_memory() if processes == "one" else four_processes(request.getfixturevalue("prefix"))
    applying = limits(budget(amount))
    reasons: set[str] = set()
    async with room as (admissions, books):

        async def one(number: int) -> int:
            try:
                ticket = await admitted(admissions[number % len(admissions)], demand(applying))
            except LimitReached as reached:
                reasons.add(reached.reason)
                return 0
            await asyncio.sleep(0.005)
            ticket.settle(spent())
            return COST

        costs = await asyncio.gather(*(one(number) for number in range(300)))
        assert all([await admission.counters.caught_up() in (True, False) for admission in admissions])
        total = sum(costs)
        assert reasons == {BUDGET_EXCEEDED}
        assert 40 * COST <= total <= amount + COST // 2
        (standing,) = books.standing([applying.plan("claude", stream=False, now=NOW).budgets[0].key])
        assert (standing.spent, standing.reserved) == (total, 0)
        assert all(admission.open_tickets == 0 for admission in admissions)


async def test_a_storm_of_requests_that_are_given_up_leaves_nothing_reserved(admission: Admission) -> None:
    applying = limits(budget(50 * COST), rate(CONCURRENT_REQUESTS, 20))

    async def one(number: int) -> None:
        try:
            ticket = await admitted(admission, demand(applying))
        except LimitReached:
            return
        try:
            await asyncio.sleep(0.001 * (number % 5))
        finally:
            ticket.settle(spent()) if number % 2 else ticket.release()

    tasks = [asyncio.ensure_future(one(number)) for number in range(400)]
    for number, task in enumerate(tasks):
        if number % 3 == 0:
            await asyncio.sleep(0)
            task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    key = applying.plan("claude", stream=False, now=NOW).budgets[0].key
    assert isinstance(admission.counters, MemoryCounters)
    assert admission.counters.standing([key])[0].reserved == 0
    assert admission.counters._slots == {}
    assert admission.counters._tickets == {}
    assert admission.open_tickets == 0
