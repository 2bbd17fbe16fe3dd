"""The whole decision: names, successors, conditions from route to route, targets, and the reasons for the rest."""

import random
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from accounting.access.grant import Grant
from routing.conditions import compiled
from routing.decide import Decision, Routed, decide, route_for, targets_for
from routing.formats.base import BEDROCK, MESSAGES, Inbound
from routing.health import Health
from routing.lifecycle import Deprecation
from routing.naming import listed_aliases
from routing.proxy.errors import GatewayError
from routing.resolve import Resolution
from routing.snapshot import AliasConf, Snapshot
from routing.targets import CredentialConf, ProviderConf, RouteConf, TargetConf

WHEN = datetime(2026, 1, 1, tzinfo=UTC)
NOW = 1_800_000_000.0


def target(name: str, weight: int = 1, tier: int = 0, form: str = "anthropic") -> TargetConf:
    return TargetConf(ProviderConf(1, name, form, "https://example.com", CredentialConf("none")), "m", tier, weight)


def conditions(*pairs: tuple[dict[str, Any], str]) -> Any:
    return compiled([{"when": when, "route": route} for when, route in pairs])


def picture(
    routes: Mapping[str, RouteConf], aliases: Mapping[str, str], ends: Mapping[str, Deprecation] | None = None
) -> Snapshot:
    found = {name: AliasConf(name, routes[to], "", WHEN, (ends or {}).get(name)) for name, to in aliases.items()}
    return Snapshot(1, {}, found, routes=routes)


def grant(team: str = "research", *models: str) -> Grant:
    return Grant(1, "ci", "gw_x", "service", team, "default", allowed_models=(models,) if models else ())


def asked(model: str = "claude", body: bytes = b'{"model":"claude"}', **values: Any) -> Inbound:
    return Inbound("anthropic", MESSAGES, model, False, body, [], **values)


def decision(
    snapshot: Snapshot, inbound: Inbound, caller: Grant | None = None, health: Health | None = None
) -> Decision:
    return decide(
        inbound, caller or grant(), snapshot, health or Health(), now=0.0, unix=NOW, random=random.Random(1).random
    )


ROUTES = {
    "main": RouteConf(
        "main",
        targets=(target("main"),),
        conditions=conditions(({"team": "apps"}, "apps"), ({"session": True, "team": "research"}, "eu")),
    ),
    "eu": RouteConf("eu", targets=(target("eu"),), conditions=conditions(({"session": "long-*"}, "long"))),
    "long": RouteConf("long", targets=(target("long"),)),
    "apps": RouteConf("apps", targets=(target("apps"),)),
}


@pytest.mark.parametrize(
    ("team", "session", "route", "looked", "matched"),
    [
        ("apps", "", "apps", [("main", 0, "")], 1),
        ("apps", "s", "apps", [("main", 0, "")], 1),
        ("research", "", "main", [("main", 0, "team"), ("main", 1, "session")], 0),
        ("research", "s", "eu", [("main", 0, "team"), ("main", 1, ""), ("eu", 0, "session")], 1),
        ("research", "long-1", "long", [("main", 0, "team"), ("main", 1, ""), ("eu", 0, "")], 2),
        ("other", "s", "main", [("main", 0, "team"), ("main", 1, "team")], 0),
    ],
)
def test_the_first_condition_that_holds_decides_and_its_route_may_have_conditions_too(
    team: str, session: str, route: str, looked: list[Any], matched: int
) -> None:
    found = decision(picture(ROUTES, {"claude": "main"}), asked(session_id=session), grant(team))
    assert found.routed is not None
    assert found.resolution is not None
    assert found.routed.route.name == route
    assert [(each.on, each.number, each.missed) for each in found.routed.choice.looked] == looked
    assert len(found.routed.choice.matched) == matched
    assert found.resolution.candidates[0].target.provider.name == route


@pytest.mark.parametrize("elsewhere", ["gone", "main"])
def test_a_condition_that_holds_is_binding_even_if_its_route_cannot_serve(elsewhere: str) -> None:
    routes = {"main": RouteConf("main", targets=(target("main"),), conditions=conditions(({"team": "*"}, elsewhere)))}
    found = decision(picture(routes, {"claude": "main"}), asked())
    assert found.refusal is not None
    assert found.refusal.status == 529


