"""Every row of the table of body fields, one test each; and that what needs no edit keeps its bytes."""

import json
from typing import Any

import pytest

from routing.formats.anthropic import parse
from routing.formats.base import ANTHROPIC, BEDROCK, VERTEX, Outbound, header
from routing.formats.compat import FIELD, PASS, REFUSE, RENAME, Registry, Rule
from routing.formats.compat_rules import SHIPPED
from routing.formats.faults import NotBridgeable
from routing.formats.translate import features, to_upstream, unbridgeable
from tests.formats.golden import UPSTREAM_MODELS, fields, inbound_of
from tests.formats.test_betas_across import REGISTRY, REQUEST, sent

CLOUDS = (BEDROCK, VERTEX)
EPHEMERAL = {"type": "ephemeral"}
TOOL = {"name": "t", "input_schema": {"type": "object"}}


def crossed(upstream: str, model: str = "", registry: Registry = REGISTRY, **request: Any) -> dict[str, Any]:
    return fields(sent(upstream, request=request, model=model, registry=registry).body)


def refusal(upstream: str, **request: Any) -> str:
    with pytest.raises(NotBridgeable) as refused:
        sent(upstream, request=request)
    return refused.value.message


DROPPED: dict[str, Any] = {
    "tags": {"a": "b"},
    "workspace_id": "w",
    "billing_policy": "x",
    "thread": {"id": "t"},
    "container": "c",
    "mcp_servers": [],
    "fallbacks": [],
    "fallback_credit_token": "t",
    "diagnostics": {},
    "inference_geo": "us",
    "user_profile_id": "u",
    "service_tier": "auto",
    "speed": "fast",
}


@pytest.mark.parametrize("upstream", CLOUDS)
@pytest.mark.parametrize("name", DROPPED)
def test_row_of_the_field_table_removed(name: str, upstream: str) -> None:
    outbound = sent(upstream, request={name: DROPPED[name]})
    assert name not in fields(outbound.body)
    assert outbound.fields_removed == (name,)


@pytest.mark.parametrize("upstream", CLOUDS)
def test_row_model_and_stream(upstream: str) -> None:
    body = crossed(upstream)
    assert "model" not in body
    assert "stream" not in body


@pytest.mark.parametrize("upstream", CLOUDS)
def test_row_safeguards_are_refused_by_name(upstream: str) -> None:
    assert "safeguards" in refusal(upstream, safeguards={"x": 1})


def test_row_service_tier_travels_in_a_header_where_a_rule_says_so() -> None:
    rule = Rule(FIELD, "service_tier", BEDROCK, RENAME, replacement="header:x-amzn-bedrock-service-tier")
    registry = Registry(SHIPPED, (rule,))
    outbound = sent(BEDROCK, request={"service_tier": "priority"}, registry=registry)
    assert header(outbound.headers, b"x-amzn-bedrock-service-tier") == b"priority"
    assert "service_tier" not in fields(outbound.body)
    other = sent(BEDROCK, request={"service_tier": "auto"}, registry=registry)
    assert not header(other.headers, b"x-amzn-bedrock-service-tier")
    assert other.fields_removed == ("service_tier",)


def test_row_speed_stays_where_fast_mode_is_sold() -> None:
    assert crossed(VERTEX, model="claude-fable-5-2", speed="fast")["speed"] == "fast"
    assert "speed" not in crossed(VERTEX, model="claude-opus-5-5", speed="fast")
    both = sent(VERTEX, "fast-mode-2026-02-01", request={"speed": "fast"}, model="claude-fable-5-2")
    assert fields(both.body)["speed"] == "fast"


def test_row_speed_is_refused_where_a_rule_says_so() -> None:
    registry = Registry(SHIPPED, (Rule(FIELD, "speed", BEDROCK, REFUSE),))
    with pytest.raises(NotBridgeable, match="speed"):
        sent(BEDROCK, request={"speed": "fast"}, registry=registry)


@pytest.mark.parametrize("upstream", CLOUDS)
def test_row_context_management_goes_without_its_beta(upstream: str) -> None:
    assert "context_management" not in crossed(upstream, context_management={"edits": []})


@pytest.mark.parametrize("upstream", CLOUDS)
@pytest.mark.parametrize(
    "part",
    [
        {"output_config": {"effort": "high"}},
        {"output_config": {"format": {"type": "json_schema", "schema": {}}}},
        {"thinking": {"type": "adaptive", "display": "omitted"}},
        {"metadata": {"user_id": '{"device_id":"d"}'}},
        {"stop_sequences": ["x"]},
        {"new_field": [1, {"a": None}]},
    ],
    ids=["effort", "format", "thinking display", "metadata", "stop sequences", "unknown"],
)
def test_row_of_the_field_table_kept(part: dict[str, Any], upstream: str) -> None:
    outbound = sent(upstream, request=part)
    name = next(iter(part))
    assert fields(outbound.body)[name] == part[name]
    assert outbound.fields_removed == ()


