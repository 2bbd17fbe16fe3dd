"""The shape of the declarative configuration: which keys there are, of which type, and what is still to come.

`parse` turns a document into items and problems, and never stops at the first problem. Whether a value makes sense is
for the models to say, when it is applied; here it only has the right type.
"""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from accounting.limits.terms import RATE_KINDS
from accounting.money.price_book import RATE_NAMES
from routing.conf import CREDENTIAL_KINDS
from routing.declarative import values
from routing.declarative.conditions import conditions
from routing.declarative.deprecation import deprecation
from routing.declarative.problems import Path, Problem, shown
from routing.declarative.substitution import Unknown
from routing.declarative.values import Reader, Unreadable, Wrong

NOT_YET = "not served by this version yet"


@dataclass(frozen=True, slots=True)
class Shape:
    """One kind of entry. `identity` are the keys that tell two entries of one list apart; they are required, unless they are
    `optional`. Without an identity every entry stands for itself."""

    fields: Mapping[str, Reader]
    lists: Mapping[str, "Shape"] = field(default_factory=dict)
    sections: Mapping[str, "Shape"] = field(default_factory=dict)
    later: frozenset[str] = frozenset()
    identity: tuple[str, ...] = ("name",)
    optional: frozenset[str] = frozenset()  # parts of the identity that may be left out


@dataclass(frozen=True, slots=True)
class Item:
    """One entry of the file: the values that could be read, its lists, and the names of values that are `broken`."""

    path: Path
    values: dict[str, Any] = field(default_factory=dict)
    lists: dict[str, list["Item"]] = field(default_factory=dict)
    sections: dict[str, "Item"] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)

    def identity(self, shape: Shape) -> tuple[str, ...]:
        return tuple(self.values.get(name) or "" for name in shape.identity)


def _credential(value: Any) -> dict[str, str]:
    """The kind and exactly the values that this kind has."""
    given = values.named_texts(value)
    if "kind" not in given:
        raise Wrong(parts=[(("kind",), "required")])
    known = CREDENTIAL_KINDS.get(given["kind"])
    if known is None:
        text = f"not a kind of credential{_hint(given['kind'], CREDENTIAL_KINDS)}"
        raise Wrong(parts=[(("kind",), text)])
    names = ("kind", *known.required, *known.optional)
    parts: list[tuple[Path, str]] = [
        ((name,), f"unknown key{_hint(name, names)}") for name in given if name not in names
    ]
    parts += [((name,), f"required by the kind {given['kind']}") for name in known.required if not given.get(name)]
    if parts:
        raise Wrong(parts=parts)
    return given


_BREAKER = {"failures": values.whole_number, "window": values.whole_number}


def _breaker(value: Any) -> dict[str, int]:
    given = _known(values.mapping(value), _BREAKER)
    return dict(values.read_each(values.whole_number, given.items()))


def _known(given: dict[Any, Any], names: Iterable[str]) -> dict[Any, Any]:
    """The mapping, if it has no other keys than these."""
    known = tuple(names)
    parts: list[tuple[Path, str]] = [
        ((str(name),), f"unknown key{_hint(str(name), known)}") for name in given if name not in known
    ]
    if parts:
        raise Wrong(parts=parts)
    return given


def _all(given: dict[Any, Any], names: Iterable[str]) -> dict[Any, Any]:
    """The mapping, if it has exactly these keys."""
    missing: list[tuple[Path, str]] = [((name,), "required") for name in names if name not in given]
    if missing:
        raise Wrong(parts=missing)
    return _known(given, names)


def _fast(value: Any) -> dict[str, Any] | None:
    """Five prices, or nothing."""
    if value is None:
        return None
    return dict(values.read_each(values.amount, _all(values.mapping(value), RATE_NAMES).items()))


def _long_context(value: Any) -> dict[str, Any] | None:
    """Five prices and the length from which they count, or nothing."""
    if value is None:
        return None
    given = dict(_all(values.mapping(value), ("above", *RATE_NAMES)))
    above = values.read_each(values.whole_number, [("above", given.pop("above"))])
    return dict([*above, *values.read_each(values.amount, given.items())])


def _unknown_price(value: Any) -> dict[str, Any]:
    given = {} if value is None else _known(values.mapping(value), RATE_NAMES)
    return dict(values.read_each(values.amount, given.items()))


