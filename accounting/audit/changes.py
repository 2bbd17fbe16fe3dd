"""The one door for configuration writes: validated, locked, audited, and noticed by every running process.

    with changing(Actor("ada@example.org", "user", "203.0.113.7")) as change:
        change.save(team, expected_version=3)

Whatever happens inside is one transaction: the rows, their audit events, the revisions that processes watch.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Literal

from django.contrib.admin.utils import NestedObjects
from django.core.exceptions import ValidationError
from django.db import IntegrityError, models, router, transaction
from django.db.models import F
from django.utils import timezone
from django.utils.translation import gettext as _

from accounting.audit.masking import is_secret, kept_fields, name_of, raw_value, shown_change, shown_row, team_of
from accounting.models import AuditEvent, Revision, Versioned
from accounting.words import translated
from gateway_project.crypto import EncryptedJSONField

_REVISIONS: Mapping[str, str] = {"accounting": Revision.DIRECTORY, "routing": Revision.ROUTING}
_OWN_REVISIONS: Mapping[str, str] = {  # of single tables, so that a change of them reloads nothing else
    "accounting.Price": Revision.PRICES,
    "accounting.UnknownModelPrice": Revision.PRICES,
    "accounting.AlertRule": "",  # in no picture
    "accounting.AlertDestination": "",
}


@dataclass(frozen=True, slots=True)
class Actor:
    """Who changes: an e-mail address, a token's or a command's name; `source` is where they came from."""

    name: str
    kind: Literal["user", "token", "command", "system"]
    source: str = ""


class StaleVersion(Exception):
    """Someone else changed (or deleted) the row since it was read. `fields` are the names of what they changed."""

    def __init__(self, instance: models.Model, fields: tuple[str, ...], *, deleted: bool) -> None:
        self.fields = fields
        self.deleted = deleted
        kind = translated(instance._meta.model_name or "") or str(instance._meta.verbose_name)
        given = {"kind": kind, "name": name_of(instance)}
        if deleted:
            super().__init__(_("The %(kind)s %(name)s was deleted in the meantime.") % given)
            return
        if not fields:
            text = _("The %(kind)s %(name)s was changed by someone else in the meantime; look again, then save.")
            super().__init__(text % given)
            return
        text = _(
            "The %(kind)s %(name)s was changed by someone else in the meantime (%(fields)s); look again, then save."
        )
        names = ", ".join(translated(name) or name for name in fields)
        super().__init__(text % {**given, "fields": names})


class ChangeSet:
    """The changes of one transaction. Made by `changing`, never by hand."""

    def __init__(self, actor: Actor) -> None:
        self.actor = actor
        self.reason = ""  # why, in the words of whoever changes; for those who keep versions
        self.events: dict[str, list[AuditEvent]] = {}  # what was written so far, in order, by revision
        self._touched: set[str] = set()

    def save(
        self, instance: models.Model, *, expected_version: int | None = None, action: str | None = None
    ) -> dict[str, list[Any]]:
        """Writes a new or changed row and its audit event; returns field → [before, after], secrets masked.

        Nothing is written, and {} returned, when no field differs from the stored row. `action` replaces the event's
        word (`created`, `changed`). Raises ValidationError, and StaleVersion when `expected_version` is not stored.
        """
        if instance._state.adding:
            return self._create(instance, action or "created")
        stored = self._stored(instance)
        if stored is None:
            raise StaleVersion(instance, (), deleted=True)
        if expected_version is not None and isinstance(stored, Versioned) and stored.version != expected_version:
            raise StaleVersion(instance, _changed_since(stored, expected_version), deleted=False)
        _validate(instance)
        changed = [
            field for field in kept_fields(type(instance)) if raw_value(stored, field) != raw_value(instance, field)
        ]
        if not changed:
            return {}
        changes = {field.name: shown_change(stored, instance, field) for field in changed}
        written = [field.name for field in changed]
        if isinstance(instance, Versioned) and isinstance(stored, Versioned):
            instance.version = stored.version + 1
            written += ["version", "updated_at"]
        _write(instance, update_fields=written)
        self._record(action or "changed", instance, changes)
        return changes

    def delete(self, instance: models.Model) -> None:
        """Deletes a row and what goes with it, each with its event.

        Raises ProtectedError when others still point to it, and StaleVersion when it is already gone.
        """
        if self._stored(instance) is None:
            raise StaleVersion(instance, (), deleted=True)
        nested = NestedObjects(using=router.db_for_write(type(instance), instance=instance), origin=instance)
        nested.collect([instance])
        gone: list[models.Model] = [row for rows in nested.model_objs.values() for row in rows]
        ours = [row for row in gone if row._meta.app_label in _REVISIONS and not row._meta.auto_created]
        ours.sort(key=lambda row: (row._meta.label, row.pk))
        events = [
            self._event("deleted", row, {name: [value, None] for name, value in shown_row(row).items()}) for row in ours
        ]
        instance.delete()
        for event in events:
            event.save()
        for row, event in zip(ours, events, strict=True):
            if revision := _revision_of(row):
                self._touch(revision, event)

    def note(self, action: str, instance: models.Model, changes: Mapping[str, Any] | None = None) -> None:
        """Records something that happened to a row without changing its fields (`tested`, `exported`)."""
        self._event(action, instance, dict(changes or {})).save()

    def bump(self) -> None:
        """Raises the revisions of what was touched. Called once, by `changing`, in the order that avoids deadlocks."""
        touched = sorted(self._touched)
        for name in touched:
            rows = Revision.objects.filter(name=name)
            now = timezone.now()
            if not rows.update(number=F("number") + 1, changed_at=now):
                Revision.objects.get_or_create(name=name)
                rows.update(number=F("number") + 1, changed_at=now)
        self._touched.clear()
        for name in touched:
            for call in _followers.get(name, {}).values():
                call(self)

    def _create(self, instance: models.Model, action: str) -> dict[str, list[Any]]:
        _validate(instance)
        _write(instance, force_insert=True)
        changes = {name: [None, value] for name, value in shown_row(instance).items()}
        self._record(action, instance, changes)
        return changes

    def _stored(self, instance: models.Model) -> models.Model | None:
        """The row as it stands, locked until the end of the transaction where the database can."""
        model = type(instance)
        encrypted = [field.name for field in model._meta.concrete_fields if isinstance(field, EncryptedJSONField)]
        # Secrets are read one by one, on demand: a row must stay editable after its encryption key was lost.
        return model._base_manager.select_for_update().defer(*encrypted).filter(pk=instance.pk).first()

    def _record(self, action: str, instance: models.Model, changes: dict[str, list[Any]]) -> None:
        event = self._event(action, instance, changes)
        event.save()
        if revision := _revision_of(instance):
            self._touch(revision, event)

    def _touch(self, revision: str, event: AuditEvent) -> None:
        self._touched.add(revision)
        self.events.setdefault(revision, []).append(event)

    def _event(self, action: str, row: models.Model, changes: dict[str, Any]) -> AuditEvent:
        return AuditEvent(
            actor=self.actor.name[:254],
            actor_kind=self.actor.kind,
            source=self.actor.source[:100],
            action=action,
            object_type=row._meta.model_name or "",
            object_id=str(row.pk),
            object_name=name_of(row)[:300],
            object_version=row.version if isinstance(row, Versioned) else None,
            team=team_of(row),
            changes=changes,
        )


_followers: dict[str, dict[str, Callable[[ChangeSet], None]]] = {}  # filled when the apps are ready


def follow(revision: str, name: str, call: Callable[[ChangeSet], None]) -> None:
    """Has `call` called at the end of every transaction that moved `revision`, inside it: what it raises takes all back.

    The revision's row stays locked meanwhile, so what is committed next to these changes cannot move. `name` makes a
    second registration replace the first.
    """
    _followers.setdefault(revision, {})[name] = call


_current: ContextVar[ChangeSet | None] = ContextVar("current change set", default=None)


@contextmanager
def changing(actor: Actor) -> Iterator[ChangeSet]:
    """One transaction of configuration changes, made by `actor`. Inside another one it joins that one and its actor."""
    outer = _current.get()
    if outer is not None:
        with transaction.atomic():
            yield outer
        return
    change = ChangeSet(actor)
    token = _current.set(change)
    try:
        with transaction.atomic():
            yield change
            change.bump()
    finally:
        _current.reset(token)


def _revision_of(row: models.Model) -> str:
    """The name of the revision that grows with changes of this row; "" if none does."""
    return _OWN_REVISIONS.get(row._meta.label, _REVISIONS.get(row._meta.app_label, ""))


def _write(instance: models.Model, **options: Any) -> None:
    """Saves; a duplicate that was committed since the validation is refused with the validation's sentence."""
    try:
        with transaction.atomic():
            instance.save(**options)
    except IntegrityError:
        _validate(instance)
        raise


def _validate(instance: models.Model) -> None:
    """`full_clean`, and no NUL character in any text: PostgreSQL stores none."""
    for field in kept_fields(type(instance)):
        if not is_secret(field) and _has_nul(raw_value(instance, field)):
            raise ValidationError({field.name: _("A text cannot have a NUL character.")})
    instance.full_clean()


def _has_nul(value: Any) -> bool:
    if isinstance(value, str):
        return "\x00" in value
    if isinstance(value, Mapping):
        return any(_has_nul(part) for pair in value.items() for part in pair)
    return isinstance(value, list | tuple) and any(_has_nul(part) for part in value)


def _changed_since(stored: models.Model, version: int) -> tuple[str, ...]:
    """Names of the fields that changed after `version`, as the audit log has them."""
    events = AuditEvent.objects.filter(
        object_type=stored._meta.model_name, object_id=str(stored.pk), object_version__gt=version
    )
    return tuple(sorted({name for changes in events.values_list("changes", flat=True)[:100] for name in changes}))
