"""Tokens that expire: kept while they are valid, replaced ahead of time, fetched once for everybody who waits.

The rules, in order:
1. A valid token is handed out at once; when its time is nearly over, a refresh runs beside that.
2. Only when there is none do requests wait, all for the same refresh ("flight"), and no longer than `patience`.
3. A failed flight is tried again in the background, at growing distances; requests that find no token in between
   fail at once, except that one of them may start the next flight when the last one is `DEMAND_GAP` old.
4. A token that an upstream refused is dropped, at most once every `EXPIRE_GAP`.
A waiter that leaves does not cancel the flight. Every failure is in `status` and in one log line.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from contextvars import Context
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Generic, Protocol, TypeVar

import httpx

from gateway_project.telemetry import logger
from routing.proxy.credentials.base import CredentialStatus, CredentialUnavailable, RefreshFailed

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

REFRESH_AT = (0.75, 0.80)  # the part of a token's life after which the next one is fetched; spread over processes
MARGIN, MARGIN_PART = 10.0, 0.05  # seconds, or part of its life, that a token must still have to be handed out
FLIGHT_LIMIT = 20.0  # seconds that one refresh may take, also when nobody waits any more
BACKOFF_FIRST, BACKOFF_MOST = 1.0, 60.0  # seconds between failed refreshes
DEMAND_GAP = 2.0
EXPIRE_GAP = 1.0
SHORTEST_WAIT = 1.0  # seconds until the next refresh, however short a token lives

log = logger(__name__)


@dataclass(frozen=True, slots=True)
class Issued(Generic[T]):
    """A token as it came; `expires_at` in seconds since 1970, None for one that does not expire."""

    value: T
    expires_at: float | None


class Timer(Protocol):
    def cancel(self) -> None: ...


class Clock(Protocol):
    """Time and chance, as a test needs to hand them in."""

    def now(self) -> float:
        """Seconds since 1970."""

    def chance(self) -> float:
        """A number from 0 to 1."""

    def call_later(self, seconds: float, call: Callable[[], None]) -> Timer: ...


class SystemClock:
    def now(self) -> float:
        return time.time()

    def chance(self) -> float:
        return random.random()  # noqa: S311 - spreads load, guards nothing

    def call_later(self, seconds: float, call: Callable[[], None]) -> Timer:
        return asyncio.get_running_loop().call_later(seconds, call)


class Source(Protocol[T_co]):
    """Where an authorizer gets its token from: `TokenSource`, or `FixedSource` for what never changes."""

    @property
    def status(self) -> CredentialStatus: ...

    def current(self) -> T_co | None: ...

    async def token(self) -> T_co: ...

    def expire(self, refused: Callable[[T_co], bool] | None = None) -> None: ...

    async def close(self) -> None: ...


class FixedSource(Generic[T]):
    """A value that is always valid."""

    def __init__(self, value: T) -> None:
        self._value = value
        self.status = CredentialStatus()

    def current(self) -> T | None:
        return self._value

    async def token(self) -> T:
        return self._value

    def expire(self, refused: Callable[[T], bool] | None = None) -> None:
        pass

    async def close(self) -> None:
        pass


class TokenSource(Generic[T]):
    """One credential's token. `fetch` gets a new one and raises `RefreshFailed`; `patience` is in seconds."""

    def __init__(
        self, provider: str, fetch: Callable[[], Awaitable[Issued[T]]], *, patience: float, clock: Clock | None = None
    ) -> None:
        self._provider = provider
        self._fetch = fetch
        self._patience = patience
        self._clock = clock or SystemClock()
        self._issued: Issued[T] | None = None
        self._good_until = 0.0
        self._refresh_at = float("inf")
        self._flight: asyncio.Task[Issued[T]] | None = None
        self._waiters = 0
        self._timer: Timer | None = None
        self._landed_at = float("-inf")
        self._expired_at = float("-inf")
        self._closed = False
        self.status = CredentialStatus()

    def current(self) -> T | None:
        """The token if it is valid. Starts a refresh beside it when one is due and the timer has not seen to it."""
        if self._issued is None:
            return None
        now = self._clock.now()
        if now >= self._refresh_at and self._flight is None and not self._closed:
            self._start()
        return self._issued.value if now < self._good_until else None

    async def token(self) -> T:
        """The valid token, or the one that the running refresh brings. Raises `CredentialUnavailable`."""
        value = self.current()
        if value is not None:
            return value
        if self._flight is None:
            if not self._may_start(self._clock.now()):
                raise self._unavailable()
            self._start()
        assert self._flight is not None
        await self._landing(self._flight)
        value = self.current()
        if value is None:
            raise self._unavailable()
        return value

    def expire(self, refused: Callable[[T], bool] | None = None) -> None:
        """Drops the token that an upstream refused, if `refused` says that it is the present one."""
        now = self._clock.now()
        if self._issued is None or now - self._expired_at < EXPIRE_GAP:
            return
        if refused is not None and not refused(self._issued.value):
            return
        self._expired_at = now
        self._issued = None
        self._landed_at = float("-inf")  # the next request fetches at once
        log.warning("token refused before its time", provider=self._provider)

    async def close(self) -> None:
        """Ends the timer, and the flight unless requests wait for it; those get its result."""
        self._closed = True
        self._cancel_timer()
        flight = self._flight
        if flight is not None and not self._waiters:
            flight.cancel()
            await asyncio.wait({flight})

    async def _landing(self, flight: asyncio.Task[Issued[T]]) -> None:
        self._waiters += 1
        try:
            await asyncio.wait({flight}, timeout=self._patience)
        finally:
            self._waiters -= 1

    def _may_start(self, now: float) -> bool:
        return not self.status.failures or now - self._landed_at >= DEMAND_GAP

    def _start(self) -> None:
        self._cancel_timer()
        # Its own context: log lines of a refresh do not carry the ids of the request that happened to start it.
        self._flight = asyncio.get_running_loop().create_task(self._fly(), context=Context())
        self._flight.add_done_callback(self._landed)

    async def _fly(self) -> Issued[T]:
        async with asyncio.timeout(FLIGHT_LIMIT):
            issued = await self._fetch()
        if issued.expires_at is not None and issued.expires_at <= self._clock.now():
            raise RefreshFailed("the token that came had already expired")
        return issued

    def _landed(self, flight: asyncio.Task[Issued[T]]) -> None:
        self._flight = None
        self._landed_at = self._clock.now()
        if flight.cancelled():
            return
        error = flight.exception()
        if error is None:
            self._accept(flight.result())
        else:
            self._reject(error)

    def _accept(self, issued: Issued[T]) -> None:
        now = self._landed_at
        if self.status.failures:
            log.info("credential refreshed again", provider=self._provider, failures=self.status.failures)
        self._issued, self._good_until, self._refresh_at = issued, float("inf"), float("inf")
        if issued.expires_at is not None:
            life = issued.expires_at - now
            early, late = REFRESH_AT
            wait = max(SHORTEST_WAIT, life * (early + (late - early) * self._clock.chance()))
            self._good_until = issued.expires_at - min(MARGIN, life * MARGIN_PART)
            self._schedule(wait)
        self.status = CredentialStatus(True, _instant(now), expires_at=_instant(issued.expires_at))

    def _reject(self, error: BaseException) -> None:
        failures = self.status.failures + 1
        reason = _words(error)
        wait = min(BACKOFF_MOST, BACKOFF_FIRST * 2 ** min(failures - 1, 10)) * (0.5 + 0.5 * self._clock.chance())
        self.status = replace(self.status, ok=False, at=_instant(self._landed_at), error=reason, failures=failures)
        left = self._good_until - self._landed_at if self._issued is not None else 0.0
        log.error(
            "credential refresh failed",
            provider=self._provider,
            error=reason,
            failures=failures,
            seconds_left=max(0, int(left)),
        )
        self._schedule(wait)

    def _schedule(self, wait: float) -> None:
        self._cancel_timer()
        self._refresh_at = self._landed_at + wait  # by the wall's clock: a timer stands still while a machine sleeps
        if not self._closed:
            self._timer = self._clock.call_later(wait, self._due)

    def _due(self) -> None:
        self._timer = None
        if self._flight is None and not self._closed:
            self._start()

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _unavailable(self) -> CredentialUnavailable:
        if self._flight is not None:
            return CredentialUnavailable(self._provider, f"no token within {self._patience:g} s")
        return CredentialUnavailable(self._provider, self.status.error or "closed")


def _instant(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def _words(error: BaseException) -> str:
    """What may be shown of a failed refresh. An unexpected error is only named: its text may hold anything."""
    if isinstance(error, RefreshFailed):
        return str(error)
    if isinstance(error, TimeoutError | httpx.TimeoutException):
        return "no answer in time"
    if isinstance(error, httpx.TransportError | OSError):
        return f"no connection: {error}"[:300]
    return f"unexpected: {type(error).__name__}"
