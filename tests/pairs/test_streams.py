"""Streams across formats on the running gateway: at once, whole however they are cut, and with a clear end when they break."""

import base64
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from anthropic._streaming import SSEDecoder
from botocore.eventstream import EventStreamBuffer

from routing.formats.base import ANTHROPIC, BEDROCK, VERTEX
from tests.fake_provider import Die, Gate, Hang, Pause, sse, stream
from tests.fake_provider.answers import Answer, Step
from tests.fake_provider.bedrock import ARN, frames_of, of_frames
from tests.fake_provider.frames import METRICS, chunk, corrupt, error_frame, exception, frame
from tests.fake_provider.vertex import of_events
from tests.formats.golden import FORMATS, PAIRS, golden
from tests.harness import Client, Gateway, Reply
from tests.harness.formats import name_for
from tests.pairs.clients import begin_plainly, plain, stream_bytes
from tests.pairs.conftest import Upstreams

EACH_PAIR = pytest.mark.parametrize(("client", "upstream"), PAIRS)
EACH_CLIENT = pytest.mark.parametrize("client", FORMATS)
ASK = {"max_tokens": 64, "messages": [{"role": "user", "content": "hello"}]}
TEXT = golden("text")
Seen = tuple[str, dict[str, Any]]


def sent_as(upstream: str, *pieces: Step | bytes) -> Answer:
    return {BEDROCK: of_frames, VERTEX: of_events}.get(upstream, stream)(*pieces)


def begin(connection: Client, client: str, model: str) -> Reply:
    """Asks for a stream; returns the answer's head."""
    path, body = plain(client, model, ASK, stream=True)
    version = [("anthropic-version", "2023-06-01")] if client == ANTHROPIC else []
    begin_plainly(connection, path, body, headers=version)
    head = connection.head()
    assert head.status == 200
    kind = "application/vnd.amazon.eventstream" if client == BEDROCK else "text/event-stream"
    assert head.value("content-type").startswith(kind)
    return head


def read(client: str, data: bytes) -> list[Seen]:
    """The stream as other people's decoders read it: (type, data) of each event, pings and Google's own left out."""
    found = _frames(data) if client == BEDROCK else _events(data)
    return [(kind, event) for kind, event in found if kind not in ("ping", "vertex_event")]


def _events(data: bytes) -> list[Seen]:
    assert not data or data.endswith(b"\n\n")
    found = []
    for event in SSEDecoder().iter_bytes(iter([data])):
        body = json.loads(event.data)
        assert event.event == body["type"]
        found.append((body["type"], body))
    return found


def _frames(data: bytes) -> list[Seen]:
    buffer = EventStreamBuffer()  # checks both CRCs
    buffer.add_data(data)
    found = []
    for message in buffer:
        payload = json.loads(message.payload)
        if message.headers[":message-type"] == "event":
            event = json.loads(base64.b64decode(payload["bytes"]))
            event.pop(METRICS, None)
            found.append((event["type"], event))
        else:
            found.append(("exception", {"name": message.headers[":exception-type"], **payload}))
    assert buffer._data == b""
    return found


def wanted(count: int | None = None) -> list[Seen]:
    events = [event for event in TEXT.events if event["type"] != "ping"]
    return [(event["type"], event) for event in events[:count]]


def answer_to(gateway: Gateway, client: str, model: str) -> tuple[list[Seen], dict[str, Any]]:
    """The whole stream and its record."""
    with gateway.client() as connection:
        head = begin(connection, client, model)
        body = connection.rest()
    return read(client, body), gateway.record(head.value("request-id"))


def assert_failed(client: str, found: list[Seen], record: dict[str, Any], kind: str, count: int = 3) -> str:
    """So many events came through, then the format's error, and the record says so; returns the text."""
    assert found[:-1] == wanted(count)
    name, event = found[-1]
    if client == BEDROCK:
        assert name == "exception"
        exceptions = {"rate_limit_error": "throttlingException", "overloaded_error": "throttlingException"}
        exceptions |= {"invalid_request_error": "validationException"}
        assert event["name"] == exceptions.get(kind, "internalServerException")
        text = event["message"]
    else:
        assert (name, event["error"]["type"]) == ("error", kind)
        text = event["error"]["message"]
    assert (record["outcome"], record["error"]["type"]) == ("upstream_error", kind)
    assert record["status"] == 200
    assert isinstance(text, str)
    assert text
    return text


