"""The keys of a team in its dashboard: who sees and does what, the secret shown once, nothing half applied."""

import re
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.sessions.models import Session
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from accounting import services
from accounting.access.directory import load_directory, refusal_of
from accounting.audit.changes import Actor, changing
from accounting.models import AuditEvent, Budget, KeyUse, Membership, Project, RateLimit, Team, User, VirtualKey
from accounting.money.store import store_at_once
from tests.accounting.ledgers import entry, line
from tests.pages.conftest import World, signed_in
from tests.pages.page_form import fields_of
from tests.pages.test_keys_page import KEY

KEYS = "/teams/platform/keys/"
SYSTEM = Actor("tests", "system")


@pytest.fixture
def member(world: World) -> Client:
    return signed_in(world.stranger)


@pytest.fixture
def boss(world: World) -> Client:
    """An admin of the team."""
    return signed_in(person(world, "olga", "admin"))


def person(world: World, name: str, role: str) -> User:
    with changing(SYSTEM) as change:
        user = services.create_user(change, f"{name}@example.org")
        change.save(Membership(team=world.team, user=user, role=role))
    return user


def mine(world: World, name: str = "sams") -> tuple[VirtualKey, str]:
    with changing(SYSTEM) as change:
        key, secret = services.create_key(change, world.project, name, kind="personal", owner=world.stranger)
    return key, secret.reveal()


def text(response: Any) -> str:
    return str(response.content.decode())


def new(client: Client, world: World, **values: Any) -> Any:
    form = fields_of(client.get(f"{KEYS}new/").content, "new-key")
    return client.post(f"{KEYS}new/", {**form, "project": world.project.pk, "name": "laptop", **values})


def works(secret: str) -> bool:
    grant = load_directory().find(secret)
    return grant is not None and refusal_of(grant, now=timezone.now().timestamp(), client_ip="203.0.113.9") == ""


