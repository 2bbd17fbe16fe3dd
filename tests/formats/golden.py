"""The golden set: requests, the events and the message that answer them; and streams of both framings made from them.

The decoders here are other people's (the SDK's, botocore's), so that our readers and writers are not tested by themselves.
"""

import base64
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from anthropic._streaming import SSEDecoder
from botocore.eventstream import EventStreamBuffer

from routing.formats import anthropic, bedrock, vertex
from routing.formats.base import ANTHROPIC, BEDROCK, COUNT_TOKENS, MESSAGES, VERTEX, Event, Headers, Inbound
from routing.formats.eventstream import encode_chunk
from routing.formats.sse import encode_event

FOLDER = Path(__file__).parent.parent / "data" / "golden"
NAMES = tuple(sorted(path.stem for path in FOLDER.glob("*.json")))
FORMATS = (ANTHROPIC, BEDROCK, VERTEX)
PAIRS = tuple((client, upstream) for client in FORMATS for upstream in FORMATS)
UPSTREAM_MODELS = {
    ANTHROPIC: "claude-sonnet-4-5",
    BEDROCK: "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
    VERTEX: "claude-sonnet-4-5@20250929",
}
METRICS = "amazon-bedrock-invocationMetrics"


@dataclass(frozen=True)
class Golden:
    name: str
    request: dict[str, Any]
    message: dict[str, Any]
    events: list[dict[str, Any]]


def golden(name: str) -> Golden:
    data = json.loads((FOLDER / f"{name}.json").read_text())
    return Golden(name, data["request"], data["message"], data["events"])


def compact(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def upstream_stream(upstream: str, events: list[dict[str, Any]]) -> bytes:
    """The stream as that upstream would send it."""
    if upstream != BEDROCK:
        return b"".join(encode_event(Event(event["type"], compact(event))) for event in events)
    frames = []
    for event in events:
        if event["type"] == "message_stop":
            event = {**event, METRICS: {"inputTokenCount": 25, "outputTokenCount": 15, "invocationLatency": 9}}
        frames.append(encode_chunk(compact(event), padding="abcdefgh"))
    return b"".join(frames)


def decoded(client: str, stream: bytes) -> list[dict[str, Any]]:
    """The events as the client's own library reads them."""
    return _frames(stream) if client == BEDROCK else _sse(stream)


def _sse(stream: bytes) -> list[dict[str, Any]]:
    events = []
    for event in SSEDecoder().iter_bytes(iter([stream])):
        data = json.loads(event.data)
        assert event.event == data["type"]
        events.append(data)
    return events


def _frames(stream: bytes) -> list[dict[str, Any]]:
    buffer = EventStreamBuffer()
    buffer.add_data(stream)
    events = []
    for message in buffer:
        assert message.headers[":message-type"] == "event", message.headers
        events.append(json.loads(base64.b64decode(json.loads(message.payload)["bytes"])))
    return events


def inbound_of(
    client: str,
    request: dict[str, Any],
    *,
    betas: tuple[str, ...] = (),
    stream: bool = False,
    operation: str = MESSAGES,
    headers: Headers | None = None,
) -> Inbound:
    """The request as a client of that format would send it, parsed."""
    sent: Headers = [(b"content-type", b"application/json"), *(headers or [])]
    content = {name: value for name, value in request.items() if name != "model"}
    model = request["model"]
    csv = ",".join(betas).encode()
    if client == ANTHROPIC:
        sent += [(b"anthropic-version", b"2023-06-01")] + ([(b"anthropic-beta", csv)] if betas else [])
        return anthropic.parse(operation, sent, compact({**request, "stream": True} if stream else request))
    if client == BEDROCK:
        body: dict[str, Any] = {"anthropic_version": "bedrock-2023-05-31"}
        body |= {"anthropic_beta": list(betas)} if betas else {}
        raw = compact({**body, **content})
        if operation == COUNT_TOKENS:
            raw = compact({"input": {"invokeModel": {"body": base64.b64encode(raw).decode()}}})
            return bedrock.parse(f"/model/{model}/count-tokens".encode(), sent, raw)
        verb = "invoke-with-response-stream" if stream else "invoke"
        return bedrock.parse(f"/model/{model}/{verb}".encode(), sent, raw)
    sent += [(b"anthropic-beta", csv)] if betas else []
    place = "/v1/projects/p/locations/global/publishers/anthropic/models"
    body = {"anthropic_version": "vertex-2023-10-16", **content} | ({"stream": True} if stream else {})
    if operation == COUNT_TOKENS:
        return vertex.parse(f"{place}/count-tokens:rawPredict".encode(), sent, compact({**body, "model": model}))
    method = "streamRawPredict" if stream else "rawPredict"
    return vertex.parse(f"{place}/{model}:{method}".encode(), sent, compact(body))


def fields(body: bytes) -> dict[str, Any]:
    value: dict[str, Any] = msgspec.json.decode(body)
    return value
