"""Versions of the routing configuration, proposals for another one, and what running processes say they serve.

Not configuration: these rows are history and observation. They are written by `routing.versions`, copy names instead of
pointing at configuration, and never move a revision.
"""

from django.db import models

from gateway_project.crypto import EncryptedJSONField

LONGEST_REASON = 500


class SealedSecret(models.Model):
    """The values of a credential that a version had, encrypted. Pictures name it by its fingerprint, a keyed hash."""

    fingerprint = models.CharField(max_length=64, unique=True)
    values = EncryptedJSONField(default=dict)
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"sealed secret {self.fingerprint[:8]}"


class ConfigPicture(models.Model):
    """The whole routing configuration at one moment, as compressed JSON without a secret; equal ones are kept once."""

    digest = models.CharField(max_length=64, unique=True)
    data = models.BinaryField()
    secrets = models.ManyToManyField(SealedSecret, related_name="pictures")

    def __str__(self) -> str:
        return f"picture {self.digest[:8]}"


class ConfigVersion(models.Model):
    """What one transaction made of the routing configuration. `number` is that of the routing revision it led to, and
    so what records call `config_revision`."""

    number = models.PositiveBigIntegerField("version", primary_key=True)
    at = models.DateTimeField(db_index=True)
    actor = models.CharField("who", max_length=254)
    actor_kind = models.CharField(max_length=10)
    source = models.CharField("from", max_length=100, blank=True)
    reason = models.CharField(max_length=LONGEST_REASON, blank=True)
    changes = models.JSONField(default=list, help_text="What changed, secrets masked: action, subject, fields.")
    more_changes = models.PositiveIntegerField(default=0, help_text="How many more than `changes` has.")
    picture = models.ForeignKey(ConfigPicture, on_delete=models.PROTECT, related_name="versions")

    class Meta:
        ordering = ["-number"]
        verbose_name = "version"

    def __str__(self) -> str:
        return f"version {self.number}"


class ConfigProposal(models.Model):
    """A change that is not applied yet: it waits for a second administrator, for its time, or for both.

    What it would do is the difference between the picture of the version it was made on and its own. The own picture
    goes, with the secrets that only it has, when the proposal is closed.
    """

    class State(models.TextChoices):
        OPEN = "open", "waits for approval"
        APPROVED = "approved", "waits for its time"
        APPLIED = "applied"
        REJECTED = "rejected"
        WITHDRAWN = "withdrawn"
        EXPIRED = "expired"
        FAILED = "failed", "could not be applied"

    state = models.CharField(max_length=10, choices=State.choices, default=State.OPEN, db_index=True)
    created_at = models.DateTimeField("made")
    author = models.CharField(max_length=254)
    author_id = models.PositiveBigIntegerField(null=True)
    source = models.CharField(max_length=100, blank=True)
    reason = models.CharField(max_length=LONGEST_REASON, blank=True)
    base = models.ForeignKey(ConfigVersion, on_delete=models.PROTECT, related_name="proposals")
    picture = models.ForeignKey(ConfigPicture, on_delete=models.PROTECT, null=True, related_name="proposals")
    changes = models.JSONField(default=list)
    more_changes = models.PositiveIntegerField(default=0)
    activate_at = models.DateTimeField("not before", null=True, blank=True, db_index=True)
    expires_at = models.DateTimeField()
    decided_by = models.CharField(max_length=254, blank=True)
    decided_at = models.DateTimeField(null=True)
    remark = models.CharField(max_length=LONGEST_REASON, blank=True)
    closed_at = models.DateTimeField(null=True)
    problem = models.TextField(blank=True)
    version = models.PositiveBigIntegerField(null=True, help_text="The version that applying it led to.")

    class Meta:
        ordering = ["-id"]
        verbose_name = "proposal"

    def __str__(self) -> str:
        return f"proposal {self.pk}"


class ProcessReport(models.Model):
    """What one running process serves, in its own words; a silent one's row goes after half a minute."""

    process = models.CharField(max_length=100, unique=True)
    host = models.CharField(max_length=63)
    pid = models.PositiveIntegerField()
    server = models.CharField(max_length=20)
    started_at = models.DateTimeField()
    version = models.BigIntegerField()
    directory = models.BigIntegerField(help_text="The revision of keys, teams and projects.")
    active = models.PositiveIntegerField(default=0, help_text="Requests that were running.")
    seen_at = models.DateTimeField(db_index=True)
    queue = models.PositiveBigIntegerField(default=0, help_text="Finished requests that are not in the database yet.")
    spool_bytes = models.PositiveBigIntegerField(default=0, help_text="Of its spool on disk.")
    jobs = models.JSONField(default=dict, help_text="How its background jobs last went, by name.")

    class Meta:
        ordering = ["version", "process"]

    def __str__(self) -> str:
        return f"{self.process} on version {self.version}"
