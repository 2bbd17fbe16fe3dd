"""Amazon's binary event stream (`application/vnd.amazon.eventstream`): an incremental reader and a writer. No I/O.

    uint32 total length, uint32 headers length, CRC-32 of these eight bytes,
    headers, payload, CRC-32 of everything before it

A message is handed out only when both of its checksums are right. Lengths are believed only as far as the limits below, so
that a broken stream cannot make the reader wait for gigabytes. Source: botocore 1.44.5 `eventstream.py`, 2026-11.
"""

import base64
import json
import struct
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from zlib import crc32

import msgspec

from routing.formats.base import Event
from routing.formats.faults import FormatError
from routing.formats.sse import type_of

CONTENT_TYPE = b"application/vnd.amazon.eventstream"
MOST_BYTES = 25_000_000  # of one message; botocore refuses payloads above 24 MiB
MOST_HEADER_BYTES = 128 * 1024
_PRELUDE = struct.Struct(">III")
_CRC = struct.Struct(">I")
_SMALLEST = 16

HeaderValue = bool | int | bytes | str | uuid.UUID
_NUMBERS = {2: struct.Struct(">b"), 3: struct.Struct(">h"), 4: struct.Struct(">i"), 5: struct.Struct(">q")}
_TIMESTAMP = struct.Struct(">q")
_LENGTH = struct.Struct(">H")


@dataclass(frozen=True, slots=True)
class Message:
    """One message as framed: its headers (a timestamp is milliseconds since 1970), its payload, its bytes on the wire."""

    headers: Mapping[str, HeaderValue]
    payload: bytes
    raw: bytes = field(repr=False, compare=False, default=b"")

    def text(self, name: str) -> str:
        """A header's value if it is a text, else nothing."""
        value = self.headers.get(name, "")
        return value if isinstance(value, str) else ""


@dataclass(frozen=True, slots=True)
class ExceptionFrame:
    """A modelled failure in the middle of a stream, `throttlingException` for example; it ends the stream."""

    name: str
    message: str


@dataclass(frozen=True, slots=True)
class ErrorFrame:
    """A failure outside the service's model: a code and a text in headers; it ends the stream."""

    code: str
    message: str


def _header(name: str, value: str) -> bytes:
    key, text = name.encode(), value.encode()
    return bytes((len(key),)) + key + b"\x07" + _LENGTH.pack(len(text)) + text


_CHUNK_VALUES: dict[str, HeaderValue] = {
    ":event-type": "chunk",
    ":content-type": "application/json",
    ":message-type": "event",
}
_CHUNK_HEADERS = b"".join(_header(name, str(value)) for name, value in _CHUNK_VALUES.items())


class MessageReader:
    """Bytes in, messages out, in whatever pieces the bytes come."""

    def __init__(self, limit: int = MOST_BYTES) -> None:
        self._limit = limit
        self._buffer = bytearray()
        self._total = 0
        self.error: FormatError | None = None

    @property
    def at_boundary(self) -> bool:
        """Whether no message has begun that has not ended."""
        return not self._buffer

    def feed(self, data: bytes) -> list[Message]:
        """The messages that `data` completes. Raises `FormatError` at the first one that is not as it should be.

        Messages in front of it are handed out first; then `error` is set, and the next call raises it.
        """
        if self.error is not None:
            raise self.error
        self._buffer += data
        messages: list[Message] = []
        try:
            self._take(messages)
        except FormatError as error:
            self.error = error
            if not messages:
                raise
        return messages

    def _take(self, messages: list[Message]) -> None:
        """Moves whole messages from the buffer into `messages`."""
        buffer, begin = self._buffer, 0
        while len(buffer) - begin >= _PRELUDE.size:
            total = self._total or self._length(buffer, begin)
            if len(buffer) - begin < total:
                self._total = total
                break
            messages.append(_message(bytes(buffer[begin : begin + total])))
            begin += total
            self._total = 0
        if begin:
            del buffer[:begin]

    def _length(self, buffer: bytearray, begin: int) -> int:
        total, headers, crc = _PRELUDE.unpack_from(buffer, begin)
        if crc32(buffer[begin : begin + 8]) != crc:
            raise FormatError("The checksum of a frame's lengths is wrong.")
        if not _SMALLEST <= total <= self._limit:
            raise FormatError(f"A frame says that it has {total} bytes.")
        if headers > min(total - _SMALLEST, MOST_HEADER_BYTES):
            raise FormatError(f"A frame says that its headers have {headers} bytes.")
        return int(total)


