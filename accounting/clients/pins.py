"""Which names of models a client's variables are pinned to."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

# What Claude Code 2.1.330 asks for by itself, by its short names.
DEFAULTS = {
    "opus": "claude-opus-5-5",
    "sonnet": "claude-sonnet-5-5",
    "haiku": "claude-haiku-5-5",
    "fable": "claude-fable-5-2",
}
MODEL = "ANTHROPIC_MODEL"
FAMILY_VARIABLES = {family: f"ANTHROPIC_DEFAULT_{family.upper()}_MODEL" for family in DEFAULTS}
PINS = (MODEL, *FAMILY_VARIABLES.values())
NOTHING_KNOWN = "claude-sonnet-4-5"


@dataclass(frozen=True, slots=True)
class Pins:
    """A name for each of Claude Code's variables."""

    main: str
    families: dict[str, str]

    @property
    def variables(self) -> list[tuple[str, str]]:
        return [(MODEL, self.main), *((FAMILY_VARIABLES[family], name) for family, name in self.families.items())]

    @property
    def small(self) -> str:
        """For a first try: the cheapest."""
        return self.families["haiku"]


def pins_for(names: Sequence[str]) -> Pins:
    """The client's own default of each family if it may be asked for, else the newest name of that family, else the main
    one: every variable is pinned, so that nothing asks for a name that is not there."""
    found = {family: _newest(family, names) for family in DEFAULTS}
    main = found["opus"] or found["sonnet"] or found["fable"] or next(iter(names), NOTHING_KNOWN)
    return Pins(main, {family: name or main for family, name in found.items()})


def _newest(family: str, names: Sequence[str]) -> str:
    if DEFAULTS[family] in names:
        return DEFAULTS[family]
    # Plain names before those of one cloud (us.anthropic.…, …@20251001), which mean the same model.
    fitting = [name for name in names if family in name]
    plain = [name for name in fitting if not any(char in name for char in ".@/:")]
    return max(plain or fitting, key=_age, default="")


def _age(name: str) -> tuple[list[int], str]:
    """Versions as numbers, so that 5-10 is newer than 5-5; a date of eight digits counts after the version."""
    return [int(number) for number in re.findall(r"\d+", name) if len(number) < 8], name
