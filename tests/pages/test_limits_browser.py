"""Budgets and alerts in a real browser: a member asks, an owner approves; pages fit a phone and keep to the policy."""

import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext
from pytest_django.live_server_helper import LiveServer

from accounting.audit.changes import changing
from accounting.models import AlertDestination, AlertRule, Budget
from tests.pages.conftest import PASSWORD, make_world
from tests.pages.teams import SYSTEM, TeamWorld, add_people, spend
from tests.pages.test_browser import PHONE, Visitor, browser  # noqa: F401 - a fixture

pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(shutil.which("chromium") is None, reason="Chromium is not installed"),
]


# Cards whose content is higher than they are.
CUT_OFF = """() => [...document.querySelectorAll("main .card, main .card > *")]
  .filter((card) => getComputedStyle(card).overflowY === "hidden" && card.scrollHeight > card.clientHeight + 1)
  .map((card) => card.innerText)"""


@pytest.fixture
def team(transactional_db: None) -> TeamWorld:
    found = add_people(make_world())
    for name in ("olga", "sam"):
        found.people[name].set_password(PASSWORD)
        found.people[name].save()
    return found


class Visits:
    """Signs people in, each in a browser context of their own."""

    def __init__(self, chromium: Browser, address: str) -> None:
        self._browser = chromium
        self._address = address
        self.contexts: list[BrowserContext] = []

    def sign_in(self, email: str, path: str) -> Visitor:
        context = self._browser.new_context(viewport=PHONE)
        self.contexts.append(context)
        visitor = Visitor(context, self._address)
        page = visitor.open(path)
        page.fill("[name=email]", email)
        page.fill("[name=password]", PASSWORD)
        page.press("[name=password]", "Enter")
        page.wait_for_url("**/teams/**")
        return visitor


@pytest.fixture
def visits(browser: Browser, live_server: LiveServer) -> Iterator[Visits]:  # noqa: F811
    found = Visits(browser, live_server.url)
    yield found
    for context in found.contexts:
        context.close()


def test_a_member_follows_a_refusal_asks_and_an_owner_approves(visits: Visits, team: TeamWorld) -> None:
    budget = team.budgets["team"].pk
    sam = visits.sign_in("sam@example.org", f"/limits/ask?budget={budget}")
    sam.page.fill("[name=amount]", "75")
    sam.page.fill("[name=reason]", "The launch.")
    sam.page.click("#ask button.primary")
    sam.page.wait_for_url("**/budgets/requests/*/")
    olga = visits.sign_in("olga@example.org", "/teams/platform/budgets/requests/?show=waiting")
    olga.page.click("text=Team platform")
    assert "of $575.00" in olga.page.inner_text("main")
    olga.page.click("button:has-text('Approve')")
    olga.page.wait_for_selector(".message.success")
    assert Budget.objects.get(pk=budget).raise_amount == 75
    sam.page.reload()
    assert "approved" in sam.page.inner_text("main")
    assert sam.complaints == olga.complaints == []


def test_pages_fit_a_phone_keep_to_the_policy_and_keep_nobody_out(visits: Visits, team: TeamWorld) -> None:
    spend("499")
    with changing(SYSTEM) as change:
        hook = AlertDestination(team=team.world.team, name="a-long-name-" * 5, kind="webhook")
        hook.url = "https://hooks.example.com/" + "long-path/" * 20
        change.save(hook)
        rule = AlertRule(team=team.world.team, name="n" * 63, kind="error_share", destinations=[hook.pk])
        change.save(rule)
    olga = visits.sign_in("olga@example.org", "/teams/platform/budgets/")
    project, alerts = team.budgets["project"].pk, "alerts/destinations"
    wide, cut = [], []
    for path in (
        "budgets/", f"budgets/{project}/", f"budgets/{project}/ask/", f"budgets/{project}/change/", "budgets/new/",
        f"budgets/{project}/delete/", "budgets/requests/", "limits/", "limits/new/", "alerts/", "alerts/rules/",
        "alerts/rules/new/?kind=error_share", f"{alerts}/", f"{alerts}/{hook.pk}/", f"{alerts}/new/?kind=webhook",
    ):  # fmt: skip
        olga.open(f"/teams/platform/{path}")
        if olga.overflow() > 0:
            wide.append(f"{path}: {olga.overflow()} px")
        cut += [f"{path}: {text}" for text in olga.page.evaluate(CUT_OFF)]
    assert wide == []
    assert cut == []
    assert olga.complaints == []
