"""The picture that requests are served from: what is in it, what is not and why, and how names are found."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounting.models import Revision
from gateway_project.crypto import Secret
from routing.models import Credential, ModelAlias, Provider, Route, RouteTarget
from routing.snapshot import MOST_REMEMBERED, AliasConf, RouteConf, Snapshot, load_snapshot

WHEN = datetime(2026, 1, 1, tzinfo=UTC)


def picture(*names: str) -> Snapshot:
    return Snapshot(1, {}, {name: AliasConf(name, RouteConf(name="r"), "", WHEN) for name in names})


@pytest.mark.parametrize(
    ("aliases", "asked", "found"),
    [
        (["claude-opus"], "claude-opus", "claude-opus"),
        (["claude-opus"], "claude-opu", None),
        (["claude-*", "claude-opus"], "claude-opus", "claude-opus"),
        (["claude-*", "claude-opus-*", "*"], "claude-opus-5", "claude-opus-*"),
        (["claude-*", "claude-opus-*", "*"], "claude-", "claude-*"),
        (["claude-*", "claude-opus-*", "*"], "gpt", "*"),
        (["claude-*"], "claude-*", "claude-*"),
        (["claude-opus"], "claude-opus[1m]", "claude-opus"),
        (["claude-opus", "claude-opus[1m]"], "claude-opus[1m]", "claude-opus[1m]"),
        (["claude-opus", "claude-*"], "claude-opus[1m]", "claude-opus"),
        (["claude-*"], "claude-opus[1m]", "claude-*"),
        (["*[1m]"], "claude-opus[1m]", "*[1m]"),
        (["claude-opus"], "[1m]", None),
        ([], "", None),
    ],
)
def test_a_name_is_served_by_the_most_specific_alias(aliases: list[str], asked: str, found: str | None) -> None:
    snapshot = picture(*aliases)
    for _ in range(2):  # the second answer comes from memory
        alias = snapshot.find(asked)
        assert (alias.name if alias else None) == found


def test_remembered_names_stay_bounded_whatever_clients_ask_for() -> None:
    snapshot = picture("claude-*")
    for number in range(MOST_REMEMBERED * 2 + 10):
        snapshot.find(f"no-{number}")
    snapshot.find("x" * 100_000)
    assert len(snapshot._found) <= MOST_REMEMBERED
    assert all(len(name) <= 300 for name in snapshot._found)


def test_exact_aliases_are_listed_by_name_without_patterns() -> None:
    assert [alias.name for alias in picture("b", "a", "c-*").exact_aliases()] == ["a", "b"]


def test_suggestions_name_only_what_the_caller_may_use() -> None:
    snapshot = picture("claude-opus-4", "claude-opus-5", "claude-opus-6", "claude-opus-7", "gpt")
    assert len(snapshot.closest("claude-opus-8", lambda name: True)) == 3
    assert snapshot.closest("claude-opus-8", lambda name: name.endswith("4")) == ("claude-opus-4",)
    assert snapshot.closest("zzzz", lambda name: True) == ()


@pytest.fixture
def provider(db: None) -> Provider:
    provider = Provider.objects.create(name="main", base_url="https://api.example.com/v1/")
    Credential.objects.create(provider=provider, kind="api_key", values={"api_key": "sk-canary"})
    return provider


@pytest.fixture
def route(provider: Provider) -> Route:
    route = Route.objects.create(name="sonnet")
    RouteTarget.objects.create(route=route, provider=provider, model="claude", weight=80)
    ModelAlias.objects.create(name="claude", route=route, display_name="Claude")
    return route


def test_a_snapshot_holds_everything_with_the_secret_hidden(route: Route) -> None:
    Revision.objects.update_or_create(name=Revision.ROUTING, defaults={"number": 7})
    snapshot = load_snapshot()
    alias = snapshot.find("claude")
    assert alias is not None
    (target,) = alias.route.targets
    assert (snapshot.revision, alias.display_name, target.model, target.weight) == (7, "Claude", "claude", 80)
    assert target.provider.base_url == "https://api.example.com"
    assert target.provider.credential.values == {"api_key": Secret("sk-canary")}
    assert "sk-canary" not in repr(snapshot)
    assert alias.route.retry_on >= {"connect", "timeout", 529}


def test_the_number_of_queries_does_not_grow_with_the_configuration(route: Route, provider: Provider) -> None:
    for number in range(5):
        other = Route.objects.create(name=f"r{number}")
        RouteTarget.objects.create(route=other, provider=provider, model="m")
        ModelAlias.objects.create(name=f"a{number}", route=other)
    with CaptureQueriesContext(
        connection,
    ) as queries:
        load_snapshot()
    assert len(queries) == 9


def break_credential(provider: Provider) -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE routing_credential SET \"values\" = 'gAAAA-not-ours'")


def disable(provider: Provider) -> None:
    Provider.objects.update(enabled=False)


def remove_credential(provider: Provider) -> None:
    Credential.objects.all().delete()


def disable_target(provider: Provider) -> None:
    RouteTarget.objects.update(enabled=False)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (break_credential, "the credential of the provider main cannot be read"),
        (disable, "the provider main is disabled"),
        (remove_credential, "the provider main has no credential"),
        (disable_target, "the target is disabled"),
    ],
)
def test_a_target_that_cannot_serve_is_left_out_with_the_reason_and_the_rest_stays(
    route: Route, provider: Provider, damage: Callable[[Provider], None], reason: str
) -> None:
    damage(provider)
    alias = load_snapshot().find("claude")
    assert alias is not None
    assert alias.route.targets == ()
    (left_out,) = alias.route.left_out
    assert (left_out.provider, left_out.model) == ("main", "claude")
    assert left_out.reason.startswith(reason)


def test_an_unreadable_credential_is_named_and_does_not_take_other_providers_down(route: Route) -> None:
    break_credential(Provider.objects.get())
    second = Provider.objects.create(name="second", base_url="https://second.example.com")
    Credential.objects.create(provider=second, kind="none")
    snapshot = load_snapshot()
    assert list(snapshot.providers) == ["second"]
    assert list(snapshot.unusable) == ["main"]


def test_a_disabled_alias_and_an_alias_of_a_disabled_route_are_unknown(route: Route) -> None:
    ModelAlias.objects.create(name="claude-off", route=route, enabled=False)
    assert load_snapshot().find("claude-off") is None
    Route.objects.update(enabled=False)
    assert load_snapshot().find("claude") is None


def test_targets_come_by_tier_and_then_as_listed(route: Route, provider: Provider) -> None:
    RouteTarget.objects.all().delete()
    for model, tier, position in [("late", 1, 0), ("second", 0, 2), ("first", 0, 1)]:
        RouteTarget.objects.create(route=route, provider=provider, model=model, tier=tier, position=position)
    alias = load_snapshot().find("claude")
    assert alias is not None
    assert [target.model for target in alias.route.targets] == ["first", "second", "late"]


@pytest.mark.parametrize(
    ("field", "value", "moves"),
    [
        ("base_url", "https://other.example.com", True),
        ("connect_timeout", 9, True),
        ("max_connections", 9, True),
        ("allow_private_addresses", True, True),
        ("base_url", "https://api.example.com", False),
        ("first_byte_timeout", 9, False),
        ("idle_timeout", 9, False),
        ("on_client_disconnect", "drain", False),
        ("region", "eu", False),
    ],
)
def test_the_tag_of_a_provider_moves_only_with_what_connections_depend_on(
    provider: Provider, field: str, value: object, moves: bool
) -> None:
    before = load_snapshot().providers["main"].revision_tag
    Provider.objects.update(**{field: value})
    assert (load_snapshot().providers["main"].revision_tag != before) == moves


def test_a_change_of_the_credential_keeps_the_tag_and_shows_in_the_credential(provider: Provider) -> None:
    before = load_snapshot().providers["main"]
    credential = Credential.objects.get()
    credential.values = {"api_key": "sk-new"}
    credential.save()
    after = load_snapshot().providers["main"]
    assert after.revision_tag == before.revision_tag
    assert after.credential != before.credential


def test_a_change_while_the_tables_are_read_makes_it_read_again(route: Route, monkeypatch: pytest.MonkeyPatch) -> None:
    Revision.objects.update_or_create(name=Revision.ROUTING, defaults={"number": 1})
    changed = False

    def change_once(execute: Callable[..., object], sql: str, *args: object) -> object:
        nonlocal changed
        if "routing_modelalias" in sql and not changed:
            changed = True
            result = execute(sql, *args)
            ModelAlias.objects.update(display_name="New")
            Revision.objects.update(number=2)
            return result
        return execute(sql, *args)

    with connection.execute_wrapper(change_once):
        snapshot = load_snapshot()
    alias = snapshot.find("claude")
    assert alias is not None
    assert (snapshot.revision, alias.display_name) == (2, "New")
