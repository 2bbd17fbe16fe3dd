"""Alerts: rules of a team (or of the platform), where they are sent, what was raised, how each sending went.

Rules and destinations are configuration. Events and deliveries are history: they copy names and point at no configuration,
so that deleting a rule deletes none of it.
"""

from typing import Any
from urllib.parse import urlsplit

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import models
from django.db.models import BaseConstraint, Q, UniqueConstraint
from django.utils.translation import gettext_lazy as _

from accounting.models.base import Versioned
from accounting.models.people import Team
from gateway_project.crypto import EncryptedJSONField
from gateway_project.webhooks import check_url

MOST_ADDRESSES = 10
MOST_DESTINATIONS = 20  # of one rule


def validate_addresses(value: Any) -> None:
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise ValidationError(_("These are e-mail addresses, one on each line."))
    if len(value) > MOST_ADDRESSES:
        raise ValidationError(_("At most %(most)s addresses.") % {"most": MOST_ADDRESSES})
    for each in value:
        try:
            validate_email(each)
        except ValidationError:
            raise ValidationError(_("%(text)s is not an e-mail address.") % {"text": each}) from None


def validate_url(value: str) -> None:
    if problem := check_url(value):
        raise ValidationError(problem)


def validate_destinations(value: Any) -> None:
    whole = isinstance(value, list) and all(isinstance(each, int) and not isinstance(each, bool) for each in value)
    if not whole or len(set(value)) != len(value) or len(value) > MOST_DESTINATIONS:
        raise ValidationError(_("These are at most %(most)s destinations, each once.") % {"most": MOST_DESTINATIONS})


def _named_once(name: str) -> list[BaseConstraint]:
    """A name is there once in a team, and once on the platform."""
    text = _("There is one of this name already.")
    return [
        UniqueConstraint(fields=["team", "name"], name=f"{name}_name", violation_error_message=text),
        UniqueConstraint(
            fields=["name"], condition=Q(team=None), name=f"{name}_platform", violation_error_message=text
        ),
    ]


class AlertDestination(Versioned):
    """Where alerts go: mail addresses, or an address that takes signed webhooks. How sending goes is kept beside it."""

    class Kind(models.TextChoices):
        MAIL = "mail", _("e-mail")
        WEBHOOK = "webhook", _("webhook")

    team = models.ForeignKey(Team, null=True, blank=True, on_delete=models.CASCADE, related_name="alert_destinations")
    name = models.CharField(max_length=63)
    kind = models.CharField(max_length=10, choices=Kind.choices)
    addresses = models.JSONField(default=list, blank=True, validators=[validate_addresses])
    url = models.CharField(max_length=500, blank=True, validators=[validate_url])
    secret = EncryptedJSONField(default=dict, blank=True, editable=False)
    enabled = models.BooleanField(default=True)
    disabled_because = models.CharField(max_length=300, blank=True, editable=False)
    delivered_at = models.DateTimeField(null=True, blank=True, editable=False)
    failing_since = models.DateTimeField(null=True, blank=True, editable=False)
    delivery_failures = models.PositiveIntegerField(default=0, editable=False)
    delivery_error = models.CharField(max_length=300, blank=True, editable=False)

    class Meta:
        ordering = ["name"]
        constraints = _named_once("alert_destination")

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        super().clean()
        if self.kind == self.Kind.MAIL:
            self.url = ""
            if not self.addresses:
                raise ValidationError({"addresses": _("Give at least one address.")})
        elif self.kind == self.Kind.WEBHOOK:
            self.addresses = []
            if not self.url:
                raise ValidationError({"url": _("Give the address that takes the webhook.")})

    @property
    def where(self) -> str:
        """Where it goes, for everybody: of a webhook only the host, because its path may be a secret."""
        if self.kind == self.Kind.MAIL:
            return ", ".join(self.addresses)
        return urlsplit(self.url).hostname or ""


