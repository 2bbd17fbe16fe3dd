"""One request and its answer on a connection of the production server.

uvicorn's cycle writes the head of an answer and its body apart, which is one call of the kernel and one packet too many for
most answers, and looks through every header twice with an expression. This one writes both together, and takes pieces of a
stream without a coroutine where nobody has to wait.
"""

import asyncio
from collections.abc import Iterable
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from routing.outbox import Outlet

ONE_WRITE_BYTES = 32 * 1024  # a body up to this is copied behind its head
_NOT_IN_NAMES = bytes(range(33)) + b'\x7f()<>@,;:[]={}\\"'
_NOT_IN_VALUES = bytes(set(range(32)) - {9}) + b"\x7f"
_FRAMING = frozenset({b"content-length", b"transfer-encoding", b"connection"})
_BODILESS = frozenset({204, 304})
_MOST_NAMES, _LONGEST_NAME = 1000, 64  # that are remembered; upstreams choose some
_names: dict[
    bytes, tuple[bytes, bytes]
] = {}  # of headers: how a line begins, and the name if it says how the body is framed


def _checked(name: bytes) -> tuple[bytes, bytes]:
    if not name or len(name.translate(None, _NOT_IN_NAMES)) != len(name):
        raise RuntimeError("a header's name has a character that none may have")
    lower = name.lower()
    found = (b"\r\n%b: " % lower, lower if lower in _FRAMING else b"")
    if len(name) <= _LONGEST_NAME:
        if len(_names) >= _MOST_NAMES:
            _names.clear()
        _names[name] = found
    return found


class Cycle(RequestResponseCycle):
    """`send` as uvicorn's: it waits while the client does not read, and does nothing once it is gone."""

    transport: Outlet  # type: ignore[assignment]
    _head = b""  # that waits for the first bytes of the body, or the end of this turn of the event loop

    async def send(self, message: Any) -> None:
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        kind = message["type"]
        if kind == "http.response.body" and self.response_started and not self.response_complete:
            self._send_body(message.get("body", b""), more=message.get("more_body", False))
        elif kind == "http.response.start" and not self.response_started:
            self._send_head(message["status"], message.get("headers", ()))
        else:
            raise RuntimeError(f"{kind} was sent at the wrong time")

    def push(self, data: bytes) -> bool:
        """Writes a piece of an answer without a declared length, at once. False if it cannot be now: then `send` it."""
        if self.flow.write_paused or self.disconnected or not self.chunked_encoding or self.response_complete:
            return False
        if self.transport.is_closing():
            return False
        head, self._head = self._head, b""
        piece = b"%b%x\r\n%b\r\n" % (head, len(data), data)
        transport = self.transport
        if transport.held is None:
            transport.write_at_once(piece)  # events come one by one; who reads them would be woken all the same
        else:
            transport.write(piece)
        return True

    def _send_head(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> None:
        parts = [STATUS_LINE[status][:-2]]
        framed = []
        for given, value in (*self.default_headers, *headers):
            begin, framing = _names.get(given) or _checked(given)
            parts += (begin, value)
            if framing:
                framed.append((framing, value))
        head = b"".join(parts)
        # All control characters of the head must be those of our line ends.
        if len(head) - len(head.translate(None, _NOT_IN_VALUES)) != len(parts) - 1:
            raise RuntimeError("a header's value has a character that none may have")
        closes = False
        for name, value in framed:
            closes = self._frame(name, value) or closes
        self.response_started = True
        self.waiting_for_100_continue = False
        if not self.keep_alive and not closes:
            head += b"\r\nconnection: close"
        if self.chunked_encoding is None and self.scope["method"] != "HEAD" and status not in _BODILESS:
            self.chunked_encoding = True
            head += b"\r\ntransfer-encoding: chunked"
        self._head = head + b"\r\n\r\n"
        if self.chunked_encoding:  # of a declared length, the body follows
            asyncio.get_running_loop().call_soon(self._flush)

    def _frame(self, name: bytes, value: bytes) -> bool:
        """Takes in a header that says how the body is framed; whether it closes the connection."""
        if name == b"connection":
            if b"close" not in [token.strip() for token in value.lower().split(b",")]:
                return False
            self.keep_alive = False
            return True
        if name == b"content-length" and self.chunked_encoding is None:
            self.expected_content_length = int(value)
            self.chunked_encoding = False
        elif name == b"transfer-encoding" and value.lower() == b"chunked":
            self.expected_content_length = 0
            self.chunked_encoding = True
        return False

    def _flush(self) -> None:
        head, self._head = self._head, b""
        if head and not self.disconnected and not self.transport.is_closing():
            self.transport.write(head)

    def _send_body(self, body: bytes, *, more: bool) -> None:
        body = self._framed(body, more)
        head, self._head = self._head, b""
        if head and len(body) > ONE_WRITE_BYTES:
            self.transport.writelines((head, body))
        elif head or body:
            self.transport.write(head + body)
        if more:
            return
        if self.expected_content_length:
            raise RuntimeError("the answer is shorter than its content-length")
        self.response_complete = True
        self.message_event.set()
        if not self.keep_alive:
            self.transport.close()
        self.on_response()

    def _framed(self, body: bytes, more: bool) -> bytes:
        if self.scope["method"] == "HEAD":
            self.expected_content_length = 0
            return b""
        if self.chunked_encoding:
            piece = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
            return piece if more else piece + b"0\r\n\r\n"
        self.expected_content_length -= len(body)
        if self.expected_content_length < 0:
            raise RuntimeError("the answer is longer than its content-length")
        return body
