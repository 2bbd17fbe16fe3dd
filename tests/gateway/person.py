"""A person with a browser of their own: follows links that can be seen, fills forms in, or does without a mouse."""

import os
from pathlib import Path

from playwright.sync_api import Browser, Page

from tests.harness import wait_until

DESK, PHONE = 1280, 360
MOST_TABS = 60
HERE = "document.activeElement.matches({!r})"
UNCOVERED = """((here, {left, top, width, height}) =>
    here.contains(document.elementFromPoint(left + width / 2, top + height / 2)))(
    document.activeElement, document.activeElement.getBoundingClientRect())"""
SEEN = """(({outlineStyle, boxShadow}) => outlineStyle !== 'none' || boxShadow !== 'none')(
    getComputedStyle(document.activeElement))"""


class Person:
    """`complaints` is what the browser had to say: errors and warnings, violations of the security policy among them.

    With a folder in TEST_PICTURES each page that is looked at is photographed there in both widths.
    """

    def __init__(self, browser: Browser, name: str) -> None:
        self.email = f"{name}@example.org"
        self.page: Page = browser.new_context(
            viewport={"width": DESK, "height": 900}, locale="en-US", reduced_motion="reduce"
        ).new_page()
        self.page.set_default_timeout(60_000)
        self.complaints: list[str] = []
        self.page.on("console", lambda message: self._heard(message.type, message.text))
        self.page.on("pageerror", lambda error: self._heard("error", str(error)))
        self._seen = 0

    def _heard(self, kind: str, text: str) -> None:
        if kind in {"error", "warning"}:
            self.complaints.append(f"{self.page.url}: {text}")

    @property
    def text(self) -> str:
        """What the page says, without its frame."""
        return self.page.inner_text("main")

    def follow(self, link: str, *, exact: bool = True) -> None:
        """Clicks the first link of that name that can be seen."""
        self.page.get_by_role("link", name=link, exact=exact).first.click()

    def press(self, button: str) -> None:
        self.page.get_by_role("button", name=button, exact=True).click()

    def fill(self, **fields: str) -> None:
        """Types into the fields of these names."""
        for name, text in fields.items():
            self.page.fill(f"[name={name}]", text)

    def reads(self, text: str) -> None:
        """Waits until that stands on the page."""
        self.page.get_by_text(text).filter(visible=True).first.wait_for()

    def looks(self) -> None:
        """The page fits a desk and a phone; nobody has to scroll sideways."""
        self._seen += 1
        for width in (PHONE, DESK):
            self.page.set_viewport_size({"width": width, "height": 900})
            wait_until(self._fits, timeout=15, what=f"{self.page.url} fits {width} px")
            if folder := os.environ.get("TEST_PICTURES"):
                name = f"{self.email.partition('@')[0]}-{self._seen:02d}-{width}.png"
                self.page.screenshot(path=Path(folder) / name, full_page=True)

    def _fits(self) -> bool:
        return bool(self.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"))

    # Without a mouse

    def skips_to_the_content(self) -> None:
        """The first thing that Tab reaches leads past the navigation."""
        self.page.keyboard.press("Tab")
        assert self.page.evaluate(HERE.format("a.skip"))
        self.page.keyboard.press("Enter")

    def tabs_to(self, selector: str) -> None:
        """Presses Tab until the focus is there, where it can be seen."""
        for _ in range(MOST_TABS):
            self.page.keyboard.press("Tab")
            if self.page.evaluate(HERE.format(selector)):
                assert self.page.evaluate(SEEN), f"nobody sees that the focus is on {selector}"
                assert self.page.evaluate(UNCOVERED), f"something lies over {selector}"
                return
        raise AssertionError(f"{MOST_TABS} tabs do not lead to {selector}")

    def types(self, selector: str, text: str) -> None:
        """Tabs to a field and replaces what is in it."""
        self.tabs_to(selector)
        self.page.keyboard.press("Control+a")
        self.page.keyboard.type(text)

    def enters(self, selector: str) -> None:
        """Tabs to a link or a button, and presses Enter."""
        self.tabs_to(selector)
        self.page.keyboard.press("Enter")
