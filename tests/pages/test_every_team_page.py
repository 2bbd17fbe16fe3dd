"""Every address of a team, for everybody, reading and writing. A new page has to state its rules here before it is open.

What a page shows and does has tests of its own; here it is only asked who gets to it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import transaction
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils import timezone

from accounting.access.roles import ROLES, at_least
from accounting.audit.changes import Actor, changing
from accounting.models import (
    AlertDestination,
    AlertRule,
    AuditEvent,
    Budget,
    BudgetRequest,
    Invitation,
    Membership,
    Project,
    RateLimit,
    Team,
    User,
    VirtualKey,
)
from accounting.services import create_user
from tests.pages.conftest import World, make_record, make_world, signed_in

# The least role that may write there. Addresses that only read and take no POST are not named.
WRITES: Mapping[str, str] = {
    "invite": "admin", "member": "admin", "member_removal": "admin", "member_hand_over": "owner",
    "invitation_withdrawal": "admin", "team": "owner", "new_project": "admin", "project": "admin",
    "key_new": "member", "key_change": "admin", "key_rotate": "admin", "key_revoke": "admin",
    "key_switch": "admin", "key_end_old": "admin", "setup": "viewer", "setup_check": "viewer",
    "budget_new": "admin", "budget_request": "admin", "budget_request_withdraw": "member", "budget_ask": "member",
    "budget_change": "admin", "budget_delete": "admin",
    "rate_limit_new": "admin", "rate_limit_change": "admin", "rate_limit_delete": "admin",
    "alert_rule_new": "admin", "alert_rule_change": "admin", "alert_rule_delete": "admin",
    "alert_destination_new": "admin", "alert_destination_change": "admin", "alert_destination_delete": "admin",
    "alert_destination_test": "admin", "alert_destination_rotate": "admin",
    "try": "member",
}  # fmt: skip
TABLES = (
    AlertDestination, AlertRule, Budget, BudgetRequest, Invitation, Membership, Project, RateLimit, Team, VirtualKey,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Everything:
    """A team with one of everything, a person of each role, and those who are no members."""

    world: World
    people: Mapping[str, User]
    rows: Mapping[str, Any]

    def arguments(self, name: str, pattern: URLPattern) -> dict[str, Any]:
        """What stands in the address of this page."""
        known = {
            "request_id": "req_1", "session": "s1", "name": self._name(name), "pk": self.rows.get(_kind(name), 0),
        }  # fmt: skip
        return {each: known[each] for each in pattern.pattern.converters if each != "team"}

    @staticmethod
    def _name(name: str) -> str:
        return "default" if name == "project" else "claude-sonnet-4-5"


def _kind(name: str) -> str:
    for kind in ("member", "invitation", "key", "budget_request", "budget", "rate_limit", "alert_rule"):
        if name.startswith(kind):
            return kind
    return "alert_destination"


def _patterns() -> dict[str, URLPattern]:
    """The pages of a team, by their names."""
    found: dict[str, URLPattern] = {}

    def walk(resolver: URLResolver) -> None:
        for each in resolver.url_patterns:
            if isinstance(each, URLResolver):
                walk(each)
            elif str(each.pattern).startswith("teams/<str:team>"):
                found[str(each.name)] = each

    walk(get_resolver())
    return found


PATTERNS = _patterns()


@pytest.fixture
def everything(db: None) -> Everything:
    world = make_world()
    now = timezone.now()
    Membership.objects.all().delete()
    make_record(request_id="req_s", session_id="s1", started_at=now)
    people: dict[str, User] = {"administrator": world.admin, "auditor": world.auditor, "nobody": world.stranger}
    with changing(Actor("set-up", "system")) as change:
        elsewhere = Team(name="elsewhere")
        change.save(elsewhere)
        for role in ROLES:
            people[role] = create_user(change, f"{role}@example.org", None)
            change.save(Membership(team=world.team, user=people[role], role=role))
        people["owner elsewhere"] = create_user(change, "else@example.org", None)
        change.save(Membership(team=elsewhere, user=people["owner elsewhere"], role="owner"))
        other = create_user(change, "other@example.org", None)
        member = Membership(team=world.team, user=other, role="member")
        change.save(member)
        budget = Budget(scope="project", project=world.project, period="month", amount=Decimal(5))
        change.save(budget)
        wish = BudgetRequest(budget=budget, amount=Decimal(1), until=now + timedelta(days=1), reason="more")
        wish.asked_by = "member@example.org"
        change.save(wish)
        rule = AlertRule(team=world.team, name="rule", kind="budget_used_up")
        change.save(rule)
        destination = AlertDestination(team=world.team, name="mail", kind="mail", addresses=["a@example.org"])
        change.save(destination)
        invitation = Invitation(
            team=world.team, role="member", token_hash="0" * 64, invited_by="owner@example.org",
            expires_at=now + timedelta(days=1),
        )  # fmt: skip
        change.save(invitation)
    rows = {
        "member": member.pk, "invitation": invitation.pk, "key": world.key.pk, "budget_request": wish.pk,
        "budget": budget.pk, "rate_limit": world.rate.pk, "alert_rule": rule.pk, "alert_destination": destination.pk,
    }  # fmt: skip
    return Everything(world, people, rows)


def _state() -> list[Any]:
    events = AuditEvent.objects.exclude(action="looked into").count()
    return [events, *(list(table.objects.order_by("pk").values()) for table in TABLES)]


def _address(name: str, everything: Everything, team: str = "platform") -> str:
    pattern, arguments = PATTERNS[name], everything.arguments(name, PATTERNS[name])
    text = "/" + str(pattern.pattern).replace("<str:team>", team)
    for argument, value in arguments.items():
        for converter in ("str", "int", "path"):
            text = text.replace(f"<{converter}:{argument}>", str(value))
    assert "<" not in text, text
    return text


def test_there_are_pages_to_check() -> None:
    assert len(PATTERNS) > 50


@pytest.mark.parametrize("name", sorted(PATTERNS))
def test_every_page_states_who_may_open_it(name: str) -> None:
    least, methods = PATTERNS[name].callback.access  # type: ignore[attr-defined]
    assert least in ROLES
    assert ("POST" in methods) == (name in WRITES), "state who may write there in WRITES"


@pytest.mark.parametrize("name", sorted(PATTERNS))
def test_reading(name: str, everything: Everything) -> None:
    least, methods = PATTERNS[name].callback.access  # type: ignore[attr-defined]
    address = _address(name, everything)
    assert Client().get(address).headers["location"].startswith("/accounts/login/")
    if "GET" not in methods:
        assert signed_in(everything.people["owner"]).get(address).status_code == 405
        return
    for who in ("nobody", "owner elsewhere"):
        answer = signed_in(everything.people[who]).get(address)
        assert answer.status_code == 404, who
        assert b"platform" not in answer.content.replace(address.encode(), b""), who
    inside = signed_in(everything.people["owner elsewhere"]).get(_address(name, everything, team="elsewhere"))
    if everything.arguments(name, PATTERNS[name]):
        assert name in ("session", "model") or inside.status_code == 404, "a row of another team, by one's own"
    standings = {**{role: role for role in ROLES}, "auditor": "viewer", "administrator": "owner"}
    for who, role in standings.items():
        status = signed_in(everything.people[who]).get(address).status_code
        if at_least(role, least):
            assert status in (200, 302, 403, 404, 410), (who, status)
            assert role != "owner" or who != "owner" or status in (200, 302, 404), (who, status)
        else:
            assert status == 403, (who, status)


@pytest.mark.parametrize("name", sorted(WRITES))
def test_writing(name: str, everything: Everything) -> None:
    """A form without a value: whoever may not write is told so before anything is looked at, and nothing has changed."""
    address, least = _address(name, everything), WRITES[name]
    before = _state()
    for who in ("nobody", "owner elsewhere"):
        assert signed_in(everything.people[who]).post(address).status_code == 404, who
    inside = _address(name, everything, team="elsewhere")
    signed_in(everything.people["owner elsewhere"]).post(inside)
    standings = {**{role: role for role in ROLES}, "auditor": "viewer"}
    for who, role in standings.items():
        if not at_least(role, least):
            status = signed_in(everything.people[who]).post(address).status_code
            assert status in (403, 404), (who, status)
    assert _state() == before
    if name == "try":
        return  # sends a request, which takes a running gateway
    for who in ("owner", "administrator"):
        assert signed_in(everything.people[who]).post(address).status_code < 500, who


HOSTILE = (
    "\x00", "x" * 10_000, "<script>alert(7)</script>", "-1", "9" * 40, "NaN", "1e999", "2026-02-30", "\u202e\U0001f600", "[]",
)  # fmt: skip


@pytest.mark.parametrize("name", sorted(set(WRITES) - {"try"}))
def test_what_no_form_expects(name: str, everything: Everything) -> None:
    """Each field alone and all together: never a failure of the server, and never shown as anything but text."""
    owner = signed_in(everything.people["administrator"])
    address = _address(name, everything)
    page = owner.get(address)
    html = page.content.decode() if page.status_code == 200 else ""
    fields = sorted(set(re.findall(r'<(?:input|select|textarea)[^>]* name="([^"]+)"', html)) - {"csrfmiddlewaretoken"})
    for value in HOSTILE:
        for chosen in ([*fields], *([field] for field in fields)):
            with transaction.atomic():
                answer = owner.post(address, dict.fromkeys(chosen, value))
                transaction.set_rollback(True)
            assert answer.status_code < 500, (chosen, value[:20])
            assert b"<script>alert(7)" not in answer.content, chosen


@pytest.mark.parametrize("name", sorted(set(PATTERNS) - set(WRITES)))
def test_what_only_reads_takes_nothing_else(name: str, everything: Everything) -> None:
    owner = signed_in(everything.people["owner"])
    for method in ("post", "put", "patch", "delete"):
        assert getattr(owner, method)(_address(name, everything)).status_code == 405, method
