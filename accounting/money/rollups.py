"""Adding to the roll-ups, in the transaction that stores what is added; and the tables that there are.

Every process that stores takes rows in the same order, tables one after the other and each sorted by its key: two of them
wait for each other, and never both at once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connection, models

from accounting.models import (
    DailyTotals,
    DailyUsage,
    HourlyOutcomes,
    HourlyTotals,
    HourlyUsage,
    MonthlyUsage,
    UsageDimension,
)
from accounting.money.contributions import MEASURES, MONEY, NAMES, TOTALS, Chosen, Statement, contributions, summed
from accounting.money.dialect import LARGEST, among, beginning, bounded_addition, in_sqlite, listed, no_tags
from accounting.money.periods import Unit

DIMENSIONS = UsageDimension._meta.db_table
OUTCOMES = HourlyOutcomes._meta.db_table
PART = "usage_contribution"
_KEY = "(dimension_id, bucket)"


@dataclass(frozen=True, slots=True)
class Level:
    """A table of roll-ups: its unit of time, and which id of a contribution it is kept by."""

    model: Any
    unit: Unit
    by: str

    @property
    def table(self) -> str:
        name: str = self.model._meta.db_table
        return name

    @property
    def totals(self) -> bool:
        return self.by == "totals_id"

    @property
    def most(self) -> dict[str, int]:
        """The largest number that a measure's column holds. PostgreSQL's dollars have room for all there are."""
        if in_sqlite():
            return dict.fromkeys(MEASURES, LARGEST)
        fields = {name: self.model._meta.get_field(name) for name in MEASURES if name not in MONEY}
        return {
            name: LARGEST if isinstance(each, models.BigIntegerField) else 2**31 - 1 for name, each in fields.items()
        }


HOURS = Level(HourlyUsage, "hour", "dimension_id")
DAYS = Level(DailyUsage, "day", "dimension_id")
MONTHS = Level(MonthlyUsage, "month", "dimension_id")
HOUR_TOTALS = Level(HourlyTotals, "hour", "totals_id")
DAY_TOTALS = Level(DailyTotals, "day", "totals_id")
LEVELS = (HOURS, HOUR_TOTALS, DAYS, DAY_TOTALS, MONTHS)
HOURLY = (HOURS, HOUR_TOTALS)


def add_stored(request_ids: Sequence[str], line_ids: Sequence[int], *, bounded: bool = False) -> None:
    """Counts what was stored just now: records, and lines of theirs or adjustments. Raises whatever the database raises."""
    ids, lines = listed(request_ids), listed(line_ids)
    add(Chosen(among("r.request_id"), (ids,), among("l.id"), (lines,)), bounded=bounded)


def add(chosen: Chosen, levels: Sequence[Level] = LEVELS, *, bounded: bool = False) -> None:
    """Adds what the chosen contribute to these levels, and to the outcomes of hours. `bounded`: a sum that its column cannot
    hold becomes the largest number that it can, instead of an error."""
    source = contributions(chosen, bounded=bounded)
    if in_sqlite():
        _one_by_one(source, parts(levels, bounded=bounded))
    else:
        _at_once(source, parts(levels, bounded=bounded))


def parts(levels: Sequence[Level] = LEVELS, *, bounded: bool = False) -> list[str]:
    """The statements that add what stands in `PART`, in the order that every process keeps."""
    return [
        _dimensions("dimension_id"),
        _dimensions("totals_id"),
        *(_level(level, bounded) for level in levels),
        _outcomes(bounded),
    ]


def _one_by_one(source: Statement, parts: Sequence[str]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TABLE IF EXISTS temp.{PART}")
        cursor.execute(f"CREATE TEMP TABLE {PART} AS {source.sql}", source.parameters)
        for part in parts:
            cursor.execute(part)
        cursor.execute(f"DROP TABLE temp.{PART}")


def _at_once(source: Statement, parts: Sequence[str]) -> None:
    """One statement: the contributions are computed once, and no row of them leaves the database."""
    steps = [f"{PART} AS MATERIALIZED ({source.sql})"]
    steps += [f"step{number} AS ({part})" for number, part in enumerate(parts)]
    Statement(f"WITH {', '.join(steps)} SELECT 1", source.parameters).run()


def _dimensions(by: str) -> str:
    """Stores names that are new; their id says whether they are. Each is looked up by itself: joined, the database would read
    all names that there are."""
    kept = {
        name: f'"{name}"' if by == "dimension_id" or name in TOTALS else no_tags() if name == "tags" else "''"
        for name in NAMES
    }
    names = ", ".join(f'"{name}"' for name in NAMES)
    return (
        f"INSERT INTO {DIMENSIONS} (id, {names}) SELECT DISTINCT {by}, {', '.join(kept.values())} FROM {PART} "
        f"WHERE (SELECT known.id FROM {DIMENSIONS} known WHERE known.id = {PART}.{by}) IS NULL ORDER BY 1 "
        "ON CONFLICT (id) DO NOTHING"
    )


def _level(level: Level, bounded: bool) -> str:
    columns = ", ".join(MEASURES)
    most = level.most if bounded else {}
    grown = ", ".join(f"{name} = {_grown(name, most)}" for name in MEASURES)
    return (
        f"INSERT INTO {level.table} AS kept (dimension_id, bucket, {columns}) "
        f"SELECT {level.by}, {beginning(level.unit, 'hour')}, {summed(most=most)} FROM {PART} GROUP BY 1, 2 ORDER BY 1, 2 "
        f"ON CONFLICT {_KEY} DO UPDATE SET {grown}"
    )


def _grown(name: str, most: Mapping[str, int]) -> str:
    kept, added = f"kept.{name}", f"excluded.{name}"
    if in_sqlite():
        return bounded_addition(kept, added, LARGEST)  # it would go on with a rounded number, without an error
    return bounded_addition(kept, added, most[name]) if name in most else f"{kept} + {added}"


def _outcomes(bounded: bool) -> str:
    grown = _grown("requests", {"requests": 2**31 - 1} if bounded else {})
    return (
        f"INSERT INTO {OUTCOMES} AS kept (dimension_id, bucket, outcome, reason, requests) "
        f"SELECT totals_id, hour, outcome, reason, SUM(requests) FROM {PART} WHERE outcome NOT IN ('', 'served') "
        "GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4 ON CONFLICT (dimension_id, bucket, outcome, reason) "
        f"DO UPDATE SET requests = {grown}"
    )
