"""Keys, tokens and people: what is made, what is refused and with which words, and what happens when people race."""

import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import connection
from django.utils import timezone

from accounting import services
from accounting.access.secrets import TOKEN_MARK, is_well_formed
from accounting.audit.changes import Actor, ChangeSet, changing
from accounting.models import ApiToken, AuditEvent, OneTimeLink, Project, Team, User, VirtualKey
from gateway_project.crypto import keyed_hash

ADA = Actor("ada@example.org", "user")
IMPORTED = "imported-secret-0123456789"
PASSWORD = "a long enough passphrase"


@pytest.fixture
def change(db: None) -> Iterator[ChangeSet]:
    with changing(ADA) as opened:
        yield opened


@pytest.fixture
def project(change: ChangeSet) -> Project:
    team = Team(name="platform")
    change.save(team)
    made = Project(team=team, name="default")
    change.save(made)
    return made


class TestKeys:
    def test_a_new_key_is_kept_as_a_hash_and_shown_once(self, change: ChangeSet, project: Project) -> None:
        key, secret = services.create_key(change, project, "ci")
        assert is_well_formed(secret.reveal())
        assert (key.prefix, key.secret_hash) == (secret.reveal()[:11], keyed_hash(secret.reveal()))
        assert str(secret) == "***"
        assert secret.reveal()[12:] not in str(list(AuditEvent.objects.values()))
        assert services.has_secret(key, secret.reveal())

    def test_a_secret_made_elsewhere_is_taken_as_it_is(self, change: ChangeSet, project: Project) -> None:
        key, secret = services.create_key(change, project, "ci", secret=IMPORTED)
        assert (key.prefix, secret.reveal()) == ("imported", IMPORTED)

    @pytest.mark.parametrize(
        ("secret", "words"),
        [("x" * 19, "20 characters"), ("a secret with some spaces", "no spaces"), ("ünprintable-secret-000", "ASCII")],
    )
    def test_an_unusable_imported_secret_is_refused(
        self, change: ChangeSet, project: Project, secret: str, words: str
    ) -> None:
        with pytest.raises(ValidationError, match=words) as refused:
            services.create_key(change, project, "ci", secret=secret)
        assert secret not in str(refused.value)

    def test_a_secret_that_another_key_has_is_refused(self, change: ChangeSet, project: Project) -> None:
        services.create_key(change, project, "ci", secret=IMPORTED)
        with pytest.raises(ValidationError, match="Another key has this secret"):
            services.create_key(change, project, "other", secret=IMPORTED)

    def test_rotation_ends_the_old_secret(self, change: ChangeSet, project: Project) -> None:
        key, old = services.create_key(change, project, "ci")
        new = services.rotate_key(change, key)
        assert not services.has_secret(key, old.reveal())
        assert services.has_secret(VirtualKey.objects.get(), new.reveal())
        event = AuditEvent.objects.first()
        assert event is not None
        assert (event.action, event.changes["secret_hash"]) == ("rotated", ["***", "*** (changed)"])


class TestRevoking:
    def test_by_prefix_and_by_whole_key(self, change: ChangeSet, project: Project) -> None:
        one, _ = services.create_key(change, project, "one")
        _, secret = services.create_key(change, project, "two")
        services.revoke_key(change, one.prefix)
        services.revoke_key(change, secret.reveal() + "\n")
        assert not VirtualKey.objects.filter(revoked_at=None).exists()
        assert AuditEvent.objects.filter(action="revoked").count() == 2

    def test_again_changes_nothing(self, change: ChangeSet, project: Project) -> None:
        key, _ = services.create_key(change, project, "one")
        first = services.revoke_key(change, key.prefix).revoked_at
        assert services.revoke_key(change, key.prefix).revoked_at == first
        assert AuditEvent.objects.filter(action="revoked").count() == 1

    def test_an_ambiguous_prefix_is_refused_and_the_whole_key_is_not(self, change: ChangeSet, project: Project) -> None:
        services.create_key(change, project, "one", secret=IMPORTED)
        services.create_key(change, project, "two", secret=IMPORTED + "-2")
        with pytest.raises(services.AmbiguousPrefix, match="give the whole key"):
            services.revoke_key(change, "imported")
        assert services.revoke_key(change, IMPORTED).name == "one"
        assert services.revoke_key(change, "imported").name == "two"

    @pytest.mark.parametrize("text", ["", "gw_", "gw_00000000", "x" * 58])
    def test_an_unknown_key_is_refused(self, change: ChangeSet, project: Project, text: str) -> None:
        services.create_key(change, project, "one")
        with pytest.raises(services.UnknownKey) as refused:
            services.revoke_key(change, text)
        assert "x" * 20 not in str(refused.value)


