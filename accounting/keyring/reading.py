"""How keys stand: in use or not, when used last, which of them nobody uses. Bounded reads, never of records."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Exists, OuterRef, Q, QuerySet

from accounting.access.secrets import is_own_prefix
from accounting.models import KeyUse, VirtualKey
from gateway_project.crypto import keyed_hash

USABLE, DISABLED, EXPIRED, REVOKED = "usable", "disabled", "expired", "revoked"
UNUSED, EXPIRING = "unused", "expiring"
STATES = (USABLE, DISABLED, EXPIRED, REVOKED, UNUSED, EXPIRING)
QUIET = timedelta(days=30)  # a key that was not used for so long is pointed out
NEW = timedelta(days=1)  # and one that was never used, once it is older than this
SOON = timedelta(days=14)


@dataclass(frozen=True, slots=True)
class Use:
    """The last time that a secret was presented."""

    at: datetime
    client_ip: str
    user_agent: str


@dataclass(frozen=True, slots=True)
class KeyStanding:
    """A key as lists and pages show it. `state` is usable, disabled, expired or revoked; `blocked_by` says what else stops
    it: a disabled `team` or `project`, or its `owner`. `old_use` is the last use of the secret before the latest rotation, since
    that rotation."""

    key: VirtualKey
    state: str
    blocked_by: str
    last_use: Use | None
    old_use: Use | None
    has_old_secret: bool
    unused: bool
    expires_soon: bool


def state_of(key: VirtualKey, now: datetime) -> str:
    if key.revoked_at is not None:
        return REVOKED
    if key.expires_at is not None and key.expires_at <= now:
        return EXPIRED
    return USABLE if key.enabled else DISABLED


def blocked_by(key: VirtualKey) -> str:
    """What stops a key besides its own state, as the directory has it; "" if nothing does."""
    if not key.project.team.enabled:
        return "team"
    if not key.project.enabled:
        return "project"
    return "owner" if key.owner is not None and not key.owner.is_active else ""


def in_state(keys: "QuerySet[VirtualKey]", state: str, now: datetime) -> "QuerySet[VirtualKey]":
    """Those of the keys that are in one of STATES."""
    if state == REVOKED:
        return keys.exclude(revoked_at=None)
    keys = keys.filter(revoked_at=None)
    if state == EXPIRED:
        return keys.filter(expires_at__lte=now)
    keys = keys.filter(Q(expires_at=None) | Q(expires_at__gt=now))
    if state == DISABLED:
        return keys.filter(enabled=False)
    keys = keys.filter(enabled=True)
    if state == EXPIRING:
        return keys.filter(expires_at__lte=now + SOON)
    if state == UNUSED:
        return keys.filter(~_used_since(now - QUIET)).filter(Q(created_at__lt=now - NEW) | _used_since(None))
    return keys


def standings(keys: Iterable[VirtualKey], now: datetime) -> list[KeyStanding]:
    """How these keys stand, in their order; one query."""
    listed = list(keys)
    prefixes = {prefix for key in listed for prefix in (key.prefix, key.old_prefix) if prefix}
    uses = {(row.key_prefix, row.team): row for row in KeyUse.objects.filter(key_prefix__in=prefixes)}
    return [_standing(key, uses, now) for key in listed]


def standing_of(key: VirtualKey, now: datetime) -> KeyStanding:
    return standings([key], now)[0]


def keys_with_secrets(keys: "QuerySet[VirtualKey]", secrets: Sequence[str]) -> dict[str, VirtualKey]:
    """Which of these texts are secrets of `keys`, current ones or those before the latest rotation. Compares keyed hashes."""
    hashes: dict[str, str] = {}
    for secret in secrets:
        try:
            hashes[keyed_hash(secret)] = secret
        except UnicodeEncodeError:
            continue
    found: dict[str, VirtualKey] = {}
    for key in keys.filter(Q(secret_hash__in=list(hashes)) | Q(old_secret_hash__in=list(hashes))):
        for each in (key.old_secret_hash, key.secret_hash):
            if each in hashes:
                found[hashes[each]] = key
    return found


def _standing(key: VirtualKey, uses: dict[tuple[str, str], KeyUse], now: datetime) -> KeyStanding:
    current, old = (_use(prefix, key.project.team.name, uses) for prefix in (key.prefix, key.old_prefix))
    last = max((use for use in (current, old) if use), key=lambda use: use.at, default=None)
    since = old if old and key.rotated_at and old.at > key.rotated_at and key.old_prefix != key.prefix else None
    state = state_of(key, now)
    quiet = now - last.at > QUIET if last else now - key.created_at > NEW
    return KeyStanding(
        key=key,
        state=state,
        blocked_by=blocked_by(key),
        last_use=last,
        old_use=since,
        has_old_secret=key.has_two_secrets(now),
        unused=state == USABLE and quiet,
        expires_soon=state in (USABLE, DISABLED) and key.expires_at is not None and key.expires_at <= now + SOON,
    )


def _use(prefix: str, team: str, uses: dict[tuple[str, str], KeyUse]) -> Use | None:
    row = uses.get((prefix, "" if is_own_prefix(prefix) else team)) if prefix else None
    return Use(row.last_at, row.client_ip, row.user_agent) if row else None


def _used_since(moment: datetime | None) -> Exists:
    """Whether a key was used since a moment, or ever."""
    same = Q(key_prefix=OuterRef("prefix")) | Q(key_prefix=OuterRef("old_prefix"))
    uses = KeyUse.objects.filter(same, team__in=("", OuterRef("project__team__name")))
    return Exists(uses if moment is None else uses.filter(last_at__gte=moment))
