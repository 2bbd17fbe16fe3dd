"""Counters decide at once over everything that applies, in memory and in Redis alike."""

import asyncio

import pytest

from accounting.limits import memory
from accounting.limits.counters import WINDOW, Seed, Settlement, Verdict, Wish
from accounting.limits.terms import CONCURRENT_REQUESTS, INPUT_TOKENS, REQUESTS
from tests.limits.conftest import Both, Clock, budget_line, plan, rate_line

SPENT = [("b:1:0", 86_400)]


async def settled(both: Both, settlement: Settlement) -> None:
    both.counters.settle(settlement)
    await both.counters.caught_up()


class TestBudgets:
    async def test_what_is_reserved_is_charged_until_it_is_settled(self, both: Both) -> None:
        line = budget_line(limit=100)
        decision = await both.counters.admit("a", plan(line), Wish(cost=60))
        assert (decision.passed, decision.budgets[0].spent, decision.budgets[0].reserved) == (True, 0, 60)
        await settled(both, Settlement("a", decision.at, 25, SPENT))
        (standing,) = both.books.standing(["b:1:0"])
        assert (standing.spent, standing.reserved, standing.known) == (25, 0, True)

    async def test_several_reservations_of_a_model_that_costs_nothing_end_one_by_one(self, both: Both) -> None:
        line = budget_line(limit=100)
        for name in ("a", "b", "c"):
            assert (await both.counters.admit(name, plan(line), Wish())).passed
        for name in ("a", "b", "c"):
            await settled(both, Settlement(name, 0, 0, SPENT))
        (standing,) = both.books.standing(["b:1:0"])
        assert (standing.spent, standing.reserved) == (0, 0)

    async def test_a_second_reservation_waits_for_the_first(self, both: Both) -> None:
        line = budget_line(limit=100)
        await both.counters.admit("a", plan(line), Wish(cost=60))
        decision = await both.counters.admit("b", plan(line), Wish(cost=41, least=5))
        assert (decision.passed, decision.budgets[0].verdict) == (False, Verdict.WAITS)
        assert (await both.counters.admit("c", plan(line), Wish(cost=40))).passed

    async def test_a_budget_that_is_used_up_stops(self, both: Both) -> None:
        both.books.seed({"b:1:0": Seed(100)})
        decision = await both.counters.admit("a", plan(budget_line(limit=100)), Wish(cost=1))
        assert (decision.passed, decision.budgets[0].verdict) == (False, Verdict.STOPS)

    async def test_alone_the_least_that_a_request_costs_decides(self, both: Both) -> None:
        both.books.seed({"b:1:0": Seed(90)})
        line = budget_line(limit=100)
        assert (await both.counters.admit("a", plan(line), Wish(cost=50, least=11))).budgets[0].verdict is Verdict.STOPS
        assert (await both.counters.admit("b", plan(line), Wish(cost=50, least=10))).passed
        # Never two of them at a time.
        assert (await both.counters.admit("c", plan(line), Wish(cost=50, least=1))).budgets[0].verdict is Verdict.WAITS

    async def test_a_soft_budget_counts_and_stops_nothing(self, both: Both) -> None:
        both.books.seed({"b:1:0": Seed(1000)})
        decision = await both.counters.admit("a", plan(budget_line(limit=100, hard=False)), Wish(cost=50))
        assert decision.passed
        assert decision.budgets[0].reserved == 50

    async def test_all_pass_and_all_are_charged_or_none(self, both: Both) -> None:
        roomy, tight, rate = budget_line(1, 1000), budget_line(2, 10), rate_line(REQUESTS, 5)
        both.books.seed({"b:2:0": Seed(10)})
        assert not (await both.counters.admit("a", plan(roomy, tight, rate), Wish(cost=5))).passed
        decision = await both.counters.admit("b", plan(roomy, rate), Wish(cost=5))
        assert (decision.budgets[0].reserved, decision.rates[0].used) == (5, 1)

    async def test_an_amount_of_millions_is_exact_to_a_nano_dollar(self, both: Both) -> None:
        most = 9_000_000 * 10**9
        both.books.seed({"b:1:0": Seed(most - 3)})
        line = budget_line(limit=most)
        decision = await both.counters.admit("a", plan(line), Wish(cost=2))
        assert decision.passed
        await settled(both, Settlement("a", decision.at, 1, SPENT))
        assert both.books.standing(["b:1:0"])[0].spent == most - 2

    async def test_settling_twice_charges_once(self, both: Both) -> None:
        decision = await both.counters.admit("a", plan(budget_line()), Wish(cost=10))
        await settled(both, Settlement("a", decision.at, 7, SPENT))
        await settled(both, Settlement("a", decision.at, 7, SPENT, again=True))
        assert both.books.standing(["b:1:0"])[0].spent == 7

    async def test_a_release_gives_everything_back(self, both: Both) -> None:
        line, slot = budget_line(), rate_line(CONCURRENT_REQUESTS, 1)
        await both.counters.admit("a", plan(line, slot), Wish(cost=10))
        await settled(both, Settlement("a"))
        decision = await both.counters.admit("b", plan(line, slot), Wish(cost=10))
        assert (decision.passed, decision.budgets[0].reserved) == (True, 10)

    async def test_what_is_not_renewed_is_free_again_and_charged_when_it_is_settled_late(self, both: Both) -> None:
        line, slot = budget_line(), rate_line(CONCURRENT_REQUESTS, 2)
        first = await both.counters.admit("a", plan(line, slot), Wish(cost=10))
        await both.counters.admit("b", plan(line, slot), Wish(cost=20))
        both.clock.seconds(40)
        await both.counters.renew(["b"])
        both.clock.seconds(20)
        decision = await both.counters.admit("c", plan(line, slot), Wish(cost=1))
        assert (decision.budgets[0].reserved, decision.rates[0].used) == (21, 2)
        await settled(both, Settlement("a", first.at, 4, SPENT))
        standing = both.books.standing(["b:1:0"])[0]
        assert (standing.spent, standing.reserved) == (4, 21)

    async def test_what_the_period_before_has_left_is_carried_over(self, both: Both) -> None:
        both.books.seed({"b:1:0": Seed(30)})
        line = budget_line(limit=100, before="b:1:0", start=86_400)
        assert (await both.counters.admit("a", plan(line), Wish(cost=170))).budgets[0].limit == 170

    async def test_at_most_one_amount_is_carried_over(self, both: Both) -> None:
        both.books.seed({"b:1:0": Seed(20, carried=90)})
        line = budget_line(limit=100, before="b:1:0", start=86_400)
        assert (await both.counters.admit("a", plan(line), Wish(cost=1))).budgets[0].limit == 200
        assert both.books.standing([line.key])[0].carried == 100

    async def test_seeding_never_overwrites_what_is_known(self, both: Both) -> None:
        both.books.seed({"b:1:0": Seed(5)})
        both.books.seed({"b:1:0": Seed(50)})
        both.books.correct("b:1:0", 2)
        assert both.books.standing(["b:1:0", "b:9:0"])[0].spent == 7
        assert not both.books.standing(["b:9:0"])[0].known


