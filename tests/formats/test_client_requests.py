"""Requests of Bedrock and Vertex clients, understood."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.formats import bedrock, vertex
from routing.formats.base import BEDROCK, COUNT_TOKENS, MESSAGES, MODELS, VERTEX, Headers
from routing.formats.faults import NotBridgeable
from routing.formats.peek import BadBody

CLIENT: Headers = [
    (b"anthropic-version", b"2023-06-01"),
    (b"anthropic-beta", b"claude-code-20250219,effort-2025-11-24"),
    (b"anthropic-beta", b"effort-2025-11-24, newest-2026-11-01"),
    (b"x-claude-code-session-id", b"session-1"),
    (b"x-claude-code-agent-id", b"agent-1"),
]
PLACE = b"/vertex/v1/projects/p/locations/l/publishers/anthropic/models/"


def body(**fields: Any) -> bytes:
    return json.dumps({"anthropic_version": "bedrock-2023-05-31", "max_tokens": 7, "messages": [], **fields}).encode()


def test_a_bedrock_request_has_its_betas_from_body_and_header() -> None:
    raw = body(anthropic_beta=["interleaved-thinking-2025-05-14", "effort-2025-11-24"])
    inbound = bedrock.parse(b"/bedrock/model/us.x%3A0/invoke-with-response-stream", CLIENT, raw)
    assert (inbound.format, inbound.operation, inbound.model, inbound.stream) == (BEDROCK, MESSAGES, "us.x:0", True)
    assert inbound.betas == (
        *("interleaved-thinking-2025-05-14", "effort-2025-11-24"),
        *("claude-code-20250219", "newest-2026-11-01"),
    )
    assert (inbound.version, inbound.max_tokens, inbound.body) == ("bedrock-2023-05-31", 7, raw)
    assert (inbound.session_id, inbound.agent_id) == ("session-1", "agent-1")


def test_a_bedrock_request_of_boto3_without_content_type_is_read() -> None:
    assert bedrock.parse(b"/model/m/invoke", [], body()).model == "m"


def test_the_mark_of_the_long_context_becomes_its_beta() -> None:
    inbound = bedrock.parse(b"/model/claude-opus-4-6[1m]/invoke", [], body())
    assert (inbound.model, inbound.betas) == ("claude-opus-4-6", ("context-1m-2025-08-07",))
    raw = body(anthropic_beta=["context-1m-2025-08-07"])
    assert bedrock.parse(b"/model/m[1m]/invoke", [], raw).betas == ("context-1m-2025-08-07",)


def test_the_session_is_found_in_the_metadata_too() -> None:
    raw = body(metadata={"user_id": json.dumps({"device_id": "d", "session_id": "s-2"})})
    assert bedrock.parse(b"/model/m/invoke", [], raw).session_id == "s-2"
    assert vertex.parse(PLACE + b"m:rawPredict", [], raw).session_id == "s-2"


def test_a_bedrock_count_is_read_through_its_base64() -> None:
    inner = body(anthropic_beta=["claude-code-20250219"])
    raw = json.dumps({"input": {"invokeModel": {"body": base64.b64encode(inner).decode()}}}).encode()
    inbound = bedrock.parse(b"/model/m/count-tokens", [], raw)
    assert (inbound.operation, inbound.betas, inbound.body) == (COUNT_TOKENS, ("claude-code-20250219",), raw)
    assert bedrock.counted_body(raw) == inner


def test_a_bedrock_count_of_a_conversation_is_left_to_bedrock() -> None:
    raw = b'{"input":{"converse":{"messages":[]}}}'
    assert bedrock.parse(b"/model/m/count-tokens", [], raw).betas == ()


@pytest.mark.parametrize(
    "raw",
    [
        b"{}",
        b'{"input":[]}',
        b'{"input":{"invokeModel":{}}}',
        b'{"input":{"invokeModel":{"body":"not base64!"}}}',
        b'{"input":{"invokeModel":{"body":"YQ="}}}',
        b'{"input":{"invokeModel":{"body":7}}}',
        b'{"input":{"invokeModel":{"body":"' + base64.b64encode(b"[]") + b'"}}}',
        b'{"input":{"invokeModel":{"body":"' + base64.b64encode(b"\xff{}") + b'"}}}',
    ],
)
def test_a_count_that_cannot_be_read_is_a_bad_request(raw: bytes) -> None:
    with pytest.raises(BadBody):
        bedrock.parse(b"/model/m/count-tokens", [], raw)


BAD_BODIES = {
    "empty": b"",
    "no object": b"[]",
    "no JSON": b"{",
    "not UTF-8": b'{"a":"\xff"}',
    "nested deeply": b'{"a":' + b"[" * 100_000,
    "version of another type": b'{"anthropic_version":1}',
    "betas of another type": b'{"anthropic_beta":"x"}',
    "a beta of another type": b'{"anthropic_beta":[1]}',
    "a beta with a line break": b'{"anthropic_beta":["a\\r\\nb"]}',
    "a beta with a comma": b'{"anthropic_beta":["a,b"]}',
}


@pytest.mark.parametrize("what", BAD_BODIES)
def test_a_body_that_cannot_be_read_is_a_bad_request(what: str) -> None:
    with pytest.raises(BadBody):
        bedrock.parse(b"/model/m/invoke", [], BAD_BODIES[what])
    with pytest.raises(BadBody):
        vertex.parse(PLACE + b"m:rawPredict", [], BAD_BODIES[what])


def test_a_vertex_request_streams_by_its_method() -> None:
    raw = body(stream=True, anthropic_beta=["in-the-body-2026-01-01"])
    inbound = vertex.parse(PLACE + b"claude-haiku-4-5@20251001:streamRawPredict", CLIENT, raw)
    assert (inbound.format, inbound.model, inbound.stream) == (VERTEX, "claude-haiku-4-5@20251001", True)
    assert inbound.betas == (
        *("in-the-body-2026-01-01", "claude-code-20250219"),
        *("effort-2025-11-24", "newest-2026-11-01"),
    )
    assert not vertex.parse(PLACE + b"m:rawPredict", [], raw).stream


def test_a_vertex_count_has_its_model_in_the_body() -> None:
    inbound = vertex.parse(PLACE + b"count-tokens:rawPredict", [], body(model="claude-opus-5-5"))
    assert (inbound.operation, inbound.model) == (COUNT_TOKENS, "claude-opus-5-5")
    with pytest.raises(BadBody, match="model"):
        vertex.parse(PLACE + b"count-tokens:rawPredict", [], body())


@pytest.mark.parametrize("path", [b"/model/m/converse", b"/model/m/converse-stream", b"/nothing"])
def test_converse_is_not_found(path: bytes) -> None:
    with pytest.raises(NotBridgeable) as refused:
        bedrock.parse(path, [], body())
    assert refused.value.status == 404


def test_a_profile_can_be_asked_for() -> None:
    inbound = bedrock.parse(b"/inference-profiles/arn%3Aaws%3Abedrock%3Aus%3A1%3Ainference-profile%2Fx", [], b"")
    assert (inbound.operation, inbound.model) == (MODELS, "arn:aws:bedrock:us:1:inference-profile/x")


@pytest.mark.parametrize(
    ("name", "upstream", "foundation"),
    [
        ("us.anthropic.claude-opus-5-5", "", "anthropic.claude-opus-5-5"),
        ("sonnet", "eu.anthropic.claude-sonnet-5-5", "anthropic.claude-sonnet-5-5"),
        ("sonnet", "claude-sonnet-5-5", "claude-sonnet-5-5"),
    ],
)
def test_a_profile_names_the_foundation_model_by_which_clients_count(name: str, upstream: str, foundation: str) -> None:
    profile = bedrock.profile_of(name, upstream)
    assert profile["models"] == [{"modelArn": f"arn:aws:bedrock:us-east-1::foundation-model/{foundation}"}]
    assert (profile["inferenceProfileId"], profile["status"], profile["type"]) == (name, "ACTIVE", "SYSTEM_DEFINED")
    assert json.loads(bedrock.profiles_body([profile])) == {"inferenceProfileSummaries": [profile]}
    assert json.loads(bedrock.profile_body(profile)) == profile


@given(st.binary(max_size=200))
def test_no_body_breaks_the_parsers(raw: bytes) -> None:
    for path in (b"/model/m/invoke", b"/model/m/count-tokens"):
        try:
            bedrock.parse(path, [], raw)
        except BadBody:
            pass
    try:
        vertex.parse(PLACE + b"count-tokens:rawPredict", [], raw)
    except BadBody:
        pass
