"""The overview of a team: what it spends and how its requests go, live; for a new team the way to its first request."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse, QueryDict
from django.utils import timezone

from accounting.dashboard.asked import GROUPS, MEASURES, Asked, read_asked, read_days
from accounting.dashboard.budget_bars import budget_bars
from accounting.dashboard.controls import Heading, bar_links, changed, links, row_link
from accounting.dashboard.figures import Figures, read_figures
from accounting.dashboard.notices import below, notices
from accounting.dashboard.rows import FEW, KIND_TITLES, chart_of, measures_of, table_of, time_rows
from accounting.models import VirtualKey
from accounting.money.bars import bars
from accounting.money.breakdown import Sums, break_down, ranking
from accounting.money.dialect import reading
from accounting.money.question import Question
from accounting.money.reports import Largest, Ranking, largest
from accounting.money.seen import ever_used
from accounting.templatetags.dashboard import KINDS
from gateway_project.dashboard.frame import TeamPage, render_page, team_page
from gateway_project.dashboard.periods import HOURS_24, MONTH, Period

CHART_GROUPS = {name: GROUPS[name] for name in ("model", "project", "key", "user")}
CHART_MEASURES = {name: MEASURES[name] for name in ("spend", "requests", "tokens")}
MOST_KEYS = 5
MOST_BARS = 4  # of budgets
LIVE, STEPS = "live", "steps"  # ids of the parts that refresh themselves


@dataclass(frozen=True, slots=True)
class KindPart:
    """A kind of token, its share of all, and where its part of the bar begins; lengths from 0 to 100."""

    title: Any
    colour: str
    count: int
    begin: float
    length: float


@dataclass(frozen=True, slots=True)
class Ranked:
    """What the overview ranks: keys (project, name, sums), as long a time before where that is no whole days, and the groups of
    the chart where it is shown."""

    keys: list[tuple[str, str, Sums]]
    before: Sums | None
    chart: Largest | None


@team_page("overview")
@reading()
def overview(request: HttpRequest, page: TeamPage) -> HttpResponse:
    """The page, or the part of it that htmx asks for."""
    part = request.headers.get("HX-Target", "") if request.headers.get("HX-Request") else ""
    if part == STEPS:
        return render_page(
            request, page, "dashboard/partials/steps.html", _steps(page, arrived=ever_used(page.team.name))
        )
    period, note = read_days(request.GET, page.zone, timezone.now(), MONTH)
    asked = read_asked(request.GET, period, page.team.name, groups=CHART_GROUPS, measures=CHART_MEASURES)
    ranked = _ranked(asked, chart=part != LIVE)
    figures = read_figures(_question(asked), period, timezone.now(), ranked.before)
    if part != LIVE and not figures.sums.requests and not ever_used(page.team.name):
        return render_page(request, page, "dashboard/overview.html", _steps(page, arrived=False))
    context = _live(page, period, figures, ranked)
    if part == LIVE:
        return render_page(request, page, "dashboard/partials/overview_live.html", context)
    whole = {**context, **_chart(request, page, asked, ranked.chart), "note": note, "period": period, "asked": asked}
    return render_page(request, page, "dashboard/overview.html", whole)


def _ranked(asked: Asked, *, chart: bool) -> Ranked:
    """One query."""
    question, period = _question(asked), asked.period
    rankings = {"keys": Ranking(replace(question, group_by=("project", "key")), "cost_usd", MOST_KEYS + 1)}
    if chart:
        rankings["chart"] = ranking(question, asked.by, measures_of(asked), asked.top)
    if period.name == HOURS_24:
        rankings["before"] = Ranking(replace(question, since=period.before.since, until=period.before.until), "", 1)
    found = dict(zip(rankings, largest(*rankings.values()), strict=True))
    named = [(str(row.group[0]), str(row.group[1]), Sums.of(row)) for row in found["keys"].rows if row.group[1]]
    before = Sums.of(found["before"].total) if "before" in found else None
    return Ranked(named[:MOST_KEYS], before, found.get("chart"))


def _question(asked: Asked) -> Question:
    """Of the whole team: the overview has no filters."""
    return replace(asked, filters=(), tags=()).question


def _steps(page: TeamPage, *, arrived: bool) -> dict[str, Any]:
    keys = VirtualKey.objects.filter(project__team=page.team, revoked_at=None)
    return {
        "steps": True,
        "arrived": arrived,
        "has_key": arrived or keys.exists(),
        "new_key": below(page, "keys/new/"),
        "setup": below(page, "setup/"),
        "here": page.address("dashboard:overview"),
    }


def _live(page: TeamPage, period: Period, figures: Figures, ranked: Ranked) -> dict[str, Any]:
    now = timezone.now()
    found = budget_bars(page.team, figures.daily, now.astimezone(period.zone))
    lately = figures.sums if period.name == HOURS_24 else figures.today
    return {
        "figures": figures,
        "notices": notices(page, found, lately, now),
        "budgets": found[:MOST_BARS],
        "more_budgets": max(0, len(found) - MOST_BARS),
        "budgets_address": below(page, "budgets/"),
        "kinds": _kinds(figures.sums),
        "top_models": figures.models,
        "top_keys": ranked.keys,
    }


def _kinds(sums: Sums) -> list[KindPart]:
    found: list[KindPart] = []
    begin = 0.0
    for name, colour in KINDS:
        count = int(sums.measure(name))
        length = 100 * count / sums.tokens if sums.tokens else 0.0
        found.append(KindPart(KIND_TITLES[name], colour, count, begin, length))
        begin += length
    return found


def _chart(request: HttpRequest, page: TeamPage, asked: Asked, chosen: Largest | None) -> Mapping[str, Any]:
    shown = bars(asked.period.since, asked.period.until, asked.scale, asked.period.zone)
    measure = MEASURES[asked.measure]
    measures = measures_of(asked)
    found = break_down(_question(asked), asked.by, shown, asked.scale, measures=measures, most=asked.top, chosen=chosen)
    table = table_of(asked, found, FEW)
    query, usage_page = request.GET, page.address("dashboard:usage")
    narrower = bar_links(query, asked, table)
    same = QueryDict(urlencode({**asked.period.query, "group": asked.group, "measure": asked.measure}))  # there
    title = CHART_GROUPS[asked.group][0]
    return {
        "table": table,
        "group_title": title,
        "measure": measure,
        "headings": [
            Heading(each, "", "", number) for each, number in [(title, False), *((t, True) for t in FEW.values())]
        ],
        "rows": [(row, row_link(same, asked, row, usage_page)) for row in table.rows],
        "chart": chart_of(asked, table, narrower),
        "series": table.series,
        "time_rows": time_rows(asked, table, narrower),
        "measure_links": links(
            query, "measure", {name: each.title for name, each in CHART_MEASURES.items()}, asked.measure
        ),
        "group_links": links(query, "group", {name: each[0] for name, each in CHART_GROUPS.items()}, asked.group),
        "usage_address": changed(same, {}, usage_page),
    }
