"""One statement that stores a batch in PostgreSQL: records, ledger lines, and what both add to the roll-ups.

The batch goes over as one JSON text, which the database takes apart once. Nothing comes back but a count, and nothing is
looked up again: what the tables took flows on into the roll-ups. Numbers that no column holds make the statement fail, and
then the batch is made to fit here (`store.store_row_by_row`); texts are cut by the statement, as clients choose them.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import msgspec
import psycopg
from django.db import connection, models

from accounting.models import LedgerEntry, RequestRecord
from accounting.money.bulk import COPIED, ID_LENGTH, filled_columns, holds_nul, limit_of, literal, whole
from accounting.money.contributions import NAMES, SHARED, Chosen, contributed, identified
from accounting.money.dialect import STORING
from accounting.money.entry import Entry, Head, Line
from accounting.money.prepared import run
from accounting.money.rollups import PART, parts
from accounting.money.slices import sliced
from accounting.money.spool import END, FINAL

LATEST = 4e9  # a Unix time; what lies beyond is no moment of ours
_encoder = msgspec.json.Encoder(order="deterministic")  # tags have one order
_head = msgspec.json.Decoder(Head)
# Roll-ups are not rebuilt meanwhile; what is added up stays in memory; no time goes into compiling. The statement is planned
# once, and that plan must do when the tables have grown: it looks names up by their index even if there is only one page.
_SETTINGS = (
    f"SELECT pg_advisory_xact_lock_shared({STORING}), set_config('work_mem', '64MB', true), set_config('jit', 'off', true), "
    "set_config('plan_cache_mode', 'force_generic_plan', true), set_config('enable_seqscan', 'off', true)"
).encode()
_NUMBERS = {
    "FloatField": "double precision",
    "PositiveSmallIntegerField": "smallint",
    "PositiveIntegerField": "integer",
}
_NAMES_OF_RECORD = tuple("upstream_model" if name == "model" else name for name in NAMES)
_KEPT_OF_RECORD = ("request_id", "started_at", "outcome", "reason", "estimated", "ttft_ms", "session_id")


def insert_all(entries: Sequence[Entry], *, bounded: bool = False) -> None:
    """Stores what is not stored yet; `bounded` as in `rollups.add`. Raises ValueError for what has to be made fit before,
    `prepared.Refused` if it has to be done once more, and whatever the database raises."""
    insert_payload(_payload(entries), bounded=bounded)


def insert_payload(payload: bytes, *, bounded: bool = False) -> None:
    """The same with the JSON text of all entries."""
    connection.ensure_connection()
    with connection.wrap_database_errors:
        begin()
        run(connection.connection, statement(bounded), payload)


def begin() -> None:
    """What the transaction needs before the statement is planned and run."""
    with psycopg.Cursor(connection.connection) as cursor:
        cursor.execute(_SETTINGS)


def _payload(entries: Sequence[Entry]) -> bytes:
    """A JSON array of the entries; of two with one id, the first."""
    first: dict[str, Entry] = {}
    for entry in entries:
        if not 0 <= entry.started_at <= LATEST:
            raise ValueError("a moment that no column holds")
        first.setdefault(entry.request_id[:ID_LENGTH], entry)
    encoded = b",".join(_encoder.encode(part)[1:-1] for part in sliced(list(first.values())))
    if holds_nul(encoded):
        raise ValueError("a text has a NUL character")
    return b"[%s]" % encoded


def payload_of(lines: Sequence[bytes]) -> tuple[bytes, list[Head]]:
    """The JSON text of entries from their lines in the spool, which are not taken apart for it, and what is to be known of
    each. Raises ValueError and msgspec's errors for what has to be looked at."""
    first: dict[str, bytes] = {}
    heads: list[Head] = []
    for part in sliced(lines):
        for line in part:
            if not line.endswith(END):
                raise ValueError("a line without its end")
            text = line[len(FINAL) : -len(END)]
            if holds_nul(text):
                raise ValueError("a text has a NUL character")
            head = _head.decode(text)
            if not 0 <= head.started_at <= LATEST:
                raise ValueError("a moment that no column holds")
            first.setdefault(head.request_id[:ID_LENGTH], text)
            heads.append(head)
    texts = list(first.values())
    if not texts:
        return b"[]", heads
    texts[0] = b"[" + texts[0]
    texts[-1] += b"]"
    return b",".join(
        texts
    ), heads  # the only copy of all: each takes the interpreter from the other threads for as long


