"""Answers of every shape arrive whole, in any cut; what is not an answer is told as such."""

import asyncio
import json
from collections.abc import AsyncIterator
from functools import partial
from itertools import pairwise

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from routing.proxy.transports.body import Body
from routing.proxy.transports.wire import MOST_FIELDS, MOST_HEAD_BYTES, MOST_INTERIM, AnswerReader, BadAnswer
from tests.transport.serving import Ask, Peer, Server, chunked, chunks_of, sized, whole

TEXT = b"".join(b"event: %d\ndata: {}\n\n" % number for number in range(40))
TO_THE_END = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n" + TEXT
BROKEN = (httpx.RemoteProtocolError, httpx.ReadError)

SHAPES = {
    "of known length": sized(TEXT),
    "in one chunk": chunked(TEXT),
    "in many chunks": chunked(*(TEXT[at : at + 7] for at in range(0, len(TEXT), 7))),
    "with trailers": chunked(TEXT, trailers=b"x-checksum: 1\r\nx-more: 2\r\n"),
    "after 1xx": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" + sized(TEXT),
    "until the end": TO_THE_END,
}


@pytest.mark.parametrize("shape", SHAPES)
async def test_a_body_arrives_whole(shape: str, ask: Ask, server: Server) -> None:
    server.script = lambda peer: peer.answer(SHAPES[shape])
    answer = await ask.open()
    assert answer.status_code == 200
    assert await whole(answer) == TEXT


@pytest.mark.parametrize("shape", SHAPES)
async def test_a_body_that_comes_byte_by_byte_arrives_whole(shape: str, ask: Ask, server: Server) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        for at in range(len(SHAPES[shape])):
            await peer.say(SHAPES[shape][at : at + 1])
            await asyncio.sleep(0)

    server.script = script
    assert await ask() == TEXT


class Still:
    """Where a body comes from that is read without a connection."""

    def resume(self) -> None: ...
    def abort(self) -> None: ...


def read(pieces: list[bytes]) -> tuple[AnswerReader, bytes]:
    """The answer that these pieces and the end after them make."""
    loop = asyncio.new_event_loop()
    try:
        body = Body(loop, Still(), None)
        reader = AnswerReader(body)
        for piece in pieces:
            reader.feed(piece)
        if not reader.complete:
            reader.end()
        return reader, b"".join(body._parts)
    finally:
        loop.close()


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(sorted(SHAPES)), st.lists(st.integers(0, 2000), max_size=30))
def test_a_body_is_the_same_in_any_cut(shape: str, cuts: list[int]) -> None:
    answer = SHAPES[shape]
    places = sorted({0, len(answer), *(cut for cut in cuts if cut < len(answer))})
    reader, body = read([answer[a:b] for a, b in pairwise(places)])
    assert (reader.status, body) == (200, TEXT)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300), st.sampled_from([b"", b"HTTP/1.1 200 OK\r\n", SHAPES["in many chunks"][:90]]))
def test_no_bytes_whatever_end_in_anything_but_an_answer_or_its_refusal(noise: bytes, before: bytes) -> None:
    try:
        reader, _ = read([before, noise])
    except BadAnswer:
        return
    assert 200 <= reader.status < 1000


@pytest.mark.parametrize("shape", [shape for shape in SHAPES if shape != "until the end"])
async def test_an_answer_that_ends_early_is_broken_at_every_byte(shape: str, name: str, server: Server) -> None:
    answer = sized(b"0123456789") if shape == "of known length" else SHAPES[shape]
    step = 1 if len(answer) < 300 else 29
    sent = [answer[:at] for at in range(0, len(answer), step)]
    waiting = iter(sent)
    server.script = lambda peer: peer.answer(next(waiting))
    async with Ask(name, server) as ask:
        for part in sent:
            with pytest.raises(BROKEN):
                pytest.fail(f"{part!r} was taken for an answer: {await ask()!r}")


async def test_what_came_before_the_break_is_handed_over_first(server: Server) -> None:
    server.script = lambda peer: peer.answer(SHAPES["of known length"][:-9])
    pieces: list[bytes] = []

    async def collect(chunks: AsyncIterator[bytes]) -> None:
        async for chunk in chunks:
            pieces.append(chunk)

    async with Ask("lean", server) as ask:
        with pytest.raises(httpx.RemoteProtocolError):
            await collect(chunks_of(await ask.open()))
    assert b"".join(pieces) == TEXT[:-9]


