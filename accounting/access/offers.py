"""The names of models that a team may ask for, as suggestions. Routing knows them and says so when the apps are ready;
accounting never asks routing itself."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from accounting.access.patterns import matches

MOST_OFFERED = 200


@dataclass(frozen=True, slots=True)
class OfferedName:
    """A name that clients can ask for: exact, or a pattern with `*`. `ending` says that it is deprecated or retired;
    `successor` is then what to ask for instead, if anything."""

    name: str
    display_name: str = ""
    ending: bool = False
    successor: str = ""


Source = Callable[[], Sequence[OfferedName]]
_sources: list[Source] = []  # filled when the apps are ready


def offer_names(source: Source) -> None:
    """Names are asked of `source` from now on."""
    _sources[:] = [source]


def served_names() -> list[OfferedName]:
    """Every name in use, patterns too; for whom they are is not asked."""
    return [each for source in _sources for each in source()]


def offered_names(*allowed: Sequence[str]) -> list[OfferedName]:
    """The exact names in use that every one of the lists of patterns allows and that are not at their end, by name; at
    most 200."""
    names = [each for each in served_names() if "*" not in each.name and not each.ending]
    return [each for each in names if may_ask(each.name, *allowed)][:MOST_OFFERED]


def may_ask(name: str, *allowed: Sequence[str]) -> bool:
    """Whether every one of the lists of patterns allows a name."""
    return all(any(matches(pattern, name) for pattern in patterns) for patterns in allowed)


def is_within(pattern: str, allowed: Sequence[str]) -> bool:
    """Whether everything that fits `pattern` is allowed by one of the patterns `allowed`. `*` alone means "whatever is
    allowed", and so is always within."""
    return pattern == "*" or any(matches(each, pattern) for each in allowed)
