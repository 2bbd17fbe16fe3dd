"""Alerts in the REST API: who sees and sets what; secrets are shown once."""

from typing import Any

import pytest
from pytest_django import Settings

from accounting.models import AlertDestination, AlertRule, AuditEvent
from tests.accounting.test_api_limits import World

pytestmark = pytest.mark.django_db
RULES, DESTINATIONS, DELIVERIES = "/api/v1/alert-rules/", "/api/v1/alert-destinations/", "/api/v1/alert-deliveries/"
HOOK = {"name": "hook", "kind": "webhook", "url": "https://hooks.example.com/T0/secret-path"}


@pytest.fixture
def world() -> World:
    return World()


def hook(world: World, who: str = "alpha-owner", **fields: Any) -> Any:
    return world.send(who, "POST", DESTINATIONS, {**HOOK, **fields})


def rule(world: World, who: str = "alpha-owner", **fields: Any) -> Any:
    return world.send(who, "POST", RULES, {"name": "errors", "kind": "error_share", **fields})


def test_a_destination_is_made_with_a_secret_that_is_shown_once(world: World) -> None:
    made = hook(world)
    assert made.status_code == 201, made.content
    secret = made.json()["secret"]
    assert secret.startswith("whsec_")
    address = f"{DESTINATIONS}{made.json()['id']}/"
    for answer in (world.send("alpha-owner", "GET", address), world.call("admin", DESTINATIONS)):
        assert secret not in answer.content.decode()
        assert "secret" not in (answer.json().get("results") or [answer.json()])[0]
    rotated = world.send("alpha-owner", "POST", f"{address}rotate/").json()["secret"]
    assert rotated.startswith("whsec_")
    assert rotated != secret
    assert [each.action for each in AuditEvent.objects.filter(object_type="alertdestination").order_by("id")] == [
        "created",
        "rotated",
    ]


def test_the_path_of_a_webhook_is_for_those_who_set_it(world: World) -> None:
    address = f"{DESTINATIONS}{hook(world).json()['id']}/"
    urls = {who: world.send(who, "GET", address).json()["url"] for who in ("alpha-owner", "alpha-viewer", "auditor")}
    assert urls == {
        "alpha-owner": "https://hooks.example.com/T0/secret-path",
        "alpha-viewer": "hooks.example.com",
        "auditor": "hooks.example.com",
    }


@pytest.mark.parametrize(
    ("who", "team", "status"),
    [
        ("alpha-owner", "alpha", 201),
        ("alpha-owner", None, 403),
        ("alpha-owner", "beta", 400),
        ("alpha-owner", "nowhere", 400),
        ("alpha-member", "alpha", 403),
        ("alpha-viewer", "alpha", 403),
        ("auditor", "alpha", 403),
        ("beta-owner", "alpha", 400),
        ("admin", "alpha", 201),
        ("admin", None, 201),
    ],
)
def test_who_sets_alerts(world: World, who: str, team: str | None, status: int) -> None:
    assert hook(world, who, team=team).status_code == status
    assert rule(world, who, team=team).status_code == status


def test_another_team_cannot_be_told_from_none(world: World) -> None:
    answers = [hook(world, "alpha-owner", team=name).json() for name in ("beta", "nowhere")]
    assert answers[0] == answers[1]


