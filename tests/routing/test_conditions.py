"""Conditions of routes: which requests they hold for, what is refused with which sentence, and how people write them."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some
from msgspec.structs import replace

from accounting.access.grant import Grant
from routing.condition_lines import LEGEND, BadLines, read_lines, written
from routing.conditions import TESTS, canonical, compiled, first_problem, problems_of
from routing.facts import Facts, facts_of
from routing.formats.base import COUNT_TOKENS, MESSAGES, Inbound

FACTS = Facts(
    team="research",
    project="default",
    key="ci",
    key_prefix="gw_Ab12Cd34",
    tags={"env": "prod", "region": "eu-west"},
    format="bedrock",
    session_id="sess-1",
    stream=True,
    betas=("context-1m-2025-08-07", "other"),
    model="claude-opus-5[1m]",
    prompt_tokens=1000,
    body=lambda: b'{"model":"x","thinking":{"type":"enabled","budget":null},"container":null,"a.b":1,"text":"t"}',
)


def holds(when: dict[str, Any], facts: Facts = FACTS) -> bool:
    (condition,) = compiled([{"when": when, "route": "r"}])
    return not condition.missed(facts)


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ({"team": "research"}, True),
        ({"team": ["apps", "research"]}, True),
        ({"team": "rese*"}, True),
        ({"team": "apps"}, False),
        ({"project": ["default"]}, True),
        ({"project": "x"}, False),
        ({"tag": "env"}, True),
        ({"tag": "env=prod"}, True),
        ({"tag": "env=p*"}, True),
        ({"tag": "env=dev"}, False),
        ({"tag": ["cost_center", "env"]}, True),
        ({"tag": "cost_center"}, False),
        ({"tag": {"env": "prod"}}, True),
        ({"tag": {"env": ["dev", "prod"], "region": "eu-*"}}, True),
        ({"tag": {"env": "prod", "cost_center": "*"}}, False),
        ({"tag": {"env": ""}}, False),
        ({"key": "ci"}, True),
        ({"key": "gw_Ab12Cd34"}, True),
        ({"key": "gw_*"}, True),
        ({"key": "other"}, False),
        ({"format": "bedrock"}, True),
        ({"format": ["anthropic", "vertex"]}, False),
        ({"session": True}, True),
        ({"session": False}, False),
        ({"session": "sess-*"}, True),
        ({"session": ["other", "sess-1"]}, True),
        ({"session": [False, "nope"]}, False),
        ({"stream": True}, True),
        ({"stream": False}, False),
        ({"stream": [True, False]}, True),
        ({"beta": "context-1m-*"}, True),
        ({"beta": ["nope", "other"]}, True),
        ({"beta": "nope"}, False),
        ({"field": "thinking"}, True),
        ({"field": "thinking.type"}, True),
        ({"field": "thinking.budget"}, False),
        ({"field": "text.type"}, False),
        ({"field": "container"}, False),
        ({"field": "a.b"}, True),
        ({"field": ["nope", "model"]}, True),
        ({"field": "nope.type"}, False),
        ({"model": "claude-opus-5[1m]"}, True),
        ({"model": "claude-opus-5"}, True),
        ({"model": "claude-*"}, True),
        ({"model": "opus"}, False),
        ({"prompt_tokens_above": 999}, True),
        ({"prompt_tokens_above": 1000}, False),
        ({"prompt_tokens_below": 1001}, True),
        ({"prompt_tokens_below": 1000}, False),
        ({"prompt_tokens_above": 10, "prompt_tokens_below": 2000}, True),
        ({"team": "research", "stream": False}, False),
        ({"team": "research", "stream": True, "field": "thinking", "tag": {"env": "prod"}}, True),
    ],
)
def test_a_condition_holds_exactly_for_what_it_says(when: dict[str, Any], expected: bool) -> None:
    assert holds(when) is expected


def test_every_test_is_covered_by_the_legend_and_known_here() -> None:
    assert {name.split(".")[0] for name, _, _ in LEGEND} == set(TESTS)
    for _, example, _ in LEGEND:
        read_lines(f"{example} -> r")


def test_without_a_session_only_false_holds() -> None:
    nobody = replace(FACTS, session_id="")
    assert holds({"session": False}, nobody)
    assert not holds({"session": True}, nobody)
    assert not holds({"session": "*"}, nobody)


@pytest.mark.parametrize("test", ["prompt_tokens_above", "prompt_tokens_below"])
def test_where_nothing_is_known_of_the_size_no_condition_on_it_holds(test: str) -> None:
    assert not holds({test: 10}, replace(FACTS, prompt_tokens=None))


def test_the_missed_test_is_named() -> None:
    (condition,) = compiled([{"when": {"stream": True, "team": "apps", "field": "nope"}, "route": "r"}])
    assert condition.missed(FACTS) == "team"


GRANT = Grant(1, "ci", "gw_x", "service", "research", "default", tags={"a": "b"})


def test_facts_are_those_of_the_request_and_its_key() -> None:
    body = b'{"model": "m", "thinking": {}}'
    inbound = Inbound("vertex", MESSAGES, "m", True, body, [], betas=("b",), session_id="s")
    facts = facts_of(inbound, GRANT)
    assert (facts.team, facts.project, facts.key, facts.key_prefix) == ("research", "default", "ci", "gw_x")
    assert (facts.tags, facts.format, facts.session_id, facts.stream) == ({"a": "b"}, "vertex", "s", True)
    assert (facts.betas, facts.model, facts.prompt_tokens) == (("b",), "m", len(body) // 4)
    assert facts.has_field("thinking")


def test_the_body_is_read_once_and_only_when_a_field_is_asked_for() -> None:
    reads = 0

    def body() -> bytes:
        nonlocal reads
        reads += 1
        return b'{"a": 1}'

    facts = replace(FACTS, body=body, _fields=None)
    assert not holds({"team": "apps", "field": "a"}, facts)
    assert reads == 0
    for name in ("a", "b", "c.d"):
        holds({"field": name}, facts)
    assert reads == 1


def test_a_wrapped_count_on_bedrock_is_looked_into_and_a_broken_one_has_no_fields() -> None:
    whole = b'{"input":{"invokeModel":{"body":"eyJ0aGlua2luZyI6e319"}}}'  # {"thinking":{}}
    for body, found in ((whole, True), (b'{"input":{}}', False), (b"[1]", False), (b"{", False)):
        inbound = Inbound("bedrock", COUNT_TOKENS, "m", False, body, [])
        assert facts_of(inbound, GRANT).has_field("thinking") is found


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ("x", "conditions is a list"),
        ([1], "Condition 1: not a mapping of when and route"),
        ([{"when": {"team": "a"}}], "Condition 1, route: required"),
        ([{"route": "r"}], "Condition 1: required"),
        ([{"when": {}, "route": "r"}], "it has no test, so it would hold for every request"),
        ([{"when": [], "route": "r"}], "not a mapping of tests"),
        ([{"when": {"team": "a"}, "route": 7}], "Condition 1, route: not the name of a route"),
        ([{"when": {"team": "a"}, "route": "r", "then": 1}], "Condition 1, then: unknown key"),
        ([{"when": {"teem": "a"}, "route": "r"}], "Condition 1, teem: unknown test; did you mean team?"),
        ([{"when": {"xyzzy": "a"}, "route": "r"}], "unknown test; known are team, project"),
        ([{"when": {"team": []}, "route": "r"}], "an empty list: it would never hold"),
        ([{"when": {"team": ""}, "route": "r"}], "an empty text: it would never hold"),
        ([{"when": {"team": 7}, "route": "r"}], "not a text; write it in quotes"),
        ([{"when": {"team": ["a", None]}, "route": "r"}], "Condition 1, team.2: not a text"),
        ([{"when": {"team": "a\0"}, "route": "r"}], "NUL"),
        ([{"when": {"team": "a" * 301}, "route": "r"}], "longer than 300"),
        ([{"when": {"team": ["a"] * 201}, "route": "r"}], "more than 200 values"),
        ([{"when": {"tag": {}}, "route": "r"}], "it names no tag"),
        ([{"when": {"tag": {"": "x"}}, "route": "r"}], "a tag's name is a text that is not empty"),
        ([{"when": {"tag": {"env": 1}}, "route": "r"}], "Condition 1, tag.env: not a text"),
        ([{"when": {"format": "openai"}, "route": "r"}], "not a format of clients"),
        ([{"when": {"format": "antropic"}, "route": "r"}], "did you mean anthropic?"),
        ([{"when": {"stream": "yes"}, "route": "r"}], "neither true nor false"),
        ([{"when": {"session": 1}, "route": "r"}], "not a text; write it in quotes"),
        ([{"when": {"field": "a.b.c"}, "route": "r"}], "at most one level deep"),
        ([{"when": {"field": "think*"}, "route": "r"}], "without *"),
        ([{"when": {"prompt_tokens_above": "9"}, "route": "r"}], "not a whole number of tokens"),
        ([{"when": {"prompt_tokens_above": True}, "route": "r"}], "not a whole number of tokens"),
        ([{"when": {"prompt_tokens_below": -1}, "route": "r"}], "not between 0 and"),
        ([{"when": {"prompt_tokens_above": [1]}, "route": "r"}], "not a whole number of tokens"),
        (
            [{"when": {"prompt_tokens_above": 9, "prompt_tokens_below": 9}, "route": "r"}],
            "no number of tokens is above 9 and below 9",
        ),
        ([{"when": {"prompt_tokens_above": 9, "prompt_tokens_below": 10}, "route": "r"}], "above 9 and below 10"),
        ([{"when": {"team": "a"}, "route": "r"}, {"when": {"stream": 1}, "route": "r"}], "Condition 2, stream:"),
        ([{"when": {"team": "a"}, "route": "r"}] * 101, "at most 100 conditions"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_the_reason(value: Any, sentence: str) -> None:
    assert sentence in first_problem(value)
    if isinstance(value, list):
        with pytest.raises(ValueError, match=r".+"):
            compiled(value)


def test_all_problems_come_with_their_places() -> None:
    value = [{"when": {"teem": "a", "team": [1]}, "route": ""}, {"when": {"stream": "x"}, "route": "r"}]
    assert [path for path, _ in problems_of(value)] == [
        (0, "route"),
        (0, "when", "teem"),
        (0, "when", "team", 0),
        (1, "when", "stream"),
    ]


def test_conditions_are_stored_in_one_way_however_they_are_given() -> None:
    given_ = [{"route": "r", "when": {"stream": [True], "team": "a", "session": "x", "tag": {"t": "v"}}}]
    stored = canonical(given_)
    assert stored == [{"when": {"team": ["a"], "tag": {"t": ["v"]}, "session": ["x"], "stream": True}, "route": "r"}]
    assert canonical(stored) == stored


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("teem=x -> y", "Line 1: 'teem' is not a test; did you mean team?"),
        ("team= -> y", "Line 1: a value of team is missing before '-> y'."),
        ("team=a", "Line 1: it does not say where to"),
        ("team=a ->", "Line 1: the name of a route after -> is missing at the end."),
        ("team=a,,b -> x", "Line 1: a value of team is missing before ',b -> x'."),
        ("team -> x", "after team comes = and a value, such as team=research,apps"),
        ("team=a team=b -> x", "Line 1: team stands there twice; put its values into one list: team=a,b."),
        ("tag.a=1 tag.a=2 -> x", "Line 1: tag.a stands there twice"),
        ("tag.a=1 tag=b -> x", "tag= and tag.NAME= cannot stand in one condition"),
        ("tag=b tag.a=1 -> x", "tag= and tag.NAME= cannot stand in one condition"),
        ('team="abc -> y', "Line 1: a quote is opened and not closed"),
        ('team="a\\q" -> y', "cannot be read"),
        ("team=a -> b c", "Line 1: after the route's name stands 'c'"),
        ("-> y", "Line 1: it has no test"),
        ("\n\nprompt_tokens_above=x -> y", "Line 3, prompt_tokens_above: not a whole number of tokens."),
        ("team=a -> b\nstream=maybe -> y", "Line 2, stream: neither true nor false."),
    ],
)
def test_a_wrong_line_is_told_with_its_number_and_the_reason(line: str, sentence: str) -> None:
    with pytest.raises(BadLines) as error:
        read_lines(line)
    assert any(sentence in each for each in error.value.sentences)


def test_every_wrong_line_is_told() -> None:
    with pytest.raises(BadLines) as error:
        read_lines("teem=a -> b\nteam=a -> b\nstream -> c")
    assert [each.split(":")[0] for each in error.value.sentences] == ["Line 1", "Line 3"]


def test_lines_are_read_as_people_write_them() -> None:
    text = ' team = research , "my team"  stream=TRUE -> sonnet-eu \r\n\n tag.env=prod tag."a b"="c,d"->other'
    assert read_lines(text) == [
        {"when": {"team": ["research", "my team"], "stream": True}, "route": "sonnet-eu"},
        {"when": {"tag": {"env": ["prod"], "a b": ["c,d"]}}, "route": "other"},
    ]


texts = some.text(some.characters(exclude_characters="\0", codec="utf-8"), min_size=1, max_size=20)
odd = texts | some.sampled_from(
    ["true", "false", "->", "a->b", 'say "hi"', "a, b", "\u2028", "\x85", "\\", "tag=x", "12"]
)
lists = some.lists(odd, min_size=1, max_size=3)
whens = some.fixed_dictionaries(
    {},
    optional={
        "team": lists,
        "key": odd,
        "beta": lists,
        "model": lists,
        "session": some.booleans() | some.lists(odd | some.booleans(), min_size=1, max_size=3),
        "stream": some.booleans(),
        "format": some.sampled_from(["anthropic", "*"]),
        "field": some.sampled_from(["thinking", "thinking.type"]),
        "tag": lists | some.dictionaries(odd, lists | some.just(""), min_size=1, max_size=3),
        "prompt_tokens_above": some.integers(0, 10**9),
    },
).filter(bool)


@given(some.lists(some.fixed_dictionaries({"when": whens, "route": odd}), max_size=4))
def test_conditions_written_as_lines_are_read_back_without_a_difference(value: list[dict[str, Any]]) -> None:
    stored = canonical(value)
    assert read_lines(written(stored)) == stored
    assert canonical(json.loads(json.dumps(stored))) == stored


@given(some.text(max_size=60))
def test_any_text_is_read_or_refused_in_words(text: str) -> None:
    assert all(each.startswith(("Line ", "In all")) for each in _sentences(text))


def _sentences(text: str) -> tuple[str, ...]:
    try:
        read_lines(text)
    except BadLines as error:
        return error.sentences
    return ()
