"""Versions and proposals in the console: what they show, the way back, approval by a second person, changes at a time."""

from datetime import timedelta
from typing import Any

import pytest
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings

from accounting.audit.changes import Actor, changing
from accounting.models import User
from accounting.services import create_admin
from routing.models import (
    CompatibilityRule,
    CompatibilitySuggestion,
    ConfigProposal,
    ConfigVersion,
    Credential,
    ModelAlias,
    ProcessReport,
    Provider,
    Route,
    SealedSecret,
)
from routing.services import save_route
from routing.versions.keeping import current_number
from tests.pages.conftest import PASSWORD, PROVIDER_SECRET, World, signed_in
from tests.pages.page_form import fields_of

State = ConfigProposal.State


def change_page(model: str, pk: int) -> str:
    return reverse(f"admin:{model}_change", args=[pk])


def save(console: Client, model: str, pk: int, **values: Any) -> HttpResponse:
    address = change_page(model, pk)
    shown = fields_of(console.get(address).content, f"{model.split('_')[1]}_form")
    response: HttpResponse = console.post(address, {**shown, **values})  # type: ignore[assignment]
    return response


def text(response: Any) -> str:
    return str(response.content.decode())


def page(console: Client, name: str, *args: Any) -> str:
    response = console.get(reverse(f"admin:{name}", args=args))
    assert response.status_code == 200
    return text(response)


def newest() -> ConfigVersion:
    return ConfigVersion.objects.all()[0]


def set_cooldown(route: Route, seconds: int) -> int:
    with changing(Actor("bob@example.org", "user")) as change:
        row = Route.objects.get(pk=route.pk)
        row.cooldown = seconds
        save_route(change, row)
    return current_number()


@pytest.fixture
def eve(world: World) -> User:
    with changing(Actor("set-up", "system")) as change:
        return create_admin(change, "eve@example.org", PASSWORD)


@pytest.fixture
def approval(settings: Settings) -> None:
    settings.GATEWAY_CONFIG_APPROVAL = True


class TestVersions:
    def test_the_reason_of_a_form_is_kept_with_the_version(self, world: World, console: Client) -> None:
        assert (
            save(console, "routing_route", world.route.pk, cooldown="77", change_reason="too hasty").status_code == 302
        )
        assert (newest().reason, newest().actor) == ("too hasty", "ada@example.org")

    def test_a_reason_alone_is_no_change(self, world: World, console: Client) -> None:
        before = current_number()
        save(console, "routing_route", world.route.pk, change_reason="nothing")
        assert current_number() == before

    def test_the_reason_of_a_deletion_is_kept(self, world: World, console: Client) -> None:
        address = reverse("admin:routing_modelalias_delete", args=[world.alias.pk])
        assert "Why?" in text(console.get(address))
        assert console.post(address, {"post": "yes", "change_reason": "not used"}).status_code == 302
        assert not ModelAlias.objects.exists()
        assert newest().reason == "not used"

    def test_the_list_says_when_who_what_and_why(self, world: World, console: Client) -> None:
        save(console, "routing_route", world.route.pk, cooldown="77", change_reason="too hasty")
        shown = page(console, "routing_configversion_changelist")
        for part in ("changed route sonnet (cooldown)", "ada@example.org", "too hasty", str(newest().number)):
            assert part in shown

    def test_a_version_shows_what_it_changed_and_what_is_different_now(self, world: World, console: Client) -> None:
        first = current_number()
        save(console, "routing_route", world.route.pk, cooldown="77")
        shown = page(console, "routing_configversion_change", first)
        assert "created" in shown
        since = shown.split('id="since"')[1]
        assert "cooldown" in since
        assert ">30<" in since
        assert ">77<" in since
        assert "in force" in page(console, "routing_configversion_change", newest().number)

    def test_no_page_of_versions_shows_a_secret(self, world: World, console: Client) -> None:
        first = current_number()
        save(console, "routing_provider", world.provider.pk, credential_api_key=f"{PROVIDER_SECRET}-2")
        hashes = list(SealedSecret.objects.values_list("fingerprint", flat=True))
        for shown in (
            page(console, "routing_configversion_changelist"),
            page(console, "routing_configversion_change", first),
            page(console, "routing_configversion_change", newest().number),
            page(console, "routing_configversion_rollback", first),
        ):
            assert PROVIDER_SECRET not in shown
            assert not any(each in shown for each in hashes)
        assert "*** (changed)" in page(console, "routing_configversion_change", newest().number)

    def test_an_auditor_reads_and_is_offered_nothing(self, world: World, console: Client) -> None:
        first = current_number()
        save(console, "routing_route", world.route.pk, cooldown="77")
        shown = page(signed_in(world.auditor), "routing_configversion_change", first)
        assert "What it changed" in shown
        assert "Roll back" not in shown
        assert "change_reason" not in page(signed_in(world.auditor), "routing_route_change", world.route.pk)


