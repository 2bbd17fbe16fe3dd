"""Every page of the dashboard and the console keeps the rules of accessibility, light and dark, wide and on a phone: one load for
each page. What a page shows besides (messages, dialogs, long names) is looked at by the tests of that page."""

import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.test import override_settings
from playwright.sync_api import Browser, BrowserContext, Page
from pytest_django.live_server_helper import LiveServer

from accounting.models import User
from tests.pages.conftest import signed_in
from tests.pages.everybody import QUICK, Everything, make_everything
from tests.pages.resolved import address_of, make_the_rest, resolved
from tests.pages.test_browser import browser as browser  # the fixture
from tests.pages.test_browser import make_prices
from tests.pages.test_every_team_page import PATTERNS, page_of

pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(shutil.which("chromium") is None, reason="Chromium is not installed"),
]
RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"], "resultTypes": ["violations"]}
VIOLATIONS = """options => axe.run(document, options).then(found => found.violations.map(
  each => [each.id, each.nodes.slice(0, 2).map(node => node.html.slice(0, 160))]))"""
# Colours that change slowly have changed; what moves without end is not waited for.
SETTLED = "document.getAnimations().forEach(each => { try { each.finish(); } catch { each.cancel(); } })"
AXE = Axe().axe_script
# No pages: files, scripts, what takes POST only, and what only sends one elsewhere.
NO_PAGE = (
    "csv", "export", "jsi18n", "autocomplete", "view_on_site", "logout", "secret", "_history", "object_id>/", "_test",
    "own_password", "sign_in_ended",
)  # fmt: skip


@pytest.fixture
def everything(transactional_db: None) -> Everything:
    with override_settings(PASSWORD_HASHERS=QUICK):
        made = make_everything()
    make_prices()
    make_the_rest(made)
    return made


def pages_of_a_team(everything: Everything) -> Iterator[str]:
    for name, pattern in PATTERNS.items():
        if "GET" in pattern.callback.access[1] and not name.endswith(NO_PAGE):  # type: ignore[attr-defined]
            yield page_of(name, everything)


def pages_of_the_console() -> Iterator[str]:
    for name, pattern in resolved().items():
        if pattern.startswith("/admin/") and not name.endswith(NO_PAGE):
            yield address_of(pattern)


def other_pages() -> Iterator[str]:
    for name, pattern in resolved().items():
        if not pattern.startswith("/admin/") and not name.endswith(NO_PAGE):
            yield address_of(pattern)


def let_in(context: BrowserContext, server: LiveServer, person: User) -> Page:
    cookie = signed_in(person).cookies["sessionid"].value
    context.add_cookies([{"name": "sessionid", "value": cookie, "url": server.url}])
    return context.new_page()


def barriers(page: Page, server: LiveServer, addresses: Iterator[str]) -> list[Any]:
    """What axe finds on each, in both themes and widths."""
    found: list[Any] = []
    page.set_default_timeout(10_000)
    page.emulate_media(reduced_motion="reduce")
    seen: set[str] = set()
    for address in addresses:
        page.emulate_media(color_scheme="light")
        page.set_viewport_size({"width": 1280, "height": 800})
        answer = page.goto(f"{server.url}{address}")
        assert answer is not None
        assert answer.status < 500, address
        if answer.status != 200 or page.url in seen:
            continue
        seen.add(page.url)
        page.evaluate(AXE)
        for theme, width in (("light", 1280), ("dark", 1280), ("dark", 360), ("light", 360)):
            page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]
            page.set_viewport_size({"width": width, "height": 800})
            page.evaluate(SETTLED)
            found += [(address, theme, width, *each) for each in page.evaluate(VIOLATIONS, RULES)]
    assert seen
    return found


@pytest.mark.parametrize("part", ["team", "console", "own"])
def test_pages_have_no_barriers(part: str, browser: Browser, live_server: LiveServer, everything: Everything) -> None:
    context = browser.new_context()
    who = everything.people["owner" if part == "team" else "administrator"]
    addresses = {"team": pages_of_a_team(everything), "console": pages_of_the_console(), "own": other_pages()}[part]
    found = barriers(let_in(context, live_server, who), live_server, addresses)
    assert "\n".join(map(str, found)) == ""
    context.close()


def test_pages_for_whoever_has_not_signed_in_have_none(browser: Browser, live_server: LiveServer, db: None) -> None:
    context = browser.new_context()
    assert barriers(context.new_page(), live_server, iter(["/accounts/login/"])) == []
    context.close()
