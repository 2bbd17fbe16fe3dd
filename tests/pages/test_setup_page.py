"""The set-up page: blocks for everybody's tool and key; the check of settings, which keeps and repeats nothing."""

import json
import logging
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.sessions.models import Session
from django.test import Client
from pytest_django import DjangoAssertNumQueries, Settings

from accounting import services
from accounting.audit.changes import changing
from accounting.clients.recipes import TOOLS
from accounting.models import Project, Team, VirtualKey
from tests.pages.conftest import World, signed_in
from tests.pages.test_team_keys import SYSTEM, mine, person, text

SETUP, CHECK = "/teams/platform/setup/", "/teams/platform/setup/check/"


@pytest.fixture
def member(world: World) -> Client:
    return signed_in(world.stranger)


def unescaped(response: Any) -> str:
    return text(response).replace("&quot;", '"').replace("&#x27;", "'")


class TestBlocks:
    @pytest.mark.parametrize("tool", TOOLS)
    def test_every_tool_has_its_page(self, world: World, member: Client, tool: str) -> None:
        for format_ in TOOLS[tool].formats:
            page = member.get(f"{SETUP}?tool={tool}&format={format_}")
            assert page.status_code == 200
            assert "http://testserver" in text(page)
            assert "PASTE_YOUR_KEY_HERE" in text(page)

    def test_nonsense_in_the_address_is_the_usual_page(self, world: World, member: Client) -> None:
        page = unescaped(member.get(f"{SETUP}?tool=emacs&format=soap&key=99999"))
        assert 'export ANTHROPIC_BASE_URL="http://testserver"' in page

    def test_the_address_is_the_one_that_clients_are_to_use(
        self, world: World, member: Client, settings: Settings
    ) -> None:
        settings.GATEWAY_PUBLIC_URL = "https://llm.example.org"
        page = unescaped(member.get(f"{SETUP}?tool=claude-code&format=vertex"))
        assert 'ANTHROPIC_VERTEX_BASE_URL="https://llm.example.org/vertex/v1"' in page
        assert 'CLAUDE_CODE_SKIP_VERTEX_AUTH="1"' in page

    def test_models_are_those_that_the_chosen_key_may_ask_for(self, world: World, member: Client) -> None:
        key, _ = mine(world)
        assert '_MODEL="claude-sonnet-4-5"' in unescaped(member.get(f"{SETUP}?key={key.pk}"))
        assert f"PASTE_THE_KEY_{key.prefix}_HERE" in text(member.get(f"{SETUP}?key={key.pk}"))
        VirtualKey.objects.filter(pk=key.pk).update(allowed_models=["nothing-*"])
        assert "No model is set up" in text(member.get(f"{SETUP}?key={key.pk}"))

    def test_keys_of_other_people_are_not_offered(self, world: World, member: Client) -> None:
        mine(world)
        boss = signed_in(person(world, "olga", "admin"))
        assert "sams" not in text(boss.get(SETUP))
        assert "sams" in text(member.get(SETUP))
        assert ">ci (" in text(boss.get(SETUP))

    def test_a_secret_that_was_just_made_stands_in_this_answer_only(self, world: World, member: Client) -> None:
        _, secret = mine(world)
        page = member.post(SETUP, {"secret": secret, "tool": "claude-code", "format": "bedrock"})
        assert f'AWS_BEARER_TOKEN_BEDROCK="{secret}"' in unescaped(page)
        assert "no-store" in page.headers["cache-control"]
        assert secret not in text(member.get(SETUP))
        assert secret not in str([session.get_decoded() for session in Session.objects.all()])

    def test_what_is_no_key_of_this_team_is_not_repeated(self, world: World, member: Client) -> None:
        with changing(SYSTEM) as change:
            other = Team(name="other")
            change.save(other)
        for secret in ("gw_canary12_" + "x" * 46, "<script>", "\x00"):
            assert secret not in text(member.post(SETUP, {"secret": secret}))

    def test_who_may_not_make_keys_reads_it_all_the_same(self, world: World) -> None:
        for user in (person(world, "vic", "viewer"), world.auditor, world.admin):
            assert signed_in(user).get(SETUP).status_code == 200
        with changing(SYSTEM) as change:
            nobody = services.create_user(change, "nobody@example.org")
        assert signed_in(nobody).get(SETUP).status_code == 404
        assert signed_in(nobody).post(CHECK, {"shell": "A=1"}).status_code == 404

    def test_it_reads_little(
        self, world: World, member: Client, django_assert_max_num_queries: DjangoAssertNumQueries
    ) -> None:
        _, secret = mine(world)
        with django_assert_max_num_queries(14):
            member.get(SETUP)
        with django_assert_max_num_queries(14):
            member.post(CHECK, {"shell": f"ANTHROPIC_AUTH_TOKEN={secret}"})


