"""Rules, destinations and deliveries of alerts in the REST API."""

# django-filter has no types
# mypy: disable-error-code="no-untyped-call, misc, assignment, name-defined"

from typing import Any

import django_filters
from django.db.models import QuerySet
from django.utils import timezone
from drf_spectacular.utils import OpenApiResponse, extend_schema, extend_schema_view
from rest_framework import generics, status
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from accounting.alerting.setting import (
    delete_destination,
    delete_rule,
    may_set_alerts,
    rotate_secret,
    save_destination,
    save_rule,
    send_test_to,
    test_destination,
    visible_deliveries,
    visible_destinations,
    visible_rules,
)
from accounting.api.alert_serializers import (
    NO_TEAM,
    AlertDeliverySerializer,
    AlertDestinationSerializer,
    AlertRuleSerializer,
    NewAlertDestinationSerializer,
)
from accounting.api.filters import IntegerFilter, StrictForm
from accounting.api.parties import BAD, REFUSALS, STALE, PartyView
from accounting.audit.changes import changing
from accounting.models import AlertDelivery, AlertDestination, AlertRule, Team
from gateway_project.crypto import Secret

_DELETED = OpenApiResponse(None, "Deleted.")


class RuleFilter(django_filters.FilterSet):
    team = django_filters.CharFilter("team__name")

    class Meta:
        model = AlertRule
        form = StrictForm
        fields = ("kind", "team")


class DestinationFilter(django_filters.FilterSet):
    team = django_filters.CharFilter("team__name")

    class Meta:
        model = AlertDestination
        form = StrictForm
        fields = ("kind", "team")


class DeliveryFilter(django_filters.FilterSet):
    team = django_filters.CharFilter("event__team")
    destination = IntegerFilter("destination")

    class Meta:
        model = AlertDelivery
        form = StrictForm
        fields = ("state", "destination", "team")


class _OfTeams(PartyView):
    """What views of rules and destinations share."""

    def values_of(self, request: Request, instance: Any = None) -> tuple[dict[str, Any], int | None]:
        """What was given, and the version that it was read at. Raises ValidationError."""
        given = self.get_serializer(instance, data=request.data, partial=instance is not None)
        given.is_valid(raise_exception=True)
        values = dict(given.validated_data)
        version = values.pop("version", None)
        if instance is None:
            self._give_team(values)
        elif "team" in values and values.pop("team") != instance.team:
            raise ValidationError({"team": ["This stays; make another one."]})
        if instance is not None and values.get("kind", instance.kind) != instance.kind:
            raise ValidationError({"kind": ["This stays; make another one."]})
        return values, version

    def _give_team(self, values: dict[str, Any]) -> None:
        """The team that was named, of those that somebody sees; without a name the token's own, or the platform."""
        party = self.party
        if values.get("team") is not None:
            if not (party.admin or party.reads_all or values["team"].name in party.roles):
                raise ValidationError({"team": [NO_TEAM]})
        elif "team" not in values and not party.admin:
            if len(party.roles) != 1:
                raise ValidationError({"team": ["Name the team."]})
            values["team"] = Team.objects.get(name=next(iter(party.roles)))

    def find(self, pk: int) -> Any:
        row = self.get_queryset().filter(pk=pk).first()
        if row is None:
            raise NotFound
        return row

    def get_serializer_context(self) -> dict[str, Any]:
        context = super().get_serializer_context()
        if "party" not in context:
            return context
        party = context["party"]
        return {**context, "may_set": lambda row: may_set_alerts(party, row.team)}


class _Rules(_OfTeams):
    serializer_class = AlertRuleSerializer
    queryset = AlertRule.objects.none()  # for the schema

    def get_queryset(self) -> QuerySet[Any]:
        return visible_rules(self.party)


@extend_schema_view(
    get=extend_schema(responses={200: AlertRuleSerializer(many=True), 400: BAD, **REFUSALS}),
    post=extend_schema(responses={201: AlertRuleSerializer, 400: BAD, **REFUSALS}),
)
class AlertRuleList(_Rules, generics.ListCreateAPIView[Any]):
    """Rules of alerts: all for administrators and auditors, a team's for the team."""

    filterset_class = RuleFilter

    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        values, _version = self.values_of(request)
        row = AlertRule(**values)
        with changing(self.actor()) as change:
            save_rule(change, self.party, row)
        return Response(self.get_serializer(row).data, status=status.HTTP_201_CREATED)


