"""Usage by any of its names and by time, out of roll-ups; the ends of a period that are no whole hours out of records.

Long stretches come from months and days, so a year costs little more than a day. Totals (without keys, people and tags) are
used where the question names none of those.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from django.db import OperationalError

from accounting.money.contributions import MONEY, TOKENS, Statement
from accounting.money.dialect import (
    LARGEST,
    among,
    beginning,
    bounded_sum,
    in_sqlite,
    kept_apart,
    listed,
    local_beginning,
    local_day,
    overflows,
    read_moment,
    read_money,
    reading,
    tag,
)
from accounting.money.facts import facts, looked_up, named
from accounting.money.first_bytes import COLUMNS as TIMED
from accounting.money.first_bytes import NOTHING, FirstBytes
from accounting.money.question import DATES, FILTERS, GROUPS, TAG, TIMES, BadQuestion, Question, check_whole_hours
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
# What rows can be ordered by, the most first, and bars are made of: the columns that add up to it.
ORDERS: dict[str, tuple[str, ...]] = {
    **{figure: (column,) for figure, column in FIGURES.items()},
    "cost_usd": ("cost_usd", "adjustment_usd"),
    "tokens": TOKENS,
}
Value = str | date | datetime | None
Summed = Callable[[str], str]  # an expression → the expression of its sum


@dataclass(frozen=True, slots=True)
class UsageRow:
    """The group's values in the order asked for, and the sums. `cost_usd` includes the adjustments."""

    group: tuple[Value, ...]
    sums: dict[str, int | Decimal]
    first_bytes: FirstBytes = NOTHING


def usage(
    question: Question, *, limit: int | None = None, offset: int = 0, order: str = "", timed: bool = False
) -> tuple[list[UsageRow], int]:
    """Rows ordered by their group, or by one of `ORDERS`, and how many there are in all; `timed` with times to the first
    byte. Raises BadQuestion."""
    _check(question)
    page, place = ("", ()) if limit is None else (" LIMIT %s OFFSET %s", (limit, offset))
    with reading():
        rows = _answered(lambda summed: _paged(_statement(question, order, timed, summed), page, place))
        if rows:
            return [_row(question, row) for row in rows], int(rows[0][-1])
        if offset:
            found = _answered(lambda summed: _counted(_statement(question, order, timed, summed)))
            return [], int(found[0][0])
    return [], 0


def largest(question: Question, order: str, limit: int) -> tuple[list[UsageRow], int, UsageRow]:
    """The groups with the most, how many there are in all, and what all of them come to, of one state of the database."""
    _check(question)
    with reading():
        rows = _answered(
            lambda summed: _paged(_statement(question, order, False, summed, totals=True), " LIMIT %s", (limit,))
        )
    count = len(question.group_by)
    nothing = (0,) * len(_NEEDED)
    whole = rows[0][count + len(_NEEDED) : -1] if rows else nothing
    total = _row(replace(question, group_by=()), (*whole, 0))
    return [_row(question, (*row[: count + len(_NEEDED)], 0)) for row in rows], int(rows[0][-1]) if rows else 0, total


def measured(question: Question, orders: Sequence[str]) -> list[tuple[tuple[Value, ...], tuple[int | Decimal, ...]]]:
    """Nothing but some of `ORDERS` of each group, in no order. What names a group is worked out once for each dimension, not
    for each row of the roll-ups."""
    _check(question)
    with reading():
        rows = _answered(lambda summed: _measures(question, orders, summed))
    return [_measured(question, orders, row) for row in rows]


def each_usage(question: Question, size: int = 20_000, *, timed: bool = False) -> Iterator[UsageRow]:
    """All rows, a page at a time."""
    offset = 0
    while True:
        rows, _ = usage(question, limit=size, offset=offset, timed=timed)
        yield from rows
        if len(rows) < size:
            return
        offset += size


def total_cost(question: Question) -> Decimal:
    """Dollars, adjustments included."""
    return total_costs([question])[0]


