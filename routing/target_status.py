"""What running processes say of targets: from each one's memory into a table, and put together again for people."""

import os
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import close_old_connections, connection
from django.db.models import OuterRef, Q, Subquery

from routing.health import Health, TargetReport
from routing.models import Provider, RouteTarget, TargetControl, TargetStatus
from routing.vitals import quantile

PAUSE = 1.0  # seconds between two writes of one process
HEARTBEAT = 20.0  # seconds after which a process says again what has not changed
SILENT = timedelta(seconds=60)  # after which a process is not believed to be there
CLOCK_STEP = 1.0
MOST_SHOWN = 1_000


class StatusWriter:
    """Writes one process's reports, at most once a second and only what has changed. Not for the gateway's path."""

    def __init__(
        self,
        health: Health,
        *,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        process: str = "",
    ) -> None:
        self.process = process or f"{socket.gethostname()[:80]}:{os.getpid()}"
        self._health = health
        self._clock = clock
        self._now = now
        self._written: dict[tuple[str, str], dict[str, Any]] = {}
        self._last = self._beat = -HEARTBEAT
        self._offset = 0.0

    def write(self) -> None:
        """Raises what the database raises while it is away; the next call tries again."""
        at = self._clock()
        if at - self._last < PAUSE:
            return
        self._last = at
        beat = at - self._beat >= HEARTBEAT
        reports = {(each.provider, each.model): self._figures(each) for each in self._health.report(at)}
        news = reports if beat else {key: each for key, each in reports.items() if self._written.get(key) != each}
        if not news and not beat:
            return
        if not connection.in_atomic_block:
            close_old_connections()
        self._store(news)
        self._written = reports
        if beat:
            TargetStatus.objects.filter(seen_at__lt=self._now() - SILENT).delete()
            self._beat = at

    def leave(self) -> None:
        """The process ends: what it said counts no longer."""
        TargetStatus.objects.filter(process=self.process).delete()

    def _store(self, news: Mapping[tuple[str, str], dict[str, Any]]) -> None:
        now = self._now()
        rows = [
            TargetStatus(process=self.process, provider=key[0], model=key[1], figures=figures, seen_at=now)
            for key, figures in news.items()
        ]
        TargetStatus.objects.bulk_create(
            rows,
            update_conflicts=True,
            unique_fields=["process", "provider", "model"],
            update_fields=["figures", "seen_at"],
        )

    def _figures(self, report: TargetReport) -> dict[str, Any]:
        return {
            "state": report.state,
            "resting": report.resting,
            "since": self._moment(report.since),
            "until": self._moment(report.until),
            "why": report.why,
            "good": report.good,
            "bad": report.bad,
            "limited": report.limited,
            "in_flight": report.in_flight,
            "times_ms": [round(1000 * seconds, 1) for seconds in report.times],
            "words": report.words,
            "words_at": self._moment(report.words_at),
        }

    def _moment(self, at: float | None) -> str | None:
        """A moment of the monotonic clock as time of day. The difference of the clocks is kept while it is about the same,
        so that a moment always reads alike."""
        if at is None:
            return None
        offset = self._now().timestamp() - self._clock()
        if abs(offset - self._offset) > CLOCK_STEP:
            self._offset = offset
        return datetime.fromtimestamp(self._offset + at, UTC).isoformat(timespec="milliseconds")


@dataclass(frozen=True, slots=True)
class ShownTarget:
    """One target as all processes together see it. `error_share` is a percentage of the last minute's calls, None without
    calls; `p50_ms` and `p95_ms` are of the last times to the first byte; `processes` are those that say `state`."""

    provider: str
    provider_id: int
    model: str
    state: str
    since: datetime | None
    until: datetime | None
    why: str
    calls: int
    errors: int
    limited: int
    p50_ms: float | None
    p95_ms: float | None
    in_flight: int
    words: str
    words_at: datetime | None
    routes: tuple[tuple[int, str], ...]
    processes: tuple[str, ...]
    reporting: int
    drained: bool
    rest_until: datetime | None
    enabled: bool

    @property
    def route_names(self) -> tuple[str, ...]:
        return tuple(name for _, name in self.routes)

    @property
    def error_share(self) -> float | None:
        return 100 * self.errors / self.calls if self.calls else None

    @property
    def tone(self) -> str:
        return {"open": "bad", "half open": "warn", "resting": "warn", "rests": "warn", "drained": "warn"}.get(
            self.state, "good" if self.reporting else "calm"
        )


