"""When a connection is used again, when it is not, and what happens to a request whose connection breaks."""

import asyncio
import socket
import threading

import httpx
import pytest

from routing.proxy.transports.connection import Connection, Limits, Unanswered
from tests.transport.serving import Ask, Peer, Server, chunked, sized, whole

BROKEN = (httpx.RemoteProtocolError, httpx.ReadError)


async def serve_all(peer: Peer) -> None:
    while True:
        head, body = await peer.request()
        await peer.say(sized(body or head.split(b" ")[1]))


async def test_ten_thousand_requests_share_one_connection(name: str, ask: Ask, server: Server) -> None:
    server.script = serve_all
    for number in range(10_000 if name == "lean" else 1_000):
        body = b"%d" % number
        assert await ask(body) == body
    assert len(server.peers) == 1


async def test_chunked_answers_leave_the_connection_usable(ask: Ask, server: Server) -> None:
    async def script(peer: Peer) -> None:
        while True:
            await peer.answer(chunked(b"one", b"two", trailers=b"x-t: 1\r\n"))

    server.script = script
    for _ in range(3):
        assert await ask() == b"onetwo"
    assert len(server.peers) == 1


@pytest.mark.parametrize(
    "answer",
    [
        sized(b"last", b"connection: close"),
        sized(b"last").replace(b"HTTP/1.1", b"HTTP/1.0"),
        sized(b"last") + b"and more",
        sized(b"last") + sized(b"nobody asked for this"),
        sized(b"last") + b"HTTP/1.1 20",
        chunked(b"last") + b"and more",
        chunked(b"last") + sized(b"nobody asked for this"),
        chunked(b"last") + b"HTTP/1.1 20",
        chunked(b"last") + b"\x00" * 500,
    ],
)
async def test_a_connection_that_carries_more_than_its_answer_is_not_used_again(answer: bytes, server: Server) -> None:
    """Of these aiohttp (3.14) fails answers that are good, and goes on to use a connection that holds half of another."""

    async def script(peer: Peer) -> None:
        await peer.answer(answer)
        await peer.left()

    server.script = script
    async with Ask("lean", server) as ask:
        for count in (1, 2):
            assert await ask() == b"last"
            await server.connections(count)
    await asyncio.wait_for(server.peers[0].gone.wait(), 10)


@pytest.mark.parametrize("end", ["close", "reset", "garbage", "an answer"])
async def test_a_connection_that_ended_while_idle_is_never_used(end: str, name: str, ask: Ask, server: Server) -> None:
    if name == "aiohttp" and end in ("garbage", "an answer"):
        pytest.skip("aiohttp fails the answer before, if both arrive together")
    seen: list[bytes] = []

    async def script(peer: Peer) -> None:
        seen.append((await peer.request())[1])
        await peer.say(sized(b"good"))
        if len(seen) > 1:
            return
        match end:
            case "reset":
                peer.reset()
            case "garbage":
                await peer.say(b"\x15\x03\x01")
                await peer.left()
            case "an answer":
                await peer.say(sized(b"poisoned"))
                await peer.left()

    server.script = script
    assert await ask(b"1") == b"good"
    if end in ("garbage", "an answer"):
        await asyncio.wait_for(server.peers[0].gone.wait(), 10)
    else:
        await asyncio.sleep(0.05)  # for the end to travel: nothing tells this side of it
    assert await ask(b"2") == b"good"
    assert seen == [b"1", b"2"]


async def test_an_end_that_the_event_loop_has_not_seen_yet_is_seen_all_the_same(server: Server) -> None:
    """The event loop was busy while the upstream closed; the socket knows."""
    listener = socket.create_server(("127.0.0.1", 0))
    closed = threading.Event()

    def serve() -> None:
        for _ in range(2):
            peer, _ = listener.accept()
            peer.recv(65536)
            peer.sendall(sized(b"good"))
            asking.wait(10)
            peer.close()
            closed.set()

    asking = threading.Event()
    thread = threading.Thread(target=serve)
    thread.start()
    try:
        async with Ask("lean", server, base_url=f"http://127.0.0.1:{listener.getsockname()[1]}") as ask:
            assert await ask(repeatable=False) == b"good"
            asking.set()
            assert closed.wait(10)  # blocks the event loop, on purpose
            assert await ask(repeatable=False) == b"good"
    finally:
        thread.join(10)
        listener.close()


def breaking(seen: list[bytes], before: bytes = b"") -> "object":
    """Answers the first request of the first connection, breaks at its second after saying `before`; then answers all."""

    async def script(peer: Peer) -> None:
        first = not seen
        while True:
            seen.append((await peer.request())[1])
            if first and len(seen) == 2:
                await peer.say(before)
                return
            await peer.say(sized(b"good"))

    return script


@pytest.mark.parametrize(
    ("method", "options"),
    [("GET", {}), ("DELETE", {}), ("POST", {"repeatable": True})],
    ids=["GET", "DELETE", "marked POST"],
)
async def test_a_warm_connection_that_breaks_unanswered_costs_a_second_try(
    method: str, options: dict[str, bool], name: str, server: Server
) -> None:
    if name == "aiohttp" and method == "POST":
        pytest.skip("aiohttp never repeats a POST")
    seen: list[bytes] = []
    server.script = breaking(seen)  # type: ignore[assignment]
    async with Ask(name, server) as ask:
        assert await ask(b"1") == b"good"
        assert await ask(b"2", method=method, **options) == b"good"
    assert len(seen) == 3


