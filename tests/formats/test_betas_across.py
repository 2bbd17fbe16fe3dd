"""Every row of the table of betas, one test each, through whole requests; then how rules are chosen."""

from typing import Any

import pytest

from routing.formats.base import ANTHROPIC, BEDROCK, VERTEX, Outbound, header
from routing.formats.compat import (
    BETA,
    DROP,
    FIELD,
    PASS,
    REFUSE,
    RENAME,
    Registry,
    Rule,
    problem_of,
)
from routing.formats.compat_rules import SHIPPED
from routing.formats.faults import NotBridgeable
from routing.formats.translate import to_upstream
from tests.formats.golden import UPSTREAM_MODELS, fields, inbound_of

REGISTRY = Registry(SHIPPED)
REQUEST: dict[str, Any] = {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]}


def sent(
    upstream: str,
    *betas: str,
    client: str = ANTHROPIC,
    request: dict[str, Any] | None = None,
    registry: Registry = REGISTRY,
    model: str = "",
) -> Outbound:
    return to_upstream(
        inbound_of(client, {**REQUEST, **(request or {})}, betas=betas),
        upstream_format=upstream,
        upstream_model=model or UPSTREAM_MODELS[upstream],
        provider_region="global",
        provider_project="p",
        registry=registry,
    )


def betas_in(upstream: str, outbound: Outbound) -> list[str]:
    """The betas as the upstream sees them, from the place where its format has them."""
    in_header = [value for value in header(outbound.headers, b"anthropic-beta").decode().split(",") if value]
    in_body: list[str] = fields(outbound.body).get("anthropic_beta", [])
    assert not (in_header if upstream == BEDROCK else in_body)
    return in_body if upstream == BEDROCK else in_header


ADVANCED, SEARCH = "advanced-tool-use-2025-11-20", "tool-search-tool-2025-10-19"
# beta: (what Bedrock gets, what Vertex gets); nothing where it is dropped
ROWS: dict[str, tuple[str, str]] = {
    ADVANCED: (SEARCH, SEARCH),
    SEARCH: (SEARCH, SEARCH),
    "claude-code-20250219": ("", "claude-code-20250219"),
    "effort-2025-11-24": ("", "effort-2025-11-24"),
    "oauth-2025-04-20": ("", ""),
    "interleaved-thinking-2025-05-14": ("interleaved-thinking-2025-05-14", "interleaved-thinking-2025-05-14"),
    "context-1m-2025-08-07": ("context-1m-2025-08-07", "context-1m-2025-08-07"),
    "thinking-token-count-2026-05-13": ("thinking-token-count-2026-05-13", "thinking-token-count-2026-05-13"),
    "web-search-2025-03-05": ("", "web-search-2025-03-05"),
    **dict.fromkeys(
        (
            *("context-management-2025-06-27", "compact-2026-01-12", "fine-grained-tool-streaming-2025-05-14"),
            *("computer-use-2025-11-24", "token-efficient-tools-2025-02-19", "per-turn-control-2026-07-01"),
            *("mid-conversation-tool-changes-2026-07-01", "extended-cache-ttl-2025-04-11"),
            *("prompt-caching-scope-2026-01-05", "structured-outputs-2025-11-13", "fast-mode-2026-02-01"),
            *("files-api-2025-04-14", "skills-2025-10-02", "mcp-client-2025-11-20", "server-side-fallback-2026-06-01"),
            *("request-tags-2026-03-01", "never-heard-of-2027-01-01"),
        ),
        ("", ""),
    ),
}


@pytest.mark.parametrize("beta", ROWS)
@pytest.mark.parametrize(("upstream", "column"), [(BEDROCK, 0), (VERTEX, 1)])
def test_row_of_the_beta_table(beta: str, upstream: str, column: int) -> None:
    outbound = sent(upstream, beta)
    expected = ROWS[beta][column]
    assert betas_in(upstream, outbound) == ([expected] if expected else [])
    assert outbound.betas_removed == (() if expected else (beta,))
    assert outbound.betas_renamed == (((beta, expected),) if expected not in ("", beta) else ())
    assert list(outbound.betas_sent) == betas_in(upstream, outbound)


def test_tool_search_goes_to_anthropic_by_its_newer_name() -> None:
    for client in (BEDROCK, VERTEX):
        outbound = sent(ANTHROPIC, SEARCH, client=client)
        assert betas_in(ANTHROPIC, outbound) == [ADVANCED]
        assert outbound.betas_renamed == ((SEARCH, ADVANCED),)


def test_a_rename_to_a_value_that_is_there_is_sent_once() -> None:
    assert betas_in(BEDROCK, sent(BEDROCK, SEARCH, ADVANCED)) == [SEARCH]


