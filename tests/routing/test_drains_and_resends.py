"""Streams that are read on without their client are bounded in number and time; what is sent once more is recognised."""

import asyncio

import pytest

from accounting.money.entry import Entry
from routing.formats.base import ANTHROPIC, MESSAGES
from routing.proxy.drains import Drains
from routing.proxy.exchange import Call, Cause, Exchange, Reply
from routing.proxy.resends import MOST, WITHIN, Resends


async def nothing(message: dict[str, object]) -> None:
    pass


async def no_body() -> bytes:
    return b""


def exchange(room: Drains, *, stream: bool = True) -> Exchange:
    call = Call(ANTHROPIC, MESSAGES, "POST", b"/v1/messages", "", b"", [], "", no_body)
    made = Exchange(call, Reply(nothing), Entry("req_1", 0.0, stream=stream), lambda entry: None, drain_room=room)
    made.drains = True
    made.task = asyncio.get_running_loop().create_task(asyncio.Event().wait())
    return made


async def test_beyond_its_number_a_stream_is_cancelled_when_its_client_leaves() -> None:
    room = Drains(most=2)
    first, second, third = (exchange(room) for _ in range(3))
    for each in (first, second, third):
        each.leave()
    assert [each.cause for each in (first, second, third)] == [None, None, Cause.CLIENT_LEFT]
    assert room.count == 2
    first.cancel(Cause.SHUT_DOWN)
    await asyncio.wait([each.task for each in (first, third) if each.task])
    await asyncio.sleep(0)
    assert room.count == 1
    fourth = exchange(room)
    fourth.leave()
    assert fourth.cause is None
    for each in (second, fourth):
        each.cancel(Cause.SHUT_DOWN)


async def test_answers_that_are_no_streams_always_drain() -> None:
    room = Drains(most=0)
    whole = exchange(room, stream=False)
    whole.leave()
    assert whole.cause is None
    whole.cancel(Cause.SHUT_DOWN)


async def test_a_stream_is_read_on_for_a_bounded_time() -> None:
    endless = exchange(Drains(longest=0.01))
    endless.leave()
    assert endless.task is not None
    await asyncio.wait([endless.task], timeout=5)
    assert endless.cause is Cause.CLIENT_LEFT


def asked(number: int = 1, **fields: str) -> Entry:
    return Entry(f"req_{number}", 0.0, **{"session_id": "s", "key_prefix": "gw_1", "alias": "sonnet", **fields})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("fields", "size", "after", "found"),
    [
        ({}, 1000, 1.0, "req_1"),
        ({}, 986, 1.0, "req_1"),
        ({}, 1000, WITHIN + 1, ""),
        ({}, 2000, 1.0, ""),
        ({"session_id": "t"}, 1000, 1.0, ""),
        ({"session_id": ""}, 1000, 1.0, ""),
        ({"key_prefix": "gw_2"}, 1000, 1.0, ""),
        ({"agent_id": "a"}, 1000, 1.0, ""),
        ({"alias": "opus"}, 1000, 1.0, ""),
    ],
)
def test_what_counts_as_the_same_request(fields: dict[str, str], size: int, after: float, found: str) -> None:
    resends = Resends()
    resends.failed(asked(1), 1000, 100.0)
    assert resends.match(asked(2, **fields), size, 100.0 + after) == found


def test_a_failure_is_matched_once_and_few_are_remembered() -> None:
    resends = Resends()
    resends.failed(asked(1), 1000, 0.0)
    assert resends.match(asked(2), 1000, 1.0) == "req_1"
    assert resends.match(asked(3), 1000, 1.0) == ""
    for number in range(MOST + 10):
        resends.failed(asked(number, session_id=f"s{number}"), 1, 0.0)
    assert resends.match(asked(0, session_id="s0"), 1, 1.0) == ""
    assert resends.match(asked(0, session_id=f"s{MOST}"), 1, 1.0) == f"req_{MOST}"
