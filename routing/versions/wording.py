"""Changes as lines for a terminal."""

import json
from collections.abc import Sequence
from typing import Any

from routing.versions.difference import Change


def lines(changes: Sequence[Change], more: int = 0) -> list[str]:
    """A line for each row that came or went, and for each field that changed."""
    found: list[str] = []
    for change in changes:
        subject = f"{change.action} {change.subject}"
        if change.action in ("created", "removed") or not change.fields:
            found.append(subject)
            continue
        found += [f"{subject}: {name}: {_shown(before)} → {_shown(after)}" for name, before, after in change.fields]
    if more:
        found.append(f"and {more} more")
    return found


def summary(changes: Sequence[Change], more: int = 0) -> str:
    """All of them in one short line."""
    if not changes:
        return "nothing that versions show"
    first = changes[0]
    names = ", ".join(name.replace("_", " ") for name, _, _ in first.fields[:4]) if first.action == "changed" else ""
    text = f"{first.action} {first.subject}" + (f" ({names})" if names else "")
    others = len(changes) - 1 + more
    return text + (f" and {others} more" if others else "")


def _shown(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
