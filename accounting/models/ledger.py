"""The ledger: what each model call used and cost, and what was corrected later. Rows are added and never changed."""

from django.core.exceptions import ValidationError
from django.db import models

from accounting.models.money import MoneyField

ADJUSTMENT = "adjustment"


class LedgerEntry(models.Model):
    """One line of a request: one model call, at one price. `at` is when the request started.

    An adjustment corrects the cost of another line of the same request, `adjusts`; it has no tokens of its own, the moment
    and the names of the line that it corrects, and says in `reason`, `actor` and `posted_at` why, by whom and when.
    """

    class Kind(models.TextChoices):
        USAGE = "usage"
        FAILED = "failed"
        COMPACTION = "compaction"
        ADVISOR = "advisor"
        FALLBACK = "fallback"
        ADJUSTMENT = ADJUSTMENT

    request_id = models.CharField(max_length=40)
    number = models.PositiveIntegerField()
    kind = models.CharField(max_length=20)
    attempt = models.PositiveSmallIntegerField(default=0)
    at = models.DateTimeField()

    team = models.CharField(max_length=63, blank=True)
    project = models.CharField(max_length=63, blank=True)
    key = models.CharField(max_length=63, blank=True)
    key_prefix = models.CharField(max_length=20, blank=True)
    user = models.CharField(max_length=254, blank=True)
    session_id = models.CharField(max_length=200, blank=True)
    alias = models.CharField(max_length=300, blank=True)
    provider = models.CharField(max_length=63, blank=True)
    model = models.CharField(max_length=300, blank=True)
    tags = models.JSONField(default=dict)

    tokens_input = models.PositiveBigIntegerField(default=0)
    tokens_output = models.PositiveBigIntegerField(default=0)
    tokens_cache_read = models.PositiveBigIntegerField(default=0)
    tokens_cache_write_5m = models.PositiveBigIntegerField(default=0)
    tokens_cache_write_1h = models.PositiveBigIntegerField(default=0)
    web_searches = models.PositiveIntegerField(default=0)
    cost_usd = MoneyField(default=0)
    price = models.JSONField(null=True, help_text="The price row's id and the unit prices used.")
    estimated = models.BooleanField(default=False)

    adjusts = models.PositiveIntegerField(null=True, blank=True, help_text="The number of the line that this corrects.")
    rerating = models.ForeignKey(
        "Rerating", null=True, blank=True, on_delete=models.PROTECT, related_name="entries", db_index=False
    )
    reason = models.CharField(max_length=200, blank=True)
    actor = models.CharField(max_length=254, blank=True)
    posted_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-at", "-id"]
        verbose_name_plural = "ledger entries"
        constraints = [models.UniqueConstraint(fields=["request_id", "number"], name="ledger_line")]
        indexes = [
            models.Index(fields=["-at", "-id"], name="ledger_newest"),
            models.Index(fields=["team", "-at", "-id"], name="ledger_team_newest"),
            models.Index(fields=["-at", "-id"], name="ledger_adjustments", condition=models.Q(kind=ADJUSTMENT)),
        ]

    def __str__(self) -> str:
        return f"{self.request_id} line {self.number}"


class Rerating(models.Model):
    """One run that put other prices to a period: the period, who ran it and why, and what it came to."""

    since = models.DateTimeField()
    until = models.DateTimeField()
    provider = models.CharField(max_length=63, blank=True)
    model = models.CharField(max_length=300, blank=True)
    reason = models.CharField(max_length=200)
    actor = models.CharField(max_length=254)
    started_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    lines = models.PositiveBigIntegerField(default=0, help_text="How many lines were adjusted.")
    difference_usd = MoneyField(default=0)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"re-rating {self.since:%Y-%m-%d %H:%M} to {self.until:%Y-%m-%d %H:%M}"

    def clean(self) -> None:
        super().clean()
        if self.since and self.until and self.since >= self.until:
            raise ValidationError({"until": "The period ends before it begins."})
