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

from accounting.money.contributions import MONEY, Statement
from accounting.money.dialect import LARGEST, bounded_sum, overflows, read_moment, read_money, reading
from accounting.money.first_bytes import NOTHING, FirstBytes
from accounting.money.question import DATES, FILTERS, GROUPS, TAG, BadQuestion, Question, check_whole_hours
from accounting.money.statements import (
    FIGURES,
    NEEDED,
    Ranking,
    Summed,
    costs,
    counted,
    groups_of,
    largest_of,
    measures,
    paged,
)

__all__ = [
    "FIGURES",
    "FILTERS",
    "GROUPS",
    "TAG",
    "BadQuestion",
    "Question",
    "Ranking",
    "UsageRow",
    "each_usage",
    "total_cost",
    "usage",
]
Value = str | date | datetime | None


@dataclass(frozen=True, slots=True)
class UsageRow:
    """The group's values in the order asked for, and the sums. `cost_usd` includes the adjustments."""

    group: tuple[Value, ...]
    sums: dict[str, int | Decimal]
    first_bytes: FirstBytes = NOTHING


@dataclass(frozen=True, slots=True)
class Largest:
    """The groups with the most, how many there are in all, and what all of them come to."""

    rows: list[UsageRow]
    count: int
    total: UsageRow


def usage(
    question: Question, *, limit: int | None = None, offset: int = 0, order: str = "", timed: bool = False
) -> tuple[list[UsageRow], int]:
    """Rows ordered by their group, or by one of `ORDERS`, and how many there are in all; `timed` with times to the first
    byte. Raises BadQuestion."""
    _check(question)
    page, place = ("", ()) if limit is None else (" LIMIT %s OFFSET %s", (limit, offset))
    with reading():
        rows = _answered(lambda summed: paged(groups_of(question, order, timed, summed), page, place))
        if rows:
            return [_row(question, row) for row in rows], int(rows[0][-1])
        if offset:
            found = _answered(lambda summed: counted(groups_of(question, order, timed, summed)))
            return [], int(found[0][0])
    return [], 0


def largest(*rankings: Ranking) -> list[Largest]:
    """The answer to each, all in one query and of one state of the database."""
    for each in rankings:
        _check(each.question)
    with reading():
        rows = _answered(lambda summed: largest_of(rankings, summed))
    width = max(len(each.question.group_by) for each in rankings)
    return [
        _ranked(each.question, [row[2:] for row in rows if row[0] == place], width)
        for place, each in enumerate(rankings)
    ]


def _ranked(question: Question, rows: Sequence[tuple[Any, ...]], width: int) -> Largest:
    names, sums = len(question.group_by), slice(width, width + len(NEEDED))
    whole = rows[0][sums.stop : -1] if rows else (0,) * len(NEEDED)
    return Largest(
        rows=[_row(question, (*row[:names], *row[sums], 0)) for row in rows],
        count=int(rows[0][-1]) if rows else 0,
        total=_row(replace(question, group_by=()), (*whole, 0)),
    )


def measured(question: Question, orders: Sequence[str]) -> list[tuple[tuple[Value, ...], tuple[int | Decimal, ...]]]:
    """Nothing but some of `ORDERS` of each group, in no order. What names a group is worked out once for each dimension, not
    for each row of the roll-ups."""
    _check(question)
    with reading():
        rows = _answered(lambda summed: measures(question, orders, summed))
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
    found = {place: values for place, *values in _answered(lambda summed: costs(questions, summed))}
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


def _row(question: Question, row: tuple[Any, ...]) -> UsageRow:
    count = len(question.group_by)
    group = tuple(_value(name, value) for name, value in zip(question.group_by, row[:count], strict=True))
    sums: dict[str, int | Decimal] = {
        figure: read_money(value) if name in MONEY else int(value)
        for (figure, name), value in zip(FIGURES.items(), row[count : count + len(NEEDED)], strict=True)
    }
    sums["cost_usd"] += sums["adjustment_usd"]
    timed = row[count + len(NEEDED) : -1]
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
