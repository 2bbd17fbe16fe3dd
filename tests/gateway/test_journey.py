"""The whole way of a new organization, by hand in real browsers: from an empty gateway to a budget that somebody raised.

Every page is reached by a link that can be seen on the one before; what people get from elsewhere are the first
administrator's link, the invitations' and the one in a refusal. Only requests to models are sent by a program.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path

import anthropic
import pytest
from playwright.sync_api import Browser

from tests.fake_provider import Expected, FakeProvider, reply
from tests.gateway.bodies import message
from tests.gateway.person import Person
from tests.gateway.sdk_scenarios import hello
from tests.gateway.test_live_page import browser, pytestmark  # noqa: F401 - a fixture, and where it runs
from tests.harness import Config, Gateway, Template, wait_until

PASSWORD = "correct horse battery 9"
UPSTREAM_SECRET = "sk-ant-typed-into-the-console-7741"
MODEL, NAME = "claude-sonnet-4-5", "sonnet"
USAGE = {
    "input_tokens": 1200,
    "output_tokens": 340,
    "cache_read_input_tokens": 5000,
    "cache_creation_input_tokens": 800,
    "cache_creation": {"ephemeral_5m_input_tokens": 800, "ephemeral_1h_input_tokens": 0},
}
# By hand, in dollars for a million: 1200 x 3 + 800 x 3.75 + 5000 x 0.30 + 340 x 15 = 3600 + 3000 + 1500 + 5100.
COST = Decimal("0.0132")


def test_an_empty_gateway_becomes_an_organization_that_works(
    browser: Browser,  # noqa: F811
    template: Template,
    tmp_path: Path,
) -> None:
    ada, olga, mia = (Person(browser, name) for name in ("ada", "olga", "mia"))
    with upstream() as provider, Gateway(template, tmp_path, Config(), server="runserver") as gateway:
        become_the_first_administrator(ada, gateway)
        make_a_provider_and_test_it(ada, provider)
        give_its_model_a_name(ada)
        make_a_team_with_a_small_budget(ada)
        ada.follow("Members")
        ada.follow("Invite somebody")
        join(olga, invitation(ada, "owner"))
        olga.follow("Members")
        olga.follow("Invite")
        join(mia, invitation(olga, "member"))
        secret = make_a_key_without_a_mouse(mia)
        provider.expected.secrets.add(secret)
        with anthropic.Anthropic(base_url=gateway.url, api_key=secret, max_retries=0, timeout=20) as sdk:
            watch_a_request_arrive(mia, sdk)
            ask_for_more_without_a_mouse(mia, address_in_refusal(sdk))
            approve(olga)
            go_on(mia, sdk)
        gateway.wait_records(2, timeout=10, outcome="served")
        read_what_happened(olga, ada)
        the_ledger_agrees(gateway, provider)
    assert ada.complaints == olga.complaints == mia.complaints == []
    for person in (ada, olga, mia):
        person.page.context.close()


@contextmanager
def upstream() -> Iterator[FakeProvider]:
    """A provider that knows one secret, and uses the same tokens for every answer."""
    with FakeProvider(expected=Expected(credential=("x-api-key", UPSTREAM_SECRET))) as provider:
        provider.on_model(MODEL, reply(200, message(MODEL, usage=USAGE)))
        yield provider
        assert provider.violations == []


def become_the_first_administrator(ada: Person, gateway: Gateway) -> None:
    """By the link that the server printed."""
    printed = wait_until(lambda: re.search(r"http://\S+/accounts/first/\S+", gateway.errors.read_text()))
    assert printed is not None
    ada.page.goto(printed[0])
    ada.looks()
    ada.fill(email=ada.email, password=PASSWORD, again=PASSWORD)
    ada.press("Create the account and open the console")
    ada.reads("Almost there: a few steps are left")
    ada.looks()


def make_a_provider_and_test_it(ada: Person, provider: FakeProvider) -> None:
    ada.follow("Add a provider", exact=False)
    ada.fill(name="anthropic", base_url=provider.url, credential_api_key=UPSTREAM_SECRET)
    ada.page.check("[name=allow_private_addresses]")
    ada.looks()
    ada.press("Save")
    ada.reads("was added successfully")
    ada.looks()
    ada.fill(model=MODEL)
    ada.press("Test connection")
    ada.reads("The connection works")
    ada.reads("status 200")
    ada.looks()
    assert UPSTREAM_SECRET not in ada.page.content()


def give_its_model_a_name(ada: Person) -> None:
    ada.follow("Overview")
    ada.follow("Add a route", exact=False)
    ada.fill(name="main")
    ada.page.select_option("[name=targets-0-provider]", label="anthropic")
    ada.page.fill("[name=targets-0-model]", MODEL)
    ada.looks()
    ada.press("Save")
    ada.follow("Overview")
    ada.follow("Add an alias", exact=False)
    ada.fill(name=NAME)
    pick(ada, "route", "main")
    ada.looks()
    ada.press("Save")
    ada.follow("Who serves it?")
    ada.reads(f"{NAME} fits the alias {NAME}, which leads to the route main.")
    assert f"anthropic\t{MODEL}" in ada.text
    ada.looks()


def pick(person: Person, field: str, name: str) -> None:
    """Chooses a row in one of the console's searching fields."""
    person.page.click(f".field-{field} .select2-selection")
    person.page.get_by_role("option", name=name, exact=True).click()


