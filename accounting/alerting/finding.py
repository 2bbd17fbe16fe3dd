"""What rules are about, as it is now. Each finding has a key: the same matter has the same key, whoever finds it and how often.

Everything here is bounded: so many budgets, keys and models, and so many of the latest requests.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db.models import Count, Max, Q, QuerySet

from accounting.limits.shown import ShownBudget, show_budgets
from accounting.limits.terms import nano_of
from accounting.limits.wording import money
from accounting.models import (
    AlertEvent,
    AlertRule,
    Budget,
    BudgetAlert,
    DailyUsage,
    RequestRecord,
    UnpricedModel,
    UsageDimension,
    VirtualKey,
)

MOST_BUDGETS = 500
MOST_FOUND = 100  # of one rule in one look
MOST_KEYS = 1000
MOST_COUNTED = 20_000  # requests
LATELY = timedelta(days=1)  # soft limits that were reached longer ago are no news
QUIET = timedelta(hours=1)  # between two alerts of one rule about failing requests
Kind = AlertRule.Kind


@dataclass(frozen=True, slots=True)
class Found:
    """One matter: what to say of it, and the page of the team's dashboard that shows it."""

    key: str
    title: str
    text: str
    page: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)


def find(rule: AlertRule, now: datetime) -> Sequence[Found]:
    """Everything that a rule is about at this time."""
    return _FINDERS[rule.kind](rule, now)[:MOST_FOUND]


# -- budgets -----------------------------------------------------------------------------------------------------------


def _theirs(rule: AlertRule, prefix: str = "") -> Q:
    """A rule of the platform is about every budget, one of a team about those of the team, its projects and keys."""
    if rule.team is None:
        return Q()
    names = ("team", "project__team", "key__project__team")
    found = Q()
    for name in names:
        found |= Q(**{f"{prefix}{name}": rule.team})
    return found


def _thresholds(rule: AlertRule, now: datetime) -> list[Found]:
    since = max(now - LATELY, rule.created_at)
    rows = BudgetAlert.objects.filter(_theirs(rule, "budget__"), at__gte=since, threshold__gte=rule.percent or 0)
    rows = rows.select_related("budget__team", "budget__project__team", "budget__user", "budget__key__project__team")
    return [_threshold(row) for row in rows.order_by("id")[:MOST_FOUND]]


def _threshold(row: BudgetAlert) -> Found:
    where = row.budget.where()
    text = f"{_dollars(row.spent)} of {_dollars(row.limit)} were spent; the soft limit is {row.threshold} %."
    details = {"budget": row.budget_id, "threshold": row.threshold, "spent": str(row.spent), "limit": str(row.limit)}
    title = f"The budget of {_named(where)} has reached {row.threshold} %"
    return Found(f"soft:{row.pk}", title, text, f"budgets/{row.budget_id}/", details)


def _used_up(rule: AlertRule, now: datetime) -> list[Found]:
    parents = ("team", "project__team", "user", "key__project__team")
    rows = Budget.objects.filter(_theirs(rule), enabled=True).select_related(*parents).order_by("id")[:MOST_BUDGETS]
    shown = show_budgets(list(rows), now)
    return [_used(each) for each in shown if each.standing.spent >= each.standing.limit]


def _used(shown: ShownBudget) -> Found:
    row, standing = shown.row, shown.standing
    spent, limit = _dollars(shown.spent), _dollars(shown.limit)
    what = "Requests are refused" if row.hard else "Nothing is refused; it only counts"
    end = f" until {shown.ends:%Y-%m-%d %H:%M} UTC" if shown.ends and row.hard else ""
    text = f"{spent} of {limit} were spent. {what}{end}."
    details = {"budget": row.pk, "spent": str(shown.spent), "limit": str(shown.limit), "hard": row.hard}
    key = f"used:{row.pk}:{standing.line.period.start}:{standing.limit}"
    return Found(key, f"The budget of {_named(row.where())} is used up", text, f"budgets/{row.pk}/", details)


def _dollars(amount: Decimal) -> str:
    """To the cent; less than a dollar to the last digit."""
    return f"${amount:,.2f}" if amount >= 1 else money(nano_of(amount))


def _named(where: str) -> str:
    return "the organization" if where == "organization" else f"the {where}"


# -- requests ----------------------------------------------------------------------------------------------------------


def _errors(rule: AlertRule, now: datetime) -> list[Found]:
    minutes, least, percent = rule.minutes or 10, rule.least_requests or 1, rule.percent or 100
    if AlertEvent.objects.filter(rule=rule.pk, at__gt=now - max(QUIET, timedelta(minutes=2 * minutes))).exists():
        return []
    rows = RequestRecord.objects.filter(started_at__gt=now - timedelta(minutes=minutes), started_at__lte=now)
    if rule.team is not None:
        rows = rows.filter(team=rule.team.name)
    latest = rows.order_by("-started_at", "-id").values("outcome")[:MOST_COUNTED]
    failed = Q(outcome__in=("upstream_error", "shut_down"))
    counted = latest.aggregate(
        all=Count("outcome", filter=~Q(outcome="refused")), failed=Count("outcome", filter=failed)
    )
    total, errors = counted["all"], counted["failed"]
    if total < least or errors * 100 < total * percent:
        return []
    share = 100 * errors / total
    text = f"{errors:,} of the {total:,} requests of the last {minutes} minutes failed ({share:.0f} %)."
    details = {"requests": total, "failed": errors, "percent": round(share, 1), "minutes": minutes}
    key = f"errors:{int(now.timestamp()) // 60}"
    return [Found(key, f"{share:.0f} % of the requests fail", text, "requests/", details)]


