"""Routes with their targets, and the names that clients ask for."""

from decimal import Decimal

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models

from accounting.models.base import Versioned
from accounting.models.validators import name_validator
from routing.conditions import canonical, first_problem
from routing.conf import RETRYABLE, check_retry_on, literal_length, patterns_overlap
from routing.lifecycle import LONGEST_NOTE, Deprecation, check_deprecation
from routing.models.providers import Provider


def every_retryable() -> list[str | int]:
    return list(RETRYABLE)


class Route(Versioned):
    """How a name is served: targets in tiers, a strategy within a tier, when to try the next."""

    class Strategy(models.TextChoices):
        WEIGHTED = "weighted"
        PRIORITY = "priority"
        LEAST_BUSY = "least_busy", "least busy"
        LATENCY = "latency"

    class Sticky(models.TextChoices):
        SESSION = "session"
        KEY = "key"
        NONE = "none"

    name = models.CharField(max_length=63, unique=True, validators=[name_validator])
    strategy = models.CharField(max_length=12, choices=Strategy.choices, default=Strategy.WEIGHTED)
    sticky = models.CharField(
        max_length=10,
        choices=Sticky.choices,
        default=Sticky.SESSION,
        help_text="Keeps the prompt cache warm on one target.",
    )
    conditions = models.JSONField(
        default=list,
        blank=True,
        help_text="Requests that another route serves; the first condition that holds decides.",
    )
    max_attempts = models.PositiveSmallIntegerField(
        default=3, validators=[MinValueValidator(1), MaxValueValidator(20)], help_text="Upstream calls for one request."
    )
    retry_on = models.JSONField(
        default=every_retryable, blank=True, help_text="Failures after which the next call is made."
    )
    deadline = models.DecimalField(
        max_digits=7,
        decimal_places=2,
        default=Decimal(600),
        validators=[MinValueValidator(Decimal("0.05")), MaxValueValidator(Decimal(86400))],
        help_text="Seconds until a provider must have begun to answer, all calls and waits together.",
    )
    cooldown = models.PositiveIntegerField(
        default=30,
        validators=[MinValueValidator(1), MaxValueValidator(3600)],
        help_text="Seconds a failing target rests.",
    )
    breaker_failures = models.PositiveIntegerField(default=5, validators=[MinValueValidator(1)])
    breaker_window = models.PositiveIntegerField(
        default=30, validators=[MinValueValidator(1), MaxValueValidator(3600)], help_text="Seconds."
    )
    enabled = models.BooleanField(default=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        super().clean()
        if problem := check_retry_on(self.retry_on):
            raise ValidationError({"retry_on": problem})
        if problem := first_problem(self.conditions):
            raise ValidationError({"conditions": problem})
        self.conditions = canonical(self.conditions)


class RouteTarget(Versioned):
    """One place a route can send to: a provider and that provider's own name of the model."""

    route = models.ForeignKey(Route, on_delete=models.CASCADE, related_name="targets")
    provider = models.ForeignKey(Provider, on_delete=models.PROTECT, related_name="targets")
    model = models.CharField(max_length=300, help_text="The provider's own name of the model.")
    tier = models.PositiveSmallIntegerField(default=0, help_text="0 first; the next when none of a tier can serve.")
    weight = models.PositiveIntegerField(default=1, validators=[MaxValueValidator(1_000_000)])
    max_concurrent = models.PositiveIntegerField(
        "at once",
        default=0,
        validators=[MaxValueValidator(1_000_000)],
        help_text="Most calls under way at once, in each server process; 0 is no limit.",
    )
    position = models.PositiveIntegerField(default=0, editable=False, help_text="Place in the route's list.")
    enabled = models.BooleanField(default=True)

    class Meta:
        ordering = ["route__name", "tier", "position", "id"]
        constraints = [models.UniqueConstraint(fields=["route", "provider", "model"], name="target_once_in_route")]

    def __str__(self) -> str:
        return f"{self.provider.name}: {self.model}"

    def clean(self) -> None:
        super().clean()
        if not self.model or any(ord(char) < 33 or char == "\x7f" for char in self.model):
            raise ValidationError({"model": "A model's name has no spaces and no control characters."})


class ModelAlias(Versioned):
    """A name that clients ask for. `*` matches any run of characters; an exact name wins, then the longest pattern."""

    class AfterRetirement(models.TextChoices):
        FORWARD = "forward", "forward to the successor"
        REFUSE = "refuse", "refuse"

    name = models.CharField(max_length=200, unique=True, help_text="Exact, or a pattern with *.")
    route = models.ForeignKey(Route, on_delete=models.PROTECT, related_name="aliases")
    display_name = models.CharField(max_length=120, blank=True)
    enabled = models.BooleanField(default=True)
    deprecated_on = models.DateTimeField(
        null=True, blank=True, help_text="From then on answers say so. Empty: at once, if anything stands below."
    )
    retires_on = models.DateTimeField(
        null=True, blank=True, help_text="From then on requests are forwarded to the successor, or refused."
    )
    successor = models.CharField(max_length=200, blank=True, help_text="The name to ask for instead.")
    deprecation_text = models.CharField(
        max_length=LONGEST_NOTE, blank=True, help_text="For the people who use the name."
    )
    after_retirement = models.CharField(max_length=10, choices=AfterRetirement.choices, default=AfterRetirement.FORWARD)

    class Meta:
        ordering = ["name"]
        verbose_name_plural = "model aliases"

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        super().clean()
        if not self.name or any(ord(char) < 33 or char == "\x7f" for char in self.name):
            raise ValidationError({"name": "A model's name has no spaces and no control characters."})
        field, problem = check_deprecation(self.deprecated_on, self.retires_on, self.successor, self.after_retirement)
        if problem:
            raise ValidationError({field: problem})
        if "*" in self.name and self.enabled:
            self._refuse_equal_pattern()

    @property
    def deprecation(self) -> Deprecation | None:
        """What stands before this name, if anything does. Without a date of its own it is deprecated since it exists."""
        if not (self.deprecated_on or self.retires_on or self.successor or self.deprecation_text):
            return None
        return Deprecation(
            since=(self.deprecated_on or self.created_at).timestamp(),
            until=self.retires_on.timestamp() if self.retires_on else None,
            successor=self.successor,
            text=self.deprecation_text,
            then=self.after_retirement,
        )

    def _refuse_equal_pattern(self) -> None:
        """Two patterns with as many literal characters that can match one name would leave the choice to chance."""
        mine = literal_length(self.name)
        for other in ModelAlias.objects.filter(name__contains="*", enabled=True).exclude(pk=self.pk):
            if literal_length(other.name) == mine and patterns_overlap(self.name, other.name):
                raise ValidationError(
                    {"name": f"As specific as {other.name!r}, which can match the same names; make one longer."}
                )
