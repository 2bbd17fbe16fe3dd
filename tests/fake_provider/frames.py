"""Amazon's binary event stream as a provider writes it, by its own specification: whole, broken and absurd frames.

Written apart from the product's own encoder, so that neither can hide a mistake of the other.
"""

import base64
import json
import struct
import zlib
from collections.abc import Mapping
from typing import Any, Literal

METRICS = "amazon-bedrock-invocationMetrics"
_STRING = 7  # the type byte of a header whose value is a text


def frame(headers: Mapping[str, str], payload: bytes) -> bytes:
    """One message: prelude with its CRC, headers, payload, CRC of everything."""
    block = b"".join(
        struct.pack("!B", len(name)) + name.encode() + struct.pack("!BH", _STRING, len(value)) + value.encode()
        for name, value in headers.items()
    )
    prelude = struct.pack("!II", 16 + len(block) + len(payload), len(block))
    message = prelude + struct.pack("!I", zlib.crc32(prelude)) + block + payload
    return message + struct.pack("!I", zlib.crc32(message))


def chunk(event: Mapping[str, Any], *, padding: str = "abcdefg") -> bytes:
    """One stream event, wrapped as Bedrock wraps it."""
    text = json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode()
    payload = {"bytes": base64.b64encode(text).decode(), "p": padding}
    headers = {":event-type": "chunk", ":content-type": "application/json", ":message-type": "event"}
    return frame(headers, json.dumps(payload, separators=(",", ":")).encode())


def exception(name: str, message: str, **fields: Any) -> bytes:
    """An exception frame, such as `throttlingException`, which ends a stream."""
    headers = {":exception-type": name, ":content-type": "application/json", ":message-type": "exception"}
    return frame(headers, json.dumps({"message": message, **fields}).encode())


def error_frame(code: str, message: str) -> bytes:
    """The third kind of message, which the framing knows and Bedrock's model does not."""
    return frame({":message-type": "error", ":error-code": code, ":error-message": message}, b"")


def corrupt(whole: bytes, part: Literal["prelude", "payload", "length"]) -> bytes:
    """The frame with a wrong prelude CRC, a changed payload, or a length that promises 2 GB (its own CRC is right)."""
    if part == "prelude":
        return whole[:8] + bytes([whole[8] ^ 1]) + whole[9:]
    if part == "payload":
        return whole[:-6] + bytes([whole[-6] ^ 1]) + whole[-5:]
    prelude = struct.pack("!I", 0x7FFFFFFF) + whole[4:8]
    return prelude + struct.pack("!I", zlib.crc32(prelude)) + whole[12:]
