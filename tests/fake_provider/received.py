"""One request as it arrived: the raw bytes, their reading, and what became of the connection afterwards."""

import json
import re
import threading
import time
from dataclasses import dataclass, field
from typing import Any

_REQUEST_LINE = re.compile(rb"([A-Z]+) ([!-~]+) HTTP/1\.1")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t\x20-\x7e\x80-\xff]*?)[ \t]*")


class MalformedError(Exception):
    """Bytes that are not an HTTP/1.1 request."""


@dataclass(slots=True, eq=False)
class Received:
    """`headers` keep order and case. `connection` numbers the connections from 1, so equal numbers mean reuse.

    `closed` is set when the other side closed or reset the connection, at monotonic time `closed_at`; `stalled` is set
    while the other side does not take the bytes of the answer; `sent` counts those handed to the socket.
    """

    number: int
    connection: int
    head: bytes
    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes = b""
    trailers: bytes = b""
    upstream_id: str = ""
    arrived_at: float = field(default_factory=time.monotonic)
    answered: threading.Event = field(default_factory=threading.Event)
    closed: threading.Event = field(default_factory=threading.Event)
    stalled: threading.Event = field(default_factory=threading.Event)
    closed_at: float | None = None
    sent: int = 0

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def values(self, name: str) -> list[str]:
        """All values of a header, in order."""
        return [value for key, value in self.headers if key.lower() == name]

    def value(self, name: str) -> str:
        """The only value of a header; an empty text when it is absent."""
        found = self.values(name)
        if len(found) > 1:
            raise AssertionError(f"{name} arrived {len(found)} times")
        return found[0] if found else ""


def read_head(head: bytes) -> tuple[str, str, list[tuple[str, str]]]:
    """Method, target and headers of a request head without its final empty line. Raises `MalformedError`."""
    first, *lines = head.split(b"\r\n")
    request = _REQUEST_LINE.fullmatch(first)
    if request is None:
        raise MalformedError(f"not an HTTP/1.1 request line: {first!r}")
    headers = []
    for line in lines:
        match = _FIELD.fullmatch(line)
        if match is None:
            raise MalformedError(f"not a header line: {line!r}")
        headers.append((match[1].decode("latin-1"), match[2].decode("latin-1")))
    return request[1].decode(), request[2].decode(), headers


def body_framing(headers: list[tuple[str, str]]) -> int | None:
    """The body's length, or None for a chunked one. Raises `MalformedError` for what could be read in two ways."""
    lengths = [value for name, value in headers if name.lower() == "content-length"]
    codings = [value for name, value in headers if name.lower() == "transfer-encoding"]
    if codings and lengths:
        raise MalformedError("content-length beside transfer-encoding")
    if len(lengths) > 1 or len(codings) > 1:
        raise MalformedError("a doubled content-length or transfer-encoding")
    if codings:
        if codings[0].lower() != "chunked":
            raise MalformedError(f"transfer-encoding {codings[0]!r}")
        return None
    if not lengths:
        return 0
    if not re.fullmatch(r"[0-9]+", lengths[0]):
        raise MalformedError(f"content-length {lengths[0]!r}")
    return int(lengths[0])
