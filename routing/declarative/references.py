"""Names in the file that point at other things: each must be in the file or in the database."""

import difflib
from collections.abc import Iterable

from accounting.models import User
from accounting.money.price_book import ANY
from routing.declarative.conditions import dangling
from routing.declarative.problems import Problem
from routing.declarative.schema import Item
from routing.models import Provider, Route


def check_references(root: Item, problems: list[Problem]) -> None:
    """Adds a problem for every dangling name and marks the value as broken."""
    teams = root.lists.get("teams", [])
    routes = root.lists.get("routes", [])
    targets = [target for route in routes for target in route.lists.get("targets", [])]
    keys = [
        key for team in teams for project in team.lists.get("projects", []) for key in project.lists.get("keys", [])
    ]
    members = (member.values["email"] for team in teams for member in team.lists.get("members", []))
    providers = {*_names(root, "providers"), *Provider.objects.values_list("name", flat=True)}
    _check(targets, "provider", providers, problems)
    _check(root.lists.get("prices", []), "provider", {ANY, *providers}, problems)
    known_routes = {*_names(root, "routes"), *Route.objects.values_list("name", flat=True)}
    _check(root.lists.get("aliases", []), "route", known_routes, problems)
    _check_conditions(routes, known_routes, problems)
    owners = {key.values.get("owner") for key in keys} - {None}
    users = User.objects.filter(email__in=owners).values_list("email", flat=True) if owners else []
    _check(keys, "owner", {*members, *users}, problems)


def _names(root: Item, section: str) -> Iterable[str]:
    return (item.values["name"] for item in root.lists.get(section, []))


def _check(items: Iterable[Item], key: str, known: set[str], problems: list[Problem]) -> None:
    for item in items:
        name = item.values.get(key)
        if name is None:
            continue
        if text := _missing("member or user" if key == "owner" else key, name, known):
            problems.append(Problem((*item.path, key), text))
            item.broken.add(key)


def _check_conditions(routes: Iterable[Item], known: set[str], problems: list[Problem]) -> None:
    for item in routes:
        for at, text in dangling(item.values.get("conditions", []), lambda name: _missing("route", name, known)):
            problems.append(Problem((*item.path, "conditions", *at), text))
            item.broken.add("conditions")


def _missing(what: str, name: str, known: set[str]) -> str:
    """A sentence about a name that is not known, or ""; other people's addresses are not guessed at."""
    if name in known:
        return ""
    close = difflib.get_close_matches(name[:100], known, n=1) if what != "member or user" else []
    hint = f"; did you mean {close[0]}?" if close else ""
    return f"there is no {what} {name}, neither in the file nor stored{hint}"
