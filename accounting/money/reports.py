"""Usage by any of its names and by time, out of roll-ups; the ends of a period that are no whole hours out of records.

Long stretches come from months and days, so a year costs little more than a day. Totals (without keys, people and tags) are
used where the question names none of those.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from django.db import OperationalError

from accounting.money.contributions import MONEY, Statement
from accounting.money.dialect import (
    LARGEST,
    beginning,
    bounded_sum,
    kept_apart,
    local_day,
    overflows,
    read_moment,
    read_money,
    reading,
    tag,
)
from accounting.money.facts import facts, looked_up, named
from accounting.money.question import FILTERS, GROUPS, TAG, TIMES, BadQuestion, Question, check_whole_hours
from accounting.money.rollups import DIMENSIONS

__all__ = [
    "FIGURES",
    "FILTERS",
    "GROUPS",
    "TAG",
    "BadQuestion",
    "Question",
    "UsageRow",
    "each_usage",
    "total_cost",
    "usage",
]

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


@dataclass(frozen=True, slots=True)
class UsageRow:
    """The group's values in the order asked for, and the sums. `cost_usd` includes the adjustments."""

    group: tuple[str | date | datetime, ...]
    sums: dict[str, int | Decimal]


def usage(question: Question, *, limit: int | None = None, offset: int = 0) -> tuple[list[UsageRow], int]:
    """Rows ordered by their group, and how many there are in all. Raises BadQuestion."""
    if question.by_local_day:
        check_whole_hours(question)
    page, place = ("", ()) if limit is None else (" LIMIT %s OFFSET %s", (limit, offset))
    with reading():
        try:
            statement = _statement(question)
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
    """Dollars, adjustments included; one query."""
    found_in = facts(question, ("cost_usd", "adjustment_usd"), named(question))
    sql = f"SELECT SUM(cost_usd), SUM(adjustment_usd) FROM ({found_in.sql}) AS facts"
    try:
        found = Statement(sql, found_in.parameters).run()
    except OperationalError as error:
        if not overflows(error):
            raise
        sql = f"SELECT {_bounded('cost_usd')}, {_bounded('adjustment_usd')} FROM ({found_in.sql}) AS facts"
        found = Statement(sql, found_in.parameters).run()
    return sum((read_money(value) for value in found[0]), Decimal(0))


def _plain(measure: str) -> str:
    return f"SUM({measure})"


def _bounded(measure: str) -> str:
    """For SQLite, which gives up where a sum is beyond what a column holds."""
    return bounded_sum(measure, LARGEST)


def _statement(question: Question, summed: Callable[[str], str] = _plain) -> Statement:
    source = _source(question, summed)
    columns, given = _groups(question)
    values = [*columns, *(f"coalesce({summed(f'facts.{name}')}, 0)" for name in _NEEDED)]
    selected = ", ".join(f"{value} AS v{place}" for place, value in enumerate(values, start=1))
    places = ", ".join(str(place) for place in range(1, len(columns) + 1))
    grouped, ordered = (
        (f" GROUP BY {places}{_something(question, summed)}", f" ORDER BY {places}") if columns else ("", "")
    )
    names = f" JOIN {DIMENSIONS} names ON names.id = facts.dimension_id" if _by_names(question) else ""
    groups = f"SELECT {selected} FROM ({source.sql}) AS facts{names}{grouped}"
    sql = f"WITH answer AS {kept_apart()}({groups}) SELECT answer.*, COUNT(*) OVER () FROM answer{ordered}"
    return Statement(sql, (*given, *source.parameters))


def _source(question: Question, summed: Callable[[str], str]) -> Statement:
    """The facts; where no time is asked for, one for each id: so that few have to be given their names."""
    found = facts(question, _NEEDED, looked_up(question))
    if set(TIMES) & set(question.group_by) or not _by_names(question):
        return found
    sums = ", ".join(f"{summed(name)} AS {name}" for name in _NEEDED)
    return Statement(f"SELECT dimension_id, {sums} FROM ({found.sql}) AS each GROUP BY 1", found.parameters)


def _by_names(question: Question) -> bool:
    return any(name not in TIMES for name in question.group_by)


def _something(question: Question, summed: Callable[[str], str]) -> str:
    """Where something was taken away, what is left of a group may be nothing: that is no row."""
    if not question.takes_away:
        return ""
    left = " OR ".join(f"{summed(f'facts.{name}')} <> 0" for name in _NEEDED)
    return f" HAVING {left}"


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
