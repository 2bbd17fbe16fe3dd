"""A token is fetched once for everybody, ahead of its end, and a failing endpoint is neither hammered nor hidden."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from structlog.contextvars import bind_contextvars, clear_contextvars, get_contextvars
from structlog.testing import capture_logs

from routing.proxy.credentials.base import CredentialUnavailable, RefreshFailed
from routing.proxy.credentials.refresh import FLIGHT_LIMIT, FixedSource, Issued, TokenSource
from tests.credentials.clock import START, HandClock


class Endpoint:
    """Gives out token-1, token-2, …; waits at a closed gate; fails while `error` is set."""

    def __init__(self, clock: HandClock, life: float | None = 3600.0) -> None:
        self.clock = clock
        self.life = life
        self.calls = 0
        self.error: BaseException | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.contexts: list[dict[str, object]] = []

    async def fetch(self) -> Issued[str]:
        self.calls += 1
        call = self.calls
        self.contexts.append(get_contextvars())
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        return Issued(f"token-{call}", None if self.life is None else self.clock.now() + self.life)


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
async def endpoint(clock: HandClock) -> Endpoint:
    return Endpoint(clock)


@pytest.fixture
async def source(clock: HandClock, endpoint: Endpoint) -> AsyncIterator[TokenSource[str]]:
    source = TokenSource("up", endpoint.fetch, patience=5.0, clock=clock)
    yield source
    endpoint.gate.set()
    await source.close()
    assert not clock.pending
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def settled() -> None:
    """Everything that can run without time passing has run."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_a_hundred_requests_at_once_fetch_one_token(endpoint: Endpoint, source: TokenSource[str]) -> None:
    endpoint.gate.clear()
    waiting = [asyncio.ensure_future(source.token()) for _ in range(100)]
    await settled()
    assert endpoint.calls == 1
    endpoint.gate.set()
    assert await asyncio.gather(*waiting) == ["token-1"] * 100
    assert endpoint.calls == 1


async def test_a_valid_token_costs_no_call(endpoint: Endpoint, source: TokenSource[str]) -> None:
    assert source.current() is None
    await source.token()
    assert source.current() == "token-1"
    assert await source.token() == "token-1"
    assert endpoint.calls == 1


async def test_it_is_replaced_ahead_of_its_end_while_the_old_one_serves(
    clock: HandClock, endpoint: Endpoint, source: TokenSource[str]
) -> None:
    await source.token()
    clock.advance(3600 * 0.75 - 1)
    await settled()
    assert endpoint.calls == 1
    endpoint.gate.clear()
    clock.advance(3600 * 0.05 + 1)
    await settled()
    assert endpoint.calls == 2
    assert await source.token() == "token-1"
    endpoint.gate.set()
    await settled()
    assert source.current() == "token-2"


async def test_it_is_kept_fresh_while_nobody_asks(
    clock: HandClock, endpoint: Endpoint, source: TokenSource[str]
) -> None:
    await source.token()
    for _ in range(10):
        clock.advance(3000)
        await settled()
    assert endpoint.calls == 11
    assert source.current() == "token-11"


async def test_after_a_suspend_the_next_request_starts_the_refresh_that_the_timer_missed(
    clock: HandClock, endpoint: Endpoint, source: TokenSource[str]
) -> None:
    await source.token()
    clock.sleep(3000)
    assert source.current() == "token-1"
    await settled()
    assert (endpoint.calls, source.current()) == (2, "token-2")
    clock.sleep(10_000)
    assert await source.token() == "token-3"


async def test_an_expired_token_is_never_handed_out(
    clock: HandClock, endpoint: Endpoint, source: TokenSource[str]
) -> None:
    await source.token()
    endpoint.error = RefreshFailed("down")
    clock.advance(3600 - 11)
    await settled()
    assert source.current() == "token-1"
    clock.advance(2)
    assert source.current() is None
    await settled()


@pytest.mark.parametrize("life", [0.5, 2.0, 30.0, 3600.0, 43_200.0])
async def test_a_token_of_any_life_is_served_and_not_fetched_all_the_time(
    clock: HandClock, endpoint: Endpoint, source: TokenSource[str], life: float
) -> None:
    endpoint.life = life
    assert await source.token() == "token-1"
    assert clock.pending == [pytest.approx(max(1.0, life * 0.775))]


