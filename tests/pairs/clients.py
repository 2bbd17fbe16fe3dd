"""Clients of the three formats: the vendors' own libraries set up for the gateway, and plain requests in their shapes."""

import base64
import json
from functools import lru_cache
from typing import Any

import anthropic
import boto3
import httpx2
from botocore import UNSIGNED
from botocore.config import Config

from routing.formats.base import ANTHROPIC, BEDROCK, VERTEX
from tests.fake_provider import bedrock, sse
from tests.fake_provider.bedrock import frames_of
from tests.formats.golden import golden
from tests.harness import KEYS, Client, Reply

Json = dict[str, Any]
Sdk = Any  # Anthropic, AnthropicBedrock or AnthropicVertex: their `messages` are the same, their types are not
MOUNTS = {ANTHROPIC: "", BEDROCK: "/bedrock", VERTEX: "/vertex/v1"}
_NAMED = {"max_tokens", "messages", "system", "tools", "tool_choice", "stop_sequences", "output_config", "thinking"}


def sdk_for(client: str, url: str, *, key: str = KEYS["main"], **options: Any) -> Sdk:
    """The vendor's newest Python client of a format, sending to `url`; its key travels as it does by itself."""
    options = {"max_retries": 0, "timeout": 20, **options}
    if client == BEDROCK:
        return anthropic.AnthropicBedrock(api_key=key, aws_region="us-east-1", base_url=url, **options)
    if client == VERTEX:
        project = "a-project-of-the-client"
        return anthropic.AnthropicVertex(
            access_token=key, region="us-east5", project_id=project, base_url=url, **options
        )
    return anthropic.Anthropic(api_key=key, base_url=url, **options)


def amazon_client(url: str, *, key: str = KEYS["main"], attempts: int = 1) -> Any:
    """boto3's client with the key in `x-api-key`, as a header of one's own is added to it: it refuses to send a bearer
    token without TLS."""
    retries = {"total_max_attempts": attempts, "mode": "standard"}
    settings = Config(signature_version=UNSIGNED, retries=retries, read_timeout=20)
    client = boto3.client("bedrock-runtime", region_name="us-east-1", endpoint_url=url, config=settings)

    def add_key(request: Any, **_: Any) -> None:
        request.headers["x-api-key"] = key

    if key:
        client.meta.events.register("before-sign.bedrock-runtime", add_key)
    return client


def arguments(request: Json) -> Json:
    """A request's fields as arguments of `messages.create`, but for the model."""
    named = {name: value for name, value in request.items() if name in _NAMED}
    extra = {name: value for name, value in request.items() if name not in _NAMED and name != "model"}
    return {**named, "extra_body": extra} if extra else named


def shown(sdk: Sdk, model: str, request: Json, *, stream: bool) -> list[Json]:
    """What the library makes of the answer: its events, or its one message, with every field that came."""
    if not stream:
        return [sdk.messages.create(model=model, **arguments(request)).to_dict(warnings=False)]
    with sdk.messages.create(model=model, stream=True, **arguments(request)) as events:
        return [event.to_dict(warnings=False) for event in events]


def stream_bytes(upstream: str, events: list[Json]) -> list[bytes]:
    """The stream as that upstream writes it, an event or a frame each."""
    if upstream == BEDROCK:
        return frames_of([event for event in events if event["type"] != "ping"])
    own = [sse({"type": "vertex_event", "traffic": "ON_DEMAND"})] if upstream == VERTEX else []
    return own + [sse(event) for event in events]


@lru_cache(maxsize=100)
def shown_by_its_own(upstream: str, name: str, *, stream: bool) -> list[Json]:
    """What the upstream's own library would show of its own answer, with nothing in between."""
    example = golden(name)
    body = json.dumps(example.message).encode()
    kind = "application/json"
    if stream:
        body = b"".join(stream_bytes(upstream, example.events))
        kind = bedrock.STREAM_TYPE if upstream == BEDROCK else "text/event-stream"

    def answer(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, content=body, headers={"content-type": kind})

    with httpx2.Client(transport=httpx2.MockTransport(answer)) as http:
        sdk = sdk_for(upstream, "http://upstream.test", http_client=http)
        return shown(sdk, "claude-opus-5-5", example.request, stream=stream)


# Plain requests

VERSIONS = {ANTHROPIC: "2023-06-01", BEDROCK: "bedrock-2023-05-31", VERTEX: "vertex-2023-10-16"}
PLACE = "/projects/a-project-of-the-client/locations/us-east5/publishers/anthropic/models"


def plain(client: str, model: str, request: Json, *, stream: bool = False, **extra: Any) -> tuple[str, bytes]:
    """Path and body of an inference request in a format's own shape; `extra` fields go into the body."""
    content = {name: value for name, value in request.items() if name != "model"} | extra
    if client == ANTHROPIC:
        path, body = "/v1/messages", {"model": model, **content}
    elif client == BEDROCK:
        verb = "invoke-with-response-stream" if stream else "invoke"
        return f"/model/{model}/{verb}", encoded({"anthropic_version": VERSIONS[BEDROCK], **content})
    else:
        method = "streamRawPredict" if stream else "rawPredict"
        path, body = f"/vertex{PLACE}/{model}:{method}", {"anthropic_version": VERSIONS[VERTEX], **content}
    return path, encoded({**body, "stream": True} if stream else body)


def plain_count(client: str, model: str, request: Json) -> tuple[str, bytes]:
    """Path and body of a count."""
    content = {name: value for name, value in request.items() if name not in ("model", "max_tokens")}
    if client == ANTHROPIC:
        return "/v1/messages/count_tokens", encoded({"model": model, **content})
    if client == VERTEX:
        body = {"anthropic_version": VERSIONS[VERTEX], "model": model, **content}
        return f"/vertex/v1{PLACE}/count-tokens:rawPredict", encoded(body)
    inner = encoded({"anthropic_version": VERSIONS[BEDROCK], "max_tokens": 1, **content})
    body = {"input": {"invokeModel": {"body": base64.b64encode(inner).decode()}}}
    return f"/model/{model}/count-tokens", encoded(body)


def encoded(body: Json) -> bytes:
    return json.dumps(body, ensure_ascii=False).encode()


def ask_plainly(port: int, path: str, body: bytes, *, key: str = KEYS["main"], headers: Any = ()) -> Reply:
    """One exchange without any of the Messages headers."""
    with Client(port) as client:
        begin_plainly(client, path, body, key=key, headers=headers)
        return client.reply()


def begin_plainly(client: Client, path: str, body: bytes, *, key: str = KEYS["main"], headers: Any = ()) -> None:
    carrier = [("authorization", f"Bearer {key}")] if key else []
    client.request("POST", path, [*carrier, ("content-type", "application/json"), *headers], body)
