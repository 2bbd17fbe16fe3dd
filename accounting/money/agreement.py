"""The proof that roll-ups, ledger and records agree: every difference, told so that a person can look it up.

Each comparison is one statement, which sees one state of the database; so it holds while traffic goes on.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any

from accounting.models import RequestRecord, UsageDimension
from accounting.models.ledger import ADJUSTMENT
from accounting.money.bulk import limit_of
from accounting.money.contributions import (
    LINES,
    MEASURES,
    MONEY,
    NAMES,
    RECORDS,
    SHARED,
    Statement,
    contributions,
    summed,
)
from accounting.money.dialect import (
    LARGEST,
    beginning,
    identity,
    in_sqlite,
    moment,
    read_identity,
    read_moment,
    read_money,
)
from accounting.money.periods import Unit, floor, following
from accounting.money.rebuild import between, bounds, next_occupied
from accounting.money.rollups import (
    DAY_TOTALS,
    DAYS,
    DIMENSIONS,
    HOUR_TOTALS,
    HOURLY,
    HOURS,
    LEVELS,
    MONTHS,
    OUTCOMES,
    Level,
)

MOST_OF_A_KIND = 20  # differences that one comparison tells
_SOURCES = ((DAYS, HOURS), (DAY_TOTALS, HOUR_TOTALS), (MONTHS, DAYS))


@dataclass(frozen=True, slots=True)
class Difference:
    """What does not agree: where, and in which way."""

    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


def differences(since: datetime | None = None, most: int = MOST_OF_A_KIND) -> list[Difference]:
    """The first differences since a moment (its whole hour); [] if all agrees."""
    return list(islice(_all(since), most))


def _all(since: datetime | None) -> Iterator[Difference]:
    yield from _identities()
    period = bounds(since, None)
    if period is None:
        return
    start, end = period
    while (found := next_occupied(start, end, LEVELS)) is not None:
        start = max(start, floor(found, "day"))
        stop = min(following(floor(start, "day"), "day"), end)
        yield from _of_a_day(start, stop)
        start = stop
    month = floor(period[0], "month")
    while month < end:
        yield from _sums(MONTHS, DAYS, month, following(month, "month"))
        month = following(month, "month")


def _of_a_day(start: datetime, end: datetime) -> Iterator[Difference]:
    yield from _lines(start, end)
    yield from _strays(start, end)
    yield from _adjusting_nothing(start, end)
    for level in HOURLY:
        yield from _hours(level, start, end)
    yield from _outcomes(start, end)
    day = floor(start, "day")
    for level, source in _SOURCES[:2]:
        yield from _sums(level, source, day, following(day, "day"))


def _compared(columns: Sequence[str], computed: Statement, stored: Statement) -> list[tuple[Any, ...]]:
    """Rows that only one side has: `(side, *columns)`, side 0 computed, 1 stored."""
    names = ", ".join(columns)
    sql = (
        f"WITH computed AS ({computed.sql}), stored AS ({stored.sql}) "
        f"SELECT 0 AS side, {names} FROM (SELECT * FROM computed EXCEPT SELECT * FROM stored) AS missing "
        f"UNION ALL SELECT 1, {names} FROM (SELECT * FROM stored EXCEPT SELECT * FROM computed) AS extra "
        f"ORDER BY 3, 2, 1 LIMIT {2 * MOST_OF_A_KIND}"
    )
    return Statement(sql, (*computed.parameters, *stored.parameters)).run()


def _facts(level: Level, computed: Statement, start: datetime, end: datetime) -> Iterator[Difference]:
    columns = ("dimension_id", "bucket", *MEASURES)
    stored = Statement(
        f"SELECT {', '.join(columns)} FROM {level.table} WHERE bucket >= %s AND bucket < %s",
        (moment(start), moment(end)),
    )
    pairs: dict[tuple[Any, datetime], dict[int, tuple[Any, ...]]] = {}
    for side, dimension, bucket, *values in _compared(columns, computed, stored):
        pairs.setdefault((read_identity(dimension), read_moment(bucket)), {})[side] = tuple(values)
    names = UsageDimension.objects.in_bulk([dimension for dimension, _ in pairs])
    for (dimension, bucket), sides in pairs.items():
        told = str(names.get(dimension, f"unknown names {dimension}"))
        yield Difference(f"{level.table} {bucket:%Y-%m-%d %H:%M} {told}", _told(sides))


def _told(sides: dict[int, tuple[Any, ...]]) -> str:
    nothing = (0,) * len(MEASURES)
    computed, stored = sides.get(0, nothing), sides.get(1, nothing)
    differing = [
        f"{name} is {_plain(name, kept)}, should be {_plain(name, right)}"
        for name, kept, right in zip(MEASURES, stored, computed, strict=True)
        if kept != right
    ]
    return ", ".join(differing) or ("is counted without cause" if 1 in sides else "is not counted")


def _plain(name: str, value: Any) -> str:
    return f"{read_money(value):f}" if name in MONEY else str(int(value))


def _hours(level: Level, start: datetime, end: datetime) -> Iterator[Difference]:
    source = contributions(between(start, end), bounded=True)
    sql = (
        f"SELECT {level.by} AS dimension_id, hour AS bucket, {summed(most=level.most)} FROM ({source.sql}) AS added "
        "GROUP BY 1, 2"
    )
    yield from _facts(level, Statement(sql, source.parameters), start, end)


def _sums(level: Level, source: Level, start: datetime, end: datetime) -> Iterator[Difference]:
    """A day out of its hours, a month out of its days."""
    unit: Unit = level.unit
    sql = (
        f"SELECT dimension_id, {beginning(unit, 'bucket')} AS bucket, {summed(most=level.most)} FROM {source.table} "
        "WHERE bucket >= %s AND bucket < %s GROUP BY 1, 2"
    )
    yield from _facts(level, Statement(sql, (moment(start), moment(end))), start, end)


def _outcomes(start: datetime, end: datetime) -> Iterator[Difference]:
    columns = ("dimension_id", "bucket", "outcome", "reason", "requests")
    source = contributions(between(start, end), bounded=True)
    computed = Statement(
        "SELECT totals_id AS dimension_id, hour AS bucket, outcome, reason, SUM(requests) AS requests "
        f"FROM ({source.sql}) AS added WHERE outcome NOT IN ('', 'served') GROUP BY 1, 2, 3, 4",
        source.parameters,
    )
    stored = Statement(
        f"SELECT {', '.join(columns)} FROM {OUTCOMES} WHERE bucket >= %s AND bucket < %s",
        (moment(start), moment(end)),
    )
    for side, _, bucket, outcome, reason, requests in _compared(columns, computed, stored):
        where = f"{OUTCOMES} {read_moment(bucket):%Y-%m-%d %H:%M} {outcome} {reason}"
        yield Difference(where, f"{requests} requests are {'counted' if side else 'to be counted'}")


def _lines(start: datetime, end: datetime) -> Iterator[Difference]:
    """Records whose lines do not add up to them, or which cost something and have none."""
    sums = summed(SHARED, _most_of_a_record())
    differing = " OR ".join(f"r.{name} <> lines.{name}" for name in SHARED)
    period = (moment(start), moment(end))
    sql = (
        f"SELECT r.request_id, r.cost_usd, lines.cost_usd FROM {RECORDS} r LEFT JOIN (SELECT l.request_id, {sums} "
        f"FROM {LINES} l WHERE l.kind <> '{ADJUSTMENT}' AND l.at >= %s AND l.at < %s GROUP BY 1) lines "
        "ON lines.request_id = r.request_id WHERE r.started_at >= %s AND r.started_at < %s "
        f"AND (({differing}) OR (lines.request_id IS NULL AND r.cost_usd <> 0)) ORDER BY 1 LIMIT {MOST_OF_A_KIND}"
    )
    for name, recorded, ledger in Statement(sql, period * 2).run():
        if ledger is None:
            yield Difference(f"record {name}", f"costs {read_money(recorded):f} and has no line in the ledger")
        else:
            what = f"tokens or cost differ: {read_money(recorded):f} recorded, {read_money(ledger):f} in the ledger"
            yield Difference(f"record {name}", what)


def _most_of_a_record() -> dict[str, int]:
    """What a record's columns hold, to which its own sums were cut."""
    fields = {name: RequestRecord._meta.get_field(name) for name in SHARED if name not in MONEY}
    limits = {name: limit_of(field) or LARGEST for name, field in fields.items()}
    return limits | dict.fromkeys(MONEY & set(SHARED), LARGEST) if in_sqlite() else limits


