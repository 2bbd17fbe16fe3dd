"""Server-sent events: an incremental reader and a writer. No I/O.

The reader holds at most one unfinished event, and that up to a limit. It takes every line ending that the standard allows;
CR and CRLF are turned into LF as bytes arrive, so that the rest of the code knows one kind of stream.
Source: HTML Living Standard §9.2.6; Messages streams write `event:`, one line of `data:`, and an empty line.
"""

import re

import msgspec

from routing.formats.base import Event
from routing.formats.faults import FormatError

MOST_BYTES = 16 * 1024 * 1024  # of one event; a real one has some kilobytes
PING = b'event: ping\ndata: {"type": "ping"}\n\n'
_BOM = b"\xef\xbb\xbf"
_LINE_END = re.compile(rb"\r\n|\r|\n")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")


class _Typed(msgspec.Struct):
    type: str = ""


_typed = msgspec.json.Decoder(_Typed)


def type_of(data: bytes) -> str:
    """The `type` of an event's JSON, or nothing where it has none."""
    try:
        return _typed.decode(data).type
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return ""


class SseReader:
    """Bytes in, events out, in whatever pieces the bytes come."""

    def __init__(self, limit: int = MOST_BYTES) -> None:
        self._limit = limit
        self._buffer = bytearray()
        self._searched = 0
        self._after_cr = False
        self._started = False
        self.error: FormatError | None = None

    @property
    def pending(self) -> bool:
        """Whether an event has begun and not ended."""
        return bool(self._buffer)

    @property
    def at_boundary(self) -> bool:
        """Whether another event could be written here without harm to the stream."""
        return not self._buffer and not self._after_cr

    def feed(self, data: bytes) -> list[Event]:
        """The events that `data` completes. Raises `FormatError` for one larger than the limit.

        Events in front of it are handed out first; then `error` is set, and the next call raises it.
        """
        if self.error is not None:
            raise self.error
        if self._after_cr or b"\r" in data:
            data = self._with_line_feeds(data)
        if not self._started and (data or self._buffer):
            data = self._without_mark(data)
        self._buffer += data
        events: list[Event] = []
        try:
            self._take(events)
        except FormatError as error:
            self.error = error
            if not events:
                raise
        return events

    def _take(self, events: list[Event]) -> None:
        """Moves whole events from the buffer into `events`."""
        buffer = self._buffer
        begin = _behind_line_ends(buffer, 0)
        end = buffer.find(b"\n\n", max(begin, self._searched))
        while end >= 0:
            self._check(end - begin)
            event = _event(bytes(buffer[begin:end]))
            if event is not None:
                events.append(event)
            begin = _behind_line_ends(buffer, end + 2)
            end = buffer.find(b"\n\n", begin)
        if begin:
            del buffer[:begin]
        self._check(len(buffer) - 1)  # the last byte can be the first line end of two
        self._searched = max(0, len(buffer) - 1)

    def _check(self, size: int) -> None:
        if size > self._limit:
            raise FormatError(f"An event is larger than {self._limit} bytes.")

    def _with_line_feeds(self, data: bytes) -> bytes:
        if not data:
            return data
        if self._after_cr and data[:1] == b"\n":
            data = data[1:]
            self._after_cr = False
            if not data:
                return data
        self._after_cr = data[-1:] == b"\r"
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _without_mark(self, data: bytes) -> bytes:
        """The stream's first bytes without the byte order mark that may stand there."""
        data = bytes(self._buffer) + data
        if len(data) < len(_BOM) and _BOM.startswith(data):
            self._buffer.clear()
            return data
        self._started = True
        self._buffer.clear()
        return data.removeprefix(_BOM)


def _behind_line_ends(buffer: bytearray, at: int) -> int:
    while buffer[at : at + 1] == b"\n":
        at += 1
    return at


def _event(block: bytes) -> Event | None:
    """One event from the lines between two empty lines; nothing if it has no data."""
    if block.startswith(b"event: "):
        name, separator, data = block[7:].partition(b"\ndata: ")
        if separator and b"\n" not in name and b"\n" not in data:
            return Event(_name(name) or type_of(data), data)
    name = b""
    lines: list[bytes] = []
    for line in block.split(b"\n"):
        key, _, value = line.partition(b":")
        if key == b"data":
            lines.append(value.removeprefix(b" "))
        elif key == b"event":
            name = value.removeprefix(b" ")
    if not lines:
        return None
    data = b"\n".join(lines)
    return Event(_name(name) or type_of(data), data)


def _name(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")


def encode_event(event: Event) -> bytes:
    """The event as a Messages stream writes it. A name that no line can carry is left out: its JSON has it too."""
    data = event.data
    if b"\n" in data or b"\r" in data:
        data = b"\ndata: ".join(_LINE_END.split(data))
    if not event.type or _UNPRINTABLE.search(event.type):
        return b"data: %b\n\n" % data
    return b"event: %b\ndata: %b\n\n" % (event.type.encode(), data)