async def test_one_that_does_not_expire_is_not_refreshed(
    clock: HandClock, endpoint: Endpoint, source: TokenSource[str]
) -> None:
    endpoint.life = None
    await source.token()
    assert not clock.pending
    clock.advance(10**9)
    assert source.current() == "token-1"
    assert source.status.expires_at is None


async def test_one_that_came_expired_is_a_failure(endpoint: Endpoint, source: TokenSource[str]) -> None:
    endpoint.life = -1
    with pytest.raises(CredentialUnavailable, match="had already expired"):
        await source.token()


async def test_a_failure_is_told_to_all_waiters_the_status_and_one_log_line(
    clock: HandClock, endpoint: Endpoint, source: TokenSource[str]
) -> None:
    endpoint.error = RefreshFailed("invalid_grant: no such account")
    with capture_logs() as lines:
        results = await asyncio.gather(*(source.token() for _ in range(50)), return_exceptions=True)
    assert {str(result) for result in results} == {"no valid credential for up: invalid_grant: no such account"}
    assert endpoint.calls == 1
    assert lines == [
        {
            "event": "credential refresh failed",
            "log_level": "error",
            "provider": "up",
            "error": "invalid_grant: no such account",
            "failures": 1,
            "seconds_left": 0,
        }
    ]
    status = source.status
    assert (status.ok, status.error, status.failures) == (False, "invalid_grant: no such account", 1)
    assert status.at is not None
    assert status.at.timestamp() == START


async def test_the_status_shows_a_success_and_its_end(source: TokenSource[str]) -> None:
    assert source.status.ok is None
    await source.token()
    status = source.status
    assert (status.ok, status.error, status.failures) == (True, "", 0)
    assert status.expires_at is not None
    assert status.expires_at.timestamp() == START + 3600


async def test_a_failed_refresh_ahead_leaves_the_valid_token_in_use_and_is_visible(
    clock: HandClock, endpoint: Endpoint, source: TokenSource[str]
) -> None:
    await source.token()
    endpoint.error = RefreshFailed("down")
    with capture_logs() as lines:
        clock.advance(2880)
        await settled()
    assert await source.token() == "token-1"
    assert source.status.ok is False
    assert source.status.expires_at is not None
    assert [(line["event"], line["seconds_left"]) for line in lines] == [("credential refresh failed", 710)]
    endpoint.error = None
    with capture_logs() as lines:
        clock.advance(2)
        await settled()
    assert (source.current(), source.status.ok, source.status.failures) == ("token-3", True, 0)
    assert lines[0]["event"] == "credential refreshed again"


async def test_failures_are_tried_again_at_growing_distances(
    clock: HandClock, endpoint: Endpoint, source: TokenSource[str]
) -> None:
    endpoint.error = RefreshFailed("down")
    with pytest.raises(CredentialUnavailable):
        await source.token()
    distances = []
    for _ in range(9):
        distances.append(clock.pending[0])
        clock.advance(clock.pending[0])
        await settled()
    assert distances == [pytest.approx(0.75 * wait) for wait in (1, 2, 4, 8, 16, 32, 60, 60, 60)]
    assert source.status.failures == 10


async def test_requests_during_an_outage_fail_at_once_and_ask_at_most_every_two_seconds(
    clock: HandClock, endpoint: Endpoint, source: TokenSource[str]
) -> None:
    endpoint.error = RefreshFailed("down")
    for _ in range(6):
        clock.advance(60)
        await settled()
        with pytest.raises(CredentialUnavailable):
            await source.token()
    before = endpoint.calls
    for _ in range(100):
        with pytest.raises(CredentialUnavailable, match="down"):
            await source.token()
    assert endpoint.calls == before
    endpoint.error = None
    clock.advance(2)
    assert (await source.token()).startswith("token-")
    assert endpoint.calls == before + 1


async def test_a_waiter_that_leaves_does_not_cancel_the_flight(endpoint: Endpoint, source: TokenSource[str]) -> None:
    endpoint.gate.clear()
    leaving, staying = (asyncio.ensure_future(source.token()) for _ in range(2))
    await settled()
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    endpoint.gate.set()
    assert await staying == "token-1"
    assert endpoint.calls == 1


