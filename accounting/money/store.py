"""From spool entries to rows: a batch in one statement, idempotent by request id.

A value that no column can hold is made to fit: here is the last door before the database, and a record that the
database drops or refuses would be a request that nobody knows of.
"""

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import msgspec
from django.db import InterfaceError, OperationalError, close_old_connections, connection, models

from accounting.models import RequestRecord
from accounting.money.entry import Entry

MOST_ERROR_TEXT = 8000
_MOST = {
    models.PositiveSmallIntegerField: 2**15 - 1,
    models.PositiveIntegerField: 2**31 - 1,
    models.PositiveBigIntegerField: 2**63 - 1,
}


def store_records(entries: Sequence[Entry]) -> None:
    """Stores a batch; entries that are stored already are passed over.

    Raises OperationalError or InterfaceError while the database is away, DataError and the like if it refuses a value.
    """
    close_old_connections()
    rows = [_row(entry) for entry in entries]
    try:
        RequestRecord.objects.bulk_create(rows, ignore_conflicts=True)
    except (OperationalError, InterfaceError):
        if not connection.in_atomic_block:
            connection.close()  # the next try begins with a fresh connection
        raise


def _row(entry: Entry) -> RequestRecord:
    values = {name: _fitting(getattr(entry, name), limit) for name, limit in _limits()}
    values["started_at"] = datetime.fromtimestamp(entry.started_at, UTC)
    return RequestRecord(**values)


@lru_cache(maxsize=1)
def _limits() -> tuple[tuple[str, int | None], ...]:
    """Each column that an entry fills, with its longest text or largest number."""
    known = set(Entry.__struct_fields__) - {"started_at"}
    return tuple((field.name, _limit(field)) for field in RequestRecord._meta.concrete_fields if field.name in known)


def _limit(field: "models.Field[Any, Any]") -> int | None:
    if isinstance(field, models.TextField):
        return MOST_ERROR_TEXT
    for kind, most in _MOST.items():
        if isinstance(field, kind):
            return most
    return field.max_length


def _fitting(value: Any, limit: int | None) -> Any:
    if isinstance(value, str):
        # PostgreSQL stores no NUL; nothing stores half of a surrogate pair.
        text = value.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()
        return text if limit is None else text[:limit]
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int) and limit is not None:
        # SQLite's INSERT OR IGNORE drops a row whose number breaks a CHECK, without a word.
        return min(max(value, 0), limit)
    if isinstance(value, float) and not math.isfinite(value):
        return 0.0
    if isinstance(value, list | dict | msgspec.Struct):
        return _plain(msgspec.to_builtins(value))
    return value


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(part) for part in value]
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    return _fitting(value, 2**53 if isinstance(value, int) else MOST_ERROR_TEXT)
