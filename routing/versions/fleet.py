"""Which version each running process serves: every process says so itself, people read it here."""

import os
import secrets
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from routing.models import ProcessReport
from routing.versions.keeping import current_number

HEARTBEAT = timedelta(seconds=5)
SILENCE = timedelta(seconds=30)  # after which a process counts as gone
MOST_PROCESSES = 500
_TOLD = ("version", "directory", "active", "queue", "spool_bytes")


@dataclass(frozen=True, slots=True)
class Serving:
    """What a process serves at a moment: both revisions, how many requests are running, how many that are over are not in
    the database yet, and how its background jobs last went."""

    version: int
    directory: int
    active: int
    queue: int = 0
    spool_bytes: int = 0
    jobs: Mapping[str, Any] = field(default_factory=dict)


class Reporter:
    """One process's own row: written at once when a revision moves, otherwise every five seconds."""

    def __init__(self, server: str, started_at: datetime) -> None:
        self.host = socket.gethostname()[:63]
        self.name = f"{self.host}-{os.getpid()}-{secrets.token_hex(3)}"
        self._server = server
        self._started_at = started_at
        self._told: tuple[int, int] | None = None
        self._told_at = started_at - HEARTBEAT

    def report(self, serving: Serving, now: datetime) -> None:
        """Writes the row if that is due, and removes the rows of silent processes. Raises what the database raises."""
        news = (serving.version, serving.directory)
        if news == self._told and now - self._told_at < HEARTBEAT:
            return
        values = {name: getattr(serving, name) for name in _TOLD} | {"jobs": dict(serving.jobs), "seen_at": now}
        fixed = {"host": self.host, "pid": os.getpid(), "server": self._server, "started_at": self._started_at}
        if not ProcessReport.objects.filter(process=self.name).update(**values):
            ProcessReport.objects.create(process=self.name, **fixed, **values)
        ProcessReport.objects.filter(seen_at__lt=now - SILENCE).delete()
        self._told, self._told_at = news, now

    def leave(self) -> None:
        """Removes the row: the process ends in order."""
        ProcessReport.objects.filter(process=self.name).delete()


@dataclass(frozen=True, slots=True)
class Fleet:
    """The processes that run, the slowest first, and the version that all should serve."""

    current: int
    processes: tuple[ProcessReport, ...]

    @property
    def behind(self) -> tuple[ProcessReport, ...]:
        return tuple(each for each in self.processes if each.version < self.current)

    @property
    def sentence(self) -> str:
        count, behind = len(self.processes), self.behind
        if not count:
            return "No gateway process is running."
        if not behind:
            return (
                f"{count} processes, all on version {self.current}"
                if count > 1
                else f"1 process, on version {self.current}"
            )
        slowest = behind[0].version
        with_it = sum(1 for each in behind if each.version == slowest)
        return f"{with_it} of {count} still on version {slowest}; the newest is {self.current}"


def read_fleet(now: datetime) -> Fleet:
    """What the processes last said; two bounded queries."""
    current = current_number()
    rows = ProcessReport.objects.filter(seen_at__gte=now - SILENCE).order_by("version", "process")[:MOST_PROCESSES]
    return Fleet(current, tuple(rows))