async def test_the_only_waiter_that_leaves_does_not_cancel_it_either(
    endpoint: Endpoint, source: TokenSource[str]
) -> None:
    endpoint.gate.clear()
    leaving = asyncio.ensure_future(source.token())
    await settled()
    leaving.cancel()
    await settled()
    endpoint.gate.set()
    await settled()
    assert source.current() == "token-1"


async def test_nobody_waits_longer_than_for_a_connection(clock: HandClock, endpoint: Endpoint) -> None:
    source = TokenSource("up", endpoint.fetch, patience=0.01, clock=clock)
    endpoint.gate.clear()
    with pytest.raises(CredentialUnavailable, match=r"no token within 0\.01 s"):
        await source.token()
    endpoint.gate.set()
    await settled()
    assert source.current() == "token-1"
    await source.close()


async def test_a_token_refused_early_is_fetched_anew_once(
    clock: HandClock, endpoint: Endpoint, source: TokenSource[str]
) -> None:
    await source.token()
    for _ in range(100):  # the answers to a hundred requests that carried the old token
        source.expire()
        assert await source.token() == "token-2"
    assert endpoint.calls == 2
    clock.advance(1)
    source.expire()
    assert await source.token() == "token-3"


async def test_a_refusal_of_an_older_token_leaves_the_new_one(
    clock: HandClock, endpoint: Endpoint, source: TokenSource[str]
) -> None:
    await source.token()
    source.expire(lambda token: token == "token-1")
    assert await source.token() == "token-2"
    clock.advance(10)
    source.expire(lambda token: token == "token-1")
    assert source.current() == "token-2"


async def test_a_refused_token_is_fetched_anew_even_after_a_failed_refresh(
    clock: HandClock, endpoint: Endpoint, source: TokenSource[str]
) -> None:
    await source.token()
    endpoint.error = RefreshFailed("down")
    clock.advance(2880)
    await settled()
    endpoint.error = None
    source.expire()
    assert await source.token() == "token-3"


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        (httpx.ConnectTimeout("slow"), "no answer in time"),
        (TimeoutError(), "no answer in time"),
        (httpx.ConnectError("nobody at sts.example:443"), "no connection: nobody at sts.example:443"),
        (OSError(101, "Network is unreachable"), "no connection: [Errno 101] Network is unreachable"),
        (KeyError("hunter2"), "unexpected: KeyError"),
    ],
)
async def test_every_failure_has_words_and_an_unexpected_one_tells_no_secret(
    endpoint: Endpoint, source: TokenSource[str], error: Exception, shown: str
) -> None:
    endpoint.error = error
    with pytest.raises(CredentialUnavailable) as caught:
        await source.token()
    assert caught.value.reason == shown == source.status.error


async def test_a_refresh_that_hangs_ends(monkeypatch: pytest.MonkeyPatch, clock: HandClock, endpoint: Endpoint) -> None:
    assert FLIGHT_LIMIT < 60
    monkeypatch.setattr("routing.proxy.credentials.refresh.FLIGHT_LIMIT", 0.01)
    source = TokenSource("up", endpoint.fetch, patience=5.0, clock=clock)
    endpoint.gate.clear()
    with pytest.raises(CredentialUnavailable, match="no answer in time"):
        await source.token()
    await source.close()


async def test_a_refresh_does_not_carry_the_context_of_the_request_that_started_it(
    endpoint: Endpoint, source: TokenSource[str]
) -> None:
    bind_contextvars(request_id="req_1")
    try:
        await source.token()
    finally:
        clear_contextvars()
    assert endpoint.contexts == [{}]


async def test_closing_ends_the_timer_and_a_flight_that_nobody_waits_for(
    clock: HandClock, endpoint: Endpoint, source: TokenSource[str]
) -> None:
    await source.token()
    endpoint.gate.clear()
    clock.advance(2880)
    await settled()
    assert endpoint.calls == 2
    await source.close()
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert not clock.pending
    assert source.status.ok is True


async def test_requests_that_wait_when_it_is_closed_get_their_token(
    clock: HandClock, endpoint: Endpoint, source: TokenSource[str]
) -> None:
    endpoint.gate.clear()
    waiting = asyncio.ensure_future(source.token())
    await settled()
    await source.close()
    endpoint.gate.set()
    assert await waiting == "token-1"
    assert not clock.pending


async def test_a_fixed_value_is_always_valid() -> None:
    source = FixedSource("key")
    source.expire()
    assert source.current() == await source.token() == "key"
    assert source.status.ok is None
    await source.close()
