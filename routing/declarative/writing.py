"""What both halves of an import share: one change set, the problems found on the way, what is worth saying."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.db.models import Model

from accounting.audit.changes import ChangeSet
from accounting.models import AuditEvent, Budget, Project, RateLimit, Team, VirtualKey
from gateway_project.crypto import Secret
from routing.declarative.problems import Path, Problem
from routing.declarative.schema import Item
from routing.models import ModelAlias, Provider, Route, RouteTarget

PRUNED = "pruned"  # the audit log's word for what an import disabled because the file does not mention it
T = TypeVar("T")
Enabled = Provider | Route | RouteTarget | ModelAlias | Team | Project | VirtualKey | Budget | RateLimit


@dataclass(slots=True)
class Import:
    """One run. `created` are new keys with the secrets that were made for them; `notes` is for the operator."""

    change: ChangeSet
    prune: bool
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    created: list[tuple[VirtualKey, Secret]] = field(default_factory=list)

    def attempt(self, item: Item, write: Callable[[], T], names: Mapping[str, Path] | None = None) -> T | None:
        """What `write` returns; None if it was refused, with a problem at the key of the file that `names` gives."""
        try:
            return write()
        except ValidationError as error:
            self._refused(item, error, names or {})
            return None

    def _refused(self, item: Item, error: ValidationError, names: Mapping[str, Path]) -> None:
        reasons = error.message_dict if hasattr(error, "error_dict") else {NON_FIELD_ERRORS: error.messages}
        for name, messages in reasons.items():
            path = () if name == NON_FIELD_ERRORS else names.get(name, (name,))
            if (path and path[0] in item.broken) or (not path and item.broken):
                continue  # a consequence of what is reported already
            self.problems.append(Problem((*item.path, *path), " ".join(messages)))

    def require(self, item: Item, *names: str) -> bool:
        """Whether an entry that is new has what it needs; what is missing is a problem."""
        missing = [name for name in names if name not in item.values and name not in item.broken]
        self.problems += [Problem((*item.path, name), "required") for name in missing]
        item.broken.update(missing)
        return not missing

    def switch(self, row: Enabled, item: Item, what: str) -> None:
        """Sets `enabled` as the file says. If it does not say, a row keeps its state, except one that an earlier import
        disabled because the file did not mention it: it is mentioned again."""
        if "enabled" in item.values:
            row.enabled = item.values["enabled"]
        elif not row.enabled and "enabled" not in item.broken:
            row.enabled = _was_pruned(row)
            if not row.enabled:
                self.notes.append(f"{what} is disabled and stays so; the file does not say enabled: true")

    def disable(self, rows: Iterable[Enabled], *, always: bool = False) -> None:
        """Disables what the file does not mention, if this run prunes; `always`, if it does not, too."""
        if not (self.prune or always):
            return
        for row in rows:
            if row.enabled:
                row.enabled = False
                self.attempt(Item(()), partial(self.change.save, row, action=PRUNED))


def assign(row: Model, item: Item, *names: str, **renamed: str) -> None:
    """Copies the values that the file has; `renamed` are the row's names of keys that are called otherwise."""
    for name in names:
        if name in item.values:
            setattr(row, name, item.values[name])
    for key, name in renamed.items():
        if key in item.values:
            setattr(row, name, item.values[key])


def _was_pruned(row: Enabled) -> bool:
    events = AuditEvent.objects.filter(object_type=row._meta.model_name, object_id=str(row.pk)).order_by("-id")
    for action, changes in events.values_list("action", "changes")[:200]:
        if "enabled" in changes:
            return bool(action == PRUNED)
    return False
