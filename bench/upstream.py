"""A mock provider for streams: timed events, each carrying the moment it was sent. `python -m bench.upstream PORT`.

The model that is asked for says what is wanted: `bench-RATE-SECONDS` gives so many events per second for so long,
`bench-flood` events as fast as they are taken. A path of Bedrock's is answered in Bedrock's framing.
"""

import asyncio
import re
import sys
import time
from typing import cast

from bench.wire import CLOSE, DELTA, OPEN, SPEECHES, START, STOP, Sse

_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_MODEL = re.compile(rb'(?:"model": ?"|^POST /model/)(bench-[a-z0-9-]+)')
FLOOD = 64  # events in one piece


class Provider(asyncio.Protocol):
    """One connection; one request at a time."""

    def __init__(self) -> None:
        self._received = bytearray()
        self._transport: asyncio.Transport | None = None
        self._speech = SPEECHES["anthropic"]
        self._interval = 0.0
        self._left = 0
        self._due = 0.0
        self._floods = self._full = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but name

    def data_received(self, data: bytes) -> None:
        self._received += data
        at = self._received.find(b"\r\n\r\n")
        if at < 0:
            return
        length = _LENGTH.search(self._received, 0, at)
        if length and len(self._received) - at - 4 >= int(length[1]):
            request = bytes(self._received[: at + 1000])
            self._received.clear()
            self._begin(request)

    def _begin(self, request: bytes) -> None:
        assert self._transport is not None
        self._speech = SPEECHES["bedrock" if request.startswith(b"POST /model/") else "anthropic"]
        model = _MODEL.search(request)
        name = model[1].decode() if model else "bench-50-1"
        self._transport.write(self._speech.head + self._speech.events(START, OPEN))
        self._floods = name == "bench-flood"
        if self._floods:
            self._flood()
            return
        rate, seconds = (float(part) for part in name.split("-")[1:3])
        self._interval, self._left = 1 / rate, int(rate * seconds)
        self._due = asyncio.get_running_loop().time()
        self._tick()

    def _tick(self) -> None:
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if self._left == 0:
            transport.write(self._speech.events(CLOSE, DELTA, STOP) + b"0\r\n\r\n")
            return
        self._left -= 1
        transport.write(self._speech.timed(time.monotonic_ns()))
        self._due += self._interval
        asyncio.get_running_loop().call_at(self._due, self._tick)

    def _flood(self) -> None:
        transport = self._transport
        if transport is None or transport.is_closing() or self._full:
            return
        transport.write(Sse.timed(time.monotonic_ns()) * FLOOD)
        asyncio.get_running_loop().call_soon(self._flood)

    def pause_writing(self) -> None:
        self._full = True

    def resume_writing(self) -> None:
        self._full = False
        if self._floods:
            self._flood()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None


async def serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Provider, "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    import uvloop

    uvloop.run(serve(int(sys.argv[1])))
