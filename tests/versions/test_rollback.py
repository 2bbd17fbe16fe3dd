"""Going back makes the configuration what it was, as a new version, and nothing by halves."""

from collections.abc import Callable

import pytest
from django.core.exceptions import ValidationError
from django.db import connection

from accounting.audit.changes import ChangeSet
from accounting.models import AuditEvent
from routing.models import (
    CompatibilityRule,
    Credential,
    ModelAlias,
    Provider,
    Route,
    RouteTarget,
    SealedSecret,
)
from routing.services import delete_alias, delete_provider, delete_route, save_alias, save_provider, save_route
from routing.versions.applying import apply
from routing.versions.difference import differences, read
from routing.versions.keeping import current_number, rotate_sealed
from routing.versions.picture import Picture, take_picture
from routing.versions.rollback import Plan, plan_rollback, roll_back
from routing.versions.wording import lines
from tests.versions.conftest import CANARY, add_provider, make, newest, set_cooldown

pytestmark = pytest.mark.django_db

NEW_KEY = f"{CANARY}-new"


def go_back(number: int, seen: int | None = None, reason: str = "") -> Plan:
    plans: list[Plan] = []
    seen = current_number() if seen is None else seen
    make(lambda change: plans.append(roll_back(change, number, seen, reason)))
    return plans[0]


def named(picture: Picture) -> dict[str, dict[tuple[str, ...], dict[str, object]]]:
    """A picture without ids, which differ for rows that were made again."""
    return {table: {key: dict(row.values) for key, row in rows.items()} for table, rows in picture.tables.items()}


def lose_everything(change: ChangeSet) -> None:
    for alias in ModelAlias.objects.all():
        delete_alias(change, alias)
    for route in Route.objects.all():
        delete_route(change, route)
    for provider in Provider.objects.all():
        delete_provider(change, provider)


def much_more(change: ChangeSet) -> None:
    """Everything is changed, and there is more of everything."""
    set_cooldown(99)(change)
    second = add_provider(change, "second", f"{CANARY}-second")
    route = Route(name="opus")
    save_route(change, route, [RouteTarget(provider=second, model="claude-opus-5")])
    save_alias(change, ModelAlias(name="claude-opus-5", route=route))
    alias = ModelAlias.objects.get(name="claude-sonnet-4-5")
    alias.route = route
    save_alias(change, alias)
    delete_route(change, Route.objects.get(name="sonnet"))
    change.save(CompatibilityRule(name="some-beta", pair=["field"]))


def test_a_rollback_is_a_new_version_with_who_and_why(configured: int) -> None:
    number = make(set_cooldown(77))
    go_back(configured, reason="it was too slow")
    assert Route.objects.get().cooldown == 30
    assert newest().number == number + 1
    assert newest().reason == f"rollback to {configured}: it was too slow"
    assert lines(read(newest().changes)) == ["changed route sonnet: cooldown: 77 → 30"]
    event = AuditEvent.objects.first()
    assert event is not None
    assert (event.actor, event.object_name, event.changes) == ("ada@example.org", "sonnet", {"cooldown": [77, 30]})


@pytest.mark.parametrize("work", [set_cooldown(77), much_more, lose_everything])
def test_the_configuration_is_what_it_was_in_every_field(work: Callable[[ChangeSet], None], configured: int) -> None:
    before = named(take_picture().picture)
    make(work)
    go_back(configured)
    assert named(take_picture().picture) == before
    assert plan_rollback(configured).edits == ()


def test_going_back_and_forth_ends_where_it_began(configured: int) -> None:
    later = make(much_more)
    after = named(take_picture().picture)
    go_back(configured)
    go_back(later)
    assert named(take_picture().picture) == after


def test_a_provider_keeps_its_present_credential(configured: int) -> None:
    def rotate(change: ChangeSet) -> None:
        provider = Provider.objects.get()
        provider.max_connections = 5
        save_provider(change, provider, credential_kind="api_key", credential_values={"api_key": NEW_KEY})

    make(rotate)
    plan = go_back(configured)
    assert plan.notes == ("The provider main keeps its present credential.",)
    assert lines(plan.changes) == ["changed provider main: max_connections: 5 → 512"]
    assert Credential.objects.get().values == {"api_key": NEW_KEY}
    assert Provider.objects.get().max_connections == 512


def test_a_renamed_provider_keeps_its_present_credential_too(configured: int) -> None:
    def rename(change: ChangeSet) -> None:
        provider = Provider.objects.get()
        provider.name = "primary"
        save_provider(change, provider, credential_kind="api_key", credential_values={"api_key": NEW_KEY})

    make(rename)
    pk = Provider.objects.get().pk
    go_back(configured)
    assert (Provider.objects.get().name, Provider.objects.get().pk) == ("main", pk)
    assert Credential.objects.get().values == {"api_key": NEW_KEY}
    assert RouteTarget.objects.get().provider_id == pk


def test_a_deleted_provider_comes_back_with_its_credential(configured: int) -> None:
    make(lose_everything)
    go_back(configured)
    assert Credential.objects.get().values == {"api_key": CANARY}


