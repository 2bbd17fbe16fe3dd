"""Three hundred streams at once: nothing lost, nothing reordered, memory bounded."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.fake_provider import read_stream
from tests.gateway.bodies import ask, encoded
from tests.gateway.conftest import OwnGateway
from tests.harness import KEYS, Config, Gateway, standard_config

ROOT = Path(__file__).resolve().parent.parent.parent
STREAMS, EVENTS, PACE = 300, 200, 0.05


@contextmanager
def provider_process() -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The fake provider beside this process, so that it does not share a processor with the clients."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.fake_provider"], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip(), process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


async def one_stream(port: int, number: int, size: int, opened: asyncio.Semaphore) -> tuple[str, bytes]:
    """(request id, the stream's bytes)"""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    # The prompt has the stream's number in it, and so have all the answer's tokens.
    body = encoded(ask(f"stream {number} events={EVENTS} pace={PACE} " + "x" * size, stream=True))
    head = (
        f"POST /v1/messages HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEYS['main']}\r\n"
        f"anthropic-version: 2023-06-01\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    writer.write(head.encode() + body)
    answer = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    assert answer.startswith("http/1.1 200"), answer
    opened.release()
    parts = []
    while size := int(await reader.readline(), 16):
        parts.append(await reader.readexactly(size))
        await reader.readexactly(2)
    writer.close()
    return answer.partition("request-id: ")[2].partition("\r\n")[0], b"".join(parts)


async def run_streams(gateway: Gateway, size: int) -> tuple[list[tuple[str, bytes]], int]:
    """All streams' (id, bytes), and the resident memory in KiB while all of them were open."""
    opened = asyncio.Semaphore(0)
    tasks = [asyncio.create_task(one_stream(gateway.port, number, size, opened)) for number in range(STREAMS)]
    for _ in range(STREAMS):
        await asyncio.wait_for(opened.acquire(), 30)
    await asyncio.sleep(EVENTS * PACE / 2)  # in the middle of all of them
    resident = gateway.resident_kib()
    return await asyncio.gather(*tasks), resident


@pytest.mark.parametrize("size", [2_000])
def test_nothing_is_lost_and_nothing_reordered(
    size: int, own_gateway: OwnGateway, capsys: pytest.CaptureFixture[str]
) -> None:
    with provider_process() as (url, process):

        def config(_: str) -> Config:
            return standard_config(url)

        with own_gateway(config) as (gateway, _):
            for _ in range(3):
                assert gateway.post(ask(stream=True)).status == 200
            idle = gateway.resident_kib()
            results, resident = asyncio.run(run_streams(gateway, size))
            check_streams([body for _, body in results])
            per_stream = (resident - idle) / STREAMS
            with capsys.disabled():
                sys.stdout.write(
                    f"\n{STREAMS} streams: {idle} KiB before, {resident} KiB with all open, {per_stream:.1f} KiB each\n"
                )
            assert per_stream < 200
            ids = {request_id for request_id, _ in results}
            records = gateway.wait_records(STREAMS + 3, timeout=10)
            assert ids <= {record["request_id"] for record in records if record["outcome"] == "served"}
        seen = report_of(process)
        assert seen["violations"] == []
        booked = sum(usage["output_tokens"] for usage in seen["books"].values())
        assert sum(record["tokens"]["output"] for record in records) == booked


def report_of(process: subprocess.Popen[str]) -> dict[str, Any]:
    process.terminate()
    assert process.stdout is not None
    found: dict[str, Any] = json.loads(process.stdout.readline())
    return found


def check_streams(bodies: list[bytes]) -> None:
    assert len(bodies) == STREAMS
    names = set()
    for body in bodies:
        events = read_stream(body)
        assert len(events) == EVENTS
        texts = [event["delta"]["text"] for kind, event in events if kind == "content_block_delta"]
        assert "".join(texts).split() == [f"w{index}" for index in range(EVENTS - 6)]
        assert events[-1][0] == "message_stop"
        names.add(events[0][1]["message"]["id"])
    assert len(names) == STREAMS
