"""Conditions of routes as the file has them: read, checked, their routes looked up."""

from collections.abc import Callable, Iterable
from typing import Any

from routing.conditions import FLAGS, NUMBERS, canonical, problems_of
from routing.declarative.problems import Path
from routing.declarative.substitution import Substituted, Unknown
from routing.declarative.values import Unreadable, Wrong


def conditions(value: Any) -> list[dict[str, Any]]:
    """The conditions as they are stored; null and nothing are none."""
    plain = _plain(value if value is not None else [])
    if problems := problems_of(plain):
        raise Wrong(parts=problems)
    return canonical(plain)


def dangling(value: Iterable[dict[str, Any]], known: Callable[[str], str]) -> list[tuple[Path, str]]:
    """A problem for each condition whose route `known` has a sentence about."""
    named = ((index, known(entry["route"])) for index, entry in enumerate(value))
    return [((index, "route"), text) for index, text in named if text]


def _plain(value: Any, test: str = "") -> Any:
    """Without what only the reader of references knows; what came from the environment may be a number or a flag."""
    if isinstance(value, Unknown):
        raise Unreadable
    if isinstance(value, dict):
        return {str(name): _plain(each, str(name)) for name, each in value.items()}
    if isinstance(value, list):
        return [_plain(each, test) for each in value]
    if isinstance(value, Substituted):
        text = value.strip()
        if test in NUMBERS and text.isascii() and text.isdigit() and len(text) < 20:
            return int(text)
        if test in FLAGS and text.lower() in {"true", "false"}:
            return text.lower() == "true"
        return str(value)
    return value
