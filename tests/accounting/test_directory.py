"""The directory answers who presents a secret, and whether they may, without a query."""

from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st
from pytest_django import DjangoAssertNumQueries

from accounting import services
from accounting.access.directory import Directory, allows, load_directory, refusal_of
from accounting.access.grant import Grant
from accounting.access.patterns import matches
from accounting.audit.changes import Actor, changing
from accounting.models import AuditEvent, Project, Team, User, VirtualKey
from gateway_project.crypto import keyed_hash

ADA = Actor("ada@example.org", "user")


def project(name: str = "default", **team: Any) -> Project:
    with changing(ADA) as change:
        owner = Team(name=team.pop("team", "platform"), **team)
        change.save(owner)
        made = Project(team=owner, name=name)
        change.save(made)
    return made


def new_key(where: Project, name: str = "ci", **fields: Any) -> str:
    with changing(ADA) as change:
        return services.create_key(change, where, name, **fields)[1].reveal()


def grant(**fields: Any) -> Grant:
    return Grant(key_id=1, key="ci", key_prefix="gw_x", kind="service", team="t", project="p", **fields)


@pytest.mark.django_db
class TestLoading:
    def test_a_key_is_found_by_its_secret_with_all_that_it_allows(self) -> None:
        owner = User.objects.create_user("eve@example.org")
        secret = new_key(
            project(allowed_models=["claude-*"], capture="redacted"),
            kind="personal",
            owner=owner,
            expires_at=datetime(2030, 1, 1, tzinfo=UTC),
            allowed_models=["claude-sonnet-*"],
            allowed_ips=["10.0.0.0/8"],
            tags={"cost_center": "4711"},
        )
        found = load_directory().find(secret)
        assert found == Grant(
            key_id=VirtualKey.objects.get().pk,
            key="ci",
            key_prefix=secret[:11],
            kind="personal",
            team="platform",
            project="default",
            user="eve@example.org",
            expires_at=datetime(2030, 1, 1, tzinfo=UTC).timestamp(),
            allowed_models=(("claude-*",), ("claude-sonnet-*",)),
            allowed_ips=(ip_network("10.0.0.0/8"),),
            tags={"cost_center": "4711"},
            capture="redacted",
        )

    @pytest.mark.parametrize("stranger", ["", "gw_unknown", "x" * 20000, "ünïcode", "\udcff", chr(0xD800)])
    def test_an_unknown_secret_finds_nothing(self, stranger: str) -> None:
        new_key(project())
        assert load_directory().find(stranger) is None

    @pytest.mark.parametrize("word", ["revoked", "disabled", "team_disabled", "project_disabled", "owner_disabled"])
    def test_a_key_out_of_use_is_found_with_the_reason(self, word: str) -> None:
        where = project()
        owner = User.objects.create_user("eve@example.org")
        secret = new_key(where, kind="personal", owner=owner)
        key = VirtualKey.objects.get()
        with changing(ADA) as change:
            if word == "revoked":
                services.revoke_key(change, secret)
            else:
                row: Any = {"disabled": key, "team_disabled": where.team, "project_disabled": where}.get(word, owner)
                setattr(row, "is_active" if row is owner else "enabled", False)
                change.save(row)
        found = load_directory().find(secret)
        assert found is not None
        assert refusal_of(found, now=0.0, client_ip="") == word

    def test_every_change_moves_the_revision(self) -> None:
        before = load_directory().revision
        new_key(project())
        between = load_directory().revision
        with changing(ADA) as change:
            services.revoke_key(change, VirtualKey.objects.get().prefix)
        assert before < between < load_directory().revision

    def test_the_number_of_queries_does_not_grow_with_the_keys(
        self, django_assert_num_queries: DjangoAssertNumQueries
    ) -> None:
        where = project()
        for number in range(5):
            new_key(where, f"key-{number}")
        with django_assert_num_queries(5):
            assert len(load_directory()) == 5

    def test_networks_that_cannot_be_read_refuse_that_key_alone(self) -> None:
        where = project()
        bad, good = new_key(where, "bad"), new_key(where, "good")
        VirtualKey.objects.filter(name="bad").update(allowed_ips=["nonsense"])
        directory = load_directory()
        refusals = [refusal_of(found, now=0.0, client_ip="") for found in map(directory.find, (bad, good)) if found]
        assert refusals == ["disabled", ""]

    def test_the_picture_holds_no_secret(self) -> None:
        secret = new_key(project())
        assert secret[12:] not in repr(load_directory())


class TestRefusals:
    def test_a_key_ends_at_its_moment(self) -> None:
        assert refusal_of(grant(expires_at=100.0), now=99.9, client_ip="") == ""
        assert refusal_of(grant(expires_at=100.0), now=100.0, client_ip="") == "expired"

    @pytest.mark.parametrize(
        ("address", "refusal"),
        [
            ("10.1.2.3", ""),
            ("::ffff:10.1.2.3", ""),
            ("2001:db8::1", ""),
            ("11.0.0.1", "address_not_allowed"),
            ("2001:db9::1", "address_not_allowed"),
            ("", "address_not_allowed"),
            ("nonsense", "address_not_allowed"),
        ],
    )
    def test_an_address_must_be_in_one_of_the_networks(self, address: str, refusal: str) -> None:
        networks = (ip_network("10.0.0.0/8"), ip_network("2001:db8::/32"))
        assert refusal_of(grant(allowed_ips=networks), now=0.0, client_ip=address) == refusal

    def test_without_networks_any_address_will_do(self) -> None:
        assert refusal_of(grant(), now=0.0, client_ip="") == ""


