"""What one request may be sent to, as plain frozen values: providers with their credentials, targets, routes, health.

Read once per change of configuration (`routing.snapshot`) and handed down from there. No I/O, no ORM.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol

import msgspec

from gateway_project.crypto import Secret
from routing.conditions import Condition


@dataclass(frozen=True, slots=True)
class CredentialConf:
    """How a provider is paid: the kind (`routing.conf.CREDENTIAL_KINDS`) and its values, all of them as `Secret`."""

    kind: str
    values: Mapping[str, Secret] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ProviderConf:
    """An upstream account. Timeouts are seconds; `base_url` ends neither in `/` nor in `/v1`.

    `drain` says what happens to a stream whose client left: read to its end, instead of closed at once.
    `revision_tag` changes exactly when something changes that open connections depend on (address, connect timeout,
    pool size, private addresses); a pool may be kept across snapshots while it stays the same. Every `check_interval`
    seconds without traffic `check_model` is asked for one token; 0 is never.
    """

    id: int
    name: str
    format: str
    base_url: str
    credential: CredentialConf
    region: str = ""
    project: str = ""
    connect_timeout: float = 5.0
    first_byte_timeout: float = 120.0
    idle_timeout: float = 90.0
    max_connections: int = 512
    drain: bool = False
    allow_private_addresses: bool = False
    revision_tag: str = ""
    check_interval: float = 0.0
    check_model: str = ""


@dataclass(frozen=True, slots=True)
class TargetConf:
    """One place a route can send to: a usable provider, and that provider's own name of the model.

    `max_concurrent` calls may be under way at once, in one process; 0 is no limit.
    """

    provider: ProviderConf
    model: str
    tier: int = 0
    weight: int = 1
    max_concurrent: int = 0

    @property
    def key(self) -> tuple[str, str]:
        """What health is kept by: the provider's name and the model."""
        return (self.provider.name, self.model)


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A target that is configured and cannot serve, and the reason, for people."""

    provider: str
    model: str
    tier: int
    weight: int
    reason: str


@dataclass(frozen=True, slots=True)
class RouteConf:
    """How a name is served. `targets` are the usable ones, by tier and then as listed; `left_out` the others.

    `retry_on` holds `"connect"`, `"timeout"` and statuses; `cooldown`, `breaker_window` and `deadline` are seconds, the
    last from the request's arrival until an upstream has begun to answer it. The first of its `conditions` that holds
    hands a request on to another route.
    """

    name: str
    strategy: str = "weighted"
    sticky: str = "session"
    targets: tuple[TargetConf, ...] = ()
    max_attempts: int = 3
    retry_on: frozenset[str | int] = frozenset()
    cooldown: float = 30.0
    breaker_failures: int = 5
    breaker_window: float = 30.0
    left_out: tuple[LeftOut, ...] = ()
    conditions: tuple[Condition, ...] = ()
    deadline: float = 600.0
    tiers: tuple[tuple[TargetConf, ...], ...] = field(init=False, repr=False, compare=False, default=())
    keys: tuple[tuple[str, str], ...] = field(init=False, repr=False, compare=False, default=())

    def __post_init__(self) -> None:
        tiers: dict[int, list[TargetConf]] = {}
        for target in self.targets:
            tiers.setdefault(target.tier, []).append(target)
        object.__setattr__(self, "keys", tuple(target.key for target in self.targets))
        object.__setattr__(self, "tiers", tuple(tuple(tiers[tier]) for tier in sorted(tiers)))


@dataclass(frozen=True, slots=True)
class ControlConf:
    """What an administrator has ordered for a target: no new requests at all, or none until `rest_until`.

    `reopened_at` is when its breaker was last closed by hand.
    """

    drained: bool = False
    rest_until: datetime | None = None
    reopened_at: datetime | None = None


BreakerState = Literal["closed", "open", "half_open"]


class TargetHealth(msgspec.Struct, frozen=True):
    """One target at one moment. `until` is when an open breaker or a rest ends; `ttft` is seconds, None if unknown.

    `reason` is empty when the target may be called; `probe` says that the call would be a half-open breaker's only one.
    A `barred` target is not called even when nothing else is left; one that only rests may be.
    """

    state: BreakerState = "closed"
    reason: str = ""
    until: float = 0.0
    probe: bool = False
    in_flight: int = 0
    ttft: float | None = None
    barred: bool = False


class HealthView(Protocol):
    """What `resolve` asks."""

    def look(self, target: TargetConf, now: float) -> TargetHealth: ...
