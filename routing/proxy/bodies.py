"""Reads a request's body from the server, whole and bounded; undoes its content-encoding."""

import asyncio
import time
import zlib
from collections.abc import Awaitable, Callable
from typing import Any

import zstandard

from routing.formats.base import Headers, header
from routing.proxy.alarm import Alarm
from routing.proxy.errors import GatewayError, invalid, too_large, too_slow

Receive = Callable[[], Awaitable[dict[str, Any]]]

_IN_THREAD = 256 * 1024  # bytes; decoding more than this would stop the event loop for long
_LEAST_RATE = 1024  # bytes per second of a body, on average, once it has taken ten times the silence that is allowed
_PATIENCE = 5.0  # seconds that the rest of a refused body is read and thrown away


class ClientGone(Exception):
    """The client left before its request was complete."""


class Body:
    """The body of one request. `read` may be called once; `discard` before an answer to a request that was not read.

    `silence`: seconds between two pieces that a client may take.

    A client that is still sending when it is answered and cut off sees a broken connection instead of the answer.
    """

    def __init__(
        self, receive: Receive, headers: Headers, limit: int, silence: float = 60.0, alarm: Alarm | None = None
    ) -> None:
        self._receive = receive
        self._silence = silence
        self.alarm = alarm
        self._headers = headers
        self._limit = limit
        self.finished = asyncio.Event()  # nothing more will be received here

    async def read(self) -> bytes:
        """The decoded bytes. Raises `GatewayError` (413, 408, 400) or `ClientGone`."""
        declared = header(self._headers, b"content-length")
        if declared.isdigit() and int(declared) > self._limit:
            raise too_large(self._limit)
        own = None if self.alarm is not None else Alarm()
        alarm = self.alarm or own
        assert alarm is not None
        alarm.set(self._silence)
        try:
            body = await self._receive_all(alarm)
        except asyncio.CancelledError:
            if alarm.rang():
                raise too_slow() from None
            raise
        finally:
            alarm.off()
            if own is not None:
                own.stop()
        coding = header(self._headers, b"content-encoding").strip().lower()
        if coding in (b"", b"identity"):
            return body
        decode = _DECODERS.get(coding)
        if decode is None:
            text = f"content-encoding: {coding.decode('latin-1')} is not accepted; send gzip, zstd or none."
            raise invalid(text, "bad_encoding")
        if len(body) > _IN_THREAD:
            return await asyncio.to_thread(decode, body, self._limit)
        return decode(body, self._limit)

    async def _receive_all(self, alarm: Alarm) -> bytes:
        parts: list[bytes] = []
        size = 0
        began = 0.0
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            part = message.get("body", b"")
            size += len(part)
            if size > self._limit:
                raise too_large(self._limit)
            if part:
                parts.append(part)
            if not message.get("more_body", False):
                self.finished.set()
                return parts[0] if len(parts) == 1 else b"".join(parts)
            now = time.monotonic()
            lasted = now - (began := began or now)
            if lasted >= 10 * self._silence and size < lasted * _LEAST_RATE:
                raise too_slow()
            alarm.set(self._silence)

    async def discard(self) -> None:
        """Reads on to the end of the body and forgets it, for a few seconds and twice the limit at most."""
        size = 0
        try:
            async with asyncio.timeout(_PATIENCE):
                while not self.finished.is_set() and size <= 2 * self._limit:
                    message = await self._receive()
                    if message["type"] == "http.disconnect":
                        raise ClientGone
                    size += len(message.get("body", b""))
                    if not message.get("more_body", False):
                        self.finished.set()
        except TimeoutError:
            pass


def _gunzip(body: bytes, limit: int) -> bytes:
    """All members of a gzip file, one after the other; what follows the last one must be another."""
    plain = bytearray()
    while body:
        decoder = zlib.decompressobj(wbits=47)  # gzip or zlib, by the data's own head
        try:
            plain += decoder.decompress(body, limit + 1 - len(plain))
        except zlib.error:
            raise _not_decodable("gzip") from None
        if len(plain) > limit:
            raise too_large(limit)
        if not decoder.eof:
            raise _not_decodable("gzip")
        body = decoder.unused_data
    return bytes(plain)


def _unzstd(body: bytes, limit: int) -> bytes:
    decoder = zstandard.ZstdDecompressor(max_window_size=128 * 1024 * 1024).decompressobj()
    plain = bytearray()
    try:
        for start in range(0, len(body), 16 * 1024):
            plain += decoder.decompress(body[start : start + 16 * 1024])
            if len(plain) > limit:
                raise too_large(limit)
    except zstandard.ZstdError:
        raise _not_decodable("zstd") from None
    if not decoder.eof:
        raise _not_decodable("zstd")
    return bytes(plain)


def _not_decodable(coding: str) -> GatewayError:
    return invalid(f"The request body is not what its content-encoding says ({coding}).", "bad_encoding")


_DECODERS = {b"gzip": _gunzip, b"x-gzip": _gunzip, b"deflate": _gunzip, b"zstd": _unzstd}
