"""Every change of routing leaves a version: who, when, why, what, and the whole configuration after it."""

import pytest
from django.apps import apps
from django.core.exceptions import ValidationError
from django.db import connection

from accounting.models import Revision, Team, Versioned
from routing.declarative import import_config
from routing.models import (
    CompatibilityRule,
    CompatibilitySuggestion,
    ConfigPicture,
    ConfigVersion,
    Credential,
    ModelAlias,
    Provider,
    Route,
    RouteTarget,
    SealedSecret,
)
from routing.services import save_alias, save_provider
from routing.snapshot import load_snapshot
from routing.versions.difference import differences, read
from routing.versions.keeping import current_version, picture_of
from routing.versions.picture import PICTURED, decode, encode, take_picture
from routing.versions.wording import lines, summary
from tests.versions.conftest import ADA, CANARY, first_configuration, make, newest, set_cooldown

# Configuration that is no part of pictures: it is about the moment, and going back must not touch it.
LEFT_OUT = {"TargetControl", "Shadow"}  # what is done by hand, and what is only watched

pytestmark = pytest.mark.django_db


def test_a_version_has_the_number_that_processes_serve_and_records_name(configured: int) -> None:
    assert newest().number == configured == load_snapshot().revision


def test_a_version_tells_who_when_why_and_what(configured: int) -> None:
    make(set_cooldown(77), reason="the provider asked for it")
    version = newest()
    assert (version.actor, version.actor_kind, version.source) == ("ada@example.org", "user", "203.0.113.7")
    assert version.reason == "the provider asked for it"
    assert lines(read(version.changes)) == ["changed route sonnet: cooldown: 30 → 77"]
    assert summary(read(version.changes)) == "changed route sonnet (cooldown)"


def test_one_transaction_is_one_version(db: None) -> None:
    make(first_configuration)
    assert ConfigVersion.objects.count() == 1
    assert lines(read(newest().changes)) == [
        "created provider main",
        "created credential api_key of main",
        "created route sonnet",
        "created target sonnet/main: claude-sonnet-4-5",
        "created alias claude-sonnet-4-5",
    ]


def test_what_is_taken_back_leaves_no_version(configured: int) -> None:
    with pytest.raises(ValidationError):
        make(lambda change: (set_cooldown(77)(change), set_cooldown(0)(change)))
    assert newest().number == configured


def test_changes_of_people_leave_no_version(configured: int) -> None:
    make(lambda change: change.save(Team(name="platform")))
    assert newest().number == configured


def test_an_import_is_a_version_with_its_reason_and_without_the_people(db: None) -> None:
    file = b"""
version: 1
providers: [{name: main, base_url: "https://a.example.org", credential: {kind: none}}]
teams: [{name: platform}]
"""
    import_config(file, environ={}, reason="moved here")
    version = newest()
    assert (version.actor, version.reason) == ("import_config", "moved here")
    assert lines(read(version.changes)) == ["created provider main", "created credential none of main"]


def test_equal_pictures_are_stored_once(configured: int) -> None:
    first = newest().picture_id
    make(set_cooldown(77))
    make(set_cooldown(30))
    assert newest().picture_id == first
    assert (ConfigVersion.objects.count(), ConfigPicture.objects.count()) == (3, 2)
    assert SealedSecret.objects.count() == 1


def test_what_no_picture_shows_is_a_version_all_the_same(configured: int) -> None:
    """Processes and records name its number."""
    make(lambda change: change.save(_suggestion(), action="dismissed"))
    assert newest().number == configured + 1
    assert ConfigPicture.objects.count() == 1


def _suggestion() -> CompatibilitySuggestion:
    from datetime import UTC, datetime

    now = datetime.now(UTC)
    return CompatibilitySuggestion(name="x", upstream_format="bedrock", model="*", first_seen=now, last_seen=now)


def test_a_picture_has_every_table_and_survives_being_stored(configured: int) -> None:
    make(lambda change: change.save(CompatibilityRule(name="some-beta", pair=["a"])))
    taken = take_picture()
    assert decode(bytes(newest().picture.data)) == taken.picture
    assert {name: len(rows) for name, rows in taken.picture.tables.items()} == {
        "provider": 1, "credential": 1, "route": 1, "routetarget": 1, "modelalias": 1, "compatibilityrule": 1,
    }  # fmt: skip
    target = taken.picture.row("routetarget", ("sonnet", "main", "claude-sonnet-4-5"))
    assert target is not None
    assert (target.values["route"], target.values["provider"]) == ("sonnet", "main")


