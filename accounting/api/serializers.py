"""Rows as the REST API shows them. Field names and their order are a contract (docs/api.md)."""

from typing import Any, ClassVar

from rest_framework import serializers

from accounting.models import LedgerEntry, RequestRecord


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


class RecordSerializer(serializers.ModelSerializer[RequestRecord]):
    tokens = TokensSerializer(source="*")
    attempts = AttemptSerializer(many=True)
    betas_removed: ClassVar[Any] = serializers.ListField(child=serializers.CharField())
    fields_removed: ClassVar[Any] = serializers.ListField(child=serializers.CharField())
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
            "betas_removed",
            "fields_removed",
            "ttft_ms",
            "duration_ms",
            "error",
        )
        read_only_fields = fields


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
