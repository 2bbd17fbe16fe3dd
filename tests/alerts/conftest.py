"""A team with a key, a destination of each kind, and a rule of any kind."""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest
from pytest_django import Settings

from accounting.alerting.setting import save_destination, save_rule
from accounting.audit.changes import Actor, changing
from accounting.limits.asking import Party
from accounting.models import AlertDestination, AlertRule, Budget, Project, Team, VirtualKey
from accounting.services import create_key
from tests.accounting.conftest import (  # noqa: F401 - fixtures
    any_database,
    migrated_file,
    postgres,
    postgres_url,
    sqlite,
)
from tests.alerts.receiver import Receiver, receiver

SYSTEM = Actor("tests", "system")
ADMIN = Party("tests", admin=True)


@dataclass(slots=True)
class Office:
    team: Team
    project: Project
    key: VirtualKey
    budget: Budget
    webhook: AlertDestination
    secret: str

    def rule(self, kind: str, *, team: bool = True, **fields: Any) -> AlertRule:
        row = AlertRule(team=self.team if team else None, name=kind, kind=kind, **fields)
        row.destinations = [self.webhook.pk] if team else []
        with changing(SYSTEM) as change:
            save_rule(change, ADMIN, row)
        return row

    def mail(self, *addresses: str) -> AlertDestination:
        row = AlertDestination(team=self.team, name="people", kind="mail", addresses=list(addresses))
        with changing(SYSTEM) as change:
            save_destination(change, ADMIN, row)
        return row


@pytest.fixture
def inbox(settings: Settings) -> Iterator[Receiver]:
    settings.GATEWAY_WEBHOOK_ALLOW_PRIVATE = True
    with receiver() as found:
        yield found


def make_office(url: str) -> Office:
    with changing(SYSTEM) as change:
        team = Team(name="platform")
        change.save(team)
        project = Project(team=team, name="default")
        change.save(project)
        key, _secret = create_key(change, project, "ci")
        budget = Budget(scope="team", team=team, period="day", amount=Decimal(10), soft=[50, 80])
        change.save(budget)
        webhook = AlertDestination(team=team, name="hook", kind="webhook", url=url)
        secret = save_destination(change, ADMIN, webhook)
    assert secret is not None
    return Office(team, project, key, budget, webhook, secret.reveal())


@pytest.fixture
def office(db: None, inbox: Receiver) -> Office:
    return make_office(inbox.url)
