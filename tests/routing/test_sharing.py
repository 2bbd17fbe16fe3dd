"""Processes that share the states of targets through a real Redis: two of them in one event loop here."""

import asyncio
import os
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from redis import Redis
from redis.exceptions import RedisError
from structlog.testing import capture_logs

from routing.health import Health
from routing.proxy.sharing import Sharing, end, prefix_of
from routing.targets import CredentialConf, ProviderConf, RouteConf, TargetConf
from tests.harness import Cable

pytestmark = pytest.mark.redis

URL = os.environ.get("TEST_REDIS_URL", "redis://127.0.0.1:6379/15")
ROUTE = RouteConf(name="r", cooldown=1, breaker_failures=3, breaker_window=10)
SLOW = RouteConf(name="r", cooldown=30, breaker_failures=3, breaker_window=10)
TARGET = TargetConf(ProviderConf(1, "p", "anthropic", "https://example.com", CredentialConf("none")), "m")


@pytest.fixture(scope="module", autouse=True)
def _redis() -> None:
    try:
        Redis.from_url(URL, socket_connect_timeout=3).ping()
    except RedisError as error:
        if os.environ.get("CI") == "true":
            pytest.fail(f"Redis is not reachable: {error}")
        pytest.skip(f"Redis is not reachable (TEST_REDIS_URL): {error}")


@pytest.fixture
def prefix() -> str:
    return prefix_of(secrets.token_hex(8), "test")


@asynccontextmanager
async def process(prefix: str, url: str = URL) -> AsyncIterator[Health]:
    """One process's health, once it shares."""
    health = Health()
    sharing = Sharing(health, url, prefix)
    sharing.start()
    await until(lambda: health.shared)
    try:
        yield health
    finally:
        await sharing.stop()


async def until(found: Callable[[], Any], seconds: float = 5) -> float:
    """Waits until something is so; returns how long that took."""
    begin = time.monotonic()
    while not found():
        assert time.monotonic() - begin < seconds, "it did not come about"
        await asyncio.sleep(0.005)
    return time.monotonic() - begin


def fail(health: Health, route: RouteConf = ROUTE, times: int = 3) -> None:
    for _ in range(times):
        health.failed(TARGET, 503, time.monotonic(), route=route)


def state(health: Health) -> str:
    return health.look(TARGET, time.monotonic()).state


async def test_an_opening_and_a_rest_are_known_everywhere_within_a_second(prefix: str) -> None:
    async with process(prefix) as one, process(prefix) as two:
        fail(one, SLOW)
        assert await until(lambda: state(two) == "open") < 1
        seen = two.look(TARGET, time.monotonic())
        assert 28 < seen.until - time.monotonic() <= 30
        assert "503" in seen.reason
        other = TargetConf(TARGET.provider, "other")
        two.failed(other, 429, time.monotonic(), route=ROUTE, retry_after=20.0)
        assert await until(lambda: one.look(other, time.monotonic()).reason) < 1


async def test_a_process_that_starts_later_learns_what_is_open(prefix: str) -> None:
    async with process(prefix) as one:
        fail(one, SLOW)
        await asyncio.sleep(0.05)
        async with process(prefix) as two:
            assert state(two) == "open"


async def test_one_process_probes_and_its_success_closes_the_breaker_everywhere(prefix: str) -> None:
    async with AsyncExitStack() as stack:
        healths = [await stack.enter_async_context(process(prefix)) for _ in range(4)]
        fail(healths[0])
        await until(lambda: {state(each) for each in healths} == {"open"})

        def probers() -> list[Health]:
            return [each for each in healths if each.look(TARGET, time.monotonic()).probe]

        await until(probers)
        for _ in range(20):
            assert len(probers()) == 1
            await asyncio.sleep(0.01)
        prober = probers()[0]
        assert prober.started(TARGET, time.monotonic())
        await asyncio.sleep(1.5)  # longer than the lock lasts: it is renewed while the probe is on its way
        assert probers() == []
        assert {state(each) for each in healths} == {"half_open"}
        prober.succeeded(TARGET, 1.5, time.monotonic(), probe=True)
        assert await until(lambda: {state(each) for each in healths} == {"closed"}) < 1


async def test_a_failed_probe_opens_the_breaker_everywhere_again(prefix: str) -> None:
    async with process(prefix) as one, process(prefix) as two:
        fail(one)
        await until(lambda: any(each.look(TARGET, time.monotonic()).probe for each in (one, two)))
        prober, other = (one, two) if one.look(TARGET, time.monotonic()).probe else (two, one)
        prober.started(TARGET, time.monotonic())
        prober.failed(TARGET, 500, time.monotonic(), route=ROUTE, probe=True)
        prober.finished(TARGET, time.monotonic(), probe=True)
        assert await until(lambda: state(other) == "open") < 1


async def test_a_process_that_sends_no_probe_yields_to_the_others(prefix: str) -> None:
    async with process(prefix) as one, process(prefix) as two:
        fail(one)
        for health in (one, two):
            await until(lambda health=health: health.look(TARGET, time.monotonic()).probe, 6)  # type: ignore[misc]


async def test_without_redis_each_process_goes_by_itself_and_shares_again_by_itself(prefix: str) -> None:
    host, _, rest = URL.partition("//")[2].partition(":")
    with Cable(int(rest.partition("/")[0]), host) as cable, capture_logs() as lines:
        through = URL.replace(rest.partition("/")[0], str(cable.port))
        async with process(prefix) as one, process(prefix, through) as cut:
            await asyncio.to_thread(cable.cut)
            await until(lambda: not cut.shared)
            fail(cut)
            await asyncio.sleep(1.1)
            assert cut.look(TARGET, time.monotonic()).probe  # its own, without leave
            assert state(one) == "closed"
            fail(cut, SLOW)
            cut.started(TARGET, time.monotonic())
            cut.failed(TARGET, 500, time.monotonic(), route=SLOW, probe=True)
            await asyncio.to_thread(cable.mend)
            await until(lambda: cut.shared)
            await until(lambda: state(one) == "open")  # what opened meanwhile is told
    events = [line["event"] for line in lines]
    assert [event for event in events if event.startswith("Redis is away")] == [events[0]]
    assert sum(event.startswith("Redis is back") for event in events) == 1


async def test_a_task_ends_though_its_first_cancellation_is_lost() -> None:
    lost: list[str] = []

    async def reads() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            lost.append("once")
        await asyncio.Event().wait()

    task = asyncio.create_task(reads())
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await end((task,), 0.01)
    assert (task.cancelled(), lost) == (True, ["once"])
