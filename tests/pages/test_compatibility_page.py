"""The page of the compatibility registry: one list of rules, decisions by one click, read-only for auditors."""

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from playwright.sync_api import sync_playwright
from pytest_django.live_server_helper import LiveServer

from accounting.audit.changes import Actor, changing
from routing.compatibility import store_observations
from routing.formats.compat_rules import SHIPPED
from routing.models import CompatibilityRule, CompatibilitySuggestion
from routing.observations import OTHERS, Batch, Seen, Value
from tests.pages.conftest import PASSWORD, World, make_world, signed_in
from tests.pages.page_form import fields_of
from tests.pages.test_browser import PHONE, SWITCHES, Visitor

pytestmark = pytest.mark.django_db

LIST = "/admin/routing/compatibilityrule/"
ADD = f"{LIST}add/"
SUGGESTION = f"{LIST}suggestion/"
UNNAMED = f"{LIST}unnamed/"
MODEL = "us.anthropic.claude-opus-5-5"
HOSTILE = "<script>alert(1)</script>"


def saved(**fields: object) -> CompatibilityRule:
    rule = CompatibilityRule(
        **{"kind": "beta", "name": "x-1", "upstream_format": "bedrock", "action": "drop", **fields}
    )
    with changing(Actor("set-up", "system")) as change:
        change.save(rule)
    return rule


def seen(count: int, words: str = "") -> Seen:
    now = datetime.now(UTC)
    return Seen(count, now, now, words)


def observe() -> CompatibilitySuggestion:
    """One of everything that the gateway can have seen."""
    removed = {
        Value("beta", "claude-code-20250219", "bedrock", MODEL): seen(1412),
        Value("beta", "brand-new-2026-12-01", "bedrock", MODEL): seen(31),
        Value("beta", "brand-new-2026-12-01", "bedrock", "another"): seen(2),
        Value("beta", f"{HOSTILE}-{'x' * 120}", "vertex", MODEL): seen(1),
        Value("field", "output_format", "bedrock", MODEL): seen(1),
        Value("beta", OTHERS, "vertex", ""): seen(5),
    }
    words = f"invalid beta flag {HOSTILE} {'w' * 300}"
    refused = {Value("beta", "context-1m-2025-08-07", "bedrock", MODEL): seen(3, words)}
    store_observations(Batch(removed, refused))
    return CompatibilitySuggestion.objects.get()


def page_of(client: Client, **query: str) -> str:
    return client.get(LIST, query).content.decode()


def row_of(page: str, mark: str) -> str:
    """The one row of the list with this mark."""
    found = [row for row in page.split("<tr ")[1:] if mark in row]
    assert len(found) == 1, f"{len(found)} rows with {mark}"
    return found[0].split("</tr>")[0]


def test_shipped_and_own_rules_stand_in_one_list(console: Client) -> None:
    saved(name="claude-code-20250219", action="pass", note="ours")
    page = page_of(console)
    assert page.count("<tr ") == len(SHIPPED) + 1
    narrow = page_of(console, q="claude-code", upstream="bedrock")
    assert "your rule" in row_of(narrow, "ours")
    assert "overridden" in row_of(narrow, "Claude Code never puts it")
    assert "shipped" in row_of(page_of(console, q="claude-code", upstream="vertex"), "claude-code")


def test_a_rule_for_some_models_leaves_the_shipped_one_at_work(console: Client) -> None:
    saved(name="computer-use-*", action="pass", model="*opus*")
    page = page_of(console, q="computer-use", upstream="bedrock", whose="shipped", kind="beta")
    assert "overridden for some models" in row_of(page, "computer-use")


@pytest.mark.parametrize(
    ("query", "some", "none"),
    [
        ({"kind": "field"}, "output_config.effort", "claude-code-20250219"),
        ({"upstream": "anthropic"}, "tool-search-tool-2025-10-19", "claude-code-20250219"),
        ({"action": "refuse"}, "safeguards", "claude-code-20250219"),
        ({"whose": "own"}, "x-1", "claude-code-20250219"),
        ({"whose": "seen"}, "claude-code-20250219", "safeguards"),
        ({"q": "SAFEGUARDS bedrock-nothing"}, "No rule fits", "claude-code-20250219"),
        ({"q": "older models system"}, "messages[].role=system", "claude-code-20250219"),
        ({"kind": "nonsense", "page": "x" * 3000}, "No rule fits", "safeguards"),
    ],
)
def test_the_list_is_narrowed(console: Client, query: dict[str, str], some: str, none: str) -> None:
    saved()
    store_observations(Batch({Value("beta", "claude-code-20250219", "bedrock", MODEL): seen(1)}))
    listed = page_of(console, **query).split('id="changelist"')[1]
    assert some in listed
    assert f">{none}<" not in listed


