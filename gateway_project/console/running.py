"""What runs beside the requests, over all processes: the queue of records, and how every background job last went."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from gateway_project.jobs import JOBS, Job
from routing.models import ProcessReport
from routing.versions.fleet import Fleet

LATE_AFTER = 30.0  # seconds over three times its pace; what processes say is up to five seconds old
LONG_QUEUE = 2_000  # records; more, and the database is behind


@dataclass(frozen=True, slots=True)
class ShownJob:
    """One job as all processes together tell of it. `at` is when it ran last anywhere, `ok_at` when it last went well;
    `where` are processes in which it failed the last time."""

    name: str
    what: str
    state: str
    tone: str
    at: datetime | None = None
    ok_at: datetime | None = None
    words: str = ""
    where: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Running:
    """`queue` are finished requests that are not in the database yet, `spool_bytes` what spools take on disk."""

    jobs: tuple[ShownJob, ...]
    queue: int
    spool_bytes: int
    processes: int

    @property
    def failing(self) -> tuple[ShownJob, ...]:
        return tuple(job for job in self.jobs if job.tone in ("bad", "warn"))


def read_running(fleet: Fleet, now: datetime) -> Running:
    """Puts together what processes have told; no query of its own."""
    rows = fleet.processes
    return Running(
        jobs=tuple(_shown(job, rows, now) for job in JOBS),
        queue=sum(row.queue for row in rows),
        spool_bytes=sum(row.spool_bytes for row in rows),
        processes=len(rows),
    )


def _shown(job: Job, rows: Sequence[ProcessReport], now: datetime) -> ShownJob:
    told = [(f"{row.host} {row.pid}", row.jobs[job.name]) for row in rows if job.name in row.jobs]
    if not told:
        started = min((row.started_at for row in rows), default=now)
        waited = (now - started).total_seconds()
        late = job.every is not None and waited > 3 * job.every + LATE_AFTER
        state, tone = ("has not run", "warn") if rows and late else ("not yet", "calm")
        return ShownJob(job.name, job.what, state if rows else "no process", tone)
    at, words = max((float(each["at"]), str(each.get("words", ""))) for _, each in told)
    ok_at = max((float(each["ok_at"]) for _, each in told if each.get("ok_at")), default=None)
    bad = [(where, each) for where, each in told if not each.get("ok")]
    state, tone = "fine", "good"
    if bad:
        state, tone, words = "failed", "bad", str(bad[0][1].get("words", ""))
    elif job.every is not None and now.timestamp() - at > 3 * job.every + LATE_AFTER:
        state, tone = "late", "warn"
    where = tuple(name for name, _ in bad)
    return ShownJob(job.name, job.what, state, tone, _moment(at), _moment(ok_at), words, where)


def _moment(at: Any) -> datetime | None:
    return datetime.fromtimestamp(at, UTC) if at is not None else None
