"""What an explanation says: the request it was built from, the reasons, and its three ways to be read."""

import io
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from accounting.audit.changes import Actor, changing
from accounting.models import Project, Team, VirtualKey
from accounting.services import create_api_token, create_key, revoke_key
from routing.explaining.question import Question, Unaskable
from routing.models import ModelAlias, Provider, Route, RouteTarget, TargetStatus
from routing.services import save_alias, save_provider, save_route

pytestmark = pytest.mark.django_db


def json_of(*arguments: str) -> Any:
    out = io.StringIO()
    call_command("explain", *arguments, "--json", stdout=out)
    return json.loads(out.getvalue())


@pytest.fixture
def key() -> VirtualKey:
    """A key of team research; `claude-sonnet-4-5` goes to `eu` for its streams and to `main` before `spare` otherwise."""
    with changing(Actor("set-up", "system")) as change:
        providers = {}
        for name in ("main", "spare", "eu"):
            providers[name] = Provider(name=name, base_url=f"https://{name}.example.com")
            save_provider(change, providers[name], credential_kind="none", credential_values={})
        eu = Route(name="eu")
        save_route(change, eu, [RouteTarget(provider=providers["eu"], model="claude-sonnet-4-5")])
        route = Route(name="sonnet", conditions=[{"when": {"team": ["research"], "stream": True}, "route": "eu"}])
        targets = [
            RouteTarget(provider=providers["main"], model="claude-sonnet-4-5", weight=3),
            RouteTarget(provider=providers["spare"], model="claude-sonnet-4-5", tier=1),
        ]
        save_route(change, route, targets)
        save_alias(change, ModelAlias(name="claude-sonnet-4-5", route=route))
        team = Team(name="research", allowed_models=["claude-*"])
        change.save(team)
        project = Project(team=team, name="default")
        change.save(project)
        made, _ = create_key(change, project, "ci", tags={"cost_center": "4711"})
    return made


def test_the_whole_decision_in_the_contracts_names(key: VirtualKey) -> None:
    told = json_of("--key", key.prefix, "--model", "claude-sonnet-4-5")
    names = {"identity", "policy", "limits", "alias", "route", "condition", "candidates", "betas", "price", "verdict"}
    assert names <= set(told)
    assert told["identity"]["team"] == "research"
    assert told["identity"]["tags"] == {"cost_center": "4711"}
    assert (told["alias"], told["route"], told["condition"]) == ("claude-sonnet-4-5", "sonnet", None)
    assert [(each["provider"], each["tier"], each["chosen"]) for each in told["candidates"]] == [
        ("main", 0, True),
        ("spare", 1, False),
    ]
    assert told["candidates"][1]["reason"] == "asked only when none of tier 0 can serve"
    assert told["price"]["input"] == "3"
    assert told["verdict"] == "served: claude-sonnet-4-5 goes to main as claude-sonnet-4-5."
    assert (told["status"], told["reason"]) == (200, None)


def test_the_condition_that_matched_is_named_in_words(key: VirtualKey) -> None:
    told = json_of("--key", key.prefix, "--model", "claude-sonnet-4-5", "--stream")
    assert told["route"] == "eu"
    assert "research" in told["condition"]
    assert [(each["held"], each["leads_to"]) for each in told["conditions"]] == [(True, "eu")]


def test_a_name_that_nothing_serves_is_refused_with_the_closest(key: VirtualKey) -> None:
    told = json_of("--key", key.prefix, "--model", "claude-sonet-4-5")
    assert (told["status"], told["reason"]) == (404, "unknown_model")
    assert "Did you mean claude-sonnet-4-5?" in told["verdict"]


def test_a_key_that_is_refused_says_so_and_the_rest_is_shown_all_the_same(key: VirtualKey) -> None:
    with changing(Actor("test", "system")) as change:
        revoke_key(change, key.prefix)
    told = json_of("--key", key.prefix, "--model", "claude-sonnet-4-5")
    assert (told["status"], told["reason"]) == (401, "revoked")
    assert told["route"] == "sonnet"
    assert not any(each["chosen"] for each in told["candidates"])


