"""Streams asked for by plain clients and read by other people's decoders."""

import base64
import json
from typing import Any

from anthropic._streaming import SSEDecoder
from botocore.eventstream import EventStreamBuffer

from routing.formats.base import ANTHROPIC, BEDROCK, VERTEX
from tests.fake_provider import sse, stream
from tests.fake_provider.answers import Answer, Step
from tests.fake_provider.bedrock import frames_of, of_frames
from tests.fake_provider.frames import METRICS
from tests.fake_provider.vertex import of_events
from tests.formats.golden import golden
from tests.harness import Client, Gateway, Reply
from tests.pairs.clients import begin_plainly, plain

ASK = {"max_tokens": 64, "messages": [{"role": "user", "content": "hello"}]}
TEXT = golden("text")
# The first three events, as Bedrock and as the others send them.
START = frames_of([event for event in TEXT.events if event["type"] != "ping"])[:3]
SSE_START = [sse(event) for event in TEXT.events if event["type"] != "ping"][:3]
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


def read_so_far(client: str, data: bytes) -> list[Seen]:
    """The events of a stream that is not at its end; none while the last of them is cut."""
    try:
        return _frames(data) if client == BEDROCK else _events(data)
    except (AssertionError, ValueError):
        return []
