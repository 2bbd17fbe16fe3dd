"""Conditions, the end of names and switches of sessions, as clients and records see them through the running gateway."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fake_provider import FakeProvider, error, reply
from tests.gateway.bodies import ask, message, usage
from tests.gateway.conftest import make_provider
from tests.harness import KEYS, Config, Gateway, Reply, Template, alias, route, standard_config, target
from tests.pairs.clients import ask_plainly, plain

FORMATS = ("anthropic", "bedrock", "vertex")
MAIN = "anthropic-main"


def when(to: str, **tests: Any) -> dict[str, Any]:
    return {"when": tests, "route": to}


def config(url: str) -> Config:
    made = standard_config(url)
    one = {"max_attempts": 1}
    made.routes += [
        route("other-team", target(MAIN, "for-beta"), **one),
        route("streams", target(MAIN, "for-streams"), conditions=[when("thinkers", field="thinking")], **one),
        route("thinkers", target(MAIN, "for-thinkers"), **one),
        route("bedrock-clients", target(MAIN, "for-bedrock"), **one),
        route("long", target(MAIN, "for-long"), **one),
        route("betas", target(MAIN, "for-betas"), **one),
        route(
            "chosen",
            target(MAIN, "for-all"),
            conditions=[
                when("other-team", team="beta"),
                when("streams", stream=True),
                when("bedrock-clients", format="bedrock"),
                when("betas", beta="special-*"),
                when("long", prompt_tokens_above=500),
            ],
            **one,
        ),
        route("pair", target(MAIN, "claude-first"), target("anthropic-drain", "claude-second", 1), sticky="session"),
    ]
    ends = {"from": "2026-01-01", "successor": "claude-same"}
    made.aliases += [
        alias("claude-chosen", "chosen"),
        alias("claude-pair", "pair"),
        {**alias("claude-deprecated", "renamed"), "deprecation": ends},
        {**alias("claude-forwarded", "renamed"), "deprecation": {**ends, "until": "2026-02-01"}},
        {**alias("claude-refused", "renamed"), "deprecation": {**ends, "until": "2026-02-01", "then": "refuse"}},
    ]
    made.teams[1]["allowed_models"] += ["claude-chosen", "claude-deprecated", "claude-forwarded"]
    return made


@pytest.fixture(scope="module")
def first() -> Iterator[FakeProvider]:
    with make_provider() as provider:
        yield provider


@pytest.fixture(scope="module")
def own(template: Template, first: FakeProvider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder: Path = tmp_path_factory.mktemp("routing")
    with Gateway(template, folder, config(first.url)) as gateway:
        yield gateway


@pytest.fixture
def upstream(first: FakeProvider) -> Iterator[FakeProvider]:
    first.reset()
    yield first
    assert first.violations == []


def send(gateway: Gateway, client: str, model: str, *, key: str = KEYS["main"], stream: bool = False) -> Reply:
    request = {"max_tokens": 16, "messages": [{"role": "user", "content": "hello"}]}
    path, body = plain(client, model, request, stream=stream)
    return ask_plainly(gateway.port, path, body, key=key)


@pytest.mark.parametrize(
    ("body", "headers", "key", "served"),
    [
        ({}, [], "main", "for-all"),
        ({}, [], "beta", "for-beta"),
        ({"stream": True}, [], "main", "for-streams"),
        ({"stream": True, "thinking": {"type": "disabled"}}, [], "main", "for-thinkers"),
        ({}, [("anthropic-beta", "one,special-2026-01-01")], "main", "for-betas"),
        ({"text": "x" * 4000}, [], "main", "for-long"),
    ],
)
def test_the_first_condition_that_holds_decides_where_a_request_goes(
    body: dict[str, Any], headers: Any, key: str, served: str, own: Gateway, upstream: FakeProvider
) -> None:
    asked = {"text": "Say hello", **body}
    answer = own.post(ask(model="claude-chosen", **asked), key=KEYS[key], headers=headers)
    assert answer.status == 200
    assert upstream.received[-1].json["model"] == served
    record = own.record(answer.value("request-id"))
    assert (record["alias"], record["upstream_model"]) == ("claude-chosen", served)


def test_the_format_of_the_client_is_a_condition(own: Gateway, upstream: FakeProvider) -> None:
    for client, served in (("bedrock", "for-bedrock"), ("vertex", "for-all")):
        assert send(own, client, "claude-chosen").status == 200
        assert upstream.received[-1].json["model"] == served


@pytest.mark.parametrize("client", FORMATS)
@pytest.mark.parametrize("stream", [False, True])
def test_answers_for_a_deprecated_name_say_so(client: str, stream: bool, own: Gateway, upstream: FakeProvider) -> None:
    answer = send(own, client, "claude-deprecated", stream=stream)
    assert answer.status == 200
    assert answer.values("deprecation") == ["@1767225600"]
    assert answer.values("sunset") == []
    assert answer.value("x-gateway-successor") == "claude-same"
    assert upstream.received[-1].json["model"] == "claude-upstream-20260101"
    assert send(own, client, "claude-same").values("deprecation") == []


@pytest.mark.parametrize("client", FORMATS)
def test_errors_for_a_deprecated_name_say_so_too(client: str, own: Gateway, upstream: FakeProvider) -> None:
    upstream.script(reply(400, error("invalid_request_error", "no")))
    answer = send(own, client, "claude-deprecated")
    assert answer.status == 400
    assert answer.value("deprecation") == "@1767225600"


@pytest.mark.parametrize("client", FORMATS)
def test_a_retired_name_is_forwarded_or_refused(client: str, own: Gateway, upstream: FakeProvider) -> None:
    forwarded = send(own, client, "claude-forwarded")
    assert forwarded.status == 200
    assert forwarded.value("sunset") == "Sun, 01 Feb 2026 00:00:00 GMT"
    assert upstream.received[-1].json["model"] == "claude-same"
    assert own.record(forwarded.value("request-id"))["alias"] == "claude-forwarded"
    calls = len(upstream.received)
    refused = send(own, client, "claude-refused")
    assert refused.status == 404
    assert refused.json["error"]["type"] == "not_found_error"
    assert "was retired on 2026-02-01. Use claude-same instead." in refused.json["error"]["message"]
    assert refused.value("x-gateway-successor") == "claude-same"
    assert len(upstream.received) == calls
    assert own.record(refused.value("request-id"))["reason"] == "retired_model"


def test_a_retired_name_that_is_refused_is_listed_no_more(own: Gateway, upstream: FakeProvider) -> None:
    listed = {row["id"] for row in own.get("/v1/models?limit=1000").json["data"]}
    assert {"claude-deprecated", "claude-forwarded"} <= listed
    assert "claude-refused" not in listed
    assert own.get("/v1/models/claude-refused").status == 404
    assert own.get("/v1/models/claude-deprecated").value("deprecation") == "@1767225600"


@pytest.mark.parametrize("client", FORMATS)
def test_an_unknown_name_is_told_the_closest_that_the_caller_may_use(client: str, own: Gateway) -> None:
    answer = send(own, client, "claude-depreciated", key=KEYS["beta"])
    assert answer.status == 404
    assert "Did you mean claude-deprecated" in answer.json["error"]["message"]
    answer = send(own, client, "claude-refusd")
    assert "claude-refused" not in answer.json["error"]["message"]


def test_a_session_that_moves_is_recorded_with_what_it_left_behind(own: Gateway, upstream: FakeProvider) -> None:
    session = [("x-claude-code-session-id", "7f9c24e5-2031-4a1e-9c55-000000000001")]

    def asked() -> dict[str, Any]:
        answer = own.post(ask(model="claude-pair"), headers=session)
        assert answer.status == 200
        return own.record(answer.value("request-id"))

    cached = usage(cache_read_input_tokens=7000, cache_creation_input_tokens=500)
    upstream.script(reply(200, message(usage=cached)))
    first = asked()
    assert (first["switched_from"], first["switch_tokens"]) == ("", 0)
    # It says that it needs no rest, for the request after this one.
    upstream.script(reply(529, error("overloaded_error", "busy"), [("retry-after", "0")]))
    moved = asked()
    assert (moved["provider"], moved["switched_from"]) == ("anthropic-drain", f"{MAIN}/claude-first")
    assert moved["switch_tokens"] == 7500
    back = asked()
    assert (back["provider"], back["switched_from"]) == (MAIN, "anthropic-drain/claude-second")
    stays = asked()
    assert stays["switched_from"] == ""
