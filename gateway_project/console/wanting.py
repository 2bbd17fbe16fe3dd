"""What wants doing, each as a sentence with its place: what is broken first, then what soon will be, then what waits."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, Q
from django.urls import reverse

from accounting.limits.standing import near_end
from accounting.limits.terms import dollars_of
from accounting.models import BudgetRequest, UnpricedModel, VirtualKey
from gateway_project.console.running import ShownJob
from routing.conf import check_targets
from routing.models import CompatibilitySuggestion, RouteTarget

EXPIRY_NOTICE = timedelta(days=7)
MOST_PROBLEMS = 12
MOST_SUGGESTIONS = 100
MOST_WAITING = 100
NEAR_PERCENT = 90


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that wants mending: a sentence, and where to mend it."""

    text: str
    address: str
    serious: bool = True


def address(model: str, pk: int) -> str:
    return reverse(f"admin:{model}_change", args=[pk])


def of_configuration(
    accounts: Sequence[tuple[Any, ...]], routes: list[tuple[int, str, bool]], aliases: list[tuple[Any, ...]]
) -> list[Problem]:
    """Rows of the configuration that cannot do what they are there for."""
    return [
        *provider_problems([account[:4] for account in accounts]),
        *refreshes(accounts),
        *targets(accounts),
        *route_problems(routes),
        *alias_problems(aliases),
    ]


def waiting() -> list[Problem]:
    """What waits for somebody's decision, or will soon."""
    return [*requests_for_more(), *budgets(), *suggestions()]


def provider_problems(providers: list[tuple[int, str, bool, bool]]) -> list[Problem]:
    return [
        Problem(f"Provider {name} has no credential.", address("routing_provider", pk))
        for pk, name, enabled, has_credential in providers
        if enabled and not has_credential
    ]


def route_problems(routes: list[tuple[int, str, bool]]) -> list[Problem]:
    targets: dict[int, list[tuple[bool, int, bool]]] = {}
    for route, enabled, weight, provider_enabled in RouteTarget.objects.order_by("route_id").values_list(
        "route_id", "enabled", "weight", "provider__enabled"
    )[:5000]:
        targets.setdefault(route, []).append((enabled, weight, provider_enabled))
    found = []
    for pk, name, enabled in routes:
        problem = check_targets(targets.get(pk, []))
        if enabled and problem:
            found.append(Problem(f"Route {name}: {problem[0].lower()}{problem[1:]}", address("routing_route", pk)))
    return found


def alias_problems(aliases: list[tuple[int, str, bool, str, bool]]) -> list[Problem]:
    return [
        Problem(f"Alias {name} leads to the route {route}, which is disabled.", address("routing_modelalias", pk))
        for pk, name, enabled, route, route_enabled in aliases
        if enabled and not route_enabled
    ]


def refreshes(accounts: Sequence[tuple[Any, ...]]) -> list[Problem]:
    """Providers whose token cannot be fetched."""
    return [
        Problem(f"Provider {name}: its credential's token cannot be fetched.", address("routing_provider", pk))
        for pk, name, enabled, _, fetched, *_ in accounts
        if enabled and fetched is False
    ]


def targets(accounts: Sequence[tuple[Any, ...]]) -> list[Problem]:
    """Targets that take no requests now, one for each provider: by their breaker, or because somebody ordered it."""
    there = reverse("admin:routing_targetcontrol_changelist")
    found = []
    for _, name, enabled, _, _, opened, ordered in accounts:
        if enabled and opened:
            found.append(Problem(f"{name}: {opened} fails, its breaker is open.", f"{there}?provider={name}"))
        if enabled and ordered:
            text = f"{name}: {ordered} gets no requests, by order of an administrator."
            found.append(Problem(text, f"{there}?provider={name}", serious=False))
    return found


