"""A wrong configuration file changes nothing and says everything that is wrong, each with the path to it."""

from collections.abc import Callable
from typing import Any

import pytest

from accounting.models import AuditEvent, Team, User
from routing.declarative import ConfigRefused
from routing.models import Provider
from tests.routing.declared import apply, whole

pytestmark = pytest.mark.django_db

NOT_YET = "not served by this version yet"


def refusal(content: Any, **options: Any) -> list[str]:
    with pytest.raises(ConfigRefused) as error:
        apply(content, **options)
    assert not Provider.objects.exists()
    assert not Team.objects.exists()
    assert not User.objects.exists()
    assert not AuditEvent.objects.exists()
    return [str(problem) for problem in error.value.problems]


def provider(**values: Any) -> Callable[[dict[str, Any]], None]:
    return lambda content: content["providers"][0].update(values)


def route(**values: Any) -> Callable[[dict[str, Any]], None]:
    return lambda content: content["routes"][0].update(values)


def target(**values: Any) -> Callable[[dict[str, Any]], None]:
    return lambda content: content["routes"][0]["targets"][1].update(values)


def alias(**values: Any) -> Callable[[dict[str, Any]], None]:
    return lambda content: content["aliases"][1].update(values)


def team(**values: Any) -> Callable[[dict[str, Any]], None]:
    return lambda content: content["teams"][0].update(values)


def project(**values: Any) -> Callable[[dict[str, Any]], None]:
    return lambda content: content["teams"][0]["projects"][0].update(values)


def key(**values: Any) -> Callable[[dict[str, Any]], None]:
    return lambda content: content["teams"][0]["projects"][0]["keys"][0].update(values)


def top(**values: Any) -> Callable[[dict[str, Any]], None]:
    return lambda content: content.update(values)


def again(*path: Any) -> Callable[[dict[str, Any]], None]:
    """Doubles the first entry of a list."""

    def change(content: Any) -> None:
        for step in path:
            content = content[step]
        content.append(dict(content[0]))

    return change


def without(name: str, *path: Any) -> Callable[[dict[str, Any]], None]:
    def change(content: Any) -> None:
        for step in path:
            content = content[step]
        del content[name]

    return change


KEY = "teams[0].projects[0].keys[0]"


RATES = {"input": 1, "output": 2, "cache_write_5m": 3, "cache_write_1h": 4, "cache_read": 5}


