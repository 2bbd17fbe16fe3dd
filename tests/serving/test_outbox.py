"""What one turn of the event loop sends goes out together, in order, and is never lost to an end that comes after it."""

import asyncio
import gc
import weakref
from typing import Any, cast

import pytest

from routing.outbox import ALONE, HELD_BYTES, MOST_HELD, TOGETHER, Outbox, Outlet, outbox_of

pytestmark = pytest.mark.anyio


class Wire:
    """A transport that writes into a list that several share: (its name, what it was given)."""

    def __init__(self, name: str, sent: list[tuple[str, bytes]]) -> None:
        self.name, self.sent = name, sent
        self.ended = ""
        self.breaks = False

    def write(self, data: bytes) -> None:
        if self.breaks:
            raise RuntimeError("the handler is closed")
        self.sent.append((self.name, bytes(data)))

    def writelines(self, pieces: list[bytes]) -> None:
        self.write(b"".join(pieces))

    def write_eof(self) -> None:
        self.sent.append((self.name, b"(end)"))

    def is_closing(self) -> bool:
        return bool(self.ended)

    def close(self) -> None:
        self.ended = "close"

    def abort(self) -> None:
        self.ended = "abort"

    def get_extra_info(self, name: str) -> str:
        return name

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


class Scene:
    """Some connections of one event loop. `sent` is what their sockets were given, in order."""

    def __init__(self, count: int = TOGETHER + 1) -> None:
        self.sent: list[tuple[str, bytes]] = []
        self.wires = [Wire(str(number), self.sent) for number in range(count)]
        self.outbox = Outbox()
        self.outlets = [Outlet(cast(asyncio.Transport, wire), self.outbox) for wire in self.wires]


async def test_what_several_connections_send_in_one_turn_goes_out_at_its_end() -> None:
    scene = Scene()
    for outlet in scene.outlets:
        outlet.write(b"a")
    scene.outlets[0].write(b"b")
    assert scene.sent == []
    await asyncio.sleep(0)
    assert scene.sent == [("0", b"ab"), ("1", b"a"), ("2", b"a"), ("3", b"a")]


async def test_lone_pieces_are_not_held_and_company_is_noticed_again() -> None:
    scene = Scene()
    scene.outlets[0].write(b"first")
    await asyncio.sleep(0)
    scene.sent.clear()
    for number in range(ALONE):
        scene.outlets[0].write(b"%d" % number)
        assert scene.sent[-1] == ("0", b"%d" % number), "at once"
    scene.sent.clear()
    for outlet in scene.outlets:
        outlet.write(b"a")
    assert scene.sent == []
    await asyncio.sleep(0)
    assert len(scene.sent) == len(scene.outlets)


async def test_a_long_turn_does_not_hold_the_first_ones_for_all_of_it() -> None:
    scene = Scene(MOST_HELD + 1)
    for outlet in scene.outlets:
        outlet.write(b"a")
    assert len(scene.sent) == MOST_HELD
    await asyncio.sleep(0)
    assert len(scene.sent) == MOST_HELD + 1


@pytest.mark.parametrize("count", [TOGETHER, MOST_HELD, MOST_HELD + 1, 2 * MOST_HELD + 1])
async def test_a_turn_of_any_number_of_connections_is_held_again_and_again(count: int) -> None:
    """What is left over after sixteen is no lonely turn."""
    scene = Scene(count)
    for _ in range(20):
        for outlet in scene.outlets:
            outlet.write(b"a")
            assert outlet.held is not None or len(scene.sent) >= MOST_HELD
        await asyncio.sleep(0)
        assert len(scene.sent) == count
        scene.sent.clear()


async def test_many_small_pieces_of_one_connection_reach_its_transport() -> None:
    """It alone knows when the other side does not read."""
    scene = Scene()
    for _ in range(100):
        scene.outlets[0].write(b"x" * 4096)
        assert scene.outlets[0].get_write_buffer_size() <= HELD_BYTES
    scene.outlets[1].writelines([b"x" * HELD_BYTES, b"y"])
    assert sum(len(data) for _, data in scene.sent) > 3 * HELD_BYTES


