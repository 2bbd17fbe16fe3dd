"""Usage by any of its names and by time, out of roll-ups; the ends of a period that are no whole hours out of records.

Long stretches come from months and days, so a year costs little more than a day. Totals (without keys, people and tags) are
used where the question names none of those.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from django.db import OperationalError

from accounting.money.contributions import MONEY, NAMES, TOTALS, Statement, contributions
from accounting.money.dialect import (
    LARGEST,
    among,
    beginning,
    bounded_sum,
    fits,
    listed_moments,
    local_day,
    moment,
    noon,
    overflows,
    read_moment,
    read_money,
    tag,
)
from accounting.money.local_days import cuts_hours, moved_hours, worth_moving
from accounting.money.periods import Stretch, Unit, stretches
from accounting.money.rebuild import between
from accounting.money.rollups import DAY_TOTALS, DAYS, DIMENSIONS, HOUR_TOTALS, HOURS, MONTHS, Level

TAG = "tag:"
TIMES = ("day", "hour")
GROUPS = tuple(name for name in NAMES if name != "tags") + TIMES
FILTERS = tuple(name for name in NAMES if name != "tags")
# As the usage API names them, in its order → the measures' names.
FIGURES = {
    "requests": "requests",
    "errors": "errors",
    "refused": "refused",
    "estimated": "estimated",
    "input": "tokens_input",
    "output": "tokens_output",
    "cache_read": "tokens_cache_read",
    "cache_write_5m": "tokens_cache_write_5m",
    "cache_write_1h": "tokens_cache_write_1h",
    "web_searches": "web_searches",
    "cost_usd": "cost_usd",
    "adjustment_usd": "adjustment_usd",
}
_NEEDED = tuple(FIGURES.values())
_ALL_LEVELS: dict[Unit, Level] = {"hour": HOURS, "day": DAYS, "month": MONTHS}
_TOTAL_LEVELS: dict[Unit, Level] = {"hour": HOUR_TOTALS, "day": DAY_TOTALS, "month": MONTHS}
_EARLIEST, _LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)
LONGEST_IN_A_ZONE = timedelta(days=3700)


class BadQuestion(ValueError):
    """A question that cannot be answered; the text says why."""


@dataclass(frozen=True, slots=True)
class Question:
    """What to sum, and by what. `names` are exact values, `tags` (name, value) pairs, `alias_pattern` a pattern of names
    asked for. A day is one of `zone`. Without bounds a period is everything there is."""

    group_by: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    names: tuple[tuple[str, str], ...] = ()
    tags: tuple[tuple[str, str], ...] = ()
    alias_pattern: str = ""
    zone: str = "UTC"

    @property
    def by_local_day(self) -> bool:
        return "day" in self.group_by and self.zone != "UTC"

    @property
    def units(self) -> tuple[Unit, ...]:
        """The units of time that may be taken whole, largest first."""
        if "hour" in self.group_by:
            return ("hour",)
        if self.by_local_day and self.since is not None and not worth_moving(self.since, ZoneInfo(self.zone)):
            return ("hour",)
        return ("day", "hour") if "day" in self.group_by else ("month", "day", "hour")

    @property
    def from_totals(self) -> bool:
        named = {*self.group_by, *(name for name, _ in self.names)} - set(TIMES)
        return not self.tags and named <= TOTALS


@dataclass(frozen=True, slots=True)
class UsageRow:
    """The group's values in the order asked for, and the sums. `cost_usd` includes the adjustments."""

    group: tuple[str | date | datetime, ...]
    sums: dict[str, int | Decimal]


def usage(question: Question, *, limit: int | None = None, offset: int = 0) -> tuple[list[UsageRow], int]:
    """Rows ordered by their group, and how many there are in all. Raises BadQuestion."""
    statement = _statement(question)
    page, place = ("", ()) if limit is None else (" LIMIT %s OFFSET %s", (limit, offset))
    try:
        rows = Statement(statement.sql + page, (*statement.parameters, *place)).run()
    except OperationalError as error:
        if not overflows(error):
            raise
        statement = _statement(question, summed=_bounded)
        rows = Statement(statement.sql + page, (*statement.parameters, *place)).run()
    if rows:
        return [_row(question, row) for row in rows], int(rows[0][-1])
    if offset:
        counted = Statement(f"SELECT COUNT(*) FROM ({statement.sql}) AS groups", statement.parameters).run()
        return [], int(counted[0][0])
    return [], 0