def test_the_sticky_key_is_the_session_else_the_key_as_the_final_route_has_it() -> None:
    routes = {
        "main": RouteConf(
            "main", sticky="none", targets=(target("a"),), conditions=conditions(({"team": "k"}, "by-key"))
        ),
        "by-key": RouteConf("by-key", sticky="key", targets=(target("a"),)),
        "by-session": RouteConf("by-session", targets=(target("a"),)),
    }
    snapshot = picture(routes, {"none": "main", "session": "by-session"})

    def key_of(name: str, session: str, team: str = "t") -> str:
        routed = decision(snapshot, asked(name, session_id=session), grant(team)).routed
        assert routed is not None
        return routed.sticky_key

    assert key_of("none", "s") == ""
    assert key_of("none", "s", "k") == "gw_x"
    assert key_of("session", "s") == "s"
    assert key_of("session", "") == "gw_x"


def test_passed_over_targets_keep_their_reason_when_nothing_is_left() -> None:
    routes = {"r": RouteConf("r", targets=(target("a"), target("b", 0)), breaker_failures=1)}
    health = Health()
    health.failed(routes["r"].targets[0], 500, 0.0, route=routes["r"])
    found = decision(picture(routes, {"claude": "r"}), asked(), health=health)
    assert found.refusal is not None
    assert (found.refusal.status, found.refusal.retry_after) == (529, 30)
    assert found.resolution is not None
    assert [each.provider.name for each, _ in found.resolution.passed_over] == ["a", "b"]


def test_targets_that_cannot_carry_the_request_are_passed_over_with_the_reason() -> None:
    routes = {"r": RouteConf("r", targets=(target("aws", form=BEDROCK), target("own", tier=1)))}
    body = b'{"model":"claude","tools":[{"type":"web_search_20250305"}],"messages":[]}'
    found = decision(picture(routes, {"claude": "r"}), asked(body=body))
    assert found.resolution is not None
    assert [each.target.provider.name for each in found.resolution.candidates] == ["own"]
    ((passed, reason),) = found.resolution.passed_over
    assert passed.provider.name == "aws"
    assert "cannot carry the request" in reason


@pytest.mark.parametrize("form", ["anthropic", "bedrock", "vertex"])
def test_a_name_that_nothing_serves_names_the_closest_that_the_caller_may_use(form: str) -> None:
    routes = {"r": RouteConf("r", targets=(target("a"),))}
    ends = {"claude-opus-4": Deprecation(0, until=1, then="refuse")}
    names = dict.fromkeys(("claude-opus-4", "claude-opus-5", "claude-opus-6"), "r")
    inbound = Inbound(form, MESSAGES, "claude-opus-7", False, b"{}", [])
    refusal = decision(picture(routes, names, ends), inbound, grant("t", "claude-opus-4", "claude-opus-6")).refusal
    assert refusal is not None
    assert refusal.status == 404
    assert refusal.message == "model: claude-opus-7 is not a model of this gateway. Did you mean claude-opus-6?"


DEPRECATED = Deprecation(NOW - 10, NOW + 10, "new", "Ask Ada.")
FORWARDED = Deprecation(NOW - 20, NOW - 10, "new", "Ask Ada.")
REFUSED = Deprecation(NOW - 20, NOW - 10, "new", "Ask Ada.", "refuse")
TWO = {"old": RouteConf("old", targets=(target("old"),)), "new": RouteConf("new", targets=(target("new"),))}


@pytest.mark.parametrize(
    ("end", "route", "notices"),
    [
        (Deprecation(NOW + 10, None, "new"), "old", 0),
        (Deprecation(NOW - 10), "old", 1),
        (DEPRECATED, "old", 3),
        (FORWARDED, "new", 3),
    ],
)
def test_a_name_is_served_until_its_end_and_then_by_its_successor(end: Deprecation, route: str, notices: int) -> None:
    found = decision(picture(TWO, {"old": "old", "new": "new"}, {"old": end}), asked("old"))
    assert found.routed is not None
    assert (found.routed.route.name, len(found.routed.notices), found.routed.alias.name) == (route, notices, "old")


