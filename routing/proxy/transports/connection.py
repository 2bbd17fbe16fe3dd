"""One connection to an upstream: a request goes out, its answer comes in, one after the other."""

import asyncio
import math
import select
import ssl
from collections.abc import Callable
from typing import cast

import httpx
import msgspec

from routing.outbox import Outlet, outbox_of
from routing.proxy.transports.body import HELD_BYTES, Body
from routing.proxy.transports.wire import AnswerReader, BadAnswer

ONE_WRITE_BYTES = 32 * 1024  # a body up to this is copied behind its head: one write, one packet
PIECE_BYTES = 256 * 1024  # a longer body goes out in pieces, so that encrypting it does not stop the event loop

Origin = tuple[bytes, bytes, int]
"""Scheme, host, port."""


class Limits(msgspec.Struct, frozen=True):
    """Seconds; None for no limit. `read` and `write` are of silence, `pool` and `connect` of the whole step."""

    connect: float | None = None
    pool: float | None = None
    read: float | None = None
    write: float | None = None


class Connection(asyncio.Protocol):
    """`free` is called when the connection has nothing to do: with True if it can be used again, else it is closed.

    A connection is used by one request at a time. Bytes that come while nobody has asked for anything end it.
    """

    __slots__ = (
        "_body", "_free", "_full", "_heard", "_loop", "_outbox", "_paused", "_poll", "_reader", "_transport", "_unsent", "closed",
        "expires", "origin", "patience", "uses",
    )  # fmt: skip

    def __init__(self, origin: Origin, free: Callable[["Connection", bool], None]) -> None:
        self.origin = origin
        self.uses = 0
        self.expires = self.patience = math.inf  # of the loop's clock; seconds
        self.closed = False
        self._free = free
        self._loop = asyncio.get_running_loop()
        self._outbox = outbox_of(self._loop)
        self._reader: AnswerReader | None = None
        self._body: Body | None = None
        self._heard: asyncio.Future[None] | None = None
        self._unsent: memoryview | None = None
        self._full = self._paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = Outlet(cast(asyncio.Transport, transport), self._outbox)  # uvloop's is none by inheritance
        self._poll = select.poll()
        self._poll.register(self._transport.get_extra_info("socket").fileno(), select.POLLIN)

    @property
    def tls(self) -> ssl.SSLObject | None:
        found: ssl.SSLObject | None = self._transport.get_extra_info("ssl_object")
        return found

    @property
    def usable(self) -> bool:
        """Whether a request can be sent: open, and nothing has come that the event loop has not read yet, no end either."""
        return not self.closed and not self._transport.is_closing() and not self._poll.poll(0)

    # The way out.

    async def ask(self, head: bytes, content: bytes, limits: Limits, *, bodiless: bool) -> tuple[AnswerReader, Body]:
        """Sends a request and waits for its answer's head. Raises httpx's transport errors; then it is closed."""
        if self.closed or self._transport.is_closing():
            self.abort()
            early = httpx.RemoteProtocolError("the upstream closed the connection before it was asked")
            raise Unanswered(early, begun=False)
        self.uses += 1
        self._body = body = Body(self._loop, self, limits.read)
        self._reader = reader = AnswerReader(body, bodiless=bodiless)
        try:
            self._send(head, content)
            while not reader.head and body.error is None:
                await self._news(limits)
        except BaseException:
            if self._reader is reader:  # else the answer is here, and the connection serves another request by now
                self.abort()
            raise
        if not reader.head and body.error is not None:
            raise Unanswered(body.error, begun=reader.begun)
        return reader, body

    def _send(self, head: bytes, content: bytes) -> None:
        if len(content) <= ONE_WRITE_BYTES:
            self._transport.write(head + content)
        elif len(content) <= PIECE_BYTES:
            self._transport.writelines((head, content))
        else:
            self._transport.write(head)
            self._unsent = memoryview(content)
            self._push()

    def _push(self) -> None:
        while self._unsent is not None and not self._full and not self._transport.is_closing():
            piece, rest = self._unsent[:PIECE_BYTES], self._unsent[PIECE_BYTES:]
            self._unsent = rest if len(rest) else None
            self._transport.write(piece)

    def pause_writing(self) -> None:
        self._full = True

    def resume_writing(self) -> None:
        self._full = False
        if self._unsent is not None:
            self._push()
            self._tell()  # the limit of silence begins anew

    async def _news(self, limits: Limits) -> None:
        """Returns when something has happened: the head, an end, a piece of the body taken."""
        sending = self._unsent is not None
        limit = limits.write if sending else limits.read
        self._heard = heard = self._loop.create_future()
        try:
            if limit is None:
                await heard
                return
            async with asyncio.timeout(limit):
                await heard
        except TimeoutError:
            if sending:
                raise httpx.WriteTimeout(f"the upstream took none of the request for {limit:g} s") from None
            raise httpx.ReadTimeout(f"no answer within {limit:g} s") from None
        finally:
            if self._heard is heard:  # the next request may wait already
                self._heard = None

    def _tell(self) -> None:
        heard = self._heard
        if heard is not None and not heard.done():
            heard.set_result(None)

    # The way in.

    def data_received(self, data: bytes) -> None:
        if self._outbox.holding:
            self._outbox.send()
        reader, body = self._reader, self._body
        if reader is None or body is None:
            self.abort()
            return
        try:
            reader.feed(data)
        except BadAnswer as error:
            self._over(httpx.RemoteProtocolError(str(error)))
            return
        if reader.complete:
            self._done(reader, body)
        elif body.held > HELD_BYTES and not self._paused:
            self._paused = True
            self._transport.pause_reading()
        if reader.head:
            if self._unsent is not None and reader.status >= 300:
                self._unsent = None  # it has said no: what is left of the request is not sent
                reader.reusable = False
            self._tell()
            body.wake()

    def _done(self, reader: AnswerReader, body: Body) -> None:
        self._reader = self._body = None
        sent = self._unsent is None and not self._transport.get_write_buffer_size()
        self._unsent = None
        self._tell()
        body.end()
        if reader.reusable and sent and not self._transport.is_closing():
            self.patience = reader.patience
            self.resume()
            self._free(self, True)
        else:
            self.abort()

    def resume(self) -> None:
        if self._paused:
            self._paused = False
            if not self._transport.is_closing():
                self._transport.resume_reading()

    # The end.

    def eof_received(self) -> None:
        self._over(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self._over(httpx.ReadError(str(exc) or type(exc).__name__) if exc is not None else None)

    def _over(self, error: httpx.TransportError | None) -> None:
        if self.closed:
            return
        reader, body = self._reader, self._body
        if reader is not None and body is not None:
            if error is None:
                try:
                    reader.end()
                except BadAnswer as early:
                    error = httpx.RemoteProtocolError(str(early))
            body.end(error)
        self.abort()

    def abort(self) -> None:
        """Closes the connection at once; what it was doing is over. May be called again."""
        if self.closed:
            return
        self.closed = True
        body, self._body = self._body, None
        if self._reader is not None:
            self._reader.close()
        self._reader = self._unsent = None
        if body is not None and body.error is None and not body.over:
            body.end(httpx.ReadError("the connection was closed"))
        self._tell()
        self._transport.abort()
        self._free(self, False)


class Unanswered(Exception):
    """The connection broke before the answer's head was here. `begun`: a byte of it was."""

    def __init__(self, error: httpx.TransportError, *, begun: bool) -> None:
        super().__init__(str(error))
        self.error = error
        self.begun = begun