def _multipliers(value: Any) -> dict[str, Any]:
    given = {} if value is None else values.mapping(value)
    if any(not isinstance(name, str) for name in given):
        raise Wrong("its names must be texts; write them in quotes")
    return dict(values.read_each(values.amount, given.items()))


def _check(value: Any) -> dict[str, Any]:
    given = values.mapping(value)
    known = ("interval", "model")
    parts: list[tuple[Path, str]] = [
        ((str(name),), f"unknown key{_hint(str(name), known)}") for name in given if name not in known
    ]
    if parts:
        raise Wrong(parts=parts)
    numbers = values.read_each(values.whole_number, [pair for pair in given.items() if pair[0] == "interval"])
    texts = values.read_each(values.text, [pair for pair in given.items() if pair[0] == "model"])
    return {**dict(numbers), **dict(texts)}


BUDGET = Shape(
    {
        "period": values.text,
        "amount": values.money,
        "model": values.optional_text,
        "tag": values.optional_text,
        "soft": values.percentages,
        "hard": values.yes_or_no,
        "carry_over": values.yes_or_no,
        "raise": values.temporary_raise,
        "enabled": values.yes_or_no,
    },
    identity=("period", "model", "tag"),
    optional=frozenset({"model", "tag"}),
)
RATE_LIMIT = Shape(
    {
        **dict.fromkeys(RATE_KINDS, values.large_number),
        "model": values.optional_text,
        "tag": values.optional_text,
        "enabled": values.yes_or_no,
    },
    identity=(),
)
_LIMITS = {"budgets": BUDGET, "rate_limits": RATE_LIMIT}

PROVIDER = Shape(
    {
        "name": values.text,
        "format": values.text,
        "base_url": values.text,
        "region": values.text,
        "project": values.text,
        "enabled": values.yes_or_no,
        "credential": _credential,
        "connect_timeout": values.seconds,
        "first_byte_timeout": values.seconds,
        "idle_timeout": values.seconds,
        "max_connections": values.whole_number,
        "on_client_disconnect": values.text,
        "allow_private_addresses": values.yes_or_no,
        "check": _check,
    }
)
TARGET = Shape(
    {
        "provider": values.text,
        "model": values.text,
        "tier": values.small_number,
        "weight": values.whole_number,
        "max_concurrent": values.whole_number,
        "enabled": values.yes_or_no,
    },
    identity=("provider", "model"),
)
ROUTE = Shape(
    {
        "name": values.text,
        "strategy": values.text,
        "sticky": values.text,
        "max_attempts": values.small_number,
        "retry_on": values.failures,
        "cooldown": values.whole_number,
        "deadline": values.seconds,
        "breaker": _breaker,
        "conditions": conditions,
        "enabled": values.yes_or_no,
    },
    {"targets": TARGET},
)
ALIAS = Shape(
    {
        "name": values.text,
        "route": values.text,
        "display_name": values.text,
        "enabled": values.yes_or_no,
        "deprecation": deprecation,
    }
)
KEY = Shape(
    {
        "name": values.text,
        "secret": values.text,
        "kind": values.text,
        "owner": values.optional_address,
        "expires": values.point_in_time,
        "allowed_models": values.texts,
        "allowed_ips": values.texts,
        "tags": values.named_texts,
        "enabled": values.yes_or_no,
    },
    _LIMITS,
)
PROJECT = Shape(
    {"name": values.text, "display_name": values.text, "enabled": values.yes_or_no}, {"keys": KEY, **_LIMITS}
)
MEMBER = Shape({"email": values.address, "role": values.text}, identity=("email",))
TEAM = Shape(
    {
        "name": values.text,
        "display_name": values.text,
        "timezone": values.text,
        "allowed_models": values.texts,
        "capture": values.text,
        "enabled": values.yes_or_no,
    },
    {"members": MEMBER, "projects": PROJECT, **_LIMITS},
)
USER = Shape({"email": values.address}, _LIMITS, identity=("email",))
ORGANIZATION = Shape(
    {
        "timezone": values.text,
        "fiscal_start_month": values.small_number,
        "on_counter_loss": values.text,
        "reservation": values.text,
    },
    _LIMITS,
    identity=(),
)
PRICE = Shape(
    {
        "provider": values.text,
        "model": values.text,
        "valid_from": values.moment,
        **dict.fromkeys(RATE_NAMES, values.amount),
        "long_context": _long_context,
        "fast": _fast,
        "batch_multiplier": values.amount,
        "geo_multipliers": _multipliers,
        "web_search_per_1000": values.amount,
    },
    identity=("provider", "model", "valid_from"),
)
FILE = Shape(
    {"version": values.whole_number, "unknown_model_price": _unknown_price},
    {"providers": PROVIDER, "routes": ROUTE, "aliases": ALIAS, "teams": TEAM, "users": USER, "prices": PRICE},
    {"organization": ORGANIZATION},
    frozenset({"identity_providers"}),
    identity=(),
)


