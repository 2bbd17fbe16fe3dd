"""Keys and set-up in a real browser: a secret is shown once, copied, carried to the set-up page; nothing violates the security
policy, overflows a phone or hinders assistive technology."""

import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser
from pytest_django.live_server_helper import LiveServer

from accounting.access.secrets import is_well_formed
from accounting.models import VirtualKey
from gateway_project.crypto import keyed_hash
from tests.pages.conftest import PASSWORD, World
from tests.pages.test_browser import PHONE, Visitor, browser, world  # noqa: F401 - fixtures

pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(shutil.which("chromium") is None, reason="Chromium is not installed"),
]
KEYS = "/teams/platform/keys/"


@pytest.fixture
def member(browser: Browser, live_server: LiveServer, world: World) -> Iterator[Visitor]:  # noqa: F811
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    world.stranger.set_password(PASSWORD)
    world.stranger.save()
    visitor = Visitor(context, live_server.url)
    page = visitor.open("/accounts/login/")
    page.fill("[name=email]", world.stranger.email)
    page.fill("[name=password]", PASSWORD)
    page.click("button[type=submit]")
    page.wait_for_url("**/teams/platform/")
    yield visitor
    context.close()


def test_a_secret_is_shown_once_copied_and_gone_after_a_reload(member: Visitor, world: World) -> None:  # noqa: F811
    member.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = member.open(KEYS)
    page.click("text=New key")
    page.fill("#id_name", "laptop")
    page.click("text=Make the key")
    page.wait_for_selector("#secret")
    secret = page.inner_text("#secret")
    assert is_well_formed(secret)
    assert VirtualKey.objects.get(name="laptop").secret_hash == keyed_hash(secret)
    page.click("[data-copy='#secret']")
    assert page.evaluate("navigator.clipboard.readText()") == secret
    page.click("[data-copy='#shell']")
    assert f'ANTHROPIC_AUTH_TOKEN="{secret}"' in page.evaluate("navigator.clipboard.readText()")

    page.click("text=Set up another tool with it")
    page.wait_for_url("**/setup/")
    page.click("button:has-text('VS Code')")
    assert secret in page.inner_text("#vscode")
    assert secret not in page.url

    page.goto(f"{member.address}{KEYS}{VirtualKey.objects.get(name='laptop').pk}/secret/")
    assert secret not in page.content()
    assert "shown already" in page.content()
    assert member.complaints == []


def test_going_back_or_reloading_does_not_show_it_again(member: Visitor, world: World) -> None:  # noqa: F811
    page = member.open(f"{KEYS}new/")
    page.fill("#id_name", "laptop")
    page.click("text=Make the key")
    page.wait_for_selector("#secret")
    secret = page.inner_text("#secret")
    page.reload()
    assert secret not in page.content()
    member.open(KEYS)
    page.go_back()
    assert secret not in page.content()


def test_settings_are_checked_by_hand(member: Visitor) -> None:
    page = member.open("/teams/platform/setup/check/")
    page.fill("#id_shell", f"export ANTHROPIC_BASE_URL={member.address}/v1\nexport ANTHROPIC_AUTH_TOKEN=gw_canary")
    page.click("text=Check >> nth=-1")
    page.wait_for_selector("text=This will not work yet")
    assert "shell, line 1" in page.content()
    assert "gw_canary" not in page.content()
    assert member.complaints == []


def test_pages_fit_a_phone_and_keep_the_policy(member: Visitor, world: World) -> None:  # noqa: F811
    key = VirtualKey.objects.create(
        project=world.project, name="sams-" + "long-" * 11 + "a", prefix="gw_12345678", secret_hash="0" * 64, kind="personal",
        owner=world.stranger, allowed_models=["a-very-long-name-of-a-model-" * 6],
    )  # fmt: skip
    own = f"{KEYS}{key.pk}/"
    wide = []
    member.page.set_viewport_size(PHONE)
    paths = [KEYS, f"{KEYS}new/", own, f"{own}change/", f"{own}rotate/", f"{own}revoke/", f"{own}secret/"]
    paths += ["/teams/platform/setup/", "/teams/platform/setup/?format=bedrock", "/teams/platform/setup/check/"]
    for path in paths:
        member.open(path)
        if member.overflow() > 0:
            wide.append(f"{path}: {member.overflow()} px")
    assert wide == []
    assert member.complaints == []