def price(**fields: Any) -> dict[str, Any]:
    return {"provider": "*", "model": "claude-x", "valid_from": "2026-01-01", **RATES, **fields}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (top(version=2), "version: this version of the gateway reads version 1"),
        (top(version="one"), "version: not a whole number"),
        (top(provider=[]), "provider: unknown key; did you mean providers?"),
        (top(xyzzy=[]), "xyzzy: unknown key"),
        (top(providers={}), "providers: not a list"),
        (top(aliases=["x"]), "aliases[0]: not a mapping"),
        (top(identity_providers=[{"name": "corp"}]), f"identity_providers: {NOT_YET}"),
        (top(prices=[price(model=1)]), "prices[0].model: not a text; write it in quotes"),
        (top(prices=[price(valid_from=None)]), "prices[0].valid_from: not a date"),
        (top(prices=[price(input=-1)]), "prices[0].input: not a number that is zero or more"),
        (top(prices=[price(input=float("nan"))]), "prices[0].input: not a number"),
        (top(prices=[price(input=float("inf"))]), "prices[0].input: not a number"),
        (top(prices=[price(input="three")]), "prices[0].input: not a number"),
        (top(prices=[price(output=10_001)]), "prices[0].output: Ensure this value is less than or equal to 10000."),
        (
            top(prices=[price(cache_read=0.0000001)]),
            "prices[0].cache_read: Ensure that there are no more than 6 decimal places.",
        ),
        (top(prices=[price(fast={"input": 1})]), "prices[0].fast.output: required"),
        (top(prices=[price(fast=[1])]), "prices[0].fast: not a mapping"),
        (
            top(prices=[price(long_context={**RATES, "above": -1})]),
            "prices[0].long_context.above: not between 0 and 2147483647",
        ),
        (top(prices=[price(long_context=RATES)]), "prices[0].long_context.above: required"),
        (top(prices=[price(long_context={**RATES, "above": 1, "x": 1})]), "prices[0].long_context.x: unknown key"),
        (
            top(prices=[price(geo_multipliers={"us": -1})]),
            "prices[0].geo_multipliers.us: not a number that is zero or more",
        ),
        (
            top(prices=[price(geo_multipliers={"us": 101})]),
            "prices[0].geo_multipliers: The multiplier of us is not a number between 0 and 100.",
        ),
        (top(prices=[price(batch_multiplier=True)]), "prices[0].batch_multiplier: not a number"),
        (top(prices=[price(model="a b")]), "prices[0].model: No spaces and no control characters here."),
        (
            top(prices=[price(provider="nobody")]),
            "prices[0].provider: there is no provider nobody, neither in the file nor stored",
        ),
        (top(prices=[price(inptu=1)]), "prices[0].inptu: unknown key; did you mean input?"),
        (top(prices=[price(), price()]), "prices[1]: the same provider and model and valid_from as in prices[0]"),
        (top(unknown_model_price={"input": -1}), "unknown_model_price.input: not a number that is zero or more"),
        (top(unknown_model_price={"imput": 1}), "unknown_model_price.imput: unknown key; did you mean input?"),
        (
            top(unknown_model_price={"input": 10_001}),
            "unknown_model_price.input: Ensure this value is less than or equal to 10000.",
        ),
        (top(unknown_model_price=3), "unknown_model_price: not a mapping"),
        (again("providers"), "providers[2].name: the same as in providers[0]"),
        (again("routes"), "routes[1].name: the same as in routes[0]"),
        (again("routes", 0, "targets"), "routes[0].targets[2]: the same provider and model as in routes[0].targets[0]"),
        (again("aliases"), "aliases[2].name: the same as in aliases[0]"),
        (again("teams"), "teams[1].name: the same as in teams[0]"),
        (again("teams", 0, "members"), "teams[0].members[2].email: the same as in teams[0].members[0]"),
        (again("teams", 0, "projects"), "teams[0].projects[1].name: the same as in teams[0].projects[0]"),
        (again("teams", 0, "projects", 0, "keys"), f"teams[0].projects[0].keys[2].name: the same as in {KEY}"),
        (without("name", "providers", 1), "providers[1].name: required"),
        (without("base_url", "providers", 0), "providers[0].base_url: required"),
        (without("credential", "providers", 0), "providers[0].credential: required"),
        (without("provider", "routes", 0, "targets", 1), "routes[0].targets[1].provider: required"),
        (without("model", "routes", 0, "targets", 1), "routes[0].targets[1].model: required"),
        (without("targets", "routes", 0), "routes[0].targets: A route needs at least one target."),
        (without("route", "aliases", 1), "aliases[1].route: required"),
        (without("email", "teams", 0, "members", 1), "teams[0].members[1].email: required"),
        (provider(base_ur="x"), "providers[0].base_ur: unknown key; did you mean base_url?"),
        (provider(name=4711), "providers[0].name: not a text; write it in quotes"),
        (provider(enabled="yes"), "providers[0].enabled: neither true nor false"),
        (provider(max_connections=True), "providers[0].max_connections: not a whole number"),
        (provider(max_connections="512"), "providers[0].max_connections: not a whole number"),
        (provider(max_connections=-1), "providers[0].max_connections: not between 0 and 2147483647"),
        (provider(connect_timeout="soon"), "providers[0].connect_timeout: not a number of seconds"),
        (provider(connect_timeout=float("nan")), "providers[0].connect_timeout: not a number of seconds"),
        (provider(credential="sk"), "providers[0].credential: not a mapping"),
        (provider(credential={}), "providers[0].credential.kind: required"),
        (
            provider(credential={"kind": "api_kex"}),
            "providers[0].credential.kind: not a kind of credential; did you mean api_key?",
        ),
        (
            provider(credential={"kind": "api_key", "api_kee": "x", "api_key": "y"}),
            "providers[0].credential.api_kee: unknown key; did you mean api_key?",
        ),
        (
            provider(credential={"kind": "bearer"}),
            "providers[0].credential.token: required by the kind bearer",
        ),
        (
            provider(credential={"kind": "api_key", "api_key": 7}),
            "providers[0].credential.api_key: not a text; write it in quotes",
        ),
        (
            provider(credential={"kind": "api_key", "api_key": "${NOPE}"}),
            "providers[0].credential.api_key: NOPE is not set in the environment",
        ),
        (
            provider(credential={"kind": "aws_default"}),
            "providers[0].credential: The kind aws_default does not fit a provider of format anthropic.",
        ),
        (
            target(provider="loca"),
            "routes[0].targets[1].provider: there is no provider loca, neither in the file nor stored; "
            "did you mean local?",
        ),
        (target(tier=40_000), "routes[0].targets[1].tier: not between 0 and 32767"),
        (target(weight=1.5), "routes[0].targets[1].weight: not a whole number"),
        (route(retry_on="connect"), "routes[0].retry_on: not a list"),
        (route(retry_on=["connect", None]), "routes[0].retry_on[1]: not a text"),
        (route(breaker={"failure": 1}), "routes[0].breaker.failure: unknown key; did you mean failures?"),
        (route(breaker={"failures": "x"}), "routes[0].breaker.failures: not a whole number"),
        (
            alias(route="sonet"),
            "aliases[1].route: there is no route sonet, neither in the file nor stored; did you mean sonnet?",
        ),
        (team(allowed_models=["*", 1]), "teams[0].allowed_models[1]: not a text; write it in quotes"),
        (team(members=[{"email": "ada@example.org", "role": None}]), "teams[0].members[0].role: not a text"),
        (key(expires="tomorrow"), f"{KEY}.expires: not a date"),
        (key(expires=4711), f"{KEY}.expires: not a date"),
        (
            key(kind="personal", owner="eve@example.org"),
            f"{KEY}.owner: there is no member or user eve@example.org, neither in the file nor stored",
        ),
        (key(tags={"cost_center": 4711}), f"{KEY}.tags.cost_center: not a text; write it in quotes"),
        (key(tags=["x"]), f"{KEY}.tags: not a mapping"),
        (key(secret="${NOPE}"), f"{KEY}.secret: NOPE is not set in the environment"),
        (key(name="a\0b"), f"{KEY}.name: a text cannot have a NUL character"),
        (key(name="a\ud800"), f"{KEY}.name: not a text: half a character"),
    ],
)
def test_each_problem_is_told_with_the_path_to_it(change: Callable[[Any], None], said: str) -> None:
    content = whole()
    change(content)
    assert said in refusal(content)


