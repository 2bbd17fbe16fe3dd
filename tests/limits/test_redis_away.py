"""Redis goes away: within two seconds the organization's choice holds, nobody hangs, nothing is multiplied, and it comes back."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from urllib.parse import urlparse

import pytest

from accounting.limits.counters import CountersLost, Settlement, Wish
from accounting.limits.redis import RedisBooks, RedisCounters
from accounting.limits.shared import SharedCounters
from accounting.limits.terms import CONCURRENT_REQUESTS, REQUESTS
from tests.harness import Cable
from tests.limits.conftest import REDIS_URL, budget_line, plan, rate_line

pytestmark = pytest.mark.redis
Make = Callable[..., SharedCounters]


@pytest.fixture
def cable(prefix: str) -> Iterator[Cable]:
    address = urlparse(REDIS_URL)
    with Cable(address.port or 6379, address.hostname or "127.0.0.1") as made:
        yield made


@pytest.fixture
async def make(cable: Cable, prefix: str) -> AsyncIterator[Make]:
    made: list[SharedCounters] = []

    def shared(policy: str = "closed", process: str = "p", workers: int = 1) -> SharedCounters:
        store = RedisCounters(f"redis://127.0.0.1:{cable.port}/0", prefix=prefix)
        counters = SharedCounters(store, process=process, policy=lambda: policy, workers=workers)
        made.append(counters)
        return counters

    yield shared
    for counters in made:
        await counters.stop()


@pytest.fixture
def books(prefix: str) -> RedisBooks:
    books = RedisBooks(REDIS_URL, prefix=prefix)
    books.declare_ready()
    return books


async def until(condition: Callable[[], bool], seconds: float = 5) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to that"
        await asyncio.sleep(0.02)


async def lose(counters: SharedCounters, cable: Cable) -> None:
    """Cuts the cable, and has the loss found out by a request."""
    cable.cut()
    try:
        await counters.admit("finds-out", plan(budget_line()), Wish())
    except CountersLost:
        pass
    assert counters.away


class TestClosed:
    async def test_everything_is_refused_within_two_seconds_and_at_once_from_then_on(
        self, make: Make, cable: Cable, books: RedisBooks
    ) -> None:
        counters = make()
        await counters.start()
        assert (await counters.admit("a", plan(budget_line()), Wish())).passed
        cable.cut()
        begin = time.monotonic()
        refused = await asyncio.gather(
            *(counters.admit(str(number), plan(budget_line()), Wish()) for number in range(200)),
            return_exceptions=True,
        )
        assert {type(each) for each in refused} == {CountersLost}
        assert time.monotonic() - begin < 2
        begin = time.monotonic()
        with pytest.raises(CountersLost):
            await counters.admit("z", plan(budget_line()), Wish())
        assert time.monotonic() - begin < 0.1

    async def test_a_server_that_says_nothing_is_as_good_as_none(self, prefix: str) -> None:
        silent = await asyncio.start_server(lambda reader, writer: asyncio.sleep(3600), "127.0.0.1", 0)
        port = silent.sockets[0].getsockname()[1]
        store = RedisCounters(f"redis://127.0.0.1:{port}/0", prefix=prefix)
        counters = SharedCounters(store, process="p", policy=lambda: "closed")
        begin = time.monotonic()
        with pytest.raises(CountersLost):
            await counters.admit("a", plan(budget_line()), Wish())
        assert time.monotonic() - begin < 2
        await counters.stop()
        silent.close()

    async def test_it_comes_back_by_itself_and_hands_in_what_was_settled_meanwhile(
        self, make: Make, cable: Cable, books: RedisBooks
    ) -> None:
        counters = make()
        await counters.start()
        decision = await counters.admit("a", plan(budget_line()), Wish(cost=10))
        await lose(counters, cable)
        counters.settle(Settlement("a", decision.at, 7, [("b:1:0", 86_400)]))
        cable.mend()
        await until(lambda: not counters.away)
        assert (await counters.admit("b", plan(budget_line()), Wish())).passed
        await counters.caught_up()
        (standing,) = books.standing(["b:1:0"])
        assert (standing.spent, standing.reserved) == (7, 0)

    async def test_a_redis_that_has_forgotten_everything_counts_as_lost_until_it_is_filled(
        self, make: Make, books: RedisBooks, prefix: str
    ) -> None:
        counters = make()
        await counters.start()
        books._client.delete(f"{prefix}:e")
        with pytest.raises(CountersLost):
            await counters.admit("a", plan(budget_line()), Wish())
        books.declare_ready()
        await until(lambda: not counters.away)
        assert (await counters.admit("b", plan(budget_line()), Wish())).passed


class TestOpen:
    async def test_each_process_serves_its_share_of_what_was_left(
        self, make: Make, cable: Cable, books: RedisBooks
    ) -> None:
        counters = [make("open", f"p{number}") for number in range(4)]
        for each in counters:
            await each.start()
        await asyncio.gather(*(each.renew(()) for each in counters))
        line = budget_line(limit=100)
        for each in counters:
            decision = await each.admit(f"{id(each)}", plan(line), Wish(cost=5))
            each.settle(Settlement(f"{id(each)}", decision.at, 5, [("b:1:0", 86_400)]))
            await each.caught_up()
        for each in counters:
            await each.admit(f"{id(each)}-2", plan(line), Wish(cost=0))
        for each in counters:
            await lose(each, cable)
        served = 0
        for each in counters:
            for number in range(50):
                decision = await each.admit(f"{id(each)}-{number}", plan(line), Wish(cost=2, least=2))
                served += decision.passed
                if decision.passed:
                    each.settle(Settlement(f"{id(each)}-{number}", decision.at, 2, [("b:1:0", 86_400)]))
        assert served == 40  # 80 were left, a quarter for each

    async def test_the_first_of_some_workers_never_takes_itself_for_the_only_one(
        self, make: Make, cable: Cable, books: RedisBooks
    ) -> None:
        first = make("open", "first", workers=4)
        await first.start()
        assert first.processes == 4
        others = [make("open", f"p{number}") for number in range(5)]
        for each in others:
            await each.start()
        await until(lambda: {each.processes for each in (first, *others)} == {6})

    async def test_rates_are_shared_too_and_never_multiplied(self, make: Make, cable: Cable, books: RedisBooks) -> None:
        counters = make("open", workers=4)
        cable.cut()
        lines = plan(rate_line(REQUESTS, 10, "1"))
        passed = [(await counters.admit(str(number), lines, Wish())).passed for number in range(10)]
        assert sum(passed) == 2
        small = plan(rate_line(CONCURRENT_REQUESTS, 3, "2"))
        assert not (await counters.admit("x", small, Wish())).passed

    async def test_what_was_served_meanwhile_is_counted_when_redis_is_back(
        self, make: Make, cable: Cable, books: RedisBooks
    ) -> None:
        counters = make("open")
        await counters.start()
        await lose(counters, cable)
        decision = await counters.admit("a", plan(budget_line()), Wish(cost=10))
        assert decision.fallback
        cable.mend()
        await until(lambda: not counters.away)
        counters.settle(Settlement("a", decision.at, 9, [("b:1:0", 86_400)]))
        await counters.caught_up()
        assert books.standing(["b:1:0"])[0].spent == 9


async def test_stopping_without_redis_does_not_hang(make: Make, cable: Cable, books: RedisBooks) -> None:
    counters = make()
    await counters.start()
    decision = await counters.admit("a", plan(budget_line()), Wish(cost=10))
    cable.cut()
    counters.settle(Settlement("a", decision.at, 7, [("b:1:0", 86_400)]))
    begin = time.monotonic()
    await counters.stop()
    assert time.monotonic() - begin < 3


async def test_a_connection_that_is_reset_while_it_is_written_to_is_a_loss_like_any_other(
    make: Make, books: RedisBooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """uvloop says so in words of its own."""

    async def breaks(*_: object) -> None:
        raise RuntimeError("unable to perform operation on <TCPTransport closed=True>; the handler is closed")

    counters = make()
    await counters.start()
    monkeypatch.setattr(RedisCounters, "admit", breaks)
    with pytest.raises(CountersLost):
        await counters.admit("a", plan(budget_line()), Wish())
    assert counters.away
