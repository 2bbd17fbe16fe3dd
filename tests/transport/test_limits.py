"""Time limits of each kind, cancellation at every stage, the limit of connections and who gets the next one."""

import asyncio
import socket
from typing import Any, cast

import httpx
import pytest

from routing.proxy.transports.connection import Connection, Limits
from routing.proxy.transports.pool import Pool
from tests.transport.serving import Ask, Names, Peer, Server, chunked, chunks_of, sized, whole

SHORT = 0.05


async def hang(peer: Peer) -> None:
    await peer.request()
    await peer.left()


class Deaf:
    """Listens, and never accepts: its queue is full, a new connection gets no answer."""

    def __enter__(self) -> int:
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=0)
        self.port = int(self.listener.getsockname()[1])
        self.held = []
        for _ in range(4):
            sock = socket.socket()
            sock.setblocking(False)
            sock.connect_ex(("127.0.0.1", self.port))
            self.held.append(sock)
        return self.port

    def __exit__(self, *_: object) -> None:
        for sock in (*self.held, self.listener):
            sock.close()


async def test_a_connection_that_is_not_accepted_in_time(name: str, server: Server) -> None:
    with Deaf() as port:
        async with Ask(name, server, base_url=f"http://127.0.0.1:{port}") as ask:
            with pytest.raises(httpx.ConnectTimeout):
                await ask(timeout={"connect": SHORT})


async def test_a_connection_that_is_refused(name: str, server: Server) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    async with Ask(name, server, base_url=f"http://127.0.0.1:{port}") as ask:
        with pytest.raises(httpx.ConnectError):
            await ask()


async def test_an_answer_that_does_not_begin_in_time(ask: Ask, server: Server) -> None:
    server.script = hang
    with pytest.raises(httpx.ReadTimeout):
        await ask(timeout={"read": SHORT})
    await asyncio.wait_for(server.peers[0].gone.wait(), 10)


async def test_an_answer_that_falls_silent(name: str, server: Server) -> None:
    async def script(peer: Peer) -> None:
        await peer.answer(chunked(b"one")[:-5])
        await peer.left()

    server.script = script
    async with Ask(name, server) as ask:
        pieces = chunks_of(await ask.open(timeout={"read": SHORT}))
        assert await anext(pieces) == b"one"
        with pytest.raises(httpx.ReadTimeout):
            await anext(pieces)
    await asyncio.wait_for(server.peers[0].gone.wait(), 10)


async def test_a_request_that_is_not_taken_in_time(server: Server) -> None:
    async def script(peer: Peer) -> None:
        await asyncio.Event().wait()

    server.script = script
    async with Ask("lean", server) as ask:
        with pytest.raises(httpx.WriteTimeout):
            await ask(b"x" * 30_000_000, timeout={"write": SHORT})


async def test_no_connection_becomes_free_in_time(name: str, server: Server) -> None:
    server.script = hang
    async with Ask(name, server, max_connections=1) as ask, asyncio.TaskGroup() as group:
        first = group.create_task(ask.open())
        await server.connections(1)
        with pytest.raises((httpx.PoolTimeout, httpx.ConnectTimeout)):
            await ask(timeout={"pool": SHORT})
        first.cancel()
        await asyncio.wait([first])


