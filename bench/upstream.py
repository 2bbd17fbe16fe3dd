"""A mock provider for streams: answers each request with timed events, each carrying the moment it was sent.

python -m bench.upstream PORT EVENTS_PER_SECOND SECONDS
"""

import asyncio
import json
import re
import sys
import time
from collections.abc import Mapping
from typing import cast

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
USAGE = {"input_tokens": 10, "output_tokens": 1}
START = {"type": "message_start", "message": {"id": "msg_1", "type": "message", "role": "assistant", "usage": USAGE}}
OPEN = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
CLOSE = {"type": "content_block_stop", "index": 0}
DELTA = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 100}}
STOP = {"type": "message_stop"}


def chunk(*events: Mapping[str, object]) -> bytes:
    data = b"".join(b"event: %s\ndata: %s\n\n" % (str(e["type"]).encode(), json.dumps(e).encode()) for e in events)
    return b"%x\r\n%s\r\n" % (len(data), data)


def timed_chunk() -> bytes:
    """One text delta whose text is the present moment in nanoseconds of the machine's monotonic clock."""
    data = (
        b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta",'
        b'"text":"@%d@ and a word or two more"}}\n\n' % time.monotonic_ns()
    )
    return b"%x\r\n%s\r\n" % (len(data), data)


class Provider(asyncio.Protocol):
    def __init__(self, rate: float, count: int) -> None:
        self._interval = 1 / rate
        self._count = count
        self._received = bytearray()
        self._transport: asyncio.Transport | None = None
        self._left = 0
        self._due = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but name

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, body = bytes(self._received).partition(b"\r\n\r\n")
        length = re.search(rb"content-length: *(\d+)", head, re.IGNORECASE)
        if found and length and len(body) >= int(length[1]):
            self._received.clear()
            self._begin()

    def _begin(self) -> None:
        assert self._transport is not None
        self._transport.write(HEAD + chunk(START, OPEN))
        self._left = self._count
        self._due = asyncio.get_running_loop().time()
        self._tick()

    def _tick(self) -> None:
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if self._left == 0:
            transport.write(chunk(CLOSE, DELTA, STOP) + b"0\r\n\r\n")
            return
        self._left -= 1
        transport.write(timed_chunk())
        self._due += self._interval
        asyncio.get_running_loop().call_at(self._due, self._tick)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None


async def serve(port: int, rate: float, seconds: float) -> None:
    server = await asyncio.get_running_loop().create_server(
        lambda: Provider(rate, int(rate * seconds)), "127.0.0.1", port, backlog=2048
    )
    await server.serve_forever()


if __name__ == "__main__":
    import uvloop

    uvloop.run(serve(int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])))
