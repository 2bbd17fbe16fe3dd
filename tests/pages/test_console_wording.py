"""Pages of the console that only show: figures, dates and names as people write them, and a way on from each."""

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.test import Client
from django.urls import reverse

from accounting.models import BudgetAlert, BudgetRequest, Price
from tests.pages.conftest import World, signed_in

EVENTS = "/admin/accounting/auditevent/"
AT = datetime(2026, 11, 5, 10, 33, tzinfo=UTC)


def page_of(client: Client, name: str, *args: object) -> str:
    return client.get(reverse(f"admin:{name}", args=args)).content.decode()


def readonly(page: str) -> list[str]:
    return [
        re.sub(r"<[^>]+>", "", each).strip() for each in re.findall(r'class="readonly">(.*?)</div>', page, re.DOTALL)
    ]


@pytest.fixture
def asked(world: World) -> BudgetRequest:
    until = AT + timedelta(days=30)
    return BudgetRequest.objects.create(
        budget=world.budget, asked_by="sam@example.org", amount=Decimal("16.5"), until=until, reason="A launch."
    )


def test_a_request_for_more_is_shown_without_needless_zeros(console: Client, asked: BudgetRequest) -> None:
    page = page_of(console, "accounting_budgetrequest_change", asked.pk)
    shown = readonly(page)
    assert "16.5" in shown
    assert "5 Dec 2026 10:33" in shown
    assert "None" not in shown  # what is not decided yet
    assert "Dollars on top of the budget." in page
    assert "history/" not in page  # it has none
    listed = page_of(console, "accounting_budgetrequest_changelist")
    assert "5 Dec 2026 10:33" in listed


def test_an_alert_of_a_budget_is_shown_without_needless_zeros(world: World, console: Client) -> None:
    row = BudgetAlert.objects.create(
        budget=world.budget, period_start=AT, threshold=50, at=AT, spent=Decimal("250.25"), limit=Decimal(500)
    )
    shown = readonly(page_of(console, "accounting_budgetalert_change", row.pk))
    assert {"250.25", "500", "5 Nov 2026 10:33"} <= set(shown)


def test_a_price_is_shown_without_needless_zeros_under_the_form_s_words(console: Client) -> None:
    price = Price.objects.filter(cache_write_5m__gt=0).earliest("pk")
    page = page_of(console, "accounting_price_change", price.pk)
    assert not [each for each in readonly(page) if each.endswith("000")]
    for title in ("Cache write, 5 min", "Cache read"):
        assert title in page


def test_kinds_of_things_are_words_in_the_filter_of_the_audit_log(console: Client) -> None:
    page = console.get(EVENTS, {"object_type": "modelalias"}).content.decode()
    assert "<b>model alias</b>" in page
    assert ">ratelimit<" not in page


def test_what_cannot_be_deleted_says_what_to_do_and_leads_back(console: Client, asked: BudgetRequest) -> None:
    page = page_of(console, "accounting_budget_delete", asked.budget.pk)
    assert "cannot be deleted: what belongs to it stays on record" in page
    assert "doesn't have permission" not in page
    assert f'href="{reverse("admin:accounting_budget_change", args=[asked.budget.pk])}">Back</a>' in page


def test_a_token_s_role_is_chosen_from_roles(world: World) -> None:
    page = page_of(signed_in(world.admin), "accounting_apitoken_add")
    assert page.count('name="role"') == 3
    assert "New API token" in page


def test_an_abbreviation_keeps_its_letters(world: World, console: Client) -> None:
    assert "API tokens" in page_of(console, "accounting_apitoken_changelist").partition("<h1>")[2][:20]
    assert "<h2>API token</h2>" in page_of(console, "accounting_apitoken_change", world.token.pk)
