"""The routing configuration as one frozen picture, and how a name that a client asks for is looked up in it.

`load_snapshot` reads the database (sync); everything else is memory only. A process holds one `Snapshot` and swaps it
whole when the revision moves, so a request sees one state from its start to its end.
"""

import difflib
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any

from django.db.models import F, TextField
from django.db.models.functions import Cast

from accounting.models import Revision
from gateway_project.crypto import Secret, UnreadableSecret, ring
from gateway_project.telemetry import logger
from routing.compatibility import own_rules
from routing.conditions import compiled
from routing.conf import literal_length, matches
from routing.facts import LONG_CONTEXT
from routing.formats.compat import Registry
from routing.formats.compat_rules import SHIPPED
from routing.lifecycle import Deprecation
from routing.models import ModelAlias, Provider, Route, RouteTarget, Shadow, TargetControl
from routing.targets import ControlConf, CredentialConf, LeftOut, ProviderConf, RouteConf, TargetConf

__all__ = [
    "AliasConf",
    "CredentialConf",
    "LeftOut",
    "ProviderConf",
    "RouteConf",
    "Snapshot",
    "TargetConf",
    "current_revision",
    "load_snapshot",
]

MOST_REMEMBERED = 4096  # names whose look-up is kept; a client chooses them, so the number is bounded
LONGEST_REMEMBERED = 300
MOST_COMPARED = 500  # aliases that a misspelt name is compared with
MOST_READS = 5

log = logger(__name__)


@dataclass(frozen=True, slots=True)
class AliasConf:
    """A name that clients ask for, exact or a pattern, and the route that serves it."""

    name: str
    route: RouteConf
    display_name: str
    created_at: datetime
    deprecation: Deprecation | None = None

    def notices(self, now: float) -> list[tuple[bytes, bytes]]:
        """The headers by which answers tell that the name is deprecated; `now` is a Unix time."""
        return self.deprecation.headers(now) if self.deprecation else []


