"""The demo, step by step: configuration, requests, budgets, records, and what people have done meanwhile."""

from collections.abc import Container, Iterable
from dataclasses import dataclass
from datetime import datetime

import yaml

from accounting.audit.changes import Actor
from accounting.limits.loading import load_limits
from accounting.limits.terms import BudgetTerms
from accounting.money.entry import Entry
from accounting.money.store import store_records
from gateway_project.crypto import Secret
from routing.declarative import import_config
from routing.demo import alarms, budgets, organization, upstreams
from routing.demo.history import make_history
from routing.demo.operations import run_operations
from routing.demo.refusals import enforce
from routing.demo.traffic import SIZES, Size, make_traffic
from routing.quickstart import load_configuration

ACTOR = Actor("load_demo", "command")
BATCH = 500


@dataclass(frozen=True, slots=True)
class Loaded:
    """The secret of a key to try, and how many requests there are."""

    secret: Secret
    requests: int


def load_demo(address: str, now: datetime, size: Size = SIZES["full"]) -> Loaded:
    """Fills the installation, which must be empty. `address` is the server's; the quarter of requests ends `now`."""
    secret = load_configuration(address).secret
    organization.make_people(ACTOR)
    for document in (upstreams.document(address, now), organization.document(now)):
        import_config(yaml.safe_dump(document, sort_keys=False).encode(), environ={}, actor=ACTOR)
    entries = make_traffic(size, now, load_limits().rates, address)
    entries, made = _budgets(entries, now, address)
    _store(entries, alarms.reached(entries, made))
    make_history(now)
    run_operations(entries, now)
    return Loaded(secret, len(entries))


def _budgets(
    entries: list[Entry], now: datetime, address: str
) -> tuple[list[Entry], list[tuple[budgets.Plan, BudgetTerms]]]:
    """Makes the budgets; the requests as they are with them: one is used up, and what comes later is refused."""
    first = budgets.HARD_AND_USED_UP
    stored = budgets.make_budget(first, entries, now)
    entries = enforce(entries, budgets.terms_of(stored), address)
    made = [(first, stored), *((plan, budgets.make_budget(plan, entries, now)) for plan in budgets.PLANS)]
    terms = {each.id: each for each in load_limits().budgets}
    return entries, [(plan, terms[budget.pk]) for plan, budget in made]


def _store(entries: Iterable[Entry], alarming: Container[str]) -> None:
    """Stores the requests in their order; after those that reach a soft limit, it is looked at."""
    book = load_limits()
    waiting: list[Entry] = []
    for entry in entries:
        waiting.append(entry)
        alarm = entry.request_id in alarming
        if alarm or len(waiting) >= BATCH:
            store_records(waiting)
            waiting = []
        if alarm:
            alarms.look(book, entry.started_at)
    store_records(waiting)
