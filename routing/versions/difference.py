"""What differs between two pictures, as edits that can be shown, merged and applied. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from accounting.audit.masking import CHANGED, MASK, AnyField, is_secret
from accounting.models import AuditEvent
from routing.versions.picture import PICTURED, Key, Picture, Row, Table, title_of

MOST_CHANGES = 300
MOST_FIELDS = 60
LONGEST_VALUE = 2_000
_NOUNS = {table.name: table.noun for table in PICTURED}
_WORDS = {"pruned": "changed", "deleted": "removed"}


@dataclass(frozen=True, slots=True)
class Edit:
    """One row made, changed or removed. `key` is its key before (of a new row: after); `fields` are before and after."""

    kind: Literal["create", "change", "delete"]
    table: Table
    key: Key
    fields: Mapping[str, tuple[Any, Any]]
    values: Mapping[str, Any]

    @property
    def title(self) -> str:
        return title_of(self.table, self.values)


@dataclass(frozen=True, slots=True)
class Change:
    """A change as people read it: `created`, `changed`, `removed`; the subject; (field, before, after), secrets masked."""

    action: str
    subject: str
    fields: tuple[tuple[str, Any, Any], ...] = ()


def differences(before: Picture, after: Picture) -> list[Edit]:
    """What makes `after` of `before`: rows are the same by name, or else, renamed, by id."""
    edits: list[Edit] = []
    for table in PICTURED:
        old, new = before.tables.get(table.name, {}), after.tables.get(table.name, {})
        renamed = _renamed(old, new)
        for key, row in new.items():
            former = key if key in old else renamed.get(key)
            if former is None:
                edits.append(Edit("create", table, key, {n: (None, v) for n, v in row.values.items()}, row.values))
            elif fields := _changed(old[former], row):
                edits.append(Edit("change", table, former, fields, old[former].values))
        gone = [key for key in old if key not in new and key not in renamed.values()]
        edits += [_removed(table, key, old[key]) for key in gone]
    return edits


def _renamed(old: Mapping[Key, Row], new: Mapping[Key, Row]) -> dict[Key, Key]:
    """New key → old key of rows that have another name now."""
    ids = {row.id: key for key, row in old.items() if key not in new}
    return {key: ids[row.id] for key, row in new.items() if key not in old and row.id in ids}


def _changed(before: Row, after: Row) -> dict[str, tuple[Any, Any]]:
    return {
        name: (before.values.get(name), value)
        for name, value in after.values.items()
        if before.values.get(name) != value
    }


def _removed(table: Table, key: Key, row: Row) -> Edit:
    return Edit("delete", table, key, {name: (value, None) for name, value in row.values.items()}, row.values)


def conflicts(edits: Iterable[Edit], base: Picture, now: Picture) -> list[str]:
    """Where somebody else has changed, since `base`, what `edits` (made on it) would change: a sentence for each."""
    found: list[str] = []
    for edit in edits:
        stands, stood = now.row(edit.table.name, edit.key), base.row(edit.table.name, edit.key)
        subject = edit.title[:1].upper() + edit.title[1:]
        if edit.kind == "create":
            if stands is not None:
                found.append(f"{subject} exists by now.")
        elif stands is None:
            if edit.kind == "change":
                found.append(f"{subject} was removed or renamed meanwhile.")
        elif edit.kind == "delete":
            if stood is None or _changed(stood, stands):
                found.append(f"{subject} was changed meanwhile.")
        else:
            found += [
                f"{subject}: {_label(name)} was changed meanwhile."
                for name, (before, after) in edit.fields.items()
                if stands.values.get(name) not in (before, after)
            ]
    return found


def as_changes(edits: Sequence[Edit]) -> list[Change]:
    """Edits as people read them."""
    words = {"create": "created", "change": "changed", "delete": "removed"}
    return [
        Change(words[edit.kind], edit.title, () if edit.kind == "delete" else tuple(_fields(edit))) for edit in edits
    ]


def _fields(edit: Edit) -> Iterable[tuple[str, Any, Any]]:
    for name, (before, after) in edit.fields.items():
        if edit.kind == "create" and (name in edit.table.key or after in (None, "", [], {})):
            continue
        field: AnyField = edit.table.model._meta.get_field(name)  # type: ignore[assignment]
        if is_secret(field):
            yield (name, *_masked(before, after))
        else:
            yield name, before, after


def _masked(before: Any, after: Any) -> tuple[Any, Any]:
    """Which values of a secret differ, without any of them."""
    old = before["values"] if before else {}
    new = after["values"] if after else {}
    shown = {name: CHANGED if name in old and old[name] != text else MASK for name, text in new.items()}
    return dict.fromkeys(old, MASK) or None, shown or None


def of_events(events: Sequence[AuditEvent]) -> list[Change]:
    """The changes of one transaction, as its audit events tell them (secrets are masked there)."""
    found: list[Change] = []
    for event in events:
        subject = f"{_NOUNS.get(event.object_type, event.object_type)} {event.object_name}"
        pairs = [(name, pair) for name, pair in event.changes.items() if isinstance(pair, list) and len(pair) == 2]
        fields = () if event.action == "deleted" else tuple((name, pair[0], pair[1]) for name, pair in pairs)
        found.append(Change(_WORDS.get(event.action, event.action), subject, fields))
    return found


def stored(changes: Sequence[Change]) -> tuple[list[Any], int]:
    """Changes as JSON for a row, cut to what a page can show, and how many were cut off."""
    kept = [
        {
            "action": each.action,
            "subject": each.subject[:400],
            "fields": [[name, _cut(before), _cut(after)] for name, before, after in each.fields[:MOST_FIELDS]],
        }
        for each in changes[:MOST_CHANGES]
    ]
    return kept, max(0, len(changes) - MOST_CHANGES)


def read(kept: Iterable[Any]) -> list[Change]:
    return [
        Change(each["action"], each["subject"], tuple((name, before, after) for name, before, after in each["fields"]))
        for each in kept
    ]


def _cut(value: Any) -> Any:
    text = str(value)
    return value if len(text) <= LONGEST_VALUE else text[:LONGEST_VALUE] + "…"


def _label(name: str) -> str:
    return name.replace("_", " ")