def test_row_top_level_cache_control_moves_to_the_last_block_on_bedrock() -> None:
    body = crossed(BEDROCK, cache_control=EPHEMERAL)
    assert "cache_control" not in body
    assert body["messages"] == [
        {"role": "user", "content": [{"type": "text", "text": "hi", "cache_control": EPHEMERAL}]}
    ]
    blocks = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    body = crossed(BEDROCK, cache_control=EPHEMERAL, messages=[{"role": "user", "content": blocks}])
    assert body["messages"][0]["content"] == [blocks[0], {**blocks[1], "cache_control": EPHEMERAL}]
    assert crossed(VERTEX, cache_control=EPHEMERAL)["cache_control"] == EPHEMERAL


def test_row_top_level_cache_control_is_dropped_where_no_block_can_have_it() -> None:
    point = {"type": "text", "text": "s", "cache_control": EPHEMERAL}
    full = sent(BEDROCK, request={"cache_control": EPHEMERAL, "system": [point] * 4})
    assert full.fields_removed == ("cache_control",)
    thinking = [{"role": "assistant", "content": [{"type": "thinking", "thinking": "t", "signature": "s"}]}]
    assert sent(BEDROCK, request={"cache_control": EPHEMERAL, "messages": thinking}).fields_removed == (
        "cache_control",
    )


@pytest.mark.parametrize("upstream", CLOUDS)
def test_row_cache_control_keeps_type_and_ttl_only(upstream: str) -> None:
    rich = {"type": "ephemeral", "ttl": "1h", "scope": "global", "new": 1}
    block = {"type": "text", "text": "x", "cache_control": rich}
    result = {"type": "tool_result", "tool_use_id": "t", "content": [block], "cache_control": rich}
    request = {
        "system": [block],
        "tools": [{**TOOL, "cache_control": rich}],
        "messages": [{"role": "user", "content": [result]}],
    }
    outbound = sent(upstream, request=request)
    plain = json.loads(json.dumps(request).replace(', "scope": "global", "new": 1', ""))
    body = fields(outbound.body)
    assert {name: body[name] for name in plain} == plain
    assert outbound.fields_removed == ("cache_control.new", "cache_control.scope")


@pytest.mark.parametrize("upstream", CLOUDS)
def test_row_output_config_of_a_message_is_dropped(upstream: str) -> None:
    outbound = sent(
        upstream, request={"messages": [{"role": "user", "content": "a", "output_config": {"effort": "low"}}]}
    )
    assert fields(outbound.body)["messages"] == [{"role": "user", "content": "a"}]
    assert outbound.fields_removed == ("messages[].output_config",)


SYSTEM_TURN = {"role": "system", "content": "Be kind."}
MODERN = ("us.anthropic.claude-opus-4-8", "claude-opus-5-5", "claude-fable-5", "claude-fable-5-2", "claude-opus-5")


@pytest.mark.parametrize("upstream", CLOUDS)
@pytest.mark.parametrize("model", MODERN)
def test_row_system_turns_stay_for_newer_models(upstream: str, model: str) -> None:
    messages = [{"role": "user", "content": "a"}, SYSTEM_TURN]
    assert crossed(upstream, model=model, messages=messages)["messages"] == messages


@pytest.mark.parametrize("upstream", CLOUDS)
def test_row_system_turns_join_the_next_user_turn_for_older_models(upstream: str) -> None:
    said = {"type": "text", "text": "Be kind."}
    use = {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "n", "input": {}}]}
    result = {"type": "tool_result", "tool_use_id": "t", "content": "42"}
    messages = [{"role": "user", "content": "a"}, use, SYSTEM_TURN, {"role": "user", "content": [result]}]
    assert crossed(upstream, messages=messages)["messages"][2:] == [{"role": "user", "content": [result, said]}]
    messages = [{"role": "user", "content": "a"}, SYSTEM_TURN, SYSTEM_TURN, {"role": "user", "content": "b"}]
    assert crossed(upstream, messages=messages)["messages"] == [
        messages[0],
        {"role": "user", "content": [said, said, {"type": "text", "text": "b"}]},
    ]
    messages = [{"role": "user", "content": "a"}, SYSTEM_TURN, use, {"role": "user", "content": [result]}, SYSTEM_TURN]
    turn = {"role": "user", "content": [said]}
    assert crossed(upstream, messages=messages)["messages"] == [messages[0], turn, *messages[2:4], turn]


def test_row_system_turns_can_be_refused_by_their_class() -> None:
    registry = Registry(SHIPPED, (Rule(FIELD, "messages[].role=system", BEDROCK, REFUSE),))
    with pytest.raises(NotBridgeable) as refused:
        sent(BEDROCK, request={"messages": [SYSTEM_TURN]}, registry=registry, model="claude-opus-5-5")
    assert refused.value.message == "capability_rejected: mid_conv_system"


def _with_source(kind: str, source: dict[str, str]) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": [{"type": kind, "source": source}]}]}