def suggestions() -> list[Problem]:
    """Betas that an upstream refused, until an administrator decides."""
    waiting = CompatibilitySuggestion.objects.filter(state=CompatibilitySuggestion.State.OPEN)
    names = list(waiting.order_by("-last_seen").values_list("name", flat=True)[:MOST_SUGGESTIONS])
    if not names:
        return []
    more = "" if len(names) == 1 else f" and {len(names) - 1}{'+' if len(names) == MOST_SUGGESTIONS else ''} more"
    there = reverse("admin:routing_compatibilityrule_changelist")
    return [Problem(f"An upstream refused the beta {names[0]}{more}: decide what becomes of it.", there, serious=False)]


def unpriced(found: Sequence[UnpricedModel]) -> list[Problem]:
    """Models that were used lately and have no price."""
    if not found:
        return []
    more = f" and {len(found) - 1} more" if len(found) > 1 else ""
    what = "fast mode of the model" if found[0].fast else "model"
    return [Problem(f"The {what} {found[0].model}{more} has no price.", "#unpriced", serious=False)]


def budgets() -> list[Problem]:
    """Budgets that are used up, or nearly."""
    found = []
    for budget, standing in near_end(NEAR_PERCENT):
        spent, limit = dollars_of(standing.spent), dollars_of(standing.limit)
        share = int(spent * 100 / limit) if limit else 100
        text = f"Budget {budget}: {share} % is used, ${spent:,.2f} of ${limit:,.2f}."
        found.append(Problem(text, address("accounting_budget", budget.pk), serious=False))
    return found


def requests_for_more() -> list[Problem]:
    """People who have asked for more and wait for an answer."""
    waiting = BudgetRequest.objects.filter(state=BudgetRequest.State.OPEN)
    names = list(waiting.order_by("id").values_list("asked_by", flat=True)[:MOST_WAITING])
    if not names:
        return []
    there = reverse("admin:accounting_budgetrequest_changelist") + "?state__exact=open"
    more = "" if len(names) == 1 else f" and {len(names) - 1}{'+' if len(names) == MOST_WAITING else ''} more"
    return [Problem(f"{names[0]}{more} asked for more budget and waits for an answer.", there, serious=False)]


def jobs(found: Sequence[ShownJob]) -> list[Problem]:
    """Background jobs that fail, or that nobody has run for too long."""
    told = {"bad": "failed", "warn": "is late"}
    return [
        Problem(f"A background job {told[job.tone]}: {job.what[:1].lower()}{job.what[1:]}.", "#jobs", job.tone == "bad")
        for job in found
        if job.tone in told
    ]


def keys(now: datetime) -> tuple[int, list[Problem]]:
    usable = VirtualKey.objects.filter(enabled=True, revoked_at=None).filter(Q(expires_at=None) | Q(expires_at__gt=now))
    count = usable.aggregate(count=Count("pk"))["count"]
    soon = usable.filter(expires_at__lte=now + EXPIRY_NOTICE).order_by("expires_at")
    rows = soon.values_list("pk", "name", "prefix", "expires_at")[:MOST_PROBLEMS]
    return count, [
        Problem(
            f"Key {name} ({prefix}…) expires on {expires:%-d %B at %H:%M} UTC.",
            address("accounting_virtualkey", pk),
            serious=False,
        )
        for pk, name, prefix, expires in rows
        if expires is not None
    ]


def steps(providers: int, routes: int, aliases: int, projects: int, keys: int) -> list[Problem]:
    """What is left to do before the first request can be served, in order."""
    steps = (
        (providers, "Add a provider: where requests go, and the credential for it.", "routing_provider"),
        (routes, "Add a route: which provider and model serve a name.", "routing_route"),
        (aliases, "Add an alias: the name that clients ask for.", "routing_modelalias"),
        (projects, "Add a team with a project: who uses the gateway.", "accounting_team"),
        (keys, "Create a key for the project: what clients present.", "accounting_virtualkey"),
    )
    return [Problem(text, reverse(f"admin:{model}_add")) for count, text, model in steps if not count]
