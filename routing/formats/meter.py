"""Reads usage beside the bytes of a Messages stream, and never touches them. No I/O.

The meter takes the chunks of an SSE stream as they pass, cut anywhere. It knows when the stream stands between two events
(where a ping may be put), whether the final event has passed, and what the upstream reported and said.
"""

from typing import Any

import msgspec

from accounting.money.usage import Usage
from routing.formats.anthropic import ErrorObject
from routing.formats.base import Event, Headers
from routing.formats.stream_json import METRICS, counts

MOST_HELD = 64 * 1024 * 1024  # bytes of one event that has not ended; beyond it the stream is passed on unread


class _Delta(msgspec.Struct):
    text: str = ""
    partial_json: str = ""
    thinking: str = ""


class _DeltaEvent(msgspec.Struct):
    delta: _Delta = msgspec.field(default_factory=_Delta)


class _Message(msgspec.Struct):
    usage: Any = None
    model: Any = None


class _Event(msgspec.Struct):
    type: str = ""
    message: _Message | None = None
    usage: Any = None
    error: msgspec.Raw = msgspec.Raw()
    metrics: Any = msgspec.field(default=None, name=METRICS)


class _Answer(msgspec.Struct):
    usage: Any = None
    model: Any = None


class _Block(msgspec.Struct):
    text: str = ""
    thinking: str = ""
    input: msgspec.Raw = msgspec.Raw()


class _Content(msgspec.Struct):
    content: list[_Block] = []


_content = msgspec.json.Decoder(_Content)
_delta = msgspec.json.Decoder(_DeltaEvent)
_event = msgspec.json.Decoder(_Event)
_error = msgspec.json.Decoder(ErrorObject)
_answer = msgspec.json.Decoder(_Answer)
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

_COUNT_HEADERS = {
    b"x-amzn-bedrock-input-token-count": "inputTokenCount",
    b"x-amzn-bedrock-output-token-count": "outputTokenCount",
    b"x-amzn-bedrock-cache-read-input-token-count": "cacheReadInputTokenCount",
    b"x-amzn-bedrock-cache-write-input-token-count": "cacheWriteInputTokenCount",
}

_DELTA = b"event: content_block_delta\ndata: "
_READ = ("message_start", "message_delta", "message_stop", "error")
_TYPES = (b"message_start", b"message_delta", b"message_stop", b"error")


class StreamMeter:
    """`usage` grows with the stream; `characters` counts what the model has said; `finished` and `error` tell its end."""

    __slots__ = ("_held", "_size", "blind", "characters", "error", "finished", "usage")

    def __init__(self) -> None:
        self.usage = Usage()
        self.characters = 0
        self.finished = False
        self.error: ErrorObject | None = None
        self.blind = False
        self._held: list[bytes] = []
        self._size = 0

    @property
    def at_boundary(self) -> bool:
        """Whether all that has passed so far are whole events."""
        return not self._held and not self.blind

    @property
    def ended(self) -> bool:
        """Whether the stream's last event has passed: `message_stop`, or an error."""
        return self.finished or self.error is not None

    def feed(self, chunk: bytes) -> None:
        """Takes the next bytes of the stream. Never raises, whatever they are."""
        if self.blind or not chunk:
            return
        if self._held:
            if not self._may_complete(chunk):
                self._hold(chunk)
                return
            chunk = b"".join([*self._held, chunk])
            self._held.clear()
            self._size = 0
        if b"\r" in chunk:
            chunk = _plain(chunk)
        end = chunk.rfind(b"\n\n")
        if end < 0:
            self._hold(chunk)
            return
        for block in chunk[:end].split(b"\n\n"):
            self._take(block)
        if end + 2 < len(chunk):
            self._hold(chunk[end + 2 :])

    def saw(self, event: Event) -> None:
        """Takes one event that a translator has read already."""
        if event.type == "content_block_delta":
            self._count(event.data)
        elif event.type in _READ:
            self._understand(event.data, event.type)

    def _may_complete(self, chunk: bytes) -> bool:
        """Whether an event could end in this chunk; if not, joining it to what is held can wait."""
        if b"\n\n" in chunk or b"\r" in chunk or self._held[-1].endswith(b"\r"):
            return True
        return chunk.startswith(b"\n") and self._held[-1].endswith(b"\n")

    def _take(self, block: bytes) -> None:
        if block.startswith(_DELTA):
            self._count(block[len(_DELTA) :])
        elif any(name in block for name in _TYPES):
            self._read(block)
        elif b"delta" in block:
            self._count(_data(block))

    def _hold(self, chunk: bytes) -> None:
        self._held.append(chunk)
        self._size += len(chunk)
        if self._size > MOST_HELD:
            self.blind = True
            self.usage.doubt("unreadable")
            self._held.clear()

    def _count(self, data: bytes) -> None:
        try:
            delta = _delta.decode(data).delta
        except _UNREADABLE:
            return
        self.characters += len(delta.text) + len(delta.partial_json) + len(delta.thinking)

    def _read(self, block: bytes) -> None:
        named = "error" if block.lstrip().startswith(b"event: error") else ""
        self._understand(_data(block), named)

    def _understand(self, data: bytes, name: str) -> None:
        try:
            event = _event.decode(data)
        except _UNREADABLE:
            if name == "error":
                self.error = ErrorObject()
            return
        if event.type == "content_block_delta":
            self._count(data)
        elif event.type == "message_start" and event.message is not None:
            self.usage.named(event.message.model)
            self.usage.update(event.message.usage)
            self.usage.begun()
        elif event.type == "message_delta":
            self.usage.update(event.usage)
        elif event.type == "message_stop":
            self.finished = True
            cross_check(self.usage, event.metrics)
        elif event.type == "error":
            self.error = _error_of(event.error)


