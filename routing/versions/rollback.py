"""Going back to an earlier version: what it would change, and doing it, which makes a new version."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from django.core.exceptions import ValidationError

from accounting.audit.changes import ChangeSet
from routing.conf import CREDENTIAL_KINDS
from routing.models import ConfigVersion, Credential
from routing.versions.applying import apply, opened
from routing.versions.difference import Change, Edit, as_changes, differences
from routing.versions.keeping import current_number, picture_of
from routing.versions.picture import Picture, take_picture

MOVED = "The configuration was changed meanwhile: look again at what going back would change, then confirm."
_FORMATS = {kind: known.formats for kind, known in CREDENTIAL_KINDS.items()}


@dataclass(frozen=True, slots=True)
class Plan:
    """What going back to version `number` would do to the configuration of version `seen`.

    `notes` are worth knowing; with `problems` it cannot be done.
    """

    number: int
    seen: int
    edits: tuple[Edit, ...]
    notes: tuple[str, ...]
    problems: tuple[str, ...]

    @property
    def changes(self) -> list[Change]:
        return as_changes(self.edits)


def version(number: int) -> ConfigVersion:
    """The version; raises ValidationError if there is none of this number."""
    found = ConfigVersion.objects.select_related("picture").filter(number=number).first()
    if found is None:
        raise ValidationError(f"There is no version {number}.")
    return found


def plan_rollback(number: int) -> Plan:
    """What going back to `number` would do now. Raises ValidationError if there is no such version."""
    wanted = picture_of(version(number))
    seen = current_number()
    now = take_picture().picture
    edits, notes = _keeping_credentials(differences(now, wanted), now, wanted)
    problems = tuple(problem for edit in edits if (problem := _unrestorable(edit)))
    return Plan(number, seen, tuple(edits), tuple(notes), problems)


def roll_back(change: ChangeSet, number: int, seen: int, reason: str = "") -> Plan:
    """Makes the configuration what it was in version `number`; providers keep their credentials.

    `seen` is the version on which the decision was taken. Raises ValidationError if the configuration has moved since, if
    there is nothing to change, or with all that stands in the way; the transaction is to be given up then.
    """
    plan = plan_rollback(number)
    if plan.seen != seen:
        raise ValidationError(MOVED)
    if plan.problems:
        raise ValidationError(list(plan.problems))
    if not plan.edits:
        raise ValidationError(f"The configuration is as it was in version {number}; there is nothing to change.")
    change.reason = f"rollback to {number}" + (f": {reason}" if reason else "")
    apply(change, plan.edits, restoring=True)
    if current_number(lock=True) != seen:
        raise ValidationError(MOVED)
    return plan


def _keeping_credentials(edits: Iterable[Edit], now: Picture, wanted: Picture) -> tuple[list[Edit], list[str]]:
    """The edits without those of credentials whose provider stays and can go on with the one it has."""
    kept: list[Edit] = []
    notes: list[str] = []
    for edit in edits:
        if edit.table.model is not Credential or edit.kind == "create":
            kept.append(edit)
            continue
        name = str(edit.fields["provider"][1] if edit.kind == "change" and "provider" in edit.fields else edit.key[0])
        provider = wanted.row("provider", (name,))
        if provider is None:
            kept.append(edit)  # it goes with its provider
        elif provider.values["format"] in _FORMATS.get(str(edit.values["kind"]), ()):
            if set(edit.fields) - {"provider"}:
                notes.append(f"The provider {name} keeps its present credential.")
        elif edit.kind == "change":
            kept.append(_without_provider(edit))
            notes.append(
                f"The provider {name} gets back the credential that it had then: the present one does not fit."
            )
    return kept, notes


def _without_provider(edit: Edit) -> Edit:
    """Without the provider's name: the row points to it by id, and so follows a renaming."""
    return replace(edit, fields={name: pair for name, pair in edit.fields.items() if name != "provider"})


def _unrestorable(edit: Edit) -> str:
    """Why a secret that is to come back cannot, or nothing."""
    if edit.table.model is not Credential or edit.kind == "delete" or "values" not in edit.fields:
        return ""
    try:
        opened(edit.fields["values"][1])
    except ValidationError:
        name = edit.key[0]
        return (
            f"The provider {name} cannot be brought back: its credential of that time cannot be opened any more. Make a "
            f"provider {name} with its credential first, then go back."
        )
    return ""
