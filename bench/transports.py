"""The upstream transports beside each other, without the rest of the gateway: `python -m bench.transports`.

A server on the other core answers; each transport asks as fast as it can, in alternated rounds on uvloop. What counts is
the CPU time of this process for each request or event, and its ratio between the transports of one run.
"""

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import cast

import httpx
import uvloop

from bench.processes import cores, free_port, start
from routing.proxy.transports import tls_context, transport_named
from routing.targets import CredentialConf, ProviderConf

NAMES = ("aiohttp", "lean")
EVENTS = 1_000
EVENT = (
    b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"text":"a word or two"}}\n\n'
)
HEADERS = [
    (b"content-type", b"application/json"),
    (b"anthropic-version", b"2023-06-01"),
    (b"user-agent", b"bench/1.0"),
    (b"accept", b"application/json"),
    (b"x-api-key", b"an-upstream-key"),
]
Ask = Callable[[httpx.AsyncBaseTransport], Awaitable[int]]


class Upstream(asyncio.Protocol):
    """Answers POST /KIND/BYTES: `whole` with so many bytes, `stream` with events, each written by itself."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._left = 0
        self._path = b""
        self._task: asyncio.Task[None] | None = None

    def data_received(self, data: bytes) -> None:
        if not self._left:
            head, _, data = data.partition(b"\r\n\r\n")
            self._path = head.split(b" ", 2)[1]
            self._left = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        self._left -= len(data)
        if not self._left:
            self._answer(*self._path[1:].split(b"/"))

    def _answer(self, kind: bytes, size: bytes) -> None:
        if kind == b"whole":
            head = (
                b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nrequest-id: req_1\r\ncontent-length: %b\r\n\r\n"
            )
            self._transport.write(head % size + b"x" * int(size))
        else:
            self._task = asyncio.ensure_future(self._stream())

    async def _stream(self) -> None:
        head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
        self._transport.write(head)
        for _ in range(EVENTS):
            self._transport.write(b"%x\r\n%b\r\n" % (len(EVENT), EVENT))
            await asyncio.sleep(0.001)
        self._transport.write(b"0\r\n\r\n")


async def serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", port)
    await server.serve_forever()


def asking(port: int, path: str, body: bytes) -> Ask:
    """Sends one request; the result is how many pieces its answer came in."""
    url = httpx.URL(f"http://127.0.0.1:{port}/{path}")
    headers = [(b"host", url.netloc), *HEADERS, (b"content-length", b"%d" % len(body))]
    timeout = {"connect": 5.0, "pool": 5.0}

    async def ask(transport: httpx.AsyncBaseTransport) -> int:
        stream = httpx.ByteStream(body)
        request = httpx.Request("POST", url, headers=headers, stream=stream, extensions={"timeout": timeout})
        request.read()
        answer = await transport.handle_async_request(request)
        pieces = cast(httpx.AsyncByteStream, answer.stream)
        count = 0
        async for _ in pieces:
            count += 1
        await pieces.aclose()
        return count

    return ask


async def hammer(transport: httpx.AsyncBaseTransport, ask: Ask, connections: int, seconds: float) -> dict[str, float]:
    """`connections` clients, each with one request after the other."""
    asked = 0
    end = 0.0

    async def client() -> None:
        nonlocal asked
        while time.perf_counter() < end:
            await ask(transport)
            asked += 1

    for _ in range(20):
        await ask(transport)
    begin, cpu = time.perf_counter(), time.process_time()
    end = begin + seconds
    await asyncio.gather(*(client() for _ in range(connections)))
    spent, took = time.process_time() - cpu, time.perf_counter() - begin
    return {"per_second": asked / took, "cpu_us": spent / asked * 1e6}


async def listen(transport: httpx.AsyncBaseTransport, ask: Ask, streams: int) -> dict[str, float]:
    """So many streams of 1,000 events beside each other."""
    cpu = time.process_time()
    pieces = sum(await asyncio.gather(*(ask(transport) for _ in range(streams))))
    return {"pieces": pieces / streams, "cpu_us": (time.process_time() - cpu) / streams / EVENTS * 1e6}


async def measure(name: str, port: int, seconds: float) -> dict[str, dict[str, float]]:
    """One round of one transport: every cell."""
    provider = ProviderConf(
        1, name, "anthropic", f"http://127.0.0.1:{port}", CredentialConf("none"), allow_private_addresses=True
    )
    transport = transport_named(name)(provider, tls_context())
    found = {}
    try:
        for connections in (1, 16):
            for label, sent, answered in (
                ("2 KB", 2_000, 700),
                ("100 KB", 100_000, 700),
                ("2 KB, 100 KB back", 2_000, 100_000),
            ):
                ask = asking(port, f"whole/{answered}", b"x" * sent)
                found[f"{label}, {connections}"] = await hammer(transport, ask, connections, seconds)
        for streams in (1, 16):
            found[f"stream, {streams}"] = await listen(transport, asking(port, "stream/0", b"x" * 2_000), streams)
    finally:
        await transport.aclose()
    return found


def report(rounds: list[dict[str, dict[str, dict[str, float]]]]) -> None:
    print(f"{'cell':24}" + "".join(f"{name:>12}/s {name:>9} us" for name in NAMES) + f"{'CPU ratio':>12}")
    for cell in rounds[0][NAMES[0]]:
        line = f"{cell:24}"
        for name in NAMES:
            rate, cpu = (
                statistics.median(each[name][cell].get(figure, 0.0) for each in rounds)
                for figure in ("per_second", "cpu_us")
            )
            line += f"{rate:14.0f} {cpu:12.1f}"
        ratio = statistics.median(each[NAMES[0]][cell]["cpu_us"] / each[NAMES[1]][cell]["cpu_us"] for each in rounds)
        print(f"{line}{ratio:12.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0, help="for each cell")
    parser.add_argument("--serve", type=int, metavar="PORT", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve(options.serve))
        return
    core, load_core = cores()
    os.sched_setaffinity(0, {core})
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="gateway-bench-") as folder:
        command = [sys.executable, "-m", "bench.transports", "--serve", str(port)]
        running = start(command, port, load_core, Path(folder) / "log", {})
        rounds = []
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                for number in range(options.rounds):
                    order = NAMES if number % 2 == 0 else NAMES[::-1]
                    rounds.append({name: runner.run(measure(name, port, options.seconds)) for name in order})
                    print(f"round {number + 1} of {options.rounds} done", file=sys.stderr)
        finally:
            running.stop()
    report(rounds)


if __name__ == "__main__":
    main()
