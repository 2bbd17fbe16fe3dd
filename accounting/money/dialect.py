"""The words in which SQLite and PostgreSQL differ, where roll-ups are computed by the database itself."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import DataError, OperationalError, connection, transaction

from accounting.models.money import PLACES
from accounting.money.periods import Unit

STORING, RATING = 0x6C6564, 0x726174  # keys of PostgreSQL's advisory locks: roll-ups, and re-ratings
LARGEST = 2**63 - 1  # whole number of a column
_READING = (
    "SELECT set_config('work_mem', '64MB', true), set_config('jit', 'off', true), "
    "set_config('effective_io_concurrency', '0', true)"
)
_KEPT: dict[Unit, tuple[int, str]] = {"hour": (13, ":00:00"), "day": (10, " 00:00:00"), "month": (7, "-01 00:00:00")}


def in_sqlite() -> bool:
    return connection.vendor == "sqlite"


def beginning(unit: Unit, moment: str) -> str:
    """When the hour, day or month (UTC) of a moment begins, as the same kind of column."""
    if in_sqlite():
        length, rest = _KEPT[unit]
        return f"substr({moment}, 1, {length}) || '{rest}'"
    return f"date_trunc('{unit}', {moment}, 'UTC')"


def noon(moment: str) -> str:
    """Noon (UTC) of a moment's day."""
    if in_sqlite():
        return f"substr({moment}, 1, 10) || ' 12:00:00'"
    return f"date_trunc('day', {moment}, 'UTC') + interval '12 hours'"


def local_day(moment: str) -> str:
    """The date of a moment in the zone that is the expression's parameter."""
    if in_sqlite():
        return f"django_datetime_cast_date({moment}, %s, 'UTC')"
    return f"({moment} AT TIME ZONE %s)::date"


def local_beginning(unit: str, moment: str) -> str:
    """The first date of a moment's week (from Monday) or month in the zone that is the expression's parameter."""
    if in_sqlite():
        return f"django_date_trunc('{unit}', {moment}, %s, 'UTC')"
    return f"date_trunc('{unit}', {moment} AT TIME ZONE %s)::date"


def identity(columns: Sequence[str]) -> str:
    """The id that names have: half of a SHA-256 over them, which nobody can make collide."""
    listed = ", ".join(columns)
    if in_sqlite():
        return f"substr(SHA256(json_array({listed})), 1, 32)"
    return f"encode(substr(sha256(convert_to(json_build_array({listed})::text, 'UTF8')), 1, 16), 'hex')::uuid"


def no_tags() -> str:
    return "'{}'" if in_sqlite() else "'{}'::jsonb"


def tag(column: str) -> str:
    """The value of the tag that is the expression's parameter; "" without it."""
    if in_sqlite():
        return f"coalesce((SELECT value FROM json_each({column}) WHERE key = %s), '')"
    return f"coalesce({column} ->> %s, '')"


def among(column: str) -> str:
    """Whether a value is in the list that is the expression's parameter, made by `listed`."""
    if in_sqlite():
        return f"{column} IN (SELECT value FROM json_each(%s))"
    return f"{column} = ANY(%s)"


def fits(column: str, pattern: str) -> tuple[str, str]:
    """A condition and its parameter: whether a text fits a pattern in which `*` is any run of characters."""
    if in_sqlite():
        return f"{column} GLOB %s", "".join(f"[{each}]" if each in "[?" else each for each in pattern)
    escaped = pattern.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"{column} LIKE %s", escaped.replace("*", "%")


def least_greatest(value: str, most: str) -> str:
    """A number kept between zero and `most`."""
    return f"min(max({value}, 0), {most})" if in_sqlite() else f"least(greatest({value}, 0), {most})"


def bounded_sum(value: str, most: int) -> str:
    """The sum of whole numbers, or `most` (or as much below zero) where it is beyond that. SQLite, which refuses to add up
    what a column cannot hold, adds up halves and puts them together."""
    if not in_sqlite():
        return f"least(greatest(SUM({value}), -{most}), {most})"
    if most != LARGEST:
        return f"min(max({bounded_sum(value, LARGEST)}, -{most}), {most})"
    low = f"SUM(({value}) & 4294967295)"
    high = f"(SUM(({value}) >> 32) + ({low} >> 32))"
    return (
        f"CASE WHEN {high} > 2147483647 THEN {LARGEST} WHEN {high} < -2147483648 THEN -{LARGEST} "
        f"ELSE ({high} << 32) | ({low} & 4294967295) END"
    )


def bounded_addition(kept: str, added: str, most: int) -> str:
    """The same of two numbers. SQLite goes on with a rounded one, which is beyond the bound as well."""
    if in_sqlite():
        return f"max(min({kept} + {added}, {most}), -{most})"
    return (
        f"CASE WHEN {added} > 0 AND {kept} > {most} - {added} THEN {most} "
        f"WHEN {added} < 0 AND {kept} < -{most} - {added} THEN -{most} ELSE {kept} + {added} END"
    )


def overflows(error: Exception) -> bool:
    """Whether a sum was larger than its column, or one of several values that no column holds."""
    if isinstance(error, OperationalError):
        return str(error) == "integer overflow"  # SQLite's word
    return isinstance(error, DataError)


def kept_apart() -> str:
    """Before a part of a statement that is wanted whole: else PostgreSQL plans for the few rows of a page."""
    return "" if in_sqlite() else "MATERIALIZED "


_reads: ContextVar[bool] = ContextVar("inside reading", default=False)


@contextmanager
def reading() -> Iterator[None]:
    """For questions that add up much: sums stay in memory, no time goes into compiling, and none into asking the system to
    fetch pages that it has in memory (a tenth of the time of a tag's year). A page that asks several of them is read inside
    one, which the others join."""
    if in_sqlite() or _reads.get():
        yield
        return
    inside = _reads.set(True)
    try:
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute(_READING)
            yield
    finally:
        _reads.reset(inside)


def lock_shared() -> None:
    """Until the end of the transaction no roll-up is rebuilt. SQLite has one writer at a time anyway."""
    _lock("SELECT pg_advisory_xact_lock_shared(%s)", STORING)


def lock_alone(key: int = STORING) -> None:
    """Until the end of the transaction nobody else stores (or, with `RATING`, re-rates)."""
    _lock("SELECT pg_advisory_xact_lock(%s)", key)


def _lock(statement: str, key: int) -> None:
    if not in_sqlite():
        with connection.cursor() as cursor:
            cursor.execute(statement, [key])


# -- values that raw statements take and give


def listed(values: Sequence[str] | Sequence[int] | Sequence[UUID]) -> Any:
    """A list of texts or numbers as a parameter."""
    if not in_sqlite():
        return list(values)
    return json.dumps(list(values))


def listed_moments(values: Sequence[datetime]) -> Any:
    """A list of aware moments as a parameter."""
    return json.dumps([moment(value) for value in values]) if in_sqlite() else list(values)


def moment(value: datetime) -> Any:
    """An aware moment as a parameter."""
    return connection.ops.adapt_datetimefield_value(value)


def read_moment(value: Any) -> datetime:
    """SQLite gives texts, and for columns that it knows naive moments, all of UTC."""
    found = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def read_money(value: Any) -> Decimal:
    """Dollars out of a money column or a sum of them."""
    if value is None:
        return Decimal(0)
    return Decimal(int(value)).scaleb(-PLACES) if in_sqlite() else Decimal(value)


def read_identity(value: Any) -> UUID:
    return value if isinstance(value, UUID) else UUID(str(value))
