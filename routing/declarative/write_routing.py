"""Applies the sections providers, routes and aliases."""

from functools import partial

from django.core.exceptions import ValidationError

from routing import services
from routing.conf import check_targets
from routing.dangling import broken
from routing.declarative.deprecation import KEYS as DEPRECATION_KEYS
from routing.declarative.problems import Path, Problem
from routing.declarative.schema import Item
from routing.declarative.writing import Import, assign
from routing.links import Broken
from routing.models import ModelAlias, Provider, Route, RouteTarget

_PROVIDER_KEYS = (
    "name",
    "format",
    "base_url",
    "region",
    "project",
    "connect_timeout",
    "first_byte_timeout",
    "idle_timeout",
    "max_connections",
    "on_client_disconnect",
    "allow_private_addresses",
)
_ALIAS_NAMES = {field: ("deprecation", key) for key, field in DEPRECATION_KEYS.items()}
_ROUTE_KEYS = (
    "name",
    "strategy",
    "sticky",
    "max_attempts",
    "retry_on",
    "cooldown",
    "deadline",
    "conditions",
)
_PROVIDER_NAMES = {"check_interval": ("check", "interval"), "check_model": ("check", "model")}
_ROUTE_NAMES = {"breaker_failures": ("breaker", "failures"), "breaker_window": ("breaker", "window")}


def write_routing(run: Import, root: Item) -> None:
    """Providers come before the routes that are judged by them, routes before the aliases that lead there."""
    before = {each for found in broken() for each in found}
    providers = _write_providers(run, root.lists.get("providers", []))
    routes = _write_routes(run, root.lists.get("routes", []), providers)
    _write_aliases(run, root.lists.get("aliases", []), routes)
    _judge_links(run, root, before)


def _write_providers(run: Import, items: list[Item]) -> dict[str, Provider]:
    stored = {provider.name: provider for provider in Provider.objects.all()}
    for item in items:
        name = item.values["name"]
        provider = stored.get(name) or Provider(name=name)
        if provider._state.adding:
            run.require(item, "base_url", "credential")
        assign(provider, item, *_PROVIDER_KEYS)
        check = item.values.get("check", {})
        provider.check_interval = check.get("interval", provider.check_interval)
        provider.check_model = check.get("model", provider.check_model)
        run.switch(provider, item, f"the provider {name}")
        run.attempt(item, partial(_save_provider, run, item, provider), _PROVIDER_NAMES)
        stored[name] = provider
    named = {item.values["name"] for item in items}
    run.disable(provider for name, provider in sorted(stored.items()) if name not in named)
    return stored


def _save_provider(run: Import, item: Item, provider: Provider) -> None:
    if "credential" in item.values:
        values = dict(item.values["credential"])
        kind = values.pop("kind")
        services.save_provider(run.change, provider, credential_kind=kind, credential_values=values)
    elif provider._state.adding:
        provider.full_clean()  # refused for want of a credential, which is reported already; what else is wrong with it?
    else:
        services.save_provider(run.change, provider)


def _write_routes(run: Import, items: list[Item], providers: dict[str, Provider]) -> dict[str, Route]:
    stored = {route.name: route for route in Route.objects.all()}
    for item in items:
        name = item.values["name"]
        route = stored.get(name) or Route(name=name)
        assign(route, item, *_ROUTE_KEYS)
        breaker = item.values.get("breaker", {})
        route.breaker_failures = breaker.get("failures", route.breaker_failures)
        route.breaker_window = breaker.get("window", route.breaker_window)
        run.switch(route, item, f"the route {name}")
        run.attempt(item, partial(_save_route, run, item, route, providers), _ROUTE_NAMES)
        stored[name] = route
    named = {item.values["name"] for item in items}
    run.disable(route for name, route in sorted(stored.items()) if name not in named)
    return stored


