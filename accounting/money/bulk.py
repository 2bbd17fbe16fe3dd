"""Statements that store a batch of entries from their JSON: the database takes them apart, not this process.

Building 300 rows through the ORM took 40 ms of this process's time, in which its streams wait for the interpreter; this
takes 3 with PostgreSQL, and with SQLite 20 that other threads can use (measured 2026-11). Values are made to fit: texts cut,
numbers clamped.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any

import msgspec
from django.db import connection, models

from accounting.models import LedgerEntry, RequestRecord, Rerating
from accounting.models.ledger import ADJUSTMENT
from accounting.models.money import units_of
from accounting.money.entry import Entry, Line

MOST_ERROR_TEXT = 8000
_MOST: dict[type[Any], int] = {
    models.PositiveSmallIntegerField: 2**15 - 1,
    models.PositiveIntegerField: 2**31 - 1,
    models.PositiveBigIntegerField: 2**63 - 1,
}
_ID_LENGTH = 40
_COPIED = (
    "team",
    "project",
    "key",
    "key_prefix",
    "user",
    "session_id",
    "alias",
    "tags",
)  # from the record to its lines
_encoder = msgspec.json.Encoder(order="deterministic")  # tags have one order


def insert(entries: Sequence[Entry]) -> list[str]:
    """Stores the records that are not stored yet, and returns their request ids. Raises ValueError for texts that have to
    be made fit before, and whatever the database raises."""
    found: list[str] = _run(_statement(connection.vendor), [(entry, _moment(entry), _cost(entry)) for entry in entries])
    return found


def insert_lines(entries: Sequence[Entry], stored: Sequence[str]) -> list[int]:
    """Stores the ledger's lines of those entries whose records were `stored` just now, and returns the lines' ids."""
    waiting = set(stored)
    lines: list[tuple[str, Line, int | str]] = []
    for entry in entries:
        name = entry.request_id[:_ID_LENGTH]
        if name in waiting:
            waiting.discard(name)  # a later entry of the same id was passed over
            lines += [(name, line, _cost(line)) for line in entry.lines]
    found: list[int] = _run(_line_statement(connection.vendor), lines) if lines else []
    return found


@dataclass(frozen=True, slots=True)
class Correction:
    """An adjustment: of which line (its id), under which number, by how much, and the price that says so."""

    line: int
    number: int
    cost_usd: Decimal
    price: dict[str, Any] | None


def insert_adjustments(corrections: Sequence[Correction], run: Rerating, now: datetime) -> list[int]:
    """Stores adjustments, with the names and the moment of the lines that they correct; returns their ids."""
    rows = [(each.line, each.number, _cost(each), each.price) for each in corrections]
    said = [run.pk, run.reason, run.actor, connection.ops.adapt_datetimefield_value(now)]
    found: list[int] = _run(_adjustment_statement(connection.vendor), rows, said) if rows else []
    return found


def _run(statement: str, rows: Sequence[Any], parameters: Sequence[Any] = ()) -> list[Any]:
    payload = _encoder.encode(rows)
    if b"\\u0000" in payload:
        raise ValueError("a text has a NUL character")
    with connection.cursor() as cursor:
        cursor.execute(statement, [*parameters, payload.decode()])
        return [row[0] for row in cursor.fetchall()]


def filled_columns(struct: type[msgspec.Struct] = Entry, table: type[models.Model] = RequestRecord) -> list[Any]:
    """The columns that an entry (or a line) fills, but for the moment and the money."""
    known = set(struct.__struct_fields__) - {"started_at", "cost_usd"}
    return [field for field in table._meta.concrete_fields if field.name in known]


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


def _cost(priced: Entry | Line | Correction) -> int | str:
    """As a MoneyField keeps it."""
    cost: Decimal = priced.cost_usd
    return units_of(cost) if connection.vendor == "sqlite" else str(cost)


@lru_cache(maxsize=2)
def _statement(vendor: str) -> str:
    """`pair` is `[entry, moment, cost]`; an entry leaves out what has its default."""
    columns = _expressions(vendor, Entry, RequestRecord, 0)
    source = _source(vendor, Entry, RequestRecord, 0)
    if vendor == "sqlite":
        moment, cost = "json_extract(pair.value, '$[1]')", "json_extract(pair.value, '$[2]')"
        source += " WHERE true"
    else:
        moment, cost = "(pair.value ->> 1)::timestamptz", "(pair.value ->> 2)::numeric"
    names = ", ".join(f'"{column}"' for column in ("started_at", "cost_usd", *columns))
    values = ", ".join((moment, cost, *columns.values()))
    table = RequestRecord._meta.db_table
    return (
        f'INSERT INTO "{table}" ({names}) SELECT {values} FROM {source} '
        "ON CONFLICT (request_id) DO NOTHING RETURNING request_id"
    )


@lru_cache(maxsize=2)
def _line_statement(vendor: str) -> str:
    """`pair` is `[request_id, line, cost]`. Names and the moment come from the record, so that they are the same."""
    columns = {
        **{name: f'record."{name}"' for name in ("request_id", *_COPIED)},
        "at": "record.started_at",
        **_expressions(vendor, Line, LedgerEntry, 1),
    }
    if vendor == "sqlite":
        name, columns["cost_usd"] = "json_extract(pair.value, '$[0]')", "json_extract(pair.value, '$[2]')"
    else:
        name, columns["cost_usd"] = "pair.value ->> 0", "(pair.value ->> 2)::numeric"
    written = {"reason": "''", "actor": "''"} | columns
    names = ", ".join(f'"{column}"' for column in written)
    source = f'{_source(vendor, Line, LedgerEntry, 1)} JOIN "{RequestRecord._meta.db_table}" record'
    return (
        f'INSERT INTO "{LedgerEntry._meta.db_table}" ({names}) SELECT {", ".join(written.values())} '
        f"FROM {source} ON record.request_id = {name} WHERE true ON CONFLICT DO NOTHING RETURNING id"
    )


@lru_cache(maxsize=2)
def _adjustment_statement(vendor: str) -> str:
    """`pair` is `[line's id, number, cost, price]`; the parameters before it are the run's."""
    copied = ("request_id", "attempt", "at", "provider", "model", *_COPIED)
    nothing = ("tokens_input", "tokens_output", "tokens_cache_read", "tokens_cache_write_5m", "tokens_cache_write_1h")
    if vendor == "sqlite":
        line, number, cost, price = (f"json_extract(pair.value, '$[{place}]')" for place in range(4))
        source, no = "json_each(%s) AS pair", "0"
    else:
        line, number, cost = "(pair.value ->> 0)::bigint", "(pair.value ->> 1)::int", "(pair.value ->> 2)::numeric"
        price, source, no = "nullif(pair.value -> 3, 'null')", "jsonb_array_elements(%s::jsonb) AS pair", "false"
    values = {
        "rerating_id": "%s",
        "reason": "%s",
        "actor": "%s",
        "posted_at": "%s" if vendor == "sqlite" else "%s::timestamptz",
        **{name: f'line."{name}"' for name in copied},
        "number": number,
        "kind": f"'{ADJUSTMENT}'",
        **dict.fromkeys((*nothing, "web_searches"), "0"),
        "cost_usd": cost,
        "price": price,
        "estimated": no,
        "adjusts": "line.number",
    }
    names = ", ".join(f'"{column}"' for column in values)
    table = LedgerEntry._meta.db_table
    return (
        f'INSERT INTO "{table}" ({names}) SELECT {", ".join(values.values())} FROM {source} '
        f'JOIN "{table}" line ON line.id = {line} RETURNING id'
    )


