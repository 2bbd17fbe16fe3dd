"""Who belongs to a team and as what: every write, each by somebody whose right to it is read under the team's lock.

Admins manage members and viewers; owners give and take every role. A team that has an owner keeps one: the last can neither
go nor be lowered. Two who change the same team come one after the other, and the second is judged by what the first left.
"""

from dataclasses import dataclass

from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from accounting.access.roles import ADMIN, MEMBER, OWNER, ROLES, VIEWER, at_least
from accounting.audit.changes import ChangeSet
from accounting.limits.asking import NotAllowed, Party
from accounting.models import Invitation, Membership, Team, User, VirtualKey

_GIVES = {OWNER: (OWNER, ADMIN, MEMBER, VIEWER), ADMIN: (MEMBER, VIEWER)}


@dataclass(frozen=True, slots=True)
class Gone:
    """What went with a membership."""

    keys: tuple[VirtualKey, ...]
    invitations: int


def roles_given_by(role: str) -> tuple[str, ...]:
    """The roles that a `role` may give, take and invite to."""
    return _GIVES.get(role, ())


def visible_members(party: Party) -> "QuerySet[Membership]":
    """The memberships that somebody may see: all, or those of their teams."""
    rows = Membership.objects.select_related("team", "user").order_by("team__name", "user__email")
    return rows if party.admin or party.reads_all else rows.filter(team__name__in=list(party.roles))


def keys_that_go(member: Membership) -> "QuerySet[VirtualKey]":
    """The keys that end when this person leaves the team: their personal ones of its projects."""
    return VirtualKey.objects.filter(
        owner=member.user, kind=VirtualKey.Kind.PERSONAL, project__team=member.team, revoked_at=None
    ).order_by("project__name", "name")


def role_under_lock(party: Party, team: Team) -> str:
    """What somebody is in the team from now until the end of the transaction: nobody else changes its people meanwhile."""
    Team.objects.select_for_update(no_key=True).get(pk=team.pk)
    if party.admin:
        return OWNER
    if not party.person:
        return party.roles.get(team.name, "")
    own = Membership.objects.filter(team=team, user__email=party.name, user__is_active=True)
    return own.values_list("role", flat=True).first() or ""


def change_role(
    change: ChangeSet, party: Party, member: Membership, role: str, *, expected_version: int | None = None
) -> Membership:
    """Makes a member something else."""
    given = roles_given_by(role_under_lock(party, member.team))
    fresh = _fresh(member)
    if role not in ROLES:
        raise ValidationError({"role": _("There is no such role.")})
    if not given:
        raise NotAllowed(_("Only admins and owners change roles."))
    if fresh.role not in given or role not in given:
        raise NotAllowed(_("Only an owner gives or takes the roles admin and owner."))
    if fresh.role == OWNER and role != OWNER:
        _keep_an_owner(fresh)
    fresh.role = role
    change.save(fresh, expected_version=expected_version)
    _withdraw_invitations(change, fresh, role)
    return fresh


def remove_member(change: ChangeSet, party: Party, member: Membership) -> Gone:
    """Ends a membership, one's own or another's, and with it the person's keys and what they invited to."""
    own = party.person and member.user.email == party.name
    given = roles_given_by(role_under_lock(party, member.team))
    fresh = _fresh(member)
    if not own and fresh.role not in given:
        raise NotAllowed(
            _("Only an owner removes admins and owners.") if given else _("Only admins and owners remove members.")
        )
    if fresh.role == OWNER:
        _keep_an_owner(fresh)
    gone = Gone(tuple(revoke_keys(change, fresh)), _withdraw_invitations(change, fresh, ""))
    change.delete(fresh)
    return gone


def hand_over(change: ChangeSet, party: Party, member: Membership) -> Membership:
    """Makes another member the owner in one's own place; whoever hands over is an admin from then on."""
    role = role_under_lock(party, member.team)
    own = Membership.objects.filter(team=member.team, user__email=party.name).first() if party.person else None
    if own is None or own.role != OWNER or role != OWNER:
        raise NotAllowed(_("Only an owner who belongs to the team hands it over."))
    fresh = _fresh(member)
    if fresh.pk == own.pk:
        raise ValidationError(_("Choose another member; you are the owner."))
    if not fresh.user.is_active:
        raise ValidationError(_("This person may not sign in; choose another one."))
    fresh.role, own.role = OWNER, ADMIN
    change.save(fresh)
    change.save(own)
    _withdraw_invitations(change, own, ADMIN)
    return fresh


def add_member(change: ChangeSet, team: Team, user: User, role: str) -> Membership:
    """A new membership; the caller has asked whether it may be."""
    member = Membership(team=team, user=user, role=role)
    change.save(member)
    return member


def may_leave(member: Membership) -> bool:
    """Whether a person may leave their team: not as its last owner."""
    return member.role != OWNER or _other_owners(member).exists()


def _fresh(member: Membership) -> Membership:
    """The membership as it is under the lock. Raises DoesNotExist when it ended meanwhile."""
    return Membership.objects.select_related("team", "user").get(pk=member.pk)


def _other_owners(member: Membership) -> "QuerySet[Membership]":
    """Owners who can act: one who may not sign in keeps no team."""
    owners = Membership.objects.filter(team=member.team, role=OWNER, user__is_active=True)
    return owners.exclude(pk=member.pk)


def _keep_an_owner(member: Membership) -> None:
    if not _other_owners(member).exists():
        raise ValidationError(_("This is the only owner of the team; make somebody else an owner first."))


def revoke_keys(change: ChangeSet, member: Membership) -> list[VirtualKey]:
    """Ends the keys that go with a membership, for those who end it by another door."""
    now = timezone.now()
    keys = list(keys_that_go(member).select_for_update(of=("self",)))
    for key in keys:
        key.revoked_at = now
        change.save(key, action="revoked")
    return keys


def _withdraw_invitations(change: ChangeSet, member: Membership, role: str) -> int:
    """Takes back what somebody invited to and could not invite to any more."""
    now = timezone.now()
    theirs = Invitation.objects.filter(
        team=member.team, invited_by=member.user.email, accepted_at=None, withdrawn_at=None, expires_at__gt=now
    ).exclude(role__in=roles_given_by(role))
    found = list(theirs)
    for invitation in found:
        invitation.withdrawn_at = now
        change.save(invitation, action="withdrawn")
    return len(found)


def may_manage(role: str, member_role: str) -> bool:
    """Whether a `role` may change or remove a member of `member_role`."""
    return at_least(role, ADMIN) and member_role in roles_given_by(role)