def test_what_was_left_out_is_counted_beside_its_rule(console: Client) -> None:
    observe()
    assert "1,412" in row_of(page_of(console, q="claude-code", upstream="bedrock"), "claude-code-20250219")
    saved(name="claude-code-*", action="pass")
    assert "1,412" in row_of(page_of(console, q="claude-code", upstream="bedrock", whose="shipped"), "claude-code")


def test_what_no_rule_names_is_shown_with_its_sum_and_let_pass(console: Client) -> None:
    observe()
    card = page_of(console).split('id="unnamed"')[1].split("</section>")[0]
    assert "33 times" in card
    assert "left out with its beta" in card
    assert "too many to tell apart" in card
    assert card.count(">Let it pass</button>") == 2, "nothing but betas can be let pass"
    values = {"name": "brand-new-2026-12-01", "upstream_format": "bedrock", "action": "pass"}
    page = console.post(UNNAMED, values, follow=True).content.decode()
    assert "From now on brand-new-2026-12-01 passes on the way to Bedrock" in page
    assert "brand-new" not in page.split('id="unnamed"')[1].split("</section>")[0]
    assert CompatibilityRule.objects.get().action == "pass"


def test_a_suggestion_is_accepted_and_leaves_the_overview(console: Client) -> None:
    suggestion = observe()
    assert "An upstream refused the beta context-1m-2025-08-07" in console.get("/admin/").content.decode()
    page = console.post(SUGGESTION, {"suggestion": suggestion.pk, "decision": "accept"}, follow=True).content.decode()
    assert f"From now on context-1m-2025-08-07 is left out for {MODEL}" in page
    assert CompatibilityRule.objects.get().model == MODEL
    assert "An upstream refused" not in console.get("/admin/").content.decode()
    again = console.post(SUGGESTION, {"suggestion": suggestion.pk, "decision": "dismiss"}, follow=True)
    assert "accepted already" in again.content.decode()


def test_a_dismissed_suggestion_can_be_accepted_after_all(console: Client) -> None:
    suggestion = observe()
    page = console.post(SUGGESTION, {"suggestion": suggestion.pk, "decision": "dismiss"}, follow=True).content.decode()
    assert "Dismissed: context-1m-2025-08-07 goes on as it did." in page
    assert "Leave it out after all" in page
    assert not CompatibilityRule.objects.exists()
    console.post(SUGGESTION, {"suggestion": suggestion.pk, "decision": "accept"})
    assert CompatibilityRule.objects.exists()


@pytest.mark.parametrize("number", ["", "x", "-1", "9" * 30, "²", "999"])
def test_a_suggestion_that_is_not_there_is_no_error(console: Client, number: str) -> None:
    assert console.post(SUGGESTION, {"suggestion": number, "decision": "accept"}, follow=True).status_code == 200


def test_a_decision_without_sense_is_refused_with_a_sentence(console: Client) -> None:
    page = console.post(UNNAMED, {"name": "a b", "upstream_format": "bedrock", "action": "pass"}, follow=True)
    assert "No spaces and no control characters" in page.content.decode()
    for action in ("", "refuse"):
        page = console.post(UNNAMED, {"name": "a", "upstream_format": "bedrock", "action": action}, follow=True)
        assert "Choose a beta of the list" in page.content.decode()
    assert not CompatibilityRule.objects.exists()


def test_override_opens_a_rule_that_begins_as_the_shipped_one(console: Client) -> None:
    row = row_of(page_of(console, q="fast-mode", upstream="bedrock"), "fast-mode-2026-02-01")
    address = row.split('href="')[1].split('"')[0].replace("&amp;", "&")
    page = console.get(address).content
    assert b"Overrides what ships with the gateway: drop with speed." in page
    fields = fields_of(page, "compatibilityrule_form")
    expected = {"kind": "beta", "name": "fast-mode-2026-02-01", "upstream_format": "bedrock", "action": "drop"}
    assert fields.items() >= {**expected, "model": "*", "pair": "speed"}.items()
    console.post(ADD, {**fields, "action": "pass", "pair": ""})
    rule = CompatibilityRule.objects.get()
    assert (rule.action, rule.pair) == ("pass", [])