@pytest.mark.parametrize(
    ("change", "path"),
    [
        (provider(name="Not OK"), "providers[0].name"),
        (provider(format="anthropics"), "providers[0].format"),
        (provider(base_url="ftp://example.com"), "providers[0].base_url"),
        (provider(base_url="http://127.0.0.1"), "providers[0].base_url"),
        (provider(idle_timeout=0), "providers[0].idle_timeout"),
        (provider(max_connections=0), "providers[0].max_connections"),
        (provider(on_client_disconnect="wait"), "providers[0].on_client_disconnect"),
        (route(name="-"), "routes[0].name"),
        (route(strategy="best"), "routes[0].strategy"),
        (route(sticky="maybe"), "routes[0].sticky"),
        (route(max_attempts=0), "routes[0].max_attempts"),
        (route(retry_on=[200]), "routes[0].retry_on"),
        (route(cooldown=0), "routes[0].cooldown"),
        (route(breaker={"failures": 0}), "routes[0].breaker.failures"),
        (route(breaker={"window": 0}), "routes[0].breaker.window"),
        (target(model="two words"), "routes[0].targets[1].model"),
        (target(weight=2_000_000), "routes[0].targets[1].weight"),
        (alias(name="two words"), "aliases[1].name"),
        (team(name="Not OK"), "teams[0].name"),
        (team(timezone="Europe/Atlantis"), "teams[0].timezone"),
        (team(capture="all"), "teams[0].capture"),
        (team(members=[{"email": "nobody"}]), "teams[0].members[0].email"),
        (team(members=[{"email": "a@example.org", "role": "king"}]), "teams[0].members[0].role"),
        (project(name="Not OK"), "teams[0].projects[0].name"),
        (key(kind="robot"), f"{KEY}.kind"),
        (key(secret="short"), f"{KEY}.secret"),
        (key(allowed_ips=["10.0.0.1/8"]), f"{KEY}.allowed_ips"),
        (key(allowed_models=[""]), f"{KEY}.allowed_models"),
        (key(name="x" * 64), f"{KEY}.name"),
    ],
)
def test_what_the_models_refuse_is_told_at_the_key_of_the_file(change: Callable[[Any], None], path: str) -> None:
    content = whole()
    change(content)
    assert path in [said.split(":")[0] for said in refusal(content)]


def test_all_problems_are_told_at_once_in_the_order_of_their_paths() -> None:
    content = whole()
    for change in (
        key(expires="tomorrow", allowed_ips=["nowhere"]),
        provider(base_url="ftp://x", idle_timeout=0, colour="red"),
        target(provider="nobody"),
        top(prices=[1], version=3),
        again("aliases"),
    ):
        change(content)
    assert [said.split(":")[0] for said in refusal(content)] == [
        "aliases[2].name",
        "prices[0]",
        "providers[0].base_url",
        "providers[0].colour",
        "providers[0].idle_timeout",
        "routes[0].targets[1].provider",
        f"{KEY}.allowed_ips",
        f"{KEY}.expires",
        "version",
    ]


def test_two_keys_cannot_share_a_secret() -> None:
    content = whole()
    content["teams"][0]["projects"][0]["keys"][1]["secret"] = "${CI_KEY}"
    assert refusal(content) == [
        "teams[0].projects[0].keys[1].secret: Another key has this secret already; every key needs its own."
    ]


@pytest.mark.parametrize("content", ["just text", "- a list", "4711"])
def test_a_file_that_is_no_mapping_is_refused(content: str) -> None:
    assert refusal(content) == ["the file is not a mapping of sections; it begins with version: 1"]


def test_a_problem_never_shows_a_secret() -> None:
    content = whole()
    content["providers"][0]["credential"] = {"kind": "api_key", "api_key": "sk canary"}
    content["teams"][0]["projects"][0]["keys"][0]["secret"] = "canary"
    assert "canary" not in "\n".join(refusal(content))


@pytest.mark.parametrize(
    "values",
    [
        {"prices": [], "unknown_model_price": {}, "organization": None, "identity_providers": []},
        {"prices": None, "organization": {"budgets": [], "rate_limits": None}},
    ],
)
def test_empty_sections_of_later_versions_are_taken(values: dict[str, Any]) -> None:
    apply({**whole(), **values})
