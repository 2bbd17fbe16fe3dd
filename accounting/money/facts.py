"""The rows of roll-ups that a question is about: one statement over stretches of months, days, hours, and cut ends.

Totals (without keys, people and tags) are taken where the question names none of those.
"""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from accounting.money.contributions import Statement, contributions
from accounting.money.dialect import among, beginning, fits, listed_moments, moment, noon, tag
from accounting.money.local_days import cuts_hours, moved_hours
from accounting.money.periods import Stretch, Unit, stretches
from accounting.money.question import BadQuestion, Question
from accounting.money.rebuild import between
from accounting.money.rollups import DAY_TOTALS, DAYS, DIMENSIONS, HOUR_TOTALS, HOURS, MONTHS, Level

_ALL_LEVELS: dict[Unit, Level] = {"hour": HOURS, "day": DAYS, "month": MONTHS}
_TOTAL_LEVELS: dict[Unit, Level] = {"hour": HOUR_TOTALS, "day": DAY_TOTALS, "month": MONTHS}
_EARLIEST, _LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)
LONGEST_IN_A_ZONE = timedelta(days=3700)


def facts_of(question: Question, measures: tuple[str, ...]) -> Statement:
    """`dimension_id`, `bucket` and measures of every stretch of the period, one below the other.

    By days of UTC, every bucket is one: so most rows can be taken as they are."""
    condition, given = condition_of(question)
    levels = _TOTAL_LEVELS if question.from_totals else _ALL_LEVELS
    parts: list[str] = []
    parameters: list[Any] = []
    nothing = Stretch("hour", _EARLIEST, _EARLIEST)
    days = "day" in question.units and "month" not in question.units and not question.by_local_date
    for stretch in stretches(question.since, question.until, question.units) or [nothing]:
        local = question.by_local_date and stretch.unit == "day"
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
        added = contributions(between(stretch.start or _EARLIEST, stretch.end or _LATEST))
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


def condition_of(question: Question) -> tuple[str, list[Any]]:
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


def check_zone(question: Question) -> None:
    """Days of a zone are made of hours that begin when UTC's do; where that is not so, no sum would be exact."""
    zone = ZoneInfo(question.zone)
    if question.since is None or question.until is None:
        raise BadQuestion("Days of a time zone need a beginning and an end: give since and until.")
    if question.until - question.since > LONGEST_IN_A_ZONE:
        raise BadQuestion("Days of a time zone are given for ten years at most.")
    if cuts_hours(question.since, question.until, zone):
        raise BadQuestion(f"{question.zone} is not whole hours from UTC; usage is kept by hours of UTC.")
