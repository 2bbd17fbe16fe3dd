"""Writes about keys: making, changing, rotating, disabling, revoking them. Each asks first whether its party may.

A refused value is a ValidationError by field, somebody who may not a NotAllowed, an old version a StaleVersion.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounting.access.offers import is_within
from accounting.access.roles import ADMIN, MEMBER, at_least
from accounting.audit.changes import ChangeSet
from accounting.keyring.permissions import may_issue, need_to_manage, role_in
from accounting.limits.asking import NotAllowed, Party
from accounting.models import AuditEvent, Budget, Membership, Project, RateLimit, User, VirtualKey
from accounting.services import create_key, rotate_key
from gateway_project.crypto import Secret

NO_MEMBER = gettext_lazy(
    "A personal key is for a member of the team, and not for a viewer."  # nor for somebody who is not there at all
)
OVERLAPS: Mapping[str, timedelta | None] = {
    "now": None,
    "1h": timedelta(hours=1),
    "24h": timedelta(hours=24),
    "7d": timedelta(days=7),
}


@dataclass(frozen=True, slots=True)
class OwnLimits:
    """Limits that a key is given with it: dollars in each period, and rates by their kind."""

    budget: Decimal | None = None
    period: str = "month"
    rates: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A key that somebody wants. Without `owner` a personal key is one's own; no models means all that the team may use."""

    project: Project
    name: str
    kind: str
    owner: User | None = None
    expires_at: datetime | None = None
    allowed_models: Sequence[str] | None = None
    allowed_ips: Sequence[str] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    limits: OwnLimits = field(default_factory=OwnLimits)


def issue(change: ChangeSet, party: Party, order: Order) -> tuple[VirtualKey, Secret]:
    """A new key with its limits, and the secret, which is never to be had again."""
    _need_to_issue(party, order)
    owner = _owner(party, order)
    _need_free_name(order.project, order.name)
    _check_end(order.expires_at)
    _check_models(order.project, order.allowed_models or ())
    if not order.project.enabled:
        raise ValidationError({"project": _("This project is disabled; its keys are refused.")})
    key, secret = create_key(
        change,
        order.project,
        order.name,
        kind=order.kind,
        owner=owner,
        expires_at=order.expires_at,
        allowed_models=order.allowed_models,
        allowed_ips=order.allowed_ips,
        tags=order.tags,
    )
    _limit(change, key, order.limits)
    return key, secret


def revise(
    change: ChangeSet, party: Party, key: VirtualKey, values: Mapping[str, Any], *, expected_version: int | None = None
) -> dict[str, list[Any]]:
    """Changes what `values` name of: name, expires_at, allowed_models, allowed_ips, tags."""
    need_to_manage(party, key)
    _need_in_use(key)
    if "name" in values and values["name"] != key.name:
        _check_renaming(key, values["name"])
    if "expires_at" in values and values["expires_at"] != key.expires_at:
        _check_end(values["expires_at"])
    if "allowed_models" in values:
        _check_models(key.project, [one for one in values["allowed_models"] if one not in key.allowed_models])
    for name in ("name", "expires_at", "allowed_models", "allowed_ips", "tags"):
        if name in values:
            setattr(key, name, values[name])
    return change.save(key, expected_version=key.version if expected_version is None else expected_version)


def rotate(
    change: ChangeSet, party: Party, key: VirtualKey, overlap: str, *, expected_version: int | None = None
) -> Secret:
    """A new secret; the old one works on for `overlap`, one of OVERLAPS."""
    need_to_manage(party, key)
    _need_in_use(key)
    if overlap not in OVERLAPS:
        raise ValidationError({"overlap": f"Choose {', '.join(OVERLAPS)}."})
    expected = key.version if expected_version is None else expected_version
    return rotate_key(change, key, overlap=OVERLAPS[overlap], expected_version=expected)


def end_old_secret(change: ChangeSet, party: Party, key: VirtualKey) -> None:
    """The secret before the latest rotation stops now."""
    need_to_manage(party, key)
    _reload(key)
    now = timezone.now()
    if key.has_two_secrets(now):
        key.old_until, key.old_secret_hash = now, ""
        change.save(key, action="old secret ended")


def switch(change: ChangeSet, party: Party, key: VirtualKey, *, enabled: bool) -> None:
    """Disables a key, or enables it again."""
    need_to_manage(party, key)
    _reload(key)
    _need_in_use(key)
    if enabled and not key.enabled and not at_least(role_in(party, key.project.team), ADMIN):
        _need_own_doing(party, key)
    key.enabled = enabled
    change.save(key, action="enabled" if enabled else "disabled")


