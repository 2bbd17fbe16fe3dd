"""How people come in: invitations to teams, who is signed in where, attempts that are counted."""

from datetime import datetime

from django.db import models
from django.db.models import Q, UniqueConstraint

from accounting.models.base import Versioned
from accounting.models.people import Membership, Team, User


class Invitation(Versioned):
    """One person may join a team, once, by a link. Only the hash of its token is kept.

    With an `email` it is for that address only. `mailed` ones went to that address and were shown to nobody, so that who
    has the link has the address.
    """

    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="invitations")
    role = models.CharField(max_length=10, choices=Membership.Role.choices, default=Membership.Role.MEMBER)
    email = models.EmailField("e-mail address", blank=True, default="")
    mailed = models.BooleanField(default=False, editable=False)
    token_hash = models.CharField(max_length=64, unique=True, editable=False)
    invited_by = models.CharField(max_length=254, editable=False)
    expires_at = models.DateTimeField("expires")
    accepted_at = models.DateTimeField(null=True, blank=True, editable=False)
    accepted_by = models.CharField(max_length=254, blank=True, default="", editable=False)
    withdrawn_at = models.DateTimeField(null=True, blank=True, editable=False)
    form_id = models.CharField(
        max_length=40, blank=True, default="", editable=False, help_text="Of the form that made it."
    )

    class Meta:
        ordering = ["-id"]
        constraints = [
            UniqueConstraint(fields=["form_id"], condition=~Q(form_id=""), name="one_invitation_per_form"),
            models.CheckConstraint(
                condition=Q(accepted_at=None) | Q(withdrawn_at=None), name="invitation_accepted_or_withdrawn"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.email or 'whoever has the link'} as {self.role}"

    def state(self, now: datetime) -> str:
        """`open`, `accepted`, `withdrawn` or `expired`."""
        if self.accepted_at is not None:
            return "accepted"
        if self.withdrawn_at is not None:
            return "withdrawn"
        return "expired" if self.expires_at <= now else "open"


class SignIn(models.Model):
    """One browser that somebody is signed in with. It goes when its session does."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="sign_ins")
    session_hash = models.CharField(max_length=40, editable=False, help_text="As the table of sessions has it.")
    created_at = models.DateTimeField()
    last_seen = models.DateTimeField()
    address = models.CharField(max_length=45, blank=True)
    user_agent = models.CharField(max_length=300, blank=True)

    class Meta:
        ordering = ["-last_seen", "-id"]
        constraints = [UniqueConstraint(fields=["session_hash"], name="one_sign_in_per_session")]

    def __str__(self) -> str:
        return f"{self.user} from {self.address}"


class AttemptCount(models.Model):
    """How often something was tried within a window of time; `name` is a keyed hash of what is counted."""

    name = models.CharField(max_length=64, primary_key=True)
    count = models.PositiveIntegerField(default=0)
    until = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return f"{self.count} until {self.until:%H:%M:%S}"
