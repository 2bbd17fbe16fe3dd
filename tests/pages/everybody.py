"""A team with one of everything, a person and a token of every role, and those who are no members: for tests that walk
every address. They are made once for a module, inside a transaction that is taken back; what a test writes, it takes back
itself."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.test import override_settings
from django.utils import timezone
from pytest_django.plugin import DjangoDbBlocker

from accounting.access.roles import ROLES
from accounting.audit.changes import Actor, ChangeSet, changing
from accounting.models import (
    AlertDelivery,
    AlertDestination,
    AlertEvent,
    AlertRule,
    ApiToken,
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
from accounting.services import create_api_token, create_user
from tests.pages.conftest import World, make_record, make_world

TABLES = (
    AlertDestination, AlertRule, ApiToken, Budget, BudgetRequest, Invitation, Membership, Project, RateLimit, Team, User,
    VirtualKey,
)  # fmt: skip
ALIAS = "claude-sonnet-4-5"
QUICK = ["django.contrib.auth.hashers.MD5PasswordHasher"]


HOSTILE = (
    "\x00", "x" * 10_000, "<script>alert(7)</script>", "-1", "9" * 40, "NaN", "1e999", "2026-02-30", "\u202e\U0001f600", "[]",
    "9999-12-31T23:59:59",
)  # fmt: skip
_FIELD = re.compile(r'<(?:input|select|textarea)[^>]* name="([^"]+)"')


def hostile_forms(html: str, *, together: bool = True) -> Iterator[dict[str, str]]:
    """What to send to a page's forms, so that each field has each value once, beside others, and if `together` once more
    beside the same."""
    found = set(_FIELD.findall(html)) - {"csrfmiddlewaretoken"}
    fields = sorted(field for field in found if not field.endswith("_FORMS"))
    rows = {field: "1" for field in found if field.endswith("_FORMS")}  # Django would make a thousand of them
    for turn, value in enumerate(HOSTILE):
        yield {**rows, **{field: HOSTILE[(turn + place) % len(HOSTILE)] for place, field in enumerate(fields)}}
        if together:
            yield {**rows, **dict.fromkeys(fields, value)}


@dataclass(frozen=True, slots=True)
class Everything:
    """People, secrets of tokens and rows, each by a word for it."""

    world: World
    people: Mapping[str, User]
    tokens: Mapping[str, str]
    rows: Mapping[str, Any]


@contextmanager
def kept_for_a_module(blocker: DjangoDbBlocker) -> Iterator[Everything]:
    with blocker.unblock(), override_settings(PASSWORD_HASHERS=QUICK), transaction.atomic():
        yield make_everything()
        transaction.set_rollback(True)


@contextmanager
def taken_back() -> Iterator[None]:
    """What is written inside is gone afterwards."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


def state() -> list[Any]:
    """All that somebody could have changed. Sign-ins are no change, and reading is none."""
    events = AuditEvent.objects.exclude(action="looked into").count()
    rows: list[list[Any]] = [list(table.objects.order_by("pk").values()) for table in TABLES]
    for person in rows[TABLES.index(User)]:
        del person["last_login"], person["last_seen"]
    return [events, *rows]


def make_everything() -> Everything:
    world = make_world()
    Membership.objects.all().delete()
    make_record(
        request_id="req_s", session_id="s1", started_at=timezone.now(), key_prefix=world.key.prefix, alias=ALIAS
    )
    with changing(Actor("set-up", "system")) as change:
        people, tokens = _people(change, world)
        rows = _rows(change, world)
    return Everything(world, people, tokens, rows)


def _people(change: ChangeSet, world: World) -> tuple[dict[str, User], dict[str, str]]:
    people: dict[str, User] = {"administrator": world.admin, "auditor": world.auditor, "nobody": world.stranger}
    tokens = {role: _token(change, role) for role in ("administrator", "auditor")}
    elsewhere = Team(name="elsewhere")
    change.save(elsewhere)
    change.save(Project(team=elsewhere, name="theirs"))
    for role in ROLES:
        people[role] = create_user(change, f"{role}@example.org", None)
        change.save(Membership(team=world.team, user=people[role], role=role))
        tokens[role] = _token(change, role, team=world.team, team_role=role)
    people["owner elsewhere"] = create_user(change, "else@example.org", None)
    change.save(Membership(team=elsewhere, user=people["owner elsewhere"], role="owner"))
    tokens["owner elsewhere"] = _token(change, "owner elsewhere", team=elsewhere, team_role="owner")
    return people, tokens


def _token(change: ChangeSet, name: str, **of: Any) -> str:
    role = "team" if of else {"administrator": "admin"}.get(name, name)
    return create_api_token(change, f"walk-{name.replace(' ', '-')}", role=role, **of)[1].reveal()


def _rows(change: ChangeSet, world: World) -> dict[str, Any]:
    now = timezone.now()
    member = Membership(team=world.team, user=create_user(change, "other@example.org", None), role="member")
    budget = Budget(scope="project", project=world.project, period="month", amount=Decimal(5))
    wish = BudgetRequest(budget=budget, amount=Decimal(1), until=now + timedelta(days=1), reason="more")
    wish.asked_by = "member@example.org"
    rule = AlertRule(team=world.team, name="rule", kind="budget_used_up")
    destination = AlertDestination(team=world.team, name="mail", kind="mail", addresses=["a@example.org"])
    hook = AlertDestination(team=world.team, name="hook", kind="webhook", url="https://hooks.example.com/x")
    invitation = Invitation(
        team=world.team, role="member", token_hash="0" * 64, invited_by="owner@example.org",
        expires_at=now + timedelta(days=1),
    )  # fmt: skip
    rows = {
        "member": member, "budget": budget, "budget_request": wish, "alert_rule": rule, "alert_destination": destination,
        "webhook": hook, "invitation": invitation,
    }  # fmt: skip
    for row in rows.values():
        if isinstance(row, BudgetRequest):
            row.budget_id = budget.pk
        change.save(row)
    event = AlertEvent.objects.create(team="platform", rule_name="rule", kind="budget_used_up", at=now, title="t")
    AlertDelivery.objects.create(
        event=event, destination=destination.pk, destination_name="mail", message_id="m", next_at=now
    )
    found = {name: row.pk for name, row in rows.items()}
    return {**found, "key": world.key.pk, "rate_limit": world.rate.pk, "project": world.project.pk}