def revoke(change: ChangeSet, party: Party, key: VirtualKey) -> None:
    """Ends a key for good, with both its secrets; one that is revoked already stays as it is."""
    need_to_manage(party, key)
    _reload(key)
    if key.revoked_at is None:
        key.revoked_at = timezone.now()
        change.save(key, action="revoked")


def _reload(key: VirtualKey) -> None:
    """As it stands now, locked: what somebody changed a moment ago is not written over."""
    key.refresh_from_db(from_queryset=VirtualKey.objects.select_for_update())


def _need_to_issue(party: Party, order: Order) -> None:
    team = order.project.team
    if may_issue(party, team, order.kind):
        return
    if at_least(role_in(party, team), MEMBER) and party.person:
        raise NotAllowed(_("Service keys are made by admins and owners of the team; a member makes personal ones."))
    raise NotAllowed(_("This role in the team does not allow making keys."))


def _owner(party: Party, order: Order) -> User | None:
    if order.kind != VirtualKey.Kind.PERSONAL:
        return order.owner
    owner = order.owner or (User.objects.filter(email=party.name).first() if party.person else None)
    if owner is None:
        raise ValidationError({"owner": _("A personal key needs an owner.")})
    team = order.project.team
    if owner.email != party.name and not at_least(role_in(party, team), ADMIN):
        raise NotAllowed(_("Keys of other people are made by admins and owners of the team."))
    role = Membership.objects.filter(team=team, user=owner).values_list("role", flat=True).first()
    if not at_least(role or "", MEMBER):
        raise ValidationError({"owner": NO_MEMBER})
    return owner


def _need_own_doing(party: Party, key: VirtualKey) -> None:
    """A member enables what they disabled themselves, not what somebody else did."""
    events = AuditEvent.objects.filter(object_type="virtualkey", object_id=str(key.pk), changes__has_key="enabled")
    last = events.order_by("-id").first()
    if last is None or last.actor != party.name:
        raise NotAllowed(_("Somebody else disabled this key; an admin or owner of the team enables it again."))


def _need_free_name(project: Project, name: str, key: VirtualKey | None = None) -> None:
    same = VirtualKey.objects.filter(project=project, name=name)
    if (same.exclude(pk=key.pk) if key else same).exists():
        raise ValidationError(
            {"name": _("A key of this project has this name already; names of revoked keys stay theirs.")}
        )


def _need_in_use(key: VirtualKey) -> None:
    if key.revoked_at is not None:
        raise ValidationError(_("This key is revoked, and stays so. Make another one."))


def _check_renaming(key: VirtualKey, name: str) -> None:
    if Budget.objects.filter(key=key).exists():
        text = _("This key has a budget, and what it spent is counted by its name; it keeps that name.")
        raise ValidationError({"name": text})
    _need_free_name(key.project, name, key)


def _check_end(moment: datetime | None) -> None:
    if moment is not None and moment <= timezone.now():
        raise ValidationError({"expires_at": _("This moment is over; choose one that is to come.")})


def _check_models(project: Project, patterns: Sequence[str]) -> None:
    allowed = project.team.allowed_models
    beyond = [pattern for pattern in patterns if not is_within(pattern, allowed)]
    if beyond:
        text = _("Not within what the team may use (%(allowed)s): %(beyond)s.")
        given = {"allowed": ", ".join(allowed) or _("nothing"), "beyond": ", ".join(beyond)}
        raise ValidationError({"allowed_models": text % given})


def _limit(change: ChangeSet, key: VirtualKey, limits: OwnLimits) -> None:
    if limits.budget is not None:
        budget = Budget(scope="key", key=key, period=limits.period, amount=limits.budget, soft=[80])
        _save_limit(change, budget, {"amount": "budget", "period": "budget_period"})
    for kind, amount in limits.rates.items():
        _save_limit(change, RateLimit(scope="key", key=key, kind=kind, amount=amount), {"amount": kind, "kind": kind})


def _save_limit(change: ChangeSet, row: Budget | RateLimit, names: Mapping[str, str]) -> None:
    """Saves a limit; what is refused of it is said beside the order's field."""
    try:
        change.save(row)
    except ValidationError as error:
        by_field = error.message_dict if hasattr(error, "error_dict") else {"amount": error.messages}
        raise ValidationError({names.get(name, names["amount"]): texts for name, texts in by_field.items()}) from None
