"""Every configuration write is validated, locked, audited in its own transaction, and noticed by running processes."""

import threading
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import connection
from django.db.models import ProtectedError

from accounting.audit.changes import Actor, StaleVersion, changing
from accounting.models import ApiToken, AuditEvent, Membership, Project, Revision, Team, User, VirtualKey
from gateway_project.crypto import EncryptedJSONField
from routing.models import Credential, Provider, Route, RouteTarget

ADA = Actor("ada@example.org", "user", "203.0.113.7")


def revision(name: str) -> int:
    row = Revision.objects.filter(name=name).first()
    return row.number if row else 0


def new_team(name: str = "platform") -> Team:
    team = Team(name=name)
    with changing(ADA) as change:
        change.save(team)
    return team


def new_provider() -> Provider:
    provider = Provider(name="main", base_url="https://api.example.org")
    with changing(ADA) as change:
        change.save(provider)
        change.save(Credential(provider=provider, kind="api_key", values={"api_key": "sk-canary-1"}))
    return provider


@pytest.mark.django_db
class TestSaving:
    def test_a_new_row_is_recorded_with_who_and_from_where(self) -> None:
        team = new_team()
        event = AuditEvent.objects.get()
        assert (event.actor, event.actor_kind, event.source) == ("ada@example.org", "user", "203.0.113.7")
        assert (event.action, event.object_type, event.object_id) == ("created", "team", str(team.pk))
        assert (event.object_name, event.team, event.object_version) == ("platform", "platform", 1)
        assert event.changes["name"] == [None, "platform"]
        assert event.changes["enabled"] == [None, True]

    def test_only_the_changed_fields_are_recorded_and_written(self) -> None:
        team = new_team()
        Team.objects.filter(pk=team.pk).update(display_name="Set by another door")
        team.refresh_from_db()
        team.timezone = "Europe/Berlin"
        with changing(ADA) as change:
            assert change.save(team) == {"timezone": ["UTC", "Europe/Berlin"]}
        assert AuditEvent.objects.first().changes == {"timezone": ["UTC", "Europe/Berlin"]}  # type: ignore[union-attr]
        assert Team.objects.get().version == 2

    def test_saving_without_a_difference_writes_nothing(self) -> None:
        team = new_team()
        before = revision("directory")
        with changing(ADA) as change:
            assert change.save(team) == {}
        assert (Team.objects.get().version, revision("directory"), AuditEvent.objects.count()) == (1, before, 1)

    def test_an_invalid_row_is_refused(self) -> None:
        with pytest.raises(ValidationError), changing(ADA) as change:
            change.save(Team(name="Not A Name"))
        assert not Team.objects.exists()
        assert not AuditEvent.objects.exists()

    @pytest.mark.parametrize("field", ["display_name", "allowed_models"])
    def test_a_nul_character_is_refused_before_the_database_sees_it(self, field: str) -> None:
        value: Any = "a\x00b" if field == "display_name" else ["a\x00b"]
        with pytest.raises(ValidationError, match="NUL"), changing(ADA) as change:
            change.save(Team(name="platform", **{field: value}))

    def test_an_exception_takes_everything_back(self) -> None:
        def fail_half_way() -> None:
            with changing(ADA) as change:
                change.save(Team(name="platform"))
                change.save(Team(name="NO"))

        with pytest.raises(ValidationError):
            fail_half_way()
        assert (Team.objects.count(), AuditEvent.objects.count(), revision("directory")) == (0, 0, 0)

    def test_related_rows_are_shown_by_name(self) -> None:
        team = new_team()
        project = Project(team=team, name="default")
        user = User.objects.create_user("eve@example.org")
        with changing(ADA) as change:
            change.save(project)
            created = change.save(Membership(team=team, user=user, role="owner"))
            key = VirtualKey(project=project, name="ci", prefix="gw_12345678", secret_hash="0" * 64)
            change.save(key)
        assert created["user"] == [None, "eve@example.org"]
        event = AuditEvent.objects.first()
        assert event is not None
        assert (event.object_name, event.team) == ("platform/default/ci", "platform")
        assert event.changes["project"] == [None, "platform/default"]

    def test_the_action_can_be_named(self) -> None:
        team = new_team()
        team.enabled = False
        with changing(ADA) as change:
            change.save(team, action="disabled")
        assert AuditEvent.objects.values_list("action", flat=True).first() == "disabled"