class TestMaking:
    def test_the_secret_is_shown_once_with_lines_that_carry_it(self, world: World, member: Client) -> None:
        address = new(member, world).headers["location"]
        stored = [session.get_decoded() for session in Session.objects.all()]
        page = member.get(address)
        secret = KEY.findall(text(page))[0]
        assert works(secret)
        assert "no-store" in page.headers["cache-control"]
        assert f"ANTHROPIC_AUTH_TOKEN=&quot;{secret}&quot;" in text(page)
        assert "claude-sonnet-4-5" in text(page)
        again = text(member.get(address))
        assert not KEY.search(again)
        assert "shown already" in again
        assert secret not in str(stored) + str(list(AuditEvent.objects.values()))
        key = VirtualKey.objects.get(name="laptop")
        assert (key.kind, key.owner, key.allowed_models) == ("personal", world.stranger, ["*"])

    def test_a_form_that_is_sent_twice_makes_one_key_and_still_shows_it(self, world: World, member: Client) -> None:
        form = fields_of(member.get(f"{KEYS}new/").content, "new-key")
        given = {**form, "project": world.project.pk, "name": "laptop"}
        first, second = (member.post(f"{KEYS}new/", given).headers["location"] for _ in range(2))
        assert first == second
        assert KEY.search(text(member.get(second)))
        assert VirtualKey.objects.filter(name="laptop").count() == 1

    def test_another_session_is_not_shown_the_secret(self, world: World, member: Client) -> None:
        address = new(member, world).headers["location"]
        assert not KEY.search(text(signed_in(world.stranger).get(address)))

    def test_an_admin_makes_a_service_key_with_everything(self, world: World, boss: Client) -> None:
        new(
            boss, world, kind="service", lifetime="30", models=["claude-sonnet-4-5"], patterns="claude-haiku-*\nteam-big",
            allowed_ips="203.0.113.0/24", tags="cost_center: 4711", budget="25", budget_period="week",
            requests_per_minute="60",
        )  # fmt: skip
        key = VirtualKey.objects.get(name="laptop")
        assert (key.kind, key.owner) == ("service", None)
        assert key.allowed_models == ["claude-sonnet-4-5", "claude-haiku-*", "team-big"]
        assert (key.allowed_ips, key.tags) == (["203.0.113.0/24"], {"cost_center": "4711"})
        assert key.expires_at
        assert timedelta(days=29) < key.expires_at - timezone.now() <= timedelta(days=30)
        assert Budget.objects.filter(key=key, period="week", amount=25).exists()
        assert RateLimit.objects.filter(key=key, kind="requests_per_minute", amount=60).exists()

    @pytest.mark.parametrize(
        ("values", "words"),
        [
            ({"name": "Not a name"}, "Use lower-case letters"),
            ({"name": "ci"}, "has this name already"),
            ({"patterns": "gpt-*"}, "Not within what the team may use"),
            ({"allowed_ips": "nonsense"}, "is not an address or network"),
            ({"tags": "no colon"}, "Write one tag on a line"),
            ({"lifetime": "chosen"}, "Give the moment"),
            ({"lifetime": "chosen", "expires_at": "2020-01-01T00:00:00"}, "This moment is over"),
            ({"lifetime": "7", "expires_at": "2030-01-01T00:00:00"}, "A moment is given below"),
            ({"budget": "0"}, "An amount is more than 0"),
            ({"requests_per_minute": "0"}, "greater than or equal to 1"),
            ({"project": "999999"}, "valid choice"),
            ({"models": "not-offered"}, "valid choice"),
        ],
    )
    def test_what_makes_no_sense_is_said_and_what_was_typed_is_kept(
        self, world: World, member: Client, values: dict[str, str], words: str
    ) -> None:
        world.team.allowed_models = ["claude-*"]
        with changing(SYSTEM) as change:
            change.save(world.team)
        count, budgets = VirtualKey.objects.count(), Budget.objects.count()
        page = new(member, world, **{"name": "kept-name", "patterns": "claude-kept", **values})
        assert page.status_code == 200
        assert words in text(page)
        if "name" not in values:
            assert "kept-name" in text(page)
        assert (VirtualKey.objects.count(), Budget.objects.count()) == (count, budgets), "nothing half applied"

    def test_a_member_makes_no_service_key_whatever_is_posted(self, world: World, member: Client) -> None:
        new(member, world, kind="service", owner=str(world.admin.pk))
        assert VirtualKey.objects.get(name="laptop").owner == world.stranger

    def test_a_project_of_another_team_is_none(self, world: World, member: Client) -> None:
        with changing(SYSTEM) as change:
            other = Team(name="other")
            change.save(other)
            project = Project(team=other, name="secret-project")
            change.save(project)
        page = new(member, world, project=project.pk)
        assert "valid choice" in text(page)
        assert "secret-project" not in text(page)

    def test_viewers_and_auditors_make_none(self, world: World) -> None:
        for user in (person(world, "vic", "viewer"), world.auditor):
            client = signed_in(user)
            assert client.get(f"{KEYS}new/").status_code == 403
            assert client.post(f"{KEYS}new/", {"name": "x"}).status_code == 403
            assert "New key" not in text(client.get(KEYS))


ADDRESSES = ["", "change/", "rotate/", "secret/", "revoke/"]
POSTED = ["change/", "rotate/", "revoke/", "switch/", "end-old/"]


