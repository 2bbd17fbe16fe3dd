"""Requests from each format to each other one: the envelope changes, the content does not."""

import base64
import json
from typing import Any

import pytest

from routing.formats import bedrock, vertex
from routing.formats.base import ANTHROPIC, BEDROCK, COUNT_TOKENS, VERTEX, Headers, Inbound, Outbound, header
from routing.formats.compat import FIELD, PASS, REFUSE, Registry, Rule
from routing.formats.compat_rules import SHIPPED
from routing.formats.faults import InvalidModel, NotBridgeable
from routing.formats.peek import BadBody
from routing.formats.translate import features, to_upstream
from tests.formats.golden import FORMATS, NAMES, PAIRS, UPSTREAM_MODELS, fields, golden, inbound_of

REGISTRY = Registry(SHIPPED)
KEY = b"gw_abcdefgh_secret"
ENVELOPE = {"model", "stream", "anthropic_version", "anthropic_beta"}
CLIENT: Headers = [
    (b"authorization", b"Bearer " + KEY),
    (b"x-api-key", KEY),
    (b"x-amz-security-token", b"client-token"),
    (b"x-goog-user-project", b"clients-project"),
    (b"x-claude-code-session-id", b"session"),
    (b"x-claude-code-request-class", b"hint"),
    (b"cookie", b"a=b"),
    (b"x-forwarded-for", b"10.0.0.1"),
    (b"user-agent", b"claude-cli/2.1.330"),
    (b"x-odd", b"holds " + KEY),
]


def crossed(inbound: Inbound, upstream: str, model: str = "", registry: Registry = REGISTRY) -> Outbound:
    return to_upstream(
        inbound,
        upstream_format=upstream,
        upstream_model=model or UPSTREAM_MODELS[upstream],
        provider_region="global",
        provider_project="our-project",
        registry=registry,
        secret=KEY,
    )


def content(body: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name not in ENVELOPE}


def _expected_envelope(upstream: str, stream: bool) -> dict[str, Any]:
    if upstream == ANTHROPIC:
        return {"model": UPSTREAM_MODELS[ANTHROPIC]} | ({"stream": True} if stream else {})
    if upstream == BEDROCK:
        return {"anthropic_version": "bedrock-2023-05-31"}
    return {"anthropic_version": "vertex-2023-10-16"} | ({"stream": True} if stream else {})


def _expected_path(upstream: str, stream: bool) -> str:
    if upstream == ANTHROPIC:
        return "/v1/messages"
    if upstream == BEDROCK:
        verb = "invoke-with-response-stream" if stream else "invoke"
        return f"/model/us.anthropic.claude-sonnet-4-5-20250929-v1%3A0/{verb}"
    method = "streamRawPredict" if stream else "rawPredict"
    place = "/v1/projects/our-project/locations/global/publishers/anthropic/models"
    return f"{place}/claude-sonnet-4-5@20250929:{method}"


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(("client", "upstream"), PAIRS)
@pytest.mark.parametrize("name", NAMES)
def test_the_golden_requests_arrive_on_every_pair(name: str, client: str, upstream: str, stream: bool) -> None:
    request = golden(name).request
    inbound = inbound_of(client, request, stream=stream)
    outbound = crossed(inbound, upstream)
    body = fields(outbound.body)
    assert content(body) == content(request)
    assert {key: value for key, value in body.items() if key in ENVELOPE} == _expected_envelope(upstream, stream)
    assert outbound.path == _expected_path(upstream, stream)
    assert (outbound.betas_removed, outbound.fields_removed) == ((), ())


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize("name", NAMES)
def test_between_equal_formats_the_body_stays_as_it_came(name: str, format_: str) -> None:
    inbound = inbound_of(format_, golden(name).request, betas=("never-heard-of-1",), stream=True)
    outbound = crossed(inbound, format_, model=inbound.model)
    assert outbound.body == inbound.body
    if format_ != ANTHROPIC:
        assert crossed(inbound, format_).body == inbound.body


@pytest.mark.parametrize(("client", "upstream"), PAIRS)
def test_no_credential_and_no_hint_of_the_client_goes_upstream(client: str, upstream: str) -> None:
    outbound = crossed(inbound_of(client, golden("text").request, headers=CLIENT), upstream)
    names = {name for name, _ in outbound.headers}
    assert not [value for _, value in outbound.headers if KEY in value]
    assert not names & {b"authorization", b"x-api-key", b"cookie", b"x-forwarded-for", b"x-odd", b"host"}
    assert not [name for name in names if name.startswith((b"x-amz-", b"x-goog-", b"x-claude-"))]
    assert header(outbound.headers, b"content-type") == b"application/json"
    assert len(names) == len(outbound.headers)


def test_bedrock_gets_no_header_of_anthropics_but_its_own_from_bedrock_clients() -> None:
    own: Headers = [
        (b"x-amzn-bedrock-guardrailidentifier", b"g"),
        (b"anthropic-beta", b"a-1"),
        (b"anthropic-version", b"x"),
    ]
    for client in FORMATS:
        outbound = crossed(inbound_of(client, golden("text").request, headers=own), BEDROCK)
        assert not [name for name, _ in outbound.headers if name.startswith(b"anthropic-")]
        assert header(outbound.headers, b"x-amzn-bedrock-guardrailidentifier") == (b"g" if client == BEDROCK else b"")


