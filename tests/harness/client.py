"""An HTTP/1.1 client over a plain socket: it sends exactly the bytes it is given and reads pieces as they arrive."""

import json
import socket
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

Pairs = Iterable[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Reply:
    """`headers` have lower-case names, in order."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def values(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key == name]

    def value(self, name: str) -> str:
        """The only value of a header; an empty text when it is absent."""
        found = self.values(name)
        if len(found) > 1:
            raise AssertionError(f"{name} came {len(found)} times")
        return found[0] if found else ""


class Client:
    """One connection. Every read fails after `timeout` seconds of silence."""

    def __init__(self, port: int, timeout: float = 10, *, receive_buffer: int = 0) -> None:
        self.port = port
        self._socket = socket.socket()
        self._socket.settimeout(timeout)
        if receive_buffer:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self._socket.connect(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = bytearray()
        self._chunked = False
        self._left: int | None = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def request(self, method: str, target: str, headers: Pairs = (), body: bytes | None = None) -> None:
        """Sends a request head with `host`, these headers, and `content-length` if there is a body, then the body."""
        lines = [f"{method} {target} HTTP/1.1", f"host: 127.0.0.1:{self.port}"]
        lines += [f"{name}: {value}" for name, value in headers]
        if body is not None:
            lines.append(f"content-length: {len(body)}")
        self.send(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + (body or b""))

    def head(self) -> Reply:
        """The next response's head; its body stays to be read."""
        lines = self._line_block().split(b"\r\n")
        status = int(lines[0].split(b" ")[1])
        headers = []
        for line in lines[1:]:
            name, _, value = line.partition(b":")
            headers.append((name.decode("latin-1").lower(), value.decode("latin-1").strip()))
        if 100 <= status < 200:
            return self.head()
        found = Reply(status, headers, b"")
        self._chunked = "chunked" in found.value("transfer-encoding")
        length = found.value("content-length")
        self._left = int(length) if length else None
        if status in (204, 304):
            self._left = 0
        return found

    def piece(self) -> bytes:
        """The next piece of the body as it arrives; empty at the body's proper end. A cut body raises EOFError."""
        if self._chunked:
            return self._chunk()
        if self._left == 0:
            return b""
        if not self._buffer and not self._receive():
            if self._left is None:
                return b""
            raise EOFError(f"the connection ended {self._left} bytes early")
        taken = bytes(self._buffer if self._left is None else self._buffer[: self._left])
        del self._buffer[: len(taken)]
        if self._left is not None:
            self._left -= len(taken)
        return taken

    def until(self, mark: bytes) -> bytes:
        """Pieces of the body up to the first one after which `mark` has been seen."""
        seen = b""
        while mark not in seen:
            piece = self.piece()
            if not piece:
                raise AssertionError(f"the body ended without {mark!r}: {seen[-300:]!r}")
            seen += piece
        return seen

    def rest(self) -> bytes:
        """The body to its proper end."""
        pieces = []
        while piece := self.piece():
            pieces.append(piece)
        return b"".join(pieces)

    def reply(self, *, method: str = "POST") -> Reply:
        """A whole response."""
        head = self.head()
        body = b"" if method == "HEAD" else self.rest()
        return Reply(head.status, head.headers, body)

    def at_end(self) -> bool:
        """Whether the other side has closed the connection; waits for that."""
        try:
            return not self._receive()
        except ConnectionResetError:
            return True

    def leave(self, *, reset: bool = False) -> None:
        """Closes the connection, by RST if asked."""
        if reset:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()

    def _receive(self) -> bytes:
        data = self._socket.recv(65536)
        self._buffer += data
        return data

    def _line_block(self) -> bytes:
        while (at := self._buffer.find(b"\r\n\r\n")) < 0:
            if not self._receive():
                raise EOFError(f"the connection ended in the head: {bytes(self._buffer)!r}")
        block = bytes(self._buffer[:at])
        del self._buffer[: at + 4]
        return block

    def _need(self, count: int) -> bytes:
        while len(self._buffer) < count:
            if not self._receive():
                raise EOFError("the connection ended inside a chunked body")
        taken = bytes(self._buffer[:count])
        del self._buffer[:count]
        return taken

    def _chunk(self) -> bytes:
        if self._left == 0:
            return b""
        while b"\r\n" not in self._buffer:
            if not self._receive():
                raise EOFError("the connection ended inside a chunked body")
        size = int(self._need(self._buffer.index(b"\r\n") + 2), 16)
        data = self._need(size + 2)[:-2]
        if not size:
            self._left = 0
        return data
