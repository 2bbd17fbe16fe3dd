"""Names in the configuration that lead to other names: conditions to routes, deprecated aliases to their successors. Pure.

Each function judges the whole picture as it would be, so that a change is refused for what it breaks elsewhere, too.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from routing.conf import literal_length, matches


@dataclass(frozen=True, slots=True)
class RouteLink:
    """A route, and the names of the routes that its conditions lead to, in their order."""

    name: str
    enabled: bool
    leads_to: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AliasLink:
    """An alias; `served` says that it and its route are enabled."""

    name: str
    served: bool
    successor: str = ""


@dataclass(frozen=True, slots=True)
class Broken:
    """Why the row `name` cannot be as it is; `place` is the index of the condition at fault."""

    name: str
    text: str
    place: int = 0


def broken_routes(routes: Iterable[RouteLink]) -> list[Broken]:
    """Conditions that lead to no route, to a disabled one, or in a circle. A disabled route may lead to disabled ones."""
    known = {route.name: route for route in routes}
    found: list[Broken] = []
    for route in known.values():
        for place, name in enumerate(route.leads_to):
            there = known.get(name)
            circle = _circle(known, route.name, name) if there is not None else []
            if there is None:
                found.append(Broken(route.name, f"There is no route {name}.", place))
            elif circle:
                found.append(Broken(route.name, f"This leads in a circle: {' → '.join(circle)}.", place))
            elif route.enabled and not there.enabled:
                found.append(Broken(route.name, f"The route {name} is disabled.", place))
    return found


def _circle(known: Mapping[str, RouteLink], start: str, first: str) -> list[str]:
    """The way from `start` over `first` back to `start`, or nothing."""
    ways: list[list[str]] = [[start, first]]
    seen: set[str] = set()
    while ways:
        way = ways.pop(0)
        if way[-1] == start:
            return way
        if way[-1] in seen or way[-1] not in known:
            continue
        seen.add(way[-1])
        ways += [[*way, name] for name in known[way[-1]].leads_to]
    return []


def broken_aliases(aliases: Iterable[AliasLink]) -> list[Broken]:
    """Successors that nothing serves, and those that lead in a circle."""
    rows = list(aliases)
    served = {alias.name: alias for alias in rows if alias.served}
    patterns = sorted(
        (alias for alias in served.values() if "*" in alias.name),
        key=lambda alias: (-literal_length(alias.name), alias.name),
    )
    found: list[Broken] = []
    for alias in rows:
        if not alias.served or not alias.successor:
            continue
        circle = _succession(alias, served, patterns)
        if _fitting(alias.successor, served, patterns) is None:
            found.append(Broken(alias.name, f"Nothing serves {alias.successor}: no enabled alias fits that name."))
        elif circle:
            found.append(Broken(alias.name, f"The successors lead in a circle: {' → '.join(circle)}."))
    return found


def _fitting(name: str, served: Mapping[str, AliasLink], patterns: Sequence[AliasLink]) -> AliasLink | None:
    return served.get(name) or next((each for each in patterns if matches(each.name, name)), None)


def _succession(alias: AliasLink, served: Mapping[str, AliasLink], patterns: Sequence[AliasLink]) -> list[str]:
    """The names from `alias` over its successors back to it, or nothing."""
    way, seen = [alias.name], {alias.name}
    at: AliasLink | None = alias
    while at is not None and at.successor:
        at = _fitting(at.successor, served, patterns)
        if at is None:
            return []
        way.append(at.name)
        if at.name == alias.name:
            return way
        if at.name in seen:
            return []  # a circle further on is the fault of those who are in it
        seen.add(at.name)
    return []