# As it comes


@EACH_PAIR
def test_every_event_arrives_before_the_next_is_sent(
    client: str, upstream: str, gateway: Gateway, upstreams: Upstreams
) -> None:
    pieces = stream_bytes(upstream, TEXT.events)
    gates = [Gate() for _ in pieces]
    steps = [part for pair in zip(pieces, gates, strict=True) for part in pair]
    upstreams[upstream].script(sent_as(upstream, *steps))
    seen = b""
    with gateway.client() as connection:
        begin(connection, client, name_for(client, upstream))
        for gate in gates:
            seen += connection.piece()
            gate.open()
        seen += connection.rest()
    assert read(client, seen) == wanted()


@EACH_PAIR
@pytest.mark.parametrize("size", [1, 7, 1 << 20])
def test_however_the_upstreams_bytes_are_cut(
    client: str, upstream: str, size: int, gateway: Gateway, upstreams: Upstreams
) -> None:
    data = b"".join(stream_bytes(upstream, TEXT.events))
    upstreams[upstream].script(sent_as(upstream, *(data[at : at + size] for at in range(0, len(data), size))))
    found, record = answer_to(gateway, client, name_for(client, upstream))
    assert found == wanted()
    assert (record["outcome"], record["tokens"]["input"], record["tokens"]["output"]) == ("served", 25, 15)


@EACH_CLIENT
def test_a_frame_larger_than_any_chunk(client: str, gateway: Gateway, upstreams: Upstreams) -> None:
    text = "long " * 200_000
    events = [dict(event) for event in TEXT.events if event["type"] != "ping"]
    events[2] = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}
    data = b"".join(frames_of(events))
    upstreams[BEDROCK].script(of_frames(*(data[at : at + 8000] for at in range(0, len(data), 8000))))
    found, record = answer_to(gateway, client, name_for(client, BEDROCK))
    assert found[2][1]["delta"]["text"] == text
    assert record["outcome"] == "served"


@EACH_PAIR
def test_tokens_of_every_kind_are_counted(client: str, upstream: str, gateway: Gateway, upstreams: Upstreams) -> None:
    cached = golden("cache-control")
    upstreams[upstream].script(sent_as(upstream, *stream_bytes(upstream, cached.events)))
    _, record = answer_to(gateway, client, name_for(client, upstream))
    usage = cached.message["usage"]
    written = usage.get("cache_creation") or {}
    assert record["tokens"] == {
        "input": usage["input_tokens"],
        "output": usage["output_tokens"],
        "cache_read": usage["cache_read_input_tokens"],
        "cache_write_5m": written["ephemeral_5m_input_tokens"],
        "cache_write_1h": written["ephemeral_1h_input_tokens"],
    }
    assert record["stream"]
    assert not record["estimated"]


# Broken streams of Bedrock

START = frames_of([event for event in TEXT.events if event["type"] != "ping"])[:3]
WHOLE_FRAME = chunk(TEXT.events[4])
CHUNK = {":event-type": "chunk", ":content-type": "application/json", ":message-type": "event"}
BROKEN: dict[str, tuple[Step | bytes, ...]] = {
    "wrong CRC of the prelude": (corrupt(WHOLE_FRAME, "prelude"), Hang()),
    "wrong CRC of the message": (corrupt(WHOLE_FRAME, "payload"), Hang()),
    "a length of two gigabytes": (corrupt(WHOLE_FRAME, "length"), Hang()),
    "a length of nothing": (b"\0" * 16, Hang()),
    "not frames at all": (b"event: ping\ndata: {}\n\n", Hang()),
    "not base64": (frame(CHUNK, b'{"bytes":"***"}'), Hang()),
    "not JSON": (frame(CHUNK, b'{"bytes":'), Hang()),
    "ends inside a frame": (WHOLE_FRAME[:40],),
    "ends between frames": (),
    "reset": (Die("reset"),),
    "closed": (Die("fin"),),
    "closed inside a frame": (WHOLE_FRAME[:40], Die("fin")),
}