async def test_lean_names_an_early_end_as_what_it_is(server: Server) -> None:
    async with Ask("lean", server) as ask:
        for answer in (b"", b"HTTP/1.1 20", sized(TEXT)[:-1], chunked(TEXT)[:-1]):
            server.script = partial(Peer.answer, data=answer)
            with pytest.raises(httpx.RemoteProtocolError, match="closed the connection"):
                await ask()


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 20x OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5x\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\ncontent-length: -5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello!",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nfive\r\nhello\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n-5\r\nhello\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello!\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\nhello\r\n",
        b"HTTP/1.1 200 OK\r\nx: " + b"a" * 300_000 + b"\r\n\r\n",
    ],
)
async def test_what_is_not_http_is_refused(answer: bytes, ask: Ask, server: Server) -> None:
    server.script = lambda peer: peer.answer(answer)
    with pytest.raises(BROKEN):
        pytest.fail(f"taken for an answer: {await ask()!r}")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"HTTP/1.1 200 OK\r\n" + b"x-a: 1\r\n" * (MOST_FIELDS + 1) + b"\r\n", "fields"),
        (b"HTTP/1.1 200 OK\r\n" + (b"x-a: " + b"1" * 9000 + b"\r\n") * 8 + b"\r\n", "bytes"),
        (b"HTTP/1.1 200 OK\r\nx-a: " + b"1" * MOST_HEAD_BYTES, "head is longer"),
        (b"HTTP/1.1 103 Early Hints\r\n\r\n" * (MOST_INTERIM + 1), "103 too often"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\n", "transfer-encoding"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "transfer-encoding"),
        (b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n\x81\x05", "101"),
        (b"HTTP/2.0 200 OK\r\ncontent-length: 0\r\n\r\n", "not HTTP"),
        (b"HTTP/1.1 200 OK\ncontent-length: 0\n\n", "not HTTP"),
        (chunked(b"x")[:-2] + b"x-t: 1\r\n" * (MOST_FIELDS + 2), "fields"),
    ],
)
def test_an_answer_has_its_limits(answer: bytes, words: str) -> None:
    with pytest.raises(BadAnswer, match=words):
        read([answer])


@pytest.mark.parametrize("tail", [b"x-t: ", b"", b"5;extension="])
def test_trailers_and_chunk_sizes_that_never_end_are_given_up(tail: bytes) -> None:
    begun = chunked(b"x")[: -2 if tail.startswith(b"x") else -5]
    pieces = [begun, tail, *([b"0" * 1000] * 200)]
    with pytest.raises(BadAnswer):
        read(pieces)


async def test_headers_arrive_as_they_are_and_in_their_order(ask: Ask, server: Server) -> None:
    server.script = lambda peer: peer.answer(
        sized(b"", b"X-A: 1", b"set-cookie: a", b"x-a:  caf\xe9 ", b"set-cookie: b")
    )
    raw = [(name.lower(), value) for name, value in (await ask.open()).headers.raw]
    assert [pair for pair in raw if pair[0] != b"content-length"] == [
        (b"x-a", b"1"),
        (b"set-cookie", b"a"),
        (b"x-a", b"caf\xe9"),
        (b"set-cookie", b"b"),
    ]


@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
async def test_an_answer_without_a_body_leaves_the_connection_usable(status: bytes, ask: Ask, server: Server) -> None:
    async def script(peer: Peer) -> None:
        await peer.answer(b"HTTP/1.1 " + status + b"\r\nx-a: 1\r\n\r\n")
        await peer.answer(sized(b"second"))

    server.script = script
    assert await ask() == b""
    assert await ask() == b"second"
    assert len(server.peers) == 1


async def test_a_redirect_is_an_answer_like_any_other(ask: Ask, server: Server) -> None:
    server.script = lambda peer: peer.answer(sized(b"there", b"location: http://127.0.0.1:1/", status=b"307 Moved"))
    answer = await ask.open()
    assert (answer.status_code, await whole(answer)) == (307, b"there")


async def test_cookies_are_not_kept(ask: Ask, server: Server) -> None:
    heads = []

    async def script(peer: Peer) -> None:
        for _ in range(2):
            heads.append((await peer.request())[0])
            await peer.say(sized(b"", b"set-cookie: a=b"))

    server.script = script
    await ask()
    await ask()
    assert b"cookie" not in heads[1].lower()


async def test_a_lone_event_is_handed_over_at_once_and_a_crowd_together(ask: Ask, server: Server) -> None:
    more = asyncio.Event()
    events = [b"data: %s\n\n" % json.dumps({"number": number}).encode() for number in range(9)]

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.say(chunked(events[0])[:-5])
        await more.wait()
        await peer.say(b"".join(b"%x\r\n%b\r\n" % (len(event), event) for event in events[1:]) + b"0\r\n\r\n")

    server.script = script
    pieces = chunks_of(await ask.open())
    async with asyncio.timeout(10):
        assert await anext(pieces) == events[0]
        more.set()
        rest = [piece async for piece in pieces]
    assert rest == [b"".join(events[1:])]
