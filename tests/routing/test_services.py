"""Writes of routing: what is refused, with which sentence, and what two people cannot do to each other."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from django.core.exceptions import ValidationError
from django.db import connection

from accounting.audit.changes import Actor, ChangeSet, StaleVersion, changing
from accounting.models import AuditEvent, Revision
from routing import services
from routing.models import Credential, ModelAlias, Provider, Route, RouteTarget
from routing.selectors import deprecations, who_serves
from routing.snapshot import load_snapshot

pytestmark = pytest.mark.django_db


@pytest.fixture
def change(db: None) -> Iterator[ChangeSet]:
    with changing(Actor("ada@example.org", "user")) as change:
        yield change


def made_provider(change: ChangeSet, name: str = "main", **fields: object) -> Provider:
    provider = Provider(**{"name": name, "base_url": "https://api.example.com", **fields})
    services.save_provider(change, provider, credential_kind="api_key", credential_values={"api_key": "sk-canary"})
    return provider


def made_route(change: ChangeSet, *targets: RouteTarget, name: str = "sonnet", **fields: object) -> Route:
    route = Route(name=name, **fields)
    services.save_route(change, route, targets)
    return route


def refusal(error: pytest.ExceptionInfo[ValidationError], field: str) -> str:
    return " ".join(error.value.message_dict[field])


def stored_values(provider: Provider) -> dict[str, str]:
    return Credential.objects.get(provider=provider).values


def test_a_new_provider_needs_a_credential(change: ChangeSet) -> None:
    with pytest.raises(ValidationError) as error:
        services.save_provider(change, Provider(name="main", base_url="https://api.example.com"))
    assert "needs a credential" in refusal(error, "credential")


def test_a_credential_is_kept_when_none_is_given_and_replaced_when_one_is(change: ChangeSet) -> None:
    provider = made_provider(change)
    provider.max_connections = 7
    services.save_provider(change, provider)
    services.save_provider(change, provider, credential_kind="api_key")
    assert stored_values(provider) == {"api_key": "sk-canary"}
    services.save_provider(change, provider, credential_kind="bearer", credential_values={"token": "t"})
    assert stored_values(provider) == {"token": "t"}


def test_no_secret_reaches_the_audit_log(change: ChangeSet) -> None:
    made_provider(change)
    assert "sk-canary" not in str(list(AuditEvent.objects.values_list("changes", flat=True)))


@pytest.mark.parametrize(
    ("kind", "values", "text"),
    [
        ("api_key", {}, "needs api_key"),
        ("bearer", None, "needs token"),
        ("api_key", {"api_key": "x", "other": "y"}, "has no other"),
        ("aws", {"access_key_id": "a", "secret_access_key": "b"}, "does not fit"),
        ("nonsense", {}, "not a kind"),
        ("api_key", {"api_key": "two words"}, "space"),
    ],
)
def test_a_credential_that_cannot_work_is_refused(
    change: ChangeSet, kind: str, values: dict[str, str] | None, text: str
) -> None:
    provider = made_provider(change)
    with pytest.raises(ValidationError) as error:
        services.save_provider(change, provider, credential_kind=kind, credential_values=values)
    assert text in refusal(error, "credential")


def test_a_provider_cannot_move_to_a_format_that_its_kept_credential_does_not_fit(change: ChangeSet) -> None:
    provider = made_provider(change)
    provider.format, provider.region, provider.project = "vertex", "us-east5", "p"
    with pytest.raises(ValidationError) as error:
        services.save_provider(change, provider)
    assert "does not fit" in refusal(error, "credential")


def test_a_provider_with_an_unreadable_credential_can_be_edited_and_get_another_one(change: ChangeSet) -> None:
    provider = made_provider(change)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE routing_credential SET \"values\" = 'not-ours'")
    provider.max_connections = 7
    services.save_provider(change, provider)
    services.save_provider(change, provider, credential_kind="api_key")
    services.save_provider(change, provider, credential_kind="api_key", credential_values={"api_key": "new"})
    assert stored_values(provider) == {"api_key": "new"}


def test_what_a_form_leaves_empty_stays_as_it_is_within_one_kind(change: ChangeSet) -> None:
    provider = made_provider(change)
    assert services.merged_values(provider, "api_key", {"api_key": ""}) == {"api_key": "sk-canary"}
    assert services.merged_values(provider, "api_key", {"api_key": "new"}) == {"api_key": "new"}
    assert services.merged_values(provider, "bearer", {"token": ""}) == {}
    assert services.merged_values(Provider(), "api_key", {"api_key": ""}) == {}


def test_a_route_without_a_usable_target_is_refused(change: ChangeSet) -> None:
    provider = made_provider(change)
    off = made_provider(change, "off", enabled=False)
    for targets, text in [
        ([], "at least one target"),
        ([RouteTarget(provider=provider, model="m", enabled=False)], "nothing could serve"),
        ([RouteTarget(provider=off, model="m")], "nothing could serve"),
        ([RouteTarget(provider=provider, model="m", weight=0)], "weight zero"),
    ]:
        with pytest.raises(ValidationError) as error:
            made_route(change, *targets)
        assert text in refusal(error, "targets")
    made_route(change, name="resting", enabled=False)


def test_targets_are_kept_in_the_order_given_and_those_not_given_are_deleted(change: ChangeSet) -> None:
    provider = made_provider(change)
    one, two, three = (RouteTarget(provider=provider, model=model) for model in ("one", "two", "three"))
    route = made_route(change, one, two)
    services.save_route(change, route, [three, one])
    assert [target.model for target in route.targets.order_by("position")] == ["three", "one"]
    events = AuditEvent.objects.filter(object_type="routetarget").values_list("action", "object_name")
    assert ("deleted", "sonnet/main: two") in set(events)


def test_saving_a_route_without_its_targets_leaves_them_and_still_checks_them(change: ChangeSet) -> None:
    target = RouteTarget(provider=made_provider(change), model="m")
    route = made_route(change, target)
    route.cooldown = 5
    services.save_route(change, route)
    assert route.targets.count() == 1
    RouteTarget.objects.update(enabled=False)
    with pytest.raises(ValidationError):
        services.save_route(change, route)


def test_a_target_that_someone_else_added_or_changed_is_not_wiped(change: ChangeSet) -> None:
    provider = made_provider(change)
    target = RouteTarget(provider=provider, model="m")
    route = made_route(change, target)
    seen = {target.pk: target.version}
    services.save_route(change, route, [target], expected_targets=seen)
    services.save_route(change, route, [target, RouteTarget(provider=provider, model="theirs")])
    with pytest.raises(StaleVersion) as error:
        services.save_route(change, route, [target], expected_targets=seen)
    assert "targets" in error.value.fields


def test_what_is_used_cannot_be_deleted_and_the_sentence_names_the_users(change: ChangeSet) -> None:
    provider = made_provider(change)
    route = made_route(change, RouteTarget(provider=provider, model="m"))
    alias = ModelAlias(name="claude", route=route)
    services.save_alias(change, alias)
    with pytest.raises(ValidationError, match="used by the routes sonnet"):
        services.delete_provider(change, provider)
    with pytest.raises(ValidationError, match="used by the aliases claude"):
        services.delete_route(change, route)
    services.delete_alias(change, alias)
    services.delete_route(change, route)
    services.delete_provider(change, provider)
    assert not Credential.objects.exists()


def test_a_provider_whose_credential_is_unreadable_can_be_deleted(change: ChangeSet) -> None:
    provider = made_provider(change)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE routing_credential SET \"values\" = 'not-ours'")
    services.delete_provider(change, provider)
    assert not Provider.objects.exists()


def test_a_disabled_pattern_does_not_stand_in_the_way_of_an_equal_one(change: ChangeSet) -> None:
    route = made_route(change, RouteTarget(provider=made_provider(change), model="m"))
    first = ModelAlias(name="claude-*-a", route=route)
    services.save_alias(change, first)
    second = ModelAlias(name="claude-a-*", route=route)
    with pytest.raises(ValidationError, match="As specific as"):
        services.save_alias(change, second)
    first.enabled = False
    services.save_alias(change, first)
    services.save_alias(change, second)
    first.enabled = True
    with pytest.raises(ValidationError, match="As specific as"):
        services.save_alias(change, first)


def test_a_write_raises_the_revision_that_running_processes_watch() -> None:
    with changing(Actor("ada@example.org", "user")) as change:
        made_provider(change)
    before = load_snapshot().revision
    assert before == Revision.objects.get(name=Revision.ROUTING).number
    with changing(Actor("ada@example.org", "user")) as change:
        made_provider(change, "second")
    assert load_snapshot().revision == before + 1


def test_the_preview_shows_shares_in_their_tier_and_the_reasons_for_the_rest(change: ChangeSet) -> None:
    main, off = made_provider(change), made_provider(change, "off", enabled=False)
    route = made_route(
        change,
        RouteTarget(provider=main, model="a", weight=60),
        RouteTarget(provider=main, model="b", weight=20),
        RouteTarget(provider=main, model="c", weight=0),
        RouteTarget(provider=main, model="d", tier=1),
        RouteTarget(provider=off, model="e", weight=20),
    )
    services.save_alias(change, ModelAlias(name="claude-*", route=route))
    served = who_serves("claude-opus")
    assert (served.alias, served.route, served.strategy) == ("claude-*", "sonnet", "weighted")
    rows = [(share.model, share.tier, share.percent, share.reason) for share in served.shares]
    assert rows == [
        ("a", 0, 75.0, ""),
        ("b", 0, 25.0, ""),
        ("c", 0, 0.0, "it has the weight zero and takes no traffic"),
        ("d", 1, 100.0, ""),
        ("e", 0, 0.0, "the provider off is disabled"),
    ]


@pytest.mark.parametrize(
    ("strategy", "sticky", "percents"),
    [
        ("priority", "none", [100.0, 0.0]),
        ("priority", "session", [100.0, 0.0]),
        ("latency", "none", [None, None]),
        ("latency", "session", [50.0, 50.0]),
    ],
)
def test_the_preview_says_what_other_strategies_do(
    change: ChangeSet, strategy: str, sticky: str, percents: list[float | None]
) -> None:
    main = made_provider(change)
    targets = (RouteTarget(provider=main, model=model) for model in "ab")
    route = made_route(change, *targets, strategy=strategy, sticky=sticky)
    services.save_alias(change, ModelAlias(name="claude", route=route))
    assert [share.percent for share in who_serves("claude").shares] == percents


def test_the_preview_of_an_unknown_name_suggests_others(change: ChangeSet) -> None:
    route = made_route(change, RouteTarget(provider=made_provider(change), model="m"))
    services.save_alias(change, ModelAlias(name="claude-opus-5", route=route))
    served = who_serves("claude-opus-6")
    assert (served.alias, served.shares, served.closest) == ("", (), ("claude-opus-5",))


def condition(route: str, **when: object) -> dict[str, object]:
    return {"when": when or {"team": ["x"]}, "route": route}


def two_routes(change: ChangeSet) -> tuple[Route, Route]:
    provider = made_provider(change)
    eu = made_route(change, RouteTarget(provider=provider, model="m"), name="eu")
    main = made_route(change, RouteTarget(provider=provider, model="m"), name="main", conditions=[condition("eu")])
    return main, eu


@pytest.mark.parametrize(
    ("conditions", "sentence"),
    [
        ([condition("nowhere")], "Condition 1: There is no route nowhere."),
        ([condition("eu"), condition("main")], "Condition 2: This leads in a circle: main → main."),
        ([condition("eu", teem="x")], "Condition 1, teem: unknown test; did you mean team?"),
        ([{"when": {}, "route": "eu"}], "Condition 1: it has no test"),
        ([{"when": {"team": "x"}}], "Condition 1, route: required"),
        ({"when": 1}, "conditions is a list"),
    ],
)
def test_conditions_that_lead_nowhere_are_refused(change: ChangeSet, conditions: list[object], sentence: str) -> None:
    main, _ = two_routes(change)
    main.conditions = conditions
    with pytest.raises(ValidationError) as error:
        services.save_route(change, main)
    assert sentence in refusal(error, "conditions")


def test_a_route_that_conditions_lead_to_is_kept(change: ChangeSet) -> None:
    main, eu = two_routes(change)
    with pytest.raises(ValidationError, match="Conditions of the routes main lead to the route eu"):
        services.delete_route(change, eu)
    eu.enabled = False
    with pytest.raises(ValidationError) as error:
        services.save_route(change, eu)
    said = refusal(error, "enabled")
    assert said == "Conditions of the route main would lead nowhere: The route eu is disabled."
    eu.enabled, eu.name = True, "europe"
    with pytest.raises(ValidationError) as error:
        services.save_route(change, eu)
    assert "There is no route eu." in refusal(error, "name")
    main.conditions = []
    services.save_route(change, main)
    services.save_route(change, eu)
    services.delete_route(change, eu)


def test_a_route_that_leads_into_a_circle_over_others_is_refused_with_the_way(change: ChangeSet) -> None:
    _, eu = two_routes(change)
    eu.conditions = [condition("main")]
    with pytest.raises(ValidationError) as error:
        services.save_route(change, eu)
    assert refusal(error, "conditions") == "Condition 1: This leads in a circle: eu → main → eu."


def two_names(change: ChangeSet) -> tuple[ModelAlias, ModelAlias]:
    route = made_route(change, RouteTarget(provider=made_provider(change), model="m"))
    new = ModelAlias(name="new", route=route)
    services.save_alias(change, new)
    old = ModelAlias(name="old", route=route, successor="new")
    services.save_alias(change, old)
    return old, new


def test_a_successor_that_nothing_serves_or_that_leads_in_a_circle_is_refused(change: ChangeSet) -> None:
    old, new = two_names(change)
    old.successor = "newer"
    with pytest.raises(ValidationError) as error:
        services.save_alias(change, old)
    assert refusal(error, "successor") == "Nothing serves newer: no enabled alias fits that name."
    new.successor = "old"
    with pytest.raises(ValidationError) as error:
        services.save_alias(change, new)
    assert refusal(error, "successor") == "The successors lead in a circle: new → old → new."


def test_a_name_without_a_route_is_refused_in_words(change: ChangeSet) -> None:
    with pytest.raises(ValidationError) as error:
        services.save_alias(change, ModelAlias(name="new"))
    assert "route" in error.value.message_dict


def test_a_name_that_is_a_successor_is_kept_until_something_takes_its_place(change: ChangeSet) -> None:
    _, new = two_names(change)
    with pytest.raises(ValidationError, match="The alias new is the successor of old"):
        services.delete_alias(change, new)
    new.enabled = False
    with pytest.raises(ValidationError) as error:
        services.save_alias(change, new)
    assert "The successor of the alias old would lead nowhere" in refusal(error, "enabled")
    route = new.route
    route.enabled = False
    services.save_route(change, route)  # then nobody is left to need it
    route.enabled = True
    services.save_route(change, route)
    services.save_alias(change, ModelAlias(name="ne*", route=route))
    services.delete_alias(change, ModelAlias.objects.get(name="new"))


def test_a_route_that_serves_a_successor_is_not_disabled_under_it(change: ChangeSet) -> None:
    old, _ = two_names(change)
    other = made_route(change, RouteTarget(provider=Provider.objects.get(), model="o"), name="other")
    old.route = other
    services.save_alias(change, old)
    route = Route.objects.get(name="sonnet")
    route.enabled = False
    with pytest.raises(ValidationError) as error:
        services.save_route(change, route)
    assert "The successor of the alias old would lead nowhere" in refusal(error, "enabled")


def test_deprecations_come_with_their_stage_the_next_to_end_first(change: ChangeSet) -> None:
    old, new = two_names(change)
    now = datetime(2026, 11, 1, tzinfo=UTC)
    later = ModelAlias(name="later", route=new.route, deprecated_on=now + timedelta(1), deprecation_text="Soon.")
    ended = ModelAlias(name="ended", route=new.route, retires_on=now, deprecated_on=now - timedelta(9), successor="new")
    for alias in (later, ended):
        services.save_alias(change, alias)
    ModelAlias.objects.filter(pk=old.pk).update(created_at=now - timedelta(30))
    found = [(each.name, each.stage, each.successor, each.text) for each in deprecations(now)]
    assert found == [
        ("ended", "retired", "new", ""),
        ("old", "deprecated", "new", ""),
        ("later", "in use", "", "Soon."),
    ]


def test_a_route_whose_conditions_cannot_be_read_serves_nothing_rather_than_everything(change: ChangeSet) -> None:
    main, _ = two_routes(change)
    services.save_alias(change, ModelAlias(name="claude", route=main))
    Route.objects.filter(pk=main.pk).update(conditions=[{"when": {"of_a_later_version": 1}, "route": "eu"}])
    alias = load_snapshot().find("claude")
    assert alias is not None
    assert alias.route.targets == ()
    assert "conditions of its route cannot be read" in alias.route.left_out[0].reason