async def test_much_is_not_held() -> None:
    scene = Scene()
    scene.outlets[0].write(b"x" * (HELD_BYTES + 1))
    assert len(scene.sent) == 1
    scene.outlets[1].write(b"head")
    scene.outlets[1].write(b"x" * (HELD_BYTES + 1))
    assert scene.sent[1] == ("1", b"head" + b"x" * (HELD_BYTES + 1)), "in order, all the same"


async def test_pieces_that_belong_together_are_one_write() -> None:
    scene = Scene()
    scene.outlets[0].writelines((b"head", b"body"))
    await asyncio.sleep(0)
    scene.outlets[0].writelines((b"head", b"body"))  # which goes out at once, by now
    assert scene.sent == [("0", b"headbody")] * 2


@pytest.mark.parametrize("end", ["close", "write_eof"])
async def test_what_was_written_before_an_end_is_sent(end: str) -> None:
    scene = Scene()
    scene.outlets[0].write(b"last words")
    getattr(scene.outlets[0], end)()
    assert scene.sent[0] == ("0", b"last words")
    scene.outlets[1].write(b"a")
    await asyncio.sleep(0)
    assert scene.sent.count(("0", b"last words")) == 1


async def test_what_was_not_sent_at_an_abort_never_is() -> None:
    scene = Scene()
    for outlet in scene.outlets:
        outlet.write(b"a")
    scene.outlets[0].abort()
    await asyncio.sleep(0)
    assert ("0", b"a") not in scene.sent
    assert len(scene.sent) == len(scene.outlets) - 1


async def test_a_connection_that_has_ended_keeps_nobody_waiting() -> None:
    scene = Scene()
    said: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: said.append(str(context["message"])))
    for outlet in scene.outlets:
        outlet.write(b"a")
    scene.wires[0].breaks = True
    scene.wires[1].close()  # by the other side
    await asyncio.sleep(0)
    assert scene.sent == [("2", b"a"), ("3", b"a")]
    assert len(said) == 1


async def test_what_is_held_counts_as_not_sent() -> None:
    scene = Scene()
    scene.outlets[0].write(b"abc")
    assert scene.outlets[0].get_write_buffer_size() == 3
    await asyncio.sleep(0)
    assert scene.outlets[0].get_write_buffer_size() == 0


async def test_an_event_loop_has_one_outbox_and_is_not_kept_by_it() -> None:
    loop = asyncio.get_running_loop()
    assert outbox_of(loop) is outbox_of(loop)
    other = asyncio.new_event_loop()
    outbox_of(other)
    other.close()
    kept = weakref.ref(other)
    del other
    gc.collect()
    assert kept() is None


async def test_a_client_that_ends_its_side_gets_the_answer_that_was_held_for_it() -> None:
    """A transport closes itself at the other side's end; what was written before is on its way by then."""
    from routing.connections import Guard, GuardedConnection
    from routing.serving import Limits

    scene = Scene()
    connection = GuardedConnection.__new__(GuardedConnection)
    connection._guard, connection._outbox = Guard(Limits()), scene.outbox
    for outlet in scene.outlets:
        outlet.write(b"answer")
    connection.eof_received()
    assert len(scene.sent) == len(scene.outlets)


async def test_a_websocket_whose_client_ends_its_side_gets_what_was_said_to_it() -> None:
    """The protocol that takes over does not send what is held when the end comes, and the transport closes itself."""
    import socket

    import uvicorn
    from uvicorn.server import ServerState

    from routing.connections import Guard, GuardedConnection
    from routing.serving import Limits

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": "last words"})
        await receive()

    config = uvicorn.Config(application, log_config=None, ws="websockets-sansio", lifespan="off")
    config.load()
    loop, state, guard = asyncio.get_running_loop(), ServerState(), Guard(Limits())
    made = await loop.create_server(
        lambda: GuardedConnection(guard, config=config, server_state=state, app_state={}), "127.0.0.1", 0
    )
    async with made:
        reader, writer = await asyncio.open_connection(*made.sockets[0].getsockname()[:2])
        writer.write(
            b"GET / HTTP/1.1\r\nhost: a\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
            b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n"
        )
        writer.get_extra_info("socket").shutdown(socket.SHUT_WR)
        said = await asyncio.wait_for(reader.read(), 10)
        writer.close()
    assert said.startswith(b"HTTP/1.1 101")
    assert b"last words" in said