def parse(document: Any, problems: list[Problem]) -> Item:
    """The whole file as items; what is wrong with it is added to `problems`."""
    if not isinstance(document, dict):
        problems.append(Problem((), "the file is not a mapping of sections; it begins with version: 1"))
        return Item(())
    root = _parse_item(FILE, document, (), problems)
    if root.values.get("version", 1) != 1:
        problems.append(Problem(("version",), "this version of the gateway reads version 1"))
    return root


def _parse_item(shape: Shape, value: dict[Any, Any], path: Path, problems: list[Problem]) -> Item:
    item = Item(path)
    for key, raw in value.items():
        here = (*path, str(key))
        if key in shape.fields:
            _parse_value(item, key, shape.fields[key], raw, problems)
        elif key in shape.lists:
            item.lists[key] = _parse_list(shape.lists[key], raw, here, problems)
        elif key in shape.sections:
            _parse_section(item, key, shape.sections[key], raw, problems)
        elif key not in shape.later:
            known = [*shape.fields, *shape.lists, *shape.sections, *shape.later]
            problems.append(Problem(here, f"unknown key{_hint(str(key), known)}"))
        elif not _is_empty(raw):
            problems.append(Problem(here, NOT_YET))
    for name in shape.identity:
        if name not in item.values and name not in item.broken and name not in shape.optional:
            problems.append(Problem((*path, name), "required"))
    return item


def _parse_section(item: Item, name: str, shape: Shape, raw: Any, problems: list[Problem]) -> None:
    """A mapping of which there is one."""
    if raw is None or isinstance(raw, Unknown):
        return
    here = (*item.path, name)
    if isinstance(raw, dict):
        item.sections[name] = _parse_item(shape, raw, here, problems)
    else:
        problems.append(Problem(here, "not a mapping"))


def _parse_value(item: Item, name: str, reader: Reader, raw: Any, problems: list[Problem]) -> None:
    try:
        item.values[name] = reader(raw)
    except Wrong as error:
        item.broken.add(name)
        problems += [Problem((*item.path, name, *at), text) for at, text in error.parts]
    except Unreadable:
        item.broken.add(name)


def _parse_list(shape: Shape, raw: Any, path: Path, problems: list[Problem]) -> list[Item]:
    """The entries that have an identity of their own; the others are only looked through for problems."""
    if raw is None or isinstance(raw, Unknown):
        return []
    if not isinstance(raw, list):
        problems.append(Problem(path, "not a list"))
        return []
    kept: dict[tuple[str, ...], Item] = {}
    for index, each in enumerate(raw):
        here = (*path, index)
        if not isinstance(each, dict):
            problems.append(Problem(here, "not a mapping"))
            continue
        item = _parse_item(shape, each, here, problems)
        if not all(name in item.values or name in shape.optional for name in shape.identity):
            continue
        identity = item.identity(shape) if shape.identity else (str(index),)
        if identity in kept:
            problems.append(_duplicate(shape, item, kept[identity]))
        else:
            kept[identity] = item
    return list(kept.values())


def _duplicate(shape: Shape, item: Item, first: Item) -> Problem:
    if len(shape.identity) == 1:
        return Problem((*item.path, shape.identity[0]), f"the same as in {shown(first.path)}")
    return Problem(item.path, f"the same {' and '.join(shape.identity)} as in {shown(first.path)}")


def _is_empty(value: Any) -> bool:
    if isinstance(value, dict):
        return all(_is_empty(each) for each in value.values())
    return value is None or value == []


def _hint(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name[:100], list(known), n=1)
    return f"; did you mean {close[0]}?" if close else ""
