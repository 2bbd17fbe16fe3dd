"""Streams on all nine pairs: what the client's own library reads is what that upstream said."""

import json
from typing import Any

import pytest
from botocore.eventstream import EventStreamBuffer
from hypothesis import given
from hypothesis import strategies as st

from routing.formats.base import ANTHROPIC, BEDROCK, VERTEX, Event
from routing.formats.eventstream import encode_chunk, encode_exception
from routing.formats.sse import encode_event
from routing.formats.stream import BROKEN, TRUNCATED, StreamTranslator, ping, stream_headers, stream_translator
from tests.formats.cuts import cuts_of, everywhere, fed, pieces
from tests.formats.golden import FORMATS, METRICS, NAMES, PAIRS, compact, decoded, golden, upstream_stream

SECRET_ARN = "arn:aws:bedrock:us-east-1:123456789012:inference-profile/x"


class Clock:
    """Moves on by 0.25 s whenever it is read."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        self.now += 0.25
        return self.now


def translator(upstream: str, client: str, seen: list[Event] | None = None) -> StreamTranslator:
    return stream_translator(upstream, client, on_event=seen.append if seen is not None else None, clock=Clock())


def carried(upstream: str, client: str, stream: bytes, cuts: list[int] | None = None) -> bytes:
    work = translator(upstream, client)
    out = fed(work.feed, stream, cuts or [])
    return b"".join([*out, *work.finish()])


def shown(client: str, stream: bytes) -> list[dict[str, Any]]:
    """The events, Amazon's numbers put aside."""
    return [{name: value for name, value in event.items() if name != METRICS} for event in decoded(client, stream)]


@pytest.mark.parametrize(("client", "upstream"), PAIRS)
@pytest.mark.parametrize("name", NAMES)
def test_the_golden_streams_arrive_on_every_pair(name: str, client: str, upstream: str) -> None:
    events = golden(name).events
    stream = upstream_stream(upstream, events)
    whole = carried(upstream, client, stream)
    assert shown(client, whole) == events
    assert carried(upstream, client, stream, everywhere(stream)) == whole


@pytest.mark.parametrize(("client", "upstream"), PAIRS)
@given(cuts=cuts_of(), data=st.data())
def test_any_cut_of_a_stream_gives_the_same(client: str, upstream: str, cuts: list[int], data: st.DataObject) -> None:
    stream = upstream_stream(upstream, golden(data.draw(st.sampled_from(NAMES))).events)
    assert carried(upstream, client, stream, cuts) == carried(upstream, client, stream)


@pytest.mark.parametrize(("client", "upstream"), PAIRS)
def test_between_equal_framings_the_bytes_stay_as_they_came(client: str, upstream: str) -> None:
    if (client == BEDROCK) != (upstream == BEDROCK):
        return
    stream = upstream_stream(upstream, golden("text").events)
    if upstream != BEDROCK:
        stream = b": welcome\n\n" + stream.replace(b"\n", b"\r\n") + b"event: later\nid: 3\ndata: {}\n\n"
    assert carried(upstream, client, stream) == stream
    assert carried(upstream, client, stream, everywhere(stream)) == stream


@pytest.mark.parametrize(("client", "upstream"), PAIRS)
@given(cuts=cuts_of())
def test_a_ping_fits_wherever_a_stream_pauses(client: str, upstream: str, cuts: list[int]) -> None:
    events = golden("parallel-tools").events
    stream = upstream_stream(upstream, events)
    work = translator(upstream, client)
    out = b"".join(b"".join(work.feed(piece)) + work.ping() for piece in pieces(stream, cuts))
    assert [event for event in shown(client, out) if event["type"] != "ping"] == [
        event for event in events if event["type"] != "ping"
    ]


@pytest.mark.parametrize(("client", "upstream"), PAIRS)
def test_the_meter_sees_every_event_as_the_upstream_said_it(client: str, upstream: str) -> None:
    events = golden("cache-control").events
    seen: list[Event] = []
    work = translator(upstream, client, seen)
    stream = upstream_stream(upstream, events)
    assert fed(work.feed, stream, everywhere(stream))
    assert [event.type for event in seen] == [event["type"] for event in events]
    assert [json.loads(event.data)["type"] for event in seen] == [event["type"] for event in events]
    assert (work.finished, work.ended, work.failure) == (True, True, None)