async def cancelled(work: Any, when: asyncio.Event) -> None:
    task = asyncio.ensure_future(work)
    await asyncio.wait_for(when.wait(), 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("stage", ["before the answer", "in the head", "in the body", "while sending"])
async def test_cancelling_closes_the_connection_at_once(stage: str, name: str, server: Server) -> None:
    here = asyncio.Event()

    async def script(peer: Peer) -> None:
        if len(server.peers) > 1:
            await peer.answer(sized(b"good"))
            return
        if stage == "while sending":
            await peer.reader.readuntil(b"\r\n\r\n")
            here.set()
            await peer.left()
            return
        await peer.request()
        if stage == "in the head":
            await peer.say(b"HTTP/1.1 200")
        elif stage == "in the body":
            await peer.say(chunked(b"one")[:-5])
        here.set()
        await peer.left()

    server.script = script
    async with Ask(name, server, max_connections=1) as ask:
        await cancelled(ask(b"x" * (10_000_000 if stage == "while sending" else 2)), here)
        for answer in ask.answers:
            await answer.aclose()
        await asyncio.wait_for(server.peers[0].gone.wait(), 10)
        assert await ask() == b"good"  # and its place is free


async def test_cancelling_while_connecting_frees_the_place(name: str, server: Server) -> None:
    with Deaf() as port:
        async with Ask(name, server, base_url=f"http://127.0.0.1:{port}", max_connections=1) as ask:
            task = asyncio.ensure_future(ask())
            await asyncio.sleep(SHORT)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            with pytest.raises(httpx.ConnectTimeout):  # of its own, not for a place in the pool
                await ask(timeout={"connect": SHORT, "pool": 5.0})


async def test_closing_an_answer_that_was_not_read_closes_its_connection(ask: Ask, server: Server) -> None:
    async def script(peer: Peer) -> None:
        await peer.answer(chunked(b"one")[:-5])
        await peer.left()

    server.script = script
    answer = await ask.open()
    await answer.aclose()
    await asyncio.wait_for(server.peers[0].gone.wait(), 10)


async def test_closing_an_answer_that_has_come_whole_keeps_its_connection(ask: Ask, server: Server) -> None:
    async def script(peer: Peer) -> None:
        while True:
            await peer.answer(sized(b"all of it"))

    server.script = script
    for _ in range(3):
        answer = await ask.open()
        assert await whole(answer) == b"all of it"
        await answer.aclose()
    assert len(server.peers) == 1


async def test_closing_the_transport_closes_its_connections(ask: Ask, server: Server) -> None:
    async def script(peer: Peer) -> None:
        await peer.answer(sized(b"good"))
        await peer.left()

    server.script = script
    await ask()
    await ask.transport.aclose()
    await asyncio.wait_for(server.peers[0].gone.wait(), 10)


async def test_connections_are_limited_and_handed_out_in_the_order_of_asking(name: str, server: Server) -> None:
    turn = asyncio.Semaphore(0)
    seen: list[bytes] = []

    async def script(peer: Peer) -> None:
        while True:
            seen.append((await peer.request())[1])
            await turn.acquire()
            await peer.say(sized(b"good"))

    server.script = script
    async with Ask(name, server, max_connections=3) as ask:
        tasks = []
        for number in range(30):
            tasks.append(asyncio.ensure_future(ask(b"%02d" % number)))
            await asyncio.sleep(0)
        for _ in tasks:
            turn.release()
        assert await asyncio.wait_for(asyncio.gather(*tasks), 20) == [b"good"] * 30
    assert len(server.peers) == 3
    waited = [int(body) for body in seen if int(body) >= 3]  # the first three dial, which takes as long as it takes
    for place, number in enumerate(waited, start=3):
        assert abs(place - number) < 3


@pytest.mark.parametrize("most", [4, 16])
async def test_many_clients_on_few_connections_get_each_their_own_answers(most: int, name: str, server: Server) -> None:
    async def script(peer: Peer) -> None:
        while True:
            _, body = await peer.request()
            await peer.say(sized(body))

    async def client(ask: Ask, number: int) -> None:
        for count in range(60):
            body = b"%d/%d" % (number, count)
            assert await ask(body) == body

    server.script = script
    async with Ask(name, server, max_connections=most) as ask, asyncio.timeout(60), asyncio.TaskGroup() as group:
        for number in range(16):
            group.create_task(client(ask, number))
    assert len(server.peers) <= most


class Wire:
    """A transport whose bytes go nowhere."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self.aborted = False

    def get_extra_info(self, name: str) -> socket.socket | None:
        return self._socket if name == "socket" else None

    def write(self, data: bytes) -> None: ...

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def is_closing(self) -> bool:
        return self.aborted

    def get_write_buffer_size(self) -> int:
        return 0

    def abort(self) -> None:
        self.aborted = True


@pytest.mark.parametrize("leaves", [True, False])
async def test_an_answer_that_is_complete_gives_its_connection_to_the_next_request_at_once(leaves: bool) -> None:
    """Whatever the first one does when it wakes up, the connection is the second one's by then."""
    near, far = socket.socketpair()
    wire = Wire(near)
    connection = Connection((b"http", b"upstream", 80), lambda connection, usable: None)
    connection.connection_made(cast(asyncio.Transport, wire))
    with near, far:
        first = asyncio.ensure_future(connection.ask(b"1", b"", Limits(), bodiless=False))
        await asyncio.sleep(0)
        second = asyncio.ensure_future(
            connection.ask(b"2", b"", Limits(), bodiless=False)
        )  # runs before the first wakes
        connection.data_received(sized(b"one"))
        if leaves:
            first.cancel()
        await asyncio.wait([first])
        await asyncio.sleep(0)
        assert not wire.aborted
        connection.data_received(sized(b"two"))
        _, body = await asyncio.wait_for(second, 10)
        assert [part async for part in body] == [b"two"]


async def test_a_request_of_another_origin_gets_the_place_of_an_idle_connection(name: str, server: Server) -> None:
    async def script(peer: Peer) -> None:
        await peer.answer(sized(b"good"))
        await peer.left()

    server.script = script
    async with Server() as other:
        other.script = script
        async with Ask(name, server, max_connections=1) as ask:
            assert await ask() == b"good"
            ask.url = other.url
            assert await ask() == b"good"


async def test_those_who_wait_are_not_overtaken_and_those_who_leave_lose_nothing(server: Server) -> None:
    gate = asyncio.Event()
    seen = []

    async def script(peer: Peer) -> None:
        while True:
            seen.append((await peer.request())[1])
            await gate.wait()
            await peer.say(sized(b"good"))

    server.script = script
    async with Ask("lean", server, max_connections=1) as ask:
        tasks = {}
        for letter in b"abcd":
            tasks[letter] = asyncio.ensure_future(ask(bytes([letter])))
            await asyncio.sleep(0)
        await server.connections(1)
        tasks[ord("b")].cancel()
        await asyncio.wait([tasks[ord("b")]])
        gate.set()
        await asyncio.wait_for(asyncio.gather(*(tasks[letter] for letter in b"acd")), 10)
    assert seen == [b"a", b"c", b"d"]


async def test_an_idle_connection_is_kept_for_minutes_and_not_for_ever(server: Server) -> None:
    async def script(peer: Peer) -> None:
        await peer.answer(sized(b"good"))
        await peer.left()

    server.script = script
    async with Ask("lean", server) as ask:
        pool: Pool = ask.transport._pool  # type: ignore[attr-defined]
        assert pool._keep > 90
        pool._keep = SHORT
        await ask()
        assert pool.open == 1
        await asyncio.wait_for(server.peers[0].gone.wait(), 10)
        assert pool.open == 0


async def test_an_upstream_that_says_how_long_it_keeps_a_connection_is_believed(server: Server) -> None:
    async def script(peer: Peer) -> None:
        while True:
            await peer.answer(sized(b"good", b"keep-alive: timeout=1"))

    server.script = script
    async with Ask("lean", server) as ask:
        await ask()
        await ask()
        assert len(server.peers) == 2


async def test_names_are_asked_for_once_in_a_while_and_their_addresses_tried_in_turns(server: Server) -> None:
    server.script = lambda peer: peer.answer(sized(b"good", b"connection: close"))
    names = Names("127.0.0.2", "127.0.0.1")  # nobody listens on the first
    async with Ask("lean", server, names=names, base_url=f"http://upstream.example:{server.port}") as ask:
        assert [await ask() for _ in range(4)] == [b"good"] * 4
        assert names.asked == ["upstream.example"]


async def test_an_address_that_does_not_answer_is_not_waited_for(server: Server) -> None:
    server.script = lambda peer: peer.answer(sized(b"good"))
    names = Names("192.0.2.1", "127.0.0.1")  # the first leads nowhere (RFC 5737)
    async with Ask("lean", server, names=names, base_url=f"http://upstream.example:{server.port}") as ask:
        assert await ask(timeout={"connect": 5.0}) == b"good"