@extend_schema_view(
    get=extend_schema(responses={200: AlertRuleSerializer, **REFUSALS}),
    patch=extend_schema(responses={200: AlertRuleSerializer, 400: BAD, 409: STALE, **REFUSALS}),
    delete=extend_schema(request=None, responses={204: _DELETED, **REFUSALS}),
)
class AlertRuleDetail(_Rules):
    """One rule; owners and admins of its team change or delete it."""

    filter_backends = ()

    def get(self, request: Request, pk: int) -> Response:
        return Response(self.get_serializer(self.find(pk)).data)

    def patch(self, request: Request, pk: int) -> Response:
        row = self.find(pk)
        values, version = self.values_of(request, row)
        for name, value in values.items():
            setattr(row, name, value)
        with changing(self.actor()) as change:
            save_rule(change, self.party, row, expected_version=version)
        return Response(self.get_serializer(row).data)

    def delete(self, request: Request, pk: int) -> Response:
        with changing(self.actor()) as change:
            delete_rule(change, self.party, self.find(pk))
        return Response(status=status.HTTP_204_NO_CONTENT)


class _Destinations(_OfTeams):
    serializer_class = AlertDestinationSerializer
    queryset = AlertDestination.objects.none()  # for the schema

    def get_queryset(self) -> QuerySet[Any]:
        return visible_destinations(self.party)

    def with_secret(self, row: AlertDestination, secret: Secret | None) -> dict[str, Any]:
        """The one answer that has the secret."""
        return {**self.get_serializer(row).data, "secret": secret.reveal() if secret else None}


@extend_schema_view(
    get=extend_schema(responses={200: AlertDestinationSerializer(many=True), 400: BAD, **REFUSALS}),
    post=extend_schema(responses={201: NewAlertDestinationSerializer, 400: BAD, **REFUSALS}),
)
class AlertDestinationList(_Destinations, generics.ListCreateAPIView[Any]):
    """Where alerts go. The answer to a new webhook has its secret, once."""

    filterset_class = DestinationFilter

    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        values, _version = self.values_of(request)
        row = AlertDestination(**values)
        with changing(self.actor()) as change:
            secret = save_destination(change, self.party, row)
        return Response(self.with_secret(row, secret), status=status.HTTP_201_CREATED)


@extend_schema_view(
    get=extend_schema(responses={200: AlertDestinationSerializer, **REFUSALS}),
    patch=extend_schema(responses={200: AlertDestinationSerializer, 400: BAD, 409: STALE, **REFUSALS}),
    delete=extend_schema(request=None, responses={204: _DELETED, **REFUSALS}),
)
class AlertDestinationDetail(_Destinations):
    """One destination; owners and admins of its team change or delete it."""

    filter_backends = ()

    def get(self, request: Request, pk: int) -> Response:
        return Response(self.get_serializer(self.find(pk)).data)

    def patch(self, request: Request, pk: int) -> Response:
        row = self.find(pk)
        values, version = self.values_of(request, row)
        for name, value in values.items():
            setattr(row, name, value)
        with changing(self.actor()) as change:
            save_destination(change, self.party, row, expected_version=version)
        return Response(self.get_serializer(row).data)

    def delete(self, request: Request, pk: int) -> Response:
        with changing(self.actor()) as change:
            delete_destination(change, self.party, self.find(pk))
        return Response(status=status.HTTP_204_NO_CONTENT)


@extend_schema_view(post=extend_schema(request=None, responses={200: AlertDeliverySerializer, **REFUSALS}))
class AlertDestinationTest(_Destinations):
    """Sends a test message now; the answer says how it went."""

    filter_backends = ()

    def post(self, request: Request, pk: int) -> Response:
        row = self.find(pk)
        with changing(self.actor()) as change:
            test_destination(change, self.party, row)
        return Response(AlertDeliverySerializer(send_test_to(row, timezone.now())).data)


@extend_schema_view(post=extend_schema(request=None, responses={200: NewAlertDestinationSerializer, **REFUSALS}))
class AlertDestinationRotation(_Destinations):
    """Makes a new secret of a webhook and shows it, once; the old one signs nothing any more."""

    filter_backends = ()

    def post(self, request: Request, pk: int) -> Response:
        row = self.find(pk)
        with changing(self.actor()) as change:
            secret = rotate_secret(change, self.party, row)
        return Response(self.with_secret(row, secret))


@extend_schema_view(get=extend_schema(responses={200: AlertDeliverySerializer(many=True), 400: BAD, **REFUSALS}))
class AlertDeliveryList(PartyView, generics.ListAPIView[Any]):
    """What was sent where, newest first, with every try."""

    serializer_class = AlertDeliverySerializer
    filterset_class = DeliveryFilter
    queryset = AlertDelivery.objects.none()  # for the schema

    def get_queryset(self) -> QuerySet[Any]:
        return visible_deliveries(self.party)
