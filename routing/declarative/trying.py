"""An import in two steps, for people who look before they apply: what it would change, then exactly that.

The difference that was shown has a mark. Applying makes the changes, compares their mark with it in the same transaction,
and gives up if they are others by now.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import IntegrityError

from accounting.audit.changes import Actor, ChangeSet, StaleVersion, changing
from accounting.models import Revision
from routing.declarative.document import lines_of, read_document
from routing.declarative.importing import Imported, import_document
from routing.declarative.kept import keep_secrets
from routing.declarative.parts import EVERYTHING, Part
from routing.declarative.problems import ConfigRefused, Problem, shown
from routing.declarative.substitution import names_in, substitute
from routing.versions.difference import Change

_BY_CHANCE = frozenset({"prefix"})  # of a key that is made without a secret: another one each time
MIXED = (
    "This changes routing, which another administrator has to approve, and other things, which are changed at once. "
    "Choose one part, and then the other."
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What somebody wants imported: a file, values for its references, and how."""

    data: bytes
    values: Mapping[str, str]
    prune: bool = False
    part: Part = EVERYTHING


@dataclass(frozen=True, slots=True)
class Trouble:
    """One problem of a file, and where: as a path, and as a line (0: none)."""

    place: str
    line: int
    text: str


@dataclass(frozen=True, slots=True)
class Tried:
    """What an import would do. With `problems` it cannot be done; `missing` are references that have no value; `kept` are
    secrets that stay; `mark` stands for the changes. What is `mixed` cannot be done in one."""

    changes: tuple[Change, ...] = ()
    notes: tuple[str, ...] = ()
    problems: tuple[Trouble, ...] = ()
    missing: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    new_keys: int = 0
    mixed: bool = False
    mark: str = ""


class Moved(Exception):
    """What would be changed is not what was shown: somebody was faster."""


class _TriedOnly(Exception):
    """Takes back what was only tried."""


def try_out(wanted: Wanted, actor: Actor) -> Tried:
    """Does it all, and takes it back."""
    try:
        given, kept = keep_secrets(read_document(wanted.data), wanted.values)
    except ConfigRefused as refused:
        return Tried(problems=_troubles(wanted, refused.problems))
    missing = tuple(name for name in names_in(wanted.part.of(given)) if name not in wanted.values)
    tried = Tried(missing=missing, kept=tuple(kept))
    try:
        with changing(actor) as change:
            result = _imported(change, wanted, given)
            tried = replace(tried, changes=result.changes, notes=result.notes, new_keys=len(result.keys))
            tried = replace(tried, mixed=is_mixed(change), mark=mark_of(result.changes))
            raise _TriedOnly
    except ConfigRefused as refused:
        return replace(tried, problems=_troubles(wanted, refused.problems))
    except (IntegrityError, StaleVersion):
        return replace(tried, problems=(Trouble("", 0, "somebody changed the same at this moment; try again"),))
    except _TriedOnly:
        return tried


def carry_out(change: ChangeSet, wanted: Wanted, mark: str) -> Imported:
    """Does it, if it does what was shown. Raises Moved, ConfigRefused, and ValidationError for what cannot be done in one;
    the caller's transaction is to be given up then."""
    given, _ = keep_secrets(read_document(wanted.data), wanted.values)
    result = _imported(change, wanted, given)
    if mark_of(result.changes) != mark:
        raise Moved
    if is_mixed(change):
        raise ValidationError(MIXED)
    return result


def is_mixed(change: ChangeSet) -> bool:
    """Whether a part of it has to wait for an approval, and a part of it cannot."""
    touched = {name for name, events in change.events.items() if events}
    return bool(settings.GATEWAY_CONFIG_APPROVAL and Revision.ROUTING in touched and len(touched) > 1)


def mark_of(changes: Sequence[Change]) -> str:
    """Equal for equal changes only."""
    told = [
        [each.action, each.subject, [[*field] for field in each.fields if field[0] not in _BY_CHANCE]]
        for each in changes
    ]
    return hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()


def _imported(change: ChangeSet, wanted: Wanted, given: Any) -> Imported:
    problems: list[Problem] = []
    document = substitute(wanted.part.of(given), wanted.values, problems, server=False)
    return import_document(change, document, problems, prune=wanted.prune, sections=wanted.part)


def _troubles(wanted: Wanted, problems: Sequence[Problem]) -> tuple[Trouble, ...]:
    lines = lines_of(wanted.data, [problem.path for problem in problems])
    return tuple(Trouble(shown(each.path), lines.get(each.path, 0), each.text) for each in problems)
