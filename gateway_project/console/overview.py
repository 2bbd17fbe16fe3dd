"""What the index page shows: is everything all right, and what wants doing? A dozen bounded queries."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from statistics import median
from typing import Any

from django.db.models import Count, Q
from django.urls import reverse

from accounting.models import AuditEvent, Project, RequestRecord, Team, VirtualKey
from accounting.money.price_store import still_unpriced
from gateway_project.console.standing import read_standing
from routing.conf import check_targets
from routing.models import CompatibilitySuggestion, ModelAlias, Provider, Route, RouteTarget
from routing.target_status import opened_of, ordered_of
from routing.versions.fleet import Fleet

WINDOW = timedelta(hours=1)
MOST_READ = 5_000
EXPIRY_NOTICE = timedelta(days=7)
MOST_PROBLEMS = 12
MOST_SUGGESTIONS = 100
FAILURES = (RequestRecord.Outcome.UPSTREAM_ERROR, RequestRecord.Outcome.SHUT_DOWN)


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that wants mending: a sentence, and where to mend it."""

    text: str
    address: str
    serious: bool = True


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
class Overview:
    hour: LastHour
    providers: list[ProviderState]
    problems: list[Problem]
    steps: list[Problem]
    teams: int
    projects: int
    keys: int
    routes: int
    aliases: int
    recent: list[RequestRecord]
    events: list[AuditEvent]
    fleet: Fleet
    more_problems: int = field(default=0)

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
            return (
                f"{count} thing{'s' if count > 1 else ''} in the configuration want{'' if count > 1 else 's'} a look."
            )
        return "Everything is all right."


def read_overview(now: datetime) -> Overview:
    rows = list(
        RequestRecord.objects.filter(started_at__gte=now - WINDOW)
        .order_by("-started_at", "-id")
        .values_list("provider", "outcome", "ttft_ms", "duration_ms", "started_at")[:MOST_READ]
    )
    accounts = list(
        Provider.objects.annotate(
            has_credential=Q(credential__isnull=False), opened=opened_of("name", now), ordered=ordered_of("pk", now)
        )
        .values_list("pk", "name", "enabled", "has_credential", "refresh__ok", "opened", "ordered")
        .order_by("name")[:500]
    )
    providers = [account[:4] for account in accounts]
    aliases = list(ModelAlias.objects.values_list("pk", "name", "enabled", "route__name", "route__enabled")[:2000])
    routes = list(Route.objects.values_list("pk", "name", "enabled")[:1000])
    teams, projects = Team.objects.count(), Project.objects.count()
    keys, expiring = _keys(now)
    standing = read_standing(now)
    problems = [
        *(Problem(*each) for each in standing.problems),
        *_provider_problems(providers),
        *_refreshes(accounts),
        *_targets(accounts),
        *_route_problems(routes),
        *_alias_problems(aliases),
        *_suggestions(),
        *_unpriced(now),
        *expiring,
    ]
    return Overview(
        hour=_last_hour(rows, now),
        providers=_states(providers, rows),
        problems=problems[:MOST_PROBLEMS],
        more_problems=max(0, len(problems) - MOST_PROBLEMS),
        steps=_steps(len(providers), len(routes), len(aliases), projects, keys),
        teams=teams,
        projects=projects,
        keys=keys,
        routes=len(routes),
        aliases=len(aliases),
        recent=list(RequestRecord.objects.order_by("-started_at", "-id")[:8]),
        events=list(AuditEvent.objects.order_by("-id")[:6]),
        fleet=standing.fleet,
    )


def _address(model: str, pk: int) -> str:
    return reverse(f"admin:{model}_change", args=[pk])


def _last_hour(rows: list[tuple[str, str, float | None, float, datetime]], now: datetime) -> LastHour:
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


def _states(
    providers: list[tuple[int, str, bool, bool]], rows: list[tuple[str, str, float | None, float, datetime]]
) -> list[ProviderState]:
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
            address=_address("routing_provider", pk),
            enabled=enabled,
            requests=requests[name],
            errors=errors[name],
            latency_ms=median(times[name]) if name in times else None,
        )
        for pk, name, enabled, _ in providers
    ]


def _provider_problems(providers: list[tuple[int, str, bool, bool]]) -> list[Problem]:
    return [
        Problem(f"Provider {name} has no credential.", _address("routing_provider", pk))
        for pk, name, enabled, has_credential in providers
        if enabled and not has_credential
    ]


