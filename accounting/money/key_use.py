"""When each key was presented last: one statement for a batch, in the transaction that stores it.

A later moment replaces an earlier one, never the other way round, so it does not matter how often and in which order batches
arrive. Rows are taken sorted by their key, after those of the roll-ups: two processes wait for each other, and never both.
"""

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from django.db import connection

from accounting.access.secrets import is_own_prefix
from accounting.models import KeyUse
from accounting.money.dialect import in_sqlite, moment
from accounting.money.entry import Entry, Head

COLUMNS = ("key_prefix", "team", "last_at", "client_ip", "user_agent")
_LENGTHS = {field.name: field.max_length for field in KeyUse._meta.concrete_fields}


def note_use(entries: Iterable[Entry | Head]) -> None:
    """Keeps the latest use of every key among `entries`. Raises whatever the database raises."""
    latest: dict[tuple[str, str], Entry | Head] = {}
    for entry in entries:
        if not entry.key_prefix:
            continue
        name = (entry.key_prefix, "" if is_own_prefix(entry.key_prefix) else entry.team)
        known = latest.get(name)
        if known is None or entry.started_at > known.started_at:
            latest[name] = entry
    if not latest:
        return
    rows = [_row(*name, latest[name]) for name in sorted(latest)]
    with connection.cursor() as cursor:
        cursor.execute(_statement(connection.vendor), _parameters(rows))


def _row(prefix: str, team: str, entry: Entry | Head) -> list[Any]:
    found = {
        "key_prefix": prefix,
        "team": team,
        "client_ip": entry.client_ip,
        "user_agent": entry.user_agent,
        "last_at": moment(datetime.fromtimestamp(entry.started_at, UTC)),
    }
    return [found[name][: _LENGTHS[name]] if _LENGTHS[name] else found[name] for name in COLUMNS]


def _parameters(rows: list[list[Any]]) -> list[Any]:
    return [json.dumps(rows)] if in_sqlite() else [list(column) for column in zip(*rows, strict=True)]


@lru_cache(maxsize=2)
def _statement(vendor: str) -> str:
    table = KeyUse._meta.db_table
    if vendor == "sqlite":
        values = ", ".join(f"json_extract(used.value, '$[{place}]')" for place in range(len(COLUMNS)))
        source = f"SELECT {values} FROM json_each(%s) AS used WHERE true"
    else:
        types = ", ".join("%s::timestamptz[]" if name == "last_at" else "%s::text[]" for name in COLUMNS)
        source = f"SELECT * FROM unnest({types})"
    renewed = ", ".join(f"{name} = excluded.{name}" for name in COLUMNS[2:])
    return (
        f'INSERT INTO "{table}" ({", ".join(COLUMNS)}) {source} ON CONFLICT (key_prefix, team) DO UPDATE SET {renewed} '
        f'WHERE "{table}".last_at < excluded.last_at'
    )
