"""Statements that PostgreSQL reads and plans once for each connection, and then only runs.

A statement is prepared under a name made from its text, so that no other one can ever be run in its place. A pooler that
gives each transaction another of its connections does not have it there, or has it already: then this process goes on
without preparing. psycopg's own preparing counts up names, which two processes behind one such pooler would share.
"""

from hashlib import sha256
from threading import Event
from typing import Any
from weakref import WeakKeyDictionary

import psycopg
from psycopg import errors
from psycopg.pq import ConnStatus, DiagnosticField, ExecStatus
from psycopg.pq.abc import PGconn, PGresult

from gateway_project.telemetry import logger

_DONE = (ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK)
# What each connection has prepared, and whether something between us and the server does not let us prepare.
_names: WeakKeyDictionary[psycopg.Connection[Any], set[bytes]] = WeakKeyDictionary()
_refused = Event()
log = logger(__name__)


class Refused(Exception):
    """Prepared statements do not work here. The transaction is lost; the next one goes without."""


def run(connection: psycopg.Connection[Any], statement: bytes, parameter: bytes) -> None:
    """Runs a statement with one parameter, `$1`, in the transaction that is open. Raises Refused, and psycopg's errors."""
    if _refused.is_set():
        _check(connection.pgconn, connection.pgconn.exec_params(statement, [parameter]))
        return
    try:
        _run_prepared(connection, statement, parameter)
    except (errors.InvalidSqlStatementName, errors.DuplicatePreparedStatement) as error:
        if not _refused.is_set():
            _refused.set()
            log.warning("prepared statements are refused; storing goes on without", error=str(error))
        raise Refused from error


def _run_prepared(connection: psycopg.Connection[Any], statement: bytes, parameter: bytes) -> None:
    name, known = _name(statement), _names.setdefault(connection, set())
    if name not in known:
        _check(connection.pgconn, connection.pgconn.prepare(name, statement))
        known.add(name)
    _check(connection.pgconn, connection.pgconn.exec_prepared(name, [parameter]))


def _name(statement: bytes) -> bytes:
    return b"gateway_" + sha256(statement).hexdigest()[:24].encode()


def _check(server: PGconn, result: PGresult) -> None:
    if result.status in _DONE:
        return
    text = result.get_error_message()
    state = (result.error_field(DiagnosticField.SQLSTATE) or b"").decode()
    if not state or server.status == ConnStatus.BAD:
        raise psycopg.OperationalError(text)
    try:
        kind = errors.lookup(state)
    except KeyError:
        kind = psycopg.DatabaseError
    raise kind(text)
