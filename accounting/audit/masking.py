"""How a row reads in the audit log: its name, its team, its fields as JSON values, secrets masked.

No secret leaves here: of an encrypted field only the names of its values, of a password only that there is one.
"""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeAlias

from django.db import models

from gateway_project.crypto import EncryptedJSONField, UnreadableSecret

if TYPE_CHECKING:
    AnyField: TypeAlias = models.Field[Any, Any]
else:
    AnyField = models.Field  # subscriptable only for the type checker

MASK = "***"
CHANGED = "*** (changed)"
_PARENTS = ("project", "team", "route")
_BOOKKEEPING = frozenset(
    {
        "version",
        "created_at",
        "updated_at",
        "last_login",
        "last_seen",
        "date_joined",
        "delivered_at",
        "failing_since",
        "delivery_failures",
        "delivery_error",
    }
)


def kept_fields(model: type[models.Model]) -> list[AnyField]:
    """The fields whose changes are history: all columns but the key and what rows keep about themselves."""
    return [field for field in model._meta.concrete_fields if not field.primary_key and field.name not in _BOOKKEEPING]


def is_secret(field: AnyField) -> bool:
    return isinstance(field, EncryptedJSONField) or field.name == "password" or field.name.endswith("_hash")


def raw_value(instance: models.Model, field: AnyField) -> Any:
    """The field's value for comparing; a secret that no key opens any more equals nothing but another such one."""
    try:
        return getattr(instance, field.attname)
    except UnreadableSecret:
        return UnreadableSecret


def name_of(instance: models.Model) -> str:
    """`platform/default/ci` for a key, `sonnet` for a route: a name, under its parents where it is not unique alone."""
    fields = {field.name: field for field in instance._meta.concrete_fields}
    own = str(getattr(instance, "name", "") or instance)
    if "name" in fields and fields["name"].unique:
        return own
    for parent in _PARENTS:
        above = getattr(instance, parent, None)
        if parent in fields and isinstance(above, models.Model):
            return f"{name_of(above)}/{own}"
    return own


def team_of(instance: models.Model) -> str:
    """The name of the team that the row belongs to, or nothing."""
    if instance._meta.label == "accounting.Team":
        return str(getattr(instance, "name", ""))
    for parent in ("team", "project", "key", "budget"):
        above = getattr(instance, parent, None)
        if isinstance(above, models.Model):
            return team_of(above)
    return ""


def _masked(value: Any, mask: str) -> Any:
    if isinstance(value, dict):
        return dict.fromkeys(sorted(value), mask)
    return mask if value else value


def _masked_change(before: Any, after: Any) -> list[Any]:
    """Which of the values of a secret are new, without any of them."""
    if not isinstance(after, dict):
        return [MASK if before else before, CHANGED if before else _masked(after, MASK)]
    known = before if isinstance(before, dict) else {}
    shown = {name: CHANGED if name in known and known[name] != after[name] else MASK for name in sorted(after)}
    return [_masked(known, MASK) if isinstance(before, dict) else MASK, shown]


def _plain(value: Any) -> Any:
    if isinstance(value, date):
        return value.isoformat()
    return str(value) if isinstance(value, Decimal) else value


def shown(instance: models.Model, field: AnyField) -> Any:
    """One value as the log shows it: a related row by its name, a secret by `***`."""
    value = raw_value(instance, field)
    if is_secret(field):
        return MASK if value is UnreadableSecret else _masked(value, MASK)
    if value is not None and isinstance(field, models.ForeignKey):
        related = getattr(instance, field.name)
        return name_of(related)
    return _plain(value)


def shown_change(before: models.Model, after: models.Model, field: AnyField) -> list[Any]:
    """`[before, after]` of one field."""
    if is_secret(field):
        return _masked_change(raw_value(before, field), raw_value(after, field))
    return [shown(before, field), shown(after, field)]


def shown_row(instance: models.Model) -> dict[str, Any]:
    """What a row that comes or goes consists of, empty fields and hashes left out."""
    fields: Sequence[AnyField] = kept_fields(type(instance))
    row = {field.name: shown(instance, field) for field in fields if not field.name.endswith("_hash")}
    return {name: value for name, value in row.items() if value is False or value == 0 or value}