def make_a_team_with_a_small_budget(ada: Person) -> None:
    ada.follow("Overview")
    ada.follow("Add a team", exact=False)
    ada.page.fill("#id_name", "research")
    ada.page.fill("[name=projects-0-name]", "papers")
    ada.looks()
    ada.press("Save")
    ada.follow("research")
    ada.looks()
    ada.page.get_by_label("Parts of this team").get_by_role("link", name="Budgets").click()
    ada.follow("New budget")
    ada.fill(amount="0.01")
    ada.looks()
    ada.press("Save")
    ada.reads("$0.00 of $0.01")
    ada.follow("Teams")
    ada.follow("research")


def invitation(person: Person, role: str) -> str:
    """The link that is to be handed over."""
    person.page.check(f"[name=role][value={role}]")
    person.looks()
    person.press("Invite")
    person.reads("Hand it over now")
    person.looks()
    return person.page.inner_text("#invitation-link")


def join(person: Person, link: str) -> None:
    person.page.goto(link)
    person.looks()
    person.fill(email=person.email, password=PASSWORD, again=PASSWORD)
    person.press("Make the account and join")
    person.reads("Welcome to the team research.")
    person.reads("Three steps to the first answer")
    person.looks()


def make_a_key_without_a_mouse(mia: Person) -> str:
    """From the overview to the secret, which is shown this once."""
    mia.skips_to_the_content()
    mia.enters("a[href$='/keys/new/']")
    mia.page.wait_for_url("**/keys/new/")
    mia.looks()
    mia.skips_to_the_content()
    mia.types("#id_name", "laptop")
    mia.enters("#new-key button[type=submit]")
    mia.reads("laptop is ready")
    mia.looks()
    secret = mia.page.inner_text("#secret")
    mia.enters("main a.btn[href$='/keys/1/']")
    mia.page.wait_for_url("**/keys/1/")
    assert secret not in mia.page.content()
    mia.looks()
    return secret


def watch_a_request_arrive(mia: Person, sdk: anthropic.Anthropic) -> None:
    """Its row comes by itself; its page says what it cost, and why."""
    mia.follow("Requests")
    mia.page.wait_for_selector("html[data-live=open]", state="attached")
    mia.reads("No request in this time")
    mia.looks()
    mia.page.evaluate("document.body.dataset.since = 'before'")
    answer = sdk.messages.create(model=NAME, max_tokens=64, messages=hello())
    row = mia.page.locator(f"[data-request='{answer._request_id}']")
    row.wait_for()
    assert mia.page.evaluate("document.body.dataset.since") == "before", "the page was not loaded again"
    assert "$0.0132" in row.inner_text()
    mia.looks()
    row.get_by_role("link").click()
    mia.reads("How the cost comes about")
    terms = [" ".join(each.split()) for each in mia.page.locator("table.sums tbody tr").all_inner_texts()]
    assert terms == [
        "input 1,200 $3 / million $0.0036",
        "cache write, 5 min 800 $3.75 / million $0.003",
        "cache read 5,000 $0.3 / million $0.0015",
        "output 340 $15 / million $0.0051",
        "Sum $0.0132",
    ]
    mia.looks()


