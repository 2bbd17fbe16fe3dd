"""A team with somebody of every role, and what its pages about limits and alerts show."""

import time
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.test import Client

from accounting.audit.changes import Actor, changing
from accounting.models import Budget, Membership, Project, Team, User, VirtualKey
from accounting.money.entry import Entry, Line
from accounting.money.store import store_records
from accounting.services import create_key, create_user
from tests.pages.conftest import World, signed_in

SYSTEM = Actor("tests", "system")


@dataclass(frozen=True, slots=True)
class TeamWorld:
    """The team `platform` of `World`, in which sam is a member; `eve` leads another team."""

    world: World
    people: dict[str, User]
    budgets: dict[str, Budget]
    other_key: VirtualKey

    def as_(self, who: str) -> Client:
        return signed_in(self.people[who])


def add_people(world: World) -> TeamWorld:
    people = {"sam": world.stranger, "ada": world.admin, "audrey": world.auditor}
    with changing(SYSTEM) as change:
        other = Team(name="other")
        change.save(other)
        roles = (("olga", "owner"), ("adam", "admin"), ("vic", "viewer"), ("eve", "owner"), ("nina", ""))
        for name, role in roles:
            people[name] = create_user(change, f"{name}@example.org")
            if role:
                team = other if name == "eve" else world.team
                change.save(Membership(team=team, user=people[name], role=role))
        project = Project(team=other, name="default")
        change.save(project)
        other_key, _secret = create_key(change, project, "theirs")
        budgets = {"team": world.budget}
        rows: dict[str, dict[str, Any]] = {
            "organization": {"scope": "organization"},
            "project": {"scope": "project", "project": world.project, "model": "claude-opus-*", "soft": [80]},
            "key": {"scope": "key", "key": world.key, "tag": "a=b", "period": "total"},
            "user": {"scope": "user", "user": people["sam"]},
            "other": {"scope": "key", "key": other_key},
        }
        for name, fields in rows.items():
            budgets[name] = Budget(**{"period": "day", "amount": Decimal(100), **fields})
            change.save(budgets[name])
    return TeamWorld(world, people, budgets, other_key)


def spend(dollars: str, name: str = "req_spent") -> None:
    """A served request of the team that cost this, in records, ledger and sums."""
    cost = Decimal(dollars)
    line = Line(0, "usage", 0, "main", "claude-a", cost_usd=cost)
    entry = Entry(name, time.time(), team="platform", project="default", key="ci", lines=[line], cost_usd=cost)
    entry.alias, entry.provider, entry.outcome, entry.status = "sonnet", "main", "served", 200
    store_records([entry])
