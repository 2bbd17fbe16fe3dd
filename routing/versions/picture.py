"""The routing configuration as one value: rows by name, field by field, secrets as keyed hashes.

Every concrete field of a pictured table is carried, so a new field needs nothing here; a new table needs its line in
`PICTURED`. Ids tell a renamed row from a new one; rows are otherwise known by their names.
"""

import hashlib
import json
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from functools import cache
from typing import Any

from django.db import models
from django.db.models import F
from django.db.models.functions import Cast

from accounting.audit.masking import AnyField, kept_fields
from gateway_project.crypto import EncryptedJSONField, UnreadableSecret, keyed_hash, ring
from routing.models import CompatibilityRule, Credential, ModelAlias, Provider, Route, RouteTarget

Key = tuple[str, ...]
Values = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Table:
    """A table that pictures hold. `key` are the fields by which a row is known, `title` is how people call one."""

    model: type[models.Model]
    key: tuple[str, ...]
    noun: str
    title: str

    @property
    def name(self) -> str:
        return self.model._meta.model_name or ""


# In the order in which rows can be made: what is pointed to comes first.
PICTURED: tuple[Table, ...] = (
    Table(Provider, ("name",), "provider", "{name}"),
    Table(Credential, ("provider",), "credential", "of {provider}"),
    Table(Route, ("name",), "route", "{name}"),
    Table(RouteTarget, ("route", "provider", "model"), "target", "{route}/{provider}: {model}"),
    Table(ModelAlias, ("name",), "alias", "{name}"),
    Table(
        CompatibilityRule,
        ("kind", "name", "upstream_format", "model"),
        "compatibility rule",
        "{name} to {upstream_format}, models {model}",
    ),
)


@dataclass(frozen=True, slots=True)
class Row:
    """One row: its id at that time, and the value of every kept field as JSON; a related row is its name."""

    id: int
    values: Values


@dataclass(frozen=True, slots=True)
class Picture:
    """`tables` are the rows of each table by key."""

    tables: Mapping[str, Mapping[Key, Row]]

    def row(self, table: str, key: Key) -> Row | None:
        return self.tables.get(table, {}).get(key)


@dataclass(frozen=True, slots=True)
class Taken:
    """A picture, and the secrets that it only names: fingerprint → values."""

    picture: Picture
    secrets: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


@cache
def table_of(name: str) -> Table:
    return next(table for table in PICTURED if table.name == name)


def take_picture() -> Taken:
    """The configuration as the database has it now: one query for each table."""
    rows = {table.name: list(table.model._base_manager.defer(*encrypted(table)).order_by("pk")) for table in PICTURED}
    named = _Names(rows)
    secrets: dict[str, Mapping[str, str]] = {}
    tables: dict[str, dict[Key, Row]] = {}
    for table in PICTURED:
        found = tables.setdefault(table.name, {})
        stored = {name: _ciphertexts(table, name) for name in encrypted(table)}
        for row in rows[table.name]:
            values = {
                each.name: _sealed(stored[each.name].get(row.pk, ""), secrets)
                if each.name in stored
                else _shown(row, each, named)
                for each in kept_fields(table.model)
            }
            found[key_in(table, values)] = Row(row.pk, values)
    return Taken(Picture(tables), secrets)


class _Names:
    """Names of rows by id, for the fields that point to them."""

    def __init__(self, rows: Mapping[str, Iterable[models.Model]]) -> None:
        self._rows = {(name, row.pk): row for name, found in rows.items() for row in found}

    def of(self, model: type[models.Model], pk: Any) -> Any:
        name = model._meta.model_name or ""
        row = self._rows.get((name, pk))
        if row is None:
            return pk
        parts = [self._part(row, row._meta.get_field(part)) for part in table_of(name).key]
        return parts[0] if len(parts) == 1 else parts

    def _part(self, row: models.Model, each: Any) -> Any:
        value = getattr(row, each.attname)
        return self.of(each.related_model, value) if isinstance(each, models.ForeignKey) else value


def key_in(table: Table, values: Values) -> Key:
    return tuple(str(values[name]) for name in table.key)


def title_of(table: Table, values: Values) -> str:
    """`target sonnet/main: claude-sonnet-4-5`."""
    return f"{table.noun} {table.title.format_map(values)}"


def encrypted(table: Table) -> list[str]:
    """The names of a table's secret fields: reading them with the others would fail for all if one cannot be opened."""
    return [each.name for each in kept_fields(table.model) if isinstance(each, EncryptedJSONField)]


def _ciphertexts(table: Table, name: str) -> dict[int, str]:
    rows = table.model._base_manager.annotate(stored_text=Cast(F(name), models.TextField()))
    return dict(rows.values_list("pk", "stored_text"))


def _shown(row: models.Model, each: AnyField, named: _Names) -> Any:
    value = getattr(row, each.attname)
    if isinstance(each, models.ForeignKey) and value is not None:
        related: Any = each.related_model
        return named.of(related, value)
    return as_json(value)


def as_json(value: Any) -> Any:
    if isinstance(value, date):
        return value.isoformat()
    return str(value) if isinstance(value, Decimal) else value


def _sealed(stored: str, secrets: dict[str, Mapping[str, str]]) -> dict[str, Any]:
    """What a picture says of a secret: under which fingerprint it is kept, and a keyed hash of each value, to compare."""
    if not stored:
        return {}
    try:
        values: dict[str, str] = json.loads(ring().decrypt(stored))
    except UnreadableSecret:
        return {"sealed": "", "values": {}, "unreadable": True}
    fingerprint = keyed_hash("config secret\0" + json.dumps(values, sort_keys=True))
    secrets[fingerprint] = values
    hashes = {each: keyed_hash(f"config value\0{each}\0{text}")[:24] for each, text in sorted(values.items())}
    return {"sealed": fingerprint, "values": hashes}


def encode(picture: Picture) -> bytes:
    """The picture as JSON, always the same for equal ones."""
    content = {
        name: [[row.id, dict(row.values)] for _, row in sorted(rows.items())] for name, rows in picture.tables.items()
    }
    return json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()


def digest(encoded: bytes) -> str:
    return hashlib.sha256(encoded).hexdigest()


def compress(encoded: bytes) -> bytes:
    return zlib.compress(encoded, 6)


def decode(data: bytes) -> Picture:
    """A stored picture. Fields that came later have their defaults in it, fields that are gone are left out."""
    content: dict[str, list[tuple[int, dict[str, Any]]]] = json.loads(zlib.decompress(data))
    tables: dict[str, dict[Key, Row]] = {}
    for table in PICTURED:
        found = tables.setdefault(table.name, {})
        for pk, stored in content.get(table.name, []):
            values = {
                each.name: stored[each.name] if each.name in stored else as_json(each.get_default())
                for each in kept_fields(table.model)
            }
            found[key_in(table, values)] = Row(pk, values)
    return Picture(tables)
