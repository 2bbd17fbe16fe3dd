"""Every virtual key as a picture in memory: a presented secret → its Grant, without a query.

The picture never changes; a newer one replaces it whole when `Revision.DIRECTORY` has moved. It must never hold a
secret: only keyed hashes, and what they allow.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from accounting.access.grant import Grant
from accounting.access.patterns import matches
from accounting.limits.book import LimitBook
from accounting.limits.loading import load_limits
from accounting.models import Revision, VirtualKey
from gateway_project.crypto import keyed_hash
from gateway_project.telemetry import logger

log = logger(__name__)


@dataclass(frozen=True, slots=True)
class Directory:
    """All keys as of `revision`; revoked and disabled ones too, so that their refusal can say why. A key that was rotated
    is there by its secret before as well, until that one's end and, refused, beyond."""

    revision: int = 0
    grants: Mapping[str, Grant] = field(default_factory=dict)
    limits: LimitBook = field(default_factory=LimitBook)

    def find(self, secret: str) -> Grant | None:
        """The grant of a presented secret, or None when no key has it. Costs one HMAC."""
        try:
            return self.grants.get(keyed_hash(secret))
        except UnicodeEncodeError:
            return None

    def __len__(self) -> int:
        return len(self.grants)


def current_revision() -> int:
    """The number that grows with every change of what the directory shows."""
    return Revision.objects.filter(name=Revision.DIRECTORY).values_list("number", flat=True).first() or 0


def load_directory() -> Directory:
    """Reads the directory: five queries, whatever the number of keys and limits."""
    # The number first: a change that commits between the two queries is then read again, never missed.
    revision = current_revision()
    keys = VirtualKey.objects.select_related("project__team", "owner").order_by().iterator(chunk_size=2000)
    shared: dict[tuple[str, ...], tuple[str, ...]] = {}
    current: dict[str, Grant] = {}
    old: dict[str, Grant] = {}
    for key in keys:
        grant = current[key.secret_hash] = _grant(key, shared)
        if key.old_secret_hash and key.old_until is not None:
            old[key.old_secret_hash] = _of_old_secret(grant, key.old_prefix, key.old_until.timestamp())
    return Directory(revision, old | current, load_limits())


def refusal_of(grant: Grant, *, now: float, client_ip: str) -> str:
    """Why this caller is not let in, as the record's word; "" when it may. `now` is a Unix time."""
    if grant.refusal:
        return grant.refusal
    if grant.expires_at is not None and now >= grant.expires_at:
        return "expired"
    if grant.allowed_ips and not _is_inside(client_ip, grant.allowed_ips):
        return "address_not_allowed"
    return ""


def allows(grant: Grant, alias: str) -> bool:
    """Whether the team and the key may both use the name `alias`."""
    for patterns in grant.allowed_models:
        for pattern in patterns:
            if matches(pattern, alias):
                break
        else:
            return False
    return True


@lru_cache(maxsize=4096)  # callers of one key come from few addresses
def _is_inside(client_ip: str, networks: tuple[IPv4Network | IPv6Network, ...]) -> bool:
    try:
        address = ip_address(client_ip)
    except ValueError:
        return False
    address = getattr(address, "ipv4_mapped", None) or address
    return any(address in network for network in networks)


def _grant(key: VirtualKey, shared: dict[tuple[str, ...], tuple[str, ...]]) -> Grant:
    """`shared` lets keys with equal lists hold one tuple between them."""
    refusal = _standing(key)
    networks: tuple[IPv4Network | IPv6Network, ...] = ()
    try:
        networks = tuple(ip_network(item) for item in key.allowed_ips)
    except ValueError:
        log.warning("a key's networks cannot be read; the key is refused", key_prefix=key.prefix)
        refusal = refusal or "disabled"
    team = key.project.team
    lists = [tuple(team.allowed_models), tuple(key.allowed_models)]
    return Grant(
        key_id=key.pk,
        key=key.name,
        key_prefix=key.prefix,
        kind=key.kind,
        team=team.name,
        project=key.project.name,
        user=key.owner.email if key.owner else "",
        refusal=refusal,
        expires_at=key.expires_at.timestamp() if key.expires_at else None,
        allowed_models=tuple(shared.setdefault(names, names) for names in lists if "*" not in names),
        allowed_ips=networks,
        tags=key.tags,
        capture=team.capture,
    )


def _of_old_secret(grant: Grant, prefix: str, until: float) -> Grant:
    """The same key by the secret that it had before, which ends on its own, or with the key."""
    ends = until if grant.expires_at is None else min(until, grant.expires_at)
    return replace(grant, key_prefix=prefix, expires_at=ends)


def _standing(key: VirtualKey) -> str:
    """The word for a key that is not in use, whoever presents it."""
    if key.revoked_at is not None:
        return "revoked"
    if not key.enabled:
        return "disabled"
    if not key.project.team.enabled:
        return "team_disabled"
    if not key.project.enabled:
        return "project_disabled"
    if key.owner is not None and not key.owner.is_active:
        return "owner_disabled"
    return ""