def address_in_refusal(sdk: anthropic.Anthropic) -> str:
    """Where the refusal of the next request leads to."""
    with pytest.raises(anthropic.RateLimitError) as refused:
        sdk.messages.create(model=NAME, max_tokens=64, messages=hello())
    assert refused.value.status_code == 429
    error = refused.value.body["error"]  # type: ignore[index]
    assert error["type"] == "billing_error"
    found = re.search(
        r"The budget of the team research this month, \$0\.01, is used up\..* more: (\S+)$", error["message"]
    )
    assert found is not None, error["message"]
    return found[1]


def ask_for_more_without_a_mouse(mia: Person, address: str) -> None:
    """By the link in the refusal, in a browser where she is not signed in any more."""
    mia.page.get_by_label("Your account").click()
    mia.press("Sign out")
    mia.page.goto(address)
    mia.looks()
    mia.page.keyboard.type(mia.email)
    mia.types("[name=password]", PASSWORD)
    mia.page.keyboard.press("Enter")
    mia.reads("Team research: $0.01 a month")
    mia.looks()
    mia.skips_to_the_content()
    mia.types("#id_amount", "5")
    mia.types("#id_reason", "The paper is due.")
    mia.enters("#ask button[type=submit]")
    mia.reads("Your request waits for an answer.")
    mia.looks()


def approve(olga: Person) -> None:
    """What the overview points out leads to the decision."""
    olga.follow("Overview")
    olga.reads("1 request for more of a budget waits for your decision.")
    drawn = "window.Chart && Chart.getChart(document.querySelector('canvas'))"
    wait_until(lambda: olga.page.evaluate(f"!!({drawn})"), what="the chart")
    written = olga.page.evaluate(f"({drawn}).scales.y.ticks.map((tick) => tick.label)")
    assert len(set(written)) == len(written), "sums of less than a dollar are told apart"
    olga.looks()
    olga.follow("Decide")
    olga.looks()
    olga.follow("Team research")
    olga.reads("The paper is due.")
    olga.looks()
    olga.press("Approve")
    olga.reads("Approved: the budget is raised.")
    olga.looks()


def go_on(mia: Person, sdk: anthropic.Anthropic) -> None:
    """The answer stands on the request's page, and requests are served again."""
    mia.page.reload()
    mia.reads("approved")
    assert "Decided by\nolga@example.org" in mia.text
    mia.looks()

    def served() -> bool:
        try:
            return bool(sdk.messages.create(model=NAME, max_tokens=64, messages=hello()))
        except anthropic.RateLimitError:
            return False

    wait_until(served, timeout=10, what="the raised budget holds")


def read_what_happened(olga: Person, ada: Person) -> None:
    olga.follow("Activity")
    olga.reads("decided")
    assert "amount: 5\n" in olga.text
    assert "state: open → approved" in olga.text
    olga.looks()
    ada.page.get_by_label("Your account").click()
    ada.follow("Admin console")
    ada.reads("Everything is all right.")
    ada.looks()
    ada.follow("Ledger")
    assert ada.page.locator("#result_list tbody tr").count() == 2
    assert ada.page.get_by_text("$0.0132").count() == 2
    ada.looks()
    ada.follow("Audit events")
    ada.reads("mia@example.org for team research: month")
    assert UPSTREAM_SECRET not in ada.page.content()
    ada.looks()


def the_ledger_agrees(gateway: Gateway, provider: FakeProvider) -> None:
    """Two requests were served and paid; those that were refused cost nothing and reached nobody."""
    records = gateway.records()
    served = [record for record in records if record["outcome"] == "served"]
    assert [Decimal(record["cost_usd"]) for record in served] == [COST, COST]
    others = [record for record in records if record["outcome"] != "served"]
    assert others
    assert {(each["reason"], Decimal(each["cost_usd"])) for each in others} == {("budget_exceeded", Decimal(0))}
    assert {(each["team"], each["project"], each["key"], each["user"]) for each in records} == {
        ("research", "papers", "laptop", "mia@example.org")
    }
    assert len(provider.received) == 1 + len(served), "the test of the connection, and what was served"
    gateway.manage("check_ledger")
