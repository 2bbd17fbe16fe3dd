"""What becomes of budgets: soft limits that were reached, and requests for more."""

from django.db import models
from django.db.models import CheckConstraint, Q, UniqueConstraint
from django.utils.translation import gettext_lazy as _

from accounting.models.base import Versioned
from accounting.models.limits import Budget, validate_money
from accounting.models.money import MOST, MoneyField


class BudgetAlert(models.Model):
    """A soft limit that was reached: one row for each period and percentage, written once, whoever notices."""

    budget = models.ForeignKey(Budget, on_delete=models.CASCADE, related_name="alerts")
    period_start = models.DateTimeField()
    threshold = models.PositiveSmallIntegerField(help_text="Per cent.")
    at = models.DateTimeField()
    spent = MoneyField()
    limit = MoneyField()

    class Meta:
        ordering = ["-id"]
        constraints = [UniqueConstraint(fields=["budget", "period_start", "threshold"], name="one_alert")]

    def __str__(self) -> str:
        return f"{self.budget}: {self.threshold} %"


class BudgetRequest(Versioned):
    """Somebody asks for more than a budget has, until a moment."""

    class State(models.TextChoices):
        OPEN = "open"
        APPROVED = "approved"
        CHANGED = "changed", "approved with changes"
        REFUSED = "refused"
        EXPIRED = "expired"
        WITHDRAWN = "withdrawn"

    budget = models.ForeignKey(Budget, on_delete=models.CASCADE, related_name="requests")
    amount = MoneyField(validators=[validate_money], help_text="Dollars on top of the budget.")
    until = models.DateTimeField()
    reason = models.CharField(max_length=500)
    asked_by = models.CharField(max_length=254, editable=False)
    state = models.CharField(max_length=10, choices=State.choices, default=State.OPEN, editable=False)
    decided_by = models.CharField(max_length=254, blank=True, editable=False)
    decided_at = models.DateTimeField(null=True, blank=True, editable=False)
    decided_amount = MoneyField(null=True, blank=True, validators=[validate_money])
    decided_until = models.DateTimeField(null=True, blank=True)
    comment = models.CharField(max_length=500, blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            CheckConstraint(condition=Q(amount__gt=0, amount__lte=MOST), name="budget_request_amount"),
            UniqueConstraint(
                fields=["budget", "asked_by"],
                condition=Q(state="open"),
                name="one_open_request",
                violation_error_message=_(
                    "You have asked for more of this budget already; withdraw that request first."
                ),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.asked_by} for {self.budget}"