@pytest.mark.parametrize("upstream", CLOUDS)
@pytest.mark.parametrize("kind", ["image", "document"])
def test_row_sources_by_url_or_file_are_refused(upstream: str, kind: str) -> None:
    message = refusal(upstream, **_with_source(kind, {"type": "url", "url": "https://example.org/x"}))
    assert "url" in message
    assert upstream in message
    message = refusal(upstream, **_with_source(kind, {"type": "file", "file_id": "file_1"}))
    assert "file_id" in message
    assert upstream in message


@pytest.mark.parametrize("upstream", CLOUDS)
def test_row_a_source_inside_a_tool_result_is_refused_too(upstream: str) -> None:
    image = {"type": "image", "source": {"type": "url", "url": "https://example.org/x"}}
    result = {"type": "tool_result", "tool_use_id": "t", "content": [image]}
    assert "url" in refusal(upstream, messages=[{"role": "user", "content": [result]}])


SERVER_TOOLS = ("web_fetch_20250910", "code_execution_20250825", "mcp_toolset", "advisor_20260301", "new_tool_20270101")


@pytest.mark.parametrize("upstream", CLOUDS)
@pytest.mark.parametrize("kind", SERVER_TOOLS)
def test_row_server_tools_are_refused(upstream: str, kind: str) -> None:
    message = refusal(upstream, tools=[{"type": kind, "name": "x"}])
    assert kind in message
    assert upstream in message


def test_row_web_search_is_possible_on_vertex_only() -> None:
    tools = [{"type": "web_search_20250305", "name": "web_search"}]
    assert "web_search_20250305" in refusal(BEDROCK, tools=tools)
    assert crossed(VERTEX, tools=tools)["tools"] == tools


@pytest.mark.parametrize("upstream", CLOUDS)
@pytest.mark.parametrize(
    "kind",
    [
        "custom",
        "bash_20250124",
        "text_editor_20250728",
        "memory_20250818",
        "tool_search_tool_regex_20251119",
        "computer_20250124",
    ],
)
def test_row_tools_that_the_client_runs_pass(upstream: str, kind: str) -> None:
    tools = [{"type": kind, "name": "x"}]
    assert crossed(upstream, tools=tools)["tools"] == tools


def test_with_the_last_tool_its_choice_goes_too() -> None:
    request = {"tools": [{"type": "computer_20251124", "name": "computer"}], "tool_choice": {"type": "any"}}
    body = fields(sent(BEDROCK, "computer-use-2025-11-24", request=request).body)
    assert "tools" not in body
    assert "tool_choice" not in body


def test_a_target_that_cannot_take_the_request_is_known_beforehand() -> None:
    inbound = inbound_of(ANTHROPIC, {**REQUEST, **_with_source("image", {"type": "url", "url": "https://x"})})
    found = features(inbound)
    assert "source.type=url" in found
    for upstream, possible in ((ANTHROPIC, True), (BEDROCK, False), (VERTEX, False)):
        model = UPSTREAM_MODELS[upstream]
        why = unbridgeable(inbound, found, upstream_format=upstream, upstream_model=model, registry=REGISTRY)
        assert (why is None) == possible
    registry = Registry(SHIPPED, (Rule(FIELD, "source.type=url", VERTEX, PASS),))
    assert unbridgeable(inbound, found, upstream_format=VERTEX, upstream_model="m", registry=registry) is None


ODD = b"""{ "model" :"m","max_tokens":5, "stop_sequences":[ "\\ud83d\\ude00" ], "big":123456789012345678901234567890,
 "huge": 1e400, "tags":{"x":1}, "small":1.500,"messages" : [ {"role":"user","content":[
 {"type":"text","text":"\\u00fc / \\/ \\u00e9"} , {"cache_control":{"ttl":"1h","scope":"x","type":"ephemeral"}, "type":"text",
 "text" : "b" } ] },{"role" : "assistant","content":"kept  as it is"} ], "system":[ {"text":"a","type":"text"} ] }"""


@pytest.mark.parametrize("upstream", CLOUDS)
def test_what_no_rule_touches_keeps_its_bytes(upstream: str) -> None:
    outbound: Outbound = to_upstream(
        parse("messages", [(b"anthropic-version", b"2023-06-01")], ODD),
        upstream_format=upstream,
        upstream_model="m",
        provider_region="eu",
        provider_project="p",
        registry=REGISTRY,
    )
    for kept in (
        *(
            b'"stop_sequences":[ "\\ud83d\\ude00" ]',
            b'"big":123456789012345678901234567890',
            b'"huge":1e400',
            b'"small":1.500',
        ),
        *(b'{"type":"text","text":"\\u00fc / \\/ \\u00e9"}', b'{"role" : "assistant","content":"kept  as it is"}'),
        b'"system":[ {"text":"a","type":"text"} ]',
    ):
        assert kept in outbound.body
    assert b'{"cache_control":{"ttl":"1h","type":"ephemeral"},"type":"text","text":"b"}' in outbound.body
    order = [outbound.body.index(name) for name in (b'"max_tokens"', b'"stop_sequences"', b'"messages"', b'"system"')]
    assert order == sorted(order)
