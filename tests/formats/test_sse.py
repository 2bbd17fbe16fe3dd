"""Server-sent events are read the same however they are cut, and written so that they are read as they were."""

import json

import pytest
from anthropic._streaming import SSEDecoder
from hypothesis import given
from hypothesis import strategies as st

from routing.formats.base import Event
from routing.formats.faults import FormatError
from routing.formats.sse import PING, SseReader, encode_event
from tests.formats.cuts import cuts_of, everywhere, fed
from tests.formats.golden import NAMES, golden, upstream_stream

ONE = Event("message_stop", b'{"type":"message_stop"}')
CASES: dict[str, tuple[bytes, list[Event]]] = {
    "plain": (b'event: message_stop\ndata: {"type":"message_stop"}\n\n', [ONE]),
    "crlf": (b'event: message_stop\r\ndata: {"type":"message_stop"}\r\n\r\n', [ONE]),
    "cr": (b'event: message_stop\rdata: {"type":"message_stop"}\r\r', [ONE]),
    "mixed line ends": (b'event: message_stop\r\ndata: {"type":"message_stop"}\n\r\n', [ONE]),
    "no space after the colon": (b'event:message_stop\ndata:{"type":"message_stop"}\n\n', [ONE]),
    "no event name": (b'data: {"type":"message_stop"}\n\n', [ONE]),
    "data before the name": (b'data: {"type":"message_stop"}\nevent: message_stop\n\n', [ONE]),
    "data over lines": (b'event: a\ndata: {"type":\ndata: "a"}\n\n', [Event("a", b'{"type":\n"a"}')]),
    "comments": (b': hello\n\n: more\nevent: message_stop\ndata: {"type":"message_stop"}\n\n', [ONE]),
    "byte order mark": (b'\xef\xbb\xbfevent: message_stop\ndata: {"type":"message_stop"}\n\n', [ONE]),
    "other fields": (b'id: 7\nretry: 3\nevent: message_stop\ndata: {"type":"message_stop"}\n\n', [ONE]),
    "name without data": (b"event: message_stop\n\n", []),
    "many empty lines": (b'\n\n\ndata: {"type":"message_stop"}\n\n\n\n\ndata: {"type":"message_stop"}\n\n', [ONE, ONE]),
    "data that is no JSON": (b"data: [DONE]\n\n", [Event("", b"[DONE]")]),
    "not ended": (b'event: message_stop\ndata: {"type":"message_stop"}\n', []),
}


@pytest.mark.parametrize("name", CASES)
def test_an_event_is_read_whole_and_byte_by_byte(name: str) -> None:
    stream, expected = CASES[name]
    assert SseReader().feed(stream) == expected
    assert fed(SseReader().feed, stream, everywhere(stream)) == expected


@pytest.mark.parametrize("ending", [b"\n", b"\r\n", b"\r"])
@given(cuts=cuts_of(), data=st.data())
def test_any_cut_gives_the_same_events(ending: bytes, cuts: list[int], data: st.DataObject) -> None:
    events = golden(data.draw(st.sampled_from(NAMES))).events
    stream = upstream_stream("anthropic", events).replace(b"\n", ending)
    read = fed(SseReader().feed, stream, cuts)
    assert [event.type for event in read] == [event["type"] for event in events]
    assert [json.loads(event.data) for event in read] == events


@given(st.text(), st.binary())
def test_what_is_written_is_read_as_it_was(name: str, data: bytes) -> None:
    written = encode_event(Event(name, data.replace(b"\r", b"")))
    (read,) = SseReader().feed(written)
    assert read.data == data.replace(b"\r", b"")
    assert read.type in (name, "")


@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), st.integers()))
def test_the_sdk_reads_what_is_written(fields: dict[str, int]) -> None:
    data = json.dumps(fields, indent=1, ensure_ascii=False).encode()
    (read,) = SSEDecoder().iter_bytes(iter([encode_event(Event("aurora", data))]))
    assert (read.event, json.loads(read.data)) == ("aurora", fields)


def test_a_name_cannot_smuggle_another_event_in() -> None:
    written = encode_event(Event("ping\ndata: x\n\nevent: error", b"{}"))
    assert written == b"data: {}\n\n"


def test_an_event_over_the_limit_is_refused_before_it_ends() -> None:
    reader = SseReader(limit=100)
    for _ in range(6):
        assert reader.feed(b"data: 123456789") == []
    with pytest.raises(FormatError, match="larger than 100"):
        reader.feed(b"data: 123456789")


def test_an_event_over_the_limit_is_refused_in_one_piece_too() -> None:
    with pytest.raises(FormatError):
        SseReader(limit=100).feed(b"data: " + b"x" * 200 + b"\n\n")


def test_the_reader_knows_when_it_stands_between_two_events() -> None:
    reader = SseReader()
    seen = []
    for byte in b"data: 1\r\n\r\n":
        seen.append(reader.at_boundary)
        reader.feed(bytes((byte,)))
    assert seen == [True] + [False] * 10
    assert reader.at_boundary
    assert SseReader().feed(PING) == [Event("ping", b'{"type": "ping"}')]


def test_events_before_one_over_the_limit_are_handed_out() -> None:
    reader = SseReader(limit=100)
    assert reader.feed(b"data: {}\n\ndata: " + b"x" * 200 + b"\n\n") == [Event("", b"{}")]
    assert reader.error is not None
    with pytest.raises(FormatError):
        reader.feed(b"")
