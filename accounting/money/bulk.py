"""One statement that stores a batch of entries from their JSON: the database takes them apart, not this process.

Building 300 rows through the ORM took 40 ms of this process's time, in which its streams wait for the interpreter; this
takes 3 with PostgreSQL, and with SQLite 20 that other threads can use (measured 2026-11). Values are made to fit as
`store` does it row by row: texts cut, numbers clamped.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import msgspec
from django.db import connection, models

from accounting.models import RequestRecord
from accounting.models.money import units_of
from accounting.money.entry import Entry

MOST_ERROR_TEXT = 8000
_MOST: dict[type[Any], int] = {
    models.PositiveSmallIntegerField: 2**15 - 1,
    models.PositiveIntegerField: 2**31 - 1,
    models.PositiveBigIntegerField: 2**63 - 1,
}
_encoder = msgspec.json.Encoder()


def insert(entries: Sequence[Entry]) -> None:
    """Stores what is not stored yet. Raises ValueError for texts that only `store` row by row can make fit, and
    whatever the database raises."""
    payload = _encoder.encode([(entry, _moment(entry), _cost(entry)) for entry in entries])
    if b"\\u0000" in payload:
        raise ValueError("a text has a NUL character")
    with connection.cursor() as cursor:
        cursor.execute(_statement(connection.vendor), [payload.decode()])


def filled_columns() -> list[Any]:
    """The columns that an entry fills, but for the moment and the money."""
    known = set(Entry.__struct_fields__) - {"started_at", "cost_usd"}
    return [field for field in RequestRecord._meta.concrete_fields if field.name in known]


def limit_of(field: Any) -> int | None:
    """A column's longest text or largest number."""
    if isinstance(field, models.TextField):
        return MOST_ERROR_TEXT
    for kind, most in _MOST.items():
        if isinstance(field, kind):
            return most
    limit: int | None = field.max_length
    return limit


def _moment(entry: Entry) -> str:
    """As Django writes it into SQLite, where moments are compared as texts."""
    moment = datetime.fromtimestamp(entry.started_at, UTC)
    return str(moment.replace(tzinfo=None)) if connection.vendor == "sqlite" else moment.isoformat()


def _cost(entry: Entry) -> int | str:
    """As a MoneyField keeps it."""
    return units_of(entry.cost_usd) if connection.vendor == "sqlite" else str(entry.cost_usd)


@lru_cache(maxsize=2)
def _statement(vendor: str) -> str:
    """`pair` is `[entry, moment, cost]`; an entry leaves out what has its default."""
    expression = _in_sqlite if vendor == "sqlite" else _in_postgres
    columns = {field.column: expression(field) for field in filled_columns()}
    if vendor == "sqlite":
        moment, cost = "json_extract(pair.value, '$[1]')", "json_extract(pair.value, '$[2]')"
        source = "json_each(%s) AS pair WHERE true"
    else:
        moment, cost = "(pair.value ->> 1)::timestamptz", "(pair.value ->> 2)::numeric"
        types = ", ".join(f'"{field.column}" {_type_in_postgres(field)}' for field in filled_columns())
        source = f"jsonb_array_elements(%s::jsonb) AS pair, jsonb_to_record(pair.value -> 0) AS entry({types})"
    names = ", ".join(f'"{column}"' for column in ("started_at", "cost_usd", *columns))
    values = ", ".join((moment, cost, *columns.values()))
    table = RequestRecord._meta.db_table
    return (
        f'INSERT INTO "{table}" ({names}) SELECT {values} FROM {source} '  # noqa: S608  names of our own columns only
        "ON CONFLICT (request_id) DO NOTHING"
    )


def _default(field: Any) -> str:
    """What a left-out field means, as a literal; "" for nothing."""
    default = {each.name: each.default for each in msgspec.structs.fields(Entry)}[field.name]
    if isinstance(field, models.JSONField):
        return "" if field.null else "'{}'" if field.default is dict else "'[]'"
    if default is None or default is msgspec.NODEFAULT:
        return ""
    if isinstance(default, str):
        return "'" + default.replace("'", "''") + "'"
    return str(default).lower()


def _whole(field: Any, value: str) -> str:
    return f"coalesce({value}, {_default(field)})" if _default(field) else value


def _in_sqlite(field: Any) -> str:
    value = _whole(field, f"json_extract(pair.value, '$[0].{field.name}')")
    limit = limit_of(field)
    if limit is None:
        return value
    if isinstance(field, models.CharField | models.TextField):
        return f"substr({value}, 1, {limit})"
    return f"min(max({value}, 0), {limit})"


def _in_postgres(field: Any) -> str:
    value = _whole(field, f'entry."{field.column}"')
    limit = limit_of(field)
    if limit is None:
        return value
    if isinstance(field, models.CharField | models.TextField):
        return f"left({value}, {limit})"
    return f"least(greatest({value}, 0), {limit})::bigint"


def _type_in_postgres(field: Any) -> str:
    if isinstance(field, models.CharField | models.TextField):
        return "text"
    if isinstance(field, models.JSONField):
        return "jsonb"
    if isinstance(field, models.BooleanField):
        return "boolean"
    return "double precision" if isinstance(field, models.FloatField) else "numeric"