class TestRollback:
    def test_one_click_and_a_confirmation_go_back(self, world: World, console: Client) -> None:
        first = current_number()
        save(console, "routing_route", world.route.pk, cooldown="77")
        assert "Roll back to this version" in page(console, "routing_configversion_change", first)
        address = reverse("admin:routing_configversion_rollback", args=[first])
        asked = console.get(address)
        assert ">77<" in text(asked)
        form = fields_of(asked.content, "rollback_form")
        response = console.post(address, {**form, "reason": "a mistake"}, follow=True)
        assert f"as it was in version {first}" in text(response)
        assert Route.objects.get().cooldown == 30
        assert newest().reason == f"rollback to {first}: a mistake"

    def test_a_configuration_that_moved_since_is_shown_again(self, world: World, console: Client) -> None:
        first = current_number()
        set_cooldown(world.route, 77)
        address = reverse("admin:routing_configversion_rollback", args=[first])
        form = fields_of(console.get(address).content, "rollback_form")
        set_cooldown(world.route, 88)
        assert "changed meanwhile" in text(console.post(address, form, follow=True))
        assert Route.objects.get().cooldown == 88

    @pytest.mark.parametrize("seen", ["", "x", "-1", "9" * 30, "²"])
    def test_a_form_that_is_no_form_of_ours_is_refused(self, seen: str, world: World, console: Client) -> None:
        first = current_number()
        set_cooldown(world.route, 77)
        address = reverse("admin:routing_configversion_rollback", args=[first])
        assert "changed meanwhile" in text(console.post(address, {"seen": seen}, follow=True))
        assert Route.objects.get().cooldown == 77

    def test_there_is_no_way_back_to_what_never_was(self, world: World, console: Client) -> None:
        response = console.get(reverse("admin:routing_configversion_rollback", args=[999]), follow=True)
        assert "There is no version 999" in text(response)

    def test_what_stands_in_the_way_is_said_before(self, world: World, console: Client) -> None:
        first = current_number()
        for model, row in (("modelalias", world.alias), ("route", world.route), ("provider", world.provider)):
            console.post(reverse(f"admin:routing_{model}_delete", args=[row.pk]), {"post": "yes"})
        SealedSecret.objects.all().delete()
        shown = page(console, "routing_configversion_rollback", first)
        assert "The provider main cannot be brought back" in shown
        assert "rollback_form" not in shown

    def test_a_rollback_waits_for_approval_too(self, world: World, console: Client, eve: User, approval: None) -> None:
        first = current_number()
        number = set_cooldown(world.route, 77)
        address = reverse("admin:routing_configversion_rollback", args=[first])
        response = console.post(address, fields_of(console.get(address).content, "rollback_form"), follow=True)
        assert "Nothing is changed yet" in text(response)
        assert (Route.objects.get().cooldown, current_number()) == (77, number)
        decide(signed_in(eve), ConfigProposal.objects.get(), "approve")
        assert Route.objects.get().cooldown == 30
        assert newest().reason == f"rollback to {first}"


def decide(client: Client, proposal: ConfigProposal, decision: str, remark: str = "") -> str:
    address = reverse("admin:routing_configproposal_decide", args=[proposal.pk])
    return text(client.post(address, {"decision": decision, "remark": remark}, follow=True))


