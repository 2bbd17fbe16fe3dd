"""Carries a stream from an upstream of one format to a client of another, event by event. No I/O.

What goes to the client always ends between two events, so a ping, or the error that ends a broken stream, can follow at any
time. Between equal framings the bytes stay as they came; an event that is not complete waits for its rest. A stream that
ends without `message_stop` ends with the error of the client's format, and so does one whose bytes are not what they should
be. After an error nothing more is passed on.
"""

import re
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import msgspec

from accounting.money.usage import Usage
from routing.formats.base import BEDROCK, Event, Headers
from routing.formats.errors import generic_text, stream_error, type_and_text
from routing.formats.eventstream import (
    CONTENT_TYPE,
    Message,
    MessageReader,
    encode_chunk,
    understand,
)
from routing.formats.faults import FormatError, StreamFailure
from routing.formats.sse import PING, SseReader, encode_event
from routing.formats.stream_json import METRICS, counts, fields_of, is_error, said, usage_of, without_metrics
from routing.formats.wording import scrub

TRUNCATED = "The upstream ended the stream before the message was complete."
BROKEN = "The upstream sent a stream that cannot be read."
_EMPTY_LINE = re.compile(rb"(?:\r\n|\n|\r(?!\n)){2,}")
_CHUNK_PING = encode_chunk(b'{"type":"ping"}')


