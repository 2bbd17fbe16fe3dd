"""Telling a database that is away from a statement that is wrong."""

import sqlite3

import psycopg
from django.db import InterfaceError, OperationalError

# SQLSTATE classes: no connection, no room for one more, the server shuts down or starts.
_CLASSES = ("08", "53", "57P")
# SQLite's primary codes: locked by others for too long, unreadable, full, not there.
_CODES = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL, sqlite3.SQLITE_CANTOPEN}


def database_away(error: BaseException | None) -> bool:
    """Whether this came of a database that cannot be reached at the moment; then trying again later helps."""
    if isinstance(error, InterfaceError):
        return True
    if not isinstance(error, OperationalError):
        return False
    cause = error.__cause__
    if isinstance(cause, sqlite3.Error):
        return getattr(cause, "sqlite_errorcode", 0) & 0xFF in _CODES
    state = cause.sqlstate if isinstance(cause, psycopg.Error) else None
    return state is None or state.startswith(_CLASSES)