class TestWindows:
    async def test_from_rest_exactly_so_many_are_admitted_in_any_sixty_seconds(self, both: Both) -> None:
        line, admitted = rate_line(REQUESTS, 10), []
        for number in range(900):  # at a pace of ten a second
            if (await both.counters.admit(str(number), plan(line), Wish())).passed:
                admitted.append(both.clock.now)
            both.clock.seconds(0.1)
        assert len(admitted) == 20
        for index in range(len(admitted) - 10):
            assert admitted[index + 10] - admitted[index] >= WINDOW

    async def test_the_wait_is_the_true_one(self, both: Both) -> None:
        line = rate_line(REQUESTS, 3)
        for gap in (0.0, 12.5, 7.25):
            both.clock.seconds(gap)
            assert (await both.counters.admit(str(gap), plan(line), Wish())).passed
        both.clock.seconds(1)
        refused = await both.counters.admit("x", plan(line), Wish())
        assert refused.rates[0].wait == round((60 - 12.5 - 7.25 - 1) * 1_000_000)
        both.clock.now += refused.rates[0].wait - 1
        assert not (await both.counters.admit("y", plan(line), Wish())).passed
        both.clock.now += 1
        assert (await both.counters.admit("z", plan(line), Wish())).passed

    async def test_a_refusal_is_not_counted(self, both: Both) -> None:
        line = rate_line(REQUESTS, 1)
        await both.counters.admit("a", plan(line), Wish())
        for number in range(5):
            assert (await both.counters.admit(str(number), plan(line), Wish())).rates[0].used == 1

    async def test_tokens_are_corrected_to_what_was_used(self, both: Both) -> None:
        line = rate_line(INPUT_TOKENS, 1000)
        decision = await both.counters.admit("a", plan(line), Wish(input_tokens=900))
        both.clock.seconds(3)
        await settled(both, Settlement("a", decision.at, corrections=[("r:1", -600)]))
        assert (await both.counters.admit("b", plan(line), Wish(input_tokens=700))).passed
        refused = await both.counters.admit("c", plan(line), Wish(input_tokens=200))
        assert refused.rates[0].wait == 57 * 1_000_000

    async def test_a_correction_of_what_has_left_the_window_changes_nothing(self, both: Both) -> None:
        line = rate_line(INPUT_TOKENS, 1000)
        decision = await both.counters.admit("a", plan(line), Wish(input_tokens=100))
        both.clock.seconds(61)
        await both.counters.admit("b", plan(line), Wish(input_tokens=10))
        await settled(both, Settlement("a", decision.at, corrections=[("r:1", 500)]))
        assert (await both.counters.admit("c", plan(line), Wish(input_tokens=1))).rates[0].used == 11

    async def test_more_than_a_whole_minutes_worth_is_served_from_rest(self, both: Both) -> None:
        line = rate_line(INPUT_TOKENS, 1000)
        await both.counters.admit("a", plan(line), Wish(input_tokens=1))
        assert not (await both.counters.admit("b", plan(line), Wish(input_tokens=5000))).passed
        both.clock.seconds(60)
        assert (await both.counters.admit("c", plan(line), Wish(input_tokens=5000))).passed

    async def test_a_busy_window_stays_small(self, both: Both) -> None:
        line = rate_line(REQUESTS, 10**6)
        for number in range(2000):
            await both.counters.admit(str(number), plan(line), Wish())
            both.clock.now += 500
        decision = await both.counters.admit("x", plan(line), Wish())
        assert decision.rates[0].used == 2001


