"""Limits: budgets, rate limits, what the organization has chosen; alerts that were raised; requests for more.

Which scope a row is for stands in `scope`; the column of that name points to it (none for the organization). Database
constraints repeat what the forms check, because a limit that is not a number stops nothing.
"""

from decimal import Decimal
from typing import Any

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import CheckConstraint, Q, UniqueConstraint
from django.utils import formats
from django.utils.translation import gettext_lazy as _

from accounting.limits.periods import PERIODS
from accounting.limits.terms import RATE_KINDS, SCOPES
from accounting.models.base import Versioned
from accounting.models.keys import VirtualKey
from accounting.models.money import MOST, MoneyField
from accounting.models.people import Project, Team, User, validate_timezone
from accounting.models.validators import validate_patterns

MOST_PERCENT = 1000
MOST_RATE = 10**15
_OWNERS = ("team", "project", "user", "key")


def validate_percentages(value: Any) -> None:
    """Whole percentages, each once: `[50, 80]`."""
    whole = isinstance(value, list) and all(isinstance(each, int) and not isinstance(each, bool) for each in value)
    if not whole or any(not 0 < each <= MOST_PERCENT for each in value):
        raise ValidationError(
            _("Soft limits are whole percentages from 1 to %(most)s, such as [50, 80].") % {"most": MOST_PERCENT}
        )
    if len(set(value)) != len(value) or len(value) > 20:
        raise ValidationError(_("Give each percentage once, and at most 20 of them."))


def validate_pattern(value: str) -> None:
    validate_patterns([value])


def validate_tag(value: str) -> None:
    name, equals, _text = value.partition("=")
    if not equals or not name or len(name) > 63:
        raise ValidationError(_("A tag is written as name=value, such as cost_center=4711."))


def validate_money(value: Any) -> None:
    if not isinstance(value, Decimal) or not value.is_finite():
        raise ValidationError(_("This is not an amount of dollars."))
    if not 0 < value <= MOST:
        raise ValidationError(_("An amount is more than 0 and at most %(most)s dollars.") % {"most": _grouped(MOST)})


def _grouped(value: Decimal | int) -> str:
    return formats.number_format(value, 0, force_grouping=True)


class Scoped(Versioned):
    """What a limit is for: one of organization, team, project, user, key; narrowed by a pattern of models, by a tag."""

    scope = models.CharField(max_length=12, choices=[(name, name) for name in SCOPES])
    team = models.ForeignKey(Team, null=True, blank=True, on_delete=models.CASCADE)
    project = models.ForeignKey(Project, null=True, blank=True, on_delete=models.CASCADE)
    user = models.ForeignKey(User, null=True, blank=True, on_delete=models.CASCADE)
    key = models.ForeignKey(VirtualKey, null=True, blank=True, on_delete=models.CASCADE)
    model = models.CharField(
        max_length=200,
        blank=True,
        validators=[validate_pattern],
        help_text="A pattern of models, such as claude-opus-*; empty for all.",
    )
    tag = models.CharField(
        max_length=264, blank=True, validators=[validate_tag], help_text="Of keys, as name=value; empty for all."
    )
    enabled = models.BooleanField(default=True)

    class Meta:
        abstract = True

    def clean(self) -> None:
        super().clean()
        self.model = "" if self.model.strip("*") == "" else self.model  # a pattern that fits everything is none
        for name in _OWNERS:
            given = getattr(self, f"{name}_id") is not None
            if given and name != self.scope:
                raise ValidationError({name: f"Leave this out: the limit is for the {self.scope or 'scope'} chosen."})
            if not given and name == self.scope:
                raise ValidationError({name: f"Which {name} is this limit for?"})

    @property
    def owner(self) -> Team | Project | User | VirtualKey | None:
        """What the limit is for; None for the organization."""
        found: Team | Project | User | VirtualKey | None = getattr(self, self.scope) if self.scope in _OWNERS else None
        return found

    @property
    def owning_team(self) -> Team | None:
        """The team that the limit belongs to; none for the organization's and a user's."""
        if self.scope == "project" and self.project:
            return self.project.team
        if self.scope == "key" and self.key:
            return self.key.project.team
        return self.team

    def where(self) -> str:
        """`team platform`, `key platform/default/ci`, with what narrows it."""
        narrowed = [self.model, self.tag]
        return " ".join([self.scope, *([scope_name(self.owner)] if self.owner else []), *filter(None, narrowed)])


def scope_name(owner: Team | Project | User | VirtualKey) -> str:
    """`platform`, `platform/default`, `platform/default/ci`, `ada@example.org`."""
    if isinstance(owner, User):
        return owner.email
    if isinstance(owner, VirtualKey):
        return f"{scope_name(owner.project)}/{owner.name}"
    return f"{owner.team.name}/{owner.name}" if isinstance(owner, Project) else owner.name


def _scope_rules(name: str) -> list[CheckConstraint]:
    """Exactly the column that `scope` names is filled."""
    cases = Q()
    for scope in SCOPES:
        cases |= Q(scope=scope, **{f"{owner}__isnull": owner != scope for owner in _OWNERS})
    return [CheckConstraint(condition=cases, name=f"{name}_scope")]


_THERE_IS_ONE = {
    "budget": _("There is such a budget already; change that one."),
    "rate_limit": _("There is such a rate limit already; change that one."),
}


