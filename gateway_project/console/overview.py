"""What the index page shows: is everything all right, and what wants doing? Some two dozen bounded queries."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from statistics import median
from typing import Any

from django.db.models import Q

from accounting.models import AuditEvent, Project, RequestRecord, Team, UnpricedModel
from accounting.money.price_store import still_unpriced
from gateway_project.console import wanting
from gateway_project.console.lights import Light, lights
from gateway_project.console.running import Running, read_running
from gateway_project.console.standing import read_standing
from gateway_project.console.today import Today, read_today
from gateway_project.console.wanting import Problem
from routing.models import ModelAlias, Provider, Route
from routing.target_status import ShownTarget, opened_of, ordered_of, read_targets
from routing.versions.fleet import Fleet

WINDOW = timedelta(hours=1)
MOST_READ = 5_000
Record = tuple[str, str, float | None, float, datetime]  # provider, outcome, first byte, duration, beginning
_WORST_FIRST = ("bad", "warn", "good", "calm")
FAILURES = (RequestRecord.Outcome.UPSTREAM_ERROR, RequestRecord.Outcome.SHUT_DOWN)


@dataclass(frozen=True, slots=True)
class ProviderState:
    """One provider, and how its requests of the last hour went; `latency_ms` is the median time to the first byte."""

    name: str
    address: str
    enabled: bool
    requests: int = 0
    errors: int = 0
    latency_ms: float | None = None

    @property
    def tone(self) -> str:
        if not self.enabled or not self.requests:
            return "calm"
        if self.errors * 2 >= self.requests:
            return "bad"
        return "warn" if self.errors * 20 >= self.requests else "good"

    @property
    def word(self) -> str:
        if not self.enabled:
            return "disabled"
        return {"calm": "no requests", "good": "fine", "warn": "some errors", "bad": "failing"}[self.tone]


@dataclass(frozen=True, slots=True)
class LastHour:
    """Counts of the last hour; `since` is later than an hour ago when there were more than could be read."""

    requests: int
    served: int
    refused: int
    errors: int
    median_ms: float | None
    since: datetime
    cut_short: bool


@dataclass(frozen=True, slots=True)
class Counts:
    """How much is configured; of keys, those that can be used."""

    teams: int
    projects: int
    keys: int
    routes: int
    aliases: int


@dataclass(frozen=True, slots=True)
class Overview:
    hour: LastHour
    providers: list[ProviderState]
    problems: list[Problem]
    steps: list[Problem]
    counts: Counts
    recent: list[RequestRecord]
    events: list[AuditEvent]
    fleet: Fleet
    today: Today
    running: Running
    targets: list[ShownTarget]
    unpriced: list[UnpricedModel]
    more_problems: int = field(default=0)

    @property
    def lights(self) -> list[Light]:
        """The same five places every time, so that a glance is enough."""
        return lights(self.targets, self.hour.requests, self.hour.errors, self.running, self.fleet)

    @property
    def tone(self) -> str:
        if any(problem.serious for problem in self.problems) or any(state.tone == "bad" for state in self.providers):
            return "bad"
        if self.steps:
            return "calm"
        if self.problems or any(state.tone == "warn" for state in self.providers):
            return "warn"
        return "good"

    @property
    def verdict(self) -> str:
        failing = [state.name for state in self.providers if state.tone == "bad"]
        if failing:
            return f"Requests to {', '.join(failing)} are failing."
        if self.steps:
            return "Almost there: a few steps are left before a client can be served."
        count = len(self.problems) + self.more_problems
        if count:
            return f"{count} things want a look." if count > 1 else "One thing wants a look."
        return "Everything is all right."


def read_overview(now: datetime) -> Overview:
    rows, accounts = _records(now), _accounts(now)
    aliases = list(ModelAlias.objects.values_list("pk", "name", "enabled", "route__name", "route__enabled")[:2000])
    routes = list(Route.objects.values_list("pk", "name", "enabled")[:1000])
    teams, projects = Team.objects.count(), Project.objects.count()
    keys, expiring = wanting.keys(now)
    standing, unpriced = read_standing(now), still_unpriced(now)
    running = read_running(standing.fleet, now)
    found = [
        *(Problem(*each) for each in standing.problems),
        *wanting.of_configuration(accounts, routes, aliases),
        *wanting.jobs(running.jobs),
        *wanting.unpriced(unpriced),
        *wanting.waiting(),
        *expiring,
    ]
    problems = sorted(found, key=lambda problem: not problem.serious)
    return Overview(
        hour=_last_hour(rows, now),
        providers=_states([account[:4] for account in accounts], rows),
        problems=problems[: wanting.MOST_PROBLEMS],
        more_problems=max(0, len(problems) - wanting.MOST_PROBLEMS),
        steps=wanting.steps(len(accounts), len(routes), len(aliases), projects, keys),
        counts=Counts(teams, projects, keys, len(routes), len(aliases)),
        recent=list(RequestRecord.objects.order_by("-started_at", "-id")[:8]),
        events=list(AuditEvent.objects.order_by("-id")[:6]),
        fleet=standing.fleet,
        today=read_today(now),
        running=running,
        targets=sorted(read_targets(now), key=lambda each: _WORST_FIRST.index(each.tone)),
        unpriced=unpriced,
    )


def _records(now: datetime) -> list[Record]:
    """The requests of the last hour, the newest first, up to a bound."""
    rows = RequestRecord.objects.filter(started_at__gte=now - WINDOW).order_by("-started_at", "-id")
    return list(rows.values_list("provider", "outcome", "ttft_ms", "duration_ms", "started_at")[:MOST_READ])


def _accounts(now: datetime) -> list[tuple[Any, ...]]:
    """Each provider with what may be the matter with it."""
    rows = Provider.objects.annotate(
        has_credential=Q(credential__isnull=False), opened=opened_of("name", now), ordered=ordered_of("pk", now)
    )
    columns = ("pk", "name", "enabled", "has_credential", "refresh__ok", "opened", "ordered")
    return list(rows.values_list(*columns).order_by("name")[:500])


def _last_hour(rows: list[Record], now: datetime) -> LastHour:
    outcomes = Counter(row[1] for row in rows)
    times = [row[2] for row in rows if row[2] is not None]
    cut = len(rows) >= MOST_READ
    return LastHour(
        requests=len(rows),
        served=outcomes[RequestRecord.Outcome.SERVED],
        refused=outcomes[RequestRecord.Outcome.REFUSED],
        errors=sum(outcomes[word] for word in FAILURES),
        median_ms=median(times) if times else None,
        since=rows[-1][4] if cut else now - WINDOW,
        cut_short=cut,
    )


def _states(providers: list[tuple[int, str, bool, bool]], rows: list[Record]) -> list[ProviderState]:
    requests: Counter[str] = Counter()
    errors: Counter[str] = Counter()
    times: dict[str, list[float]] = {}
    for provider, outcome, ttft, _, _ in rows:
        requests[provider] += 1
        errors[provider] += outcome in FAILURES
        if ttft is not None:
            times.setdefault(provider, []).append(ttft)
    return [
        ProviderState(
            name=name,
            address=wanting.address("routing_provider", pk),
            enabled=enabled,
            requests=requests[name],
            errors=errors[name],
            latency_ms=median(times[name]) if name in times else None,
        )
        for pk, name, enabled, _ in providers
    ]
