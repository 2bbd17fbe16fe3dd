"""How far the budgets of a team are used, for its overview: the team's own first, then those of projects and keys."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db.models import Q
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounting.limits.book import line_at
from accounting.limits.loading import budget_terms, organization_terms
from accounting.limits.periods import NEVER, Period, zone_of
from accounting.limits.spending import spent_by_ledger, spent_together
from accounting.limits.standing import BudgetStanding, standings, watched
from accounting.limits.terms import KEY, PROJECT, TEAM, BudgetTerms, dollars_of
from accounting.models import Budget, OrganizationSettings, Team
from accounting.money.forecast import Daily, forecast

MOST = 50
NEARLY = 0.8  # used up to here, it is worth a notice
TITLES: dict[str, Any] = {
    "day": gettext_lazy("Today"), "week": gettext_lazy("This week"), "month": gettext_lazy("This month"),
    "quarter": gettext_lazy("This quarter"), "total": gettext_lazy("In all"),
}  # fmt: skip
_RANK = {TEAM: 0, PROJECT: 1, KEY: 2}


@dataclass(frozen=True, slots=True)
class BudgetBar:
    """A budget in its period. `reserved` is what running requests may still use, `forecast` what will have been spent at the
    end of the period, `ends` when that is (None: never)."""

    title: str
    of_team: bool
    spent: Decimal
    reserved: Decimal
    limit: Decimal
    ends: datetime | None
    hard: bool
    forecast: Decimal | None

    @property
    def share(self) -> float:
        return float(self.spent / self.limit) if self.limit else 1.0

    @property
    def nearly_used(self) -> bool:
        return self.share >= NEARLY


def budget_bars(team: Team, daily: Daily, now: datetime) -> list[BudgetBar]:
    """`now` is in the zone of the days. Two or three queries.

    Where this process has no counters, only budgets that can be added up in one.
    """
    of_team = Q(team=team) | Q(project__team=team) | Q(key__project__team=team)
    parents = ("team", "project__team", "key__project__team")
    rows = list(Budget.objects.filter(of_team, enabled=True).select_related(*parents).order_by("id")[:MOST])
    quarters = any(row.period == "quarter" for row in rows)
    organization = organization_terms(OrganizationSettings.objects.first() if quarters else None)
    terms = list(budget_terms(rows, organization))
    if watched() is None:
        terms = [each for each in terms if each.scope.type != KEY and not each.model]
    found = standings(terms, spent_by=_Together(terms, now.timestamp()), now=now.timestamp())
    return [_bar(standing, daily, now) for standing in sorted(found, key=_order)]


class _Together:
    """What budgets have spent by the records: asked of all at once when the first is wanted."""

    def __init__(self, terms: Sequence[BudgetTerms], now: float) -> None:
        self._quick = [(each, line_at(each, now).period) for each in terms if each.scope.type != KEY and not each.model]
        self._found: dict[int, Decimal] | None = None

    def __call__(self, terms: BudgetTerms, period: Period) -> Decimal:
        if self._found is None:
            spent = spent_together(self._quick)
            self._found = {each.id: cost for (each, _period), cost in zip(self._quick, spent, strict=True)}
        return self._found[terms.id] if terms.id in self._found else spent_by_ledger(terms, period)


def _order(standing: BudgetStanding) -> tuple[int, bool, float]:
    terms = standing.line.terms
    return _RANK[terms.scope.type], bool(terms.model or terms.tag), -standing.spent / max(1, standing.limit)


def _bar(standing: BudgetStanding, daily: Daily, now: datetime) -> BudgetBar:
    terms, period = standing.line.terms, standing.line.period
    spent = dollars_of(standing.spent)
    whole = terms.scope.type == TEAM and not terms.model and not terms.tag
    expected = None
    if whole and period.end != NEVER and terms.zone == str(now.tzinfo):
        last = datetime.fromtimestamp(period.end, UTC).astimezone(zone_of(terms.zone)) - timedelta(seconds=1)
        expected = forecast(daily, spent, now, last.date()) if last.date() > now.date() else None
    return BudgetBar(
        title=_title(terms),
        of_team=whole,
        spent=spent,
        reserved=dollars_of(standing.reserved),
        limit=dollars_of(standing.limit),
        ends=None if period.end == NEVER else datetime.fromtimestamp(period.end, UTC),
        hard=terms.hard,
        forecast=expected,
    )


def _title(terms: BudgetTerms) -> str:
    """`This month`, `This month · project answers · claude-opus-*`."""
    parts = [str(TITLES[terms.period])]
    name = terms.scope.name.partition("/")[2]
    if terms.scope.type == PROJECT:
        parts.append(_("project %(name)s") % {"name": name})
    elif terms.scope.type == KEY:
        parts.append(_("key %(name)s") % {"name": name})
    return " · ".join([*parts, *filter(None, (terms.model, terms.tag))])