@lru_cache(maxsize=2)
def statement(bounded: bool) -> bytes:
    """The parameter is a JSON array of entries; an entry leaves out what has its default."""
    chosen = Chosen("true", (), "true", (), records_in="stored", lines_in="posted")
    steps = [
        f"given AS MATERIALIZED (SELECT * FROM json_to_recordset($1::json) AS entry({_types(Entry, RequestRecord)}, "
        '"started_at" double precision, "cost_usd" numeric, "lines" json))',
        f"stored AS ({_records()})",
        f"posted AS ({_lines()})",
        f"{PART} AS MATERIALIZED ({identified(contributed(chosen, bounded=bounded)).sql})",
        *(f"step{number} AS ({part})" for number, part in enumerate(parts(bounded=bounded))),
    ]
    return f"WITH {', '.join(steps)} SELECT 1".encode()


def _records() -> str:
    columns = {
        "started_at": "to_timestamp(entry.started_at)",
        "cost_usd": "coalesce(entry.cost_usd, 0)",
        **_expressions(Entry, RequestRecord, "entry"),
    }
    kept = dict.fromkeys((*_KEPT_OF_RECORD, *_NAMES_OF_RECORD, *SHARED))
    return (
        f'INSERT INTO "{RequestRecord._meta.db_table}" ({_quoted(columns)}) SELECT {", ".join(columns.values())} '
        f"FROM given entry ON CONFLICT (request_id) DO NOTHING RETURNING {_quoted(kept)}"
    )


def _lines() -> str:
    """Names and the moment come from the record as it was stored, so that they are the same."""
    columns = {
        **{name: f'record."{name}"' for name in ("request_id", *COPIED)},
        "at": "record.started_at",
        "cost_usd": "coalesce(line.cost_usd, 0)",
        "reason": "''",
        "actor": "''",
        **_expressions(Line, LedgerEntry, "line"),
    }
    kept = dict.fromkeys(("request_id", "at", "kind", *NAMES, *SHARED))
    return (
        f'INSERT INTO "{LedgerEntry._meta.db_table}" ({_quoted(columns)}) SELECT {", ".join(columns.values())} '
        f"FROM given entry JOIN stored record ON record.request_id = left(entry.request_id, {ID_LENGTH}) CROSS JOIN LATERAL "
        f'json_to_recordset(entry.lines) AS line({_types(Line, LedgerEntry)}, "cost_usd" numeric) '
        f"ON CONFLICT (request_id, number) DO NOTHING RETURNING {_quoted(kept)}"
    )


def _quoted(names: Any) -> str:
    return ", ".join(f'"{name}"' for name in names)


def _types(struct: type[msgspec.Struct], table: type[models.Model]) -> str:
    return ", ".join(f'"{field.column}" {_type(field)}' for field in filled_columns(struct, table))


def _type(field: Any) -> str:
    if isinstance(field, models.CharField | models.TextField):
        return "text"
    if isinstance(field, models.JSONField):
        return "jsonb"
    if isinstance(field, models.BooleanField):
        return "boolean"
    return _NUMBERS.get(field.get_internal_type(), "bigint")


def _expressions(struct: type[msgspec.Struct], table: type[models.Model], source: str) -> dict[str, str]:
    defaults = {each.name: each.default for each in msgspec.structs.fields(struct)}
    return {field.column: _expression(field, defaults[field.name], source) for field in filled_columns(struct, table)}


def _expression(field: Any, default: Any, source: str) -> str:
    value = whole(literal(field, default), f'{source}."{field.column}"')
    if isinstance(field, models.CharField):
        return f"CAST({value} AS varchar({limit_of(field)}))"  # cuts, and what fits is not even copied
    return f"left({value}, {limit_of(field)})" if isinstance(field, models.TextField) else value
