"""What arrives while a reader waits can go straight on; what cannot is read as ever, once and in order."""

import asyncio

import httpx
import pytest

from routing.proxy.transports.body import Body

pytestmark = pytest.mark.anyio


class Upstream:
    """A connection that only counts how often it was told to go on."""

    resumed = 0

    def resume(self) -> None:
        self.resumed += 1

    def abort(self) -> None:
        raise AssertionError("nobody left")


def arrives(body: Body, *pieces: bytes) -> None:
    for piece in pieces:
        body.add(piece)
    body.wake()


class Sink(list[bytes]):
    """Takes everything."""

    def __call__(self, data: bytes) -> bool:
        self.append(data)
        return True


async def reader_of(body: Body) -> "asyncio.Task[list[bytes]]":
    async def read() -> list[bytes]:
        return [chunk async for chunk in body]

    task = asyncio.get_running_loop().create_task(read())
    await asyncio.sleep(0)
    return task


async def test_a_sink_gets_what_arrives_while_the_reader_waits_and_the_upstream_goes_on() -> None:
    upstream, taken = Upstream(), Sink()
    body = Body(asyncio.get_running_loop(), upstream, None)
    body.sink = taken
    reading = await reader_of(body)
    arrives(body, b"one", b"two")
    arrives(body, b"three")
    assert taken == [b"onetwo", b"three"]
    assert upstream.resumed == 2
    assert body.held == 0
    body.end()
    assert await reading == []


async def test_what_a_sink_does_not_take_is_read_with_what_comes_behind_it() -> None:
    body = Body(asyncio.get_running_loop(), Upstream(), None)
    body.sink = lambda data: False
    reading = await reader_of(body)
    arrives(body, b"one")
    arrives(body, b"two")
    body.end()
    assert b"".join(await reading) == b"onetwo"


async def test_a_sink_is_not_asked_before_anybody_reads_nor_for_the_last_piece() -> None:
    """The end of a stream is the task's business: its record is written before the client gets the last byte."""
    taken = Sink()
    body = Body(asyncio.get_running_loop(), Upstream(), None)
    body.sink = taken
    arrives(body, b"early")
    reading = await reader_of(body)
    await asyncio.sleep(0)
    body.add(b"last")
    body.end()
    body.wake()
    assert await reading == [b"early", b"last"]
    assert taken == []


async def test_an_answer_that_is_here_whole_is_taken_at_once_and_once() -> None:
    body = Body(asyncio.get_running_loop(), Upstream(), None)
    arrives(body, b"one", b"two")
    assert body.whole() is None, "more may come"
    body.end()
    assert body.whole() == b"onetwo"
    assert body.whole() == b""


async def test_an_answer_that_broke_is_not_whole() -> None:
    body = Body(asyncio.get_running_loop(), Upstream(), None)
    arrives(body, b"half")
    body.end(httpx.ReadError("broke"))
    assert body.whole() is None
    with pytest.raises(httpx.ReadError):
        await (await reader_of(body))
