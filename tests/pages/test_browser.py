"""The console in a real browser: nothing violates the security policy, nothing overflows a phone."""

import shutil
from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.urls import reverse
from django.utils import timezone
from playwright.sync_api import Browser, BrowserContext, Page, ViewportSize, sync_playwright
from pytest_django.live_server_helper import LiveServer

from accounting.admin.team_tabs import TABS
from accounting.audit.changes import Actor, changing
from accounting.models import Price
from accounting.money.price_list import LIST_2026_11_20, rows_of
from accounting.money.price_store import Unpriced, store_unpriced
from routing.models import ConfigProposal, ConfigVersion, ProcessReport, RouteTarget
from routing.versions.proposals import Draft, Person, Wish, draft, propose
from tests.pages.conftest import PASSWORD, World, make_record, make_world
from tests.pages.test_targets_page import said

pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(shutil.which("chromium") is None, reason="Chromium is not installed"),
]

SWITCHES = [
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
PHONE: ViewportSize = {"width": 360, "height": 780}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    # Playwright's synchronous interface runs a loop in this thread, which Django would take for asynchronous code.
    with pytest.MonkeyPatch.context() as patch, sync_playwright() as playwright:
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
        chromium = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=SWITCHES)
        yield chromium
        chromium.close()


class Visitor:
    """A signed-in page, and everything that the browser complained about or asked other hosts for."""

    def __init__(self, context: BrowserContext, address: str) -> None:
        self.address = address
        self.page: Page = context.new_page()
        self.complaints: list[str] = []
        self.page.on("console", lambda message: self._heard(message.type, f"{self.page.url}: {message.text}"))
        self.page.on("pageerror", lambda error: self.complaints.append(f"{self.page.url}: {error}"))
        self.page.on("request", lambda request: self._asked(request.url))

    def _heard(self, kind: str, text: str) -> None:
        if kind in {"error", "warning"}:
            self.complaints.append(text)

    def _asked(self, url: str) -> None:
        if not url.startswith((self.address, "data:")):
            self.complaints.append(f"asked {url}")

    def open(self, path: str) -> Page:
        self.page.goto(f"{self.address}{path}")
        return self.page

    def overflow(self) -> int:
        """Pixels by which the page is wider than the window."""
        return int(self.page.evaluate("document.documentElement.scrollWidth - window.innerWidth"))


@pytest.fixture
def world(transactional_db: None) -> World:
    return make_world()


@pytest.fixture
def visitor(browser: Browser, live_server: LiveServer, world: World) -> Iterator[Visitor]:
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    visitor = Visitor(context, live_server.url)
    page = visitor.open("/admin/")
    page.fill("[name=email]", world.admin.email)
    page.fill("[name=password]", PASSWORD)
    page.click("button.button")
    page.wait_for_url("**/admin/")
    yield visitor
    context.close()


def a_proposal(world: World) -> ConfigProposal:
    """One that waits, of a change of many fields, made on a configuration with two versions and a slow process."""
    person = Person(Actor("bob@example.org", "user"), 0)
    now = timezone.now()
    with changing(person.actor) as change:
        world.provider.base_url = f"https://{'a-long-name.' * 12}example.com"
        change.reason = "why " * 40
        change.save(world.provider)
    ProcessReport.objects.create(
        process="p", host="gate-1.example.org" * 3, pid=7, server="production", started_at=now, version=1, directory=1,
        seen_at=now,
    )  # fmt: skip
    found: list[Draft | None] = []

    def taken_back() -> None:
        with changing(person.actor) as change:
            world.route.retry_on, world.route.cooldown = [429, 500], 77
            change.save(world.route)
            found.append(draft(change))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        taken_back()
    assert found[0] is not None
    world.route.refresh_from_db()
    return propose(found[0], person, Wish("why " * 40), now)


