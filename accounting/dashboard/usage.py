"""Usage of a team, and of all teams for those who run the gateway: bars by time, the rows below them, the same as CSV."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, QueryDict
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from accounting.dashboard.asked import GROUPS, KIND, MEASURES, TEAMS, Asked, read_asked, read_days
from accounting.dashboard.controls import (
    bar_links,
    changed,
    chips,
    filter_selects,
    headings,
    row_link,
    selects,
    without_filters,
)
from accounting.dashboard.rows import Row, Table, chart_of, measures_of, table_of, time_rows
from accounting.models import User
from accounting.money.bars import bars
from accounting.money.breakdown import break_down
from accounting.money.outcomes import outcomes
from accounting.money.question import BadQuestion
from accounting.money.seen import Seen, ever_used, seen
from accounting.spreadsheets import spreadsheet
from gateway_project.console.access import may_enter
from gateway_project.dashboard.frame import TeamPage, render_page, team_page

MOST_TEAMS = 300  # in the filter


@dataclass(frozen=True, slots=True)
class Shown:
    """What was asked for and what came of it; `note` says where days are not the reader's."""

    asked: Asked
    table: Table
    known: Seen
    note: Any


@team_page("usage")
def usage(request: HttpRequest, page: TeamPage) -> HttpResponse:
    """What the team used."""
    shown = read_usage(request.GET, page.team.name, page.zone)
    context = _context(request, shown, GROUPS)
    if not shown.table.total.amounts["tokens"] and not ever_used(page.team.name):
        context["never"] = True
    return render_page(request, page, "dashboard/usage.html", {**context, "csv": page.address("dashboard:usage_csv")})


@team_page("usage")
def usage_csv(request: HttpRequest, page: TeamPage) -> HttpResponseBase:
    """What the page shows with the same address: the rows, or with `?rows=time` the bars."""
    return _spreadsheet(request, read_usage(request.GET, page.team.name, page.zone), f"usage-{page.team.name}")


@never_cache
@login_required
@require_safe
def all_usage(request: HttpRequest) -> HttpResponse:
    """What all teams used, for administrators and auditors."""
    zone = _zone_of_all(request)
    with timezone.override(zone):
        shown = read_usage(request.GET, "", zone)
        context = _context(request, shown, TEAMS)
        return render(request, "dashboard/usage.html", {**context, "csv": "/usage.csv"})


@never_cache
@login_required
@require_safe
def all_usage_csv(request: HttpRequest) -> HttpResponseBase:
    zone = _zone_of_all(request)
    with timezone.override(zone):
        return _spreadsheet(request, read_usage(request.GET, "", zone), "usage")


def _zone_of_all(request: HttpRequest) -> ZoneInfo:
    """The reader's zone. Raises Http404 for everybody who may not see all teams."""
    if not isinstance(request.user, User) or not may_enter(request.user):
        raise Http404
    return ZoneInfo(request.user.timezone or "UTC")


def read_usage(query: QueryDict, team: str, zone: ZoneInfo) -> Shown:
    """Three queries. `team` is "" for all."""
    period, note = read_days(query, zone, timezone.now())
    known = seen(team)
    asked = read_asked(query, period, team, groups=GROUPS if team else TEAMS, tags=known.tags)
    shown = bars(period.since, period.until, asked.scale, period.zone)
    found = break_down(asked.question, asked.by, shown, asked.scale, measures=measures_of(asked), most=asked.top)
    return Shown(asked, table_of(asked, found), known, note)


def _context(request: HttpRequest, shown: Shown, groups: Mapping[str, tuple[Any, Any]]) -> dict[str, Any]:
    asked, table, query = shown.asked, shown.table, request.GET
    links = bar_links(query, asked, table)
    title = shown.asked.tag or groups[asked.group][0]
    return {
        "period": asked.period,
        "asked": asked,
        "note": shown.note,
        "measure": MEASURES[asked.measure],
        "selects": selects(asked, groups, shown.known),
        "filters": filter_selects(asked, shown.known, _teams(shown)),
        "chips": chips(query, asked),
        "unfiltered": without_filters(query, asked),
        "kept": asked.period.query,
        "group_title": title,
        "table": table,
        "empty": _is_empty(table),
        "headings": headings(query, asked, table, title),
        "rows": [(row, row_link(query, asked, row)) for row in table.rows],
        "chart": chart_of(asked, table, links),
        "series": table.series,
        "time_rows": time_rows(asked, table, links),
        "csv_query": changed(query, {"rows": None}),
        "csv_time_query": changed(query, {"rows": "time"}),
        **_outcomes(asked),
    }


def _teams(shown: Shown) -> tuple[str, ...]:
    """The teams that a filter offers, where all teams are shown."""
    if shown.asked.team:
        return ()
    given = [value for name, value in shown.asked.filters if name == "team"]
    found = [row.names[0] for row in shown.table.rows if shown.asked.group == "team" and row.names[0]]
    return tuple(dict.fromkeys(sorted([*given, *found])))[:MOST_TEAMS]


def _is_empty(table: Table) -> bool:
    return not any(table.total.amounts.values())


def _outcomes(asked: Asked) -> dict[str, Any]:
    """Requests that were not served, in three lists; or why there are none to show."""
    try:
        rows = outcomes(asked.question)
    except BadQuestion:
        return {"no_outcomes": True}
    return {
        "refusals": [row for row in rows if row.outcome == "refused"],
        "failures": [row for row in rows if row.outcome in ("upstream_error", "shut_down")],
        "left": sum(row.requests for row in rows if row.outcome == "client_left"),
    }


def _spreadsheet(request: HttpRequest, shown: Shown, name: str) -> HttpResponseBase:
    by_time = request.GET.get("rows") == "time"
    asked = shown.asked
    period = f"{asked.period.first_day.isoformat()}-{asked.period.last_day.isoformat()}"
    header, rows = (_time_lines(shown)) if by_time else _lines(shown)
    return spreadsheet(f"{name}-{period}{'-by-' + asked.scale if by_time else ''}", header, rows)


def _lines(shown: Shown) -> tuple[list[str], Iterator[list[Any]]]:
    """The rows as they are sorted on the page, what the rest comes to, all of it."""
    asked, table = shown.asked, shown.table
    names = [KIND] if asked.group == KIND else list(asked.by) or [asked.group]
    blank = [""] * (len(names) - 1)

    def line(row: Row, label: list[str]) -> list[Any]:
        return [*label, *row.amounts.values(), f"{row.share:.6f}"]

    def each() -> Iterator[list[Any]]:
        for row in table.rows:
            yield line(row, list(row.names))
        if table.rest:
            yield line(table.rest, [f"({table.rest.label})", *blank])
        yield line(table.total, ["(total)", *blank])

    return [*names, *table.columns, "share"], each()


def _time_lines(shown: Shown) -> tuple[list[str], Iterator[list[Any]]]:
    """The bars: when each begins, the measure of each series, all of it."""
    table = shown.table
    series = [*table.series, table.total]
    titles = [f"{row.sub}/{row.label}" if row.sub else row.label for row in series]
    lines = ([bar.key, *(row.bars[place] for row in series)] for place, bar in enumerate(table.bars))
    return [shown.asked.scale, *titles], lines