@EACH_CLIENT
@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN.keys())
def test_broken_frames_end_the_stream_with_an_error(
    client: str, broken: tuple[Step | bytes, ...], gateway: Gateway, upstreams: Upstreams
) -> None:
    upstreams[BEDROCK].script(of_frames(*START, *broken))
    found, record = answer_to(gateway, client, name_for(client, BEDROCK))
    assert_failed(client, found, record, "api_error")
    if Hang() in broken:
        upstreams[BEDROCK].wait_closed(upstreams[BEDROCK].received[-1])  # what cannot be read is not waited for


EXCEPTIONS = {
    "internalServerException": "api_error",
    "modelStreamErrorException": "api_error",
    "validationException": "invalid_request_error",
    "throttlingException": "rate_limit_error",
    "modelTimeoutException": "timeout_error",
    "serviceUnavailableException": "overloaded_error",
}


@EACH_CLIENT
@pytest.mark.parametrize("name", EXCEPTIONS)
def test_exception_frames(client: str, name: str, gateway: Gateway, upstreams: Upstreams) -> None:
    frame = exception(name, f"failed at {ARN}", originalStatusCode=500, originalMessage=ARN)
    upstreams[BEDROCK].script(of_frames(*START, frame, Hang()))
    found, record = answer_to(gateway, client, name_for(client, BEDROCK))
    if client == BEDROCK:
        assert found[:-1] == wanted(3)
        assert found[-1][0] == "exception"
        assert (record["outcome"], record["error"]["type"]) == ("upstream_error", EXCEPTIONS[name])
    else:
        assert_failed(client, found, record, EXCEPTIONS[name])
    assert "arn:" not in json.dumps(found)
    assert "arn:" not in json.dumps(record)
    upstreams[BEDROCK].wait_closed(upstreams[BEDROCK].received[-1])


def test_harmless_exception_frame_reaches_bedrock_clients_as_it_came(gateway: Gateway, upstreams: Upstreams) -> None:
    frame = exception("modelStreamErrorException", "The model failed", originalStatusCode=503)
    upstreams[BEDROCK].script(of_frames(*START, frame))
    with gateway.client() as connection:
        begin(connection, BEDROCK, name_for(BEDROCK, BEDROCK))
        assert connection.rest() == b"".join(START) + frame


@EACH_CLIENT
def test_error_frame(client: str, gateway: Gateway, upstreams: Upstreams) -> None:
    upstreams[BEDROCK].script(of_frames(*START, error_frame("InternalFailure", f"failed at {ARN}"), Hang()))
    with gateway.client() as connection:
        head = begin(connection, client, name_for(client, BEDROCK))
        body = connection.rest()
    assert b"arn:" not in body
    assert_failed(client, read(client, body), gateway.record(head.value("request-id")), "api_error")


@EACH_CLIENT
def test_exception_before_any_event(client: str, gateway: Gateway, upstreams: Upstreams) -> None:
    upstreams[BEDROCK].script(of_frames(exception("throttlingException", "Too many requests")))
    found, record = answer_to(gateway, client, name_for(client, BEDROCK))
    assert_failed(client, found, record, "rate_limit_error", 0)
    assert set(record["tokens"].values()) == {0}


# Broken streams of the others

SSE_START = [sse(event) for event in TEXT.events if event["type"] != "ping"][:3]
OVERLOADED = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
GOOGLES = (
    b'data: {"error": {"code": 503, "message": "try projects/upstream-project-4711", "status": "UNAVAILABLE"}}\n\n'
)
BROKEN_SSE: dict[str, tuple[tuple[Step | bytes, ...], str]] = {
    "ends between events": ((), "api_error"),
    "reset": ((Die("reset"),), "api_error"),
    "closed": ((Die("fin"),), "api_error"),
    "an error event": ((sse(OVERLOADED),), "overloaded_error"),
}


@EACH_CLIENT
@pytest.mark.parametrize("upstream", [ANTHROPIC, VERTEX])
@pytest.mark.parametrize(("broken", "kind"), BROKEN_SSE.values(), ids=BROKEN_SSE.keys())
def test_broken_events_end_the_stream_with_an_error(
    client: str,
    upstream: str,
    broken: tuple[Step | bytes, ...],
    kind: str,
    gateway: Gateway,
    upstreams: Upstreams,
) -> None:
    upstreams[upstream].script(sent_as(upstream, *SSE_START, *broken))
    found, record = answer_to(gateway, client, name_for(client, upstream))
    assert_failed(client, found, record, kind)


