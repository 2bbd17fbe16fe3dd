"""An import from bytes to database: everything or nothing, and an account of what changed."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from accounting.audit.changes import Actor, ChangeSet, changing
from accounting.models import AuditEvent
from gateway_project.crypto import Secret
from routing.declarative.document import read_document
from routing.declarative.parts import EVERYTHING, Part
from routing.declarative.problems import ConfigRefused, Problem
from routing.declarative.references import check_references
from routing.declarative.schema import parse
from routing.declarative.substitution import substitute
from routing.declarative.write_limits import write_organization, write_users
from routing.declarative.write_prices import write_prices
from routing.declarative.write_routing import write_routing
from routing.declarative.write_teams import write_teams
from routing.declarative.writing import PRUNED, Import
from routing.versions.difference import Change, of_events

ACTOR = Actor("import_config", "command")
_WORDS = {"pruned": "disabled", "deleted": "removed", "rotated": "changed"}
_NOUNS = {
    "modelalias": "alias",
    "routetarget": "target",
    "virtualkey": "key",
    "membership": "member",
    "unknownmodelprice": "the",
    "ratelimit": "rate limit",
}


@dataclass(frozen=True, slots=True)
class CreatedKey:
    """A key that was made without a secret in the file; the secret is never to be had again."""

    team: str
    project: str
    name: str
    secret: Secret


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import changed, a line each and as changes field by field, secrets masked; the keys it made; what the operator
    should know."""

    lines: tuple[str, ...]
    keys: tuple[CreatedKey, ...]
    notes: tuple[str, ...]
    changes: tuple[Change, ...] = ()


class _NotKept(Exception):
    """Ends the transaction of an import that shall leave nothing behind."""


def import_config(
    data: bytes,
    *,
    environ: Mapping[str, str],
    prune: bool = False,
    dry_run: bool = False,
    actor: Actor = ACTOR,
    reason: str = "",
) -> Imported:
    """Applies a configuration file in one transaction, or with `dry_run` finds out what it would do. `reason` is kept with
    the version that it makes.

    Raises ConfigRefused with every problem of the file; nothing is changed then.
    """
    problems: list[Problem] = []
    document = substitute(read_document(data), environ, problems)
    result = Imported((), (), ())
    try:
        with changing(actor) as change:
            change.reason = reason
            result = import_document(change, document, problems, prune=prune)
            if dry_run:
                raise _NotKept
    except _NotKept:
        pass
    return result


def import_document(
    change: ChangeSet, document: Any, problems: list[Problem], *, prune: bool = False, sections: Part = EVERYTHING
) -> Imported:
    """Applies a document whose references are replaced. With another `sections` only that part of it, and of what is stored.

    Raises ConfigRefused with every problem, those found so far among them; the transaction is to be given up then.
    """
    root = parse(sections.of(document), problems)
    before = {event.pk for event in _events(change)}
    check_references(root, problems)
    run = Import(change, prune)
    if sections.routing:
        write_routing(run, root)
    if sections.people:
        write_organization(run, root)
        write_teams(run, root.lists.get("teams", []))
        write_users(run, root.lists.get("users", []))
        write_prices(run, root)
    problems += run.problems
    if problems:
        raise ConfigRefused(problems)
    events = [event for event in _events(change) if event.pk not in before]
    return Imported(tuple(_account(events)), _keys(run), tuple(run.notes), tuple(of_events(events)))


def _keys(run: Import) -> tuple[CreatedKey, ...]:
    return tuple(CreatedKey(key.project.team.name, key.project.name, key.name, secret) for key, secret in run.created)


def _events(change: ChangeSet) -> list[AuditEvent]:
    """The events of a change set in the order in which they were written."""
    return sorted((event for each in change.events.values() for event in each), key=lambda event: event.pk)


def _account(events: Iterable[AuditEvent]) -> list[str]:
    """The audit events of an import, as lines: what was created, changed field by field, disabled, removed."""
    lines: list[str] = []
    for event in events:
        word = _WORDS.get(event.action, event.action)
        subject = f"{word} {_NOUNS.get(event.object_type, event.object_type)} {event.object_name}"
        if event.action in ("created", "deleted", PRUNED):
            lines.append(subject)
            continue
        lines += [f"{subject}: {name}: {_shown(pair[0])} → {_shown(pair[1])}" for name, pair in event.changes.items()]
    return lines


def _shown(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