def stream_headers(client_format: str) -> Headers:
    """The headers that tell a client which stream follows."""
    if client_format == BEDROCK:
        return [(b"content-type", CONTENT_TYPE), (b"x-amzn-bedrock-content-type", b"application/json")]
    return [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache")]


def ping(client_format: str) -> bytes:
    """What keeps a silent stream alive."""
    return _CHUNK_PING if client_format == BEDROCK else PING


class StreamTranslator(ABC):
    """Upstream bytes in, client bytes out. `finished` after `message_stop`; `failure` says why a stream broke off."""

    def __init__(self, client_format: str, on_event: Callable[[Event], None] | None, betas: Sequence[str]) -> None:
        self.client_format = client_format
        self.finished = False
        self.failure: StreamFailure | None = None
        self._on_event = on_event
        self._betas = betas

    @property
    def ended(self) -> bool:
        """Whether the stream's last event has passed: `message_stop`, or an error."""
        return self.finished or self.failure is not None

    def feed(self, data: bytes) -> list[bytes]:
        """What the client gets for the next bytes of the upstream, cut anywhere. Never raises for what they hold."""
        if self.failure is not None:
            return []
        out: list[bytes] = []
        try:
            self._read(data, out)
        except FormatError as error:
            out.append(self._end("api_error", BROKEN, str(error)))
        return out

    def finish(self) -> list[bytes]:
        """What the client gets when the upstream has closed: nothing after a whole stream, else the error."""
        if self.failure is not None:
            return []
        if self.finished:
            return self._rest()
        return [self._end("api_error", TRUNCATED, TRUNCATED)]

    def fail(self, error_type: str, message: str) -> list[bytes]:
        """Ends the stream with an error of the gateway's own; nothing if it has ended already."""
        return [] if self.ended else [self._end(error_type, message, message)]

    def ping(self) -> bytes:
        return ping(self.client_format)

    @abstractmethod
    def _read(self, data: bytes, out: list[bytes]) -> None:
        """Appends to `out` what `data` completes. Raises `FormatError`."""

    def _rest(self) -> list[bytes]:
        return []

    def _end(self, error_type: str, message: str, detail: str) -> bytes:
        self.failure = StreamFailure(error_type, message, detail)
        return stream_error(self.client_format, error_type, message)

    def _saw(self, event: Event) -> None:
        if event.type == "message_stop":
            self.finished = True
        if self._on_event is not None:
            self._on_event(event)

    def _end_by_event(self, event: Event) -> bytes:
        error_type, message = said(event.data)
        return self._end(error_type, scrub(message) or generic_text(error_type), message)


class _SseToSse(StreamTranslator):
    """The same bytes; what has come of an event that is not complete is held back."""

    def __init__(self, client_format: str, on_event: Callable[[Event], None] | None, betas: Sequence[str]) -> None:
        super().__init__(client_format, on_event, betas)
        self._reader = SseReader()
        self._held = bytearray()

    def _read(self, data: bytes, out: list[bytes]) -> None:
        events = self._reader.feed(data)
        self._held += data
        for index, event in enumerate(events):
            self._saw(event)
            if is_error(event):
                self._end_at(index, event, out)
                return
        if self._reader.error is not None:
            out += [encode_event(event) for event in events]
            raise self._reader.error
        end = len(self._held) if self._reader.at_boundary else _boundary(self._held, len(data))
        if end:
            out.append(bytes(self._held[:end]))
            del self._held[:end]

    def _end_at(self, index: int, event: Event, out: list[bytes]) -> None:
        """An error goes on as it came, unless it names something that the client must not see; nothing follows it."""
        start, end = _span(bytes(self._held), index)
        error_type, message = said(event.data)
        if event.type == "error" and message and scrub(message) == message:
            self.failure = StreamFailure(error_type, message, message)
            out.append(bytes(self._held[:end]))
        else:
            out += [bytes(self._held[:start]), self._end_by_event(event)]

    def _rest(self) -> list[bytes]:
        left = bytes(self._held)
        if self._reader.pending:  # an event that has begun and will not end is no loss behind the last one
            left = left[: len(left) - len(left.lstrip(b"\r\n"))]
        return [left] if left else []


def _boundary(held: bytearray, new: int) -> int:
    """How much of what is held are whole events; a new boundary can only be near the `new` bytes at its end."""
    start = max(0, len(held) - new - 3)
    end = 0
    for found in _EMPTY_LINE.finditer(held, start):
        end = found.end()
    return end


def _span(held: bytes, index: int) -> tuple[int, int]:
    """Where in `held` the event with this number begins and ends, comments in front of it included."""
    reader = SseReader()
    count, start = 0, 0
    for found in _EMPTY_LINE.finditer(held):
        count += len(reader.feed(held[start : found.end()]))
        if count > index:
            return start, found.end()
        start = found.end()
    return start, len(held)


class _FramesToFrames(StreamTranslator):
    """The same frames, each checked before it goes on."""

    def __init__(self, client_format: str, on_event: Callable[[Event], None] | None, betas: Sequence[str]) -> None:
        super().__init__(client_format, on_event, betas)
        self._reader = MessageReader()

    def _read(self, data: bytes, out: list[bytes]) -> None:
        for message in self._reader.feed(data):
            out.append(self._passed(message))
            if self.failure is not None:
                return
        _raise(self._reader.error)

    def _passed(self, message: Message) -> bytes:
        found = understand(message)
        if isinstance(found, Event):
            self._saw(found)
            if not is_error(found):
                return message.raw
            anew = self._end_by_event(found)
        elif found is None:
            return message.raw
        else:
            error_type, text = type_and_text(found, self._betas)
            anew = self._end(error_type, text, found.message)
        detail = self.failure.detail if self.failure else ""
        return message.raw if scrub(detail) == detail else anew


class _FramesToSse(StreamTranslator):
    """Each chunk as an event; Amazon's own numbers are taken out of the last one."""

    def __init__(self, client_format: str, on_event: Callable[[Event], None] | None, betas: Sequence[str]) -> None:
        super().__init__(client_format, on_event, betas)
        self._reader = MessageReader()

    def _read(self, data: bytes, out: list[bytes]) -> None:
        for message in self._reader.feed(data):
            found = understand(message)
            if isinstance(found, Event):
                self._saw(found)
                if is_error(found):
                    out.append(self._end_by_event(found))
                    return
                out.append(encode_event(without_metrics(found)))
            elif found is not None:
                error_type, text = type_and_text(found, self._betas)
                out.append(self._end(error_type, text, found.message))
                return
        _raise(self._reader.error)


class _SseToFrames(StreamTranslator):
    """Each event as a chunk; the last one gets the numbers that Amazon's clients look for."""

    def __init__(
        self,
        client_format: str,
        on_event: Callable[[Event], None] | None,
        betas: Sequence[str],
        clock: Callable[[], float],
    ) -> None:
        super().__init__(client_format, on_event, betas)
        self._reader = SseReader()
        self._usage = Usage()
        self._clock = clock
        self._started = clock()
        self._first: float | None = None

    def _read(self, data: bytes, out: list[bytes]) -> None:
        for event in self._reader.feed(data):
            if self._first is None:
                self._first = self._clock()
            self._saw(event)
            if is_error(event):
                out.append(self._end_by_event(event))
                return
            if event.type in ("message_start", "message_delta"):
                self._usage.update(usage_of(event.data))
            out.append(encode_chunk(self._with_metrics(event.data) if event.type == "message_stop" else event.data))
        _raise(self._reader.error)

    def _with_metrics(self, data: bytes) -> bytes:
        fields = fields_of(data)
        if fields is None:
            return data
        now = self._clock()
        latency = {"invocationLatency": _ms(now - self._started)}
        latency["firstByteLatency"] = _ms((self._first if self._first is not None else now) - self._started)
        return msgspec.json.encode({**fields, METRICS: {**counts(self._usage), **latency}})


def stream_translator(
    upstream_format: str,
    client_format: str,
    *,
    on_event: Callable[[Event], None] | None = None,
    betas: Sequence[str] = (),
    clock: Callable[[], float] = time.monotonic,
) -> StreamTranslator:
    """A translator for one stream. `on_event` sees every event as the upstream wrote it; `betas` are those sent upstream."""
    if upstream_format == BEDROCK:
        frames = _FramesToFrames if client_format == BEDROCK else _FramesToSse
        return frames(client_format, on_event, betas)
    if client_format == BEDROCK:
        return _SseToFrames(client_format, on_event, betas, clock)
    return _SseToSse(client_format, on_event, betas)


def _ms(seconds: float) -> int:
    return max(0, round(seconds * 1000))


def _raise(error: FormatError | None) -> None:
    """Raises what a reader found behind the events that it handed out."""
    if error is not None:
        raise error