@pytest.mark.parametrize("upstream", [BEDROCK, VERTEX])
def test_input_examples_bring_their_beta_with_them(upstream: str) -> None:
    tool = {"name": "t", "input_schema": {"type": "object"}, "input_examples": [{}]}
    outbound = sent(upstream, ADVANCED, request={"tools": [tool]})
    assert betas_in(upstream, outbound) == [SEARCH, "tool-examples-2025-10-29"]
    assert fields(outbound.body)["tools"] == [tool]


# a beta that is dropped, the part of the body that goes with it, and how the record names that
PAIRS: dict[str, tuple[str, dict[str, Any]]] = {
    "context_management": ("context-management-2025-06-27", {"context_management": {"edits": []}}),
    "compaction": ("compact-2026-01-12", {"compaction": {"a": 1}}),
    "output_format": ("structured-outputs-2025-11-13", {"output_format": {"type": "json_schema"}}),
    "speed": ("fast-mode-2026-02-01", {"speed": "fast"}),
    "container": ("skills-2025-10-02", {"container": {"skills": []}}),
    "mcp_servers": ("mcp-client-2025-11-20", {"mcp_servers": []}),
    "fallbacks": ("server-side-fallback-2026-06-01", {"fallbacks": ["x"]}),
    "tags": ("request-tags-2026-03-01", {"tags": {"a": "b"}}),
    "messages[].output_config": (
        "per-turn-control-2026-07-01",
        {"messages": [{"role": "user", "content": "hi", "output_config": {"effort": "low"}}]},
    ),
    "cache_control.scope": (
        "prompt-caching-scope-2026-01-05",
        {"system": [{"type": "text", "text": "s", "cache_control": {"type": "ephemeral", "scope": "global"}}]},
    ),
    "tools[].eager_input_streaming": (
        "fine-grained-tool-streaming-2025-05-14",
        {"tools": [{"name": "t", "input_schema": {}, "eager_input_streaming": True}]},
    ),
    "tools[].type=computer_20251124": (
        "computer-use-2025-11-24",
        {"tools": [{"type": "computer_20251124", "name": "computer"}, {"name": "t", "input_schema": {}}]},
    ),
}


@pytest.mark.parametrize("upstream", [BEDROCK, VERTEX])
@pytest.mark.parametrize("feature", PAIRS)
def test_a_dropped_beta_takes_its_part_of_the_body_with_it(feature: str, upstream: str) -> None:
    beta, part = PAIRS[feature]
    outbound = sent(upstream, beta, request=part)
    assert outbound.betas_removed == (beta,)
    assert outbound.fields_removed == (feature,)
    gone = feature.rpartition(".")[2].rpartition("=")[2].encode()
    assert gone not in outbound.body


def test_to_anthropic_every_beta_passes() -> None:
    outbound = sent(ANTHROPIC, "never-heard-of-2027-01-01", "oauth-2025-04-20", client=VERTEX)
    assert betas_in(ANTHROPIC, outbound) == ["never-heard-of-2027-01-01", "oauth-2025-04-20"]


def test_betas_named_in_a_messages_body_count_too() -> None:
    request = {"betas": ["context-1m-2025-08-07"], "anthropic_beta": ["interleaved-thinking-2025-05-14"]}
    outbound = sent(BEDROCK, "oauth-2025-04-20", request=request)
    assert betas_in(BEDROCK, outbound) == ["interleaved-thinking-2025-05-14", "context-1m-2025-08-07"]
    assert "betas" not in fields(outbound.body)


def _own(*rules: Rule) -> Registry:
    return Registry(SHIPPED, rules)


def test_an_administrator_allows_a_beta_for_some_models() -> None:
    registry = _own(Rule(BETA, "context-management-2025-06-27", BEDROCK, PASS, model="*sonnet-4-5*"))
    part: dict[str, Any] = {"context_management": {"edits": []}}
    outbound = sent(BEDROCK, "context-management-2025-06-27", request=part, registry=registry)
    assert betas_in(BEDROCK, outbound) == ["context-management-2025-06-27"]
    assert fields(outbound.body)["context_management"] == {"edits": []}
    other = sent(
        BEDROCK, "context-management-2025-06-27", request=part, registry=registry, model="us.anthropic.claude-3"
    )
    assert other.fields_removed == ("context_management",)


def test_context_management_stays_as_long_as_one_of_its_betas_does() -> None:
    registry = _own(Rule(BETA, "compact-2026-01-12", BEDROCK, PASS))
    betas = ("context-management-2025-06-27", "compact-2026-01-12")
    outbound = sent(BEDROCK, *betas, request={"context_management": {}}, registry=registry)
    assert outbound.betas_removed == ("context-management-2025-06-27",)
    assert outbound.fields_removed == ()