# -- keys --------------------------------------------------------------------------------------------------------------


def _keys(rule: AlertRule, now: datetime) -> "QuerySet[VirtualKey]":
    """The keys in use that a rule is about."""
    rows = VirtualKey.objects.filter(Q(expires_at=None) | Q(expires_at__gt=now), enabled=True, revoked_at=None)
    if rule.team is not None:
        rows = rows.filter(project__team=rule.team)
    return rows.select_related("project__team").order_by("id")


def _expiring(rule: AlertRule, now: datetime) -> list[Found]:
    soon = now + timedelta(days=rule.days or 1)
    return [_expiry(key) for key in _keys(rule, now).filter(expires_at__lte=soon).order_by("expires_at")[:MOST_FOUND]]


def _expiry(key: VirtualKey) -> Found:
    assert key.expires_at is not None
    name = _key_name(key)
    text = f"It stops on {key.expires_at:%Y-%m-%d at %H:%M} UTC. Make another one, or move its end."
    details = {"key": name, "prefix": key.prefix, "expires_at": key.expires_at.isoformat()}
    return Found(
        f"expires:{key.pk}:{int(key.expires_at.timestamp())}", f"The key {name} expires soon", text, "keys/", details
    )


def _unused(rule: AlertRule, now: datetime) -> list[Found]:
    since = now - timedelta(days=rule.days or 1)
    keys = list(_keys(rule, now).filter(created_at__lt=since)[:MOST_KEYS])
    teams = {key.project.team.name for key in keys}
    lately = _last_days(teams, since=since)
    idle = [key for key in keys if _place(key) not in lately]
    ever = _last_days({key.project.team.name for key in idle}, keys={key.name for key in idle}) if idle else {}
    return [_idle(key, ever.get(_place(key)), rule.days or 1) for key in idle]


def _idle(key: VirtualKey, last: datetime | None, days: int) -> Found:
    name = _key_name(key)
    when = f"It was last used on {last:%Y-%m-%d}" if last else "It was never used"
    text = f"{when}. A key that nobody needs is better revoked."
    details = {"key": name, "prefix": key.prefix, "last_used": last.date().isoformat() if last else None}
    mark = f"{last:%Y%m%d}" if last else "never"
    return Found(f"unused:{key.pk}:{mark}", f"The key {name} was not used for {days} days", text, "keys/", details)


def _last_days(
    teams: set[str], *, since: datetime | None = None, keys: set[str] | None = None
) -> dict[tuple[str, str, str], datetime]:
    """The last day of use by team, project and key, out of the days' sums."""
    rows = DailyUsage.objects.filter(dimension__team__in=teams).exclude(dimension__key="")
    if since is not None:
        rows = rows.filter(bucket__gte=since - timedelta(days=1))
    if keys is not None:
        rows = rows.filter(dimension__key__in=keys)
    names = ("dimension__team", "dimension__project", "dimension__key")
    found = rows.values_list(*names).annotate(last=Max("bucket")).order_by()
    return {(team, project, key): last for team, project, key, last in found}


def _place(key: VirtualKey) -> tuple[str, str, str]:
    return (key.project.team.name, key.project.name, key.name)


def _key_name(key: VirtualKey) -> str:
    return "/".join(_place(key))


# -- models ------------------------------------------------------------------------------------------------------------


def _unpriced(rule: AlertRule, now: datetime) -> list[Found]:
    rows = list(UnpricedModel.objects.filter(last_seen__gte=max(now - LATELY, rule.created_at))[:MOST_FOUND])
    if rule.team is not None and rows:
        used = UsageDimension.objects.filter(team=rule.team.name, model__in={row.model for row in rows})
        theirs = set(used.values_list("provider", "model").distinct())
        rows = [row for row in rows if (row.provider, row.model) in theirs]
    return [_model(row) for row in rows]


def _model(row: UnpricedModel) -> Found:
    text = "It costs what models without a price cost, until an administrator adds its price."
    details = {"provider": row.provider, "model": row.model, "fast": row.fast}
    return Found(f"unpriced:{row.pk}", f"The model {row} has no price"[:200], text, "usage/", details)


_FINDERS: Mapping[str, Callable[[AlertRule, datetime], list[Found]]] = {
    Kind.BUDGET_THRESHOLD: _thresholds,
    Kind.BUDGET_USED_UP: _used_up,
    Kind.ERROR_SHARE: _errors,
    Kind.KEY_EXPIRES: _expiring,
    Kind.KEY_UNUSED: _unused,
    Kind.UNPRICED_MODEL: _unpriced,
}
