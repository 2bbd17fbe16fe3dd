"""The directory answers who presents a secret, and whether they may, without a query."""

from datetime import UTC, datetime
from ipaddress import ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest_django import DjangoAssertNumQueries

from accounting import services
from accounting.access.directory import Directory, allows, load_directory, refusal_of
from accounting.access.grant import Grant
from accounting.access.patterns import matches
from accounting.audit.changes import Actor, changing
from accounting.models import Project, Team, User, VirtualKey
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
