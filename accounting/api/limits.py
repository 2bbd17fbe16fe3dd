"""Budgets, and requests for more of them, in the REST API."""

# django-filter has no types
# mypy: disable-error-code="no-untyped-call, misc, assignment, name-defined"

from collections.abc import Sequence
from typing import Any

import django_filters
from django.core.exceptions import ValidationError as Refused
from django.db.models import Q, QuerySet
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema, extend_schema_view
from rest_framework import generics, status
from rest_framework.exceptions import NotFound, PermissionDenied, ValidationError
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounting.api.authentication import ApiTokenAuthentication, SignedInAuthentication
from accounting.api.filters import StrictForm
from accounting.api.limit_serializers import BudgetRequestSerializer, BudgetSerializer, DecisionSerializer, budget_entry
from accounting.api.serializers import RefusalSerializer
from accounting.api.spreadsheets import AlsoAsCsv, table, wants_csv
from accounting.audit.changes import Actor, changing
from accounting.limits.asking import (
    NotAllowed,
    Party,
    ask,
    decide,
    party_of_token,
    party_of_user,
    visible_budgets,
    visible_requests,
    withdraw,
)
from accounting.limits.loading import budget_terms, organization_terms
from accounting.limits.standing import standings
from accounting.models import ApiToken, Budget, BudgetRequest, OrganizationSettings, User
from accounting.selectors import Viewer
from gateway_project.client_address import client_address


class BudgetFilter(django_filters.FilterSet):
    team = django_filters.CharFilter(method="of_team", help_text="Budgets of this team, its projects and its keys.")

    class Meta:
        model = Budget
        form = StrictForm
        fields = ("scope", "period", "team")

    def of_team(self, rows: QuerySet[Budget], _: str, value: str) -> QuerySet[Budget]:
        return rows.filter(Q(team__name=value) | Q(project__team__name=value) | Q(key__project__team__name=value))


class RequestFilter(django_filters.FilterSet):
    class Meta:
        model = BudgetRequest
        form = StrictForm
        fields = ("state", "budget", "asked_by")


class KnownParty(BasePermission):
    """Anybody with a token or a session; what they see is narrowed, what they may do is asked of `limits.asking`."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        return isinstance(request.user, Viewer)


class _Asking(generics.GenericAPIView[Any]):
    authentication_classes = (ApiTokenAuthentication, SignedInAuthentication)
    permission_classes = (KnownParty,)

    @property
    def party(self) -> Party:
        if isinstance(self.request.auth, ApiToken):
            return party_of_token(self.request.auth)
        viewer = self.request.user
        user = User.objects.filter(email=viewer.name).first() if isinstance(viewer, Viewer) else None
        return party_of_user(user) if user is not None else Party("")

    def actor(self) -> Actor:
        kind: Any = "token" if isinstance(self.request.auth, ApiToken) else "user"
        return Actor(self.party.name, kind, client_address(self.request._request))

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        final = super().finalize_response(request, response, *args, **kwargs)
        final["Cache-Control"] = "private, no-store"
        return final

    def get_serializer_context(self) -> dict[str, Any]:
        context = super().get_serializer_context()
        return dict(context) if getattr(self, "swagger_fake_view", False) else {**context, "party": self.party}

    def handle_exception(self, exc: Exception) -> Response:
        if isinstance(exc, Refused):
            exc = ValidationError(exc.message_dict if hasattr(exc, "error_dict") else {"detail": exc.messages})
        elif isinstance(exc, NotAllowed):
            exc = PermissionDenied(str(exc))
        elif isinstance(exc, BudgetRequest.DoesNotExist):
            exc = NotFound()
        return super().handle_exception(exc)


_BAD = OpenApiResponse(OpenApiTypes.OBJECT, "What cannot be read or makes no sense, by field.")
_REFUSALS = {
    401: OpenApiResponse(RefusalSerializer, "No token, or one that is unknown, revoked or has expired."),
    403: OpenApiResponse(RefusalSerializer, "This account may see it and may not do it."),
    404: OpenApiResponse(RefusalSerializer, "There is none, or not for this account."),
}


@extend_schema_view(get=extend_schema(responses={200: BudgetSerializer(many=True), 400: _BAD, **_REFUSALS}))
class BudgetList(AlsoAsCsv, _Asking, generics.ListAPIView[Any]):
    """Budgets in use and how they stand: all for administrators and auditors, a team's for the team, one's own; as CSV
    without pages."""

    serializer_class = BudgetSerializer
    filterset_class = BudgetFilter
    queryset = Budget.objects.none()  # for the schema

    def get_queryset(self) -> QuerySet[Any]:
        return visible_budgets(self.party).order_by("id")

    def list(self, request: Request, *args: Any, **kwargs: Any) -> Any:
        asked = self.filter_queryset(self.get_queryset())
        if wants_csv(request):
            return table("budgets", self._entries(list(asked)), list(BudgetSerializer().fields))
        return self.get_paginated_response(self._entries(list(self.paginate_queryset(asked) or [])))

    def _entries(self, rows: Sequence[Budget]) -> Any:
        organization = organization_terms(OrganizationSettings.objects.first())
        found = standings(list(budget_terms(rows, organization)))
        entries = [budget_entry(row, standing) for row, standing in zip(rows, found, strict=True)]
        return self.get_serializer(entries, many=True).data


@extend_schema_view(
    get=extend_schema(responses={200: BudgetRequestSerializer(many=True), 400: _BAD, **_REFUSALS}),
    post=extend_schema(responses={201: BudgetRequestSerializer, 400: _BAD, **_REFUSALS}),
)
class BudgetRequestList(_Asking, generics.ListCreateAPIView[BudgetRequest]):
    """Requests for more, newest first; a member of the team asks."""

    serializer_class = BudgetRequestSerializer
    filterset_class = RequestFilter
    queryset = BudgetRequest.objects.none()  # for the schema

    def get_queryset(self) -> QuerySet[BudgetRequest]:
        return visible_requests(self.party)

    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        given = self.get_serializer(data=request.data)
        given.is_valid(raise_exception=True)
        values = given.validated_data
        with changing(self.actor()) as change:
            made = ask(
                change,
                self.party,
                values["budget"],
                amount=values["amount"],
                until=values["until"],
                reason=values["reason"],
                now=timezone.now(),
            )
        return Response(self.get_serializer(made).data, status=status.HTTP_201_CREATED)


@extend_schema_view(
    post=extend_schema(request=DecisionSerializer, responses={200: BudgetRequestSerializer, 400: _BAD, **_REFUSALS})
)
class BudgetRequestDecision(_Asking):
    """Approves, changes or refuses a request; approval raises the budget until the request's end."""

    serializer_class = BudgetRequestSerializer
    queryset = BudgetRequest.objects.none()  # for the schema

    def post(self, request: Request, pk: int) -> Response:
        given = DecisionSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        with changing(self.actor()) as change:
            decided = decide(change, self.party, pk, now=timezone.now(), **given.validated_data)
        return Response(self.get_serializer(decided).data)


@extend_schema_view(post=extend_schema(request=None, responses={200: BudgetRequestSerializer, 400: _BAD, **_REFUSALS}))
class BudgetRequestWithdrawal(_Asking):
    """Takes one's own request back."""

    serializer_class = BudgetRequestSerializer
    queryset = BudgetRequest.objects.none()  # for the schema

    def post(self, request: Request, pk: int) -> Response:
        with changing(self.actor()) as change:
            withdrawn = withdraw(change, self.party, pk)
        return Response(self.get_serializer(withdrawn).data)