class TestModels:
    def test_the_team_and_the_key_must_both_allow_a_name(self) -> None:
        caller = grant(allowed_models=(("claude-*",), ("claude-sonnet-*", "claude-haiku-4-5")))
        assert allows(caller, "claude-sonnet-4-5")
        assert allows(caller, "claude-haiku-4-5")
        assert not allows(caller, "claude-opus-4-1")
        assert not allows(caller, "gpt")

    def test_an_empty_list_allows_nothing(self) -> None:
        assert not allows(grant(allowed_models=((),)), "claude-sonnet-4-5")

    def test_no_list_allows_everything(self) -> None:
        assert allows(grant(), "anything")

    @given(st.lists(st.text("ab-", max_size=3), min_size=1, max_size=5), st.data())
    def test_a_star_matches_any_run_of_characters(self, parts: list[str], data: st.DataObject) -> None:
        fillings = [data.draw(st.text("ab-*", max_size=3)) for _ in parts[1:]]
        name = "".join(text for pair in zip(parts, [*fillings, ""], strict=True) for text in pair)
        assert matches("*".join(parts), name)


def test_an_empty_directory_knows_nobody() -> None:
    assert Directory().find("anything") is None
    assert keyed_hash("one") != keyed_hash("two")


@pytest.mark.django_db
class TestTwoSecrets:
    """A key that is rotated with an overlap is found by both secrets until the old one ends."""

    def rotated(self, overlap: timedelta | None, **fields: Any) -> tuple[str, str, VirtualKey]:
        old = new_key(project(), **fields)
        key = VirtualKey.objects.get()
        with changing(ADA) as change:
            return old, services.rotate_key(change, key, overlap=overlap).reveal(), key

    def refusal(self, secret: str, after: timedelta = timedelta(0)) -> str | None:
        found = load_directory().find(secret)
        now = (timezone.now() + after).timestamp()
        return None if found is None else refusal_of(found, now=now, client_ip="")

    def test_both_work_until_the_overlap_ends(self) -> None:
        old, new, key = self.rotated(timedelta(hours=1))
        assert [self.refusal(secret) for secret in (old, new)] == ["", ""]
        assert [self.refusal(secret, timedelta(hours=2)) for secret in (old, new)] == ["expired", ""]
        grants = [load_directory().find(secret) for secret in (old, new)]
        assert [grant.key_prefix for grant in grants if grant] == [old[:11], new[:11]]
        assert {grant.key_id for grant in grants if grant} == {key.pk}, "limits are those of one key"

    def test_without_an_overlap_the_old_one_is_unknown_at_once(self) -> None:
        old, new, _ = self.rotated(None)
        assert self.refusal(old) is None
        assert self.refusal(new) == ""

    def test_the_keys_own_end_holds_for_both(self) -> None:
        old, new, _ = self.rotated(timedelta(days=7), expires_at=timezone.now() + timedelta(hours=1))
        assert [self.refusal(secret, timedelta(hours=2)) for secret in (old, new)] == ["expired", "expired"]

    @pytest.mark.parametrize("word", ["revoked", "disabled"])
    def test_revoking_and_disabling_end_both(self, word: str) -> None:
        old, new, key = self.rotated(timedelta(days=7))
        with changing(ADA) as change:
            if word == "revoked":
                services.revoke_key(change, old)  # found by its old secret, as it may be the one that leaked
            else:
                key.enabled = False
                change.save(key)
        assert [self.refusal(secret) for secret in (old, new)] == [word, word]

    def test_a_second_rotation_ends_the_secret_before_the_first(self) -> None:
        first, second, key = self.rotated(timedelta(days=7))
        with changing(ADA) as change:
            third = services.rotate_key(change, key, overlap=timedelta(days=7)).reveal()
        assert [self.refusal(secret) for secret in (first, second, third)] == [None, "", ""]

    def test_no_other_key_takes_a_secret_that_still_works(self) -> None:
        imported = "imported-secret-of-the-tests"
        _, _, key = self.rotated(timedelta(days=7), secret=imported)
        with changing(ADA) as change, pytest.raises(ValidationError, match="Another key has this secret"):
            services.create_key(change, key.project, "other", secret=imported)

    def test_neither_secret_is_in_the_audit_log_or_the_picture(self) -> None:
        old, new, _ = self.rotated(timedelta(days=7))
        event = AuditEvent.objects.filter(action="rotated").get()
        assert event.changes["old_secret_hash"] == ["", "***"]
        said = repr(load_directory()) + str(list(AuditEvent.objects.values()))
        assert not any(secret[12:] in said or keyed_hash(secret) in str(event.changes) for secret in (old, new))
