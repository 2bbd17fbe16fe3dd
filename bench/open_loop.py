"""Load at a fixed rate, whether or not answers come: latency counts from the moment a request was due, so that a gateway
that stops for a while is seen by every request that would have come meanwhile.

    python -m bench.open_loop PORT KEY BODY_FILE --rate R --seconds S [--burst FACTOR]

With `--burst 2` the rate doubles in every other second. Prints one JSON object.
"""

import argparse
import asyncio
import json
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from bench.streams import percentile, request_for

MOST_OPEN = 2000  # connections; a request that finds none free and no room for another one has failed
LONGEST = 20.0  # seconds that an answer may take


@dataclass(slots=True)
class Seen:
    """Nanoseconds from when each answered request was due until its answer was whole; how many failed."""

    times: list[int] = field(default_factory=list)
    failed: int = 0


class Connection(asyncio.Protocol):
    """One request at a time; `due` is that of the request under way, 0 while it is idle."""

    def __init__(self, seen: Seen, idle: list["Connection"]) -> None:
        self._seen, self._idle = seen, idle
        self.due = 0
        self._got = bytearray()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def ask(self, request: bytes, due: int) -> None:
        assert self._transport is not None
        self.due = due
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._got += data
        if not _whole(self._got):
            return
        self._seen.times.append(time.monotonic_ns() - self.due)
        self._seen.failed += not self._got.startswith(b"HTTP/1.1 200")
        self._got.clear()
        self.due = 0
        self._idle.append(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._seen.failed += self.due != 0
        self.due = 0
        if self in self._idle:
            self._idle.remove(self)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()


def _whole(data: bytearray) -> bool:
    """Whether an answer with a length, or in chunks, is complete."""
    at = data.find(b"\r\n\r\n")
    if at < 0:
        return False
    head = bytes(data[:at]).lower()
    _, found, rest = head.partition(b"content-length:")
    if found:
        return len(data) - at - 4 >= int(rest.split(b"\r\n", 1)[0])
    return data.endswith(b"0\r\n\r\n")


def moments(rate: float, seconds: float, burst: float) -> Iterator[int]:
    """When requests are due, in nanoseconds from the start."""
    for second in range(math.ceil(seconds)):
        count = round(rate * (burst if second % 2 else 1))
        for number in range(count):
            at = second + number / count
            if at < seconds:
                yield int(at * 1e9)


async def _until(due: int) -> None:
    """Comes back at a moment of the monotonic clock, in nanoseconds, or at once if it has gone by."""
    early = (due - time.monotonic_ns()) / 1e9
    if early > 0:
        await asyncio.sleep(early)


async def load(port: int, request: bytes, *, rate: float, seconds: float, burst: float) -> dict[str, float]:
    seen, idle, connections = Seen(), list[Connection](), list[Connection]()
    loop, begun = asyncio.get_running_loop(), time.monotonic_ns()
    for moment in moments(rate, seconds, burst):
        due = begun + moment
        await _until(due)
        if not idle and len(connections) < MOST_OPEN:
            _, made = await loop.create_connection(lambda: Connection(seen, idle), "127.0.0.1", port)
            connections.append(made)
            idle.append(made)
        if idle:
            idle.pop().ask(request, due)
        else:
            seen.failed += 1
    asked = time.monotonic_ns() - begun
    limit = loop.time() + LONGEST
    while any(each.due for each in connections) and loop.time() < limit:  # noqa: ASYNC110  a connection has no event
        await asyncio.sleep(0.01)
    unanswered = sum(each.due != 0 for each in connections)
    for each in connections:
        each.due = 0
        each.close()
    return {
        "per_second": len(seen.times) / (asked / 1e9),
        "p50_ms": percentile(seen.times, 0.5),
        "p99_ms": percentile(seen.times, 0.99),
        "errors": seen.failed + unanswered,
        "requests": len(seen.times),
    }


def main() -> None:
    import uvloop

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("port", type=int)
    parser.add_argument("key")
    parser.add_argument("body", type=Path)
    parser.add_argument("--rate", type=float, required=True, help="requests per second")
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--burst", type=float, default=1, metavar="FACTOR", help="of the rate, in every other second")
    given = parser.parse_args()
    request = request_for(given.port, given.key, given.body.read_bytes(), "")
    found = load(given.port, request, rate=given.rate, seconds=given.seconds, burst=given.burst)
    print(json.dumps(uvloop.run(found)))


if __name__ == "__main__":
    main()
