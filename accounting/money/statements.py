"""The statements of reports: sums by names and by time, the largest groups, costs of several questions at once."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from accounting.money.contributions import TOKENS, Statement
from accounting.money.dialect import among, beginning, in_sqlite, kept_apart, listed, local_beginning, local_day, tag
from accounting.money.facts import facts, looked_up, named
from accounting.money.first_bytes import COLUMNS as TIMED
from accounting.money.question import TAG, TIMES, Question
from accounting.money.rollups import DIMENSIONS

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
NEEDED = tuple(FIGURES.values())
# What rows can be ordered by, the most first, and bars are made of: the columns that add up to it.
ORDERS: dict[str, tuple[str, ...]] = {
    **{figure: (column,) for figure, column in FIGURES.items()},
    "cost_usd": ("cost_usd", "adjustment_usd"),
    "tokens": TOKENS,
}
Summed = Callable[[str], str]  # an expression → the expression of its sum


class Ranking(NamedTuple):
    """The `limit` groups of a question with the most of `order`, one of `ORDERS`."""

    question: Question
    order: str
    limit: int


def paged(statement: Statement, page: str, place: tuple[int, ...]) -> Statement:
    return Statement(statement.sql + page, (*statement.parameters, *place))


def counted(statement: Statement) -> Statement:
    return Statement(f"SELECT COUNT(*) FROM ({statement.sql}) AS groups", statement.parameters)


def costs(questions: Sequence[Question], summed: Summed) -> Statement:
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


def measures(question: Question, orders: Sequence[str], summed: Summed) -> Statement:
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


def groups_of(question: Question, order: str, timed: bool, summed: Summed, *, totals: bool = False) -> Statement:
    needed = (*NEEDED, *TIMED) if timed else NEEDED
    source = _source(question, needed, summed)
    columns, given = _groups(question)
    values = [*columns, *(f"coalesce({summed(f'facts.{name}')}, 0)" for name in needed)]
    if totals:
        values += [f"coalesce(SUM({summed(f'facts.{name}')}) OVER (), 0)" for name in needed]
    selected = ", ".join(f"{value} AS v{place}" for place, value in enumerate(values, start=1))
    places = ", ".join(str(place) for place in range(1, len(columns) + 1))
    grouped = f" GROUP BY {places}{_something(question, summed)}" if columns else ""
    names = f" JOIN {DIMENSIONS} names ON names.id = facts.dimension_id" if by_names(question) else ""
    groups = f"SELECT {selected} FROM ({source.sql}) AS facts{names}{grouped}"
    answer = f"SELECT answer.*, COUNT(*) OVER () AS whole FROM answer{_ordered(order, len(columns))}"
    return Statement(f"WITH answer AS {kept_apart()}({groups}) {answer}", (*given, *source.parameters))


def largest_of(rankings: Sequence[Ranking], summed: Summed) -> Statement:
    """The answers of all, one below the other: its place among them, its rank, names (as many as the widest has), sums, sums
    of all its groups, and how many groups there are."""
    width = max(len(each.question.group_by) for each in rankings)
    parts: list[str] = []
    parameters: list[Any] = []
    for place, (question, order, limit) in enumerate(rankings):
        count = len(question.group_by)
        found = paged(groups_of(question, order, False, summed, totals=True), " LIMIT %s", (limit,))
        rank = f"ROW_NUMBER() OVER ({_ordered(order, count).strip()}) AS position"
        names = [f"v{number}" for number in range(1, count + 1)] + ["NULL"] * (width - count)
        sums = [f"v{count + number}" for number in range(1, 2 * len(NEEDED) + 1)]
        columns = ", ".join([f"{place} AS place", rank, *names, *sums, "whole"])
        parts.append(f"SELECT {columns} FROM ({found.sql}) AS part{place}")
        parameters += found.parameters
    return Statement(f"{' UNION ALL '.join(parts)} ORDER BY 1, 2", tuple(parameters))


def _ordered(order: str, count: int) -> str:
    """By what there is most of, and then by the `count` columns of names."""
    if not count:
        return ""
    names = [f"v{number}" for number in range(1, count + 1)]
    most = [" + ".join(f"v{count + 1 + NEEDED.index(column)}" for column in ORDERS[order]) + " DESC"] if order else []
    return f" ORDER BY {', '.join([*most, *names])}"


def _source(question: Question, needed: tuple[str, ...], summed: Summed) -> Statement:
    """The facts; where no time is asked for, one for each id: so that few have to be given their names."""
    found = facts(question, needed, looked_up(question))
    if set(TIMES) & set(question.group_by) or not by_names(question):
        return found
    sums = ", ".join(f"{summed(name)} AS {name}" for name in needed)
    return Statement(f"SELECT dimension_id, {sums} FROM ({found.sql}) AS each GROUP BY 1", found.parameters)


def by_names(question: Question) -> bool:
    return any(name not in TIMES for name in question.group_by)


def _something(question: Question, summed: Summed) -> str:
    """Where something was taken away, what is left of a group may be nothing: that is no row."""
    if not question.takes_away:
        return ""
    left = " OR ".join(f"{summed(f'facts.{name}')} <> 0" for name in NEEDED)
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
