"""Reads the few fields of a request body that the gateway needs, and edits `model` in place. No I/O.

The body is never decoded and re-encoded: what the client wrote reaches an upstream of the same format byte for byte, except
for the characters of one string. An edit is made only where it is proven that the gateway and the upstream will read the
same `model`; a body in which the key stands twice, plainly or escaped, is refused.
"""

import json
import re
from typing import Any

import msgspec

_WRONG = "The request body is not valid JSON"


class BadBody(ValueError):
    """A body that no upstream would read as the gateway does; the text says what is wrong with it."""


class _Metadata(msgspec.Struct):
    user_id: msgspec.Raw = msgspec.Raw()


class Peek(msgspec.Struct):
    """The fields of a Messages request that routing, limits and records need."""

    model: msgspec.Raw = msgspec.Raw()
    stream: msgspec.Raw = msgspec.Raw()
    max_tokens: msgspec.Raw = msgspec.Raw()
    metadata: msgspec.Raw = msgspec.Raw()


_decoder = msgspec.json.Decoder(Peek)
_metadata = msgspec.json.Decoder(_Metadata)
_text = msgspec.json.Decoder(str)
_UNFIT = re.compile("[\x00-\x1f\ud800-\udfff]")


def peek(body: bytes) -> Peek:
    """The fields as they stand in the body, undecoded. Raises `BadBody` for anything but a JSON object in UTF-8."""
    if not body or body.isspace():
        raise BadBody("The request body is empty; send a JSON object.")
    if not body.isascii():
        try:
            body.decode()
        except UnicodeDecodeError as error:
            raise BadBody(f"The request body is not UTF-8 (byte {error.start}).") from None
    try:
        return _decoder.decode(body)
    except msgspec.ValidationError:
        raise BadBody("The request body must be a JSON object.") from None
    except msgspec.DecodeError as error:
        raise BadBody(f"{_WRONG}: {error}.") from None
    except RecursionError:
        raise BadBody("The request body is nested too deeply.") from None


def text_of(raw: msgspec.Raw, name: str) -> str:
    """A string field that must be there and must not be empty."""
    if not bytes(raw):
        raise BadBody(f"{name}: Field required")
    try:
        value = _text.decode(raw)
    except msgspec.DecodeError:
        raise BadBody(f"{name}: Input should be a valid string") from None
    if not value:
        raise BadBody(f"{name}: String should have at least 1 character")
    if _UNFIT.search(value):
        raise BadBody(f"{name}: has a control character or half a surrogate pair")
    return value


def flag_of(raw: msgspec.Raw, name: str) -> bool:
    """A boolean field; missing and null are false."""
    value = bytes(raw)
    if value in (b"", b"null", b"false"):
        return False
    if value == b"true":
        return True
    raise BadBody(f"{name}: Input should be a valid boolean")


def number_of(raw: msgspec.Raw) -> int | None:
    """A whole number, or nothing: whether a wrong one is refused is the upstream's business."""
    value = bytes(raw)
    return int(value) if value.isdigit() and len(value) < 12 else None


def session_of(raw: msgspec.Raw) -> str:
    """The session id that Claude Code puts into `metadata.user_id`, itself a JSON text; else nothing."""
    if not bytes(raw):
        return ""
    try:
        inner: Any = json.loads(_text.decode(_metadata.decode(raw).user_id))
    except (msgspec.DecodeError, ValueError, RecursionError):
        return ""
    session = inner.get("session_id") if isinstance(inner, dict) else None
    return session[:200] if isinstance(session, str) else ""


def model_span(body: bytes, value: bytes) -> tuple[int, int]:
    """Where the value of the top-level `model`, spelled `value` in the body, stands; quotes included.

    Raises `BadBody` if the key stands there twice: two readers could then disagree about which one counts.
    """
    # Twice from the outside in, as the key is near one of the ends; searching backwards is three times as fast (CPython 3.11).
    first = body.find(b'"model"')
    # An escaped spelling of the key needs the code of one of its letters: they are 0x64 to 0x6f.
    if first >= 0 and first == body.rfind(b'"model"') and body.rfind(b"\\u006") < 0:
        start = body.find(value, first + 7)
        return start, start + len(value)
    return _proven_span(body, value)


def _proven_span(body: bytes, value: bytes) -> tuple[int, int]:
    """Finds the key among nested ones: the right one is that without which no top-level `model` is left."""
    position = body.find(b'"model"')
    tried = 0
    while position >= 0 and tried < 64:
        start = _value_after(body, position + 7)
        if start and body.startswith(value, start):
            masked = body[:position] + b'"_odel"' + body[position + 7 :]
            if not bytes(_decoder.decode(masked).model):
                return start, start + len(value)
        position = body.find(b'"model"', position + 7)
        tried += 1
    return _scanned_span(body)


def _value_after(body: bytes, position: int) -> int:
    """The start of the value if a colon follows, else 0 (the text was a value, not a key)."""
    while body[position : position + 1] in (b" ", b"\t", b"\n", b"\r"):
        position += 1
    if body[position : position + 1] != b":":
        return 0
    position += 1
    while body[position : position + 1] in (b" ", b"\t", b"\n", b"\r"):
        position += 1
    return position


def _scanned_span(body: bytes) -> tuple[int, int]:
    """The slow, certain way: walks the top level of the object. Only bodies with many nested or escaped keys come here."""
    found: list[tuple[int, int]] = []
    scanner = _TopLevel(body)
    for key, start, end in scanner:
        if key == "model":
            found.append((start, end))
    if len(found) != 1:
        raise BadBody("model: the key stands in the request body more than once")
    return found[0]


class _TopLevel:
    """Iterates over (key, start of value, end of value) of a JSON object that is known to be valid."""

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.at = 0

    def __iter__(self) -> "_TopLevel":
        self.at = self.body.index(b"{") + 1
        return self

    def __next__(self) -> tuple[str, int, int]:
        self._skip(b" \t\r\n,")
        if self.body[self.at] == 0x7D:
            raise StopIteration
        begin = self.at
        self._string()
        key: str = json.loads(self.body[begin : self.at])
        self._skip(b" \t\r\n:")
        start = self.at
        self._value()
        return key, start, self.at

    def _skip(self, what: bytes) -> None:
        while self.body[self.at] in what:
            self.at += 1

    def _string(self) -> None:
        self.at += 1
        while True:
            quote = self.body.index(b'"', self.at)
            slashes = 0
            while self.body[quote - 1 - slashes] == 0x5C:
                slashes += 1
            self.at = quote + 1
            if slashes % 2 == 0:
                return

    def _value(self) -> None:
        depth = 0
        while True:
            byte = self.body[self.at]
            if byte == 0x22:
                self._string()
            elif byte in b"{[":
                depth += 1
                self.at += 1
            elif byte in b"}]":
                if depth == 0:
                    return
                depth -= 1
                self.at += 1
            elif depth == 0 and byte in b",":
                return
            else:
                self.at += 1
                continue
            if depth == 0:
                return
