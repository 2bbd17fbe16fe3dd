"""The connections to one provider: at most so many, kept warm while they are idle, handed out in the order of asking."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import httpx

from routing.proxy.transports.connection import Connection, Limits, Origin

# Seconds an idle connection is kept. Shorter than the silence after which networks between forget a connection without a
# word (Azure's load balancer 240 s, Amazon's NAT gateway 350 s; vendors' pages, 2026-11).
KEEP_ALIVE = 180.0
MOST_WAITING = 10_000

Dial = Callable[[Origin, Limits], Awaitable[Connection]]


@dataclass(slots=True, eq=False)
class _Waiter:
    """`turn` gets a connection, or None: then it may open one, and its place is taken already."""

    origin: Origin
    fresh: bool
    turn: "asyncio.Future[Connection | None]"


class Pool:
    """`dial` opens a connection whose `free` is this pool's. A pool belongs to one event loop and must be closed."""

    def __init__(self, most: int, dial: Dial, *, keep: float = KEEP_ALIVE) -> None:
        self._most = most
        self._dial = dial
        self._keep = keep
        self._loop = asyncio.get_running_loop()
        self._idle: dict[Origin, list[Connection]] = {}  # the one used last is the last
        self._live: set[Connection] = set()
        self._opening = 0
        self._waiting: deque[_Waiter] = deque()
        self._sweeper: asyncio.TimerHandle | None = None
        self._closed = False

    @property
    def open(self) -> int:
        """How many connections there are, those included that are being opened."""
        return len(self._live) + self._opening

    async def take(self, origin: Origin, limits: Limits, *, fresh: bool = False) -> Connection:
        """A connection to `origin`, a warm one unless it must be `fresh`. Raises httpx's transport errors.

        It comes back by itself, through `free`; whoever does not use it has to `abort` it.
        """
        while True:
            if self._closed:
                raise httpx.ConnectError("the provider's connections were closed")
            connection = None
            if self._waiting:
                connection = await self._turn(origin, limits.pool, fresh=fresh)
            elif not fresh and (connection := self._warm(origin)) is not None:
                return connection
            elif self._has_room():
                self._opening += 1
            else:
                connection = await self._turn(origin, limits.pool, fresh=fresh)
            if connection is None:
                return await self._opened(origin, limits)
            if connection.usable:
                return connection
            connection.abort()

    def free(self, connection: Connection, usable: bool) -> None:
        """What a connection calls when it has nothing to do."""
        if not usable:
            self._gone(connection)
            return
        if self._closed:
            connection.abort()
            return
        if self._waiting:
            first = self._waiting[0]
            if first.fresh or first.origin != connection.origin:
                connection.abort()  # which makes room for that one
            else:
                self._waiting.popleft().turn.set_result(connection)
            return
        connection.expires = self._loop.time() + min(self._keep, connection.patience)
        self._idle.setdefault(connection.origin, []).append(connection)
        if self._sweeper is None:
            self._sweeper = self._loop.call_later(self._keep / 4, self._sweep)

    async def close(self) -> None:
        """Closes every connection, busy ones too, and refuses whoever still waits."""
        self._closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
        for connection in list(self._live):
            connection.abort()
        while self._waiting:
            self._waiting.popleft().turn.set_exception(httpx.ConnectError("the provider's connections were closed"))
        await asyncio.sleep(0)  # for the transports to be told

    def _warm(self, origin: Origin) -> Connection | None:
        """The idle connection that was used last and is still good; ones that are not are closed on the way."""
        idle = self._idle.get(origin)
        now = self._loop.time()
        while idle:
            connection = idle.pop()
            if connection.expires > now and connection.usable:
                return connection
            connection.abort()
        return None

    def _has_room(self) -> bool:
        if self.open < self._most:
            return True
        oldest = min((idle[0] for idle in self._idle.values() if idle), key=lambda each: each.expires, default=None)
        if oldest is None:
            return False
        oldest.abort()  # idle, but to another origin, or else it would have been taken
        return True

    async def _opened(self, origin: Origin, limits: Limits) -> Connection:
        try:
            connection = await self._dial(origin, limits)
        except BaseException:
            self._opening -= 1
            self._next()
            raise
        self._opening -= 1
        self._live.add(connection)
        if self._closed:
            connection.abort()
            raise httpx.ConnectError("the provider's connections were closed")
        return connection

    async def _turn(self, origin: Origin, patience: float | None, *, fresh: bool) -> Connection | None:
        if len(self._waiting) >= MOST_WAITING:
            raise httpx.PoolTimeout(f"{MOST_WAITING} requests wait for a connection already")
        waiter = _Waiter(origin, fresh, self._loop.create_future())
        self._waiting.append(waiter)
        try:
            async with asyncio.timeout(patience):
                return await waiter.turn
        except BaseException as error:
            self._left(waiter)
            if isinstance(error, TimeoutError):
                text = f"none of {self._most} connections became free within {patience:g} s"
                raise httpx.PoolTimeout(text) from None
            raise

    def _left(self, waiter: _Waiter) -> None:
        """Somebody stopped waiting; what was just handed over goes to the next."""
        turn = waiter.turn
        if turn.cancelled() or not turn.done():
            if waiter in self._waiting:
                self._waiting.remove(waiter)
            return
        if turn.exception() is not None:
            return
        connection = turn.result()
        if connection is None:
            self._opening -= 1
            self._next()
        elif not connection.closed:
            self.free(connection, True)

    def _gone(self, connection: Connection) -> None:
        self._live.discard(connection)
        idle = self._idle.get(connection.origin)
        if idle is not None and connection in idle:
            idle.remove(connection)
        self._next()

    def _next(self) -> None:
        """Gives the places that are free to those who wait."""
        while self._waiting and self.open < self._most:
            self._opening += 1
            self._waiting.popleft().turn.set_result(None)

    def _sweep(self) -> None:
        self._sweeper = None
        now = self._loop.time()
        for idle in self._idle.values():
            for connection in [each for each in idle if each.expires <= now]:
                connection.abort()
        self._idle = {origin: idle for origin, idle in self._idle.items() if idle}
        if self._idle:
            self._sweeper = self._loop.call_later(self._keep / 4, self._sweep)
