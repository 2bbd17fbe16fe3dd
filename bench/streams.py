"""Load for streams: opens many at a time, and measures how late each event arrives.

    python -m bench.streams PORT COUNT KEY BODY_FILE [--bedrock MODEL] [--stalled] [--limit SECONDS]

Prints a line as soon as all of them are open, and at the end one JSON object: streams that ended in order, events, lag in
milliseconds (p50, p99), time to the first event. Stalled streams read nothing beyond their first bytes, until this
process is told to end on its standard input.
"""

import argparse
import asyncio
import json
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from bench.wire import SPEECHES, Speech

SPREAD_SECONDS = 1.0  # streams begin spread over this time, as people do


@dataclass(slots=True)
class Seen:
    """What all streams together have seen, in nanoseconds."""

    lags: list[int] = field(default_factory=list)
    firsts: list[int] = field(default_factory=list)
    failed: int = 0


class Caller(asyncio.Protocol):
    """One stream. `opened` is done with its first bytes, `ended` at its end: whether that was in order."""

    def __init__(self, request: bytes, speech: Speech, seen: Seen, *, stalled: bool) -> None:
        loop = asyncio.get_running_loop()
        self.opened: asyncio.Future[None] = loop.create_future()
        self.ended: asyncio.Future[bool] = loop.create_future()
        self._request, self._speech, self._seen, self._stalled = request, speech, seen, stalled
        self._began = 0
        self._tail = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but name
        self._began = time.monotonic_ns()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        now = time.monotonic_ns()
        assert self._transport is not None
        if self._began:
            self._seen.firsts.append(now - self._began)
            self._seen.failed += not data.startswith(b"HTTP/1.1 200")
            self._began = 0
            self.opened.set_result(None)
            if self._stalled:
                self._transport.pause_reading()
        lags = self._seen.lags
        for stamp in self._speech.stamps(data):
            lags.append(now - int(stamp))
        self._tail = (self._tail + data)[-2048:]
        if self._speech.last in self._tail:
            self._finish(ended=True)
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._finish(ended=False)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _finish(self, *, ended: bool) -> None:
        if not self.opened.done():
            self.opened.set_result(None)
        if not self.ended.done():
            self.ended.set_result(ended)


def percentile(values: list[int], share: float) -> float:
    """In milliseconds, from nanoseconds."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] / 1e6 if ordered else 0.0


async def load(
    port: int, count: int, request: bytes, speech: Speech, *, stalled: bool, limit: float
) -> dict[str, float]:
    loop = asyncio.get_running_loop()
    seen = Seen()
    callers = []
    for _ in range(count):
        caller = Caller(request, speech, seen, stalled=stalled)
        await loop.create_connection(lambda caller=caller: caller, "127.0.0.1", port)  # type: ignore[misc]
        callers.append(caller)
        await asyncio.sleep(SPREAD_SECONDS / count)
    await asyncio.gather(*(caller.opened for caller in callers))
    print("open", flush=True)
    if stalled:
        await loop.run_in_executor(None, sys.stdin.readline)
        ended = sum(not caller.ended.done() for caller in callers)  # those that are still there
        for caller in callers:
            caller.close()
    else:
        await asyncio.wait([caller.ended for caller in callers], timeout=limit)
        ended = sum(caller.ended.done() and caller.ended.result() for caller in callers)
    return {
        "ended": ended,
        "errors": count - ended + seen.failed,
        "events": len(seen.lags),
        "lag_p50_ms": percentile(seen.lags, 0.5),
        "lag_p99_ms": percentile(seen.lags, 0.99),
        "first_p50_ms": percentile(seen.firsts, 0.5),
    }


def request_for(port: int, key: str, body: bytes, bedrock_model: str) -> bytes:
    path = f"/model/{bedrock_model}/invoke-with-response-stream" if bedrock_model else "/v1/messages"
    version = "" if bedrock_model else "anthropic-version: 2023-06-01\r\n"
    head = (
        f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nauthorization: Bearer {key}\r\n{version}"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def main() -> None:
    import uvloop

    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("count", type=int)
    parser.add_argument("key")
    parser.add_argument("body", type=Path)
    parser.add_argument("--bedrock", default="", metavar="MODEL")
    parser.add_argument("--stalled", action="store_true")
    parser.add_argument("--limit", type=float, default=60, help="seconds; a stream that lasts longer has failed")
    given = parser.parse_args()
    message = request_for(given.port, given.key, given.body.read_bytes(), given.bedrock)
    speech = SPEECHES["bedrock" if given.bedrock else "anthropic"]
    print(
        json.dumps(uvloop.run(load(given.port, given.count, message, speech, stalled=given.stalled, limit=given.limit)))
    )


if __name__ == "__main__":
    main()
