"""Both kinds of counters behind one handle, on a clock that tests move."""

import os
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field

import pytest
import redis

from accounting.limits.book import BudgetLine, Limits, Plan, RateLine
from accounting.limits.counters import Books, Counters
from accounting.limits.memory import MemoryCounters
from accounting.limits.periods import Period
from accounting.limits.redis import RedisBooks, RedisCounters
from accounting.limits.shared import SharedCounters
from accounting.limits.terms import EVERYTHING, BudgetTerms, RateTerms

REDIS_URL = os.environ.get("TEST_REDIS_URL", "redis://127.0.0.1:6379/0")
START = 1_800_000_000_000_000  # microseconds


@dataclass(slots=True)
class Clock:
    """Microseconds; `seconds` moves it."""

    now: int = START

    def __call__(self) -> int:
        return self.now

    def seconds(self, amount: float) -> None:
        self.now += round(amount * 1_000_000)


@dataclass(slots=True)
class Both:
    """Counters, the same for threads, and their clock."""

    counters: Counters
    books: Books
    clock: Clock = field(default_factory=Clock)


def redis_prefix() -> str:
    return f"test:{{{uuid.uuid4().hex[:12]}}}"


def redis_or_skip() -> redis.Redis:
    client: redis.Redis = redis.Redis.from_url(REDIS_URL, socket_connect_timeout=2, decode_responses=True)
    try:
        client.ping()
    except redis.RedisError as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(f"Redis is not reachable (TEST_REDIS_URL): {error}")
    return client


def forget_keys(client: redis.Redis, prefix: str) -> None:
    for key in client.scan_iter(match=prefix + "*", count=1000):
        client.delete(key)


@pytest.fixture
def prefix() -> Iterator[str]:
    """A prefix of this test's own in Redis, empty before and after."""
    client = redis_or_skip()
    own = redis_prefix()
    yield own
    forget_keys(client, own)
    client.close()


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.redis)])
async def both(request: pytest.FixtureRequest) -> AsyncIterator[Both]:
    if request.param == "memory":
        clock = Clock()
        memory = MemoryCounters(clock)
        yield Both(memory, memory, clock)
        return
    own = request.getfixturevalue("prefix")
    clock = Clock()
    books = RedisBooks(REDIS_URL, prefix=own, clock=clock)
    books.declare_ready()
    store = RedisCounters(REDIS_URL, prefix=own, clock=clock)
    counters = SharedCounters(store, process="p", policy=lambda: "closed")
    await counters.start()
    yield Both(counters, books, clock)
    await counters.stop()


def budget_line(
    id_: int = 1,
    limit: int = 100,
    *,
    hard: bool = True,
    before: str = "",
    start: int = 0,
    amount: int | None = None,
) -> BudgetLine:
    terms = BudgetTerms(id_, EVERYTHING, "day", limit, hard=hard)
    return BudgetLine(terms, Period(start, start + 86_400), f"b:{id_}:{start}", amount or limit, limit, before, 86_400)


def rate_line(kind: str, limit: int, id_: str = "1") -> RateLine:
    return RateLine(RateTerms(id_, EVERYTHING, kind, limit), f"r:{id_}", limit, kind)


def plan(*lines: BudgetLine | RateLine) -> Plan:
    return Plan(
        tuple(line for line in lines if isinstance(line, BudgetLine)),
        tuple(line for line in lines if isinstance(line, RateLine)),
    )


def limits(*terms: BudgetTerms | RateTerms, caller: str = "1") -> Limits:
    return Limits(
        tuple(each for each in terms if isinstance(each, BudgetTerms)),
        tuple(each for each in terms if isinstance(each, RateTerms)),
        caller,
    )
