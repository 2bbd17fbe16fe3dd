"""Streams as providers write them, and what the load reads from them: events that carry the moment they were sent.

Written apart from the product's own codecs, and cheaper than them: the mock and the load share a core.
"""

import base64
import json
import re
import struct
import zlib
from collections.abc import Mapping

STAMP = re.compile(rb"@(\d+)@")
USAGE = {"input_tokens": 10, "output_tokens": 1}
START = {"type": "message_start", "message": {"id": "msg_1", "type": "message", "role": "assistant", "usage": USAGE}}
OPEN = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
CLOSE = {"type": "content_block_stop", "index": 0}
DELTA = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 100}}
STOP = {"type": "message_stop"}
_TEXT = b'{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"@%d@ and a word or two more"}}'


def _json(event: Mapping[str, object]) -> bytes:
    return json.dumps(event, separators=(",", ":")).encode()


def _chunked(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


class Sse:
    """Server-sent events, as the Messages API sends them."""

    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    last = b"message_stop"

    @staticmethod
    def events(*events: Mapping[str, object]) -> bytes:
        parts = (
            b"event: %s\ndata: %s\n\n" % (str(each["type"]).encode(), json.dumps(each).encode()) for each in events
        )
        return _chunked(b"".join(parts))

    @staticmethod
    def timed(now: int) -> bytes:
        return _chunked(b"event: content_block_delta\ndata: %s\n\n" % (_TEXT % now))

    @staticmethod
    def stamps(data: bytes) -> list[bytes]:
        return STAMP.findall(data)


def _frame(payload: bytes) -> bytes:
    prelude = struct.pack("!II", 16 + len(_HEADERS) + len(payload), len(_HEADERS))
    message = prelude + struct.pack("!I", zlib.crc32(prelude)) + _HEADERS + payload
    return message + struct.pack("!I", zlib.crc32(message))


def _header(name: bytes, value: bytes) -> bytes:
    return struct.pack("!B", len(name)) + name + struct.pack("!BH", 7, len(value)) + value


_HEADERS = (
    _header(b":event-type", b"chunk")
    + _header(b":content-type", b"application/json")
    + _header(b":message-type", b"event")
)
_BYTES = re.compile(rb'"bytes": ?"([A-Za-z0-9+/=]+)"')


class EventStream:
    """Amazon's binary event stream, as Bedrock sends it."""

    head = (
        b"HTTP/1.1 200 OK\r\ncontent-type: application/vnd.amazon.eventstream\r\n"
        b"x-amzn-bedrock-content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
    )
    last = base64.b64encode(b'{"type":"message_stop"')[:-4]  # as far as it does not depend on what follows

    @staticmethod
    def _event(text: bytes) -> bytes:
        return _frame(b'{"bytes":"%s","p":"abcdefgh"}' % base64.b64encode(text))

    @classmethod
    def events(cls, *events: Mapping[str, object]) -> bytes:
        return _chunked(b"".join(cls._event(_json(each)) for each in events))

    @classmethod
    def timed(cls, now: int) -> bytes:
        return _chunked(cls._event(_TEXT % now))

    @staticmethod
    def stamps(data: bytes) -> list[bytes]:
        """Of the events that lie whole in `data`; one that was cut in two is not counted."""
        found = []
        for text in _BYTES.findall(data):
            stamp = STAMP.search(base64.b64decode(text))
            if stamp is not None:
                found.append(stamp[1])
        return found


Speech = type[Sse] | type[EventStream]
SPEECHES: dict[str, Speech] = {"anthropic": Sse, "bedrock": EventStream}
