"""The overview and usage in a real browser: they obey the security policy, fit a phone, pass the accessibility rules, refresh
themselves and zoom."""

import shutil
from datetime import timedelta

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.utils import timezone

from accounting.money.store import store_records
from tests.accounting.ledgers import entry, line
from tests.pages.test_browser import PHONE, Visitor, browser, visitor, world  # noqa: F401  fixtures

pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(shutil.which("chromium") is None, reason="Chromium is not installed"),
]
LONG = "a-very-long-name-" * 12
RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa"]}


def use(name: str, **fields: object) -> None:
    at = timezone.now() - timedelta(minutes=1)
    store_records([entry(name, line(0, tokens_input=1000), at=at, **{"team": "platform", "key": "ci", **fields})])


def test_they_fit_a_phone_obey_the_policy_and_can_be_read_by_all(visitor: Visitor) -> None:  # noqa: F811
    visitor.page.set_viewport_size(PHONE)
    pages = ["/teams/platform/", "/teams/platform/usage/"]
    for path in pages:
        look_at(visitor, path)
    use("a", user=f"{LONG}@example.org", key=LONG[:60])
    use("b", outcome="refused", reason="budget", status=429, user=LONG[:50])
    for path in (*pages, "/usage/", "/teams/platform/usage/?group=user&sort=name&project=default"):
        look_at(visitor, path)
        visitor.page.wait_for_selector("canvas")
    assert visitor.complaints == []


def look_at(visitor: Visitor, path: str) -> None:  # noqa: F811
    visitor.open(path)
    assert visitor.overflow() <= 0, path
    found = Axe().run(visitor.page, options=RULES)
    assert found.violations_count == 0, f"{path}: {found.generate_report()}"


def test_the_first_request_is_noticed_and_figures_follow(visitor: Visitor) -> None:  # noqa: F811
    page = visitor.open("/teams/platform/")
    assert page.is_visible("text=waiting")
    use("first")
    page.evaluate("document.dispatchEvent(new CustomEvent('gateway:requests'))")
    page.wait_for_selector(".first-steps .pill.good >> text=arrived")
    page.click("text=Show the overview")
    page.focus("#all-budgets")
    use("second")
    with page.expect_response(lambda answer: answer.request.headers.get("hx-target") == "live", timeout=9000):
        pass  # it asks by itself
    page.wait_for_selector(".tile data[value='2']")
    assert page.evaluate("document.activeElement.id") == "all-budgets"
    assert visitor.complaints == []


def test_a_click_on_a_bar_narrows_the_period(visitor: Visitor) -> None:  # noqa: F811
    use("a")
    page = visitor.open("/teams/platform/usage/?period=7d")
    page.wait_for_selector("canvas.zooms")
    box = page.locator("#usage-chart").bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + box["width"] - 30, box["y"] + box["height"] / 2)
    page.wait_for_url("**period=custom**")
    assert visitor.complaints == []