class AlertRule(Versioned):
    """When to raise an alert. Which of the numbers count depends on the kind."""

    class Kind(models.TextChoices):
        BUDGET_THRESHOLD = "budget_threshold", _("a budget reaches a soft limit")
        BUDGET_USED_UP = "budget_used_up", _("a budget is used up")
        ERROR_SHARE = "error_share", _("many requests fail")
        KEY_EXPIRES = "key_expires", _("a key expires soon")
        KEY_UNUSED = "key_unused", _("a key is not used")
        UNPRICED_MODEL = "unpriced_model", _("a model without a price is used")

    team = models.ForeignKey(Team, null=True, blank=True, on_delete=models.CASCADE, related_name="alert_rules")
    name = models.CharField(max_length=63)
    kind = models.CharField(max_length=20, choices=Kind.choices)
    percent = models.PositiveSmallIntegerField(null=True, blank=True)
    minutes = models.PositiveSmallIntegerField(null=True, blank=True)
    least_requests = models.PositiveIntegerField(null=True, blank=True)
    days = models.PositiveSmallIntegerField(null=True, blank=True)
    destinations = models.JSONField(default=list, blank=True, validators=[validate_destinations])
    enabled = models.BooleanField(default=True)

    class Meta:
        ordering = ["name"]
        constraints = _named_once("alert_rule")

    # field → (least, most, default) of each kind; other numbers are left out
    NUMBERS: dict[str, dict[str, tuple[int, int, int | None]]] = {
        Kind.BUDGET_THRESHOLD: {"percent": (1, 1000, None)},
        Kind.BUDGET_USED_UP: {},
        Kind.ERROR_SHARE: {"percent": (1, 100, 20), "minutes": (1, 60, 10), "least_requests": (1, 20_000, 20)},
        Kind.KEY_EXPIRES: {"days": (1, 365, 14)},
        Kind.KEY_UNUSED: {"days": (1, 365, 90)},
        Kind.UNPRICED_MODEL: {},
    }

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        super().clean()
        wanted = self.NUMBERS.get(self.kind, {})
        wrong: dict[str, Any] = {}
        for name in ("percent", "minutes", "least_requests", "days"):
            if name not in wanted:
                setattr(self, name, None)
                continue
            least, most, default = wanted[name]
            if getattr(self, name) is None:
                setattr(self, name, default)
            value = getattr(self, name)
            if value is not None and not least <= value <= most:
                wrong[name] = _("A whole number from %(least)s to %(most)s.") % {"least": least, "most": most}
        if wrong:
            raise ValidationError(wrong)


class AlertEvent(models.Model):
    """Something that a rule has noticed: one row for each, whoever notices. `rule` is empty for tests and notices."""

    rule = models.PositiveBigIntegerField(null=True, blank=True)
    rule_name = models.CharField(max_length=63)
    team = models.CharField(max_length=63, blank=True)
    kind = models.CharField(max_length=20)
    key = models.CharField(max_length=200)
    title = models.CharField(max_length=200)
    text = models.CharField(max_length=1000)
    path = models.CharField(max_length=200, blank=True)
    details = models.JSONField(default=dict)
    at = models.DateTimeField()

    class Meta:
        ordering = ["-id"]
        constraints = [UniqueConstraint(fields=["rule", "key"], name="one_event")]
        indexes = [
            models.Index(fields=["team", "-id"], name="alert_event_team"),
            models.Index(fields=["at"], name="alert_event_at"),
        ]

    def __str__(self) -> str:
        return self.title


class AlertDelivery(models.Model):
    """One event on its way to one destination. `attempts` are `{"at", "status", "error", "duration_ms"}`, oldest first."""

    class State(models.TextChoices):
        WAITING = "waiting", _("waits")
        SENT = "sent", _("sent")
        FAILED = "failed", _("given up")
        CANCELLED = "cancelled", _("cancelled")

    event = models.ForeignKey(AlertEvent, on_delete=models.CASCADE, related_name="deliveries")
    destination = models.PositiveBigIntegerField()
    destination_name = models.CharField(max_length=63)
    kind = models.CharField(max_length=10)
    message_id = models.CharField(max_length=40, unique=True)
    state = models.CharField(max_length=10, choices=State.choices, default=State.WAITING)
    tries = models.PositiveSmallIntegerField(default=0)
    next_at = models.DateTimeField()
    attempts = models.JSONField(default=list)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["next_at"], condition=Q(state="waiting"), name="alert_delivery_due"),
            models.Index(fields=["destination", "-id"], name="alert_delivery_destination"),
        ]

    def __str__(self) -> str:
        return f"{self.event} to {self.destination_name}"

    @property
    def last(self) -> dict[str, Any]:
        """The last try."""
        found: dict[str, Any] = self.attempts[-1] if self.attempts else {}
        return found


class AlertTurn(models.Model):
    """Whose turn it is to look for what rules are about: whoever moves `until` on does it."""

    name = models.CharField(max_length=20, primary_key=True)
    until = models.DateTimeField()

    def __str__(self) -> str:
        return self.name