def test_a_retired_name_that_refuses_is_a_404_that_names_the_successor_and_is_listed_no_more() -> None:
    snapshot = picture(TWO, {"old": "old", "new": "new"}, {"old": REFUSED})
    refusal = decision(snapshot, asked("old")).refusal
    assert refusal is not None
    assert (refusal.status, refusal.reason) == (404, "retired_model")
    assert refusal.message == "model: old was retired on 2027-01-15. Use new instead. Ask Ada."
    assert dict(refusal.headers)[b"x-gateway-successor"] == b"new"
    assert [alias.name for alias in listed_aliases(snapshot, grant(), NOW)] == ["new"]
    assert [alias.name for alias in listed_aliases(snapshot, grant(), NOW - 15)] == ["new", "old"]


@pytest.mark.parametrize(
    ("models", "outcome"), [(("old",), "new"), (("new",), "new"), (("old", "new"), "new"), (("x",), "policy_blocked")]
)
def test_a_forwarded_name_is_for_whoever_may_use_it_or_its_successor(models: tuple[str, ...], outcome: str) -> None:
    found = decision(picture(TWO, {"old": "old", "new": "new"}, {"old": FORWARDED}), asked("old"), grant("t", *models))
    assert (found.refusal.type if found.refusal else found.routed and found.routed.route.name) == outcome


def test_successors_are_followed_to_the_end_and_never_in_a_circle() -> None:
    routes = {name: RouteConf(name, targets=(target(name),)) for name in ("a", "b", "c")}
    ends = {"a": Deprecation(0, 1, "b"), "b": Deprecation(0, 1, "c")}
    names = {name: name for name in routes}
    found = decision(picture(routes, names, ends), asked("a"))
    assert found.routed is not None
    assert (found.routed.route.name, found.routed.serving.name) == ("c", "c")
    for circle in ({**ends, "c": Deprecation(0, 1, "a")}, {"a": Deprecation(0, 1, "nobody")}):
        refusal = decision(picture(routes, names, circle), asked("a")).refusal
        assert refusal is not None
        assert (refusal.status, refusal.reason) == (404, "retired_model")
    last = decision(picture(routes, names, {**ends, "c": Deprecation(0, 1, then="refuse")}), asked("a")).refusal
    assert last is not None
    assert "model: c was retired" in last.message


def test_the_decision_is_what_the_steps_of_a_request_come_to_for_a_thousand_random_requests() -> None:
    chance = random.Random(11)
    routes = {
        f"r{number}": RouteConf(
            f"r{number}",
            chance.choice(["weighted", "priority", "least_busy", "latency"]),
            chance.choice(["session", "key", "none"]),
            tuple(target(name, chance.randint(0, 3), chance.randint(0, 1)) for name in "abcd"),
            conditions=conditions(
                ({"team": chance.choice(["a", "b"]), "session": chance.choice([True, False])}, f"r{number + 1}"),
                ({"prompt_tokens_above": chance.randint(1, 50)}, f"r{number + 2}"),
            ),
        )
        for number in range(8)
    }
    snapshot = picture(routes, {f"claude-{number}": f"r{number}" for number in range(8)})
    health = Health()
    for name in "abcd":
        for _ in range(chance.randint(0, 6)):
            health.failed(target(name), chance.choice([500, 429]), 0.0, route=routes["r0"])
    refused = 0
    for number in range(1000):
        inbound = asked(
            f"claude-{chance.randint(0, 8)}",
            b"x" * chance.randint(2, 400),
            session_id=chance.choice(["", "s", f"s{number}"]),
        )
        caller = grant(chance.choice("abc"))
        told = decide(inbound, caller, snapshot, health, now=1.0, unix=NOW, random=random.Random(number).random)
        really, error = steps(inbound, caller, snapshot, health, number)
        refused += error is not None
        assert (told.refusal and str(told.refusal)) == (error and str(error))
        if error is None:
            assert (told.routed, told.resolution) == really
    assert 0 < refused < 1000


def steps(
    inbound: Inbound, caller: Grant, snapshot: Snapshot, health: Health, seed: int
) -> tuple[tuple[Routed, Resolution] | None, GatewayError | None]:
    """What a request goes through, one step after the other."""
    try:
        routed = route_for(inbound, caller, snapshot, NOW)
        chance = random.Random(seed).random
        return (routed, targets_for(inbound, routed, snapshot, health, now=1.0, random=chance)), None
    except GatewayError as error:
        return None, error