def _strays(start: datetime, end: datetime) -> Iterator[Difference]:
    """Lines without a record, or with other names than it has. A re-routed line has a provider and model of its own."""
    same = " AND ".join(f'l."{name}" = r."{name}"' for name in NAMES if name not in ("provider", "model"))
    sql = (
        f"SELECT l.request_id, l.number, r.request_id IS NULL FROM {LINES} l LEFT JOIN {RECORDS} r "
        "ON r.request_id = l.request_id WHERE l.at >= %s AND l.at < %s "
        f"AND (r.request_id IS NULL OR r.started_at <> l.at OR NOT ({same})) ORDER BY 1, 2 LIMIT {MOST_OF_A_KIND}"
    )
    for name, number, missing in Statement(sql, (moment(start), moment(end))).run():
        what = "has no record" if missing else "is not of its record's time and names"
        yield Difference(f"ledger line {number} of {name}", what)


def _adjusting_nothing(start: datetime, end: datetime) -> Iterator[Difference]:
    sql = (
        f"SELECT l.request_id, l.number FROM {LINES} l WHERE l.kind = '{ADJUSTMENT}' AND l.at >= %s AND l.at < %s "
        f"AND NOT EXISTS (SELECT 1 FROM {LINES} other WHERE other.request_id = l.request_id "
        f"AND other.number = l.adjusts AND other.kind <> '{ADJUSTMENT}') ORDER BY 1, 2 LIMIT {MOST_OF_A_KIND}"
    )
    for name, number in Statement(sql, (moment(start), moment(end))).run():
        yield Difference(f"ledger line {number} of {name}", "adjusts a line that does not exist")


def _identities() -> Iterator[Difference]:
    """Names whose id is not the one that they have."""
    right = identity([f'"{name}"' for name in NAMES])
    sql = f"SELECT id FROM {DIMENSIONS} WHERE id <> {right} LIMIT {MOST_OF_A_KIND}"
    for (found,) in Statement(sql, ()).run():
        yield Difference(f"{DIMENSIONS} {found}", "has not the id of its names")