class TestSlots:
    async def test_so_many_run_at_a_time(self, both: Both) -> None:
        line = rate_line(CONCURRENT_REQUESTS, 2)
        assert (await both.counters.admit("a", plan(line), Wish())).passed
        assert (await both.counters.admit("b", plan(line), Wish())).passed
        assert not (await both.counters.admit("c", plan(line), Wish())).passed
        await settled(both, Settlement("a"))
        assert (await both.counters.admit("d", plan(line), Wish())).passed

    async def test_many_at_once_never_exceed(self, both: Both) -> None:
        line = rate_line(CONCURRENT_REQUESTS, 7)
        decisions = await asyncio.gather(
            *(both.counters.admit(str(number), plan(line), Wish()) for number in range(100))
        )
        assert sum(decision.passed for decision in decisions) == 7


@pytest.mark.parametrize("tickets", [1, 1500])
async def test_any_number_of_tickets_is_renewed(both: Both, tickets: int) -> None:
    slot = rate_line(CONCURRENT_REQUESTS, 10_000)
    names = [f"t{number}" for number in range(tickets)]
    await asyncio.gather(*(both.counters.admit(name, plan(slot), Wish()) for name in names))
    for _ in range(3):
        both.clock.seconds(30)
        await both.counters.renew(names)
    assert (await both.counters.admit("last", plan(slot), Wish())).rates[0].used == tickets + 1


async def test_windows_that_are_swept_to_make_room_are_there_when_they_are_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An empty window may be dropped for another one of the same request."""
    monkeypatch.setattr(memory, "MOST_COUNTERS", 1)
    counters = memory.MemoryCounters(Clock())
    lines = plan(rate_line(REQUESTS, 5, "one"), rate_line(REQUESTS, 5, "two"))
    decision = await counters.admit("t", lines, Wish())
    assert decision.passed
    assert list(counters.used(lines.rates)) == [1, 1]
