"""HTTP/1.1 as bytes: a request's head is written, an answer is read. No I/O.

An answer is read strictly. Whatever could make two readers see two different answers ends the connection.
"""

import math
import re

import httpx
from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from routing.formats.base import Headers
from routing.proxy.transports.body import Body

MOST_HEAD_BYTES = 64 * 1024  # of an answer's head or of its trailers, names and values together
MOST_FIELDS = 256
MOST_INTERIM = 100  # answers of 1xx before the one that counts
SHORT_WORDS = 200  # characters of a parser's complaint

_HEAD, _LENGTH, _CHUNKED, _TO_THE_END = range(4)


class BadAnswer(Exception):
    """What came is not an answer, or not a whole one; the text says what is wrong."""


class _Surplus(Exception):
    """Bytes after the end of the answer."""


def request_head(method: str, target: bytes, headers: Headers) -> bytes:
    """The head as it goes out: the target percent-encoded as it is, the headers in their order, nothing added.

    Raises `httpx.LocalProtocolError` if a value would break out of its line.
    """
    lines = [b"%b %b HTTP/1.1" % (method.encode("ascii"), target)]
    lines += [b"%b: %b" % pair for pair in headers]
    head = b"\r\n".join(lines)
    breaks = len(lines) - 1
    if head.count(b"\n") != breaks or head.count(b"\r") != breaks or b"\0" in head:
        raise httpx.LocalProtocolError("a header of the request holds a line break")
    return head + b"\r\n\r\n"


class AnswerReader:
    """Reads one answer from pieces of any size; its content goes into `body`.

    `begun`: a byte has come. `head`: `status` and `headers` (lower-case names) are here. `complete`: all of it is here;
    `reusable` then says whether the connection can carry another request, and `patience` for how many seconds the
    upstream keeps it. `bodiless` is for the answer to a HEAD.
    """

    __slots__ = (
        "_bodiless", "_body", "_fields", "_framing", "_head_bytes", "_interim", "_left", "_parser", "begun", "complete",
        "head", "headers", "patience", "reusable", "status",
    )  # fmt: skip

    def __init__(self, body: Body, *, bodiless: bool = False) -> None:
        self._body = body
        self._bodiless = bodiless
        self._parser: HttpResponseParser | None = HttpResponseParser(self)
        self._framing = _HEAD
        self._left = 0  # bytes of a body of known length that have not come yet
        self._head_bytes = self._fields = self._interim = 0
        self.begun = self.head = self.complete = self.reusable = False
        self.status = 0
        self.patience = math.inf
        self.headers: Headers = []

    def feed(self, data: bytes) -> None:
        """The next bytes. Raises `BadAnswer`, after which the connection is of no use."""
        self.begun = True
        if self._parser is not None:
            self._parse(data)
        elif self._framing == _LENGTH:
            self._counted(data)
        else:
            self._body.add(data)

    def end(self) -> None:
        """The upstream has closed the connection. Raises `BadAnswer` if that was too early."""
        self.close()
        if not self.begun:
            raise BadAnswer("the upstream closed the connection without an answer")
        if not self.head:
            raise BadAnswer("the upstream closed the connection in the middle of its answer's head")
        if self._framing != _TO_THE_END and not self.complete:
            raise BadAnswer("the upstream closed the connection before its answer was complete")
        self.complete = True
        self.reusable = False

    def close(self) -> None:
        """Nothing more is read. The parser and its reader hold each other: without this they would wait for the collector."""
        self._parser = None

    def _parse(self, data: bytes) -> None:
        before = self._body.held
        try:
            assert self._parser is not None
            self._parser.feed_data(data)
        except HttpParserUpgrade:
            raise BadAnswer("the upstream wants to switch protocols") from None
        except HttpParserError as error:
            self._parser = None
            if not self.complete:
                raise BadAnswer(_said(error)) from None
            self.reusable = False  # something follows that is no answer to anything
            return
        if self.complete or (self.head and self._framing != _CHUNKED):
            self._parser = None  # from here on bytes are counted, not looked at
        elif self._body.held == before and self.head:
            self._account(len(data), 0)  # neither content nor an end: trailers, or a chunk's size that never ends
        elif not self.head and (size := self._head_bytes + len(data)) > MOST_HEAD_BYTES:
            raise BadAnswer(f"the answer's head is longer than {MOST_HEAD_BYTES} bytes: {size}")

    def _counted(self, data: bytes) -> None:
        left = self._left
        if len(data) > left:
            self.reusable = False
            data = data[:left]
        self._left = left - len(data)
        self._body.add(data)
        if not self._left:
            self.complete = True

    def _account(self, size: int, fields: int) -> None:
        self._head_bytes += size
        self._fields += fields
        if self._head_bytes > MOST_HEAD_BYTES or self._fields > MOST_FIELDS:
            raise BadAnswer(f"the answer's head has more than {MOST_HEAD_BYTES} bytes or {MOST_FIELDS} fields")

    # What the parser calls.

    def on_message_begin(self) -> None:
        if self.complete:
            raise _Surplus

    def on_header(self, name: bytes, value: bytes) -> None:
        self._account(len(name) + len(value), 1)
        if not self.head:  # later ones are trailers, which nobody here reads
            self.headers.append((name.lower(), value.rstrip()))

    def on_headers_complete(self) -> None:
        parser = self._parser
        assert parser is not None
        status = parser.get_status_code()
        self._head_bytes = self._fields = 0
        if status < 200:
            self._skip(status)
            return
        self.status = status
        self.reusable = parser.should_keep_alive()
        self._framing = self._framing_of(status)
        self.head = True
        if self._bodiless:
            self.complete, self.reusable = True, False

    def on_body(self, data: bytes) -> None:
        if self.complete:
            raise _Surplus
        self._left -= len(data)
        self._body.add(data)

    def on_message_complete(self) -> None:
        if self.head:
            self.complete = True

    def _skip(self, status: int) -> None:
        self._interim += 1
        if status < 100 or status == 101 or self._interim > MOST_INTERIM:
            raise BadAnswer(f"the upstream answered {status}" + (" too often" if status not in (0, 101) else ""))
        self.headers = []

    def _framing_of(self, status: int) -> int:
        assert self._parser is not None
        if self._parser.get_http_version() not in ("1.1", "1.0"):
            raise BadAnswer("the answer is not HTTP/1.1")
        length = coding = None
        for name, value in self.headers:
            if name == b"content-length":
                length = value
            elif name == b"transfer-encoding":
                if coding is not None or value.strip().lower() != b"chunked":
                    raise BadAnswer("the answer's transfer-encoding is not chunked")
                coding = value
            elif name == b"keep-alive":
                self.patience = _seconds(value)
        if status in (204, 304):
            return _LENGTH
        if coding is not None:
            return _CHUNKED
        if length is None:
            return _TO_THE_END
        self._left = int(length)
        return _LENGTH


def _seconds(keep_alive: bytes) -> float:
    """For how long the other side keeps an idle connection, a second less for the way."""
    found = re.search(rb"timeout=(\d{1,6})", keep_alive)
    return math.inf if found is None else float(found[1]) - 1


def _said(error: HttpParserError) -> str:
    cause = error.__context__
    words = str(cause) if isinstance(cause, BadAnswer) else f"it is not HTTP: {error}"
    return words[:SHORT_WORDS]