def test_anthropic_gets_other_headers_of_its_own_from_every_client() -> None:
    headers: Headers = [(b"anthropic-workspace-id", b"w"), (b"anthropic-dangerous-direct-browser-access", b"true")]
    for client in FORMATS:
        outbound = crossed(inbound_of(client, golden("text").request, headers=headers), ANTHROPIC)
        assert header(outbound.headers, b"anthropic-workspace-id") == b"w"


def test_vertex_to_vertex_keeps_the_headers_of_version_and_betas() -> None:
    headers: Headers = [
        (b"anthropic-version", b"2023-06-01"),
        (b"anthropic-beta", b"a-1"),
        (b"anthropic-beta", b"b-1,c-1"),
    ]
    outbound = crossed(inbound_of(VERTEX, golden("text").request, headers=headers), VERTEX)
    assert header(outbound.headers, b"anthropic-version") == b"2023-06-01"
    assert header(outbound.headers, b"anthropic-beta") == b"a-1,b-1,c-1"


VERSIONS = [
    # as the client says it, the upstream, its model, as the upstream hears it
    ("2026-10-21", ANTHROPIC, "claude-sonnet-4-5", "2026-10-21"),
    ("2023-06-01", ANTHROPIC, "claude-sonnet-4-5", "2023-06-01"),
    ("bedrock-2023-05-31", ANTHROPIC, "claude-sonnet-4-5", "2023-06-01"),
    ("vertex-2023-10-16", ANTHROPIC, "claude-sonnet-4-5", "2023-06-01"),
    ("", ANTHROPIC, "claude-sonnet-4-5", "2023-06-01"),
    ("2026-10-21", BEDROCK, "us.anthropic.claude-sonnet-4-5-20250929-v1:0", "bedrock-2023-05-31"),
    ("2026-10-21", BEDROCK, "us.anthropic.claude-opus-4-7", "2026-10-21"),
    ("2026-10-21", BEDROCK, "us.anthropic.claude-opus-5-5", "2026-10-21"),
    ("2023-06-01", BEDROCK, "us.anthropic.claude-opus-5-5", "bedrock-2023-05-31"),
    ("2026-10-21", VERTEX, "claude-sonnet-4-5@20250929", "2026-10-21"),
    ("2023-06-01", VERTEX, "claude-opus-5-5", "vertex-2023-10-16"),
]


@pytest.mark.parametrize(("said", "upstream", "model", "heard"), VERSIONS)
def test_the_version_that_an_upstream_is_told(said: str, upstream: str, model: str, heard: str) -> None:
    client = VERTEX if upstream == BEDROCK else BEDROCK
    raw = json.dumps({"anthropic_version": said, "messages": []}).encode()
    place = b"/v1/projects/p/locations/l/publishers/anthropic/models/m:rawPredict"
    inbound = vertex.parse(place, [], raw) if client == VERTEX else bedrock.parse(b"/model/m/invoke", [], raw)
    outbound = crossed(inbound, upstream, model)
    told = header(outbound.headers, b"anthropic-version").decode() or fields(outbound.body)["anthropic_version"]
    assert told == heard


def test_the_long_context_mark_never_reaches_an_upstream() -> None:
    inbound = bedrock.parse(b"/model/claude-opus-4-6[1m]/invoke", [], b'{"anthropic_version":"x","messages":[]}')
    outbound = crossed(inbound, VERTEX, "claude-opus-4-6[1m]")
    assert "[1m]" not in outbound.path
    assert header(outbound.headers, b"anthropic-beta") == b"context-1m-2025-08-07"


@pytest.mark.parametrize("model", ["a\nb", "a/../b", "a%2Fb", ""])
def test_an_upstream_model_that_no_path_can_carry_is_refused(model: str) -> None:
    inbound = inbound_of(ANTHROPIC, golden("text").request)
    with pytest.raises(InvalidModel):
        to_upstream(
            inbound,
            upstream_format=BEDROCK,
            upstream_model=model,
            registry=REGISTRY,
        )


# Counting tokens

COUNTED = {**golden("thinking-with-signatures").request, "tools": []}
COUNTED.pop("max_tokens")
COUNT_BETAS = (
    "claude-code-20250219",
    "token-counting-2024-11-01",
    "interleaved-thinking-2025-05-14",
    "effort-2025-11-24",
)


def inner_of(outbound: Outbound) -> dict[str, Any]:
    wrapped = fields(outbound.body)
    assert list(wrapped) == ["input"]
    return fields(base64.b64decode(wrapped["input"]["invokeModel"]["body"]))