def addresses(world: World) -> list[str]:
    rows = {
        "routing_provider": world.provider, "routing_route": world.route, "routing_modelalias": world.alias,
        "accounting_team": world.team, "accounting_project": world.project, "accounting_user": world.stranger,
        "accounting_membership": world.membership, "accounting_virtualkey": world.key,
        "accounting_apitoken": world.token, "accounting_requestrecord": world.record,
        "accounting_auditevent": world.event, "routing_configversion": ConfigVersion.objects.all()[0],
        "routing_configproposal": a_proposal(world),
    }  # fmt: skip
    found = ["/admin/", "/admin/password_change/", f"{reverse('admin:routing_route_who_serves')}?model=x"]
    found += ["/admin/search/?q=a", "/admin/configuration/"]
    team = reverse("admin:accounting_team_change", args=[world.team.pk])
    found += [f"{team}?tab={tab.name}" for tab in TABS]
    for name, row in rows.items():
        found += [reverse(f"admin:{name}_changelist"), reverse(f"admin:{name}_change", args=[row.pk])]
        if not name.endswith(("requestrecord", "auditevent", "configversion", "configproposal")):
            found.append(reverse(f"admin:{name}_add"))
    found.append(reverse("admin:routing_targetcontrol_changelist"))
    found.append(reverse("admin:routing_configversion_rollback", args=[ConfigVersion.objects.all()[1].pk]))
    found += [reverse("admin:accounting_price_changelist"), reverse("admin:accounting_price_add")]
    found += [reverse("admin:accounting_price_change", args=[price.pk]) for price in Price.objects.all()[:1]]
    found.append(reverse("admin:accounting_unknownmodelprice_change", args=[1]))
    found.append(reverse("admin:accounting_ratelimit_delete", args=[world.rate.pk]))
    return [*found, reverse("admin:routing_route_delete", args=[world.route.pk])]


def make_prices() -> None:
    """The list that ships, and a model with a long name that has no price."""
    rows = [Price(shipped=True, **values) for listed in LIST_2026_11_20 for values in rows_of(listed)]
    Price.objects.bulk_create(rows, ignore_conflicts=True)  # other tests may have emptied this database, or not
    store_unpriced({("main", "a-very-long-name-of-a-model-" * 6, True): Unpriced(3, 1.8e9)})


def test_no_page_violates_the_policy_or_overflows_a_phone(visitor: Visitor, world: World) -> None:
    make_record(request_id="req_long", alias="a-very-long-name-of-a-model-" * 6, session_id="s" * 120)
    make_prices()
    visitor.page.set_viewport_size(PHONE)
    wide = []
    for address in addresses(world):
        visitor.open(address)
        if visitor.overflow() > 0:
            wide.append(f"{address}: {visitor.overflow()} px")
    assert wide == []
    assert visitor.complaints == []


def test_account_pages_fit_a_phone(browser: Browser, live_server: LiveServer, transactional_db: None) -> None:
    from accounting.services import first_admin_link

    visitor = Visitor(browser.new_context(viewport=PHONE), live_server.url)
    for path in ("/accounts/login/", f"/accounts/first/{first_admin_link()}/"):
        visitor.open(path)
        assert visitor.overflow() <= 0
    assert visitor.complaints == []


def test_phone_has_a_menu_with_every_table(visitor: Visitor) -> None:
    visitor.page.set_viewport_size(PHONE)
    page = visitor.open("/admin/")
    page.click("details.menu > summary")
    page.click("details.menu >> text=Virtual keys")
    page.wait_for_url("**/virtualkey/")


def test_theme_is_switched_and_kept(visitor: Visitor) -> None:
    page = visitor.open("/admin/")
    shade = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(shade)
    page.click("#header .theme-toggle")
    assert page.evaluate(shade) != light
    visitor.open("/admin/routing/route/")
    assert page.evaluate(shade) != light
    assert visitor.complaints == []


def test_only_the_fields_of_the_chosen_kind_are_shown(visitor: Visitor) -> None:
    page = visitor.open(reverse("admin:routing_provider_add"))
    assert page.is_visible("#id_credential_api_key")
    assert not page.is_visible("#id_credential_secret_access_key")
    page.select_option("#id_format", "bedrock")
    page.select_option("#id_credential_kind", "aws")
    assert page.is_visible("#id_credential_secret_access_key")
    assert not page.is_visible("#id_credential_api_key")
    assert visitor.complaints == []


def test_what_has_the_focus_is_never_below_the_buttons(visitor: Visitor) -> None:
    page = visitor.open(reverse("admin:routing_provider_add"))
    page.click("#id_name")
    over = """(({left, top, width, height}) => {
        const above = document.elementFromPoint(left + width / 2, top + height / 2), here = document.activeElement;
        return !here.closest(".submit-row") && above?.closest(".submit-row") ? here.id : ""; })(
        document.activeElement.getBoundingClientRect())"""
    covered = []
    for height in (700, 770, 840, 910, 980):
        page.set_viewport_size({"width": 1280, "height": height})
        page.evaluate("window.scrollTo(0, 0)")
        page.focus("#id_name")
        for _ in range(24):
            page.keyboard.press("Tab")
            covered.append(page.evaluate(over))
    assert sorted({name for name in covered if name}) == []


