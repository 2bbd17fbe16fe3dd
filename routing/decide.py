"""The whole decision about one request, before anything is sent: alias, route, conditions, targets, and why not the others.

The gateway's path and whoever explains it ask the same functions, in the same order: `route_for`, then `targets_for`.
Nothing here has a side effect; health, time and chance are passed in.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import msgspec

from accounting.access.grant import Grant
from routing.capability import capable
from routing.conditions import Condition
from routing.facts import Facts, facts_of
from routing.formats.base import Headers, Inbound
from routing.formats.errors import refusal_of
from routing.formats.faults import NotBridgeable
from routing.formats.peek import BadBody
from routing.naming import find_alias, named
from routing.proxy.errors import GatewayError, invalid, overloaded
from routing.resolve import Resolution, resolve
from routing.snapshot import AliasConf, Snapshot
from routing.targets import HealthView, RouteConf

WAIT = 30  # seconds, for a client whose route has no target that could come back


class Looked(msgspec.Struct, frozen=True):
    """One condition that was asked: the `number` (from 0) of route `on`; `missed` is the test that failed, "" if it held."""

    on: str
    number: int
    condition: Condition
    missed: str = ""


class RouteChoice(msgspec.Struct, frozen=True):
    """The route that serves, and every condition that was asked on the way there, in order."""

    route: RouteConf
    looked: tuple[Looked, ...] = ()

    @property
    def matched(self) -> tuple[Looked, ...]:
        """The conditions that held: one for each step from route to route."""
        return tuple(each for each in self.looked if not each.missed)


class Routed(msgspec.Struct, frozen=True):
    """Who serves a name: `alias` is the one asked for, `serving` the one whose route is taken (a successor's, perhaps)."""

    alias: AliasConf
    serving: AliasConf
    choice: RouteChoice
    sticky_key: str
    notices: Headers = field(default_factory=list)

    @property
    def route(self) -> RouteConf:
        return self.choice.route


@dataclass(frozen=True, slots=True)
class Decision:
    """What would become of a request. `refusal` is what the client would be told instead; what was found until then is
    there beside it."""

    asked: str
    routed: Routed | None = None
    resolution: Resolution | None = None
    refusal: GatewayError | None = None


def decide(
    inbound: Inbound,
    grant: Grant,
    snapshot: Snapshot,
    health: HealthView,
    *,
    now: float,
    unix: float,
    random: Callable[[], float],
) -> Decision:
    """The decision about one request; sends nothing and changes nothing. `now` is health's clock, `unix` a Unix time."""
    routed: Routed | None = None
    resolution: Resolution | None = None
    try:
        routed = route_for(inbound, grant, snapshot, unix)
        resolution = resolved(routed, health, now=now, random=random)
        resolution = able(inbound, resolution, snapshot)
    except GatewayError as error:
        return Decision(inbound.model, routed, resolution, error)
    return Decision(inbound.model, routed, resolution)


def route_for(inbound: Inbound, grant: Grant, snapshot: Snapshot, unix: float) -> Routed:
    """The route of a name that exists and that the caller may use. Raises `GatewayError`."""
    alias = find_alias(snapshot, inbound, grant)
    found = named(snapshot, inbound.model, alias, grant, unix)
    choice = choose_route(found.serving.route, snapshot, lambda: facts_of(inbound, grant))
    sticky = sticky_key(choice.route, inbound.session_id, grant.key_prefix)
    return Routed(found.alias, found.serving, choice, sticky, found.alias.notices(unix))


def targets_for(
    inbound: Inbound,
    routed: Routed,
    snapshot: Snapshot,
    health: HealthView,
    *,
    now: float,
    random: Callable[[], float],
) -> Resolution:
    """The targets to try, in order. Raises `GatewayError`: 529 if none is to be tried now, 400 if none can carry it."""
    return able(inbound, resolved(routed, health, now=now, random=random), snapshot)


def resolved(routed: Routed, health: HealthView, *, now: float, random: Callable[[], float]) -> Resolution:
    """The route's targets as their health has it, before the request is looked at."""
    return resolve(routed.route, sticky_key=routed.sticky_key, health=health, now=now, random=random)


def able(inbound: Inbound, resolution: Resolution, snapshot: Snapshot) -> Resolution:
    """The resolution without the targets that cannot carry the request. Raises `GatewayError`, as `targets_for`."""
    if not resolution.candidates:
        wait = max(1, round(resolution.retry_after or WAIT))
        raise overloaded(f"No provider can serve {inbound.model} at the moment; try again in {wait} s.", wait)
    try:
        return capable(inbound, resolution, snapshot.registry)
    except NotBridgeable as error:
        raise refusal_of(error) from None
    except BadBody as error:
        raise invalid(str(error), "bad_body") from None


def choose_route(route: RouteConf, snapshot: Snapshot, facts: Callable[[], Facts]) -> RouteChoice:
    """From an alias's route over the conditions that hold to the one that serves. `facts` is asked once, if at all.

    A condition that holds is binding: if its route is not there, or leads in a circle, nothing serves the request. It may
    be there to keep requests away from everything else.
    """
    if not route.conditions:
        return RouteChoice(route)
    looked: list[Looked] = []
    seen = {route.name}
    known = facts()
    while (name := _next(route, known, looked)) is not None:
        there = snapshot.routes.get(name)
        if there is None or name in seen:
            return RouteChoice(RouteConf(name=name, sticky=route.sticky), tuple(looked))
        seen.add(name)
        route = there
    return RouteChoice(route, tuple(looked))


def sticky_key(route: RouteConf, session_id: str, key_prefix: str) -> str:
    """What the route keeps on one target: the session, else the key; or nothing."""
    return {"session": session_id or key_prefix, "key": key_prefix}.get(route.sticky, "")


def _next(route: RouteConf, facts: Facts, looked: list[Looked]) -> str | None:
    """The route that the first condition that holds leads to; what was asked is added to `looked`."""
    for asked in _asked(route, facts):
        looked.append(asked)
        if not asked.missed:
            return asked.condition.route
    return None


def _asked(route: RouteConf, facts: Facts) -> Iterator[Looked]:
    for number, condition in enumerate(route.conditions):
        yield Looked(route.name, number, condition, condition.missed(facts))
