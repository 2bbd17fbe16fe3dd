"""What configuration tables share: a version for optimistic locks, and the revision that running processes watch."""

from django.db import models


class Versioned(models.Model):
    """Configuration that people edit. `version` grows with each change; a form that was opened on an older one is stale."""

    version = models.PositiveIntegerField(default=1, editable=False)
    created_at = models.DateTimeField(auto_now_add=True, editable=False)
    updated_at = models.DateTimeField(auto_now=True, editable=False)

    class Meta:
        abstract = True


class Revision(models.Model):
    """One row per cached picture (`directory`, `routing`, `prices`). Its number grows in the transaction that changes what the
    picture shows, so a process that polls the number never misses a change, whatever the order of commits."""

    DIRECTORY = "directory"
    ROUTING = "routing"
    PRICES = "prices"

    name = models.CharField(max_length=20, primary_key=True)
    number = models.PositiveBigIntegerField(default=0)
    changed_at = models.DateTimeField(auto_now=True)

    def __str__(self) -> str:
        return f"{self.name} {self.number}"
