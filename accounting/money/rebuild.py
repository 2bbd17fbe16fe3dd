"""Computing roll-ups again, while traffic goes on.

Each hour, day and month is one transaction of its own, in which nobody else stores: recorders wait for it, for a moment,
and keep what comes in the spool meanwhile. What was counted before is counted anew from records and ledger, so a run that is
interrupted can simply be repeated.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import connection, transaction

from accounting.models import LedgerEntry, RequestRecord
from accounting.money.contributions import MEASURES, Chosen, Statement, summed
from accounting.money.dialect import lock_alone, moment, read_moment
from accounting.money.periods import Unit, ceiling, floor, following
from accounting.money.rollups import DAY_TOTALS, DAYS, HOUR_TOTALS, HOURLY, HOURS, MONTHS, OUTCOMES, Level, add

_SOURCES = ((DAYS, HOURS), (DAY_TOTALS, HOUR_TOTALS), (MONTHS, DAYS))


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What was computed again: the hours, and the days and months that they are in."""

    hours: int = 0
    days: int = 0
    months: int = 0


def between(start: datetime, end: datetime) -> Chosen:
    """The records that started in a period, and the lines that belong into it."""
    bounds = (moment(start), moment(end))
    return Chosen("r.started_at >= %s AND r.started_at < %s", bounds, "l.at >= %s AND l.at < %s", bounds)


def bounds(since: datetime | None, until: datetime | None) -> tuple[datetime, datetime] | None:
    """The whole hours of a period in which there is something to compute from; None if there are none.

    It begins with the oldest record: what was counted before it cannot be counted again, and is left alone.
    """
    records, lines = RequestRecord.objects.order_by("started_at"), LedgerEntry.objects.order_by("at")
    oldest, newest = (records.values_list("started_at", flat=True).first(), records.values_list("started_at").last())
    if oldest is None or newest is None:
        return None
    last_line = lines.values_list("at", flat=True).last()
    latest = max(newest[0], last_line or newest[0])
    start = floor(max(oldest, since or oldest), "hour")
    end = following(floor(latest, "hour"), "hour")
    if until is not None:
        end = min(end, ceiling(until, "hour"))
    return (start, end) if start < end else None


def rebuild(since: datetime | None = None, until: datetime | None = None) -> Rebuilt:
    """Computes the roll-ups of a period again; hours that are cut are computed whole. Raises whatever the database raises."""
    period = bounds(since, until)
    if period is None:
        return Rebuilt()
    hours = days = months = 0
    for start in _occupied(*period):
        _hour(start)
        hours += 1
    for start in _units(floor(period[0], "day"), period[1], "day"):
        _from_smaller(start, "day")
        days += 1
    for start in _units(floor(period[0], "month"), period[1], "month"):
        _from_smaller(start, "month")
        months += 1
    return Rebuilt(hours, days, months)


def _hour(start: datetime) -> None:
    end = following(start, "hour")
    with transaction.atomic():
        lock_alone()
        for table in (*(level.table for level in HOURLY), OUTCOMES):
            _clear(table, start)
        add(between(start, end), HOURLY, bounded=True)


def _from_smaller(start: datetime, unit: Unit) -> None:
    """A day out of its hours, or a month out of its days."""
    end = following(start, unit)
    with transaction.atomic():
        lock_alone()
        for level, source in _SOURCES:
            if level.unit == unit:
                _clear(level.table, start)
                _sum(level, source, start, end)


def _clear(table: str, start: datetime) -> None:
    Statement(f"DELETE FROM {table} WHERE bucket = %s", (moment(start),)).run()


def _sum(level: Level, source: Level, start: datetime, end: datetime) -> None:
    at = moment(start)
    typed = "%s" if connection.vendor == "sqlite" else "%s::timestamptz"
    sql = (
        f"INSERT INTO {level.table} (dimension_id, bucket, {', '.join(MEASURES)}) "
        f"SELECT dimension_id, {typed}, {summed(most=level.most)} FROM {source.table} WHERE bucket >= %s AND bucket < %s "
        "GROUP BY dimension_id"
    )
    Statement(sql, (at, at, moment(end))).run()


def _occupied(start: datetime, end: datetime) -> Iterator[datetime]:
    """The hours in which something happened or is counted."""
    while (found := next_occupied(start, end, (HOURS,))) is not None:
        yield floor(found, "hour")
        start = following(floor(found, "hour"), "hour")


def next_occupied(start: datetime, end: datetime, levels: Sequence[Level]) -> datetime | None:
    """The earliest moment of a period at which there is a record, a line, or a row of these levels."""
    sources = [(RequestRecord._meta.db_table, "started_at"), (LedgerEntry._meta.db_table, "at")]
    return _earliest([*sources, *((level.table, "bucket") for level in levels)], start, end)


def _earliest(sources: Sequence[tuple[str, str]], start: datetime, end: datetime) -> datetime | None:
    sql = " UNION ALL ".join(
        f"SELECT MIN({column}) FROM {table} WHERE {column} >= %s AND {column} < %s" for table, column in sources
    )
    rows = Statement(sql, (moment(start), moment(end)) * len(sources)).run()
    return min((read_moment(row[0]) for row in rows if row[0] is not None), default=None)


def _units(start: datetime, end: datetime, unit: Unit) -> Iterator[datetime]:
    """The days or months of a period that are counted, or should be."""
    levels = {"hour": (HOURS,), "day": (HOURS, DAYS), "month": (DAYS, MONTHS)}[unit]
    sources = [(level.table, "bucket") for level in levels]
    while (found := _earliest(sources, start, end)) is not None:
        yield floor(found, unit)
        start = following(floor(found, unit), unit)