def test_target_is_added_to_a_route_by_hand(visitor: Visitor, world: World) -> None:
    page = visitor.open(reverse("admin:routing_route_change", args=[world.route.pk]))
    page.click(".add-row a")
    page.select_option("#id_targets-1-provider", str(world.provider.pk))
    page.fill("#id_targets-1-model", "another-model")
    page.click("[name=_continue]")
    page.wait_for_load_state()
    assert page.input_value("#id_targets-1-model") == "another-model"
    assert visitor.complaints == []


def test_key_is_made_by_hand_and_copied(visitor: Visitor, world: World) -> None:
    visitor.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = visitor.open(reverse("admin:accounting_virtualkey_add"))
    page.click(".field-project .select2-selection")
    page.fill(".select2-search__field", "plat")
    page.click(".select2-results__option:has-text('platform / default')")
    page.fill("#id_name", "laptop")
    page.click("[name=_save]")
    page.click("[data-copy=secret]")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == page.inner_text("#secret")
    assert copied.startswith("gw_")
    assert visitor.complaints == []


def test_member_is_found_by_address(visitor: Visitor, world: World) -> None:
    page = visitor.open(f"{reverse('admin:accounting_team_change', args=[world.team.pk])}?tab=members")
    page.click("#memberships-group .add-row a")
    page.click("#memberships-1 .select2-selection")
    page.fill(".select2-search__field", "ada@")
    page.click(".select2-results__option:has-text('ada@example.org')")
    page.click("[name=_save]")
    page.wait_for_url("**/team/")
    assert world.team.memberships.count() == 2
    assert visitor.complaints == []


def test_pages_work_without_scripts(browser: Browser, live_server: LiveServer, world: World) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{live_server.url}/admin/")
    page.fill("[name=email]", world.admin.email)
    page.fill("[name=password]", PASSWORD)
    page.click("button.button")
    page.goto(f"{live_server.url}{reverse('admin:routing_provider_change', args=[world.provider.pk])}")
    assert page.is_visible("#id_credential_api_key")
    assert page.is_visible("#id_credential_secret_access_key")
    page.fill("#id_max_connections", "9")
    page.click("[name=_save]")
    world.provider.refresh_from_db()
    assert world.provider.max_connections == 9
    context.close()


def test_the_page_of_targets_follows_by_itself(visitor: Visitor, world: World) -> None:
    page = visitor.open(reverse("admin:routing_targetcontrol_changelist"))
    page.wait_for_selector("text=no calls yet")
    said(bad=3)
    page.wait_for_selector(".pill.bad >> text=open", timeout=8000)
    page.click("text=Reopen")
    page.wait_for_selector("text=its breaker is closed")
    assert visitor.complaints == []


def palette_of(page: Page, text: str) -> None:
    page.keyboard.press("Control+k")
    page.wait_for_selector("#palette[open]")
    page.keyboard.type(text)
    page.wait_for_selector(f"#palette [data-count]:has-text('“{text}”')")


def test_everything_is_found_and_opened_by_keyboard(visitor: Visitor, world: World) -> None:
    page = visitor.open("/admin/routing/provider/")
    palette_of(page, "platform")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.closest('#palette li') !== null")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowUp")
    assert page.evaluate("document.activeElement.id") == "palette-text"
    page.keyboard.press("Escape")
    assert not page.is_visible("#palette")
    palette_of(page, "sam@example.org")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/user/{world.stranger.pk}/change/")
    assert visitor.complaints == []


def test_enter_opens_the_first_result_and_typing_goes_on_from_a_result(visitor: Visitor, world: World) -> None:
    page = visitor.open("/admin/")
    page.click("[data-palette]")
    page.keyboard.type("sonn")
    page.wait_for_selector("#palette .found")
    page.keyboard.press("ArrowDown")
    page.keyboard.type("et")
    assert page.input_value("#palette-text") == "sonnet"
    page.wait_for_selector("#palette [data-count]:has-text('“sonnet”')")
    first = page.get_attribute("#palette .found a >> nth=0", "href")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**{first}")
    assert visitor.complaints == []


def test_the_palette_fits_a_phone(visitor: Visitor) -> None:
    visitor.page.set_viewport_size(PHONE)
    page = visitor.open("/admin/")
    page.click("[data-palette]")
    page.keyboard.type("a")
    page.wait_for_selector("#palette .found")
    box = page.locator("#palette").bounding_box()
    assert box is not None
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 360
    assert visitor.overflow() <= 0


def three_targets(world: World) -> list[str]:
    for place, (model, tier) in enumerate((("second", 0), ("third", 1)), 1):
        RouteTarget.objects.create(route=world.route, provider=world.provider, model=model, tier=tier, position=place)
    return stored(world)


