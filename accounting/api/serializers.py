"""Rows as the REST API shows them. Field names and their order are a contract (docs/api.md)."""

from typing import Any, ClassVar

from rest_framework import serializers

from accounting.models import LedgerEntry, Price, RequestRecord
from accounting.models.prices import FAST_NAMES, LONG_NAMES
from accounting.money.price_book import RATE_NAMES, number


class RefusalSerializer(serializers.Serializer[Any]):
    """Why there is no answer."""

    detail = serializers.CharField()


class TokensSerializer(serializers.Serializer[RequestRecord]):
    """Disjoint counts, as the upstream reported them."""

    input = serializers.IntegerField(source="tokens_input")
    output = serializers.IntegerField(source="tokens_output")
    cache_read = serializers.IntegerField(source="tokens_cache_read")
    cache_write_5m = serializers.IntegerField(source="tokens_cache_write_5m")
    cache_write_1h = serializers.IntegerField(source="tokens_cache_write_1h")


class AttemptSerializer(serializers.Serializer[Any]):
    """One upstream call; `status` 0 means that there was no response."""

    provider = serializers.CharField()
    model = serializers.CharField()
    status = serializers.IntegerField()
    error = serializers.CharField()
    duration_ms = serializers.FloatField()


class ErrorSerializer(serializers.Serializer[RequestRecord]):
    type = serializers.CharField(source="error_type")
    message = serializers.CharField(source="error_message")

    def to_representation(self, instance: RequestRecord) -> Any:
        failed = instance.error_type or instance.error_message
        return super().to_representation(instance) if failed else None


class AppliedPriceSerializer(serializers.Serializer[Any]):
    """The unit prices that a request was priced with, in dollars for a million tokens; `id` is null for a model that had
    no price of its own."""

    id = serializers.IntegerField(allow_null=True)
    provider = serializers.CharField()
    model = serializers.CharField()
    valid_from = serializers.CharField(allow_null=True)
    input = serializers.CharField()
    output = serializers.CharField()
    cache_write_5m = serializers.CharField()
    cache_write_1h = serializers.CharField()
    cache_read = serializers.CharField()
    band = serializers.CharField()
    multipliers = serializers.DictField(child=serializers.CharField())
    web_search_per_1000 = serializers.CharField()


class MoneySerializerField(serializers.DecimalField):
    """Dollars as a text, all twelve places."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_digits=30, decimal_places=12, coerce_to_string=True, **kwargs)

    def to_representation(self, value: Any) -> str:
        return f"{value:.12f}"


class RecordSerializer(serializers.ModelSerializer[RequestRecord]):
    tokens = TokensSerializer(source="*")
    attempts = AttemptSerializer(many=True)
    betas_removed: ClassVar[Any] = serializers.ListField(child=serializers.CharField())
    fields_removed: ClassVar[Any] = serializers.ListField(child=serializers.CharField())
    cost_usd = MoneySerializerField()
    price = AppliedPriceSerializer(allow_null=True)
    error = ErrorSerializer(source="*", allow_null=True)

    class Meta:
        model = RequestRecord
        fields = (
            "request_id",
            "started_at",
            "client_format",
            "operation",
            "stream",
            "team",
            "project",
            "key",
            "key_prefix",
            "user",
            "session_id",
            "agent_id",
            "client_ip",
            "user_agent",
            "alias",
            "provider",
            "upstream_model",
            "attempts",
            "status",
            "outcome",
            "reason",
            "tokens",
            "web_searches",
            "estimated",
            "cost_usd",
            "price",
            "tags",
            "resend_of",
            "betas_removed",
            "fields_removed",
            "switched_from",
            "switch_tokens",
            "ttft_ms",
            "duration_ms",
            "error",
        )
        read_only_fields = fields


class PriceSerializer(serializers.ModelSerializer[Price]):
    """A row of prices as the configuration file writes it; amounts are texts."""

    class Meta:
        model = Price
        fields = (
            "id",
            "provider",
            "model",
            "valid_from",
            *RATE_NAMES,
            "batch_multiplier",
            "geo_multipliers",
            "web_search_per_1000",
            "source",
            "shipped",
            "created_at",
        )
        read_only_fields = fields

    def to_representation(self, instance: Price) -> dict[str, Any]:
        row = super().to_representation(instance)
        for name in (*RATE_NAMES, "batch_multiplier", "web_search_per_1000"):
            row[name] = number(getattr(instance, name))
        row["long_context"] = row["fast"] = None
        if instance.long_above is not None:
            row["long_context"] = {"above": instance.long_above, **_five(instance, LONG_NAMES)}
        if instance.fast_input is not None:
            row["fast"] = _five(instance, FAST_NAMES)
        return row


def _five(price: Price, names: tuple[str, ...]) -> dict[str, str]:
    return {short: number(getattr(price, name)) for short, name in zip(RATE_NAMES, names, strict=True)}


class LedgerSerializer(serializers.ModelSerializer[LedgerEntry]):
    tokens = TokensSerializer(source="*")
    tags = serializers.DictField(child=serializers.CharField())
    price = serializers.DictField(allow_null=True)

    class Meta:
        model = LedgerEntry
        fields = (
            "request_id",
            "number",
            "kind",
            "attempt",
            "at",
            "team",
            "project",
            "key",
            "key_prefix",
            "user",
            "session_id",
            "alias",
            "provider",
            "model",
            "tags",
            "tokens",
            "web_searches",
            "cost_usd",
            "price",
            "estimated",
            "adjusts",
            "reason",
            "actor",
            "posted_at",
        )
        read_only_fields = fields