def _once(name: str, *fields: str) -> list[UniqueConstraint]:
    """One row of a kind within each owner."""
    return [
        UniqueConstraint(
            fields=[*([scope] if scope in _OWNERS else []), *fields, "model", "tag"],
            condition=Q(scope=scope),
            name=f"{name}_of_{scope}",
            violation_error_message=_THERE_IS_ONE[name],
        )
        for scope in SCOPES
    ]


class Budget(Scoped):
    """So many dollars in each period. What was spent is counted by this row's id: a changed amount keeps it."""

    period = models.CharField(max_length=8, choices=[(name, name) for name in PERIODS])
    amount = MoneyField(validators=[validate_money], help_text="Dollars.")
    soft = models.JSONField(
        "soft limits",
        default=list,
        blank=True,
        validators=[validate_percentages],
        help_text="Percentages; each raises one alert in a period.",
    )
    hard = models.BooleanField(default=True, help_text="Whether requests are stopped when it is used up.")
    carry_over = models.BooleanField(
        default=False, help_text="What is left of a period is added to the next one, one amount at most."
    )
    raise_amount = MoneyField(
        null=True, blank=True, validators=[validate_money], help_text="Added until the end below."
    )
    raise_until = models.DateTimeField(null=True, blank=True)
    raise_reason = models.CharField(max_length=500, blank=True)

    class Meta:
        ordering = ["scope", "id"]
        constraints = [
            *_scope_rules("budget"),
            *_once("budget", "period"),
            CheckConstraint(condition=Q(amount__gt=0, amount__lte=MOST), name="budget_amount"),
            CheckConstraint(condition=Q(period__in=PERIODS), name="budget_period"),
            CheckConstraint(
                condition=Q(raise_amount__isnull=True, raise_until__isnull=True)
                | Q(raise_amount__isnull=False, raise_amount__gt=0, raise_amount__lte=MOST, raise_until__isnull=False),
                name="budget_raise",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.where()}: {self.period}"

    def clean(self) -> None:
        super().clean()
        if (self.raise_amount is None) != (self.raise_until is None):
            name = "raise_amount" if self.raise_amount is None else "raise_until"
            raise ValidationError({name: _("A raise has an amount and an end.")})
        if self.raise_amount is not None and not self.raise_reason.strip():
            raise ValidationError({"raise_reason": _("Say why the budget is raised.")})
        if self.carry_over and self.period == "total":
            raise ValidationError({"carry_over": _("A total has no next period to carry anything into.")})


class RateLimit(Scoped):
    """So many in any sixty seconds, or so many at a time."""

    kind = models.CharField(max_length=25, choices=[(name, name.replace("_", " ")) for name in RATE_KINDS])
    amount = models.PositiveBigIntegerField()

    class Meta:
        ordering = ["scope", "id"]
        constraints = [
            *_scope_rules("rate_limit"),
            *_once("rate_limit", "kind"),
            CheckConstraint(condition=Q(amount__gte=1, amount__lte=MOST_RATE), name="rate_limit_amount"),
            CheckConstraint(condition=Q(kind__in=RATE_KINDS), name="rate_limit_kind"),
        ]

    def __str__(self) -> str:
        return f"{self.where()}: {self.get_kind_display()}"

    def clean(self) -> None:
        super().clean()
        if self.amount is not None and not 1 <= self.amount <= MOST_RATE:
            text = _("A limit is a whole number from 1 to %(most)s.") % {"most": _grouped(MOST_RATE)}
            raise ValidationError({"amount": text})


class OrganizationSettings(Versioned):
    """What holds for all limits. One row at most; none means the defaults."""

    class OnLoss(models.TextChoices):
        CLOSED = "closed", "closed: refuse with 503"
        OPEN = "open", "open: each process serves its share"

    class Reservation(models.TextChoices):
        TYPICAL = "typical", "typical: by what the caller's latest answers had"
        STRICT = "strict", "strict: the full max_tokens"

    only = models.BooleanField(default=True, unique=True, editable=False)
    timezone = models.CharField(
        "time zone",
        max_length=63,
        default="UTC",
        validators=[validate_timezone],
        help_text="Of the organization's budgets.",
    )
    fiscal_start_month = models.PositiveSmallIntegerField(default=1, help_text="1 to 12; quarters begin with it.")
    on_counter_loss = models.CharField(
        max_length=6, choices=OnLoss.choices, default=OnLoss.CLOSED, help_text="While Redis is away."
    )
    reservation = models.CharField(
        max_length=7,
        choices=Reservation.choices,
        default=Reservation.TYPICAL,
        help_text="How much of max_tokens is reserved.",
    )

    class Meta:
        verbose_name = "organization"
        verbose_name_plural = "organization"
        constraints = [
            CheckConstraint(
                condition=Q(fiscal_start_month__gte=1, fiscal_start_month__lte=12), name="organization_month"
            ),
            CheckConstraint(condition=Q(only=True), name="organization_once"),
        ]

    def __str__(self) -> str:
        return "organization"

    def clean(self) -> None:
        super().clean()
        if self.fiscal_start_month is not None and not 1 <= self.fiscal_start_month <= 12:
            raise ValidationError({"fiscal_start_month": "A month is a number from 1 to 12."})
