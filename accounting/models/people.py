"""People and what they belong to: users, teams, projects, memberships, one-time links."""

from typing import Any, ClassVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.contrib.auth.models import AbstractUser, BaseUserManager
from django.core.exceptions import ValidationError
from django.db import models
from django.utils.translation import gettext_lazy as _

from accounting.models.base import Versioned
from accounting.models.validators import name_validator, validate_patterns


class UserManager(BaseUserManager["User"]):
    def create_user(self, email: str, password: str | None = None, **fields: Any) -> "User":
        user = self.model(email=self.normalize_email(email).lower(), **fields)
        user.set_password(password)
        user.full_clean(exclude=["password"])
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> "User":
        return self.create_user(email, password, is_staff=True, is_superuser=True, **fields)

    def get_by_natural_key(self, username: str | None) -> "User":
        return self.get(email=(username or "").lower())


def validate_timezone(value: str) -> None:
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValidationError(f"{value!r} is not a time zone of the IANA database, such as Europe/Berlin") from None


class User(AbstractUser):
    """A person, known by their e-mail address (kept in lower case), and how they like the dashboard."""

    class Theme(models.TextChoices):
        AUTO = "auto", _("as the system")
        LIGHT = "light", _("light")
        DARK = "dark", _("dark")

    username = None  # type: ignore[assignment]
    email = models.EmailField("e-mail address", unique=True)
    timezone = models.CharField(
        _("time zone"),
        max_length=63,
        blank=True,
        default="",
        validators=[validate_timezone],
        help_text=_("Empty: the team's."),
    )
    language = models.CharField(
        _("language"), max_length=10, blank=True, default="", help_text=_("Empty: the browser's.")
    )
    theme = models.CharField(_("theme"), max_length=5, choices=Theme.choices, default=Theme.AUTO)
    last_seen = models.DateTimeField(null=True, blank=True, editable=False, help_text="On pages; to the minute.")

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []
    objects: ClassVar[UserManager] = UserManager()  # type: ignore[assignment]

    def clean(self) -> None:
        super().clean()
        self.email = self.email.lower()

    def __str__(self) -> str:
        return self.email


def every_model() -> list[str]:
    return ["*"]


class Team(Versioned):
    class Capture(models.TextChoices):
        METADATA = "metadata", "metadata only"
        REDACTED = "redacted", "bodies, redacted"
        FULL = "full", "full bodies"

    name = models.CharField(
        max_length=63, unique=True, validators=[name_validator], help_text="Lower-case letters, digits, dashes."
    )
    display_name = models.CharField(max_length=120, blank=True)
    timezone = models.CharField(
        "time zone",
        max_length=63,
        default="UTC",
        validators=[validate_timezone],
        help_text="When a day, a week, a month begins.",
    )
    allowed_models = models.JSONField(
        default=every_model,
        blank=True,
        validators=[validate_patterns],
        help_text="Alias names or patterns; * allows all.",
    )
    capture = models.CharField(
        max_length=10,
        choices=Capture.choices,
        default=Capture.METADATA,
        help_text="What the audit log keeps of bodies.",
    )
    enabled = models.BooleanField(default=True, help_text="Keys of a disabled team are refused.")

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.display_name or self.name


class Project(Versioned):
    team = models.ForeignKey(Team, on_delete=models.PROTECT, related_name="projects")
    name = models.CharField(max_length=63, validators=[name_validator])
    display_name = models.CharField(max_length=120, blank=True)
    enabled = models.BooleanField(default=True, help_text="Keys of a disabled project are refused.")

    class Meta:
        ordering = ["team__name", "name"]
        constraints = [models.UniqueConstraint(fields=["team", "name"], name="project_name_in_team")]

    def __str__(self) -> str:
        return f"{self.team.name} / {self.name}"


class Membership(Versioned):
    class Role(models.TextChoices):
        OWNER = "owner"
        ADMIN = "admin"
        MEMBER = "member"
        VIEWER = "viewer"

    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="memberships")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=10, choices=Role.choices, default=Role.MEMBER)

    class Meta:
        ordering = ["team__name", "user__email"]
        constraints = [models.UniqueConstraint(fields=["team", "user"], name="one_membership_per_team")]

    def __str__(self) -> str:
        return f"{self.user} in {self.team.name} as {self.role}"


class OneTimeLink(models.Model):
    """A link that works once: the first administrator's, later invitations. Only the hash of its token is kept."""

    class Purpose(models.TextChoices):
        FIRST_ADMIN = "first_admin", "create the first administrator"

    purpose = models.CharField(max_length=20, choices=Purpose.choices)
    token_hash = models.CharField(max_length=64, unique=True)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"{self.get_purpose_display()}, {'used' if self.used_at else 'open'}"