def test_a_second_equal_rule_and_a_nonsense_one_are_refused_in_the_form(console: Client) -> None:
    saved()
    fields = fields_of(console.get(ADD).content, "compatibilityrule_form")
    page = console.post(ADD, {**fields, "name": "x-1", "upstream_format": "bedrock"})
    assert b"There is a rule for this name, upstream and models already" in page.content
    page = console.post(ADD, {**fields, "name": "y-1", "action": "rename", "replacement": ""})
    assert b"A rule that renames says to what." in page.content
    page = console.post(ADD, {**fields, "name": "y-1", "date": "soon"})
    assert b"Enter a valid date" in page.content
    assert CompatibilityRule.objects.count() == 1


def test_auditors_read_and_strangers_do_not(world: World) -> None:
    suggestion = observe()
    rule = saved()
    auditor = signed_in(world.auditor)
    page = page_of(auditor)
    assert "context-1m-2025-08-07" in page
    for button in (">Let it pass<", ">Leave it out<", ">Override<", ">New rule<"):
        assert button not in page
        assert button in page_of(signed_in(world.admin))
    assert auditor.get(f"{LIST}{rule.pk}/change/").status_code == 200
    for client, status in ((auditor, 403), (signed_in(world.stranger), 302), (Client(), 302)):
        posts = {
            SUGGESTION: {"suggestion": suggestion.pk, "decision": "accept"},
            UNNAMED: {"name": "a", "upstream_format": "bedrock", "action": "pass"},
            ADD: {"name": "a"},
            f"{LIST}{rule.pk}/change/": {"name": "a"},
            f"{LIST}{rule.pk}/delete/": {"post": "yes"},
        }
        for address, values in posts.items():
            assert client.post(address, values).status_code == status, address
    assert signed_in(world.stranger).get(LIST, follow=True).status_code == 403
    suggestion.refresh_from_db()
    assert (suggestion.state, CompatibilityRule.objects.count()) == ("open", 1)


def test_nothing_that_clients_or_upstreams_say_becomes_markup(console: Client) -> None:
    observe()
    saved(name="x-2", note=HOSTILE)
    assert HOSTILE not in page_of(console)
    assert HOSTILE not in page_of(console, q=HOSTILE)


def test_the_number_of_queries_does_not_grow(console: Client) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            page_of(console)
        return len(captured)

    observe()
    before = queries()
    for number in range(5):
        saved(name=f"y-{number}")
        store_observations(Batch({Value("beta", f"z-{number}", "bedrock", MODEL): seen(1)}))
    assert queries() == before


@pytest.mark.browser
@pytest.mark.skipif(shutil.which("chromium") is None, reason="Chromium is not installed")
class TestInABrowser:
    pytestmark = pytest.mark.django_db(transaction=True)

    @pytest.fixture
    def visitor(self, live_server: LiveServer, transactional_db: None) -> Iterator[Visitor]:
        world = make_world()
        with pytest.MonkeyPatch.context() as patch, sync_playwright() as playwright:
            patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
            chromium = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=SWITCHES)
            visitor = Visitor(chromium.new_context(viewport=PHONE), live_server.url)
            page = visitor.open(LIST)
            page.fill("[name=email]", world.admin.email)
            page.fill("[name=password]", PASSWORD)
            page.click("button.button")
            page.wait_for_url(f"**{LIST}")
            yield visitor
            chromium.close()

    def test_a_phone_shows_and_decides_everything(self, visitor: Visitor) -> None:
        observe()
        rule = saved(name="x" * 120, note="n" * 300, model="m" * 200)
        change = reverse("admin:routing_compatibilityrule_change", args=[rule.pk])
        for path in (LIST, f"{LIST}?q=nothing-fits", ADD, change, "/admin/"):
            visitor.open(path)
            assert visitor.overflow() <= 0, path
        page = visitor.open(LIST)
        page.click("button:has-text('Leave it out')")
        page.wait_for_selector(".messagelist .success:has-text('is left out')")
        page.click("button:has-text('Let it pass')")
        page.wait_for_selector(".messagelist .success:has-text('passes on the way')")
        assert CompatibilityRule.objects.count() == 3
        assert visitor.complaints == []