def test_a_rule_is_made_read_changed_and_deleted(world: World) -> None:
    destination = hook(world).json()["id"]
    made = rule(world, percent=30, destinations=[destination]).json()
    assert made == {
        "id": made["id"],
        "team": "alpha",
        "name": "errors",
        "kind": "error_share",
        "percent": 30,
        "minutes": 10,
        "least_requests": 20,
        "days": None,
        "destinations": [destination],
        "enabled": True,
        "version": 1,
    }
    address = f"{RULES}{made['id']}/"
    assert world.call("vic", RULES, kind="error_share").json()["results"] == [made]
    assert [world.call(who, RULES).json()["count"] for who in ("eve", "sam", "root")] == [0, 0, 1]
    assert world.send("alpha-owner", "PATCH", address, {"minutes": 5, "version": 1}).json()["minutes"] == 5
    assert world.send("alpha-owner", "PATCH", address, {"minutes": 6, "version": 1}).status_code == 409
    assert world.send("alpha-member", "PATCH", address, {"minutes": 6}).status_code == 403
    assert world.send("beta-owner", "PATCH", address, {"minutes": 6}).status_code == 404
    assert world.send("alpha-viewer", "DELETE", address).status_code == 403
    assert world.send("alpha-owner", "DELETE", address).status_code == 204
    assert not AlertRule.objects.exists()


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": "weather"},
        {"percent": 0},
        {"percent": 101},
        {"minutes": 100_000},
        {"percent": "many"},
        {"destinations": [10**9]},
        {"destinations": "all"},
        {"name": ""},
        {"name": "a\u0000b"},
        {"nonsense": 1},
    ],
)
def test_rules_that_make_no_sense_are_refused(world: World, fields: dict[str, Any]) -> None:
    assert rule(world, **fields).status_code == 400


def test_a_rule_sends_to_its_own_teams_destinations_only(world: World) -> None:
    theirs = hook(world, "beta-owner").json()["id"]
    assert rule(world, destinations=[theirs]).status_code == 400


@pytest.mark.parametrize(
    "fields",
    [
        {"url": "http://hooks.example.com/"},
        {"url": "https://10.0.0.1/"},
        {"url": "https://localhost/"},
        {"url": ""},
        {"kind": "pigeon"},
        {"kind": "mail", "addresses": []},
        {"kind": "mail", "addresses": ["nobody"]},
        {"kind": "mail", "addresses": [f"a{number}@example.org" for number in range(11)]},
        {"kind": "mail", "addresses": ["a@example.org\nbcc: b@example.org"]},
    ],
)
def test_destinations_that_make_no_sense_are_refused(world: World, fields: dict[str, Any]) -> None:
    assert hook(world, **fields).status_code == 400
    assert not AlertDestination.objects.exists()


def test_a_test_says_how_it_went_and_is_in_the_history(world: World, settings: Settings) -> None:
    settings.GATEWAY_MAIL = True
    body = {"name": "people", "kind": "mail", "addresses": ["olga@example.org"]}
    address = f"{DESTINATIONS}{world.send('alpha-owner', 'POST', DESTINATIONS, body).json()['id']}/test/"
    tested = world.send("alpha-owner", "POST", address).json()
    assert (tested["state"], tested["event"]["kind"], tested["attempts"][0]["error"]) == ("sent", "test", "")
    assert world.send("alpha-member", "POST", address).status_code == 403
    assert world.send("beta-owner", "POST", address).status_code == 404
    assert world.call("vic", DELIVERIES, state="sent").json()["results"] == [tested]
    assert [world.call(who, DELIVERIES).json()["count"] for who in ("eve", "sam", "auditor")] == [0, 0, 1]


def test_what_a_destination_is_stays(world: World) -> None:
    address = f"{DESTINATIONS}{hook(world).json()['id']}/"
    for fields in ({"kind": "mail"}, {"team": None}):
        assert world.send("admin", "PATCH", address, fields).status_code == 400
    renamed = world.send("alpha-owner", "PATCH", address, {"name": "other"}).json()
    assert (renamed["name"], renamed["url"], renamed["version"]) == ("other", HOOK["url"], 2)
    assert world.send("alpha-owner", "DELETE", address).status_code == 204


@pytest.mark.parametrize("path", [RULES, DESTINATIONS, DELIVERIES])
def test_without_a_token_there_is_nothing(world: World, path: str) -> None:
    assert world.call("", path).status_code == 401
    assert world.call("admin", path, nonsense="1").status_code == 400