class TestWhoMay:
    def test_a_member_sees_all_keys_and_manages_their_own(self, world: World, member: Client) -> None:
        own, _ = mine(world)
        for path in ADDRESSES:
            assert member.get(f"{KEYS}{own.pk}/{path}").status_code == 200
            assert member.get(f"{KEYS}{world.key.pk}/{path}").status_code == (403 if path else 200)
        assert "Revoke" not in text(member.get(f"{KEYS}{world.key.pk}/"))

    def test_what_somebody_may_not_manage_stays_as_it_is(self, world: World, member: Client) -> None:
        viewer = signed_in(person(world, "vic", "viewer"))
        for client in (member, viewer, signed_in(world.auditor)):
            for path in POSTED:
                answer = client.post(f"{KEYS}{world.key.pk}/{path}", {"version": 1, "overlap": "now", "name": "x"})
                assert answer.status_code == 403
        world.key.refresh_from_db()
        assert (world.key.version, world.key.enabled, world.key.revoked_at) == (1, True, None)

    def test_a_key_of_another_team_is_none_whatever_the_address(self, world: World, boss: Client) -> None:
        with changing(SYSTEM) as change:
            other = Team(name="other")
            change.save(other)
            project = Project(team=other, name="default")
            change.save(project)
            key, _ = services.create_key(change, project, "theirs")
        for path in ADDRESSES:
            assert boss.get(f"{KEYS}{key.pk}/{path}").status_code == 404
            assert boss.get(f"/teams/other/keys/{key.pk}/{path}").status_code == 404
            assert signed_in(world.admin).get(f"{KEYS}{key.pk}/{path}").status_code == 404
        for path in POSTED:
            assert boss.post(f"{KEYS}{key.pk}/{path}", {}).status_code == 404
        assert "theirs" not in text(boss.get(f"{KEYS}?state=all"))


class TestManaging:
    def test_rotation_keeps_the_old_secret_for_a_while_and_says_if_it_is_used(
        self, world: World, member: Client
    ) -> None:
        key, old = mine(world)
        form = fields_of(member.get(f"{KEYS}{key.pk}/rotate/").content, "rotate-key")
        assert form["overlap"] == "24h"
        answer = member.post(f"{KEYS}{key.pk}/rotate/", form)
        fresh = KEY.findall(text(member.get(answer.headers["location"])))[0]
        assert works(old)
        assert works(fresh)
        page = text(member.get(f"{KEYS}{key.pk}/"))
        assert "was not used since" in page
        KeyUse.objects.create(key_prefix=old[:11], team="", last_at=timezone.now(), client_ip="192.0.2.7")
        page = text(member.get(f"{KEYS}{key.pk}/"))
        assert "It is still used" in page
        assert "192.0.2.7" in page
        member.post(f"{KEYS}{key.pk}/end-old/")
        assert not works(old)
        assert works(fresh)

    def test_a_rotation_that_is_sent_twice_makes_one_new_secret(self, world: World, member: Client) -> None:
        key, _ = mine(world)
        form = fields_of(member.get(f"{KEYS}{key.pk}/rotate/").content, "rotate-key")
        first, second = (member.post(f"{KEYS}{key.pk}/rotate/", form) for _ in range(2))
        assert first.headers["location"] == second.headers["location"]
        assert works(KEY.findall(text(member.get(second.headers["location"])))[0])
        third = member.post(f"{KEYS}{key.pk}/rotate/", form)
        assert "changed by someone else" in text(third)

    def test_changes_are_saved_and_an_old_form_wipes_nothing(self, world: World, boss: Client) -> None:
        address = f"{KEYS}{world.key.pk}/change/"
        form = fields_of(boss.get(address).content, "change-key")
        assert boss.post(address, {**form, "tags": "a: b", "patterns": "claude-*"}).status_code == 302
        world.key.refresh_from_db()
        assert (world.key.tags, world.key.allowed_models) == ({"a": "b"}, ["claude-*"])
        stale = boss.post(address, {**form, "allowed_ips": "192.0.2.1"})
        assert "changed by someone else" in text(stale)
        assert "192.0.2.1" in text(stale)
        world.key.refresh_from_db()
        assert (world.key.tags, world.key.allowed_ips) == ({"a": "b"}, [])

    def test_saving_what_is_shown_changes_nothing(self, world: World, boss: Client) -> None:
        VirtualKey.objects.filter(pk=world.key.pk).update(
            allowed_models=["claude-sonnet-4-5", "team-*"],
            expires_at=timezone.now() + timedelta(days=3, microseconds=7),
        )
        before = VirtualKey.objects.values().get(pk=world.key.pk)
        address = f"{KEYS}{world.key.pk}/change/"
        assert boss.post(address, fields_of(boss.get(address).content, "change-key")).status_code == 302
        assert VirtualKey.objects.values().get(pk=world.key.pk) == before

    def test_a_key_that_may_use_nothing_is_not_widened_by_saving_it(self, world: World, boss: Client) -> None:
        VirtualKey.objects.filter(pk=world.key.pk).update(allowed_models=[])
        address = f"{KEYS}{world.key.pk}/change/"
        boss.post(address, {**fields_of(boss.get(address).content, "change-key"), "tags": "a: b"})
        world.key.refresh_from_db()
        assert (world.key.allowed_models, world.key.tags) == ([], {"a": "b"})

    def test_disabling_enabling_and_revoking(self, world: World, boss: Client) -> None:
        secret = world.key_secret.reveal()
        address = f"{KEYS}{world.key.pk}/"
        for enabled in ("0", "1"):
            boss.post(f"{address}switch/", {"enabled": enabled})
            assert works(secret) is (enabled == "1")
        assert "cannot be undone" in text(boss.get(f"{address}revoke/"))
        assert works(secret)
        boss.post(f"{address}revoke/")
        assert not works(secret)
        assert "revoked" in text(boss.get(address))
        assert "Enable" not in text(boss.get(address))
        boss.post(f"{address}switch/", {"enabled": "1"})
        assert not works(secret)
        said = list(AuditEvent.objects.filter(object_type="virtualkey").order_by("id").values_list("action", flat=True))
        assert said == ["created", "disabled", "enabled", "revoked"]


