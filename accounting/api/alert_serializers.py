"""Rules, destinations and deliveries of alerts as the REST API shows and takes them."""

# rest_framework's fields are declared, not typed
# mypy: disable-error-code="misc, assignment"

from typing import Any, ClassVar

from rest_framework import serializers

from accounting.models import AlertDelivery, AlertDestination, AlertEvent, AlertRule, Team

NO_TEAM = "There is none, or not for this account."


class TeamField(serializers.SlugRelatedField[Team]):
    """A team by its name. A name that no database takes is nobody's."""

    def to_internal_value(self, data: Any) -> Team:
        if "\x00" in str(data):
            self.fail("does_not_exist", slug_name=self.slug_field, value="")
        return super().to_internal_value(data)


class _OfTeam(serializers.ModelSerializer[Any]):
    """`team` is its name; null is the platform. On making, left out, it is the token's team."""

    team = TeamField(
        slug_field="name",
        queryset=Team.objects.all(),
        required=False,
        allow_null=True,
        error_messages={"does_not_exist": NO_TEAM},  # as of a team that is not for the one who asks
    )
    version = serializers.IntegerField(required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        unknown = sorted(set(self.initial_data) - set(self.fields))
        if unknown:
            raise serializers.ValidationError({name: ["There is no such field."] for name in unknown})
        return attrs


class AlertRuleSerializer(_OfTeam):
    """When to raise an alert. Which numbers count depends on the kind; the others are null."""

    destinations = serializers.ListField(child=serializers.IntegerField(), required=False)

    class Meta:
        model = AlertRule
        fields = (
            "id",
            "team",
            "name",
            "kind",
            "percent",
            "minutes",
            "least_requests",
            "days",
            "destinations",
            "enabled",
            "version",
        )
        validators: ClassVar[list[Any]] = []


class AlertDestinationSerializer(_OfTeam):
    """Where alerts go. `secret` is only in the answer that made the webhook or its new secret; `url` only for who sets it."""

    addresses = serializers.ListField(child=serializers.CharField(), required=False)
    url = serializers.CharField(required=False, allow_blank=True, max_length=500)
    secret = serializers.CharField(read_only=True, required=False)

    class Meta:
        model = AlertDestination
        fields = (
            "id",
            "team",
            "name",
            "kind",
            "addresses",
            "url",
            "enabled",
            "disabled_because",
            "delivered_at",
            "failing_since",
            "delivery_error",
            "version",
            "secret",
        )
        read_only_fields = ("disabled_because", "delivered_at", "failing_since", "delivery_error")
        validators: ClassVar[list[Any]] = []

    def get_fields(self) -> dict[str, Any]:
        fields = super().get_fields()
        if "secret" not in self.context:  # never out of the database
            fields.pop("secret")
        return fields

    def to_representation(self, instance: AlertDestination) -> Any:
        shown = super().to_representation(instance)
        may_see = self.context.get("may_set")
        if may_see is not None and not may_see(instance):
            shown["url"] = instance.where if instance.kind == AlertDestination.Kind.WEBHOOK else ""
        return shown


class NewAlertDestinationSerializer(AlertDestinationSerializer):
    """For the schema: with the secret, which is shown once."""

    def get_fields(self) -> dict[str, Any]:
        return {**super().get_fields(), "secret": serializers.CharField(allow_null=True)}


class AlertEventSerializer(serializers.ModelSerializer[AlertEvent]):
    class Meta:
        model = AlertEvent
        fields = ("id", "at", "team", "rule", "rule_name", "kind", "title", "text", "path", "details")


class AlertAttemptSerializer(serializers.Serializer[Any]):
    """One try; `status` 0 means that there was no answer."""

    at = serializers.DateTimeField()
    status = serializers.IntegerField()
    error = serializers.CharField()
    duration_ms = serializers.FloatField()


class AlertDeliverySerializer(serializers.ModelSerializer[AlertDelivery]):
    event = AlertEventSerializer()
    attempts = AlertAttemptSerializer(many=True)

    class Meta:
        model = AlertDelivery
        fields = (
            "id",
            "event",
            "destination",
            "destination_name",
            "message_id",
            "state",
            "tries",
            "next_at",
            "attempts",
            "finished_at",
        )