def opened_of(provider: str, now: datetime) -> Subquery:
    """For a query whose field `provider` is a provider's name: the model of one of its targets whose breaker is open."""
    said = TargetStatus.objects.filter(provider=OuterRef(provider), seen_at__gte=now - SILENT)
    return Subquery(said.filter(figures__state__in=["open", "half_open"]).order_by("model").values("model")[:1])


def ordered_of(provider: str, now: datetime) -> Subquery:
    """For a query whose field `provider` is a provider's id: the model of one of its targets that an order stops."""
    orders = TargetControl.objects.filter(Q(drained=True) | Q(rest_until__gt=now), provider=OuterRef(provider))
    return Subquery(orders.order_by("model").values("model")[:1])


def read_targets(now: datetime, *, provider: str = "") -> list[ShownTarget]:
    """Every target that a route lists, that has an order or that a process speaks of; of one provider if it is named."""
    routes: dict[tuple[str, str], list[tuple[int, str]]] = {}
    narrowed = {"provider__name": provider} if provider else {}
    listed = RouteTarget.objects.filter(**narrowed).order_by("provider__name", "model", "route__name")
    for name, model, pk, route in listed.values_list("provider__name", "model", "route_id", "route__name")[:MOST_SHOWN]:
        routes.setdefault((name, model), []).append((pk, route))
    orders = TargetControl.objects.filter(**narrowed).select_related("provider")[:MOST_SHOWN]
    controls = {(row.provider.name, row.model): row for row in orders}
    said: dict[tuple[str, str], list[TargetStatus]] = {}
    rows = TargetStatus.objects.filter(seen_at__gte=now - SILENT, **({"provider": provider} if provider else {}))
    for row in rows.order_by("process")[: 10 * MOST_SHOWN]:
        said.setdefault((row.provider, row.model), []).append(row)
    accounts = {name: (pk, enabled) for pk, name, enabled in Provider.objects.values_list("pk", "name", "enabled")}
    keys = sorted(key for key in {*routes, *controls, *said} if key[0] in accounts)[:MOST_SHOWN]
    return [
        _shown(key, accounts[key[0]], routes.get(key, ()), controls.get(key), said.get(key, ()), now) for key in keys
    ]


def _shown(
    key: tuple[str, str],
    account: tuple[int, bool],
    routes: Sequence[tuple[int, str]],
    control: TargetControl | None,
    rows: Sequence[TargetStatus],
    now: datetime,
) -> ShownTarget:
    figures = [row.figures for row in rows]
    state, mine = _state(control, rows, now)
    first = mine[0].figures if mine else {}
    times = sorted(each for one in figures for each in one["times_ms"])
    latest = max(figures, key=lambda one: one["words_at"] or "", default=None)
    ordered = control is not None and state in ("drained", "rests")
    return ShownTarget(
        *(key[0], account[0], key[1]),
        state=state,
        since=control.updated_at if control is not None and ordered else _earliest(mine, "since"),
        until=control.rest_until if control is not None and state == "rests" else _read(first.get("until")),
        why=first.get("why", ""),
        calls=sum(one["good"] + one["bad"] + one["limited"] for one in figures),
        errors=sum(one["bad"] + one["limited"] for one in figures),
        limited=sum(one["limited"] for one in figures),
        p50_ms=quantile(times, 0.5),
        p95_ms=quantile(times, 0.95),
        in_flight=sum(one["in_flight"] for one in figures),
        words=latest["words"] if latest else "",
        words_at=_read(latest["words_at"]) if latest else None,
        routes=tuple(routes),
        processes=tuple(row.process for row in mine),
        reporting=len(rows),
        drained=control is not None and control.drained,
        rest_until=control.rest_until if control is not None and state == "rests" else None,
        enabled=account[1],
    )


def _state(
    control: TargetControl | None, rows: Sequence[TargetStatus], now: datetime
) -> tuple[str, Sequence[TargetStatus]]:
    """The word for the target, and the processes that say so; the worst counts, and an order before all."""
    if control is not None and control.drained:
        return "drained", rows
    if control is not None and control.rest_until is not None and control.rest_until > now:
        return "rests", rows
    for word in ("open", "half_open"):
        if mine := [row for row in rows if row.figures["state"] == word]:
            return word.replace("_", " "), mine
    if mine := [row for row in rows if row.figures["resting"]]:
        return "resting", mine
    return ("closed" if rows else "no calls yet"), rows


def _earliest(rows: Sequence[TargetStatus], name: str) -> datetime | None:
    return min((moment for row in rows if (moment := _read(row.figures[name]))), default=None)


def _read(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