def test_a_credential_that_does_not_fit_the_old_format_is_the_old_one_again(configured: int) -> None:
    def to_bedrock(change: ChangeSet) -> None:
        provider = Provider.objects.get()
        provider.format, provider.region = "bedrock", "us-east-1"
        values = {"access_key_id": "AK", "secret_access_key": NEW_KEY}
        save_provider(change, provider, credential_kind="aws", credential_values=values)

    make(to_bedrock)
    plan = go_back(configured)
    assert "gets back the credential" in plan.notes[0]
    assert (Credential.objects.get().kind, Credential.objects.get().values) == ("api_key", {"api_key": CANARY})


@pytest.mark.parametrize("how", ["unreadable", "gone"])
def test_a_provider_whose_secret_is_lost_is_not_brought_back_and_nothing_else_is(how: str, configured: int) -> None:
    number = make(lose_everything)
    if how == "gone":
        SealedSecret.objects.all().delete()
    else:
        with connection.cursor() as cursor:
            cursor.execute('UPDATE routing_sealedsecret SET "values" = %s', ["not a ciphertext"])
    assert "The provider main cannot be brought back" in plan_rollback(configured).problems[0]
    with pytest.raises(ValidationError, match="The provider main cannot be brought back"):
        go_back(configured)
    assert (current_number(), Route.objects.count()) == (number, 0)


def test_what_others_need_is_disabled_instead_of_deleted(configured: int) -> None:
    now = take_picture().picture
    without = Picture({name: {} if name in ("provider", "credential") else rows for name, rows in now.tables.items()})
    make(lambda change: apply(change, differences(now, without), restoring=True))
    assert not Provider.objects.get().enabled
    assert Credential.objects.get().values == {"api_key": CANARY}
    with pytest.raises(ValidationError, match=r"Provider main: .*used by the routes sonnet"):
        make(lambda change: apply(change, differences(now, without)))


def test_a_configuration_that_moved_since_the_confirmation_is_left_alone(configured: int) -> None:
    seen = make(set_cooldown(77))
    make(set_cooldown(88))
    with pytest.raises(ValidationError, match="changed meanwhile"):
        go_back(configured, seen=seen)
    assert Route.objects.get().cooldown == 88


def test_there_must_be_something_to_go_back_to(configured: int) -> None:
    with pytest.raises(ValidationError, match="There is no version 999"):
        go_back(999)
    with pytest.raises(ValidationError, match="nothing to change"):
        go_back(configured)


def test_a_route_that_could_serve_nothing_then_may_come_back_so(configured: int) -> None:
    def disable(change: ChangeSet) -> None:
        provider = Provider.objects.get()
        provider.enabled = False
        save_provider(change, provider)

    def delete_all(change: ChangeSet) -> None:
        lose_everything(change)

    number = make(disable)
    make(delete_all)
    go_back(number)
    assert not Provider.objects.get().enabled
    assert Route.objects.get().enabled


def test_equally_specific_patterns_do_not_stand_in_each_others_way(configured: int) -> None:
    route = Route.objects.get()
    number = make(lambda change: save_alias(change, ModelAlias(name="claude-a*", route=route)))

    def swap(change: ChangeSet) -> None:
        delete_alias(change, ModelAlias.objects.get(name="claude-a*"))
        save_alias(change, ModelAlias(name="claude-*a", route=route))

    make(swap)
    go_back(number)
    assert set(ModelAlias.objects.values_list("name", flat=True)) == {"claude-sonnet-4-5", "claude-a*"}


def test_names_that_changed_places_change_back(configured: int) -> None:
    def chain(change: ChangeSet) -> None:
        for old, new in (("two", "three"), ("one", "two")):
            row = Route.objects.get(name=old)
            row.name = new
            change.save(row)

    def two(change: ChangeSet) -> None:
        for name in ("one", "two"):
            save_route(change, Route(name=name, enabled=False), [])

    number = make(two)
    make(chain)
    go_back(number)
    assert set(Route.objects.values_list("name", flat=True)) == {"sonnet", "one", "two"}


def test_sealed_secrets_move_to_the_newest_key(configured: int, settings: object) -> None:
    make(lose_everything)
    old = settings.GATEWAY_FIELD_KEYS  # type: ignore[attr-defined]
    settings.GATEWAY_FIELD_KEYS = ["the-newest-key-of-all", *old]  # type: ignore[attr-defined]
    assert rotate_sealed() == 1
    settings.GATEWAY_FIELD_KEYS = ["the-newest-key-of-all"]  # type: ignore[attr-defined]
    go_back(configured)
    assert Credential.objects.get().values == {"api_key": CANARY}


def test_a_sealed_secret_that_no_key_opens_does_not_stop_a_rotation(configured: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute('UPDATE routing_sealedsecret SET "values" = %s', ["not a ciphertext"])
    assert rotate_sealed() == 0
    assert not SealedSecret.objects.exists()
