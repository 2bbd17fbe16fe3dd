"""Keys and tokens in the console: shown once, disabled, rotated, revoked, never deleted; no secret on any other page."""

import re

import pytest
from django.contrib.sessions.models import Session
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from accounting.access.secrets import is_well_formed
from accounting.models import ApiToken, AuditEvent, VirtualKey
from gateway_project.crypto import keyed_hash
from tests.pages.conftest import PROVIDER_SECRET, World, signed_in

KEY = re.compile(r"gw_[0-9A-Za-z]{8}_[0-9A-Za-z]{46}")
TOKEN = re.compile(r"gwt_[0-9A-Za-z]{8}_[0-9A-Za-z]{46}")


def new_key(console: Client, world: World, **values: str) -> str:
    """Creates a key in the console and returns the address of the page that shows its secret."""
    fields = {"project": str(world.project.pk), "name": "laptop", "kind": "service", "allowed_models": "*", **values}
    response = console.post(reverse("admin:accounting_virtualkey_add"), fields)
    assert response.status_code == 302, response.content.decode()
    return response.headers["location"]


def test_new_key_is_shown_once_with_lines_to_paste(world: World, console: Client) -> None:
    address = new_key(console, world)
    page = console.get(address)
    secret = KEY.findall(page.content.decode())[0]
    assert is_well_formed(secret)
    assert VirtualKey.objects.get(name="laptop").secret_hash == keyed_hash(secret)
    assert "ANTHROPIC_AUTH_TOKEN" in page.content.decode()
    assert "http://testserver/v1/messages" in page.content.decode()
    assert "claude-sonnet-4-5" in page.content.decode()
    assert "no-store" in page.headers["cache-control"]

    again = console.get(address).content.decode()
    assert not KEY.search(again)
    assert "shown already" in again


def test_shown_secret_is_nowhere_else(world: World, console: Client) -> None:
    address = new_key(console, world)
    stored = [session.get_decoded() for session in Session.objects.all()]
    secret = KEY.findall(console.get(address).content.decode())[0]
    assert secret not in str(stored)
    assert secret not in str(list(AuditEvent.objects.values()))
    assert keyed_hash(secret) not in str(list(AuditEvent.objects.values()))


def test_another_session_is_not_shown_the_secret(world: World, console: Client) -> None:
    address = new_key(console, world)
    assert not KEY.search(signed_in(world.admin).get(address).content.decode())
    assert signed_in(world.auditor).get(address).status_code == 403


def test_snippets_use_the_public_address(world: World, console: Client, settings: Settings) -> None:
    settings.GATEWAY_PUBLIC_URL = "https://llm.example.org"
    page = console.get(new_key(console, world)).content.decode()
    assert "https://llm.example.org/v1/messages" in page


def test_new_secret_replaces_the_old_one(world: World, console: Client) -> None:
    address = reverse("admin:accounting_virtualkey_rotate", args=[world.key.pk])
    assert b"Make a new secret" in console.get(address).content
    shown = console.get(console.post(address).headers["location"]).content.decode()
    key = VirtualKey.objects.get(pk=world.key.pk)
    assert key.secret_hash == keyed_hash(KEY.findall(shown)[0])
    assert key.secret_hash != keyed_hash(world.key_secret.reveal())
    assert AuditEvent.objects.filter(object_type="virtualkey", action="rotated").exists()


def test_revoking_asks_first_and_is_for_good(world: World, console: Client) -> None:
    listed = reverse("admin:accounting_virtualkey_changelist")
    asked = console.post(listed, {"action": "revoke_selected", "_selected_action": [world.key.pk]}, follow=True)
    assert "cannot be undone" in asked.content.decode()
    assert VirtualKey.objects.get(pk=world.key.pk).revoked_at is None
    console.post(reverse("admin:accounting_virtualkey_revoke"), {"ids": str(world.key.pk)})
    assert VirtualKey.objects.get(pk=world.key.pk).revoked_at
    assert AuditEvent.objects.filter(object_type="virtualkey", action="revoked").exists()
    rotate = reverse("admin:accounting_virtualkey_rotate", args=[world.key.pk])
    console.post(rotate)
    assert VirtualKey.objects.get(pk=world.key.pk).secret_hash == keyed_hash(world.key_secret.reveal())
    change = reverse("admin:accounting_virtualkey_change", args=[world.key.pk])
    assert console.post(change, {"name": "x"}).status_code == 403


def test_keys_are_disabled_and_enabled_together(world: World, console: Client) -> None:
    listed = reverse("admin:accounting_virtualkey_changelist")
    for action, enabled in (("disable_selected", False), ("enable_selected", True)):
        console.post(listed, {"action": action, "_selected_action": [world.key.pk]})
        assert VirtualKey.objects.get(pk=world.key.pk).enabled is enabled
    actions = AuditEvent.objects.filter(object_type="virtualkey").order_by("id").values_list("action", flat=True)
    assert list(actions) == ["created", "disabled", "enabled"]


def test_personal_key_needs_an_owner(world: World, console: Client) -> None:
    fields = {"project": world.project.pk, "name": "mine", "kind": "personal", "allowed_models": "*"}
    page = console.post(reverse("admin:accounting_virtualkey_add"), fields)
    assert "needs an owner" in page.content.decode()


def test_new_token_is_shown_once_and_revoked(world: World, console: Client) -> None:
    response = console.post(reverse("admin:accounting_apitoken_add"), {"name": "ops", "role": "admin"})
    shown = console.get(response.headers["location"]).content.decode()
    token = ApiToken.objects.get(name="ops")
    assert token.secret_hash == keyed_hash(TOKEN.findall(shown)[0])
    assert not TOKEN.search(console.get(response.headers["location"]).content.decode())
    rotate = reverse("admin:accounting_apitoken_rotate", args=[token.pk])
    shown = console.get(console.post(rotate).headers["location"]).content.decode()
    token.refresh_from_db()
    assert token.secret_hash == keyed_hash(TOKEN.findall(shown)[0])
    console.post(reverse("admin:accounting_apitoken_revoke"), {"ids": str(token.pk)})
    assert ApiToken.objects.get(name="ops").revoked_at


@pytest.mark.parametrize("who", ["admin", "auditor"])
def test_no_page_shows_a_secret_or_a_hash(who: str, world: World) -> None:
    client = signed_in(getattr(world, who))
    secrets = [PROVIDER_SECRET, world.key_secret.reveal(), world.token_secret.reveal()]
    secrets += [world.key.secret_hash, world.token.secret_hash, world.admin.password]
    rows = {
        "routing_provider": world.provider, "routing_route": world.route, "accounting_virtualkey": world.key,
        "accounting_apitoken": world.token, "accounting_user": world.admin, "accounting_team": world.team,
        "accounting_auditevent": world.event,
    }  # fmt: skip
    addresses = ["/admin/"]
    for model, row in rows.items():
        addresses += [reverse(f"admin:{model}_changelist"), reverse(f"admin:{model}_change", args=[row.pk])]
    for address in addresses:
        page = client.get(address)
        assert page.status_code == 200
        assert not [secret for secret in secrets if secret in page.content.decode()], address