@dataclass(frozen=True, slots=True)
class ShadowConf:
    """A draft that is asked beside a live route, until a Unix time."""

    id: int
    draft: RouteConf
    until: float


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that routing needs to know, as of `revision`.

    `providers` are the usable ones by name; `unusable` says why an enabled provider is not among them. `routes` are the
    enabled ones by name; `shadows` are the drafts that are asked beside some of them.
    """

    revision: int
    providers: Mapping[str, ProviderConf] = field(default_factory=dict)
    aliases: Mapping[str, AliasConf] = field(default_factory=dict)
    unusable: Mapping[str, str] = field(default_factory=dict)
    registry: Registry = field(default_factory=lambda: Registry(SHIPPED))
    routes: Mapping[str, RouteConf] = field(default_factory=dict)
    controls: Mapping[tuple[str, str], ControlConf] = field(default_factory=dict)
    shadows: Mapping[str, ShadowConf] = field(default_factory=dict)
    _patterns: tuple[AliasConf, ...] = field(init=False, repr=False, compare=False, default=())
    _exact: tuple[AliasConf, ...] = field(init=False, repr=False, compare=False, default=())
    _found: dict[str, AliasConf | None] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        patterns = [alias for alias in self.aliases.values() if "*" in alias.name]
        patterns.sort(key=lambda alias: (-literal_length(alias.name), alias.name))
        exact = sorted((alias for alias in self.aliases.values() if "*" not in alias.name), key=lambda each: each.name)
        object.__setattr__(self, "_patterns", tuple(patterns))
        object.__setattr__(self, "_exact", tuple(exact))

    def find(self, name: str) -> AliasConf | None:
        """The alias for a name as asked: an exact one, else the pattern with the most literal characters.

        A name ending in `[1m]` that is no alias itself is looked up without that ending.
        """
        if name in self._found:
            return self._found[name]
        found = self._look_up(name)
        if len(name) <= LONGEST_REMEMBERED:
            if len(self._found) >= MOST_REMEMBERED:
                self._found.clear()
            self._found[name] = found
        return found

    def exact_aliases(self) -> tuple[AliasConf, ...]:
        """The aliases that are not patterns, by name: what a list of models shows."""
        return self._exact

    def closest(self, name: str, allowed: Callable[[str], bool]) -> tuple[str, ...]:
        """Up to three exact aliases that look like `name`, best first, among those that `allowed` lets be named."""
        names = islice((alias.name for alias in self._exact if allowed(alias.name)), MOST_COMPARED)
        return tuple(difflib.get_close_matches(name[:LONGEST_REMEMBERED], list(names), n=3))

    def _look_up(self, name: str) -> AliasConf | None:
        if "*" not in name and name in self.aliases:
            return self.aliases[name]
        if name.endswith(LONG_CONTEXT) and (found := self.find(name.removesuffix(LONG_CONTEXT))):
            return found
        return next((alias for alias in self._patterns if matches(alias.name, name)), None)


def current_revision() -> int:
    """The number that grows with every change of routing; a running process polls it. One query."""
    return Revision.objects.filter(name=Revision.ROUTING).values_list("number", flat=True).first() or 0


def load_snapshot() -> Snapshot:
    """The configuration as it stands. Seven queries, more only when someone writes at the same moment.

    The revision is read before and after the tables; equal numbers prove that no change was committed in between, on
    any database and without a lock. If writers never pause, the picture carries the earlier number, so that the next
    poll reads again.
    """
    revision = current_revision()
    for _ in range(MOST_READS):
        snapshot = _read(revision)
        after = current_revision()
        if after == revision:
            break
        revision = after
    return snapshot


def _read(revision: int) -> Snapshot:
    providers, unusable = _read_providers()
    routes = _read_routes(providers, unusable)
    rows = ModelAlias.objects.filter(enabled=True)
    aliases = {row.name: alias_conf(row, routes[row.route_id]) for row in rows if row.route_id in routes}
    usable = {provider.name: provider for provider in providers.values()}
    names = {provider.name: reason for provider, reason in unusable.values() if provider.enabled}
    by_name = {route.name: route for route in routes.values()}
    registry = Registry(SHIPPED, own_rules())
    controls = _read_controls()
    return Snapshot(
        revision, usable, aliases, names, registry, routes=by_name, controls=controls, shadows=_read_shadows(routes)
    )


def alias_conf(alias: ModelAlias, route: RouteConf) -> AliasConf:
    """An alias's row as the gateway uses it."""
    return AliasConf(alias.name, route, alias.display_name, alias.created_at, alias.deprecation)


def _read_shadows(routes: Mapping[int, RouteConf]) -> dict[str, ShadowConf]:
    """The drafts that are evaluated, by the name of the route beside which they are."""
    rows = Shadow.objects.filter(enabled=True, live_id__in=routes, draft_id__in=routes)
    return {routes[row.live_id].name: ShadowConf(row.pk, routes[row.draft_id], row.until.timestamp()) for row in rows}


def _read_controls() -> dict[tuple[str, str], ControlConf]:
    """What administrators have ordered for single targets."""
    rows = TargetControl.objects.select_related("provider")
    return {(row.provider.name, row.model): row.as_conf() for row in rows}


_Unusable = dict[int, tuple[Provider, str]]


def _read_providers() -> tuple[dict[int, ProviderConf], _Unusable]:
    """The usable providers by id, and the others with the reason.

    The credential is read as ciphertext: opening one that no key fits must not fail the whole query.
    """
    rows = Provider.objects.annotate(
        credential_kind=F("credential__kind"), sealed=Cast(F("credential__values"), output_field=TextField())
    )
    usable: dict[int, ProviderConf] = {}
    unusable: _Unusable = {}
    for row in rows:
        if not row.enabled:
            unusable[row.pk] = (row, f"the provider {row.name} is disabled")
        elif not row.credential_kind:
            unusable[row.pk] = (row, f"the provider {row.name} has no credential")
        else:
            try:
                usable[row.pk] = provider_conf(row, _open_credential(row.credential_kind, row.sealed))
            except UnreadableSecret as error:
                unusable[row.pk] = (row, f"the credential of the provider {row.name} cannot be read: {error}")
                log.error("credential_unreadable", provider=row.name, reason=str(error))
    return usable, unusable