class TestChecking:
    def test_a_key_is_recognised_by_its_hash_and_never_shown(self, world: World, member: Client) -> None:
        key, secret = mine(world)
        given = json.dumps(
            {"env": {"ANTHROPIC_BASE_URL": "http://testserver", "ANTHROPIC_AUTH_TOKEN": secret}}, indent=1
        )
        page = member.post(CHECK, {"settings": given})
        assert "Nothing stands in the way" in text(page)
        assert "The key sams, which is in use" in text(page)
        assert secret not in text(page)
        assert "no-store" in page.headers["cache-control"]
        with changing(SYSTEM) as change:
            services.revoke_key(change, key.prefix)
        assert "The key sams is revoked" in text(member.post(CHECK, {"settings": given}))

    def test_nothing_that_was_pasted_is_kept_logged_or_shown(
        self, world: World, member: Client, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        canary = "canary-77c1d2"
        for given in (
            {"settings": json.dumps({"env": {"ANTHROPIC_API_KEY": canary, "OTHER": canary}})},
            {"settings": f'{{"env": {{"ANTHROPIC_API_KEY": "{canary}",,}}'},
            {"shell": f"export ANTHROPIC_AUTH_TOKEN={canary}\nPATH={canary}\n{canary}"},
            {"shell": canary * 20_000},
        ):
            page = member.post(CHECK, given)
            assert page.status_code == 200
            assert canary not in text(page)
        assert canary not in caplog.text
        assert canary not in str([session.get_decoded() for session in Session.objects.all()])

    def test_a_key_of_another_team_is_not_told_from_none(self, world: World, member: Client) -> None:
        with changing(SYSTEM) as change:
            other = Team(name="other")
            change.save(other)
            project = Project(team=other, name="default")
            change.save(project)
            _, secret = services.create_key(change, project, "theirs")
        page = text(member.post(CHECK, {"shell": f"ANTHROPIC_AUTH_TOKEN={secret.reveal()}"}))
        assert "theirs" not in page
        assert "no key of this team" in page

    def test_names_of_this_gateway_are_looked_up(self, world: World, member: Client) -> None:
        page = text(member.post(CHECK, {"shell": "ANTHROPIC_MODEL=claude-sonet-4-5"}))
        assert "Perhaps: claude-sonnet-4-5" in page

    def test_an_old_secret_is_told_from_the_new_one(self, world: World, member: Client) -> None:
        key, old = mine(world)
        with changing(SYSTEM) as change:
            services.rotate_key(change, key, overlap=timedelta(hours=1))
        assert "old secret of the key sams" in text(member.post(CHECK, {"shell": f"ANTHROPIC_AUTH_TOKEN={old}"}))
        key.refresh_from_db()
        assert key.rotated_at
        VirtualKey.objects.filter(pk=key.pk).update(old_until=key.rotated_at)
        assert "sams has expired" in text(member.post(CHECK, {"shell": f"ANTHROPIC_AUTH_TOKEN={old}"}))