class TestLooking:
    def test_the_page_of_a_key_shows_what_is_known_of_it(self, world: World, member: Client) -> None:
        names = {"team": "platform", "project": "default", "key": "ci", "key_prefix": world.key.prefix}
        seen = {"client_ip": "192.0.2.9", "user_agent": "claude-cli/2.1"}
        used = line(tokens_input=1234, cost_usd=Decimal("0.5"))
        store_at_once([entry("r1", used, at=timezone.now(), **names, **seen)])
        page = text(member.get(f"{KEYS}{world.key.pk}/"))
        for words in ("$0.50", "1,234", "192.0.2.9", "claude-cli/2.1", "Requests a minute", "created"):
            assert words in page
        assert world.key.secret_hash not in page
        assert "192.0.2.9" in text(member.get(KEYS))

    def test_filters_find_what_they_say(self, world: World, member: Client) -> None:
        own, _ = mine(world)
        VirtualKey.objects.filter(pk=world.key.pk).update(created_at=timezone.now() - timedelta(days=40))
        with changing(SYSTEM) as change:
            services.create_key(change, world.project, "ends-soon", expires_at=timezone.now() + timedelta(days=3))
            gone, _ = services.create_key(change, world.project, "gone")
            services.revoke_key(change, gone.prefix)

        def named(query: str) -> set[str]:
            rows = re.findall(r'<th scope="row"><a [^>]*>([^<]+)</a>', text(member.get(f"{KEYS}?{query}")))
            return set(rows)

        assert named("") == {"ci", "sams", "ends-soon"}
        assert named("state=all") == {"ci", "sams", "ends-soon", "gone"}
        assert named("state=revoked") == {"gone"}
        assert named("state=unused") == {"ci"}
        assert named("state=expiring") == {"ends-soon"}
        assert named("mine=1") == {"sams"}
        assert named("kind=service&project=default") == {"ci", "ends-soon"}
        assert named(f"q={own.prefix[:9]}") == {"sams"}
        assert named("q=nothing") == set()
        assert named("project=nowhere") == {"ci", "sams", "ends-soon"}
        assert "1 key was not used" in text(member.get(KEYS))
        assert "1 key expires" in text(member.get(KEYS))

    def test_pages_read_little_however_many_keys_there_are(
        self, world: World, member: Client, django_assert_max_num_queries: DjangoAssertNumQueries
    ) -> None:
        own, _ = mine(world)
        with changing(SYSTEM) as change:
            for number in range(60):
                services.create_key(change, world.project, f"key-{number}")
        for path in ("", "?page=2&state=unused", "new/", f"{own.pk}/", f"{own.pk}/change/", f"{world.key.pk}/"):
            with django_assert_max_num_queries(14):
                assert member.get(f"{KEYS}{path}").status_code == 200
