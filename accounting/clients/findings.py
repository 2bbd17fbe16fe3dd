"""What a check says, and what it needs to know of this gateway. No I/O."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from accounting.access.offers import OfferedName
from accounting.clients.pasted import Given

BAD, WARN, INFO, GOOD = "bad", "warn", "info", "good"


@dataclass(frozen=True, slots=True)
class Finding:
    """A sentence about a variable, or about all (without a name). `line` is 0 where it stands in none."""

    level: str
    text: str
    name: str = ""
    source: str = ""
    line: int = 0


@dataclass(frozen=True, slots=True)
class KeyFact:
    """A key that somebody presented the secret of: its name, how it stands (usable, disabled, expired, revoked), whether the
    secret is the one before a rotation, what it may ask for."""

    name: str
    state: str
    is_old_secret: bool = False
    allowed_models: Sequence[str] = ("*",)


@dataclass(frozen=True, slots=True)
class Facts:
    """This gateway: its address, the names that it serves, what the team may ask for, whose the presented secrets are."""

    address: str
    names: Sequence[OfferedName] = ()
    allowed_models: Sequence[str] = ("*",)
    keys: Mapping[str, KeyFact] = field(default_factory=dict, repr=False)  # by their secrets


def about(level: str, given: Given, text: str) -> Finding:
    return Finding(level, text, given.name, given.source, given.line)