def test_an_administrators_rule_beats_a_shipped_one_of_the_same_name() -> None:
    registry = _own(Rule(BETA, "oauth-2025-04-20", BEDROCK, PASS))
    assert betas_in(BEDROCK, sent(BEDROCK, "oauth-2025-04-20", registry=registry)) == ["oauth-2025-04-20"]


def test_a_longer_name_beats_a_shorter_pattern_whoever_wrote_it() -> None:
    registry = _own(Rule(BETA, "*", BEDROCK, PASS))
    outbound = sent(BEDROCK, "oauth-2025-04-20", "never-heard-of-2027-01-01", registry=registry)
    assert betas_in(BEDROCK, outbound) == ["never-heard-of-2027-01-01"]


def test_of_two_equal_rules_the_later_one_counts() -> None:
    registry = _own(Rule(BETA, "x-*", BEDROCK, DROP), Rule(BETA, "x-*", BEDROCK, RENAME, replacement="y-1"))
    assert betas_in(BEDROCK, sent(BEDROCK, "x-2026-01-01", registry=registry)) == ["y-1"]


def test_a_rule_for_one_model_beats_one_for_all() -> None:
    rules = (Rule(BETA, "x-1", BEDROCK, DROP, model="*sonnet*"), Rule(BETA, "x-1", BEDROCK, PASS))
    assert sent(BEDROCK, "x-1", registry=_own(*rules)).betas_removed == ("x-1",)


def test_a_refused_beta_is_named_by_its_class() -> None:
    registry = _own(Rule(BETA, "x-1", BEDROCK, REFUSE))
    with pytest.raises(NotBridgeable) as refused:
        sent(BEDROCK, "x-1", registry=registry)
    assert refused.value.message == "capability_rejected: beta_header:x-1"


@pytest.mark.parametrize("format_", [ANTHROPIC, BEDROCK, VERTEX])
def test_between_equal_formats_every_beta_passes(format_: str) -> None:
    outbound = sent(format_, *ROWS, client=format_)
    if format_ == BEDROCK:
        assert fields(outbound.body)["anthropic_beta"] == list(ROWS)
    else:
        assert header(outbound.headers, b"anthropic-beta").decode() == ",".join(ROWS)
    assert outbound.betas_removed == ()


@pytest.mark.parametrize("format_", [ANTHROPIC, BEDROCK, VERTEX])
def test_between_equal_formats_an_administrators_rule_still_holds(format_: str) -> None:
    rule = Rule(BETA, "refused-2026-01-01", format_, DROP, pair=("speed",))
    part = {"speed": "fast", "kept": {"a": 1.50}}
    outbound = sent(format_, "refused-2026-01-01", "other-1", client=format_, request=part, registry=_own(rule))
    assert betas_in(format_, outbound) == ["other-1"]
    assert (outbound.betas_removed, outbound.fields_removed) == (("refused-2026-01-01",), ("speed",))
    assert "speed" not in fields(outbound.body)
    assert b'"kept":{"a":1.5}' in outbound.body


def test_what_no_rule_names_is_told_apart_from_what_a_rule_drops() -> None:
    edits = REGISTRY.apply(
        ["oauth-2025-04-20", "new-1"], [], upstream_format=BEDROCK, model="m", client_format=ANTHROPIC
    )
    assert edits.removed_betas == ("oauth-2025-04-20", "new-1")
    assert edits.unknown == ("new-1",)


@pytest.mark.parametrize(
    "rule",
    [
        Rule("colour", "x", BEDROCK, PASS),
        Rule(BETA, "x", BEDROCK, "paint"),
        Rule(BETA, "", BEDROCK, PASS),
        Rule(BETA, "x", BEDROCK, RENAME),
        Rule(BETA, "x", BEDROCK, RENAME, replacement="a,b"),
        Rule(FIELD, "speed", BEDROCK, RENAME, replacement="velocity"),
        Rule(FIELD, "speed", BEDROCK, RENAME, replacement="header:x\r\ny"),
    ],
)
def test_a_rule_that_makes_no_sense_is_explained(rule: Rule) -> None:
    assert problem_of(rule).endswith(".")


def test_every_shipped_rule_makes_sense_and_says_where_it_is_from() -> None:
    for rule in SHIPPED:
        assert problem_of(rule) == ""
        assert rule.source
        assert rule.date
    keys = [(rule.kind, rule.name, rule.upstream_format, rule.model) for rule in SHIPPED]
    assert len(set(keys)) == len(keys)