def total_costs(questions: Sequence[Question]) -> list[Decimal]:
    """The dollars of each, in one query."""
    if not questions:
        return []
    found = {place: values for place, *values in _answered(lambda summed: _costs(questions, summed))}
    return [sum((read_money(value) for value in found[place]), Decimal(0)) for place in range(len(questions))]


def _check(question: Question) -> None:
    if question.by_local_date:
        check_whole_hours(question)


def _plain(expression: str) -> str:
    return f"SUM({expression})"


def _bounded(expression: str) -> str:
    """For SQLite, which gives up where a sum is beyond what a column holds."""
    return bounded_sum(expression, LARGEST)


def _answered(build: Callable[[Summed], Statement]) -> list[tuple[Any, ...]]:
    """The rows of a statement; of one whose sums are bounded, where a sum was too large."""
    try:
        return build(_plain).run()
    except OperationalError as error:
        if not overflows(error):
            raise
        return build(_bounded).run()


def _paged(statement: Statement, page: str, place: tuple[int, ...]) -> Statement:
    return Statement(statement.sql + page, (*statement.parameters, *place))


def _counted(statement: Statement) -> Statement:
    return Statement(f"SELECT COUNT(*) FROM ({statement.sql}) AS groups", statement.parameters)


def _costs(questions: Sequence[Question], summed: Summed) -> Statement:
    parts: list[str] = []
    parameters: list[Any] = []
    for place, question in enumerate(questions):
        found = facts(question, ("cost_usd", "adjustment_usd"), named(question))
        parts.append(
            f"SELECT {place} AS place, {summed('cost_usd')}, {summed('adjustment_usd')} FROM ({found.sql}) AS facts"
        )
        parameters += found.parameters
    return Statement(" UNION ALL ".join(parts), tuple(parameters))


def _sum(order: str, summed: Summed) -> str:
    return " + ".join(f"coalesce({summed(f'facts.{column}')}, 0)" for column in ORDERS[order])


def _measures(question: Question, orders: Sequence[str], summed: Summed) -> Statement:
    needed = tuple(dict.fromkeys(column for order in orders for column in ORDERS[order]))
    source = facts(question, needed, looked_up(question))
    columns, given = _groups(replace(question, group_by=tuple(n for n in question.group_by if n not in TIMES)))
    times = [_time(question, name) for name in question.group_by if name in TIMES]
    aliased = "".join(f", {column} AS name{place}" for place, column in enumerate(columns))
    once = "" if in_sqlite() else " OFFSET 0"  # so that the planner does not move it into the rows
    names = (
        f" JOIN (SELECT id{aliased} FROM {DIMENSIONS} names{once}) names ON names.id = facts.dimension_id"
        if columns
        else ""
    )
    groups = [f"names.name{place}" for place in range(len(columns))] + [column for column, _given in times]
    sums = ", ".join(_sum(order, summed) for order in orders)
    places = ", ".join(str(place + 1) for place in range(len(groups)))
    sql = f"SELECT {', '.join([*groups, sums])} FROM ({source.sql}) AS facts{names} GROUP BY {places}"
    return Statement(sql, (*(value for _column, each in times for value in each), *source.parameters, *given))


def _statement(question: Question, order: str, timed: bool, summed: Summed, *, totals: bool = False) -> Statement:
    needed = (*_NEEDED, *TIMED) if timed else _NEEDED
    source = _source(question, needed, summed)
    columns, given = _groups(question)
    values = [*columns, *(f"coalesce({summed(f'facts.{name}')}, 0)" for name in needed)]
    if totals:
        values += [f"coalesce(SUM({summed(f'facts.{name}')}) OVER (), 0)" for name in needed]
    selected = ", ".join(f"{value} AS v{place}" for place, value in enumerate(values, start=1))
    places = ", ".join(str(place) for place in range(1, len(columns) + 1))
    grouped = f" GROUP BY {places}{_something(question, summed)}" if columns else ""
    names = f" JOIN {DIMENSIONS} names ON names.id = facts.dimension_id" if _by_names(question) else ""
    groups = f"SELECT {selected} FROM ({source.sql}) AS facts{names}{grouped}"
    ordered = f" ORDER BY {_most(order, len(columns))}{places}" if columns else ""
    sql = f"WITH answer AS {kept_apart()}({groups}) SELECT answer.*, COUNT(*) OVER () FROM answer{ordered}"
    return Statement(sql, (*given, *source.parameters))


