"""Who may do what in the console beyond opening its pages, which tests/pages/test_every_address.py walks."""

from datetime import UTC, datetime

from django.contrib import admin
from django.test import Client
from django.urls import NoReverseMatch, reverse

from accounting.models import Membership
from routing.models import ConfigProposal, ConfigVersion
from tests.pages.conftest import World, signed_in


def _address(name: str, world: World) -> str:
    rows = {
        "provider": world.provider, "route": world.route, "modelalias": world.alias, "team": world.team,
        "project": world.project, "membership": world.membership, "user": world.stranger, "virtualkey": world.key,
        "apitoken": world.token, "requestrecord": world.record, "auditevent": world.event,
        "configversion": ConfigVersion.objects.first(), "configproposal": a_proposal(),
        "ledgerentry": world.line, "budget": world.budget, "ratelimit": world.rate,
    }  # fmt: skip
    for args in ((), (rows.get(name.split("_")[1] if "_" in name else ""),)):
        try:
            return reverse(f"admin:{name}", args=[row.pk for row in args if row])
        except NoReverseMatch:
            continue
    return reverse(f"admin:{name}", args=["routing"])


def a_proposal() -> ConfigProposal:
    base = ConfigVersion.objects.get()
    now = datetime.now(UTC)
    return ConfigProposal.objects.create(created_at=now, author="bob@example.org", base=base, expires_at=now)


def test_auditor_changes_nothing(world: World) -> None:
    auditor = signed_in(world.auditor)
    changing = ("routing_provider_test", "routing_configproposal_decide", "routing_configversion_rollback")
    for name in (*changing, "accounting_virtualkey_rotate", "routing_route_change"):
        assert auditor.post(_address(name, world)).status_code == 403
    assert auditor.post(reverse("admin:accounting_virtualkey_revoke"), {"ids": str(world.key.pk)}).status_code == 403
    chosen = {"action": "disable_selected", "_selected_action": [world.key.pk]}
    auditor.post(reverse("admin:accounting_virtualkey_changelist"), chosen)
    world.key.refresh_from_db()
    assert world.key.enabled
    assert world.key.revoked_at is None


def test_staff_without_a_role_sees_nothing(world: World) -> None:
    world.stranger.is_staff = True
    world.stranger.save()
    assert signed_in(world.stranger).get("/admin/", follow=True).status_code == 403


def test_autocomplete_is_closed_to_strangers(world: World) -> None:
    query = "?app_label=accounting&model_name=membership&field_name=user&term=ada"
    assert signed_in(world.stranger).get(f"/admin/autocomplete/{query}", follow=True).status_code == 403
    assert Client().get(f"/admin/autocomplete/{query}").status_code == 302


def test_history_is_read_only_for_administrators(world: World) -> None:
    console = signed_in(world.admin)
    kept = {"routing_configversion": ConfigVersion.objects.first(), "routing_configproposal": a_proposal()}
    rows = {"requestrecord": world.record, "auditevent": world.event, "ledgerentry": world.line}
    for name, row in {**{f"accounting_{table}": row for table, row in rows.items()}, **kept}.items():
        assert row is not None
        assert console.post(reverse(f"admin:{name}_change", args=[row.pk]), {"status": "500"}).status_code == 403
        assert console.post(reverse(f"admin:{name}_delete", args=[row.pk]), {"post": "yes"}).status_code == 403


def test_every_table_of_the_console_states_its_rules() -> None:
    for registered in admin.site._registry.values():
        if registered.model._meta.app_label in {"routing", "accounting"}:
            assert "AdministratorsWrite" in {base.__name__ for base in type(registered).__mro__}


def test_start_page_leads_each_person_to_their_place(world: World) -> None:
    assert signed_in(world.admin).get("/").headers["location"] == "/admin/"
    assert signed_in(world.auditor).get("/").headers["location"] == "/admin/"
    assert signed_in(world.stranger).get("/").headers["location"] == "/teams/platform/"
    Membership.objects.all().delete()
    assert b"sam@example.org" in signed_in(world.stranger).get("/").content
    assert Client().get("/").headers["location"] == "/accounts/login/?next=/"


def test_unknown_address_is_a_page_of_ours(world: World) -> None:
    response = signed_in(world.admin).get("/admin/nothing/here/")
    assert response.status_code == 404
    assert b"This page does not exist" in response.content


def test_pages_forbid_inline_code_and_other_hosts(world: World) -> None:
    policy = signed_in(world.admin).get("/admin/").headers["content-security-policy"]
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