def test_health_that_running_processes_wrote_down_counts(key: VirtualKey) -> None:
    figures = {
        "state": "open", "resting": False, "since": None, "until": "2999-01-01T00:00:00+00:00", "why": "529", "good": 0,
        "bad": 9, "limited": 0, "in_flight": 0, "times_ms": [], "words": "", "words_at": None,
    }  # fmt: skip
    TargetStatus.objects.create(
        process="a:1", provider="main", model="claude-sonnet-4-5", figures=figures, seen_at=datetime.now(UTC)
    )
    told = json_of("--key", key.prefix, "--model", "claude-sonnet-4-5")
    chosen = next(each for each in told["candidates"] if each["chosen"])
    assert chosen["provider"] == "spare"
    passed = next(each for each in told["candidates"] if each["provider"] == "main")
    assert "breaker is open" in passed["reason"]
    assert "529" in passed["reason"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--model", "x"), "Whose request"),
        (("--key", "gw_nothing", "--model", "x"), "No key has the prefix"),
        (("--request", "req_nothing"), "no stored request"),
    ],
)
def test_what_cannot_be_asked_is_said_in_one_line(arguments: tuple[str, ...], sentence: str, key: VirtualKey) -> None:
    with pytest.raises(CommandError, match=sentence):
        call_command("explain", *arguments)


def test_without_a_model_a_person_is_told_to_name_one(key: VirtualKey) -> None:
    with pytest.raises(CommandError, match="Name the model"):
        call_command("explain", "--key", key.prefix)


def test_a_person_reads_lines(key: VirtualKey) -> None:
    out = io.StringIO()
    call_command("explain", "--key", key.prefix, "--model", "claude-sonnet-4-5", stdout=out)
    text = out.getvalue()
    assert "Verdict     served: claude-sonnet-4-5 goes to main" in text
    assert "research / default / ci" in text
    assert "→ tier 0 main: claude-sonnet-4-5" in text


@pytest.mark.parametrize("wire", ["anthropic", "bedrock", "vertex"])
@pytest.mark.parametrize("stream", [False, True])
def test_a_pasted_body_is_understood_as_its_format_sends_it(wire: str, stream: bool) -> None:
    body = {"max_tokens": 77, "messages": [], "anthropic_beta": ["one"]} if wire == "bedrock" else {"max_tokens": 77}
    asked = Question("claude-a@1", wire, stream, ("two",), "session-1", json.dumps(body).encode()).inbound()
    assert (asked.format, asked.model, asked.stream, asked.max_tokens) == (wire, "claude-a@1", stream, 77)
    assert "two" in asked.betas
    assert asked.session_id == "session-1"
    if wire == "bedrock":
        assert asked.betas == ("two", "one")


def test_a_pasted_body_that_names_model_and_stream_stays_as_it_was() -> None:
    body = b'{"model":  "claude-a", "stream": true, "max_tokens": 5}'
    asked = Question(body=body).inbound()
    assert (asked.model, asked.stream, asked.body) == ("claude-a", True, body)


@pytest.mark.parametrize("body", [b"{", b"[]", b"\xff", b"[" * 100_000, b'{"model": 7}', b'{"model": ""}'])
def test_a_body_that_is_no_request_is_refused_in_words(body: bytes) -> None:
    with pytest.raises(Unaskable, match=r"\w+ \w+"):
        Question(body=body).inbound()


# The REST API


def ask(secret: str, **values: Any) -> Any:
    return Client().post(
        "/api/v1/explain/", values, content_type="application/json", headers={"authorization": f"Bearer {secret}"}
    )


def token(role: str, team: Team | None = None) -> str:
    with changing(Actor("test", "system")) as change:
        _, secret = create_api_token(
            change, f"t-{role}-{team.name if team else ''}x", role=role, team=team, team_role="viewer" if team else ""
        )
    return secret.reveal()


def test_an_auditor_may_ask_about_every_key_and_a_team_about_its_own(key: VirtualKey) -> None:
    with changing(Actor("test", "system")) as change:
        other = Team(name="other")
        change.save(other)
    question = {"key": key.prefix, "model": "claude-sonnet-4-5"}
    assert ask(token("auditor"), **question).json()["route"] == "sonnet"
    assert ask(token("team", key.project.team), **question).json()["route"] == "sonnet"
    secret = token("team", other)
    stranger, unknown = ask(secret, **question), ask(secret, key="gw_nothing", model="x")
    assert stranger.status_code == unknown.status_code == 404
    told = unknown.json()["detail"].replace("gw_nothing", key.prefix)
    assert stranger.json()["detail"] == told, "a stranger must not learn whether a key exists"
    assert Client().post("/api/v1/explain/", question, content_type="application/json").status_code == 401


def test_the_api_refuses_what_it_cannot_read(key: VirtualKey) -> None:
    secret = token("admin")
    assert "key" in ask(secret, model="x").json()
    assert "model" in ask(secret, key=key.prefix).json()
    assert "format" in ask(secret, key=key.prefix, model="x", format="cohere").json()
    assert "body" in ask(secret, key=key.prefix, body=["no", "object"]).json()
    assert ask(secret, request="req_nothing").status_code == 404
