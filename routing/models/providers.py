"""Providers, and the credentials that pay for them."""

from decimal import Decimal

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models

from accounting.models.base import Versioned
from accounting.models.validators import name_validator
from gateway_project.crypto import EncryptedJSONField
from routing.conf import CREDENTIAL_KINDS, check_address, check_checks, check_credential

SECONDS = [MinValueValidator(Decimal("0.05")), MaxValueValidator(Decimal(3600))]


class Provider(Versioned):
    """An upstream account: where it is, how it is spoken to, how long to wait. Durations are seconds."""

    class Format(models.TextChoices):
        ANTHROPIC = "anthropic", "Anthropic Messages"
        BEDROCK = "bedrock", "Bedrock InvokeModel"
        VERTEX = "vertex", "Vertex rawPredict"

    class OnDisconnect(models.TextChoices):
        CANCEL = "cancel", "cancel: close upstream at once, bill what was seen"
        DRAIN = "drain", "drain: read to the end, bill exactly"

    name = models.CharField(max_length=63, unique=True, validators=[name_validator])
    format = models.CharField(max_length=10, choices=Format.choices, default=Format.ANTHROPIC)
    base_url = models.CharField(
        "address",
        max_length=300,
        help_text="Such as https://api.anthropic.com; may carry a path. The format's own path is added.",
    )
    region = models.CharField(max_length=63, blank=True, help_text="Bedrock: signing region. Vertex: location.")
    project = models.CharField(max_length=63, blank=True, help_text="Vertex: Google Cloud project.")
    enabled = models.BooleanField(default=True)
    connect_timeout = models.DecimalField(max_digits=7, decimal_places=2, default=Decimal(5), validators=SECONDS)
    first_byte_timeout = models.DecimalField(
        max_digits=7,
        decimal_places=2,
        default=Decimal(120),
        validators=SECONDS,
        help_text="Silence until the first byte.",
    )
    idle_timeout = models.DecimalField(
        max_digits=7, decimal_places=2, default=Decimal(90), validators=SECONDS, help_text="Silence between two chunks."
    )
    max_connections = models.PositiveIntegerField(
        default=512, validators=[MinValueValidator(1), MaxValueValidator(65535)]
    )
    on_client_disconnect = models.CharField(max_length=10, choices=OnDisconnect.choices, default=OnDisconnect.CANCEL)
    allow_private_addresses = models.BooleanField(
        default=False, help_text="Lets the address resolve to a loopback or private address."
    )
    check_interval = models.PositiveIntegerField(
        default=0,
        blank=True,
        validators=[MaxValueValidator(86400)],
        help_text="Seconds without traffic after which the model is asked for one token, which costs money; 0 is never.",
    )
    check_model = models.CharField(
        max_length=300, blank=True, help_text="The model that checks ask, by the provider's own name."
    )

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        super().clean()
        problem = check_address(self.base_url, allow_private=self.allow_private_addresses)
        if problem:
            raise ValidationError({"base_url": problem})
        self.check_interval = self.check_interval or 0
        if problem := check_checks(self.check_interval, self.check_model):
            raise ValidationError({"check_interval": problem})
        if self.format == self.Format.BEDROCK and not self.region:
            raise ValidationError({"region": "A Bedrock provider needs its signing region, such as us-east-1."})
        if self.format == self.Format.VERTEX and not (self.region and self.project):
            raise ValidationError({"project": "A Vertex provider needs a project and a region (its location)."})


class Credential(Versioned):
    """How a provider is paid: one kind, its values encrypted. No form and no API ever shows them again."""

    provider = models.OneToOneField(Provider, on_delete=models.CASCADE, related_name="credential")
    kind = models.CharField(max_length=30, choices=[(kind, kind) for kind in CREDENTIAL_KINDS])
    values = EncryptedJSONField(default=dict, blank=True)

    def __str__(self) -> str:
        return f"{self.kind} of {self.provider.name}"

    def clean(self) -> None:
        super().clean()
        problem = check_credential(self.kind, self.values, self.provider.format)
        if problem:
            raise ValidationError({"kind": problem})


class CredentialRefresh(models.Model):
    """How the last fetching of a provider's token went, in whichever process it was. Observed, not configured."""

    provider = models.OneToOneField(Provider, on_delete=models.CASCADE, related_name="refresh")
    ok = models.BooleanField()
    at = models.DateTimeField()
    error = models.CharField(max_length=300, blank=True)
    failures = models.PositiveIntegerField(default=0, help_text="In a row.")
    expires_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"{self.provider.name}: {'fetched' if self.ok else self.error}"
