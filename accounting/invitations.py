"""Invitations to a team: made, mailed, withdrawn, accepted. Each works once, for one person, until it expires.

A link is shown once, or goes by mail and is shown to nobody; only its keyed hash is kept.
"""

import secrets
from dataclasses import dataclass
from datetime import timedelta

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from accounting.access.roles import ADMIN, at_least
from accounting.audit.changes import ChangeSet
from accounting.limits.asking import NotAllowed, Party
from accounting.membership import add_member, role_under_lock, roles_given_by
from accounting.models import Invitation, Membership, Team, User
from accounting.services import create_user, set_password
from gateway_project.crypto import Secret, keyed_hash

DAYS = (1, 7, 30)
MOST_OPEN = 200  # of one team


class InvitationRefused(Exception):
    """An invitation that does not work; `why` is accepted, withdrawn, expired, disabled, other_address, or account."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class SentBefore(Exception):
    """The same form was sent a second time; what it asks for is done."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What is offered: a role, to whoever has the link or to one address, for some days. The same `form_id` makes one
    invitation, however often it is sent."""

    role: str
    days: int = 7
    email: str = ""
    mailed: bool = False
    form_id: str = ""


def visible_invitations(party: Party) -> "QuerySet[Invitation]":
    """The invitations that somebody may see, newest first: all, or those of the teams they are an admin of."""
    rows = Invitation.objects.select_related("team").order_by("-id")
    if party.admin or party.reads_all:
        return rows
    return rows.filter(team__name__in=[name for name, role in party.roles.items() if at_least(role, ADMIN)])


def invite(change: ChangeSet, party: Party, team: Team, terms: Terms) -> tuple[Invitation, Secret]:
    """A new invitation and its token, which is never to be had again. Raises SentBefore."""
    given = roles_given_by(role_under_lock(party, team))
    if not given:
        raise NotAllowed(_("Only admins and owners invite."))
    if terms.role not in given:
        raise NotAllowed(_("Only an owner invites admins and owners."))
    if terms.days not in DAYS:
        raise ValidationError({"days": _("Choose 1, 7 or 30 days.")})
    if terms.form_id and Invitation.objects.filter(form_id=terms.form_id).exists():
        raise SentBefore
    address = terms.email.strip().lower()
    _check_address(team, address, mailed=terms.mailed)
    token = secrets.token_urlsafe(32)
    invitation = Invitation(
        team=team,
        role=terms.role,
        email=address,
        mailed=terms.mailed,
        token_hash=keyed_hash(token),
        invited_by=party.name,
        form_id=terms.form_id,
        expires_at=timezone.now() + timedelta(days=terms.days),
    )
    change.save(invitation)
    return invitation, Secret(token)


def withdraw_invitation(change: ChangeSet, party: Party, invitation: Invitation) -> Invitation:
    """Takes an open invitation back; one that is not open any more stays as it is, with a sentence."""
    given = roles_given_by(role_under_lock(party, invitation.team))
    if invitation.role not in given:
        raise NotAllowed(_("Only an owner withdraws invitations of admins and owners."))
    fresh = Invitation.objects.select_for_update().get(pk=invitation.pk)
    state = fresh.state(timezone.now())
    if state == "accepted":
        raise ValidationError(_("This invitation was accepted meanwhile; remove the member instead."))
    if state == "open":
        fresh.withdrawn_at = timezone.now()
        change.save(fresh, action="withdrawn")
    return fresh


def find_invitation(token: str) -> Invitation | None:
    """The invitation with this token, whether or not it still works."""
    return Invitation.objects.select_related("team").filter(token_hash=keyed_hash(token)).first()


def why_closed(invitation: Invitation) -> str:
    """`accepted`, `withdrawn`, `expired` or `disabled`; "" for one that works."""
    state = invitation.state(timezone.now())
    if state != "open":
        return state
    return "" if invitation.team.enabled else "disabled"


def accept(change: ChangeSet, invitation: Invitation, user: User) -> Membership:
    """Makes a person who is signed in a member. Raises InvitationRefused; whoever is a member already stays what they are."""
    fresh = _taken(invitation)
    if fresh.email and fresh.email != user.email:
        raise InvitationRefused("other_address")
    known = Membership.objects.filter(team=fresh.team, user=user).first()
    if known is not None:
        return known
    member = add_member(change, fresh.team, user, fresh.role)
    fresh.accepted_at, fresh.accepted_by = timezone.now(), user.email
    change.save(fresh, action="accepted")
    return member


def accept_with_new_account(change: ChangeSet, invitation: Invitation, email: str, password: str) -> Membership:
    """Makes an account and a membership at once. Raises InvitationRefused, and ValidationError for what was typed.

    An account that exists is nobody's to take by a link. Only where the link went by mail to its very address, and it has
    no password yet, the password may be set.
    """
    fresh = _taken(invitation)
    address = fresh.email or email.strip().lower()
    user = User.objects.select_for_update().filter(email=address).first()
    if user is None:
        user = create_user(change, address, password)
    elif may_set_password(fresh, user):
        set_password(user, password)
        change.save(user, action="password changed")
    else:
        raise InvitationRefused("account")
    return accept(change, fresh, user)


def may_set_password(invitation: Invitation, user: User) -> bool:
    """Whether the invited may give a password to an account that has none: the mail has proved that the address is theirs."""
    proved = invitation.mailed and invitation.email == user.email
    return proved and user.is_active and not user.has_usable_password()


def _taken(invitation: Invitation) -> Invitation:
    """The invitation, locked: of two who accept, the later finds it used."""
    fresh = Invitation.objects.select_for_update(of=("self",)).select_related("team").get(pk=invitation.pk)
    if why := why_closed(fresh):
        raise InvitationRefused(why)
    return fresh


def _check_address(team: Team, address: str, *, mailed: bool) -> None:
    """Under the team's lock."""
    if mailed and not address:
        raise ValidationError({"email": _("Give the address that the mail goes to.")})
    now = timezone.now()
    unused = team.invitations.filter(accepted_at=None, withdrawn_at=None, expires_at__gt=now)
    if unused.count() >= MOST_OPEN:
        raise ValidationError(_("This team has %(most)d open invitations; withdraw some first.") % {"most": MOST_OPEN})
    if not address:
        return
    try:
        validate_email(address)
    except ValidationError as error:
        raise ValidationError({"email": error.messages}) from None
    if Membership.objects.filter(team=team, user__email=address).exists():
        raise ValidationError({"email": _("This person belongs to the team already.")})
    if unused.filter(email=address).exists():
        raise ValidationError({"email": _("This address has an open invitation; withdraw it first.")})
