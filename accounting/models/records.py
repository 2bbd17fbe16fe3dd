"""What happened: one RequestRecord per request, one AuditEvent per change of configuration.

Both are append-only and copy names instead of pointing at configuration: deleting a route changes no history.
"""

from django.db import models

from accounting.models.money import MoneyField


class RequestRecord(models.Model):
    """One request, whatever became of it. The field names are those of the REST API (docs/api.md).

    Token kinds are disjoint counts as the upstream reported them; `ttft_ms` and `duration_ms` are milliseconds since the
    gateway had the request's head. `attempts` lists the upstream calls in order:
    `{"provider", "model", "status", "error", "duration_ms"}`. `switched_from` is the target ("provider/model") that served
    the session before, if this one is another; `switch_tokens` counts the cached tokens that were probably left there.
    """

    class Outcome(models.TextChoices):
        SERVED = "served"
        REFUSED = "refused"
        UPSTREAM_ERROR = "upstream_error", "upstream error"
        CLIENT_LEFT = "client_left", "client left"
        SHUT_DOWN = "shut_down", "shut down"

    request_id = models.CharField(max_length=40, unique=True)
    started_at = models.DateTimeField()
    client_format = models.CharField(max_length=10)
    operation = models.CharField(max_length=20)
    stream = models.BooleanField(default=False)

    team = models.CharField(max_length=63, blank=True)
    project = models.CharField(max_length=63, blank=True)
    key = models.CharField(max_length=63, blank=True)
    key_prefix = models.CharField(max_length=20, blank=True)
    user = models.CharField(max_length=254, blank=True)
    session_id = models.CharField(max_length=200, blank=True)
    agent_id = models.CharField(max_length=200, blank=True)
    parent_agent_id = models.CharField(max_length=200, blank=True)
    client_ip = models.CharField(max_length=45, blank=True)
    user_agent = models.CharField(max_length=300, blank=True)

    alias = models.CharField(max_length=300, blank=True)
    route = models.CharField(max_length=63, blank=True)
    provider = models.CharField(max_length=63, blank=True)
    upstream_model = models.CharField(max_length=300, blank=True)
    upstream_request_id = models.CharField(max_length=200, blank=True)
    attempts = models.JSONField(default=list)
    betas_removed = models.JSONField(default=list)
    fields_removed = models.JSONField(default=list)
    switched_from = models.CharField(max_length=370, blank=True, default="")
    switch_tokens = models.PositiveBigIntegerField(default=0)
    config_revision = models.PositiveBigIntegerField(default=0)

    status = models.PositiveSmallIntegerField()
    outcome = models.CharField(max_length=15, choices=Outcome.choices)
    reason = models.CharField(max_length=200, blank=True)
    error_type = models.CharField(max_length=80, blank=True)
    error_message = models.TextField(blank=True)

    tokens_input = models.PositiveBigIntegerField(default=0)
    tokens_output = models.PositiveBigIntegerField(default=0)
    tokens_cache_read = models.PositiveBigIntegerField(default=0)
    tokens_cache_write_5m = models.PositiveBigIntegerField(default=0)
    tokens_cache_write_1h = models.PositiveBigIntegerField(default=0)
    web_searches = models.PositiveIntegerField(default=0)
    estimated = models.BooleanField(default=False)
    cost_usd = MoneyField(default=0)
    price = models.JSONField(null=True, help_text="The price row's id and the unit prices used.")
    tags = models.JSONField(default=dict, help_text="The key's, as they were.")
    resend_of = models.CharField(
        max_length=40, blank=True, help_text="The request whose stream failed and that the client sent once more."
    )

    ttft_ms = models.FloatField(null=True)
    duration_ms = models.FloatField()

    class Meta:
        ordering = ["-started_at", "-id"]
        indexes = [
            models.Index(fields=["-started_at", "-id"], name="record_newest"),
            models.Index(fields=["team", "-started_at", "-id"], name="record_team_newest"),
            models.Index(fields=["session_id", "-started_at"], name="record_session"),
            models.Index(fields=["key_prefix", "-started_at"], name="record_key"),
        ]

    def __str__(self) -> str:
        return self.request_id


class AuditEvent(models.Model):
    """One change of configuration: who, what, before and after (secrets masked), from where. Never edited."""

    at = models.DateTimeField(auto_now_add=True, db_index=True)
    actor = models.CharField(max_length=254, help_text="An e-mail address, a token's name, or the name of a command.")
    actor_kind = models.CharField(max_length=10, help_text="user, token, command or system")
    source = models.CharField(max_length=100, blank=True, help_text="The address or the door it came through.")
    action = models.CharField(max_length=30)
    object_type = models.CharField(max_length=40, db_index=True)
    object_id = models.CharField(max_length=40, blank=True)
    object_name = models.CharField(max_length=300)
    object_version = models.PositiveIntegerField(null=True, blank=True, help_text="The object's version from then on.")
    team = models.CharField(max_length=63, blank=True, db_index=True)
    changes = models.JSONField(default=dict, help_text="field → [before, after]")

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["team", "-id"], name="event_team_newest"),
            models.Index(fields=["object_type", "object_id", "-id"], name="event_object"),
        ]

    def __str__(self) -> str:
        return f"{self.actor} {self.action} {self.object_type} {self.object_name}"
