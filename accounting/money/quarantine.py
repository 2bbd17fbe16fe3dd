"""Trying again to store what nobody could: entries that the database refused, and lines that could not be read."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from django.db import DataError, IntegrityError

from accounting.money.entry import Entry
from accounting.money.replay import Quarantine, decode
from accounting.money.spool import FINAL

_REFUSALS = (DataError, IntegrityError, ValueError, TypeError, ArithmeticError)


@dataclass(frozen=True, slots=True)
class Kept:
    """A line in quarantine: its request, or "" if it cannot be read, and its beginning."""

    request_id: str
    team: str
    beginning: str


@dataclass(frozen=True, slots=True)
class Replayed:
    """How many were stored (those stored before included), and what stays in quarantine."""

    stored: int
    kept: tuple[Kept, ...]


def listing(quarantine: Quarantine, most: int) -> list[Kept]:
    """The first lines in quarantine."""
    found: list[Kept] = []
    for line in quarantine.lines():
        if len(found) >= most:
            break
        found.append(_kept(line))
    return found


def replay(quarantine: Quarantine, store: Callable[[Sequence[Entry]], None]) -> Replayed:
    """Stores each line that can be stored, and keeps the others in quarantine.

    Raises OperationalError while the database is away; then nothing is lost: the rest is taken up by the next replay.
    """
    stored = 0
    kept: list[tuple[bytes, str]] = []
    for line in quarantine.taken():
        entry = decode(line if line.endswith(b"\n") else line + b"\n", FINAL)
        why = "unreadable" if entry is None else _refusal(entry, store)
        if why:
            quarantine.keep(line, why, entry.request_id if entry else "")
            kept.append((line, why))
        else:
            stored += 1
    return Replayed(stored, tuple(_kept(line) for line, _ in kept))


def _refusal(entry: Entry, store: Callable[[Sequence[Entry]], None]) -> str:
    try:
        store([entry])
    except _REFUSALS as error:
        return type(error).__name__
    return ""


def _kept(line: bytes) -> Kept:
    entry = decode(line if line.endswith(b"\n") else line + b"\n", FINAL)
    text = line[:100].decode("utf-8", "replace").rstrip("\n")
    return Kept(entry.request_id, entry.team, text) if entry else Kept("", "", text)
