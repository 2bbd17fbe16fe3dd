"""From spool entries to rows: a batch at once, idempotent by request id.

A value that no column can hold is made to fit: here is the last door before the database, and a record that the
database drops or refuses would be a request that nobody knows of.
"""

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from django.db import (
    DataError,
    IntegrityError,
    InterfaceError,
    OperationalError,
    close_old_connections,
    connection,
    transaction,
)

from accounting.models import RequestRecord
from accounting.money.bulk import MOST_ERROR_TEXT, filled_columns, insert, limit_of
from accounting.money.entry import Entry


def store_records(entries: Sequence[Entry]) -> None:
    """Stores a batch; entries that are stored already are passed over.

    Raises OperationalError or InterfaceError while the database is away, DataError and the like if it refuses a value.
    """
    if not entries:
        return
    close_old_connections()
    try:
        _store(entries)
    except (OperationalError, InterfaceError):
        if not connection.in_atomic_block:
            connection.close()  # the next try begins with a fresh connection
        raise


def _store(entries: Sequence[Entry]) -> None:
    try:
        with transaction.atomic():
            insert(entries)
    except (DataError, IntegrityError, ValueError, OverflowError):
        store_row_by_row(entries)


def store_row_by_row(entries: Sequence[Entry]) -> None:
    """The slow way, for a batch with a value that the database would refuse as it is."""
    RequestRecord.objects.bulk_create([_row(entry) for entry in entries], ignore_conflicts=True)


def _row(entry: Entry) -> RequestRecord:
    values = {field.name: _fitting(getattr(entry, field.name), limit_of(field)) for field in filled_columns()}
    values["started_at"] = datetime.fromtimestamp(entry.started_at, UTC)
    values["cost_usd"] = entry.cost_usd
    return RequestRecord(**values)


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