def test_bedrocks_last_event_gets_amazons_numbers() -> None:
    stream = upstream_stream(ANTHROPIC, golden("cache-control").events)
    last = decoded(BEDROCK, carried(ANTHROPIC, BEDROCK, stream))[-1]
    assert last == {
        "type": "message_stop",
        METRICS: {
            "inputTokenCount": 3,
            "outputTokenCount": 4,
            "cacheReadInputTokenCount": 900,
            "cacheWriteInputTokenCount": 1500,
            "invocationLatency": 500,
            "firstByteLatency": 250,
        },
    }


@pytest.mark.parametrize("client", [ANTHROPIC, VERTEX])
def test_amazons_numbers_stay_behind(client: str) -> None:
    stream = upstream_stream(BEDROCK, golden("text").events)
    assert METRICS.encode() not in carried(BEDROCK, client, stream)


# Streams that break off


def _error_of(client: str, stream: bytes) -> tuple[str, str]:
    """Type and message of the error that ends a stream, in the client's shape."""
    if client != BEDROCK:
        event = decoded(client, stream)[-1]
        assert set(event) == {"type", "error"}
        assert event["type"] == "error"
        return event["error"]["type"], event["error"]["message"]
    buffer = EventStreamBuffer()
    buffer.add_data(stream)
    last = list(buffer)[-1]
    assert last.headers[":message-type"] == "exception"
    return last.headers[":exception-type"], json.loads(last.payload)["message"]


INTERNAL = {ANTHROPIC: "api_error", BEDROCK: "internalServerException", VERTEX: "api_error"}


@pytest.mark.parametrize(("client", "upstream"), PAIRS)
@given(part=st.floats(0, 0.999))
def test_a_stream_without_its_end_ends_with_an_error(client: str, upstream: str, part: float) -> None:
    events = golden("text").events[:-1]
    stream = upstream_stream(upstream, events)
    cut = stream[: int(len(stream) * part)]
    work = translator(upstream, client)
    out = b"".join([*work.feed(cut), *work.finish()])
    assert _error_of(client, out) == (INTERNAL[client], TRUNCATED)
    assert work.failure is not None
    assert not work.finished
    assert work.finish() == work.feed(stream) == work.fail("api_error", "x") == []


@pytest.mark.parametrize("client", FORMATS)
@pytest.mark.parametrize("damage", ["checksum", "length", "garbage"])
def test_a_broken_frame_ends_the_stream_with_an_error(client: str, damage: str) -> None:
    good = upstream_stream(BEDROCK, golden("text").events[:3])
    bad = {
        "checksum": good[:-1] + bytes((good[-1] ^ 1,)),
        "length": good + b"\xff" * 12,
        "garbage": good + b"<html>oops</html>",
    }
    work = translator(BEDROCK, client)
    parts = fed(work.feed, bad[damage], everywhere(bad[damage]))
    out = b"".join(parts)
    assert _error_of(client, out) == (INTERNAL[client], BROKEN)
    assert work.failure is not None
    assert "checksum" in work.failure.detail or "bytes" in work.failure.detail


@pytest.mark.parametrize("client", FORMATS)
def test_what_came_before_a_broken_frame_still_arrives(client: str) -> None:
    events = golden("text").events[:3]
    seen: list[Event] = []
    work = translator(BEDROCK, client, seen)
    out = b"".join(work.feed(upstream_stream(BEDROCK, events) + b"<html>oops</html>"))
    assert _error_of(client, out)[1] == BROKEN
    assert len(seen) == len(events)
    assert all(compact(event["type"]).strip(b'"') in out or client == BEDROCK for event in events)


def test_an_error_inside_a_chunk_ends_a_bedrock_stream() -> None:
    chunk = encode_chunk(b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}')
    assert carried(BEDROCK, BEDROCK, chunk) == chunk
    assert _error_of(ANTHROPIC, carried(BEDROCK, ANTHROPIC, chunk)) == ("overloaded_error", "Overloaded")


@pytest.mark.parametrize("client", FORMATS)
def test_interleaved_frames_end_the_stream_with_an_error(client: str) -> None:
    one, two = encode_chunk(b'{"type":"ping"}'), encode_chunk(b'{"type":"message_stop"}')
    out = carried(BEDROCK, client, one[:50] + two[:50] + one[50:] + two[50:])
    assert _error_of(client, out)[1] == BROKEN


EXCEPTIONS = {
    "throttlingException": "rate_limit_error",
    "validationException": "invalid_request_error",
    "internalServerException": "api_error",
    "modelStreamErrorException": "api_error",
    "modelTimeoutException": "timeout_error",
    "serviceUnavailableException": "overloaded_error",
    "brandNewException": "api_error",
}