async def test_the_second_try_is_the_last(server: Server) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        if len(server.peers) == 1:
            await peer.say(sized(b"good"))
            await peer.request()

    server.script = script
    async with Ask("lean", server) as ask:
        assert await ask() == b"good"
        with pytest.raises(BROKEN):
            await ask(repeatable=True)
    assert len(server.peers) == 2


@pytest.mark.parametrize("options", [{}, {"repeatable": False}])
async def test_a_post_is_not_repeated_unless_it_is_marked(options: dict[str, bool], ask: Ask, server: Server) -> None:
    seen: list[bytes] = []
    server.script = breaking(seen)  # type: ignore[assignment]
    assert await ask(b"1") == b"good"
    with pytest.raises(BROKEN):
        await ask(b"2", **options)
    assert seen == [b"1", b"2"]


async def test_nothing_is_repeated_once_a_byte_of_an_answer_came(ask: Ask, server: Server) -> None:
    seen: list[bytes] = []
    server.script = breaking(seen, before=b"H")  # type: ignore[assignment]
    assert await ask(b"1") == b"good"
    with pytest.raises(BROKEN):
        await ask(b"2", repeatable=True)
    assert seen == [b"1", b"2"]


async def test_nothing_is_repeated_on_a_connection_that_was_new(ask: Ask, server: Server) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()

    server.script = script
    with pytest.raises(BROKEN):
        await ask(repeatable=True)
    assert len(server.peers) == 1


async def test_an_upstream_that_speaks_first_is_not_an_upstream(server: Server) -> None:
    async def script(peer: Peer) -> None:
        await peer.say(b"SSH-2.0-OpenSSH_9.2\r\n")
        await peer.left()

    server.script = script
    async with Ask("lean", server) as ask:
        for _ in range(20):
            with pytest.raises(BROKEN):
                await ask()


async def test_a_connection_that_is_closed_before_it_was_asked_says_so() -> None:
    connection = Connection((b"http", b"upstream", 80), lambda connection, usable: None)
    near, far = socket.socketpair()
    with near, far:
        transport, _ = await asyncio.get_running_loop().create_connection(lambda: connection, sock=near)
        connection.data_received(b"SSH-2.0-OpenSSH_9.2\r\n")
        with pytest.raises(Unanswered, match="before it was asked"):
            await connection.ask(b"head", b"", Limits(), bodiless=False)
        assert transport.is_closing()


async def test_the_answer_to_a_head_has_no_body(ask: Ask, server: Server) -> None:
    server.script = lambda peer: peer.answer(b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n")
    answer = await ask.open(method="HEAD")
    assert (answer.headers["content-length"], await whole(answer)) == ("500", b"")


@pytest.mark.parametrize("size", [0, 10, 40_000, 200_000, 3_000_000])
async def test_a_body_of_any_size_arrives(size: int, ask: Ask, server: Server) -> None:
    server.script = serve_all
    body = bytes(range(256)) * (size // 256 + 1)
    assert await ask(body[:size]) == (body[:size] or b"/v1/messages")


async def test_a_refusal_that_comes_before_the_request_is_complete_is_an_answer(ask: Ask, server: Server) -> None:
    async def script(peer: Peer) -> None:
        await peer.reader.readuntil(b"\r\n\r\n")
        await peer.say(sized(b"too large", status=b"413 Content Too Large"))
        await peer.left()

    server.script = script
    answer = await ask.open(b"x" * 30_000_000)
    assert (answer.status_code, await whole(answer)) == (413, b"too large")
    await asyncio.wait_for(server.peers[0].gone.wait(), 10)


async def test_a_stream_that_begins_before_the_request_is_complete_does_not_end_it(ask: Ask, server: Server) -> None:
    async def script(peer: Peer) -> None:
        await peer.reader.readuntil(b"\r\n\r\n")
        await peer.say(chunked(b"early")[:-5])
        body = await peer.reader.readexactly(8_000_000)
        await peer.say(b"7\r\n%d\r\n0\r\n\r\n" % len(body))

    server.script = script
    assert await ask(b"x" * 8_000_000) == b"early8000000"


async def test_a_reader_that_stops_stops_the_upstream(ask: Ask, server: Server) -> None:
    taken = 0
    full = asyncio.Event()
    block = b"x" * 65_536

    async def script(peer: Peer) -> None:
        nonlocal taken
        await peer.request()
        await peer.say(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % (len(block) * 1600))
        for _ in range(1600):
            peer.writer.write(block)
            try:
                async with asyncio.timeout(0.5):
                    await peer.writer.drain()
            except TimeoutError:
                full.set()
                await peer.writer.drain()
            taken += len(block)

    server.script = script
    answer = await ask.open()
    await asyncio.wait_for(full.wait(), 20)
    assert taken < 30_000_000  # what the sockets' own buffers hold; the rest waits at the upstream
    assert len(await whole(answer)) == len(block) * 1600


async def test_what_waits_to_be_read_is_bounded(server: Server) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.say(b"HTTP/1.1 200 OK\r\ncontent-length: 20000000\r\n\r\n" + b"x" * 20_000_000)

    server.script = script
    async with Ask("lean", server) as ask:
        largest = 0
        async for chunk in (await ask.open()).aiter_raw():
            largest = max(largest, len(chunk))
            await asyncio.sleep(0.001)
    assert largest <= 64 * 1024 + 256 * 1024


async def test_a_header_cannot_break_out_of_its_line(server: Server) -> None:
    async with Ask("lean", server) as ask:
        for value in (b"a\r\nx-evil: 1", b"a\nb", b"a\rb", b"a\0b"):
            request = httpx.Request("POST", ask.url, headers=[(b"x-a", value)], content=b"{}")
            with pytest.raises(httpx.LocalProtocolError):
                await ask.transport.handle_async_request(request)
    assert not server.peers
