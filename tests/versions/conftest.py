"""A small configuration, the people who change it, and shorthand for changing it."""

from collections.abc import Callable

import pytest

from accounting.audit.changes import Actor, ChangeSet, changing
from routing.models import ConfigVersion, ModelAlias, Provider, Route, RouteTarget
from routing.services import save_alias, save_provider, save_route
from routing.versions.keeping import current_number

ADA = Actor("ada@example.org", "user", "203.0.113.7")
CANARY = "sk-canary-5a1d70c3e9"


def make(work: Callable[[ChangeSet], object], actor: Actor = ADA, reason: str = "") -> int:
    """Does `work` in one transaction; the number of the version it led to."""
    with changing(actor) as change:
        change.reason = reason
        work(change)
    return current_number()


def add_provider(change: ChangeSet, name: str, key: str = CANARY) -> Provider:
    provider = Provider(name=name, base_url=f"https://{name}.example.org")
    save_provider(change, provider, credential_kind="api_key", credential_values={"api_key": key})
    return provider


def first_configuration(change: ChangeSet) -> None:
    provider = add_provider(change, "main")
    route = Route(name="sonnet")
    save_route(change, route, [RouteTarget(provider=provider, model="claude-sonnet-4-5")])
    save_alias(change, ModelAlias(name="claude-sonnet-4-5", route=route))


def set_cooldown(seconds: int, route: str = "sonnet") -> Callable[[ChangeSet], None]:
    def work(change: ChangeSet) -> None:
        row = Route.objects.get(name=route)
        row.cooldown = seconds
        save_route(change, row)

    return work


def newest() -> ConfigVersion:
    version = ConfigVersion.objects.first()
    assert version is not None
    return version


@pytest.fixture
def configured(db: None) -> int:
    """The number of the version that has one of everything."""
    return make(first_configuration)