class TestApproval:
    def test_a_change_waits_until_somebody_else_approves(
        self, world: World, console: Client, eve: User, approval: None
    ) -> None:
        before = current_number()
        response = save(console, "routing_route", world.route.pk, cooldown="77", change_reason="too hasty")
        proposal = ConfigProposal.objects.get()
        assert response.headers["location"] == change_page("routing_configproposal", proposal.pk)
        assert (Route.objects.get().cooldown, current_number()) == (30, before)
        assert (proposal.state, proposal.author, proposal.reason) == (State.OPEN, "ada@example.org", "too hasty")
        own = page(console, "routing_configproposal_change", proposal.pk)
        assert "Nothing is changed yet" in own
        assert "was changed successfully" not in own
        assert 'value="approve"' not in own
        assert "Somebody else" in decide(console, proposal, "approve")
        theirs = page(signed_in(eve), "routing_configproposal_change", proposal.pk)
        assert ">77<" in theirs
        assert 'value="approve"' in theirs
        assert "Approved and applied" in decide(signed_in(eve), proposal, "approve")
        assert (Route.objects.get().cooldown, newest().actor) == (77, "ada@example.org")
        assert f"version {newest().number}" in page(console, "routing_configproposal_change", proposal.pk)

    def test_every_form_of_routing_waits(self, world: World, console: Client, approval: None) -> None:
        save(console, "routing_provider", world.provider.pk, max_connections="9")
        save(console, "routing_modelalias", world.alias.pk, display_name="Sonnet")
        new = fields_of(console.get(reverse("admin:routing_modelalias_add")).content, "modelalias_form")
        console.post(reverse("admin:routing_modelalias_add"), {**new, "name": "claude-*", "route": world.route.pk})
        rule = fields_of(console.get(reverse("admin:routing_compatibilityrule_add")).content, "compatibilityrule_form")
        console.post(reverse("admin:routing_compatibilityrule_add"), {**rule, "name": "some-beta"})
        console.post(reverse("admin:routing_modelalias_delete", args=[world.alias.pk]), {"post": "yes"})
        console.post(
            reverse("admin:routing_compatibilityrule_unnamed"),
            {"name": "other-beta", "upstream_format": "bedrock", "action": "drop"},
        )
        assert ConfigProposal.objects.filter(state=State.OPEN).count() == 6
        assert Provider.objects.get().max_connections == 512
        assert ModelAlias.objects.get().display_name == ""
        assert not CompatibilityRule.objects.exists()

    def test_a_suggestion_becomes_a_proposal_and_stays_open_until_then(
        self, world: World, console: Client, eve: User, approval: None
    ) -> None:
        now = timezone.now()
        row = CompatibilitySuggestion.objects.create(
            name="some-beta", upstream_format="bedrock", model="m", first_seen=now, last_seen=now
        )
        address = reverse("admin:routing_compatibilityrule_suggestion")
        console.post(address, {"suggestion": row.pk, "decision": "accept"})
        row.refresh_from_db()
        assert row.state == "open"
        decide(signed_in(eve), ConfigProposal.objects.get(), "approve")
        assert CompatibilityRule.objects.get().name == "some-beta"
        console.post(address, {"suggestion": row.pk, "decision": "accept"})
        row.refresh_from_db()
        assert (row.state, ConfigProposal.objects.count()) == ("accepted", 1)

    def test_people_and_keys_do_not_wait(self, world: World, console: Client, approval: None) -> None:
        save(console, "accounting_team", world.team.pk, display_name="Platform")
        world.team.refresh_from_db()
        assert world.team.display_name == "Platform"

    def test_a_new_provider_shows_its_secret_nowhere_and_gets_it(
        self, world: World, console: Client, eve: User, approval: None
    ) -> None:
        secret = f"{PROVIDER_SECRET}-second"
        form = fields_of(console.get(reverse("admin:routing_provider_add")).content, "provider_form")
        values = {"name": "second", "base_url": "https://b.example.com", "credential_api_key": secret}
        response = console.post(reverse("admin:routing_provider_add"), {**form, **values}, follow=True)
        proposal = ConfigProposal.objects.get()
        assert "https://b.example.com" in text(response)
        for shown in (text(response), page(console, "routing_configproposal_changelist"), str(proposal.changes)):
            assert PROVIDER_SECRET not in shown
        decide(signed_in(eve), proposal, "approve")
        assert Credential.objects.get(provider__name="second").values == {"api_key": secret}

    def test_a_conflict_is_shown_and_nothing_is_applied(
        self, world: World, console: Client, eve: User, approval: None
    ) -> None:
        save(console, "routing_route", world.route.pk, cooldown="77", max_attempts="9")
        set_cooldown(world.route, 88)
        proposal = ConfigProposal.objects.get()
        sentence = "Route sonnet: cooldown was changed meanwhile."
        shown = page(signed_in(eve), "routing_configproposal_change", proposal.pk)
        assert sentence in shown
        assert 'value="approve"' not in shown
        assert sentence in decide(signed_in(eve), proposal, "approve")
        assert (Route.objects.get().cooldown, Route.objects.get().max_attempts) == (88, 3)

    def test_rejecting_and_withdrawing(self, world: World, console: Client, eve: User, approval: None) -> None:
        save(console, "routing_route", world.route.pk, cooldown="77")
        save(console, "routing_route", world.route.pk, cooldown="78")
        second, first = ConfigProposal.objects.all()
        assert "not like this" in decide(signed_in(eve), first, "reject", "not like this")
        assert "Only its author" in decide(signed_in(eve), second, "withdraw")
        assert "Withdrawn" in decide(console, second, "withdraw")
        assert "closed already" in decide(signed_in(eve), first, "approve")
        assert "Choose what becomes" in decide(signed_in(eve), first, "something")
        assert Route.objects.get().cooldown == 30

    def test_a_refused_form_is_no_proposal(self, world: World, console: Client, approval: None) -> None:
        assert save(console, "routing_route", world.route.pk, cooldown="0").status_code == 200
        assert not ConfigProposal.objects.exists()