def _message(raw: bytes) -> Message:
    if crc32(memoryview(raw)[:-4]) != _CRC.unpack_from(raw, len(raw) - 4)[0]:
        raise FormatError("The checksum of a frame is wrong.")
    end = 12 + _PRELUDE.unpack_from(raw)[1]
    headers = raw[12:end]
    values = _CHUNK_VALUES if headers == _CHUNK_HEADERS else _headers(headers)
    return Message(values, raw[end:-4], raw)


def _headers(raw: bytes) -> dict[str, HeaderValue]:
    values: dict[str, HeaderValue] = {}
    at = 0
    try:
        while at < len(raw):
            size = raw[at]
            name = _exactly(raw, at + 1, size).decode()
            at += 1 + size
            value, at = _value(raw, at + 1, raw[at])
            if name in values:
                raise FormatError("A frame has a header twice.")
            values[name] = value
    except (IndexError, struct.error, UnicodeDecodeError):
        raise FormatError("The headers of a frame cannot be read.") from None
    return values


def _value(raw: bytes, at: int, kind: int) -> tuple[HeaderValue, int]:
    """A header's value and where the next header begins; all ten types of the framing."""
    if kind in (0, 1):
        return kind == 0, at
    if kind in _NUMBERS:
        number = _NUMBERS[kind]
        return int(number.unpack_from(raw, at)[0]), at + number.size
    if kind in (6, 7):
        size = _LENGTH.unpack_from(raw, at)[0]
        value = _exactly(raw, at + 2, size)
        return (value.decode() if kind == 7 else value), at + 2 + size
    if kind == 8:
        return int(_TIMESTAMP.unpack_from(raw, at)[0]), at + 8
    if kind == 9:
        return uuid.UUID(bytes=_exactly(raw, at, 16)), at + 16
    raise FormatError(f"A frame has a header of the unknown type {kind}.")


def _exactly(raw: bytes, at: int, size: int) -> bytes:
    value = raw[at : at + size]
    if len(value) != size:
        raise FormatError("The headers of a frame cannot be read.")
    return value


class _Chunk(msgspec.Struct):
    bytes: bytes


class _Failure(msgspec.Struct):
    message: str = ""
    original: str = msgspec.field(name="originalMessage", default="")


_chunk = msgspec.json.Decoder(_Chunk)
_failure = msgspec.json.Decoder(_Failure)


def understand(message: Message) -> Event | ExceptionFrame | ErrorFrame | None:
    """What a message of a model's stream says; nothing for a kind of event that is not known.

    Raises `FormatError` for a chunk whose payload is not `{"bytes": base64}` of a JSON object.
    """
    kind = message.text(":message-type")
    if kind == "exception":
        return ExceptionFrame(message.text(":exception-type"), _failure_text(message.payload))
    if kind == "error":
        return ErrorFrame(message.text(":error-code"), message.text(":error-message"))
    if kind != "event" or message.text(":event-type") != "chunk":
        return None
    try:
        data = _chunk.decode(message.payload).bytes
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        raise FormatError("A chunk's payload is not a JSON object with base64 in `bytes`.") from None
    kind = type_of(data)
    if not kind:
        _require_object(data)
    return Event(kind, data)


def _require_object(data: bytes) -> None:
    try:
        msgspec.json.decode(data, type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        raise FormatError("A chunk does not hold a JSON object.") from None


def _failure_text(payload: bytes) -> str:
    try:
        said = _failure.decode(payload)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return ""
    return said.message or said.original


def encode_message(headers: bytes, payload: bytes) -> bytes:
    """A framed message; `headers` are encoded already."""
    total = _SMALLEST + len(headers) + len(payload)
    prelude = struct.pack(">II", total, len(headers))
    start = prelude + _CRC.pack(crc32(prelude)) + headers + payload
    return start + _CRC.pack(crc32(start))


def encode_chunk(data: bytes, padding: str = "") -> bytes:
    """One stream event's JSON as a chunk. `padding` goes into `p`, which hides lengths; clients do not need it.

    Raises `FormatError` where a client's decoder would refuse the frame for its size.
    """
    text = b'{"bytes":"%b"}' % base64.b64encode(data)
    if padding:
        text = text[:-1] + b',"p":%b}' % json.dumps(padding).encode()
    if len(text) > MOST_BYTES - 1024:
        raise FormatError("An event is too large for a frame.")
    return encode_message(_CHUNK_HEADERS, text)


def encode_exception(name: str, message: str) -> bytes:
    """The frame that ends a failed stream, `name` in camel case: `throttlingException`."""
    headers = (
        _header(":exception-type", name)
        + _header(":content-type", "application/json")
        + _header(":message-type", "exception")
    )
    return encode_message(headers, json.dumps({"message": message}).encode())
