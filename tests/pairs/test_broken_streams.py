"""Streams that break, of every upstream: the client's format ends them with its own error, and the record says so."""

import json

import pytest

from routing.formats.base import ANTHROPIC, BEDROCK, VERTEX
from tests.fake_provider import Die, Hang, sse
from tests.fake_provider.answers import Step
from tests.fake_provider.bedrock import ARN, of_frames
from tests.fake_provider.frames import chunk, corrupt, error_frame, exception, frame
from tests.fake_provider.vertex import of_events
from tests.formats.golden import FORMATS, PAIRS
from tests.harness import Gateway
from tests.harness.formats import name_for
from tests.pairs.conftest import Upstreams
from tests.pairs.reading import SSE_START, START, TEXT, answer_to, assert_failed, begin, read, sent_as, wanted

EACH_PAIR = pytest.mark.parametrize(("client", "upstream"), PAIRS)
EACH_CLIENT = pytest.mark.parametrize("client", FORMATS)


# Broken streams of Bedrock

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
