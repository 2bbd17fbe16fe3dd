"""Reads of the routing configuration for people: who serves a name, with which shares, and why not the others."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from accounting.access.offers import OfferedName
from routing.condition_lines import line_of
from routing.lifecycle import Deprecation, Stage
from routing.models import ModelAlias
from routing.snapshot import Snapshot, load_snapshot
from routing.targets import RouteConf, TargetConf


@dataclass(frozen=True, slots=True)
class Share:
    """One target of the route. `percent` is its part of its tier's traffic while all are well: None where that depends
    on what they do (`latency`), 0 for one that only steps in. `reason` says why a target takes none at all."""

    provider: str
    model: str
    tier: int
    weight: int
    percent: float | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Served:
    """Who serves `asked`. Without a fitting alias `alias` is empty and `closest` suggests names.

    `conditions` are lines: requests for which one of them holds go to its route instead. `deprecation` is what stands
    before the alias.
    """

    asked: str
    alias: str = ""
    route: str = ""
    strategy: str = ""
    shares: tuple[Share, ...] = ()
    closest: tuple[str, ...] = ()
    conditions: tuple[str, ...] = ()
    deprecation: Deprecation | None = None


@dataclass(frozen=True, slots=True)
class DeprecatedName:
    """A name with an end in sight. `since` is when it is or will be deprecated, `until` when it is retired, if ever;
    `then` is `forward` or `refuse`."""

    name: str
    display_name: str
    stage: Stage
    since: datetime
    until: datetime | None
    successor: str
    text: str
    then: str


def offered() -> list[OfferedName]:
    """Every name that clients can ask for, for accounting's pages; one query. Retired names that are refused are left out."""
    found: list[OfferedName] = []
    now = time.time()
    for alias in ModelAlias.objects.filter(enabled=True, route__enabled=True).order_by("name"):
        ends = alias.deprecation
        if ends is None or ends.stage(now) == "in use":
            found.append(OfferedName(alias.name, alias.display_name))
        elif not ends.refuses(now):
            found.append(OfferedName(alias.name, alias.display_name, ending=True, successor=ends.successor))
    return found


def deprecations(now: datetime) -> list[DeprecatedName]:
    """The enabled names that are deprecated, retired or soon to be, the next to end first."""
    found: list[DeprecatedName] = []
    for alias in ModelAlias.objects.filter(enabled=True, route__enabled=True).order_by("name"):
        deprecation = alias.deprecation
        if deprecation is not None:
            found.append(
                DeprecatedName(
                    name=alias.name,
                    display_name=alias.display_name or alias.name,
                    stage=deprecation.stage(now.timestamp()),
                    since=alias.deprecated_on or alias.created_at,
                    until=alias.retires_on,
                    successor=alias.successor,
                    text=alias.deprecation_text,
                    then=alias.after_retirement,
                )
            )
    return sorted(found, key=lambda each: (each.until is None, each.until or each.since, each.name))


def who_serves(name: str, snapshot: Snapshot | None = None) -> Served:
    """The alias and route for a name as a client would ask, and its targets in order, those that cannot serve last."""
    snapshot = snapshot or load_snapshot()
    alias = snapshot.find(name)
    if alias is None:
        return Served(name, closest=snapshot.closest(name, lambda each: True))
    route = alias.route
    return Served(
        asked=name,
        alias=alias.name,
        route=route.name,
        strategy=route.strategy,
        shares=route_shares(route),
        conditions=tuple(line_of(each.when, each.route) for each in route.conditions),
        deprecation=alias.deprecation,
    )


def route_shares(route: RouteConf) -> tuple[Share, ...]:
    """All targets of a route with their shares, tier by tier; those left out come last."""
    shares: list[Share] = []
    for tier in sorted({target.tier for target in route.targets}):
        members = [target for target in route.targets if target.tier == tier]
        shares += _tier_shares(_placing(route), [target for target in members if target.weight])
        shares += [_idle(target) for target in members if not target.weight]
    shares += [Share(each.provider, each.model, each.tier, each.weight, 0.0, each.reason) for each in route.left_out]
    return tuple(shares)


def _placing(route: RouteConf) -> str:
    """The strategy that most requests are placed by: what sticks to a target is placed by weight."""
    return route.strategy if route.strategy == "priority" or route.sticky == "none" else "weighted"


def _tier_shares(strategy: str, targets: Sequence[TargetConf]) -> list[Share]:
    total = sum(target.weight for target in targets)
    percents: list[float | None] = [100 * target.weight / total for target in targets]
    if strategy == "priority":
        percents = [100.0 if index == 0 else 0.0 for index in range(len(targets))]
    elif strategy == "latency" and len(targets) > 1:
        percents = [None] * len(targets)
    return [
        Share(target.provider.name, target.model, target.tier, target.weight, percent)
        for target, percent in zip(targets, percents, strict=True)
    ]


def _idle(target: TargetConf) -> Share:
    return Share(target.provider.name, target.model, target.tier, 0, 0.0, "it has the weight zero and takes no traffic")