def each_usage(question: Question, size: int = 20_000) -> Iterator[UsageRow]:
    """All rows, a page at a time."""
    offset = 0
    while True:
        rows, _ = usage(question, limit=size, offset=offset)
        yield from rows
        if len(rows) < size:
            return
        offset += size


def total_cost(question: Question) -> Decimal:
    """Dollars, adjustments included."""
    facts = _facts(question, ("cost_usd", "adjustment_usd"))
    sql = f"SELECT SUM(cost_usd), SUM(adjustment_usd) FROM ({facts.sql}) AS facts"
    try:
        found = Statement(sql, facts.parameters).run()
    except OperationalError as error:
        if not overflows(error):
            raise
        sql = f"SELECT {_bounded('cost_usd')}, {_bounded('adjustment_usd')} FROM ({facts.sql}) AS facts"
        found = Statement(sql, facts.parameters).run()
    return sum((read_money(value) for value in found[0]), Decimal(0))


def _plain(measure: str) -> str:
    return f"SUM({measure})"


def _bounded(measure: str) -> str:
    """For SQLite, which gives up where a sum is beyond what a column holds."""
    return bounded_sum(measure, LARGEST)


def _statement(question: Question, summed: Callable[[str], str] = _plain) -> Statement:
    if question.by_local_day:
        _whole_hours(question)
    facts = _facts(question, _NEEDED)
    columns, given = _groups(question)
    sums = ", ".join(f"coalesce({summed(f'facts.{name}')}, 0)" for name in _NEEDED)
    places = ", ".join(str(place + 1) for place in range(len(columns)))
    grouped = f" GROUP BY {places}{_something(question)} ORDER BY {places}" if columns else ""
    named = any(name not in TIMES for name in question.group_by)
    names = f" JOIN {DIMENSIONS} names ON names.id = facts.dimension_id" if named else ""
    sql = f"SELECT {', '.join([*columns, sums])}, COUNT(*) OVER () FROM ({facts.sql}) AS facts{names}{grouped}"
    return Statement(sql, (*given, *facts.parameters))


def _something(question: Question) -> str:
    """Where hours were moved away, what is left of a group may be nothing: that is no row."""
    if not question.by_local_day:
        return ""
    return f" HAVING {' OR '.join(f'SUM(facts.{name}) <> 0' for name in _NEEDED)}"


def _groups(question: Question) -> tuple[list[str], list[Any]]:
    columns: list[str] = []
    given: list[Any] = []
    for name in question.group_by:
        if name.startswith(TAG):
            columns.append(tag("names.tags"))
            given.append(name.removeprefix(TAG))
        elif name == "day" and question.by_local_day:
            columns.append(local_day("facts.bucket"))
            given.append(question.zone)
        elif name == "day" and "hour" in question.group_by:
            columns.append(beginning("day", "facts.bucket"))
        else:
            columns.append("facts.bucket" if name in TIMES else f'names."{name}"')
    return columns, given


def _facts(question: Question, measures: tuple[str, ...]) -> Statement:
    """`dimension_id`, `bucket` and measures of every stretch of the period, one below the other.

    By days of UTC, every bucket is one: so most rows can be taken as they are."""
    condition, given = _names(question)
    levels = _TOTAL_LEVELS if question.from_totals else _ALL_LEVELS
    parts: list[str] = []
    parameters: list[Any] = []
    nothing = Stretch("hour", _EARLIEST, _EARLIEST)
    days = "day" in question.units and "month" not in question.units and not question.by_local_day
    for stretch in stretches(question.since, question.until, question.units) or [nothing]:
        local = question.by_local_day and stretch.unit == "day"
        found = _local(stretch, levels, measures, question) if local else [_stretch(stretch, levels, measures, days)]
        for part in found:
            parts.append(f"{part.sql}{condition}")
            parameters += [*part.parameters, *given]
    return Statement(" UNION ALL ".join(parts), tuple(parameters))


