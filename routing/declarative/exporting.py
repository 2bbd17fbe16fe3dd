"""The stored configuration as a file that `import_config` reads. Secrets are references into the environment."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import yaml

from accounting.models import Membership, Price, Project, Team, VirtualKey
from accounting.models.prices import FAST_NAMES, LONG_NAMES
from accounting.money.price_book import RATE_NAMES
from accounting.money.price_store import own_prices, unknown_price
from gateway_project.crypto import UnreadableSecret
from routing.conf import CREDENTIAL_KINDS
from routing.declarative.deprecation import exported as exported_deprecation
from routing.declarative.exporting_limits import Limits, organization_entry, read_limits, user_entries
from routing.declarative.substitution import escaped
from routing.models import Credential, ModelAlias, Provider, Route, RouteTarget

Entry = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Exported:
    """The file, and the names of the variables that it takes secrets from, each with what belongs there."""

    text: str
    variables: Mapping[str, str]
    notes: tuple[str, ...]


@dataclass(slots=True)
class _Export:
    variables: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def reference(self, what: str, *words: str) -> str:
        """`${PLATFORM_DEFAULT_CI_SECRET}`, made unlike every name given before."""
        name = re.sub(r"[^A-Z0-9]", "_", "_".join(words).upper())
        name = f"_{name}" if name[:1].isdigit() else name
        candidate, number = name, 1
        while candidate in self.variables:
            number += 1
            candidate = f"{name}_{number}"
        self.variables[candidate] = what
        return f"${{{candidate}}}"


def export_config() -> Exported:
    """Everything that `import_config` would take, always in the same order. Revoked keys are left out: they are over."""
    export, limits = _Export(), read_limits()
    document: Entry = {
        "version": 1,
        "providers": [_provider(export, provider) for provider in Provider.objects.order_by("name")],
        "routes": _routes(),
        "aliases": [_alias(alias) for alias in ModelAlias.objects.select_related("route").order_by("name")],
        "teams": _teams(export, limits),
        "prices": [_price(price) for price in own_prices()],
        "unknown_model_price": {name: getattr(unknown_price(), name) for name in RATE_NAMES},
    }
    if organization := organization_entry(limits):
        document["organization"] = organization
    if users := user_entries(limits):
        document["users"] = users
    text = yaml.safe_dump(_plain(document), sort_keys=False, allow_unicode=True, width=120)
    return Exported(text, export.variables, tuple(export.notes))


def _provider(export: _Export, provider: Provider) -> Entry:
    return {
        "name": provider.name,
        "format": provider.format,
        "base_url": provider.base_url,
        "region": provider.region,
        "project": provider.project,
        "enabled": provider.enabled,
        "credential": _credential(export, provider),
        "connect_timeout": provider.connect_timeout,
        "first_byte_timeout": provider.first_byte_timeout,
        "idle_timeout": provider.idle_timeout,
        "max_connections": provider.max_connections,
        "on_client_disconnect": provider.on_client_disconnect,
        "allow_private_addresses": provider.allow_private_addresses,
        "check": {"interval": provider.check_interval, "model": provider.check_model},
    }


def _credential(export: _Export, provider: Provider) -> Entry:
    credential = Credential.objects.defer("values").filter(provider=provider).first()
    if credential is None:
        export.notes.append(f"the provider {provider.name} has no credential; it is written as kind none")
        return {"kind": "none"}
    kind = CREDENTIAL_KINDS[credential.kind]
    entry: Entry = {"kind": credential.kind}
    hidden = kind.secret
    try:
        values: Mapping[str, str] = credential.values
    except UnreadableSecret:
        export.notes.append(f"the credential of the provider {provider.name} cannot be read; check its values")
        values, hidden = dict.fromkeys(kind.required, "unreadable"), frozenset(kind.required)
    for name in (*kind.required, *kind.optional):
        if not values.get(name):
            continue
        what = f"{name} of the provider {provider.name}"
        entry[name] = _Reference(export.reference(what, provider.name, name)) if name in hidden else values[name]
    return entry


def _routes() -> list[Entry]:
    by_route: dict[int, list[RouteTarget]] = {}
    for target in RouteTarget.objects.select_related("provider").order_by("position", "pk"):
        by_route.setdefault(target.route_id, []).append(target)
    return [_route(route, by_route.get(route.pk, [])) for route in Route.objects.order_by("name")]


def _route(route: Route, targets: Sequence[RouteTarget]) -> Entry:
    return {
        "name": route.name,
        "strategy": route.strategy,
        "sticky": route.sticky,
        "enabled": route.enabled,
        "targets": [
            {
                "provider": target.provider.name,
                "model": target.model,
                "tier": target.tier,
                "weight": target.weight,
                "max_concurrent": target.max_concurrent,
                "enabled": target.enabled,
            }
            for target in targets
        ],
        "max_attempts": route.max_attempts,
        "retry_on": route.retry_on,
        "cooldown": route.cooldown,
        "deadline": route.deadline,
        "breaker": {"failures": route.breaker_failures, "window": route.breaker_window},
        "conditions": route.conditions,
    }


def _alias(alias: ModelAlias) -> Entry:
    return {
        "name": alias.name,
        "route": alias.route.name,
        "display_name": alias.display_name,
        "enabled": alias.enabled,
        "deprecation": exported_deprecation(alias),
    }


def _price(price: Price) -> Entry:
    """A row that somebody has added; what ships with the gateway is there anyway."""
    entry: Entry = {"provider": price.provider, "model": price.model, "valid_from": price.valid_from}
    entry |= {name: getattr(price, name) for name in RATE_NAMES}
    if price.long_above is not None:
        entry["long_context"] = {"above": price.long_above, **_five(price, LONG_NAMES)}
    if price.fast_input is not None:
        entry["fast"] = _five(price, FAST_NAMES)
    entry["batch_multiplier"] = price.batch_multiplier
    entry["geo_multipliers"] = {name: Decimal(value) for name, value in sorted(price.geo_multipliers.items())}
    entry["web_search_per_1000"] = price.web_search_per_1000
    return entry


def _five(price: Price, columns: Sequence[str]) -> Entry:
    return {name: getattr(price, column) for name, column in zip(RATE_NAMES, columns, strict=True)}


def _teams(export: _Export, limits: Limits) -> list[Entry]:
    members: dict[int, list[Entry]] = {}
    for member in Membership.objects.select_related("user").order_by("user__email"):
        members.setdefault(member.team_id, []).append({"email": member.user.email, "role": member.role})
    keys: dict[int, list[VirtualKey]] = {}
    for key in VirtualKey.objects.filter(revoked_at=None).select_related("owner").order_by("name"):
        keys.setdefault(key.project_id, []).append(key)
    projects: dict[int, list[Entry]] = {}
    for project in Project.objects.select_related("team").order_by("team__name", "name"):
        entry = _project(export, project, keys.get(project.pk, []), limits)
        projects.setdefault(project.team_id, []).append(entry)
    _note_owners(export, {entry["email"] for each in members.values() for entry in each}, keys)
    return [
        _team(team, members.get(team.pk, []), projects.get(team.pk, []), limits)
        for team in Team.objects.order_by("name")
    ]


def _team(team: Team, members: list[Entry], projects: list[Entry], limits: Limits) -> Entry:
    return {
        "name": team.name,
        "display_name": team.display_name,
        "timezone": team.timezone,
        "allowed_models": team.allowed_models,
        "capture": team.capture,
        "enabled": team.enabled,
        **limits.of("team", team.pk),
        "members": members,
        "projects": projects,
    }


def _project(export: _Export, project: Project, keys: Sequence[VirtualKey], limits: Limits) -> Entry:
    return {
        "name": project.name,
        "display_name": project.display_name,
        "enabled": project.enabled,
        **limits.of("project", project.pk),
        "keys": [{**_key(export, project, key), **limits.of("key", key.pk)} for key in keys],
    }


def _key(export: _Export, project: Project, key: VirtualKey) -> Entry:
    words = (project.team.name, project.name, key.name)
    entry: Entry = {
        "name": key.name,
        "secret": _Reference(export.reference(f"the key {'/'.join(words)}", *words, "secret")),
        "kind": key.kind,
        "expires": key.expires_at,
        "allowed_models": key.allowed_models,
        "allowed_ips": key.allowed_ips,
        "tags": dict(sorted(key.tags.items())),
        "enabled": key.enabled,
    }
    if key.owner is not None:
        entry["owner"] = key.owner.email
    return entry


def _note_owners(export: _Export, members: set[str], keys: Mapping[int, Sequence[VirtualKey]]) -> None:
    owners = {key.owner.email for each in keys.values() for key in each if key.owner is not None}
    export.notes += [
        f"{email} owns a key and is a member of no team; an empty database has to know them before it takes this file"
        for email in sorted(owners - members)
    ]


class _Reference(str):
    """A text that is to be read as a reference, unlike every other one."""

    __slots__ = ()


def _plain(value: Any) -> Any:
    """Only what YAML writes without tags; texts so that the import reads them back unchanged."""
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, Decimal):
        return int(value) if value == int(value) else _number(value)
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return str(value) if isinstance(value, _Reference) else _text(value)


def _number(value: Decimal) -> float | str:
    """A number where it is exact as one, else a text."""
    return float(value) if Decimal(repr(float(value))) == value else f"{value.normalize():f}"


def _text(value: Any) -> Any:
    return escaped(str(value)) if isinstance(value, str) else value
