"""From spool entries to rows: a batch at once, idempotent by request id; records, ledger and roll-ups in one transaction.

A value that no column can hold is made to fit: here is the last door before the database, and a record that the
database drops or refuses would be a request that nobody knows of.
"""

import math
from collections.abc import Callable, Sequence
from decimal import Decimal
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

from accounting.models import LedgerEntry
from accounting.models.money import MOST
from accounting.money.bulk import MOST_ERROR_TEXT, filled_columns, insert, insert_lines, limit_of
from accounting.money.bulk_postgres import LATEST, insert_all, insert_payload, payload_of
from accounting.money.dialect import overflows
from accounting.money.entry import Entry, Head, Line
from accounting.money.key_use import note_use
from accounting.money.prepared import Refused
from accounting.money.rollups import add_stored


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


def store_lines(lines: Sequence[bytes]) -> bool:
    """Stores a batch from its lines in the spool as they stand there, for a third of the time that decoded entries take this
    process. False where that cannot be done, and then nothing is stored: the database is not PostgreSQL, or something has to be
    looked at or made fit. Raises OperationalError or InterfaceError while the database is away."""
    if connection.vendor != "postgresql":
        return False
    close_old_connections()
    try:
        payload, heads = payload_of(lines)
        _twice_if_refused(lambda: _in_one_transaction(lambda: insert_payload(payload), heads))
    except (DataError, IntegrityError, ValueError, ArithmeticError, msgspec.MsgspecError):
        return False
    except (OperationalError, InterfaceError) as error:
        if isinstance(error, OperationalError) and overflows(error):
            return False
        if not connection.in_atomic_block:
            connection.close()
        raise
    return True


def _store(entries: Sequence[Entry]) -> None:
    try:
        store_at_once(entries)
    except (DataError, IntegrityError, ValueError, ArithmeticError):
        store_row_by_row(entries)
    except OperationalError as error:
        if not overflows(error):
            raise
        store_row_by_row(entries)


def store_at_once(entries: Sequence[Entry], *, bounded: bool = False) -> None:
    """Everything in one transaction; only records that were not there before bring lines, and count in roll-ups.
    `bounded`: sums that no column holds stop at the largest number that one does."""
    _twice_if_refused(lambda: _in_one_transaction(lambda: _insert(entries, bounded), entries))


def _insert(entries: Sequence[Entry], bounded: bool) -> None:
    if connection.vendor == "postgresql":
        insert_all(entries, bounded=bounded)
    elif stored := insert(entries):
        add_stored(stored, insert_lines(entries, stored), bounded=bounded)


def _in_one_transaction(insert_batch: Callable[[], None], entries: Sequence[Entry | Head]) -> None:
    with transaction.atomic():
        insert_batch()
        note_use(entries)


def _twice_if_refused(action: Callable[[], None]) -> None:
    """The second time goes without what was refused."""
    try:
        action()
    except Refused:
        action()


def store_row_by_row(entries: Sequence[Entry]) -> None:
    """The slow way, for a batch with a value that the database would refuse as it is: each value is looked at here, and no sum
    is too large."""
    store_at_once([fitting(entry) for entry in entries], bounded=True)


def fitting(entry: Entry) -> Entry:
    """The same entry, with values that every column can hold."""
    values = {field.name: _fitting(getattr(entry, field.name), limit_of(field)) for field in filled_columns()}
    values["started_at"] = min(max(entry.started_at, 0.0), LATEST) if math.isfinite(entry.started_at) else 0.0
    values["cost_usd"] = _dollars(entry.cost_usd)
    values["lines"] = [_fitting_line(line) for line in entry.lines]
    return Entry(**values)


def _fitting_line(line: Line) -> Line:
    columns = filled_columns(Line, LedgerEntry)
    values = {field.name: _fitting(getattr(line, field.name), limit_of(field)) for field in columns}
    return Line(**values, cost_usd=_dollars(line.cost_usd))


def _dollars(value: Decimal) -> Decimal:
    return min(max(value, -MOST), MOST) if value.is_finite() else Decimal(0)


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