def _plain(chunk: bytes) -> bytes:
    """Line ends as plain line feeds; a carriage return at the very end may be half of one, and stays."""
    if chunk.endswith(b"\r"):
        return chunk[:-1].replace(b"\r\n", b"\n").replace(b"\r", b"\n") + b"\r"
    return chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def _data(block: bytes) -> bytes:
    """An event's data: its `data:` lines, joined."""
    lines = [line[5:].lstrip(b" ") for line in block.split(b"\n") if line.startswith(b"data:")]
    return lines[0] if len(lines) == 1 else b"\n".join(lines)


def _error_of(raw: msgspec.Raw) -> ErrorObject:
    try:
        return _error.decode(raw)
    except _UNREADABLE:
        return ErrorObject()


def usage_of(body: bytes, headers: Headers | None = None) -> Usage:
    """The usage of an answer that is not a stream; `seen` is false if it reports none. Of the `headers` those count in
    which Amazon tells the same numbers again."""
    usage = Usage()
    try:
        answer = _answer.decode(body)
    except _UNREADABLE:
        usage.doubt("unreadable")
        return usage
    usage.named(answer.model)
    usage.update(answer.usage)
    told = {
        _COUNT_HEADERS[name]: value for name, value in reversed(headers or ()) if name in _COUNT_HEADERS
    }  # the first counts
    cross_check(usage, {name: int(value) for name, value in told.items() if value.isdigit() and len(value) < 19})
    return usage


def characters_of(body: bytes) -> int:
    """How much the model has said in an answer that is not a stream."""
    try:
        blocks = _content.decode(body).content
    except _UNREADABLE:
        return 0
    return sum(len(block.text) + len(block.thinking) + len(bytes(block.input)) for block in blocks)


def cross_check(usage: Usage, told: object) -> None:
    """Compares usage with the numbers that Amazon tells beside it: what differs is a doubt, and usage counts. What usage
    does not tell is taken from there."""
    if not isinstance(told, dict) or not told:
        return
    own = counts(usage)
    differing = {
        name for name, value in told.items() if name in own and value != own[name] and isinstance(value, int | float)
    }
    if not differing:
        return
    usage.doubt("metrics_differ")
    missing = {
        "input_tokens": None if usage.input_known else told.get("inputTokenCount"),
        "output_tokens": None if usage.output_known else told.get("outputTokenCount"),
    }
    if usage.prompt == 0:
        missing["cache_read_input_tokens"] = told.get("cacheReadInputTokenCount")
        missing["cache_creation_input_tokens"] = told.get("cacheWriteInputTokenCount")
    usage.update({name: value for name, value in missing.items() if value is not None})
