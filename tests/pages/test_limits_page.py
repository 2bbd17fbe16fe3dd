"""Budgets and rate limits in the console: edited with their use in view; what is no limit is refused with a sentence."""

from decimal import Decimal
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounting.models import AuditEvent, Budget, LedgerEntry, OrganizationSettings, RateLimit, RequestRecord
from tests.pages.conftest import World
from tests.pages.page_form import fields_of

ADD = "/admin/accounting/budget/add/"


def added(console: Client, **values: Any) -> Any:
    form = fields_of(console.get(ADD).content, "budget_form")
    return console.post(ADD, {**form, "scope": "organization", "period": "day", "amount": "1", **values})


def test_a_new_budget_begins_with_the_month(world: World, console: Client) -> None:
    assert fields_of(console.get(ADD).content, "budget_form")["period"] == "month"


def test_a_budget_is_made_for_a_project(world: World, console: Client) -> None:
    values = {"scope": "project", "project": str(world.project.pk), "amount": "12.50", "soft": "50, 80 %"}
    assert added(console, **values).status_code == 302
    row = Budget.objects.get(scope="project")
    assert (row.amount, row.soft, row.hard, row.project) == (Decimal("12.5"), [50, 80], True, world.project)
    assert AuditEvent.objects.filter(object_type="budget", team="platform", action="created").count() == 2


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"amount": "NaN"}, "Enter a number."),
        ({"amount": "Infinity"}, "Enter a number."),
        ({"amount": "-1"}, "An amount is more than 0"),
        ({"amount": "0"}, "An amount is more than 0"),
        ({"amount": ""}, "This field is required."),
        ({"period": "year"}, "Select a valid choice."),
        ({"scope": "team"}, "Which team is this limit for?"),
        ({"soft": "half"}, "Write whole percentages"),
        ({"soft": "0"}, "Soft limits are whole percentages"),
        ({"raise_amount": "5"}, "A raise has an amount and an end."),
        ({"tag": "nonsense"}, "A tag is written as name=value"),
    ],
)
def test_what_is_no_budget_is_refused_with_a_sentence(
    world: World, console: Client, values: dict[str, str], said: str
) -> None:
    answer = added(console, **values)
    assert answer.status_code == 200
    assert said in answer.content.decode()
    assert Budget.objects.count() == 1


def test_the_list_and_the_page_show_what_is_used_now(world: World, console: Client) -> None:
    now = timezone.now()
    RequestRecord.objects.filter(pk=world.record.pk).update(cost_usd=Decimal(450), started_at=now)
    LedgerEntry.objects.filter(pk=world.line.pk).update(cost_usd=Decimal(450), at=now, team="platform")
    call_command("rebuild_rollups")
    for address in ("/admin/accounting/budget/", reverse("admin:accounting_budget_change", args=[world.budget.pk])):
        page = console.get(address).content.decode()
        assert "90 %" in page
        assert "$450.00 of $500.00" in page


def test_the_organization_has_one_row(world: World, console: Client) -> None:
    address = "/admin/accounting/organizationsettings/add/"
    form = fields_of(console.get(address).content, "organizationsettings_form")
    assert console.post(address, {**form, "timezone": "Mars"}).status_code == 200
    assert console.post(address, {**form, "timezone": "Europe/Berlin"}).status_code == 302
    assert OrganizationSettings.objects.get().timezone == "Europe/Berlin"
    assert console.get(address).status_code == 403


def test_a_rate_limit_is_a_whole_number(world: World, console: Client) -> None:
    address = reverse("admin:accounting_ratelimit_change", args=[world.rate.pk])
    form = fields_of(console.get(address).content, "ratelimit_form")
    for wrong in ("0", "-1", "1.5", "x", ""):
        assert console.post(address, {**form, "amount": wrong}).status_code == 200
    assert RateLimit.objects.get().amount == 60
