"""What a change of one route or alias would break elsewhere: conditions and successors that lead nowhere. Reads the tables.

Each function gives (field, sentence) pairs for whoever saves; `broken` judges everything as it stands.
"""

from collections.abc import Collection, Iterable

from django.core.exceptions import ValidationError

from routing.conditions import first_problem, routes_of
from routing.links import AliasLink, Broken, RouteLink, broken_aliases, broken_routes
from routing.models import ModelAlias, Route

Problems = list[tuple[str, str]]


def problems_of_route(route: Route) -> Problems:
    """What is wrong with the route's conditions, and with those of others if the route becomes as it is now."""
    if problem := first_problem(route.conditions):
        return [("conditions", problem)]
    stored = _route_links()
    before = [link for _, link in stored]
    after = [link for pk, link in stored if pk != route.pk] + [_route_link(route)]
    known = {link.name for link in before}
    found = _judged(route.name, "conditions", broken_routes(before), broken_routes(after), known)
    return found or _names_without_route(route, known)


def problems_of_alias(alias: ModelAlias) -> Problems:
    """What is wrong with the alias's successor, and with those of others if the alias becomes as it is now."""
    stored = _alias_links()
    before = [link for _, link in stored]
    after = [link for pk, link in stored if pk != alias.pk] + [_alias_link(alias)]
    known = {link.name for link in before}
    return _judged(alias.name, "successor", broken_aliases(before), broken_aliases(after), known)


def refuse_named_route(route: Route) -> None:
    """Raises ValidationError if conditions of other routes lead to this one."""
    names = [link.name for pk, link in _route_links() if pk != route.pk and route.name in link.leads_to]
    if names:
        shown = ", ".join(sorted(names)[:5])
        text = f"Conditions of the routes {shown} lead to the route {route.name}; change those first."
        raise ValidationError(text)


def refuse_needed_alias(alias: ModelAlias) -> None:
    """Raises ValidationError if another alias would have no successor without this one."""
    stored = _alias_links()
    before = broken_aliases(link for _, link in stored)
    after = broken_aliases(link for pk, link in stored if pk != alias.pk)
    if new := _new(before, after):
        text = f"The alias {alias.name} is the successor of {new[0].name}; choose another one there first."
        raise ValidationError(text)


def broken() -> tuple[list[Broken], list[Broken]]:
    """The routes and the aliases that lead nowhere as everything is stored now."""
    routes = broken_routes(link for _, link in _route_links())
    return routes, broken_aliases(link for _, link in _alias_links())


def _judged(name: str, field: str, before: Iterable[Broken], after: list[Broken], known: Collection[str]) -> Problems:
    """Its own fault is told under `field`; a fault elsewhere under what causes it: a new name, or that it is disabled."""
    own = next((each for each in after if each.name == name), None)
    if own is not None:
        text = f"Condition {own.place + 1}: {own.text}" if field == "conditions" else own.text
        return [(field, text)]
    what = "Conditions of the route" if field == "conditions" else "The successor of the alias"
    others = [each for each in _new(before, after) if each.name != name]
    cause = "enabled" if name in known else "name"
    return [(cause, f"{what} {others[0].name} would lead nowhere: {others[0].text}")] if others else []


def _new(before: Iterable[Broken], after: Iterable[Broken]) -> list[Broken]:
    known = {each.name for each in before}
    return [each for each in after if each.name not in known]


def _names_without_route(route: Route, known: Collection[str]) -> Problems:
    """Aliases would lose their successor if the route is disabled."""
    if route.enabled or route.pk is None:
        return []
    before = broken_aliases(link for _, link in _alias_links())
    after = broken_aliases(link for _, link in _alias_links(disabled=route.pk))
    return [("enabled", text) for _, text in _judged("", "successor", before, after, known)]


def _route_links() -> list[tuple[int, RouteLink]]:
    rows = Route.objects.order_by("name").values_list("pk", "name", "enabled", "conditions")
    return [(pk, RouteLink(name, enabled, tuple(routes_of(value)))) for pk, name, enabled, value in rows]


def _route_link(route: Route) -> RouteLink:
    return RouteLink(route.name, route.enabled, tuple(routes_of(route.conditions)))


def _alias_links(disabled: int | None = None) -> list[tuple[int, AliasLink]]:
    """All aliases; those of the route `disabled` as if it were."""
    rows = ModelAlias.objects.order_by("name").values_list(
        "pk", "name", "enabled", "route_id", "route__enabled", "successor"
    )
    return [
        (pk, AliasLink(name, enabled and there and route != disabled, successor))
        for pk, name, enabled, route, there, successor in rows
    ]


def _alias_link(alias: ModelAlias) -> AliasLink:
    served = alias.enabled and alias.route_id is not None and alias.route.enabled
    return AliasLink(alias.name, served, alias.successor)