@pytest.mark.django_db
class TestSecrets:
    def test_no_secret_reaches_the_log(self) -> None:
        provider = new_provider()
        credential = Credential.objects.get(provider=provider)
        credential.values = {"api_key": "sk-canary-2"}
        with changing(ADA) as change:
            changes = change.save(credential)
        assert changes == {"values": [{"api_key": "***"}, {"api_key": "*** (changed)"}]}
        user = User(email="eve@example.org")
        user.set_password("canary-password")
        with changing(ADA) as change:
            change.save(user)
            user.set_password("canary-password-2")
            assert change.save(user) == {"password": ["***", "*** (changed)"]}
            change.save(ApiToken(name="t", role="admin", prefix="gwt_1", secret_hash="c4n4ry" * 8))
        log = str(list(AuditEvent.objects.values()))
        assert "canary" not in log
        assert "c4n4ry" not in log
        assert "pbkdf2" not in log

    def test_only_the_values_that_differ_are_marked(self) -> None:
        provider = Provider(name="main", format="bedrock", region="us-east-1", base_url="https://api.example.org")
        with changing(ADA) as change:
            change.save(provider)
            credential = Credential(provider=provider, kind="aws")
            credential.values = {"access_key_id": "AK", "secret_access_key": "s1"}
            change.save(credential)
            credential.values = {"access_key_id": "AK", "secret_access_key": "s2", "session_token": "t"}
            changes = change.save(credential)
        assert changes["values"] == [
            {"access_key_id": "***", "secret_access_key": "***"},
            {"access_key_id": "***", "secret_access_key": "*** (changed)", "session_token": "***"},
        ]

    def test_a_credential_whose_encryption_key_is_lost_can_be_replaced(self, settings: Any) -> None:
        provider = new_provider()
        settings.GATEWAY_FIELD_KEYS = ["another passphrase than before"]
        pk = Credential.objects.defer("values").get(provider=provider).pk
        replacement = Credential.objects.defer("values").get(pk=pk)
        replacement.values = {"api_key": "sk-new"}
        with changing(ADA) as change:
            assert change.save(replacement) == {"values": ["***", {"api_key": "***"}]}
        assert Credential.objects.get(pk=pk).values == {"api_key": "sk-new"}


@pytest.mark.django_db
class TestLocks:
    def test_a_stale_version_is_refused_with_what_the_others_changed(self) -> None:
        team = new_team()
        other = Team.objects.get()
        other.timezone, other.display_name = "Europe/Berlin", "Platform"
        with changing(ADA) as change:
            change.save(other)
        team.enabled = False
        with pytest.raises(StaleVersion) as refused, changing(ADA) as change:
            change.save(team, expected_version=1)
        assert refused.value.fields == ("display_name", "timezone")
        assert Team.objects.get().enabled

    def test_a_row_deleted_meanwhile_is_refused(self) -> None:
        team = new_team()
        with changing(ADA) as change:
            change.delete(Team.objects.get())
        team.enabled = False
        with pytest.raises(StaleVersion) as refused, changing(ADA) as change:
            change.save(team)
        assert refused.value.deleted


