"""What a scripted provider does: an answer is a list of steps, each one thing on the wire.

Tests compose answers from `reply` (one body), `stream` (pieces with gates between them) and `raw` (any bytes at all).
"""

import asyncio
import json
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

Pairs = Iterable[tuple[str, str]]
Framing = Literal["length", "chunked", "close"]

# What the real API and the edge before it add to every answer; none of these may reach a client of the gateway.
EDGE_HEADERS: tuple[tuple[str, str], ...] = (
    ("anthropic-organization-id", "org-of-the-upstream-account"),
    ("anthropic-workspace-id", "wrkspc-of-the-upstream-account"),
    ("anthropic-ratelimit-requests-limit", "4000"),
    ("anthropic-ratelimit-requests-remaining", "3999"),
    ("anthropic-ratelimit-input-tokens-remaining", "123000"),
    ("anthropic-ratelimit-unified-status", "allowed"),
    ("cf-ray", "8f00ba4-FRA"),
    ("via", "1.1 google"),
    ("server", "cloudflare"),
    ("set-cookie", "__cf_bm=secret; path=/; HttpOnly"),
)


class Gate:
    """A point where the provider stops until the test opens it. `reached` tells the test that it got there."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self._lock = threading.Lock()
        self._open = False
        self._waiting: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    def open(self) -> None:
        with self._lock:
            self._open = True
            waiting, self._waiting = self._waiting, []
        for loop, passed in waiting:
            if not loop.is_closed():
                loop.call_soon_threadsafe(passed.set)

    async def passed(self) -> None:
        passed = asyncio.Event()
        with self._lock:
            if not self._open:
                self._waiting.append((asyncio.get_running_loop(), passed))
            else:
                passed.set()
        self.reached.set()
        await passed.wait()


@dataclass(frozen=True, slots=True)
class Send:
    """Bytes, handed to the socket as they are."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Pause:
    """Seconds of silence; only for pacing. Where order matters use a gate."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Die:
    """The connection ends here, by RST or by FIN, whatever was promised before."""

    how: Literal["reset", "fin"] = "reset"


@dataclass(frozen=True, slots=True)
class Hang:
    """Silence until the other side closes the connection."""


@dataclass(frozen=True, slots=True)
class Repeat:
    """The same bytes again and again, as fast as the reader takes them, until it closes the connection."""

    data: bytes
    pace: float = 0.0


Step = Send | Pause | Die | Hang | Repeat | Gate


@dataclass(frozen=True, slots=True)
class Answer:
    """`keep` says whether the connection may serve another request afterwards; `usage` is what the books will say."""

    steps: tuple[Step, ...]
    keep: bool = True
    usage: dict[str, Any] | None = field(default=None, hash=False)

    def after(self, *steps: Step | bytes) -> "Answer":
        """The same answer with something before it: a gate, a pause, an interim response."""
        return Answer((*(_step(step) for step in steps), *self.steps), self.keep, self.usage)


def _step(step: Step | bytes) -> Step:
    return Send(step) if isinstance(step, bytes) else step


def _head(status: int, headers: Pairs) -> bytes:
    lines = [f"HTTP/1.1 {status} Any Reason", *(f"{name}: {value}" for name, value in headers)]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def raw(*steps: Step | bytes, keep: bool = False) -> Answer:
    """Exactly these bytes and events, well-formed or not."""
    return Answer(tuple(_step(step) for step in steps), keep)


def reply(
    status: int = 200,
    body: bytes | dict[str, Any] = b"",
    headers: Pairs = (),
    *,
    framing: Framing = "length",
    content_type: str = "application/json",
    edge: bool = True,
) -> Answer:
    """One whole body. A dictionary is sent as JSON and its `usage`, if any, enters the books."""
    usage = body.get("usage") if isinstance(body, dict) else None
    data = body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False).encode()
    fields = [("content-type", content_type), *(EDGE_HEADERS if edge else ()), *headers]
    if framing == "length":
        return Answer((Send(_head(status, [*fields, ("content-length", str(len(data)))]) + data),), True, usage)
    if framing == "close":
        return Answer((Send(_head(status, [*fields, ("connection", "close")])), Send(data), Die("fin")), False, usage)
    pieces = (Send(_chunk(data)),) if data else ()
    head = _head(status, [*fields, ("transfer-encoding", "chunked")])
    return Answer((Send(head), *pieces, Send(b"0\r\n\r\n")), True, usage)


def stream(
    *pieces: Step | bytes,
    status: int = 200,
    headers: Pairs = (),
    framing: Framing = "chunked",
    content_type: str = "text/event-stream; charset=utf-8",
    usage: dict[str, Any] | None = None,
    edge: bool = True,
) -> Answer:
    """A body in pieces: bytes are cut exactly here, gates, pauses and deaths happen between them."""
    fields = [("content-type", content_type), ("cache-control", "no-cache"), *(EDGE_HEADERS if edge else ()), *headers]
    if framing == "length":
        total = sum(len(piece) for piece in pieces if isinstance(piece, bytes))
        steps = [Send(_head(status, [*fields, ("content-length", str(total))])), *(_step(piece) for piece in pieces)]
        return Answer(tuple(steps), True, usage)
    if framing == "close":
        steps = [Send(_head(status, [*fields, ("connection", "close")])), *(_step(piece) for piece in pieces)]
        return Answer((*steps, Die("fin")), False, usage)
    steps = [Send(_head(status, [*fields, ("transfer-encoding", "chunked")]))]
    for piece in pieces:
        if isinstance(piece, bytes) and piece:
            steps.append(Send(_chunk(piece)))
        elif isinstance(piece, Repeat):
            steps.append(Repeat(_chunk(piece.data), piece.pace))
        elif not isinstance(piece, bytes):
            steps.append(piece)
    return Answer((*steps, Send(b"0\r\n\r\n")), True, usage)


def event(kind: str, data: bytes) -> bytes:
    """One server-sent event, framed as the Messages API frames it."""
    return b"event: %s\ndata: %s\n\n" % (kind.encode(), data)


def sse(payload: dict[str, Any]) -> bytes:
    """One event whose type is the payload's `type`."""
    return event(payload["type"], json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode())


def error(kind: str, message: str, *, request_id: str = "req_upstream", **details: Any) -> dict[str, Any]:
    """The Messages API's error body; `details` go into `error.details`."""
    inner: dict[str, Any] = {"type": kind, "message": message}
    if details:
        inner["details"] = details
    return {"type": "error", "error": inner, "request_id": request_id}
