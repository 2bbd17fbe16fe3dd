"""Roll-ups: what was used in each hour, day and month, from which pages and the usage API read.

Facts are kept apart from names: a row counts for a `UsageDimension`, whose id is made from the names alone. Every sum can be
computed again from records and ledger (`rebuild_rollups`), and proved (`check_ledger`).
"""

from django.db import models

from accounting.models.money import MoneyField

# Upper bounds of the histogram of times to the first byte, in milliseconds; what is above the last has no column.
TTFT_BOUNDS = (100, 200, 400, 700, 1000, 1500, 2500, 5000, 10_000, 20_000, 60_000)


class UsageDimension(models.Model):
    """Names that usage is counted by. For totals, those without a key, a person and tags, the other columns are empty."""

    id = models.UUIDField(primary_key=True, editable=False)
    team = models.CharField(max_length=63)
    project = models.CharField(max_length=63)
    key = models.CharField(max_length=63)
    key_prefix = models.CharField(max_length=20)
    user = models.CharField(max_length=254)
    alias = models.CharField(max_length=300)
    provider = models.CharField(max_length=63)
    model = models.CharField(max_length=300)
    tags = models.JSONField(default=dict)

    class Meta:
        indexes = [
            models.Index(fields=["team"], name="dimension_team"),
            models.Index(fields=["key_prefix"], name="dimension_key"),
        ]

    def __str__(self) -> str:
        return " / ".join(name for name in (self.team, self.project, self.key, self.alias) if name)


class Measures(models.Model):
    """What is summed. Tokens and money are those of ledger lines, at the line's provider and model; requests are counted
    once, at the record's own. `errors` are requests that ended as `upstream_error` or `shut_down`."""

    requests = models.IntegerField()
    errors = models.IntegerField()
    refused = models.IntegerField()
    estimated = models.IntegerField()
    tokens_input = models.BigIntegerField()
    tokens_output = models.BigIntegerField()
    tokens_cache_read = models.BigIntegerField()
    tokens_cache_write_5m = models.BigIntegerField()
    tokens_cache_write_1h = models.BigIntegerField()
    web_searches = models.BigIntegerField()
    cost_usd = MoneyField(help_text="As recorded.")
    adjustment_usd = MoneyField(help_text="What adjustments added or took away.")
    ttft_count = models.IntegerField()
    ttft_us = models.BigIntegerField(help_text="The sum, in microseconds.")
    ttft_100 = models.IntegerField()
    ttft_200 = models.IntegerField()
    ttft_400 = models.IntegerField()
    ttft_700 = models.IntegerField()
    ttft_1000 = models.IntegerField()
    ttft_1500 = models.IntegerField()
    ttft_2500 = models.IntegerField()
    ttft_5000 = models.IntegerField()
    ttft_10000 = models.IntegerField()
    ttft_20000 = models.IntegerField()
    ttft_60000 = models.IntegerField()

    class Meta:
        abstract = True


class _Facts(Measures):
    """By time first: what is stored now goes to the newest pages of an index, which are few, however many years there are."""

    dimension = models.ForeignKey(
        UsageDimension, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )
    bucket = models.DateTimeField(help_text="When the hour, the day or the month begins, UTC.")

    class Meta:
        abstract = True


class HourlyUsage(_Facts):
    pk = models.CompositePrimaryKey("bucket", "dimension_id")

    class Meta:
        indexes = [
            models.Index(fields=["bucket"], name="hourly_usage_bucket"),
            models.Index(fields=["dimension", "bucket"], name="hourly_usage_dimension"),
        ]

    def __str__(self) -> str:
        return f"{self.bucket:%Y-%m-%d %H:00}"


class DailyUsage(_Facts):
    pk = models.CompositePrimaryKey("bucket", "dimension_id")

    class Meta:
        indexes = [
            models.Index(fields=["bucket"], name="daily_usage_bucket"),
            models.Index(fields=["dimension", "bucket"], name="daily_usage_dimension"),
        ]

    def __str__(self) -> str:
        return f"{self.bucket:%Y-%m-%d}"


class MonthlyUsage(_Facts):
    """Its counts are wider than those of hours and days: at 830 requests a second, a month has two thousand million."""

    pk = models.CompositePrimaryKey("bucket", "dimension_id")
    requests = models.BigIntegerField()
    errors = models.BigIntegerField()
    refused = models.BigIntegerField()
    estimated = models.BigIntegerField()
    ttft_count = models.BigIntegerField()
    ttft_100 = models.BigIntegerField()
    ttft_200 = models.BigIntegerField()
    ttft_400 = models.BigIntegerField()
    ttft_700 = models.BigIntegerField()
    ttft_1000 = models.BigIntegerField()
    ttft_1500 = models.BigIntegerField()
    ttft_2500 = models.BigIntegerField()
    ttft_5000 = models.BigIntegerField()
    ttft_10000 = models.BigIntegerField()
    ttft_20000 = models.BigIntegerField()
    ttft_60000 = models.BigIntegerField()

    class Meta:
        indexes = [
            models.Index(fields=["bucket"], name="monthly_usage_bucket"),
            models.Index(fields=["dimension", "bucket"], name="monthly_usage_dimension"),
        ]

    def __str__(self) -> str:
        return f"{self.bucket:%Y-%m}"


class HourlyTotals(_Facts):
    """By team, project, alias, provider and model only: fewer rows for long periods."""

    pk = models.CompositePrimaryKey("bucket", "dimension_id")

    class Meta:
        indexes = [
            models.Index(fields=["bucket"], name="hourly_totals_bucket"),
            models.Index(fields=["dimension", "bucket"], name="hourly_totals_dimension"),
        ]

    def __str__(self) -> str:
        return f"{self.bucket:%Y-%m-%d %H:00}"


class DailyTotals(_Facts):
    """By team, project, alias, provider and model only: fewer rows for long periods."""

    pk = models.CompositePrimaryKey("bucket", "dimension_id")

    class Meta:
        indexes = [
            models.Index(fields=["bucket"], name="daily_totals_bucket"),
            models.Index(fields=["dimension", "bucket"], name="daily_totals_dimension"),
        ]

    def __str__(self) -> str:
        return f"{self.bucket:%Y-%m-%d}"


class HourlyOutcomes(models.Model):
    """How many requests of an hour were not served, and why; by team, project, alias, provider and model."""

    pk = models.CompositePrimaryKey("dimension_id", "bucket", "outcome", "reason")
    dimension = models.ForeignKey(
        UsageDimension, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+"
    )
    bucket = models.DateTimeField()
    outcome = models.CharField(max_length=15)
    reason = models.CharField(max_length=200)
    requests = models.IntegerField()

    class Meta:
        indexes = [models.Index(fields=["bucket"], name="hourly_outcomes_bucket")]

    def __str__(self) -> str:
        return f"{self.bucket:%Y-%m-%d %H:00} {self.outcome} {self.reason}"