def _save_route(run: Import, item: Item, route: Route, providers: dict[str, Provider]) -> None:
    """A route that only waits for a disabled provider is taken, with a note: that state can be exported, too."""
    if "targets" not in item.lists and not route._state.adding:
        services.store_route(run.change, route)
        return
    targets = _targets(run, item, route, providers)
    if targets is None:
        route.full_clean()  # its targets are refused; what else is wrong with it?
        return
    if route.enabled and (problem := check_targets([(row.enabled, row.weight, True) for row in targets])):
        raise ValidationError({"targets": problem})
    if route.enabled and (problem := services.check_route(targets)):
        run.notes.append(f"the route {route.name}: {problem}")
    services.store_route(run.change, route, targets)


def _targets(run: Import, item: Item, route: Route, providers: dict[str, Provider]) -> list[RouteTarget] | None:
    """The route's targets as they shall be: the file's, in its order, then the others, disabled. None if one is refused.

    Targets have no names of their own: the list is a value of its route, and whoever writes another one means it whole.
    """
    rows = RouteTarget.objects.filter(route=route).select_related("provider") if route.pk else ()
    stored = {(row.provider.name, row.model): row for row in rows}
    mentioned: list[RouteTarget] = []
    sound = True
    for each in item.lists.get("targets", []):
        provider = providers.get(each.values["provider"])
        if provider is None or each.broken or provider._state.adding:
            sound = False
            continue
        row = stored.pop((provider.name, each.values["model"]), None)
        row = row or RouteTarget(route=route, provider=provider, model=each.values["model"])
        row.provider = provider  # as this run has it, not as it was read
        assign(row, each, "tier", "weight", "max_concurrent")
        run.switch(row, each, f"the target {provider.name}: {row.model} of the route {route.name}")
        sound = run.attempt(each, partial(_checked, row)) is not None and sound
        mentioned.append(row)
    for row in stored.values():
        row.provider = providers[row.provider.name]
    run.disable(stored.values(), always="targets" in item.lists)
    return [*mentioned, *stored.values()] if sound else None


def _checked(row: RouteTarget) -> RouteTarget:
    """The target, if its own values are right; raises ValidationError."""
    row.clean_fields(exclude=["route"])
    row.clean()
    return row


def _write_aliases(run: Import, items: list[Item], routes: dict[str, Route]) -> None:
    stored = {alias.name: alias for alias in ModelAlias.objects.select_related("route")}
    named = {item.values["name"] for item in items}
    run.disable(alias for name, alias in sorted(stored.items()) if name not in named)
    for item in items:
        name = item.values["name"]
        alias = stored.get(name) or ModelAlias(name=name)
        if alias._state.adding and not run.require(item, "route"):
            continue
        assign(alias, item, "display_name")
        for field, value in item.values.get("deprecation", {}).items():
            setattr(alias, field, value)
        run.switch(alias, item, f"the alias {name}")
        route = routes.get(item.values.get("route", ""))
        if route is not None and not route._state.adding:
            alias.route = route
        run.attempt(item, partial(_save_alias, run, item, alias), _ALIAS_NAMES)


def _save_alias(run: Import, item: Item, alias: ModelAlias) -> None:
    if alias.route_id is None or "route" in item.broken:  # its route is refused; what else is wrong with it?
        alias.clean_fields(exclude=["route"])
        alias.clean()
        return
    services.store_alias(run.change, alias)


def _judge_links(run: Import, root: Item, before: set[Broken]) -> None:
    """Conditions and successors are judged when all is written: each may lead to what stands further down in the file.

    What the file does not mention is reported only if this import has broken it.
    """
    if run.problems:
        return  # what leads nowhere may be a consequence
    routes, aliases = broken()
    for section, found, steps in (("routes", routes, _of_condition), ("aliases", aliases, _of_successor)):
        items = {item.values["name"]: item for item in root.lists.get(section, [])}
        for each in found:
            item = items.get(each.name)
            if item is not None and not item.broken:
                run.problems.append(Problem((*item.path, *steps(item, each)), each.text))
            elif item is None and each not in before:
                run.problems.append(Problem((section,), f"{each.name}: {each.text}"))


def _of_condition(item: Item, fault: Broken) -> Path:
    return ("conditions", fault.place, "route") if "conditions" in item.values else ()


def _of_successor(item: Item, fault: Broken) -> Path:
    return ("deprecation", "successor") if "deprecation" in item.values else ()
