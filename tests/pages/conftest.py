"""People of every role, and a small configuration that has one of everything."""

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from django.core.cache import cache
from django.test import Client
from pytest_django import Settings

from accounting.audit.changes import Actor, changing
from accounting.models import (
    ApiToken,
    AuditEvent,
    Budget,
    LedgerEntry,
    Membership,
    Project,
    RateLimit,
    RequestRecord,
    Team,
    User,
    VirtualKey,
)
from accounting.services import create_admin, create_api_token, create_key, create_user
from gateway_project.console.access import auditors
from gateway_project.crypto import Secret
from routing.models import ModelAlias, Provider, Route, RouteTarget
from routing.services import save_alias, save_provider, save_route

PASSWORD = "correct horse battery 9"
PROVIDER_SECRET = "sk-canary-9f2b6d1c7a"


@dataclass(frozen=True, slots=True)
class World:
    """Everything that pages show."""

    admin: User
    auditor: User
    stranger: User
    provider: Provider
    route: Route
    alias: ModelAlias
    team: Team
    project: Project
    membership: Membership
    key: VirtualKey
    key_secret: Secret
    token: ApiToken
    token_secret: Secret
    record: RequestRecord
    event: AuditEvent
    line: LedgerEntry
    budget: Budget
    rate: RateLimit


def _auditor(user: User) -> User:
    user.is_staff = True
    user.save()
    user.groups.add(auditors())
    return user


@pytest.fixture(autouse=True)
def _empty_cache() -> None:
    cache.clear()


@pytest.fixture(autouse=True)
def _quick_passwords(settings: Settings) -> None:
    """Hashing that is slow on purpose would be most of what these tests do."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def world(db: None) -> World:
    return make_world()


def make_world() -> World:
    with changing(Actor("set-up", "system")) as change:
        admin = create_admin(change, "ada@example.org", PASSWORD)
        auditor = _auditor(create_user(change, "audrey@example.org", PASSWORD))
        stranger = create_user(change, "sam@example.org", PASSWORD)
        provider = Provider(name="main", base_url="https://api.example.com")
        values = {"api_key": PROVIDER_SECRET}
        save_provider(change, provider, credential_kind="api_key", credential_values=values)
        route = Route(name="sonnet")
        save_route(change, route, [RouteTarget(provider=provider, model="claude-sonnet-4-5", weight=3)])
        alias = ModelAlias(name="claude-sonnet-4-5", route=route)
        save_alias(change, alias)
        team = Team(name="platform")
        change.save(team)
        project = Project(team=team, name="default")
        change.save(project)
        membership = Membership(team=team, user=stranger, role="member")
        change.save(membership)
        key, key_secret = create_key(change, project, "ci")
        token, token_secret = create_api_token(change, "grafana", role="auditor")
        budget = Budget(scope="team", team=team, period="month", amount=Decimal(500), soft=[50, 80])
        change.save(budget)
        rate = RateLimit(scope="key", key=key, kind="requests_per_minute", amount=60)
        change.save(rate)
    event = AuditEvent.objects.get(object_type="route")
    return World(
        admin, auditor, stranger, provider, route, alias, team, project, membership,
        key, key_secret, token, token_secret, make_record(), event, make_line(), budget, rate,
    )  # fmt: skip


def make_record(**values: object) -> RequestRecord:
    fields: dict[str, object] = {
        "request_id": "req_1",
        "started_at": datetime.now(UTC),
        "client_format": "anthropic",
        "operation": "messages",
        "team": "platform",
        "provider": "main",
        "status": 200,
        "outcome": "served",
        "tokens_input": 1234,
        "tokens_output": 56,
        "ttft_ms": 400.0,
        "duration_ms": 1600.0,
        "attempts": [{"provider": "main", "model": "m", "status": 200, "error": "", "duration_ms": 1500.0}],
    }
    return RequestRecord.objects.create(**{**fields, **values})


def make_line(**values: object) -> LedgerEntry:
    fields: dict[str, object] = {
        "request_id": "req_1",
        "number": 0,
        "kind": "usage",
        "at": datetime.now(UTC),
        "team": "platform",
        "provider": "main",
        "model": "m",
        "tokens_input": 1234,
        "tokens_output": 56,
        "cost_usd": Decimal("0.004542"),
        "price": {"id": 1, "input": "3", "output": "15", "band": "standard", "multipliers": {"geo": "1.1"}},
    }
    return LedgerEntry.objects.create(**{**fields, **values})


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def console(world: World) -> Client:
    """An administrator's browser."""
    return signed_in(world.admin)