@pytest.mark.django_db
class TestDeleting:
    def test_what_goes_with_a_row_is_recorded_too(self) -> None:
        provider = new_provider()
        route = Route(name="sonnet")
        with changing(ADA) as change:
            change.save(route)
            change.save(RouteTarget(route=route, provider=provider, model="claude"))
            change.delete(route)
        deleted = AuditEvent.objects.filter(action="deleted").order_by("id")
        assert {event.object_type: event.object_name for event in deleted} == {
            "route": "sonnet",
            "routetarget": "sonnet/main: claude",
        }
        assert next(e for e in deleted if e.object_type == "routetarget").changes["model"] == ["claude", None]

    def test_a_row_that_others_need_stays(self) -> None:
        team = new_team()
        with changing(ADA) as change:
            change.save(Project(team=team, name="default"))
        with pytest.raises(ProtectedError), changing(ADA) as change:
            change.delete(team)
        assert Team.objects.exists()


@pytest.mark.django_db
class TestRevisions:
    def test_each_picture_has_its_own_revision_raised_once_per_transaction(self) -> None:
        with changing(ADA) as change:
            change.save(Team(name="a"))
            change.save(Team(name="b"))
        assert (revision("directory"), revision("routing")) == (1, 0)
        new_provider()
        assert (revision("directory"), revision("routing")) == (1, 1)

    def test_a_note_raises_no_revision(self) -> None:
        team = new_team()
        with changing(ADA) as change:
            change.note("tested", team, {"status": [None, 200]})
        assert revision("directory") == 1
        assert AuditEvent.objects.filter(action="tested").exists()

    def test_a_nested_change_joins_the_outer_one(self) -> None:
        with changing(Actor("import_config", "command")) as outer:
            outer.save(Team(name="a"))
            with changing(ADA) as inner:
                inner.save(Team(name="b"))
        assert revision("directory") == 1
        assert set(AuditEvent.objects.values_list("actor", flat=True)) == {"import_config"}

    def test_a_failed_nested_change_leaves_the_outer_one_alone(self) -> None:
        def fail_half_way() -> None:
            with changing(ADA) as inner:
                inner.save(Team(name="b"))
                inner.save(Team(name="NO"))

        with changing(ADA) as outer:
            outer.save(Team(name="a"))
            with pytest.raises(ValidationError):
                fail_half_way()
        assert list(Team.objects.values_list("name", flat=True)) == ["a"]


def test_changes_at_the_same_time_wait_for_each_other(any_database: str) -> None:
    team = new_team()
    gate = threading.Barrier(4)
    refused: list[StaleVersion] = []

    def rename(name: str) -> None:
        mine = Team.objects.get(pk=team.pk)
        mine.display_name = name
        gate.wait(10)
        try:
            with changing(ADA) as change:
                change.save(mine, expected_version=1)
        except StaleVersion as error:
            refused.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=rename, args=(f"name {number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(refused) == 3
    assert Team.objects.get().version == 2
    assert revision("directory") == 2
    assert AuditEvent.objects.filter(action="changed").count() == 1


@pytest.mark.postgres
def test_who_creates_what_another_is_just_creating_is_told_so(postgres: str) -> None:
    refused: list[ValidationError] = []

    def create() -> None:
        try:
            with changing(ADA) as change:
                change.save(Team(name="same"))
        except ValidationError as error:
            refused.append(error)
        finally:
            connection.close()

    late = threading.Thread(target=create)
    with changing(ADA) as change:
        change.save(Team(name="same"))
        late.start()
        wait_until_blocked()
    late.join(30)
    assert [list(error.message_dict) for error in refused] == [["name"]]
    assert Team.objects.count() == 1


def wait_until_blocked() -> None:
    """Until another connection to this database waits for a lock."""
    question = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    for _ in range(2000):
        with connection.cursor() as cursor:
            if cursor.execute(question) and cursor.fetchone()[0]:
                return
            cursor.execute("SELECT pg_sleep(0.01), pg_stat_clear_snapshot()")
    raise AssertionError("nobody waits")


def test_the_encrypted_field_is_known_as_secret() -> None:
    assert isinstance(Credential._meta.get_field("values"), EncryptedJSONField)
