"""The content of an answer on its way from the socket to whoever reads it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Protocol

import httpx

from gateway_project.telemetry import logger

Sink = Callable[[bytes], bool]
"""Takes what has arrived, at once; or returns False, and then the reader gets it."""

log = logger(__name__)
HELD_BYTES = 64 * 1024  # a reader that leaves more than this lying stops the upstream


class Source(Protocol):
    """The connection that a body comes from."""

    def resume(self) -> None:
        """More may come."""

    def abort(self) -> None:
        """Nobody wants the rest."""


class Body(httpx.AsyncByteStream):
    """Gives what has arrived, at once and all of it together; waits only if there is nothing.

    `silence` is how many seconds may pass without a byte, None for ever. Closing a body that has not been read to its end
    closes its connection. While a reader waits, and only then, `sink` is offered what arrives before it.
    """

    __slots__ = ("_loop", "_parts", "_source", "_waiter", "error", "held", "over", "silence", "sink")

    def __init__(self, loop: asyncio.AbstractEventLoop, source: Source, silence: float | None) -> None:
        self._loop = loop
        self._source: Source | None = source
        self._parts: list[bytes] = []
        self._waiter: asyncio.Future[None] | None = None
        self.error: httpx.TransportError | None = None
        self.over = False
        self.held = 0  # bytes that wait to be read
        self.silence = silence
        self.sink: Sink | None = None

    def add(self, data: bytes) -> None:
        self._parts.append(data)
        self.held += len(data)

    def end(self, error: httpx.TransportError | None = None) -> None:
        """Nothing more will come; what has arrived is still given, then `error` is raised."""
        self.over = True
        self._source = self.sink = None
        self.error = error
        self.wake()

    def wake(self) -> None:
        waiter = self._waiter
        if waiter is None or waiter.done():
            return
        if self.sink is not None and self._parts and self.silence is None:
            if len(self._parts) > 1:
                self._parts = [b"".join(self._parts)]
            if self._sunk(self.sink, self._parts[0]):
                self._parts = []
                self.held = 0
                if self._source is not None:
                    self._source.resume()
                return
        waiter.set_result(None)

    def _sunk(self, sink: Sink, data: bytes) -> bool:
        """An error is the reader's to meet, not the upstream's connection's."""
        try:
            return sink(data)
        except Exception:
            log.exception("what arrived could not be passed on at once")
            return False

    def whole(self) -> bytes | None:
        """All that is left, if all of it is here: nobody has to wait then."""
        if not self.over or self.error is not None:
            return None
        parts, self._parts = self._parts, []
        self.held = 0
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        while not self._parts:
            if self.error is not None:
                raise self.error
            if self.over:
                raise StopAsyncIteration
            await self._arrival()
        parts = self._parts
        self._parts = []
        self.held = 0
        if self._source is not None:
            self._source.resume()
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def _arrival(self) -> None:
        self._waiter = self._loop.create_future()
        try:
            if self.silence is None:
                await self._waiter
                return
            async with asyncio.timeout(self.silence):
                await self._waiter
        except TimeoutError:
            await self.aclose()
            raise httpx.ReadTimeout(f"nothing came for {self.silence:g} s") from None
        finally:
            self._waiter = None

    async def aclose(self) -> None:
        self._parts = []
        self.held = 0
        source, self._source = self._source, None
        self.sink = None
        if source is not None:
            source.abort()
        self.over = True
