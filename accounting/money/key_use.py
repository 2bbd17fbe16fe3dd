"""When each key was presented last: one statement for a batch, in the transaction that stores it.

A later moment replaces an earlier one, never the other way round, so it does not matter how often and in which order batches
arrive. Rows are taken sorted by their key, after those of the roll-ups: two processes wait for each other, and never both.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import msgspec
from django.db import connection

from accounting.access.secrets import is_own_prefix
from accounting.models import KeyUse
from accounting.money.dialect import in_sqlite, moment
from accounting.money.entry import Entry, Head
from accounting.money.prepared import run
from accounting.money.slices import LIGHT, sliced

COLUMNS = ("key_prefix", "team", "last_at", "client_ip", "user_agent")
_LENGTHS = {field.name: field.max_length for field in KeyUse._meta.concrete_fields}


def note_use(entries: Sequence[Entry | Head]) -> None:
    """Keeps the latest use of every key among `entries`. Raises `prepared.Refused`, and whatever the database raises."""
    latest: dict[tuple[str, str], Entry | Head] = {}
    for part in sliced(entries, LIGHT):
        for entry in part:
            if not entry.key_prefix:
                continue
            name = (entry.key_prefix, "" if is_own_prefix(entry.key_prefix) else entry.team)
            known = latest.get(name)
            if known is None or entry.started_at > known.started_at:
                latest[name] = entry
    if not latest:
        return
    rows = [_row(*name, latest[name]) for part in sliced(sorted(latest), LIGHT) for name in part]
    payload = msgspec.json.encode(rows)
    if in_sqlite():
        with connection.cursor() as cursor:
            cursor.execute(_in_sqlite(), [payload.decode()])
        return
    with connection.wrap_database_errors:
        run(connection.connection, _in_postgres(), payload)


def _row(prefix: str, team: str, entry: Entry | Head) -> list[Any]:
    last = moment(datetime.fromtimestamp(entry.started_at, UTC)) if in_sqlite() else entry.started_at
    found: dict[str, Any] = {
        "key_prefix": prefix,
        "team": team,
        "last_at": last,
        "client_ip": entry.client_ip,
        "user_agent": entry.user_agent,
    }
    return [found[name][: _LENGTHS[name]] if _LENGTHS[name] else found[name] for name in COLUMNS]


@lru_cache(maxsize=1)
def _in_sqlite() -> str:
    values = ", ".join(f"json_extract(used.value, '$[{place}]')" for place in range(len(COLUMNS)))
    return _statement(f"SELECT {values} FROM json_each(%s) AS used WHERE true")


@lru_cache(maxsize=1)
def _in_postgres() -> bytes:
    values = ", ".join(
        f"to_timestamp((used.value ->> {place})::double precision)" if name == "last_at" else f"used.value ->> {place}"
        for place, name in enumerate(COLUMNS)
    )
    return _statement(f"SELECT {values} FROM json_array_elements($1::json) AS used").encode()


def _statement(source: str) -> str:
    table = KeyUse._meta.db_table
    renewed = ", ".join(f"{name} = excluded.{name}" for name in COLUMNS[2:])
    return (
        f'INSERT INTO "{table}" ({", ".join(COLUMNS)}) {source} ON CONFLICT (key_prefix, team) DO UPDATE SET {renewed} '
        f'WHERE "{table}".last_at < excluded.last_at'
    )
