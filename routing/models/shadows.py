"""Draft routes that are evaluated beside live ones, and what they would have done."""

from django.core.exceptions import ValidationError
from django.db import models

from accounting.models.base import Versioned
from accounting.models.money import MoneyField
from routing.models.routes import Route


class Shadow(Versioned):
    """A draft is asked, for every request that a live route serves, where it would have sent it. It never sends any."""

    live = models.ForeignKey(
        Route, on_delete=models.CASCADE, related_name="shadows", help_text="The route that serves."
    )
    draft = models.ForeignKey(
        Route, on_delete=models.CASCADE, related_name="drafted", help_text="The route that is only asked."
    )
    until = models.DateTimeField(help_text="UTC. It is asked no more after that.")
    enabled = models.BooleanField(default=True)

    class Meta:
        ordering = ["-enabled", "live__name", "-id"]
        verbose_name = "draft"
        constraints = [
            models.UniqueConstraint(fields=["live"], condition=models.Q(enabled=True), name="one_shadow_of_a_route")
        ]

    def __str__(self) -> str:
        return f"{self.draft.name} beside {self.live.name}"

    def clean(self) -> None:
        super().clean()
        if self.live_id is not None and self.live_id == self.draft_id:
            raise ValidationError({"draft": "A route beside itself would show nothing; choose another one."})
        others = Shadow.objects.filter(live_id=self.live_id, enabled=True).exclude(pk=self.pk)
        if self.enabled and self.live_id is not None and others.exists():
            raise ValidationError({"live": "A draft is evaluated beside this route already; end that one first."})
        if self.enabled and self.draft_id is not None and not self.draft.enabled:
            raise ValidationError({"draft": "This route is disabled and can be asked nothing; enable it first."})


class ShadowCount(models.Model):
    """Requests that went to one target, and where the draft would have sent them. Observed, not configured.

    `draft_reason` is why the draft would have refused; then its target is empty. Costs are of the same usage at the prices
    of the one and of the other target.
    """

    shadow = models.ForeignKey(Shadow, on_delete=models.CASCADE, related_name="counts")
    team = models.CharField(max_length=63, blank=True)
    live_provider = models.CharField(max_length=63, blank=True)
    live_model = models.CharField(max_length=300, blank=True)
    draft_provider = models.CharField(max_length=63, blank=True)
    draft_model = models.CharField(max_length=300, blank=True)
    draft_reason = models.CharField(max_length=60, blank=True)
    requests = models.PositiveBigIntegerField(default=0)
    live_cost = MoneyField(default=0)
    draft_cost = MoneyField(default=0)
    last_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=[
                    "shadow", "team", "live_provider", "live_model", "draft_provider", "draft_model", "draft_reason",
                ],
                name="shadow_count_once",
            )
        ]  # fmt: skip

    def __str__(self) -> str:
        return f"{self.requests} of {self.live_provider}: {self.live_model}"