def _source(vendor: str, struct: type[msgspec.Struct], table: type[models.Model], place: int) -> str:
    """The JSON's rows as a relation, with the struct at `place` of each."""
    if vendor == "sqlite":
        return "json_each(%s) AS pair"
    types = ", ".join(f'"{field.column}" {_type_in_postgres(field)}' for field in filled_columns(struct, table))
    return (
        "jsonb_array_elements(%s::jsonb) AS pair "
        f"CROSS JOIN LATERAL jsonb_to_record(pair.value -> {place}) AS entry({types})"
    )


def _expressions(vendor: str, struct: type[msgspec.Struct], table: type[models.Model], place: int) -> dict[str, str]:
    expression = _in_sqlite if vendor == "sqlite" else _in_postgres
    defaults = {each.name: each.default for each in msgspec.structs.fields(struct)}
    return {field.column: expression(field, defaults[field.name], place) for field in filled_columns(struct, table)}


def _literal(field: Any, default: Any) -> str:
    """What a left-out field means; "" for nothing."""
    if isinstance(field, models.JSONField):
        return "" if field.null else "'{}'" if field.default is dict else "'[]'"
    if default is None or default is msgspec.NODEFAULT:
        return ""
    if isinstance(default, str):
        return "'" + default.replace("'", "''") + "'"
    return str(default).lower()


def _whole(literal: str, value: str) -> str:
    return f"coalesce({value}, {literal})" if literal else value


def _in_sqlite(field: Any, default: Any, place: int) -> str:
    value = _whole(_literal(field, default), f"json_extract(pair.value, '$[{place}].{field.name}')")
    limit = limit_of(field)
    if limit is None:
        return value
    if isinstance(field, models.CharField | models.TextField):
        return f"substr({value}, 1, {limit})"
    return f"min(max({value}, 0), {limit})"


def _in_postgres(field: Any, default: Any, place: int) -> str:
    value = _whole(_literal(field, default), f'entry."{field.column}"')
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
