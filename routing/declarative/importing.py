"""An import from bytes to database: everything or nothing, and an account of what changed."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from accounting.audit.changes import Actor, changing
from accounting.models import AuditEvent
from gateway_project.crypto import Secret
from routing.declarative.document import read_document
from routing.declarative.problems import ConfigRefused, Problem
from routing.declarative.references import check_references
from routing.declarative.schema import parse
from routing.declarative.substitution import substitute
from routing.declarative.write_limits import write_organization, write_users
from routing.declarative.write_prices import write_prices
from routing.declarative.write_routing import write_routing
from routing.declarative.write_teams import write_teams
from routing.declarative.writing import PRUNED, Import

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
    """What an import changed, a line each, secrets masked; the keys it made; what the operator should know."""

    lines: tuple[str, ...]
    keys: tuple[CreatedKey, ...]
    notes: tuple[str, ...]


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
    root = parse(substitute(read_document(data), environ, problems), problems)
    result = Imported((), (), ())
    try:
        with changing(actor) as change:
            change.reason = reason
            last = AuditEvent.objects.order_by("-id").values_list("id", flat=True).first() or 0
            check_references(root, problems)
            run = Import(change, prune)
            write_routing(run, root)
            write_organization(run, root)
            write_teams(run, root.lists.get("teams", []))
            write_users(run, root.lists.get("users", []))
            write_prices(run, root)
            problems += run.problems
            result = Imported(_account(last, actor), _keys(run), tuple(run.notes))
            if problems or dry_run:
                raise _NotKept
    except _NotKept:
        if problems:
            raise ConfigRefused(problems) from None
    return result


def _keys(run: Import) -> tuple[CreatedKey, ...]:
    return tuple(CreatedKey(key.project.team.name, key.project.name, key.name, secret) for key, secret in run.created)


def _account(last: int, actor: Actor) -> tuple[str, ...]:
    """The audit events of this import, as lines: what was created, changed field by field, disabled, removed."""
    lines: list[str] = []
    for event in AuditEvent.objects.filter(id__gt=last, actor=actor.name).order_by("id").iterator():
        word = _WORDS.get(event.action, event.action)
        subject = f"{word} {_NOUNS.get(event.object_type, event.object_type)} {event.object_name}"
        if event.action in ("created", "deleted", PRUNED):
            lines.append(subject)
            continue
        lines += [f"{subject}: {name}: {_shown(pair[0])} → {_shown(pair[1])}" for name, pair in event.changes.items()]
    return tuple(lines)


def _shown(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
