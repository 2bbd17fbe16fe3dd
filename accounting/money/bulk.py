"""Statements that store a batch of entries from their JSON: the database takes them apart, not this process. Here those of
SQLite, and the adjustments of both; `bulk_postgres` has the rest.

Building 300 rows through the ORM took 40 ms of this process's time, in which its streams wait for the interpreter; with
SQLite this takes 20 that other threads can use (measured 2026-11). Values are made to fit: texts cut, numbers clamped.
"""

import re
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
ID_LENGTH = 40
COPIED = (
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
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")


def insert(entries: Sequence[Entry]) -> list[str]:
    """Stores the records that are not stored yet in SQLite, and returns their request ids. Raises ValueError for texts that
    have to be made fit before, and whatever the database raises."""
    found: list[str] = _run(_statement(), [(entry, _moment(entry), _cost(entry)) for entry in entries])
    return found


def insert_lines(entries: Sequence[Entry], stored: Sequence[str]) -> list[int]:
    """Stores the ledger's lines of those entries whose records were `stored` just now in SQLite; returns the lines' ids."""
    waiting = set(stored)
    lines: list[tuple[str, Line, int | str]] = []
    for entry in entries:
        name = entry.request_id[:ID_LENGTH]
        if name in waiting:
            waiting.discard(name)  # a later entry of the same id was passed over
            lines += [(name, line, _cost(line)) for line in entry.lines]
    found: list[int] = _run(_line_statement(), lines) if lines else []
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


def holds_nul(payload: bytes) -> bool:
    """Whether a text in this JSON has a NUL character. One that only spells the escape, as `\\\\u0000`, has not."""
    return b"\\u0000" in payload and _NUL.search(payload) is not None


def _run(statement: str, rows: Sequence[Any], parameters: Sequence[Any] = ()) -> list[Any]:
    payload = _encoder.encode(rows)
    if holds_nul(payload):
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
    return str(datetime.fromtimestamp(entry.started_at, UTC).replace(tzinfo=None))


def _cost(priced: Entry | Line | Correction) -> int | str:
    """As a MoneyField keeps it."""
    cost: Decimal = priced.cost_usd
    return units_of(cost) if connection.vendor == "sqlite" else str(cost)


@lru_cache(maxsize=1)
def _statement() -> str:
    """`pair` is `[entry, moment, cost]`; an entry leaves out what has its default."""
    columns = _expressions(Entry, RequestRecord, 0)
    names = ", ".join(f'"{column}"' for column in ("started_at", "cost_usd", *columns))
    values = ", ".join(("json_extract(pair.value, '$[1]')", "json_extract(pair.value, '$[2]')", *columns.values()))
    return (
        f'INSERT INTO "{RequestRecord._meta.db_table}" ({names}) SELECT {values} FROM json_each(%s) AS pair WHERE true '
        "ON CONFLICT (request_id) DO NOTHING RETURNING request_id"
    )


@lru_cache(maxsize=1)
def _line_statement() -> str:
    """`pair` is `[request_id, line, cost]`. Names and the moment come from the record, so that they are the same."""
    columns = {
        **{name: f'record."{name}"' for name in ("request_id", *COPIED)},
        "at": "record.started_at",
        **_expressions(Line, LedgerEntry, 1),
        "cost_usd": "json_extract(pair.value, '$[2]')",
    }
    written = {"reason": "''", "actor": "''"} | columns
    names = ", ".join(f'"{column}"' for column in written)
    return (
        f'INSERT INTO "{LedgerEntry._meta.db_table}" ({names}) SELECT {", ".join(written.values())} '
        f'FROM json_each(%s) AS pair JOIN "{RequestRecord._meta.db_table}" record '
        "ON record.request_id = json_extract(pair.value, '$[0]') WHERE true ON CONFLICT DO NOTHING RETURNING id"
    )


@lru_cache(maxsize=2)
def _adjustment_statement(vendor: str) -> str:
    """`pair` is `[line's id, number, cost, price]`; the parameters before it are the run's."""
    copied = ("request_id", "attempt", "at", "provider", "model", *COPIED)
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


def _expressions(struct: type[msgspec.Struct], table: type[models.Model], place: int) -> dict[str, str]:
    defaults = {each.name: each.default for each in msgspec.structs.fields(struct)}
    return {field.column: _in_sqlite(field, defaults[field.name], place) for field in filled_columns(struct, table)}


def literal(field: Any, default: Any) -> str:
    """What a left-out field means; "" for nothing."""
    if isinstance(field, models.JSONField):
        return "" if field.null else "'{}'" if field.default is dict else "'[]'"
    if default is None or default is msgspec.NODEFAULT:
        return ""
    if isinstance(default, str):
        return "'" + default.replace("'", "''") + "'"
    return str(default).lower()


def whole(default: str, value: str) -> str:
    """A column's value, or its default where an entry leaves it out."""
    return f"coalesce({value}, {default})" if default else value


def _in_sqlite(field: Any, default: Any, place: int) -> str:
    value = whole(literal(field, default), f"json_extract(pair.value, '$[{place}].{field.name}')")
    limit = limit_of(field)
    if limit is None:
        return value
    if isinstance(field, models.CharField | models.TextField):
        return f"substr({value}, 1, {limit})"
    return f"min(max({value}, 0), {limit})"
