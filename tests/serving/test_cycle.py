"""How an answer leaves: head and body together, framed as HTTP/1.1 wants it, no header breaking out of its line."""

import asyncio
import logging
from typing import Any

import pytest
from uvicorn.protocols.http.flow_control import FlowControl

from routing.cycle import ONE_WRITE_BYTES, Cycle

pytestmark = pytest.mark.anyio
Headers = list[tuple[bytes, bytes]]


class Transport:
    """An outlet that writes down what it is given, one item for each call of the kernel."""

    held = None

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.closed = False

    def write(self, data: bytes) -> None:
        self.writes.append(bytes(data))

    write_at_once = write

    def writelines(self, pieces: Any) -> None:
        self.writes.append(b"".join(pieces))

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed


def cycle(transport: Transport, *, method: str = "POST", keep_alive: bool = True) -> Cycle:
    flow = FlowControl(transport)  # type: ignore[arg-type]
    log = logging.getLogger("uvicorn.error")
    return Cycle(
        scope={"type": "http", "method": method},  # type: ignore[typeddict-item]
        transport=transport,  # type: ignore[arg-type]
        flow=flow,
        logger=log,
        access_logger=log,
        access_log=False,
        default_headers=[(b"date", b"today")],
        message_event=asyncio.Event(),
        expect_100_continue=False,
        keep_alive=keep_alive,
        on_response=lambda: None,
    )


async def start(made: Cycle, status: int = 200, headers: Headers | None = None) -> None:
    await made.send({"type": "http.response.start", "status": status, "headers": headers or []})


async def body(made: Cycle, data: bytes, *, more: bool = False) -> None:
    await made.send({"type": "http.response.body", "body": data, "more_body": more})


@pytest.mark.parametrize("size", [0, 5, ONE_WRITE_BYTES + 1])
async def test_head_and_body_of_a_declared_length_are_one_write(size: int) -> None:
    transport = Transport()
    made = cycle(transport)
    await start(made, headers=[(b"Content-Length", b"%d" % size), (b"x-a", b"1")])
    await asyncio.sleep(0)
    await body(made, b"z" * size)
    head = b"HTTP/1.1 200 OK\r\ndate: today\r\ncontent-length: %d\r\nx-a: 1\r\n\r\n" % size
    assert transport.writes == [head + b"z" * size]
    assert made.response_complete
    assert not transport.closed


async def test_a_streams_head_does_not_wait_for_its_first_piece() -> None:
    transport = Transport()
    made = cycle(transport)
    await start(made)
    assert transport.writes == []
    await asyncio.sleep(0)
    assert transport.writes == [b"HTTP/1.1 200 OK\r\ndate: today\r\ntransfer-encoding: chunked\r\n\r\n"]
    assert made.push(b"piece")
    await body(made, b"", more=True)
    await body(made, b"", more=False)
    assert transport.writes[1:] == [b"5\r\npiece\r\n", b"0\r\n\r\n"]


async def test_a_pushed_piece_takes_the_head_along() -> None:
    transport = Transport()
    made = cycle(transport)
    assert not made.push(b"early"), "there is no head yet"
    await start(made)
    assert made.push(b"one")
    await asyncio.sleep(0)
    assert len(transport.writes) == 1
    assert transport.writes[0].endswith(b"chunked\r\n\r\n3\r\none\r\n")


async def test_nothing_is_pushed_while_the_client_does_not_read_nor_after_it_left_nor_after_the_end() -> None:
    transport = Transport()
    made = cycle(transport)
    await start(made)
    made.flow.pause_writing()
    assert not made.push(b"paused")
    made.flow.resume_writing()
    await body(made, b"end")
    assert not made.push(b"late")
    gone = cycle(transport)
    await start(gone)
    gone.disconnected = True
    assert not gone.push(b"nobody")
    await body(gone, b"nobody")


@pytest.mark.parametrize("status", [204, 304])
async def test_answers_that_have_no_body_have_no_framing(status: int) -> None:
    transport = Transport()
    made = cycle(transport)
    await start(made, status)
    await body(made, b"")
    assert b"chunked" not in transport.writes[0]
    assert transport.writes[0].endswith(b"\r\n\r\n")


async def test_the_answer_to_a_head_has_its_length_and_no_body() -> None:
    transport = Transport()
    made = cycle(transport, method="HEAD")
    await start(made, headers=[(b"content-length", b"5")])
    await body(made, b"hello")
    assert transport.writes[0].endswith(b"content-length: 5\r\n\r\n")
    assert made.response_complete


@pytest.mark.parametrize(("headers", "keep_alive"), [([(b"connection", b"Close")], True), ([], False)])
async def test_a_connection_that_ends_says_so_once_and_is_closed(headers: Headers, keep_alive: bool) -> None:
    transport = Transport()
    made = cycle(transport, keep_alive=keep_alive)
    await start(made, headers=[*headers, (b"content-length", b"0")])
    await body(made, b"")
    assert transport.writes[0].lower().count(b"connection: close") == 1
    assert transport.closed


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (b"x", b"a\r\nx-evil: 1"),
        (b"x", b"a\nb"),
        (b"x", b"a\x00b"),
        (b"x y", b"1"),
        (b"x:y", b"1"),
        (b"x\r\n", b"1"),
        (b"", b""),
    ],
)
async def test_a_header_that_breaks_out_of_its_line_is_an_error_before_anything_is_sent(
    name: bytes, value: bytes
) -> None:
    transport = Transport()
    made = cycle(transport)
    with pytest.raises(RuntimeError):
        await start(made, headers=[(b"content-length", b"7"), (name, value)])
    assert not made.response_started
    await made.send_500_response()
    assert transport.writes[0].startswith(b"HTTP/1.1 500")
    assert transport.writes[0].endswith(b"Internal Server Error")


async def test_a_body_of_another_length_than_declared_is_an_error() -> None:
    for sent in (b"four", b"sixsix"):
        made = cycle(Transport())
        await start(made, headers=[(b"content-length", b"5")])
        with pytest.raises(RuntimeError):
            await body(made, sent)


async def test_what_is_sent_out_of_turn_is_an_error() -> None:
    made = cycle(Transport())
    with pytest.raises(RuntimeError):
        await body(made, b"before")
    await start(made, headers=[(b"content-length", b"0")])
    with pytest.raises(RuntimeError):
        await start(made)
    await body(made, b"")
    with pytest.raises(RuntimeError):
        await body(made, b"again")