@pytest.mark.parametrize("client", [ANTHROPIC, VERTEX])
@pytest.mark.parametrize("name", EXCEPTIONS)
def test_an_exception_frame_becomes_an_error_event(name: str, client: str) -> None:
    stream = upstream_stream(BEDROCK, golden("text").events[:4]) + encode_exception(name, f"No luck in {SECRET_ARN}")
    work = translator(BEDROCK, client)
    out = b"".join(work.feed(stream + encode_chunk(b'{"type":"message_stop"}')))
    error_type, message = _error_of(client, out)
    assert error_type == EXCEPTIONS[name]
    assert "123456789012" not in message
    assert work.failure is not None
    assert SECRET_ARN in work.failure.detail
    assert work.finish() == []


def test_an_exception_frame_reaches_a_bedrock_client_as_it_came() -> None:
    stream = upstream_stream(BEDROCK, golden("text").events[:4]) + encode_exception("throttlingException", "Wait.")
    assert carried(BEDROCK, BEDROCK, stream) == stream


def test_an_exception_frame_with_an_account_in_it_is_written_anew() -> None:
    out = carried(BEDROCK, BEDROCK, encode_exception("throttlingException", f"Wait for {SECRET_ARN}"))
    name, message = _error_of(BEDROCK, out)
    assert name == "throttlingException"
    assert "123456789012" not in message


ERROR_EVENTS = {
    "overloaded_error": "throttlingException",
    "rate_limit_error": "throttlingException",
    "api_error": "internalServerException",
    "timeout_error": "internalServerException",
    "invalid_request_error": "validationException",
    "permission_error": "validationException",
    "not_found_error": "validationException",
    "request_too_large": "validationException",
}


def _with_error(error_type: str, message: str) -> bytes:
    event = {"type": "error", "error": {"type": error_type, "message": message}}
    return upstream_stream(ANTHROPIC, golden("text").events[:4]) + encode_event(Event("error", compact(event)))


@pytest.mark.parametrize("upstream", [ANTHROPIC, VERTEX])
@pytest.mark.parametrize("error_type", ERROR_EVENTS)
def test_an_error_event_becomes_an_exception_frame(error_type: str, upstream: str) -> None:
    out = carried(upstream, BEDROCK, _with_error(error_type, "Sorry"))
    assert _error_of(BEDROCK, out) == (ERROR_EVENTS[error_type], "Sorry")


@pytest.mark.parametrize("upstream", [ANTHROPIC, VERTEX])
@pytest.mark.parametrize("client", [ANTHROPIC, VERTEX])
def test_an_error_event_passes_as_it_came(client: str, upstream: str) -> None:
    stream = _with_error("overloaded_error", "Overloaded")
    work = translator(upstream, client)
    assert b"".join([*work.feed(stream), *work.finish()]) == stream
    assert work.failure is not None
    assert work.failure.type == "overloaded_error"


def test_an_error_event_with_a_project_in_it_is_written_anew() -> None:
    out = carried(
        VERTEX, VERTEX, _with_error("rate_limit_error", "Quota of projects/secret-project-1/locations/eu is used up")
    )
    error_type, message = _error_of(VERTEX, out)
    assert error_type == "rate_limit_error"
    assert "secret-project-1" not in message


@pytest.mark.parametrize("client", FORMATS)
def test_an_error_of_googles_in_the_middle_of_a_stream_ends_it(client: str) -> None:
    bare = b'data: {"error":{"code":503,"message":"projects/secret-1 is away","status":"UNAVAILABLE"}}\n\n'
    out = carried(VERTEX, client, upstream_stream(VERTEX, golden("text").events[:4]) + bare)
    assert _error_of(client, out)[0] == INTERNAL[client]
    assert b"secret-1" not in out


@pytest.mark.parametrize(("client", "upstream"), PAIRS)
def test_the_gateway_can_end_a_stream_itself(client: str, upstream: str) -> None:
    work = translator(upstream, client)
    out = work.feed(upstream_stream(upstream, golden("text").events[:4])[:-3])
    out += work.fail("api_error", "The upstream fell silent.")
    assert _error_of(client, b"".join(out)) == (INTERNAL[client], "The upstream fell silent.")


def test_pings_and_headers_are_of_the_clients_format() -> None:
    assert ping(ANTHROPIC) == ping(VERTEX) == b'event: ping\ndata: {"type": "ping"}\n\n'
    assert decoded(BEDROCK, ping(BEDROCK)) == [{"type": "ping"}]
    assert (b"content-type", b"application/vnd.amazon.eventstream") in stream_headers(BEDROCK)
    assert stream_headers(VERTEX)[0][1].startswith(b"text/event-stream")
