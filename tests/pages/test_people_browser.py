"""Somebody is invited and joins, in a real browser; the pages of people violate no policy and fit a phone."""

import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext
from pytest_django.live_server_helper import LiveServer

from accounting.audit.changes import Actor, changing
from accounting.invitations import Terms, invite
from accounting.limits.asking import Party
from accounting.models import Membership
from accounting.services import create_key, create_user
from tests.pages.conftest import PASSWORD, World, make_world
from tests.pages.test_browser import PHONE, Visitor
from tests.pages.test_browser import browser as browser  # the fixture

pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(shutil.which("chromium") is None, reason="Chromium is not installed"),
]


@pytest.fixture
def world(transactional_db: None) -> World:
    made = make_world()
    with changing(Actor("tests", "system")) as change:
        olga = create_user(change, "olga@example.org", PASSWORD)
        change.save(Membership(team=made.team, user=olga, role="owner"))
        create_key(change, made.project, "laptop", kind="personal", owner=made.stranger)
    return made


@pytest.fixture
def contexts(browser: Browser) -> Iterator[list[BrowserContext]]:
    opened: list[BrowserContext] = []
    yield opened
    for context in opened:
        context.close()


def owner_of(browser: Browser, server: LiveServer, contexts: list[BrowserContext], **options: object) -> Visitor:
    context = browser.new_context(**options)  # type: ignore[arg-type]
    contexts.append(context)
    visitor = Visitor(context, server.url)
    page = visitor.open("/accounts/login/")
    page.fill("[name=email]", "olga@example.org")
    page.fill("[name=password]", PASSWORD)
    page.click("button.button")
    page.wait_for_url("**/teams/platform/")
    return visitor


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without scripts"])
def test_an_invitation_is_made_handed_over_and_accepted(
    scripts: bool, browser: Browser, live_server: LiveServer, world: World, contexts: list[BrowserContext]
) -> None:
    owner = owner_of(browser, live_server, contexts, java_script_enabled=scripts)
    page = owner.open("/teams/platform/members/")
    page.click("text=Invite")
    page.check("[name=role][value=viewer]")
    page.click("main button.primary")
    link = page.inner_text("#invitation-link")

    guests = browser.new_context(viewport=PHONE, java_script_enabled=scripts)
    contexts.append(guests)
    guest = Visitor(guests, live_server.url)
    page = guest.open(link.removeprefix(live_server.url))
    assert guest.overflow() <= 0 if scripts else True
    page.fill("[name=email]", "nora@example.org")
    page.fill("[name=password]", PASSWORD)
    page.fill("[name=again]", PASSWORD)
    page.click("button.button")
    page.wait_for_url("**/teams/platform/")
    assert Membership.objects.get(user__email="nora@example.org").role == "viewer"
    page.goto(link)
    assert "You belong to this team" in page.inner_text("main")

    listed = owner.open("/teams/platform/members/").inner_text("main")
    assert "nora@example.org" in listed
    assert "Nobody is invited at the moment" in listed
    assert owner.complaints == guest.complaints == []


def test_pages_of_people_fit_a_phone_and_violate_no_policy(
    browser: Browser, live_server: LiveServer, world: World, contexts: list[BrowserContext]
) -> None:
    owner = owner_of(browser, live_server, contexts, viewport=PHONE)
    member = Membership.objects.get(user=world.stranger)
    team = "/teams/platform"
    with changing(Actor("tests", "system")) as change:
        _, token = invite(change, Party("root@example.org", admin=True), world.team, Terms("member"))
    wide = []
    for path in (
        f"{team}/members/", f"{team}/members/invite/", f"{team}/members/{member.pk}/", f"{team}/settings/",
        f"{team}/projects/", f"{team}/projects/default/", f"{team}/new-project/", f"{team}/activity/", "/profile/",
        f"/invitations/{token.reveal()}/",
    ):  # fmt: skip
        owner.open(path)
        if owner.overflow() > 0:
            wide.append(f"{path}: {owner.overflow()} px")
    assert wide == []
    assert owner.complaints == []


def test_what_cannot_be_undone_asks_first(
    browser: Browser, live_server: LiveServer, world: World, contexts: list[BrowserContext]
) -> None:
    owner = owner_of(browser, live_server, contexts)
    member = Membership.objects.get(user=world.stranger)
    page = owner.open(f"/teams/platform/members/{member.pk}/")
    page.once("dialog", lambda dialog: dialog.dismiss())
    page.click("text=Remove from the team >> visible=true >> nth=-1")
    assert Membership.objects.filter(pk=member.pk).exists()
    page.once("dialog", lambda dialog: dialog.accept())
    page.click("text=Remove from the team >> visible=true >> nth=-1")
    page.wait_for_url("**/members/")
    assert not Membership.objects.filter(pk=member.pk).exists()
    assert owner.complaints == []