def _stretch(stretch: Stretch, levels: dict[Unit, Level], measures: tuple[str, ...], days: bool = False) -> Statement:
    """A stretch's rows; with `days`, the day that each is in for its hour."""
    given_bucket = "hour" if stretch.unit is None else "bucket"
    shortened = days and stretch.unit != "day"
    bucket = f"{beginning('day', given_bucket) if shortened else given_bucket} AS bucket"
    columns = ", ".join(("dimension_id", bucket, *measures))
    if stretch.unit is None:
        added = contributions(between(stretch.start or _EARLIEST, stretch.end or _LATEST), bounded=True)
        return Statement(f"SELECT {columns} FROM ({added.sql}) AS added WHERE true", added.parameters)
    bounds = [("bucket >= %s", stretch.start), ("bucket < %s", stretch.end)]
    given = [(text, moment(value)) for text, value in bounds if value is not None]
    conditions = "".join(f" AND {text}" for text, _ in given)
    sql = f"SELECT {columns} FROM {levels[stretch.unit].table} WHERE true{conditions}"
    return Statement(sql, tuple(value for _, value in given))


def _local(
    stretch: Stretch, levels: dict[Unit, Level], measures: tuple[str, ...], question: Question
) -> list[Statement]:
    """Days of UTC as days of a zone: each as if all of it were at its noon, and the hours of other days moved there."""
    assert stretch.start is not None
    assert stretch.end is not None
    whole = _stretch(stretch, levels, measures)
    at_noon = Statement(whole.sql.replace("bucket AS bucket", f"{noon('bucket')} AS bucket", 1), whole.parameters)
    hours = listed_moments(moved_hours(stretch.start, stretch.end, ZoneInfo(question.zone)))
    source = f"FROM {levels['hour'].table} WHERE {among('bucket')}"
    away = ", ".join(f"-{name} AS {name}" for name in measures)
    return [
        at_noon,
        Statement(f"SELECT dimension_id, {noon('bucket')} AS bucket, {away} {source}", (hours,)),
        Statement(f"SELECT dimension_id, bucket, {', '.join(measures)} {source}", (hours,)),
    ]


def _names(question: Question) -> tuple[str, list[Any]]:
    """The condition on `dimension_id`, "" if all names count."""
    conditions = [f'"{name}" = %s' for name, _ in question.names]
    given: list[Any] = [value for _, value in question.names]
    for name, value in question.tags:
        conditions.append(f"{tag('tags')} = %s")
        given += [name, value]
    if question.alias_pattern not in ("", "*"):
        condition, pattern = fits("alias", question.alias_pattern)
        conditions.append(condition)
        given.append(pattern)
    if not conditions:
        return "", []
    return f" AND dimension_id IN (SELECT id FROM {DIMENSIONS} WHERE {' AND '.join(conditions)})", given


def _row(question: Question, row: tuple[Any, ...]) -> UsageRow:
    count = len(question.group_by)
    group = tuple(_value(name, value) for name, value in zip(question.group_by, row[:count], strict=True))
    sums: dict[str, int | Decimal] = {
        figure: read_money(value) if name in MONEY else int(value)
        for (figure, name), value in zip(FIGURES.items(), row[count:-1], strict=True)
    }
    sums["cost_usd"] += sums["adjustment_usd"]
    return UsageRow(group, sums)


def _value(name: str, value: Any) -> str | date | datetime:
    if name == "hour":
        return read_moment(value)
    if name == "day":
        text = value.isoformat() if isinstance(value, date) else str(value)
        return date.fromisoformat(text[:10])
    return str(value)


def _whole_hours(question: Question) -> None:
    """Days of a zone are made of hours that begin when UTC's do; where that is not so, no sum would be exact."""
    zone = ZoneInfo(question.zone)
    if question.since is None or question.until is None:
        raise BadQuestion("Days of a time zone need a beginning and an end: give since and until.")
    if question.until - question.since > LONGEST_IN_A_ZONE:
        raise BadQuestion("Days of a time zone are given for ten years at most.")
    if cuts_hours(question.since, question.until, zone):
        raise BadQuestion(f"{question.zone} is not whole hours from UTC; usage is kept by hours of UTC.")
