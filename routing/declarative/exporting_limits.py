"""Budgets and rate limits as entries of the exported file."""

from dataclasses import dataclass, field
from typing import Any

from accounting.models import Budget, OrganizationSettings, RateLimit

Entry = dict[str, Any]
Place = tuple[str, int]


@dataclass(slots=True)
class Limits:
    """All of them, by scope and the owner's id (0 for the organization)."""

    budgets: dict[Place, list[Entry]] = field(default_factory=dict)
    rates: dict[Place, list[Entry]] = field(default_factory=dict)
    users: dict[int, str] = field(default_factory=dict)

    def of(self, scope: str, owner: int) -> Entry:
        """The keys of an entry; none where it has no limits."""
        lists = {"budgets": self.budgets.get((scope, owner)), "rate_limits": self.rates.get((scope, owner))}
        return {name: entries for name, entries in lists.items() if entries}


def read_limits() -> Limits:
    limits = Limits()
    for budget in Budget.objects.select_related("user").order_by("pk"):
        limits.budgets.setdefault(_place(limits, budget), []).append(_budget(budget))
    for rate in RateLimit.objects.select_related("user").order_by("pk"):
        entry = {rate.kind: rate.amount, **_narrowed(rate)}
        limits.rates.setdefault(_place(limits, rate), []).append(entry)
    return limits


def organization_entry(limits: Limits) -> Entry:
    """What the organization has chosen, as far as it has, and its limits."""
    row = OrganizationSettings.objects.first()
    names = ("timezone", "fiscal_start_month", "on_counter_loss", "reservation") if row else ()
    return {**{name: getattr(row, name) for name in names}, **limits.of("organization", 0)}


def user_entries(limits: Limits) -> list[Entry]:
    return [
        {"email": email, **limits.of("user", pk)}
        for pk, email in sorted(limits.users.items(), key=lambda pair: pair[1])
    ]


def _place(limits: Limits, row: Budget | RateLimit) -> Place:
    if row.user is not None:
        limits.users[row.user.pk] = row.user.email
    return (row.scope, row.owner.pk if row.owner is not None else 0)


def _budget(row: Budget) -> Entry:
    entry: Entry = {"amount": row.amount, "period": row.period, **_narrowed(row)}
    entry |= {"soft": row.soft, "hard": row.hard, "carry_over": row.carry_over}
    if row.raise_amount is not None:
        entry["raise"] = {"amount": row.raise_amount, "until": row.raise_until, "reason": row.raise_reason}
    return entry


def _narrowed(row: Budget | RateLimit) -> Entry:
    entry: Entry = {name: value for name, value in (("model", row.model), ("tag", row.tag)) if value}
    return entry if row.enabled else {**entry, "enabled": False}
