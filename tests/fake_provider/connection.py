"""One connection of the fake provider: reads requests byte by byte as they come, writes answers step by step."""

import asyncio
import contextlib
import re
import socket
import struct
import time
from collections.abc import Callable

from tests.fake_provider.answers import Answer, Die, Gate, Hang, Pause, Repeat, Send, Step
from tests.fake_provider.received import MalformedError, Received, body_framing, read_head

Serve = Callable[[Received], Answer]
Begin = Callable[[Received], None]
Complain = Callable[[str], None]
WRITE_BUFFER = 64 * 1024


class _GoneError(Exception):
    """The other side closed the connection."""


class Connection(asyncio.Protocol):
    """`begin` numbers a request and keeps it, `serve` chooses its answer, `complain` records a violation."""

    def __init__(self, number: int, begin: Begin, serve: Serve, complain: Complain, ended: Callable[..., None]) -> None:
        self.number = number
        self._begin, self._serve, self._complain, self._ended = begin, serve, complain, ended
        self._buffer = bytearray()
        self._more = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self._gone = asyncio.Event()
        self._current: Received | None = None
        self._half_read = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.set_write_buffer_limits(high=WRITE_BUFFER)
        self._task = asyncio.get_running_loop().create_task(self._run())
        self._task.add_done_callback(self._finished)

    def _finished(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and task.exception():
            self._complain(f"connection {self.number}: the fake provider itself failed: {task.exception()!r}")
            self.transport.abort()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        self._more.set()

    def eof_received(self) -> bool:
        self._leave()
        return False

    def connection_lost(self, reason: Exception | None) -> None:
        self._leave()
        self._writable.set()
        self._ended(self)

    def pause_writing(self) -> None:
        self._writable.clear()
        if self._current:
            self._current.stalled.set()

    def resume_writing(self) -> None:
        self._writable.set()
        if self._current:
            self._current.stalled.clear()

    def _leave(self) -> None:
        if self._current and self._current.closed_at is None:
            self._current.closed_at = time.monotonic()
            self._current.closed.set()
        self._gone.set()
        self._more.set()

    async def _run(self) -> None:
        keep = True
        try:
            while keep:
                keep = await self._exchange()
        except MalformedError as error:
            self._complain(f"connection {self.number}: {error}")
            self._write(b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
        except _GoneError:
            if self._half_read or self._buffer:
                self._complain(f"connection {self.number}: closed in the middle of a request")
        finally:
            self.transport.close()

    async def _exchange(self) -> bool:
        request = await self._request()
        answer = self._serve(request)
        for step in answer.steps:
            await self._perform(step, request)
        request.answered.set()
        self._current = None
        return answer.keep

    async def _request(self) -> Received:
        head = await self._until(b"\r\n\r\n")
        self._half_read = True
        method, target, headers = read_head(head)
        request = Received(0, self.number, head + b"\r\n\r\n", method, target, headers)
        length = body_framing(headers)
        if any(name.lower() == "expect" and value.lower() == "100-continue" for name, value in headers):
            self._write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if length is None:
            request.body, request.trailers = await self._chunked()
        else:
            request.body = await self._take(length)
        self._half_read = False
        if self._buffer:
            raise MalformedError(f"{len(self._buffer)} bytes after the end of the body")
        self._current = request
        self._begin(request)
        return request

    async def _until(self, mark: bytes) -> bytes:
        while (at := self._buffer.find(mark)) < 0:
            await self._wait()
        found = bytes(self._buffer[:at])
        del self._buffer[: at + len(mark)]
        return found

    async def _take(self, count: int) -> bytes:
        while len(self._buffer) < count:
            await self._wait()
        found = bytes(self._buffer[:count])
        del self._buffer[:count]
        return found

    async def _chunked(self) -> tuple[bytes, bytes]:
        parts = []
        while True:
            size = await self._until(b"\r\n")
            if not re.fullmatch(rb"[0-9a-fA-F]+", size):
                raise MalformedError(f"chunk size {size!r}")
            if not int(size, 16):
                break
            parts.append(await self._take(int(size, 16)))
            if await self._take(2) != b"\r\n":
                raise MalformedError("a chunk longer than its size")
        trailers = b""
        while line := await self._until(b"\r\n"):
            trailers += line + b"\r\n"
        return b"".join(parts), trailers

    async def _wait(self) -> None:
        if self._gone.is_set():
            raise _GoneError
        self._more.clear()
        await self._more.wait()

    def _write(self, data: bytes) -> None:
        if self.transport.is_closing():
            raise _GoneError
        self.transport.write(data)
        if self._current:
            self._current.sent += len(data)

    async def _perform(self, step: Step, request: Received) -> None:
        if isinstance(step, Send):
            self._write(step.data)
            await self._drained()
        elif isinstance(step, Gate):
            await self._pass(step)
        elif isinstance(step, Pause):
            await self._pause(step.seconds)
        elif isinstance(step, Hang):
            await self._gone.wait()
            raise _GoneError
        elif isinstance(step, Repeat):
            await self._repeat(step)
        elif isinstance(step, Die):
            await self._die(step, request)

    async def _repeat(self, step: Repeat) -> None:
        while True:
            self._write(step.data)
            await self._drained()
            await asyncio.sleep(step.pace)

    async def _drained(self) -> None:
        if not self._writable.is_set():
            await self._writable.wait()
        if self._gone.is_set():
            raise _GoneError

    async def _pass(self, gate: Gate) -> None:
        passed = asyncio.ensure_future(gate.passed())
        gone = asyncio.ensure_future(self._gone.wait())
        try:
            await asyncio.wait({passed, gone}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            passed.cancel()
            gone.cancel()
        if self._gone.is_set():
            raise _GoneError

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._gone.wait()
        except TimeoutError:
            return
        raise _GoneError

    async def _die(self, step: Die, request: Received) -> None:
        request.answered.set()
        self._current = None
        if step.how == "reset":
            sock = self.transport.get_extra_info("socket")
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.transport.abort()
        else:
            self.transport.close()
        raise _GoneError

    def close(self) -> None:
        self.transport.close()

    def abandon(self) -> None:
        """Ends an answer that is not complete, if there is one."""
        if self._current is not None:
            self.transport.abort()

    async def stop(self) -> None:
        """Ends the connection and its task, whatever it was doing."""
        self._task.cancel()
        self.transport.abort()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
