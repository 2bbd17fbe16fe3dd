"""The golden set on all nine pairs: what a client is shown is what that upstream's own library would have shown."""

import json
from typing import Any

import pytest

from routing.formats.base import ANTHROPIC, BEDROCK, VERTEX
from tests.fake_provider import FakeProvider, reply, stream
from tests.fake_provider import bedrock as amazon
from tests.fake_provider import vertex as google
from tests.fake_provider.answers import Answer
from tests.fake_provider.bedrock import ACCOUNT, invoke_body, metrics_of
from tests.fake_provider.frames import METRICS
from tests.fake_provider.vertex import PROJECT
from tests.formats.golden import FORMATS, NAMES, PAIRS, Golden, golden
from tests.harness import Gateway
from tests.harness.formats import TARGETS, name_for
from tests.pairs.clients import (
    Sdk,
    ask_plainly,
    plain,
    shown,
    shown_by_its_own,
    stream_bytes,
)
from tests.pairs.conftest import Upstreams

STREAMED = pytest.mark.parametrize("streamed", [False, True], ids=["whole", "stream"])
ENVELOPE = {"model", "stream", "anthropic_version", "anthropic_beta"}


def answer_of(upstream: str, example: Golden, *, streamed: bool) -> Answer:
    """The example's answer as that upstream sends it."""
    if not streamed:
        return {BEDROCK: amazon.whole, VERTEX: google.whole}.get(upstream, lambda body: reply(200, body))(
            example.message
        )
    pieces = stream_bytes(upstream, example.events)
    send = {BEDROCK: amazon.of_frames, VERTEX: google.of_events}.get(upstream, stream)
    return send(*pieces)


def without_metrics(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in event.items() if name != METRICS} for event in events]


def arrived(provider: FakeProvider) -> dict[str, Any]:
    """The content of the one request that arrived, without its envelope."""
    (request,) = provider.received
    return {name: value for name, value in invoke_body(request).items() if name not in ENVELOPE}


@pytest.mark.parametrize(("client", "upstream"), PAIRS)
@pytest.mark.parametrize("name", NAMES)
@STREAMED
def test_client_is_shown_what_the_upstreams_own_library_shows(
    client: str, upstream: str, name: str, streamed: bool, sdks: dict[str, Sdk], upstreams: Upstreams
) -> None:
    example = golden(name)
    upstreams[upstream].script(answer_of(upstream, example, streamed=streamed))
    found = shown(sdks[client], name_for(client, upstream), example.request, stream=streamed)
    wanted = shown_by_its_own(upstream, name, stream=streamed)
    assert without_metrics(found) == without_metrics(wanted)
    assert any(METRICS in event for event in found) == (streamed and client == BEDROCK)
    content = {name: value for name, value in example.request.items() if name != "model"}
    assert arrived(upstreams[upstream]) == content


@pytest.mark.parametrize("upstream", FORMATS)
@pytest.mark.parametrize("name", NAMES)
def test_amazons_library_reads_every_upstream(upstream: str, name: str, amazon_sdk: Any, upstreams: Upstreams) -> None:
    example = golden(name)
    upstreams[upstream].script(
        answer_of(upstream, example, streamed=False), answer_of(upstream, example, streamed=True)
    )
    _, body = plain(BEDROCK, name_for(BEDROCK, upstream), example.request)
    whole = amazon_sdk.invoke_model(modelId=name_for(BEDROCK, upstream), body=body)
    assert json.loads(whole["body"].read()) == example.message
    usage = example.message["usage"]
    headers = whole["ResponseMetadata"]["HTTPHeaders"]
    assert headers["x-amzn-bedrock-input-token-count"] == str(usage["input_tokens"])
    assert headers["x-amzn-bedrock-output-token-count"] == str(usage["output_tokens"])
    events = []
    answer = amazon_sdk.invoke_model_with_response_stream(modelId=name_for(BEDROCK, upstream), body=body)
    for part in answer["body"]:
        event = json.loads(part["chunk"]["bytes"])
        if event["type"] not in ("ping", "vertex_event"):
            events.append(event)
    assert without_metrics(events) == [event for event in example.events if event["type"] != "ping"]
    counted = {name: count for name, count in metrics_of(example.events).items() if name.endswith("Count")}
    assert {name: count for name, count in events[-1][METRICS].items() if name.endswith("Count")} == counted


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize("name", NAMES)
@STREAMED
def test_between_equal_formats_no_byte_changes(
    format_: str, name: str, streamed: bool, gateway: Gateway, upstreams: Upstreams
) -> None:
    example = golden(name)
    provider = upstreams[format_]
    answer = answer_of(format_, example, streamed=streamed)
    provider.script(answer)
    path, body = plain(format_, name_for(format_, format_), example.request, stream=streamed)
    body = json.dumps(json.loads(body), indent=1).encode()  # \u escapes and blanks that no encoder of ours would write
    version = [("anthropic-version", "2023-06-01")] if format_ == ANTHROPIC else []
    found = ask_plainly(gateway.port, path, body, headers=version)
    assert found.status == 200, found.body
    told = "\n".join(f"{name}: {value}" for name, value in found.headers)
    for text in (ACCOUNT, PROJECT, "set-cookie", "via:", "cloudflare", "amazon\n", "aws1", "req_vrtx", "org-of-the"):
        assert text not in told
    assert found.value("request-id").startswith("req_")
    if streamed:
        assert found.body == b"".join(stream_bytes(format_, example.events))
    else:
        assert found.body == json.dumps(example.message, ensure_ascii=False).encode()
    sent = provider.received[0].body
    if format_ == ANTHROPIC:
        sent = sent.replace(TARGETS[ANTHROPIC].encode(), name_for(ANTHROPIC, ANTHROPIC).encode())
    assert sent == body