def _most(order: str, count: int) -> str:
    """The beginning of an order by what there is most of, after `count` columns of names."""
    if not order:
        return ""
    return " + ".join(f"v{count + 1 + _NEEDED.index(column)}" for column in ORDERS[order]) + " DESC, "


def _source(question: Question, needed: tuple[str, ...], summed: Summed) -> Statement:
    """The facts; where no time is asked for, one for each id: so that few have to be given their names."""
    found = facts(question, needed, looked_up(question))
    if set(TIMES) & set(question.group_by) or not _by_names(question):
        return found
    sums = ", ".join(f"{summed(name)} AS {name}" for name in needed)
    return Statement(f"SELECT dimension_id, {sums} FROM ({found.sql}) AS each GROUP BY 1", found.parameters)


def _by_names(question: Question) -> bool:
    return any(name not in TIMES for name in question.group_by)


def _something(question: Question, summed: Summed) -> str:
    """Where something was taken away, what is left of a group may be nothing: that is no row."""
    if not question.takes_away:
        return ""
    left = " OR ".join(f"{summed(f'facts.{name}')} <> 0" for name in _NEEDED)
    return f" HAVING {left}"


def _groups(question: Question) -> tuple[list[str], list[Any]]:
    columns: list[str] = []
    given: list[Any] = []
    for name in question.group_by:
        column, parameters = _time(question, name) if name in TIMES else _name(name)
        if question.kept is not None and question.kept[0] == name:
            column, parameters = (
                f"CASE WHEN {among(column)} THEN {column} END",
                (*parameters, listed(question.kept[1]), *parameters),
            )
        columns.append(column)
        given += parameters
    return columns, given


def _name(name: str) -> tuple[str, tuple[Any, ...]]:
    if name.startswith(TAG):
        return tag("names.tags"), (name.removeprefix(TAG),)
    return f'names."{name}"', ()


def _time(question: Question, name: str) -> tuple[str, tuple[Any, ...]]:
    if name in ("week", "month"):
        return local_beginning(name, "facts.bucket"), (question.zone,)
    if name == "day" and question.by_local_date:
        return local_day("facts.bucket"), (question.zone,)
    if name == "day" and "hour" in question.group_by:
        return beginning("day", "facts.bucket"), ()
    return "facts.bucket", ()


def _row(question: Question, row: tuple[Any, ...]) -> UsageRow:
    count = len(question.group_by)
    group = tuple(_value(name, value) for name, value in zip(question.group_by, row[:count], strict=True))
    sums: dict[str, int | Decimal] = {
        figure: read_money(value) if name in MONEY else int(value)
        for (figure, name), value in zip(FIGURES.items(), row[count : count + len(_NEEDED)], strict=True)
    }
    sums["cost_usd"] += sums["adjustment_usd"]
    timed = row[count + len(_NEEDED) : -1]
    return UsageRow(group, sums, FirstBytes.of(timed) if timed else NOTHING)


def _measured(
    question: Question, orders: Sequence[str], row: tuple[Any, ...]
) -> tuple[tuple[Value, ...], tuple[int | Decimal, ...]]:
    count = len(question.group_by)
    group = tuple(_value(name, value) for name, value in zip(question.group_by, row[:count], strict=True))
    found = zip(orders, row[count:], strict=True)
    return group, tuple(read_money(value) if order in MONEY else int(value) for order, value in found)


def _value(name: str, value: Any) -> Value:
    if value is None:
        return None
    if name == "hour":
        return read_moment(value)
    if name in DATES:
        text = value.isoformat() if isinstance(value, date) else str(value)
        return date.fromisoformat(text[:10])
    return str(value)
