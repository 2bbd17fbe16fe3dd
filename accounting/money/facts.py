"""The facts that a question is about: rows of roll-ups and of records, one stretch of the period below the other."""

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from accounting.money.contributions import TOTALS, Statement, contributions
from accounting.money.dialect import among, beginning, fits, in_sqlite, listed, listed_moments, moment, noon, tag
from accounting.money.local_days import moved_hours
from accounting.money.periods import Stretch, Unit
from accounting.money.question import Question
from accounting.money.rebuild import between
from accounting.money.rollups import DAY_TOTALS, DAYS, DIMENSIONS, HOUR_TOTALS, HOURS, MONTHS, Level

_ALL_LEVELS: dict[Unit, Level] = {"hour": HOURS, "day": DAYS, "month": MONTHS}
_TOTAL_LEVELS: dict[Unit, Level] = {"hour": HOUR_TOTALS, "day": DAY_TOTALS, "month": MONTHS}
MOST_LOOKED_UP = 10_000  # ids in one question
_ALL = Statement("", ())
_EARLIEST, _LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)


def facts(question: Question, measures: tuple[str, ...], names: Statement) -> Statement:
    """`dimension_id`, `bucket` and measures of every stretch of the period, one below the other.

    By days of UTC, every bucket is one: so most rows can be taken as they are."""
    levels = _TOTAL_LEVELS if question.from_totals else _ALL_LEVELS
    parts: list[str] = []
    parameters: list[Any] = []
    nothing = Stretch("hour", _EARLIEST, _EARLIEST)
    days = "day" in question.units and "month" not in question.units and not question.by_local_date
    for stretch in question.stretches or [nothing]:
        local = question.by_local_date and stretch.unit == "day"
        found = _local(stretch, levels, measures, question) if local else [_stretch(stretch, levels, measures, days)]
        for part in found:
            parts.append(f"{part.sql}{names.sql}")
            parameters += [*part.parameters, *names.parameters]
    return Statement(" UNION ALL ".join(parts), tuple(parameters))


def _stretch(stretch: Stretch, levels: dict[Unit, Level], measures: tuple[str, ...], days: bool = False) -> Statement:
    """A stretch's rows; with `days`, the day that each is in for its hour."""
    given_bucket = "hour" if stretch.unit is None else "bucket"
    shortened = days and stretch.unit != "day"
    bucket = f"{beginning('day', given_bucket) if shortened else given_bucket} AS bucket"
    signed = tuple(f"-{name} AS {name}" for name in measures) if stretch.minus else measures
    columns = ", ".join(("dimension_id", bucket, *signed))
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


def named(question: Question) -> Statement:
    """Which facts have the names that are asked for, as a condition that follows others; nothing if all have."""
    names = _named(question)
    return Statement(f" AND dimension_id IN ({names.sql})", names.parameters) if names else _ALL


def looked_up(question: Question) -> Statement:
    """The same with the ids of the names themselves, for keys, people and tags in PostgreSQL. Where there are few, it then
    knows how many, and does not have to guess how many names have a tag."""
    names = _named(question)
    if names is None or in_sqlite() or not (question.tags or {name for name, _ in question.names} - TOTALS):
        return named(question)
    found = Statement(f"{names.sql} LIMIT {MOST_LOOKED_UP + 1}", names.parameters).run()
    if len(found) > MOST_LOOKED_UP:
        return named(question)
    return Statement(f" AND {among('dimension_id')}", (listed([row[0] for row in found]),))


def _named(question: Question) -> Statement | None:
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
        return None
    return Statement(f"SELECT id FROM {DIMENSIONS} WHERE {' AND '.join(conditions)}", tuple(given))