def _open_credential(kind: str, sealed: str) -> CredentialConf:
    values: dict[str, str] = json.loads(ring().decrypt(sealed)) if sealed else {}
    return CredentialConf(kind, {name: Secret(value) for name, value in values.items()})


def provider_conf(provider: Provider, credential: CredentialConf) -> ProviderConf:
    """A provider's row as the gateway uses it; the row need not be saved."""
    base_url = provider.base_url.rstrip("/").removesuffix("/v1").rstrip("/")
    connection = [
        base_url,
        float(provider.connect_timeout),
        provider.max_connections,
        provider.allow_private_addresses,
    ]
    return ProviderConf(
        id=provider.pk or 0,
        name=provider.name,
        format=provider.format,
        base_url=base_url,
        credential=credential,
        region=provider.region,
        project=provider.project,
        connect_timeout=float(provider.connect_timeout),
        first_byte_timeout=float(provider.first_byte_timeout),
        idle_timeout=float(provider.idle_timeout),
        max_connections=provider.max_connections,
        drain=provider.on_client_disconnect == Provider.OnDisconnect.DRAIN,
        allow_private_addresses=provider.allow_private_addresses,
        check_interval=float(provider.check_interval),
        check_model=provider.check_model,
        revision_tag=hashlib.blake2b(json.dumps(connection).encode(), digest_size=8).hexdigest(),
    )


def _read_routes(providers: Mapping[int, ProviderConf], unusable: _Unusable) -> dict[int, RouteConf]:
    """The enabled routes by id."""
    rows = RouteTarget.objects.filter(route__enabled=True).order_by("route_id", "tier", "position", "pk")
    by_route: dict[int, list[RouteTarget]] = {}
    for target in rows:
        by_route.setdefault(target.route_id, []).append(target)
    return {
        route.pk: _route_conf(route, by_route.get(route.pk, ()), providers, unusable)
        for route in Route.objects.filter(enabled=True)
    }


def _route_conf(
    route: Route, rows: Iterable[RouteTarget], providers: Mapping[int, ProviderConf], unusable: _Unusable
) -> RouteConf:
    targets: list[TargetConf] = []
    left_out: list[LeftOut] = []
    for row in rows:
        provider = providers.get(row.provider_id)
        if row.enabled and provider:
            targets.append(TargetConf(provider, row.model, row.tier, row.weight, row.max_concurrent))
            continue
        name, reason = (provider.name, "") if provider else _named(unusable, row.provider_id)
        left_out.append(
            LeftOut(name, row.model, row.tier, row.weight, reason if row.enabled else "the target is disabled")
        )
    try:
        conditions = compiled(route.conditions)
    except ValueError as error:
        # Sending the requests elsewhere could be what the condition was to prevent.
        log.error("the conditions of a route cannot be read; it serves nothing", route=route.name, reason=str(error))
        reason = f"the conditions of its route cannot be read: {error}"
        left_out += [LeftOut(each.provider.name, each.model, each.tier, each.weight, reason) for each in targets]
        targets, conditions = [], ()
    return RouteConf(targets=tuple(targets), left_out=tuple(left_out), conditions=conditions, **_settings(route))


def _named(unusable: _Unusable, provider_id: int) -> tuple[str, str]:
    if provider_id not in unusable:  # made between two queries; the next read has it
        return "", "the provider is new"
    provider, reason = unusable[provider_id]
    return provider.name, reason


def _settings(route: Route) -> dict[str, Any]:
    return {
        "name": route.name,
        "strategy": route.strategy,
        "sticky": route.sticky,
        "max_attempts": route.max_attempts,
        "retry_on": frozenset(route.retry_on),
        "cooldown": float(route.cooldown),
        "breaker_failures": route.breaker_failures,
        "breaker_window": float(route.breaker_window),
        "deadline": float(route.deadline),
    }