def stored(world: World) -> list[str]:
    rows = RouteTarget.objects.filter(route=world.route).order_by("tier", "position")
    return [f"{row.tier} {row.model}" for row in rows]


def test_targets_are_ordered_by_dragging(visitor: Visitor, world: World) -> None:
    assert three_targets(world) == ["0 claude-sonnet-4-5", "0 second", "1 third"]
    page = visitor.open(reverse("admin:routing_route_change", args=[world.route.pk]))
    page.locator("#targets-2").scroll_into_view_if_needed()
    page.drag_and_drop(
        "#targets-2 .order-handle", "#targets-0", target_position={"x": 200, "y": 4}, source_position={"x": 8, "y": 10}
    )
    assert page.input_value("#id_targets-2-place") == "1"
    assert page.input_value("#id_targets-2-tier") == "0", "it stands before one of tier 0 now"
    assert page.inner_text("#targets-group [role=status]").endswith("number 1 of 3, in tier 0. Save to keep it.")
    page.click("[name=_save]")
    page.wait_for_url("**/route/")
    assert stored(world) == ["0 third", "0 claude-sonnet-4-5", "0 second"]
    assert visitor.complaints == []


def test_targets_are_ordered_by_keyboard(visitor: Visitor, world: World) -> None:
    three_targets(world)
    page = visitor.open(reverse("admin:routing_route_change", args=[world.route.pk]))
    page.focus("#targets-1 button[aria-label='Move up']")
    page.keyboard.press("Enter")
    assert page.input_value("#id_targets-1-place") == "1"
    page.keyboard.press("Enter")  # it is the first already
    assert page.input_value("#id_targets-1-place") == "1"
    page.focus("#targets-1 button[aria-label='Move down']")
    for _ in range(2):
        page.keyboard.press("Space")
    page.click("[name=_save]")
    page.wait_for_url("**/route/")
    assert stored(world) == ["0 claude-sonnet-4-5", "1 third", "1 second"]
    assert visitor.complaints == []


def test_a_new_target_is_put_first_and_another_one_taken_away_again(visitor: Visitor, world: World) -> None:
    three_targets(world)
    page = visitor.open(reverse("admin:routing_route_change", args=[world.route.pk]))
    page.click("#targets-group .add-row a")
    page.select_option("#id_targets-3-provider", str(world.provider.pk))
    page.fill("#id_targets-3-model", "fourth")
    for _ in range(3):
        page.click("#targets-3 button[aria-label='Move up']")
    page.click("#targets-group .add-row a")
    page.click("#targets-4 .inline-deletelink")
    page.click("[name=_save]")
    page.wait_for_url("**/route/")
    assert stored(world) == ["0 fourth", "0 claude-sonnet-4-5", "0 second", "1 third"]
    assert visitor.complaints == []


def test_an_import_is_looked_at_and_applied_by_hand(visitor: Visitor, world: World) -> None:
    page = visitor.open("/admin/configuration/")
    page.fill("#id_text", "version: 1\nroutes:\n- name: sonnet\n  cooldown: 77\n")
    page.click("text=Show what would change")
    page.wait_for_selector("#apply_form")
    assert "77" in page.inner_text("#changes")
    page.set_viewport_size(PHONE)
    assert visitor.overflow() <= 0
    page.click("#apply_form button")
    page.wait_for_selector("text=Imported: 1 change")
    world.route.refresh_from_db()
    assert world.route.cooldown == 77
    assert visitor.complaints == []


RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}


def violations(page: Page) -> list[str]:
    found = Axe().run(page, options=RULES).response["violations"]
    return [f"{page.url}: {each['id']}: {node['html'][:200]}" for each in found for node in each["nodes"][:3]]


@pytest.mark.parametrize("width", [1280, 360])
def test_what_is_opened_on_a_page_has_no_barriers(width: int, visitor: Visitor, world: World) -> None:
    """The pages themselves: tests/pages/test_axe_everywhere.py."""
    visitor.page.set_viewport_size({"width": width, "height": 800})
    team = reverse("admin:accounting_team_change", args=[world.team.pk])
    found = [each for tab in TABS for each in violations(visitor.open(f"{team}?tab={tab.name}"))]
    page = visitor.open("/admin/configuration/")
    page.fill("#id_text", "version: 1\nroutes:\n- name: sonnet\n  cooldown: 77\n")
    page.click("text=Show what would change")
    page.wait_for_selector("#apply_form")
    found += violations(page)
    palette_of(visitor.open("/admin/"), "platform")
    assert [*found, *violations(visitor.page)] == []
