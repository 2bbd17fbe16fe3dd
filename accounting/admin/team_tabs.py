"""What the tabs of a team's page show beside its forms: keys, limits, usage of this month, audit events. All bounded."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.db.models import Q
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils import timezone

from accounting.limits.loading import budget_terms, organization_terms
from accounting.limits.standing import standings
from accounting.limits.terms import dollars_of
from accounting.models import AuditEvent, Budget, OrganizationSettings, RateLimit, Team, VirtualKey
from accounting.money.periods import ceiling
from accounting.money.reports import Question, UsageRow, usage

MOST = 50
MOST_BUDGETS = 25  # each may have to be summed up
MOST_GROUPS = 10


@dataclass(frozen=True, slots=True)
class Tab:
    """`name` stands in the address. A tab with `fields` or `inlines` is a part of the form, the others only show."""

    name: str
    title: str
    is_form: bool = False


TABS = (
    Tab("settings", "Settings", True),
    Tab("projects", "Projects", True),
    Tab("members", "Members", True),
    Tab("keys", "Keys"),
    Tab("budgets", "Budgets"),
    Tab("rates", "Rate limits"),
    Tab("usage", "Usage"),
    Tab("events", "Audit events"),
)


def tab_of(request: HttpRequest) -> Tab:
    """The tab that is asked for; the first one if there is none of that name."""
    return next((tab for tab in TABS if tab.name == request.GET.get("tab")), TABS[0])


def dashboard_of(team: Team) -> str:
    """Where the team's people see their own figures."""
    try:
        return reverse("dashboard:overview", args=[team.name])
    except NoReverseMatch:
        return f"/teams/{team.name}/"


def read_tab(tab: Tab, team: Team) -> dict[str, Any]:
    """What the template of a reading tab needs."""
    return _READERS[tab.name](team)


def _keys(team: Team) -> dict[str, Any]:
    rows = VirtualKey.objects.filter(project__team=team).select_related("project", "owner")
    found = list(rows.order_by("revoked_at", "project__name", "name")[: MOST + 1])
    return {"rows": found[:MOST], "more": len(found) > MOST}


def _theirs(team: Team) -> Q:
    return Q(team=team) | Q(project__team=team) | Q(key__project__team=team)


def _budgets(team: Team) -> dict[str, Any]:
    parents = ("team", "project__team", "user", "key__project__team")
    rows = list(Budget.objects.filter(_theirs(team)).select_related(*parents).order_by("-enabled", "id")[: MOST + 1])
    shown = rows[:MOST_BUDGETS]
    organization = organization_terms(OrganizationSettings.objects.first())
    used = standings(list(budget_terms(shown, organization)))
    found = []
    for row, standing in zip(shown, used, strict=True):
        spent, limit = dollars_of(standing.spent), dollars_of(standing.limit)
        share = int(spent * 100 / limit) if limit else 100
        tone = "bad" if share >= 100 else "warn" if any(share >= each for each in row.soft) else "good"
        found.append({"row": row, "spent": spent, "limit": limit, "share": share, "tone": tone})
    return {"budgets": found, "more": len(rows) > len(shown)}


def _rates(team: Team) -> dict[str, Any]:
    parents = ("team", "project__team", "user", "key__project__team")
    rows = list(RateLimit.objects.filter(_theirs(team)).select_related(*parents).order_by("-enabled", "id")[: MOST + 1])
    return {"rows": rows[:MOST], "more": len(rows) > MOST}


def _usage(team: Team) -> dict[str, Any]:
    """This month, as the team's time zone has it."""
    now = timezone.now()
    since = month_of(now, team.timezone)
    names = (("team", team.name),)
    until = ceiling(now, "hour")
    total, _ = usage(Question(since=since, until=until, names=names))
    groups = {
        title: _largest(Question(group_by=(name,), since=since, until=until, names=names))
        for name, title in (("project", "Projects"), ("alias", "Models"), ("user", "People"))
    }
    return {"total": total[0].sums if total else {}, "groups": groups, "since": since.date()}


def month_of(now: datetime, zone: str) -> datetime:
    return now.astimezone(ZoneInfo(zone)).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def _largest(question: Question) -> list[UsageRow]:
    """The groups that cost most. A team has few projects, names and people; what is beyond 500 is not looked at."""
    rows, _ = usage(question, limit=500)
    rows = [row for row in rows if row.sums["requests"] or row.sums["cost_usd"]]
    return sorted(rows, key=lambda row: row.sums["cost_usd"], reverse=True)[:MOST_GROUPS]


def _events(team: Team) -> dict[str, Any]:
    rows = list(AuditEvent.objects.filter(team=team.name).defer("changes").order_by("-id")[: MOST + 1])
    return {"rows": rows[:MOST], "more": len(rows) > MOST}


_READERS: Mapping[str, Callable[[Team], dict[str, Any]]] = {
    "keys": _keys,
    "budgets": _budgets,
    "rates": _rates,
    "usage": _usage,
    "events": _events,
}