def test_every_table_of_configuration_is_pictured_or_left_out_on_purpose() -> None:
    tables = {model for model in apps.get_app_config("routing").get_models() if issubclass(model, Versioned)}
    left = {model.__name__ for model in tables - {table.model for table in PICTURED}}
    assert left <= LEFT_OUT


def test_every_field_of_a_pictured_table_is_carried(configured: int) -> None:
    make(lambda change: change.save(CompatibilityRule(name="some-beta")))
    own = {"id", "version", "created_at", "updated_at"}
    tables = take_picture().picture.tables
    for table in PICTURED:
        row = next(iter(tables[table.name].values()))
        assert set(row.values) == {field.name for field in table.model._meta.concrete_fields} - own


def test_a_picture_from_before_a_field_existed_has_its_default(configured: int) -> None:
    import json
    import zlib

    content = json.loads(zlib.decompress(bytes(newest().picture.data)))
    del content["route"][0][1]["max_attempts"]
    content["route"][0][1]["a_field_of_the_past"] = 1
    del content["compatibilityrule"]
    picture = decode(zlib.compress(json.dumps(content).encode()))
    row = picture.row("route", ("sonnet",))
    assert row is not None
    assert row.values["max_attempts"] == 3
    assert "a_field_of_the_past" not in row.values
    assert differences(picture, take_picture().picture) == []


def test_a_renamed_row_is_the_same_row(configured: int) -> None:
    before = take_picture().picture

    def rename(change: object) -> None:
        provider = Provider.objects.get()
        provider.name = "primary"
        save_provider(change, provider)  # type: ignore[arg-type]

    make(rename)
    edits = differences(before, take_picture().picture)
    assert {(edit.kind, edit.table.name) for edit in edits} == {
        ("change", "provider"), ("change", "credential"), ("change", "routetarget"),
    }  # fmt: skip


def test_an_installation_from_before_versions_gets_one_as_it_is(configured: int) -> None:
    ConfigVersion.objects.all().delete()
    version = current_version()
    assert (version.number, version.actor_kind, version.reason) == (configured, "system", "as it was found")
    assert picture_of(version) == take_picture().picture
    assert current_version() == version
    assert ConfigVersion.objects.count() == 1


def test_an_empty_installation_has_version_zero(db: None) -> None:
    Revision.objects.all().delete()
    assert current_version().number == 0


def test_a_large_import_is_cut_to_what_a_page_can_show(configured: int) -> None:
    route = Route.objects.get()

    def work(change: object) -> None:
        for number in range(350):
            save_alias(change, ModelAlias(name=f"alias-{number}", route=route))  # type: ignore[arg-type]

    make(work)
    assert (len(newest().changes), newest().more_changes) == (300, 50)
    assert lines(read(newest().changes), 50)[-1] == "and 50 more"
    assert len(picture_of(newest()).tables["modelalias"]) == 351


def test_no_secret_can_be_read_anywhere_in_a_version(configured: int) -> None:
    def rotate(change: object) -> None:
        values = {"api_key": f"{CANARY}-2"}
        save_provider(change, Provider.objects.get(), credential_kind="api_key", credential_values=values)  # type: ignore[arg-type]

    make(rotate)
    assert lines(read(newest().changes)) == [
        'changed credential api_key of main: values: {"api_key": "***"} → {"api_key": "*** (changed)"}'
    ]
    with connection.cursor() as cursor:
        for table in ("configversion", "configpicture", "sealedsecret"):
            cursor.execute(f"SELECT * FROM routing_{table}")
            assert CANARY not in str(cursor.fetchall())
    assert all(CANARY.encode() not in encode(picture_of(version)) for version in ConfigVersion.objects.all())
    assert [secret.values for secret in SealedSecret.objects.order_by("pk")] == [
        {"api_key": CANARY}, {"api_key": f"{CANARY}-2"},
    ]  # fmt: skip


def test_a_credential_that_no_key_opens_does_not_stand_in_the_way(configured: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute('UPDATE routing_credential SET "values" = %s', ["not a ciphertext"])
    make(set_cooldown(77))
    row = take_picture().picture.row("credential", ("main",))
    assert row is not None
    assert row.values["values"]["unreadable"]
    assert Credential.objects.defer("values").count() == RouteTarget.objects.count() == 1
    assert ADA.name == newest().actor
