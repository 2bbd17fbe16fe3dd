"""Orders of administrators to single targets, and what running processes say of them.

A target is a provider and that provider's own name of a model, whatever routes lead to it.
"""

from django.core.exceptions import ValidationError
from django.db import models

from accounting.models.base import Versioned
from routing.models.providers import Provider
from routing.targets import ControlConf


class TargetControl(Versioned):
    """What an administrator has ordered for a target. Part of the configuration: every process obeys within a second."""

    provider = models.ForeignKey(Provider, on_delete=models.CASCADE, related_name="controls")
    model = models.CharField(max_length=300)
    drained = models.BooleanField(default=False, help_text="No new requests until this is undone.")
    rest_until = models.DateTimeField(null=True, blank=True, help_text="No new requests until then.")
    reopened_at = models.DateTimeField(null=True, blank=True, help_text="When the breaker was last closed by hand.")

    class Meta:
        ordering = ["provider__name", "model"]
        verbose_name = "target"
        constraints = [models.UniqueConstraint(fields=["provider", "model"], name="target_control_once")]

    def __str__(self) -> str:
        return f"{self.provider.name}: {self.model}"

    def clean(self) -> None:
        super().clean()
        if not self.model or any(ord(char) < 33 or char == "\x7f" for char in self.model):
            raise ValidationError({"model": "A model's name has no spaces and no control characters."})

    def as_conf(self) -> ControlConf:
        return ControlConf(self.drained, self.rest_until, self.reopened_at)


class TargetStatus(models.Model):
    """What one process last said of one target. Observed, not configured; rows of processes that are silent go."""

    process = models.CharField(max_length=100)
    provider = models.CharField(max_length=63)
    model = models.CharField(max_length=300)
    figures = models.JSONField(default=dict)
    seen_at = models.DateTimeField(db_index=True)

    class Meta:
        verbose_name_plural = "target status"
        constraints = [models.UniqueConstraint(fields=["process", "provider", "model"], name="target_status_once")]

    def __str__(self) -> str:
        return f"{self.provider}: {self.model} in {self.process}"
