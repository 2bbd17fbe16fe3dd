"""Applies budgets and rate limits: the organization's, those of teams, projects, users and keys."""

from collections.abc import Iterable
from functools import partial
from typing import Any

from accounting.limits.terms import RATE_KINDS
from accounting.models import Budget, OrganizationSettings, Project, RateLimit, Team, User, VirtualKey
from accounting.services import person
from routing.declarative.problems import Path, Problem
from routing.declarative.schema import Item
from routing.declarative.writing import Import, assign

Owner = Team | Project | User | VirtualKey
_SCOPES = {Team: "team", Project: "project", User: "user", VirtualKey: "key"}
_RAISE: dict[str, Path] = {
    "raise_amount": ("raise", "amount"),
    "raise_until": ("raise", "until"),
    "raise_reason": ("raise", "reason"),
}


def write_organization(run: Import, root: Item) -> None:
    """What holds for all limits, and the organization's own."""
    item = root.sections.get("organization")
    if item is None:
        if run.prune:
            write_limits(run, Item(()), None)
        return
    if item.values:
        row = OrganizationSettings.objects.first() or OrganizationSettings()
        assign(row, item, "timezone", "fiscal_start_month", "on_counter_loss", "reservation")
        run.attempt(item, partial(run.change.save, row))
    write_limits(run, item, None)


def write_users(run: Import, items: list[Item]) -> None:
    """Limits of people. Somebody who is not known yet becomes known."""
    named: set[int] = set()
    for item in items:
        user = run.attempt(item, partial(person, run.change, item.values["email"]))
        if user is not None:
            named.add(user.pk)
            write_limits(run, item, user)
    limits: tuple[type[Budget] | type[RateLimit], ...] = (Budget, RateLimit)
    for model in limits:
        run.disable(model.objects.filter(scope="user").exclude(user_id__in=named).order_by("pk"))


def write_limits(run: Import, item: Item, owner: Owner | None) -> None:
    """The budgets and rate limits of one entry of the file; `owner` is None for the organization."""
    where = {"scope": "organization"} if owner is None else {"scope": _SCOPES[type(owner)], _SCOPES[type(owner)]: owner}
    _write_budgets(run, item.lists.get("budgets", []), where)
    _write_rates(run, item.lists.get("rate_limits", []), where)


def _write_budgets(run: Import, items: list[Item], where: dict[str, Any]) -> None:
    rows = Budget.objects.filter(**where) if _is_stored(where) else Budget.objects.none()
    stored = {(row.period, row.model, row.tag): row for row in rows.order_by("pk")}
    named: set[tuple[str, str, str]] = set()
    for item in items:
        model, tag = _pattern(item), item.values.get("tag") or ""
        identity = (item.values["period"], model, tag)
        if identity in named:
            run.problems.append(Problem(item.path, "the same period, model and tag as in an earlier entry"))
            continue
        named.add(identity)
        row = stored.get(identity) or Budget(**where, period=identity[0], model=model, tag=tag)
        if row._state.adding and not run.require(item, "amount"):
            continue
        assign(row, item, "amount", "soft", "hard", "carry_over")
        if "raise" in item.values:
            given = item.values["raise"]
            row.raise_amount, row.raise_until = given.get("amount"), given.get("until")
            row.raise_reason = given.get("reason", "")
        run.switch(row, item, f"the budget {row}")
        run.attempt(item, partial(run.change.save, row), _RAISE)
    run.disable(row for identity, row in stored.items() if identity not in named)


def _write_rates(run: Import, items: list[Item], where: dict[str, Any]) -> None:
    """An entry with several kinds is several rows."""
    rows = RateLimit.objects.filter(**where) if _is_stored(where) else RateLimit.objects.none()
    stored = {(row.kind, row.model, row.tag): row for row in rows.order_by("pk")}
    named: set[tuple[str, str, str]] = set()
    for item in items:
        kinds = [kind for kind in RATE_KINDS if kind in item.values]
        if not kinds and not item.broken:
            run.problems.append(Problem(item.path, f"limits nothing; it needs one of {', '.join(RATE_KINDS)}"))
        for identity in _identities(item, kinds):
            if identity in named:
                run.problems.append(Problem((*item.path, identity[0]), "given in an earlier entry already"))
                continue
            named.add(identity)
            row = stored.get(identity) or RateLimit(**where, kind=identity[0], model=identity[1], tag=identity[2])
            row.amount = item.values[identity[0]]
            run.switch(row, item, f"the limit {row}")
            run.attempt(item, partial(run.change.save, row), {"amount": (identity[0],)})
    run.disable(row for identity, row in stored.items() if identity not in named)


def _identities(item: Item, kinds: Iterable[str]) -> list[tuple[str, str, str]]:
    return [(kind, _pattern(item), item.values.get("tag") or "") for kind in kinds]


def _pattern(item: Item) -> str:
    """A pattern that fits everything is none."""
    model = item.values.get("model") or ""
    return model if model.strip("*") else ""


def _is_stored(where: dict[str, Any]) -> bool:
    return all(not isinstance(value, Team | Project | User | VirtualKey) or value.pk for value in where.values())
