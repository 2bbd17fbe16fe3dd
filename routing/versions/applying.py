"""Makes edits of pictures real: row by row through the one door, validated and audited like any other change.

Nobody needs to know in which order rows depend on each other: what is refused for now is tried again after the others,
until all is done or nothing moves any more.
"""

from collections.abc import Sequence
from typing import Any

from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.db.models import ProtectedError

from accounting.audit.changes import ChangeSet
from gateway_project.crypto import EncryptedJSONField, UnreadableSecret
from routing import services
from routing.connections import broken
from routing.models import Credential, ModelAlias, Provider, Route, RouteTarget, SealedSecret
from routing.versions.difference import Edit
from routing.versions.picture import PICTURED, Key, Table, encrypted, table_of

MOST_SENTENCES = 20


class Missing(Exception):
    """A row that an edit points to is not there (yet)."""


def apply(change: ChangeSet, edits: Sequence[Edit], *, restoring: bool = False) -> None:
    """Applies `edits` to the configuration as it is. `restoring` a state that was: what others need is disabled instead of
    deleted, and a route that could serve nothing then may come back so.

    Raises ValidationError with every reason; the caller's transaction is to be given up then.
    """
    before = {(each.name, each.text) for found in broken() for each in found}
    waiting = _ordered(edits)
    while waiting:
        refused = [(edit, problem) for edit in waiting if (problem := _attempt(change, edit))]
        still = [edit for edit, _ in refused]
        if len(still) == len(waiting):
            if not restoring or not _disabled(change, still):
                raise ValidationError([f"{_upper(edit)}: {problem}" for edit, problem in refused[:MOST_SENTENCES]])
            break
        waiting = still
    _check_credentials(edits)
    if not restoring:
        _check_routes(edits)
    if lost := [each for found in broken() for each in found if (each.name, each.text) not in before]:
        raise ValidationError([f"{each.name} would lead nowhere: {each.text}" for each in lost[:MOST_SENTENCES]])


def _upper(edit: Edit) -> str:
    return edit.title[:1].upper() + edit.title[1:]


def _ordered(edits: Sequence[Edit]) -> list[Edit]:
    """What is made before what points to it, and deletions last, the other way round."""
    order = [table.name for table in PICTURED]
    providers = {edit.key for edit in edits if edit.kind == "delete" and edit.table.model is Provider}
    kept = [
        edit
        for edit in edits
        if not (edit.kind == "delete" and edit.table.model is Credential and edit.key in providers)
    ]  # a provider's credential goes with it
    written = [edit for edit in kept if edit.kind != "delete"]
    deleted = [edit for edit in kept if edit.kind == "delete"]
    written.sort(key=lambda edit: order.index(edit.table.name))
    deleted.sort(key=lambda edit: -order.index(edit.table.name))
    return written + deleted


def _attempt(change: ChangeSet, edit: Edit) -> str:
    """Applies one edit; returns why it cannot be applied now, or nothing."""
    try:
        with transaction.atomic():
            if edit.kind == "delete":
                _delete(change, edit)
            else:
                _write(change, edit)
    except ValidationError as error:
        return " ".join(error.messages)
    except ProtectedError as error:
        names = ", ".join(sorted({str(row) for row in error.protected_objects})[:5])
        return f"still used by {names}."
    except Missing as error:
        return str(error)
    except UnreadableSecret:
        return "its stored secret cannot be opened any more; enter the credential anew."
    return ""


def _write(change: ChangeSet, edit: Edit) -> None:
    row = find(edit.table, edit.key)
    if row is None and edit.kind == "change":
        row = find(edit.table, tuple(str(_after(edit, name)) for name in edit.table.key))  # renamed by another edit
    if row is None and edit.kind == "change":
        raise Missing("it is gone.")
    row = row or edit.table.model()
    for name, (_, after) in edit.fields.items():
        _assign(row, edit.table.model._meta.get_field(name), after)
    change.save(row)


def _after(edit: Edit, name: str) -> Any:
    return edit.fields[name][1] if name in edit.fields else edit.values[name]


def _assign(row: models.Model, field: Any, value: Any) -> None:
    if isinstance(field, EncryptedJSONField):
        setattr(row, field.name, opened(value))
    elif isinstance(field, models.ForeignKey) and value is not None:
        table = table_of(field.related_model._meta.model_name)
        key: Key = tuple(str(part) for part in value) if isinstance(value, list) else (str(value),)
        related = find(table, key)
        if related is None:
            raise Missing(f"there is no {table.noun} {' '.join(key)}.")
        setattr(row, field.name, related)
    else:
        setattr(row, field.name, field.to_python(value))


def opened(value: Any) -> dict[str, str]:
    """The secret that a picture names; raises ValidationError if it cannot be had any more."""
    if not value:
        return {}
    try:
        sealed = SealedSecret.objects.filter(fingerprint=value.get("sealed", "")).first()
    except UnreadableSecret:
        sealed = None
    if sealed is None:
        raise ValidationError("its stored secret cannot be opened any more; enter the credential anew.")
    return sealed.values


def _delete(change: ChangeSet, edit: Edit) -> None:
    row = find(edit.table, edit.key)
    if row is None:
        return
    if isinstance(row, Provider):
        services.delete_provider(change, row)
    elif isinstance(row, Route):
        services.delete_route(change, row)
    elif isinstance(row, ModelAlias):
        services.delete_alias(change, row)
    else:
        change.delete(row)


def _disabled(change: ChangeSet, edits: Sequence[Edit]) -> bool:
    """Disables rows that should go and cannot. False if one of the edits is of another sort."""
    rows = [find(edit.table, edit.key) for edit in edits if edit.kind == "delete"]
    if len(rows) < len(edits) or not all(row is not None and hasattr(row, "enabled") for row in rows):
        return False
    for row in rows:
        assert row is not None
        row.enabled = False  # type: ignore[attr-defined]
        change.save(row, action="disabled")
    return True


def find(table: Table, key: Key) -> models.Model | None:
    """The row of this name, without reading secrets."""
    query: dict[str, str] = {}
    for name, part in zip(table.key, key, strict=True):
        field: Any = table.model._meta.get_field(name)
        query[f"{name}__name" if isinstance(field, models.ForeignKey) else name] = part
    return table.model._base_manager.filter(**query).defer(*encrypted(table)).first()


def _check_credentials(edits: Sequence[Edit]) -> None:
    """A credential must fit its provider's format, whichever of the two was edited."""
    names = {str(_after(edit, edit.table.key[0])) for edit in edits if edit.table.model in (Provider, Credential)}
    for provider in Provider.objects.filter(name__in=names).order_by("name"):
        services.check_kept_credential(provider)


def _check_routes(edits: Sequence[Edit]) -> None:
    """Two changes that are each right by themselves may leave a route nothing to send to."""
    names = {str(_after(edit, edit.table.key[0])) for edit in edits if edit.table.model in (Route, RouteTarget)}
    for route in Route.objects.filter(name__in=names, enabled=True).order_by("name"):
        if problem := services.check_route(list(route.targets.select_related("provider"))):
            raise ValidationError(f"Route {route.name}: {problem}")
