"""The compatibility registry's tables: an administrator's rules, what upstreams refused, what was left out how often."""

from datetime import date
from typing import Any

from django.core.exceptions import ValidationError
from django.db import models
from django.utils import timezone

from accounting.models.base import Versioned
from routing.conf import literal_length, patterns_overlap
from routing.formats.compat import ANY, RENAME, Rule, problem_of

LONGEST_NAME = 200
LONGEST_MODEL = 300
MOST_PAIRS = 50


class Kind(models.TextChoices):
    BETA = "beta", "beta value"
    FIELD = "field", "field of the body"


class UpstreamFormat(models.TextChoices):
    ANY = "*", "any format"
    ANTHROPIC = "anthropic", "Anthropic Messages"
    BEDROCK = "bedrock", "Bedrock InvokeModel"
    VERTEX = "vertex", "Vertex rawPredict"


def today() -> date:
    return timezone.now().date()


class CompatibilityRule(Versioned):
    """An administrator's rule. It overrides the shipped one of the same name, and counts between equal formats too."""

    class Action(models.TextChoices):
        PASS = "pass", "pass: it goes along"
        RENAME = "rename", "rename: it goes along under another name"
        DROP = "drop", "drop: it is left out, the request goes on"
        REFUSE = "refuse", "refuse: the upstream does not get the request"

    kind = models.CharField(max_length=10, choices=Kind.choices, default=Kind.BETA)
    name = models.CharField(
        max_length=LONGEST_NAME,
        help_text="Exact, or a pattern with *. A field as the registry spells it, such as speed or cache_control.scope.",
    )
    upstream_format = models.CharField(
        "upstream", max_length=10, choices=UpstreamFormat.choices, default=UpstreamFormat.BEDROCK
    )
    model = models.CharField(
        "models", max_length=LONGEST_MODEL, default=ANY, help_text="A pattern of the upstream's own names; * is all."
    )
    action = models.CharField(max_length=10, choices=Action.choices, default=Action.DROP)
    replacement = models.CharField(
        max_length=LONGEST_NAME,
        blank=True,
        help_text="For rename. A beta's other name; for a field header:NAME, beta:VALUE, cache_control:last-block or "
        "role:user.",
    )
    pair = models.JSONField(
        default=list,
        blank=True,
        help_text="One on each line. For a beta: fields of the body that go when it goes. For a field that passes: betas "
        "of which one must go with it.",
    )
    note = models.CharField(max_length=500, blank=True)
    source = models.CharField(max_length=200, blank=True, help_text="From where this is known.")
    date = models.DateField("known since", default=today)
    enabled = models.BooleanField(default=True)

    class Meta:
        ordering = ["kind", "name", "upstream_format", "model"]
        constraints = [
            models.UniqueConstraint(
                fields=["kind", "name", "upstream_format", "model"],
                name="compatibility_rule_once",
                violation_error_message="There is a rule for this name, upstream and models already; change that one.",
            )
        ]

    def __str__(self) -> str:
        return f"{self.name} to {self.upstream_format if self.upstream_format != ANY else 'any upstream'}"

    def as_rule(self) -> Rule:
        """The rule as the registry takes it."""
        return Rule(
            kind=self.kind,
            name=self.name,
            upstream_format=self.upstream_format,
            action=self.action,
            model=self.model,
            replacement=self.replacement,
            pair=tuple(self.pair),
            note=self.note,
            source=self.source,
            date=str(self.date or ""),
        )

    def clean(self) -> None:
        super().clean()
        if problem := _pair_problem(self.pair):
            raise ValidationError({"pair": problem})
        for name in ("name", "model", "replacement"):
            if any(ord(char) < 33 or char == "\x7f" for char in getattr(self, name)):
                raise ValidationError({name: "No spaces and no control characters here."})
        if self.replacement and self.action != RENAME:
            raise ValidationError({"replacement": "Only a rule that renames has a replacement; leave it empty."})
        if "*" in self.replacement:
            raise ValidationError({"replacement": "A replacement is one name, not a pattern."})
        if problem := problem_of(self.as_rule()):
            raise ValidationError(problem)
        if self.enabled:
            self._refuse_equal_pattern()

    def _refuse_equal_pattern(self) -> None:
        """Two rules that can fit one value and are equally specific would leave the choice to chance."""
        others = CompatibilityRule.objects.filter(
            kind=self.kind, upstream_format=self.upstream_format, enabled=True
        ).exclude(pk=self.pk)
        for other in others:
            if (other.name, other.model) == (self.name, self.model):
                continue  # the constraint says it
            same_kind = ("*" in self.name) == ("*" in other.name)
            if same_kind and _as_specific(self.name, other.name) and _as_specific(self.model, other.model):
                raise ValidationError(
                    f"As specific as the rule for {other.name} and the models {other.model}, which can fit the same "
                    "requests; make one longer."
                )


def _as_specific(one: str, two: str) -> bool:
    return literal_length(one) == literal_length(two) and patterns_overlap(one, two)


def _pair_problem(value: Any) -> str:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        return "This is a list of names."
    if len(value) > MOST_PAIRS or any(len(item) > LONGEST_NAME for item in value):
        return f"At most {MOST_PAIRS} names of at most {LONGEST_NAME} characters."
    if any(not item or any(ord(char) < 33 or char in ",\x7f" for char in item) for item in value):
        return "A name has no space and no comma; write one on each line."
    return ""


class CompatibilitySuggestion(models.Model):
    """A beta that an upstream has refused, in its own words (account details removed), until an administrator decides."""

    class State(models.TextChoices):
        OPEN = "open"
        ACCEPTED = "accepted"
        DISMISSED = "dismissed"

    kind = models.CharField(max_length=10, choices=Kind.choices, default=Kind.BETA)
    name = models.CharField(max_length=LONGEST_NAME)
    upstream_format = models.CharField(max_length=10)
    model = models.CharField(max_length=LONGEST_MODEL)
    words = models.TextField(blank=True)
    count = models.PositiveBigIntegerField(default=0)
    first_seen = models.DateTimeField()
    last_seen = models.DateTimeField()
    state = models.CharField(max_length=10, choices=State.choices, default=State.OPEN, db_index=True)

    class Meta:
        ordering = ["-last_seen", "-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["kind", "name", "upstream_format", "model"], name="compatibility_suggestion_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.name} to {self.upstream_format}"


class CompatibilityCount(models.Model):
    """How often a value was left out of requests to a model of an upstream format."""

    kind = models.CharField(max_length=10, choices=Kind.choices)
    name = models.CharField(max_length=LONGEST_NAME)
    upstream_format = models.CharField(max_length=10)
    model = models.CharField(max_length=LONGEST_MODEL)
    count = models.PositiveBigIntegerField(default=0)
    first_seen = models.DateTimeField()
    last_seen = models.DateTimeField()

    class Meta:
        ordering = ["kind", "name", "upstream_format", "model"]
        constraints = [
            models.UniqueConstraint(
                fields=["kind", "name", "upstream_format", "model"], name="compatibility_count_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.name} to {self.upstream_format}: {self.count}"