class TestTokensAndPeople:
    def test_a_token_is_kept_as_a_hash(self, change: ChangeSet, project: Project) -> None:
        token, secret = services.create_api_token(change, "t", role="team", team=project.team, team_role="viewer")
        assert is_well_formed(secret.reveal(), TOKEN_MARK)
        assert ApiToken.objects.get(secret_hash=keyed_hash(secret.reveal())) == token

    def test_a_person_is_made_once_whatever_the_case(self, change: ChangeSet) -> None:
        first = services.person(change, "Ada@Example.org")
        assert services.person(change, "ada@example.ORG ") == first
        assert (first.email, first.has_usable_password()) == ("ada@example.org", False)

    def test_a_known_person_becomes_administrator_and_keeps_the_password(self, change: ChangeSet) -> None:
        services.create_user(change, "ada@example.org", PASSWORD)
        admin = services.create_admin(change, "ada@example.org")
        assert admin.is_superuser
        assert admin.check_password(PASSWORD)

    def test_a_weak_password_is_refused(self, change: ChangeSet) -> None:
        with pytest.raises(ValidationError) as refused:
            services.create_admin(change, "ada@example.org", "12345")
        assert "password" in refused.value.message_dict


@pytest.mark.django_db
class TestFirstAdministrator:
    def test_the_link_makes_one_administrator_once(self) -> None:
        token = services.first_admin_link()
        assert token is not None
        assert services.is_open_first_admin_link(token)
        user = services.redeem_first_admin(token, "Ada@example.org", PASSWORD)
        assert user.is_superuser
        assert not services.is_open_first_admin_link(token)
        with pytest.raises(services.LinkRefused):
            services.redeem_first_admin(token, "eve@example.org", PASSWORD)
        assert services.first_admin_link() is None
        assert User.objects.count() == 1

    def test_a_refused_password_leaves_the_link_open(self) -> None:
        token = services.first_admin_link() or ""
        with pytest.raises(ValidationError):
            services.redeem_first_admin(token, "ada@example.org", "short")
        assert services.redeem_first_admin(token, "ada@example.org", PASSWORD).is_superuser

    def test_a_new_link_replaces_the_open_one(self) -> None:
        old, new = services.first_admin_link(), services.first_admin_link()
        assert old
        assert new
        with pytest.raises(services.LinkRefused):
            services.redeem_first_admin(old, "eve@example.org", PASSWORD)

    def test_a_link_lasts_a_day(self) -> None:
        token = services.first_admin_link() or ""
        link = OneTimeLink.objects.get()
        assert timedelta(hours=23) < link.expires_at - timezone.now() <= timedelta(hours=24)
        OneTimeLink.objects.update(expires_at=timezone.now())
        with pytest.raises(services.LinkRefused):
            services.redeem_first_admin(token, "eve@example.org", PASSWORD)

    def test_no_link_works_once_there_is_an_administrator(self) -> None:
        token = services.first_admin_link() or ""
        with changing(ADA) as change:
            services.create_admin(change, "ada@example.org", PASSWORD)
        with pytest.raises(services.LinkRefused):
            services.redeem_first_admin(token, "eve@example.org", PASSWORD)

    @pytest.mark.parametrize("token", ["", "unknown", "ü\x00"])
    def test_an_unknown_token_is_refused(self, token: str) -> None:
        services.first_admin_link()
        with pytest.raises(services.LinkRefused):
            services.redeem_first_admin(token, "eve@example.org", PASSWORD)


def test_of_many_who_redeem_at_once_one_becomes_administrator(any_database: str, settings: Any) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    token = services.first_admin_link() or ""
    gate, refused = threading.Barrier(4), []

    def redeem(email: str) -> None:
        gate.wait(10)
        try:
            services.redeem_first_admin(token, email, PASSWORD)
        except services.LinkRefused:
            refused.append(email)
        finally:
            connection.close()

    threads = [threading.Thread(target=redeem, args=(f"p{number}@example.org",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert (len(refused), User.objects.filter(is_superuser=True).count()) == (3, 1)