class TestSchedule:
    def test_a_change_with_a_time_waits_for_it(self, world: World, console: Client) -> None:
        when = timezone.now() + timedelta(days=2)
        response = save(
            console, "routing_route", world.route.pk, cooldown="77", change_not_before=f"{when:%Y-%m-%dT%H:%M:%S}"
        )
        proposal = ConfigProposal.objects.get()
        assert response.status_code == 302
        assert (proposal.state, proposal.activate_at) == (State.APPROVED, when.replace(microsecond=0))
        assert Route.objects.get().cooldown == 30
        assert "it will be made on" in page(console, "routing_configproposal_change", proposal.pk)

    def test_a_time_that_has_passed_is_refused(self, world: World, console: Client) -> None:
        response = save(
            console, "routing_route", world.route.pk, cooldown="77", change_not_before="2020-01-01T00:00:00"
        )
        assert response.status_code == 200
        assert "This time has passed" in text(response)
        address = reverse("admin:routing_modelalias_delete", args=[world.alias.pk])
        refused = console.post(address, {"post": "yes", "change_not_before": "2020-01-01T00:00:00"}, follow=True)
        assert "This time has passed" in text(refused)
        assert (Route.objects.get().cooldown, ModelAlias.objects.count()) == (30, 1)

    def test_a_failure_is_on_the_overview(self, world: World, console: Client) -> None:
        ConfigProposal.objects.create(
            state=State.FAILED, created_at=timezone.now(), author="bob@example.org", base=newest(),
            expires_at=timezone.now(), closed_at=timezone.now(), problem="Route sonnet: cooldown was changed meanwhile.",
        )  # fmt: skip
        shown = page(console, "index")
        assert (
            "A change of bob@example.org could not be applied: Route sonnet: cooldown was changed meanwhile." in shown
        )


class TestProcesses:
    def report(self, name: str, version: int, age: float = 0) -> None:
        now = timezone.now()
        ProcessReport.objects.create(
            process=name, host="gate-1", pid=7, server="production", started_at=now, version=version, directory=1,
            seen_at=now - timedelta(seconds=age),
        )  # fmt: skip

    def test_the_overview_and_the_list_say_what_is_served(self, world: World, console: Client) -> None:
        assert "No gateway process is running" in page(console, "index")
        number = current_number()
        self.report("a", number)
        assert f"1 process, on version {number}" in page(console, "index")
        self.report("b", number)
        for name in ("index", "routing_configversion_changelist"):
            assert f"2 processes, all on version {number}" in page(console, name)

    def test_the_slowest_is_named_and_silent_ones_are_left_out(self, world: World, console: Client) -> None:
        number = set_cooldown(world.route, 77)
        self.report("a", number)
        self.report("b", number - 1)
        self.report("c", number)
        self.report("gone", 1, age=31)
        sentence = f"1 of 3 still on version {number - 1}; the newest is {number}"
        for name in ("index", "routing_configversion_changelist"):
            assert sentence in page(console, name)
        assert "do not follow" not in page(console, "index"), "it may be on its way"
        ConfigVersion.objects.filter(number=number).update(at=timezone.now() - timedelta(seconds=10))
        assert f"Processes do not follow the configuration: {sentence}." in page(console, "index")
