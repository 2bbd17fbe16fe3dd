"""The content of an answer on its way from the socket to whoever reads it."""

import asyncio
from collections.abc import AsyncIterator
from typing import Protocol

import httpx

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
    closes its connection.
    """

    __slots__ = ("_loop", "_parts", "_source", "_waiter", "error", "held", "over", "silence")

    def __init__(self, loop: asyncio.AbstractEventLoop, source: Source, silence: float | None) -> None:
        self._loop = loop
        self._source: Source | None = source
        self._parts: list[bytes] = []
        self._waiter: asyncio.Future[None] | None = None
        self.error: httpx.TransportError | None = None
        self.over = False
        self.held = 0  # bytes that wait to be read
        self.silence = silence

    def add(self, data: bytes) -> None:
        self._parts.append(data)
        self.held += len(data)

    def end(self, error: httpx.TransportError | None = None) -> None:
        """Nothing more will come; what has arrived is still given, then `error` is raised."""
        self.over = True
        self._source = None
        self.error = error
        self.wake()

    def wake(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

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
        if source is not None:
            source.abort()
        self.over = True
