"""The key `deprecation` of an alias: `{from, until, successor, text, then}`, and nothing for a name in use."""

import difflib
from collections.abc import Mapping
from typing import Any

from routing.declarative import values
from routing.declarative.values import Reader, Unreadable, Wrong
from routing.models import ModelAlias

KEYS: Mapping[str, str] = {
    "from": "deprecated_on",
    "until": "retires_on",
    "successor": "successor",
    "text": "deprecation_text",
    "then": "after_retirement",
}
_READERS: Mapping[str, Reader] = {
    "from": values.point_in_time,
    "until": values.point_in_time,
    "successor": values.text,
    "text": values.text,
    "then": values.text,
}


def deprecation(value: Any) -> dict[str, Any]:
    """The alias's columns; what the file leaves out is as for a name in use."""
    given = values.mapping({} if value is None else value)
    found: dict[str, Any] = {
        "deprecated_on": None,
        "retires_on": None,
        "successor": "",
        "deprecation_text": "",
        "after_retirement": ModelAlias.AfterRetirement.FORWARD.value,
    }
    parts: list[tuple[tuple[str | int, ...], str]] = []
    unreadable = False
    for name, each in given.items():
        if name not in _READERS:
            close = difflib.get_close_matches(str(name)[:100], _READERS, n=1)
            parts.append(((str(name),), f"unknown key{f'; did you mean {close[0]}?' if close else ''}"))
            continue
        try:
            found[KEYS[name]] = _READERS[name](each)
        except Wrong as error:
            parts += [((name, *at), reason) for at, reason in error.parts]
        except Unreadable:
            unreadable = True
    if parts:
        raise Wrong(parts=parts)
    if unreadable:
        raise Unreadable
    return found


def exported(alias: ModelAlias) -> dict[str, Any] | None:
    """What the file says of this alias; nothing for one in use."""
    if alias.deprecation is None:
        return None
    written = {key: getattr(alias, field) for key, field in KEYS.items()}
    return {key: value for key, value in written.items() if value not in (None, "")}
