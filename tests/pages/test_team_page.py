"""A team's page: everything of the team in tabs; what is edited is edited there, and only by administrators."""

from datetime import UTC, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from django.core.management import call_command
from django.test import Client
from django.urls import reverse

from accounting.models import Budget, LedgerEntry, Membership, Project, RequestRecord, Team
from tests.pages.conftest import World, signed_in
from tests.pages.page_form import fields_of

TABS = ("settings", "projects", "members", "keys", "budgets", "rates", "usage", "events")


def page(client: Client, world: World, tab: str) -> str:
    response = client.get(f"{reverse('admin:accounting_team_change', args=[world.team.pk])}?tab={tab}")
    assert response.status_code == 200
    return response.content.decode()


@pytest.mark.parametrize("tab", TABS)
def test_every_tab_leads_to_the_others_and_to_the_dashboard(tab: str, world: World, console: Client) -> None:
    text = page(console, world, tab)
    for other in TABS[1:]:
        assert f"?tab={other}" in text
    assert text.count('aria-current="page"') == 3, "in the sidebar, in the menu of phones, among the tabs"
    assert 'href="/teams/platform/"' in text


def test_reading_tabs_show_what_is_the_teams_and_nothing_of_others(world: World, console: Client) -> None:
    other = Team.objects.create(name="strangers")
    Budget.objects.create(scope="team", team=other, period="day", amount=Decimal(77))
    assert "ci" in page(console, world, "keys")
    assert world.key.prefix in page(console, world, "keys")
    budgets = page(console, world, "budgets")
    assert "team platform" in budgets
    assert "strangers" not in budgets
    assert "key platform/default/ci" in page(console, world, "rates")
    events = page(console, world, "events")
    assert "platform/default/ci" in events
    assert "sonnet" not in events


def test_usage_of_this_month_comes_out_of_the_sums(world: World, console: Client) -> None:
    now = datetime.now(UTC)
    RequestRecord.objects.filter(pk=world.record.pk).update(cost_usd=Decimal(450), started_at=now, project="default")
    LedgerEntry.objects.filter(pk=world.line.pk).update(cost_usd=Decimal(450), at=now, project="default")
    Team.objects.update(timezone="Europe/Berlin")
    call_command("rebuild_rollups")
    text = page(console, world, "usage")
    assert "$450.00" in text
    assert f"since 1 {now.astimezone(ZoneInfo('Europe/Berlin')):%B} in Europe/Berlin" in text
    assert ">default</th>" in text


def test_a_tab_saves_its_part_and_leaves_the_others(world: World, console: Client) -> None:
    address = f"{reverse('admin:accounting_team_change', args=[world.team.pk])}?tab=projects"
    form = fields_of(console.get(address).content, "team_form")
    assert "display_name" not in form
    response = console.post(address, {**form, "projects-0-display_name": "The default", "_continue": "1"})
    assert response.status_code == 302
    assert response.headers["location"].endswith("?tab=projects")
    assert Project.objects.get().display_name == "The default"
    assert Membership.objects.count() == 1


def test_an_auditor_reads_every_tab_and_changes_none(world: World) -> None:
    auditor = signed_in(world.auditor)
    for tab in TABS:
        text = page(auditor, world, tab)
        assert "_save" not in text
        assert "/add/" not in text
    address = f"{reverse('admin:accounting_team_change', args=[world.team.pk])}?tab=projects"
    assert auditor.post(address, {"projects-TOTAL_FORMS": "0"}).status_code == 403


def test_a_team_that_is_gone_leads_to_the_list(world: World, console: Client) -> None:
    response = console.get(f"{reverse('admin:accounting_team_change', args=[999])}?tab=keys", follow=True)
    assert "does not exist any more" in response.content.decode()
    assert console.get("/admin/accounting/team/x/change/?tab=keys").status_code == 302


def test_a_new_team_has_everything_in_one_form(world: World, console: Client) -> None:
    text = console.get(reverse("admin:accounting_team_add")).content.decode()
    assert "projects-TOTAL_FORMS" in text
    assert "memberships-TOTAL_FORMS" in text
    assert 'class="tabs"' not in text


def test_a_new_team_is_asked_for_its_first_project_and_can_do_without(world: World, console: Client) -> None:
    address = reverse("admin:accounting_team_add")
    form = fields_of(console.get(address).content, "team_form")
    assert form["projects-TOTAL_FORMS"] == "1"
    assert console.post(address, {**form, "name": "first", "projects-0-name": "papers"}).status_code == 302
    assert console.post(address, {**form, "name": "second"}).status_code == 302
    assert list(Project.objects.filter(team__name__in=["first", "second"]).values_list("team__name", "name")) == [
        ("first", "papers")
    ]


def test_people_without_an_account_are_invited_from_the_members_of_a_team(world: World, console: Client) -> None:
    invite = f'href="{reverse("dashboard:invite", args=["platform"])}"'
    assert invite in page(console, world, "members")
    assert console.get(reverse("dashboard:invite", args=["platform"])).status_code == 200
    assert invite not in page(signed_in(world.auditor), world, "members")
