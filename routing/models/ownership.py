"""Whose the message batches and files are that providers keep for this gateway's callers.

All callers share a provider's account, so the provider cannot tell them apart: these rows do. Not configuration: rows copy
names, as records do, and are written by the gateway itself (`routing.proxy.passthrough`).
"""

from django.db import models

OWNERSHIP = "ownership"  # the name of the `Revision` that running processes watch


class KeptUpstream(models.Model):
    """One batch or file at a provider. It belongs to `team`; project, key and user are who made it.

    The row is there before the provider is asked, without an id. `number` is that of the revision which last changed the
    row: with it, running processes read only what is new. `priced_at` is when the usage of a batch was put on record;
    `aliases` are the names that its requests asked for, by the provider's names of them.
    """

    class Kind(models.TextChoices):
        BATCH = "batch"
        FILE = "file"

    class State(models.TextChoices):
        ASKED = "asked", "asked for; the provider's answer is not known"
        KEPT = "kept"
        ENDED = "ended", "ended (a batch)"
        DELETED = "deleted"

    kind = models.CharField(max_length=10, choices=Kind.choices)
    upstream_id = models.CharField(max_length=200, null=True)
    provider = models.CharField(max_length=63)
    team = models.CharField(max_length=63)
    project = models.CharField(max_length=63)
    key = models.CharField(max_length=63)
    key_prefix = models.CharField(max_length=20)
    user = models.CharField(max_length=254, blank=True)
    aliases = models.JSONField(default=dict)
    state = models.CharField(max_length=10, choices=State.choices, default=State.ASKED)
    created_at = models.DateTimeField(auto_now_add=True)
    priced_at = models.DateTimeField(null=True)
    number = models.PositiveBigIntegerField(default=0, db_index=True)

    class Meta:
        ordering = ["-id"]
        verbose_name_plural = "kept upstream"
        constraints = [models.UniqueConstraint(fields=["kind", "upstream_id"], name="kept_upstream_once")]

    def __str__(self) -> str:
        return f"{self.kind} {self.upstream_id or '?'} of {self.team}"
