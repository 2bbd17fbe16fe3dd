"""Load for streams: opens many at a time, and measures how late each event arrives.

    python -m bench.streams PORT COUNT KEY BODY_FILE

Prints one JSON object: streams that ended in order, events, lag in milliseconds (p50, p99), time to the first event.
"""

import asyncio
import json
import re
import sys
import time
from pathlib import Path
from typing import cast

STAMP = re.compile(rb"@(\d+)@")
SPREAD_SECONDS = 1.0  # streams begin spread over this time, as people do


class Caller(asyncio.Protocol):
    def __init__(self, request: bytes, lags: list[int], firsts: list[int], done: "asyncio.Future[bool]") -> None:
        self._request = request
        self._lags = lags
        self._firsts = firsts
        self._done = done
        self._began = 0
        self._tail = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but name
        self._began = time.monotonic_ns()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        now = time.monotonic_ns()
        if self._began:
            self._firsts.append(now - self._began)
            self._began = 0
        for stamp in STAMP.findall(data):
            self._lags.append(now - int(stamp))
        self._tail = (self._tail + data)[-64:]
        if b"message_stop" in self._tail and self._transport is not None:
            self._finish(ended=True)
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._finish(ended=False)

    def _finish(self, *, ended: bool) -> None:
        if not self._done.done():
            self._done.set_result(ended)


def percentile(values: list[int], share: float) -> float:
    """In milliseconds, from nanoseconds."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] / 1e6 if ordered else 0.0


async def load(port: int, count: int, request: bytes) -> dict[str, float]:
    loop = asyncio.get_running_loop()
    lags: list[int] = []
    firsts: list[int] = []
    endings: list[asyncio.Future[bool]] = []
    for _ in range(count):
        done: asyncio.Future[bool] = loop.create_future()
        endings.append(done)
        await loop.create_connection(lambda done=done: Caller(request, lags, firsts, done), "127.0.0.1", port)  # type: ignore[misc]
        await asyncio.sleep(SPREAD_SECONDS / count)
    ended = await asyncio.gather(*endings)
    return {
        "ended": sum(ended),
        "events": len(lags),
        "lag_p50_ms": percentile(lags, 0.5),
        "lag_p99_ms": percentile(lags, 0.99),
        "first_p50_ms": percentile(firsts, 0.5),
    }


def request_for(port: int, key: str, body: bytes) -> bytes:
    head = (
        f"POST /v1/messages HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nauthorization: Bearer {key}\r\n"
        f"anthropic-version: 2023-06-01\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


if __name__ == "__main__":
    import uvloop

    wanted_port, wanted_count, wanted_key = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    message = request_for(wanted_port, wanted_key, Path(sys.argv[4]).read_bytes())
    print(json.dumps(uvloop.run(load(wanted_port, wanted_count, message))))
