"""What callers present: virtual keys (the gateway) and API tokens (the REST API). Only keyed hashes are stored."""

from datetime import datetime

from django.core.exceptions import ValidationError
from django.db import models
from django.utils.translation import gettext as _

from accounting.models.base import Versioned
from accounting.models.people import Project, Team, User, every_model
from accounting.models.validators import name_validator, validate_networks, validate_patterns, validate_tags


class VirtualKey(Versioned):
    class Kind(models.TextChoices):
        SERVICE = "service"
        PERSONAL = "personal"

    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="keys")
    name = models.CharField(max_length=63, validators=[name_validator])
    prefix = models.CharField(max_length=20, db_index=True, editable=False)
    secret_hash = models.CharField(max_length=64, unique=True, editable=False)
    kind = models.CharField(max_length=10, choices=Kind.choices, default=Kind.SERVICE)
    owner = models.ForeignKey(
        User,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="virtual_keys",
        help_text="Of a personal key only.",
    )
    expires_at = models.DateTimeField("expires", null=True, blank=True)
    allowed_models = models.JSONField(
        default=every_model,
        blank=True,
        validators=[validate_patterns],
        help_text="Within what the team may use; * allows all.",
    )
    allowed_ips = models.JSONField(
        "allowed addresses",
        default=list,
        blank=True,
        validators=[validate_networks],
        help_text="Networks; none means any.",
    )
    tags = models.JSONField(default=dict, blank=True, validators=[validate_tags])
    enabled = models.BooleanField(default=True)
    revoked_at = models.DateTimeField(null=True, blank=True, editable=False)
    # The secret before the latest rotation. It works until `old_until`; the key's own end and standing hold for it too.
    rotated_at = models.DateTimeField(null=True, blank=True, editable=False)
    old_prefix = models.CharField(max_length=20, blank=True, default="", db_index=True, editable=False)
    old_secret_hash = models.CharField(max_length=64, blank=True, default="", editable=False)
    old_until = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        ordering = ["project__team__name", "project__name", "name"]
        constraints = [
            models.UniqueConstraint(fields=["project", "name"], name="key_name_in_project"),
            models.UniqueConstraint(
                fields=["old_secret_hash"], condition=~models.Q(old_secret_hash=""), name="key_old_secret_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"

    def has_two_secrets(self, now: datetime) -> bool:
        """Whether the secret before the latest rotation is still taken."""
        return bool(self.old_secret_hash) and self.old_until is not None and self.old_until > now

    def clean(self) -> None:
        super().clean()
        if self.kind == self.Kind.PERSONAL and self.owner is None:
            raise ValidationError({"owner": _("A personal key needs an owner.")})
        if self.kind == self.Kind.SERVICE and self.owner is not None:
            text = _("A service key has no owner; make it personal, or leave the owner out.")
            raise ValidationError({"owner": text})


class KeyUse(models.Model):
    """When a key's secret was presented last, from where and with what; written by the recorder with each batch.

    A secret is known by its prefix. Imported secrets can share one; of those, `team` says whose it was, so that no team
    learns of another's. Else it is empty.
    """

    pk = models.CompositePrimaryKey("key_prefix", "team")
    key_prefix = models.CharField(max_length=20)
    team = models.CharField(max_length=63, blank=True)
    last_at = models.DateTimeField()
    client_ip = models.CharField(max_length=45, blank=True)
    user_agent = models.CharField(max_length=300, blank=True)

    def __str__(self) -> str:
        return f"{self.key_prefix}… {self.last_at:%Y-%m-%d %H:%M}"


class ApiToken(Versioned):
    class Role(models.TextChoices):
        ADMIN = "admin", "administrator"
        AUDITOR = "auditor", "auditor (reads everything)"
        TEAM = "team", "one team"

    name = models.CharField(max_length=63, unique=True, validators=[name_validator])
    prefix = models.CharField(max_length=20, db_index=True, editable=False)
    secret_hash = models.CharField(max_length=64, unique=True, editable=False)
    role = models.CharField(max_length=10, choices=Role.choices)
    team = models.ForeignKey(Team, null=True, blank=True, on_delete=models.CASCADE, related_name="api_tokens")
    team_role = models.CharField(
        max_length=10, blank=True, help_text="Of a team's token: owner, admin, member or viewer."
    )
    expires_at = models.DateTimeField("expires", null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        ordering = ["name"]
        verbose_name = "API token"

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"

    def clean(self) -> None:
        super().clean()
        if (self.role == self.Role.TEAM) != (self.team is not None):
            raise ValidationError({"team": "A team's token names its team; the other kinds name none."})
        if self.role == self.Role.TEAM and self.team_role not in {"owner", "admin", "member", "viewer"}:
            raise ValidationError({"team_role": "Choose owner, admin, member or viewer."})
