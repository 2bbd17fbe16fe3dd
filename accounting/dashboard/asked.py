"""What a page about usage was asked for, out of its address. Parameters are named as in the REST API.

?group=user&measure=spend&scale=week&sort=-requests&top=25&project=default&model=…&tag:cost_center=4711
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.http import QueryDict
from django.utils.translation import gettext_lazy as _

from accounting.money.bars import Scale, scales, usual_scale
from accounting.money.local_days import cuts_hours
from accounting.money.question import TAG, Question
from gateway_project.dashboard.periods import DAYS_30, Period, read_period


@dataclass(frozen=True, slots=True)
class Measure:
    """What bars are as long as: a title, the unit that charts.js knows, and which sum it is."""

    title: Any
    unit: str
    order: str


MEASURES: Mapping[str, Measure] = {
    "spend": Measure(_("Spend"), "usd", "cost_usd"),
    "requests": Measure(_("Requests"), "requests", "requests"),
    "tokens": Measure(_("Tokens, all kinds"), "tokens", "tokens"),
    "input": Measure(_("Input tokens"), "tokens", "input"),
    "cache_write_5m": Measure(_("Cache writes, 5 minutes"), "tokens", "cache_write_5m"),
    "cache_write_1h": Measure(_("Cache writes, 1 hour"), "tokens", "cache_write_1h"),
    "cache_read": Measure(_("Cache reads"), "tokens", "cache_read"),
    "output": Measure(_("Output tokens"), "tokens", "output"),
    "errors": Measure(_("Errors"), "requests", "errors"),
}
KIND, TAGGED, TEAM = "kind", "tag", "team"
GROUPS: Mapping[str, tuple[Any, tuple[str, ...]]] = {
    "model": (_("Model"), ("model",)),
    "project": (_("Project"), ("project",)),
    "key": (_("Key"), ("project", "key")),
    "user": (_("Person"), ("user",)),
    "provider": (_("Provider"), ("provider",)),
    TAGGED: (_("Tag"), ()),
    KIND: (_("Kind of token"), ()),
}
TEAMS: Mapping[str, tuple[Any, tuple[str, ...]]] = {TEAM: (_("Team"), ("team",)), **GROUPS}  # of all teams
FILTERS: Mapping[str, Any] = {
    "project": _("Project"), "key": _("Key"), "user": _("Person"), "model": _("Model"), "provider": _("Provider"),
}  # fmt: skip
SCALES: Mapping[str, Any] = {"hour": _("Hour"), "day": _("Day"), "week": _("Week"), "month": _("Month")}
TOPS = (10, 25, 50)
LONGEST_VALUE = 300


@dataclass(frozen=True, slots=True)
class Asked:
    """What to show. `team` is empty for all teams; `tag` the name of the tag where tags are grouped by; `sort` a column,
    with a minus for the largest first; `problems` are sentences about what could not be read."""

    team: str
    period: Period
    group: str
    measure: str
    scale: Scale
    scales: tuple[Scale, ...]
    tag: str = ""
    filters: tuple[tuple[str, str], ...] = ()
    tags: tuple[tuple[str, str], ...] = ()
    sort: str = ""
    top: int = TOPS[0]
    problems: tuple[Any, ...] = ()

    @property
    def by(self) -> tuple[str, ...]:
        """The names that are grouped by."""
        if self.group == TAGGED:
            return (f"{TAG}{self.tag}",) if self.tag else ()
        names = TEAMS[self.group][1]
        return ("team", *names) if self.group in ("project", "key") and not self.team else names

    @property
    def question(self) -> Question:
        period = self.period
        names = ((("team", self.team),) if self.team else ()) + self.filters
        return Question((), period.since, period.until, names, self.tags, zone=period.zone.key)


def read_days(query: Mapping[str, Any], zone: ZoneInfo, now: datetime, default: str = DAYS_30) -> tuple[Period, Any]:
    """The period, and a sentence where it is one of UTC because the zone's days cannot be added up."""
    period = read_period(query, zone, now, default=default)
    if not cuts_hours(period.since, period.until, zone):
        return period, ""
    said = _("%(zone)s is not whole hours from UTC, and usage is kept by hours of UTC: days here are days of UTC.")
    return read_period(query, ZoneInfo("UTC"), now, default=default), said % {"zone": zone.key}


def read_asked(
    query: QueryDict,
    period: Period,
    team: str,
    *,
    groups: Mapping[str, Any] = GROUPS,
    measures: Mapping[str, Any] = MEASURES,
    tags: tuple[str, ...] = (),
) -> Asked:
    """What is not understood is the usual, and said. `tags` are the names of tags that were seen."""
    problems: list[Any] = []
    group = _group(query, groups, tags, problems)
    usual_measure = "tokens" if group == KIND else "spend"
    measure = _choice(query, "measure", measures, usual_measure, problems)
    fitting = scales(period.since, period.until)
    usual = usual_scale(period.since, period.until)
    scale: Any = _choice(query, "scale", {each: each for each in fitting}, usual, problems)
    filters = FILTERS if team else {TEAM: TEAM, **FILTERS}
    given = _filters(query, filters, problems)
    top = _choice(query, "top", {str(each): each for each in TOPS}, str(TOPS[0]), problems)
    return Asked(
        team=team,
        period=period,
        group=group,
        measure="tokens" if group == KIND else measure,
        scale=scale,
        scales=fitting,
        tag=_tag(query, tags) if group == TAGGED else "",
        filters=tuple((name, value) for name, value in given.items() if name in filters),
        tags=tuple((name.removeprefix(TAG), value) for name, value in given.items() if name.startswith(TAG)),
        sort=query.get("sort", ""),
        top=int(top),
        problems=tuple(dict.fromkeys(problems)),
    )


def _choice(query: QueryDict, name: str, known: Mapping[str, Any], usual: str, problems: list[Any]) -> str:
    value = query.get(name, "") or usual
    if value in known:
        return value
    problems.append(_("“%(value)s” is not to be had here; this is the usual.") % {"value": value[:80]})
    return usual


def _group(query: QueryDict, groups: Mapping[str, Any], tags: tuple[str, ...], problems: list[Any]) -> str:
    usual = next(iter(groups))
    group = _choice(query, "group", groups, usual, problems)
    if group != TAGGED or tags:
        return group
    problems.append(_("No request had a tag so far; this is the usual."))
    return usual


def _filters(query: QueryDict, known: Mapping[str, Any], problems: list[Any]) -> dict[str, str]:
    """The filters of the address that have a value, those by tags included."""
    given = {name: str(query[name]) for name in query if (name in known or name.startswith(TAG)) and query[name]}
    for name, value in [*given.items()]:
        if "\x00" in name + value or len(value) > LONGEST_VALUE or name == TAG:
            problems.append(_("A filter could not be read and is left out."))
            del given[name]
    return given


def _tag(query: QueryDict, seen: tuple[str, ...]) -> str:
    wanted = query.get("tag", "")
    return wanted if wanted in seen else (seen[0] if seen else "")