@EACH_CLIENT
def test_googles_error_inside_a_stream(client: str, gateway: Gateway, upstreams: Upstreams) -> None:
    upstreams[VERTEX].script(of_events(*SSE_START, GOOGLES))
    with gateway.client() as connection:
        head = begin(connection, client, name_for(client, VERTEX))
        body = connection.rest()
    assert b"4711" not in body
    found, record = read(client, body), gateway.record(head.value("request-id"))
    assert found[:-1] == wanted(3)
    assert found[-1][0] == ("exception" if client == BEDROCK else "error")
    assert record["outcome"] == "upstream_error"


# Silence


def ping_in(client: str) -> bytes:
    return base64.b64encode(b'{"type":"ping"}') if client == BEDROCK else b"event: ping\n"


def test_silence_is_filled_with_pings_in_every_format(gateway: Gateway, upstreams: Upstreams) -> None:
    asked: list[tuple[str, Gate, Client]] = []
    for client, upstream in PAIRS:  # side by side: a ping comes after a second
        gate = Gate()
        pieces = stream_bytes(upstream, [event for event in TEXT.events if event["type"] != "ping"])
        upstreams[upstream].script(sent_as(upstream, *pieces[:-2], gate, *pieces[-2:]))
        connection = gateway.client()
        begin(connection, client, name_for(client, upstream))
        asked.append((client, gate, connection))
    for client, gate, connection in asked:
        seen = connection.until(ping_in(client))
        gate.open()
        assert read(client, seen + connection.rest()) == wanted()
        connection.leave()


@EACH_PAIR
def test_silence_for_too_long_ends_the_stream(
    client: str, upstream: str, gateway: Gateway, upstreams: Upstreams
) -> None:
    start = START if upstream == BEDROCK else SSE_START
    upstreams[upstream].script(sent_as(upstream, *start, Hang()))
    found, record = answer_to(gateway, client, f"claude-hasty-{upstream}")
    assert_failed(client, found, record, "timeout_error")
    upstreams[upstream].wait_closed(upstreams[upstream].received[-1])


# Clients that leave


@EACH_CLIENT
@pytest.mark.parametrize("upstream", [BEDROCK, VERTEX])
def test_upstream_is_closed_within_a_tenth_of_a_second(
    client: str, upstream: str, gateway: Gateway, upstreams: Upstreams
) -> None:
    """The best of some tries, for this machine may be busy with other things."""
    start = START if upstream == BEDROCK else SSE_START
    delays, provider = [], upstreams[upstream]
    for _ in range(5):
        provider.script(sent_as(upstream, *start, Hang()))
        with gateway.client() as connection:
            head = begin(connection, client, name_for(client, upstream))
            seen = b""
            while len(read_so_far(client, seen)) < 3:
                seen += connection.piece()
            left = time.monotonic()
            connection.leave()
        delays.append(provider.wait_closed(provider.received[-1]) - left)
    assert min(delays) < 0.1, delays
    record = gateway.record(head.value("request-id"))
    assert (record["outcome"], record["estimated"]) == ("client_left", True)
    assert record["tokens"]["input"] == 25


def read_so_far(client: str, data: bytes) -> list[Seen]:
    reader: Callable[[bytes], list[Seen]] = _frames if client == BEDROCK else _events
    try:
        return reader(data)
    except (AssertionError, ValueError):
        return []


@EACH_PAIR
def test_drain_reads_on_and_counts_exactly(client: str, upstream: str, gateway: Gateway, upstreams: Upstreams) -> None:
    gate = Gate()
    pieces = stream_bytes(upstream, TEXT.events)
    # The pause lets the gateway notice that the client is gone; nothing outside tells when it has.
    upstreams[upstream].script(sent_as(upstream, *pieces[:4], gate, Pause(0.3), *pieces[4:]))
    with gateway.client() as connection:
        head = begin(connection, client, f"claude-drained-{upstream}")
        connection.piece()
        connection.leave()
    gate.open()
    record = gateway.record(head.value("request-id"))
    assert (record["outcome"], record["reason"], record["estimated"]) == ("client_left", "drained", False)
    assert (record["tokens"]["input"], record["tokens"]["output"]) == (25, 15)