def _route_problems(routes: list[tuple[int, str, bool]]) -> list[Problem]:
    targets: dict[int, list[tuple[bool, int, bool]]] = {}
    for route, enabled, weight, provider_enabled in RouteTarget.objects.order_by("route_id").values_list(
        "route_id", "enabled", "weight", "provider__enabled"
    )[:5000]:
        targets.setdefault(route, []).append((enabled, weight, provider_enabled))
    found = []
    for pk, name, enabled in routes:
        problem = check_targets(targets.get(pk, []))
        if enabled and problem:
            found.append(Problem(f"Route {name}: {problem[0].lower()}{problem[1:]}", _address("routing_route", pk)))
    return found


def _alias_problems(aliases: list[tuple[int, str, bool, str, bool]]) -> list[Problem]:
    return [
        Problem(f"Alias {name} leads to the route {route}, which is disabled.", _address("routing_modelalias", pk))
        for pk, name, enabled, route, route_enabled in aliases
        if enabled and not route_enabled
    ]


def _refreshes(accounts: Sequence[tuple[Any, ...]]) -> list[Problem]:
    """Providers whose token cannot be fetched."""
    return [
        Problem(f"Provider {name}: its credential's token cannot be fetched.", _address("routing_provider", pk))
        for pk, name, enabled, _, fetched, *_ in accounts
        if enabled and fetched is False
    ]


def _targets(accounts: Sequence[tuple[Any, ...]]) -> list[Problem]:
    """Targets that take no requests now, one for each provider: by their breaker, or because somebody ordered it."""
    address = reverse("admin:routing_targetcontrol_changelist")
    found = []
    for _, name, enabled, _, _, opened, ordered in accounts:
        if enabled and opened:
            found.append(Problem(f"{name}: {opened} fails, its breaker is open.", f"{address}?provider={name}"))
        if enabled and ordered:
            text = f"{name}: {ordered} gets no requests, by order of an administrator."
            found.append(Problem(text, f"{address}?provider={name}", serious=False))
    return found


def _suggestions() -> list[Problem]:
    """Betas that an upstream refused, until an administrator decides."""
    waiting = CompatibilitySuggestion.objects.filter(state=CompatibilitySuggestion.State.OPEN)
    names = list(waiting.order_by("-last_seen").values_list("name", flat=True)[:MOST_SUGGESTIONS])
    if not names:
        return []
    more = "" if len(names) == 1 else f" and {len(names) - 1}{'+' if len(names) == MOST_SUGGESTIONS else ''} more"
    address = reverse("admin:routing_compatibilityrule_changelist")
    return [
        Problem(f"An upstream refused the beta {names[0]}{more}: decide what becomes of it.", address, serious=False)
    ]


def _unpriced(now: datetime) -> list[Problem]:
    """Models that were used lately and have no price."""
    found = still_unpriced(now)
    if not found:
        return []
    more = f" and {len(found) - 1} more" if len(found) > 1 else ""
    what = "fast mode of the model" if found[0].fast else "model"
    return [
        Problem(
            f"The {what} {found[0].model}{more} has no price.",
            reverse("admin:accounting_price_changelist"),
            serious=False,
        )
    ]


def _keys(now: datetime) -> tuple[int, list[Problem]]:
    usable = VirtualKey.objects.filter(enabled=True, revoked_at=None).filter(Q(expires_at=None) | Q(expires_at__gt=now))
    count = usable.aggregate(count=Count("pk"))["count"]
    soon = usable.filter(expires_at__lte=now + EXPIRY_NOTICE).order_by("expires_at")
    rows = soon.values_list("pk", "name", "prefix", "expires_at")[:MOST_PROBLEMS]
    return count, [
        Problem(
            f"Key {name} ({prefix}…) expires on {expires:%-d %B at %H:%M} UTC.",
            _address("accounting_virtualkey", pk),
            serious=False,
        )
        for pk, name, prefix, expires in rows
        if expires is not None
    ]


def _steps(providers: int, routes: int, aliases: int, projects: int, keys: int) -> list[Problem]:
    """What is left to do before the first request can be served, in order."""
    steps = (
        (providers, "Add a provider: where requests go, and the credential for it.", "routing_provider"),
        (routes, "Add a route: which provider and model serve a name.", "routing_route"),
        (aliases, "Add an alias: the name that clients ask for.", "routing_modelalias"),
        (projects, "Add a team with a project: who uses the gateway.", "accounting_team"),
        (keys, "Create a key for the project: what clients present.", "accounting_virtualkey"),
    )
    return [Problem(text, reverse(f"admin:{model}_add")) for count, text, model in steps if not count]