@pytest.mark.parametrize("client", [ANTHROPIC, VERTEX])
def test_a_count_for_bedrock_is_an_invoke_body_in_base64(client: str) -> None:
    outbound = crossed(inbound_of(client, COUNTED, betas=COUNT_BETAS, operation=COUNT_TOKENS), BEDROCK)
    inner = inner_of(outbound)
    assert outbound.path == "/model/anthropic.claude-sonnet-4-5-20250929-v1%3A0/count-tokens"
    assert inner["anthropic_version"] == "bedrock-2023-05-31"
    assert inner["anthropic_beta"] == ["claude-code-20250219", "interleaved-thinking-2025-05-14"]
    assert inner["max_tokens"] == 2049
    assert inner["messages"] == COUNTED["messages"]
    assert not {"model", "tools", "stream"} & inner.keys()
    assert outbound.betas_removed == ("token-counting-2024-11-01", "effort-2025-11-24")


def test_a_count_for_bedrock_without_thinking_asks_for_one_token() -> None:
    inbound = inbound_of(ANTHROPIC, {"model": "m", "messages": []}, operation=COUNT_TOKENS)
    assert inner_of(crossed(inbound, BEDROCK))["max_tokens"] == 1


def test_a_count_for_bedrock_keeps_context_management_with_its_beta() -> None:
    request = {"model": "m", "messages": [], "context_management": {"edits": []}, "tags": {"a": "b"}}
    inbound = inbound_of(ANTHROPIC, request, betas=("context-management-2025-06-27",), operation=COUNT_TOKENS)
    outbound = crossed(inbound, BEDROCK)
    assert inner_of(outbound)["context_management"] == {"edits": []}
    assert outbound.fields_removed == ("tags",)
    plain = crossed(inbound_of(ANTHROPIC, request, operation=COUNT_TOKENS), BEDROCK)
    assert "context_management" not in inner_of(plain)


@pytest.mark.parametrize("upstream", [ANTHROPIC, VERTEX])
def test_a_bedrock_count_is_unwrapped(upstream: str) -> None:
    request = {**COUNTED, "max_tokens": 2049}
    outbound = crossed(inbound_of(BEDROCK, request, betas=COUNT_BETAS[:1], operation=COUNT_TOKENS), upstream)
    body = fields(outbound.body)
    assert body["model"] == UPSTREAM_MODELS[upstream]
    assert body["messages"] == COUNTED["messages"]
    assert not {"max_tokens", "stream", "anthropic_beta"} & body.keys()
    assert ("anthropic_version" in body) == (upstream == VERTEX)
    assert header(outbound.headers, b"anthropic-beta") == b"claude-code-20250219"


@pytest.mark.parametrize(("client", "upstream"), [(ANTHROPIC, VERTEX), (VERTEX, ANTHROPIC), (VERTEX, VERTEX)])
def test_a_count_between_the_others_moves_the_model_only(client: str, upstream: str) -> None:
    outbound = crossed(inbound_of(client, COUNTED, operation=COUNT_TOKENS), upstream)
    body = fields(outbound.body)
    assert body["model"] == UPSTREAM_MODELS[upstream]
    assert content(body) == content(COUNTED)
    assert outbound.path.endswith("count_tokens" if upstream == ANTHROPIC else "/models/count-tokens:rawPredict")


def test_a_bedrock_count_stays_as_it_came_on_bedrock() -> None:
    inbound = inbound_of(BEDROCK, {**COUNTED, "max_tokens": 2049}, operation=COUNT_TOKENS)
    assert crossed(inbound, BEDROCK).body == inbound.body


def test_a_conversation_to_be_counted_goes_to_bedrock_only() -> None:
    raw = b'{"input":{"converse":{"messages":[]}}}'
    inbound = bedrock.parse(b"/model/m/count-tokens", [], raw)
    assert crossed(inbound, BEDROCK).body == raw
    with pytest.raises(NotBridgeable) as refused:
        crossed(inbound, ANTHROPIC)
    assert refused.value.status == 501


def test_an_application_profile_counts_nowhere() -> None:
    arn = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc"
    with pytest.raises(NotBridgeable) as refused:
        crossed(inbound_of(ANTHROPIC, COUNTED, operation=COUNT_TOKENS), BEDROCK, arn)
    assert refused.value.status == 501
    assert "123456789012" not in refused.value.message


def test_an_administrators_refusal_holds_between_equal_formats_too() -> None:
    registry = Registry(SHIPPED, (Rule(FIELD, "speed", BEDROCK, REFUSE),))
    with pytest.raises(NotBridgeable, match="speed"):
        crossed(inbound_of(BEDROCK, {**golden("text").request, "speed": "fast"}), BEDROCK, registry=registry)


def test_a_rule_that_changes_nothing_leaves_the_bytes_alone() -> None:
    registry = Registry(SHIPPED, (Rule(FIELD, "speed", BEDROCK, PASS),))
    inbound = inbound_of(BEDROCK, {**golden("text").request, "speed": "fast"}, betas=("a-1",))
    assert crossed(inbound, BEDROCK, registry=registry).body == inbound.body


def test_a_body_with_thousands_of_different_fields_is_refused() -> None:
    tools = [{"name": "t", f"key{number}": 1} for number in range(3000)]
    with pytest.raises(BadBody, match="too many"):
        features(inbound_of(ANTHROPIC, {"model": "m", "messages": [], "tools": tools}))
