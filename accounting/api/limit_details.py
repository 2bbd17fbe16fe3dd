"""Single budgets, and rate limits, in the REST API: reading, changing, deleting."""

# django-filter has no types
# mypy: disable-error-code="no-untyped-call, misc, assignment, name-defined"

from collections.abc import Sequence
from typing import Any

import django_filters
from django.db.models import Q, QuerySet
from drf_spectacular.utils import OpenApiResponse, extend_schema, extend_schema_view
from rest_framework import status
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from accounting.api.filters import StrictForm
from accounting.api.limit_serializers import BudgetSerializer, RateLimitSerializer, budget_entries, rate_entry
from accounting.api.limit_writing import (
    GivenBudgetSerializer,
    GivenRateLimitSerializer,
    change_budget,
    change_rate_limit,
    new_rate_limit,
)
from accounting.api.parties import BAD, REFUSALS, STALE, PartyView
from accounting.audit.changes import changing
from accounting.limits.asking import visible_budgets
from accounting.limits.setting import delete_limit, save_limit, visible_rates
from accounting.limits.shown import show_rates
from accounting.models import Budget, RateLimit


class RateLimitFilter(django_filters.FilterSet):
    team = django_filters.CharFilter(method="of_team", help_text="Rate limits of this team, its projects and its keys.")

    class Meta:
        model = RateLimit
        form = StrictForm
        fields = ("scope", "kind", "team")

    def of_team(self, rows: QuerySet[RateLimit], _: str, value: str) -> QuerySet[RateLimit]:
        return rows.filter(Q(team__name=value) | Q(project__team__name=value) | Q(key__project__team__name=value))


@extend_schema_view(
    get=extend_schema(responses={200: BudgetSerializer, **REFUSALS}),
    patch=extend_schema(
        request=GivenBudgetSerializer, responses={200: BudgetSerializer, 400: BAD, 409: STALE, **REFUSALS}
    ),
    delete=extend_schema(request=None, responses={204: OpenApiResponse(None, "Deleted."), **REFUSALS}),
)
class BudgetDetail(PartyView):
    """One budget as it stands; who may set it changes or deletes it."""

    serializer_class = BudgetSerializer
    queryset = Budget.objects.none()  # for the schema
    filter_backends = ()

    def find(self, pk: int) -> Budget:
        row = visible_budgets(self.party).filter(pk=pk).first()
        if row is None:
            raise NotFound
        return row

    def get(self, request: Request, pk: int) -> Response:
        return Response(budget_entries([self.find(pk)])[0])

    def patch(self, request: Request, pk: int) -> Response:
        row = self.find(pk)
        given = GivenBudgetSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        with changing(self.actor()) as change:
            change_budget(row, given.validated_data)
            save_limit(change, self.party, row, expected_version=given.validated_data.get("version"))
        return Response(budget_entries([row])[0])

    def delete(self, request: Request, pk: int) -> Response:
        with changing(self.actor()) as change:
            delete_limit(change, self.party, self.find(pk))
        return Response(status=status.HTTP_204_NO_CONTENT)


@extend_schema_view(
    get=extend_schema(responses={200: RateLimitSerializer(many=True), 400: BAD, **REFUSALS}),
    post=extend_schema(request=GivenRateLimitSerializer, responses={201: RateLimitSerializer, 400: BAD, **REFUSALS}),
)
class RateLimitList(PartyView):
    """Rate limits in use and how much of them is used now: all for administrators and auditors, a team's for the team,
    one's own. Who may set limits makes new ones."""

    serializer_class = RateLimitSerializer
    filterset_class = RateLimitFilter
    queryset = RateLimit.objects.none()  # for the schema

    def get(self, request: Request) -> Response:
        rows = self.filter_queryset(visible_rates(self.party).order_by("id"))
        return self.get_paginated_response(_entries(list(self.paginate_queryset(rows) or [])))

    def post(self, request: Request) -> Response:
        given = GivenRateLimitSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        with changing(self.actor()) as change:
            row = new_rate_limit(self.party, given.validated_data)
            save_limit(change, self.party, row)
        return Response(_entries([row])[0], status=status.HTTP_201_CREATED)


@extend_schema_view(
    get=extend_schema(responses={200: RateLimitSerializer, **REFUSALS}),
    patch=extend_schema(
        request=GivenRateLimitSerializer, responses={200: RateLimitSerializer, 400: BAD, 409: STALE, **REFUSALS}
    ),
    delete=extend_schema(request=None, responses={204: OpenApiResponse(None, "Deleted."), **REFUSALS}),
)
class RateLimitDetail(PartyView):
    """One rate limit; who may set it changes or deletes it."""

    serializer_class = RateLimitSerializer
    queryset = RateLimit.objects.none()  # for the schema
    filter_backends = ()

    def find(self, pk: int) -> RateLimit:
        row = visible_rates(self.party).filter(pk=pk).first()
        if row is None:
            raise NotFound
        return row

    def get(self, request: Request, pk: int) -> Response:
        return Response(_entries([self.find(pk)])[0])

    def patch(self, request: Request, pk: int) -> Response:
        row = self.find(pk)
        given = GivenRateLimitSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        with changing(self.actor()) as change:
            change_rate_limit(row, given.validated_data)
            save_limit(change, self.party, row, expected_version=given.validated_data.get("version"))
        return Response(_entries([row])[0])

    def delete(self, request: Request, pk: int) -> Response:
        with changing(self.actor()) as change:
            delete_limit(change, self.party, self.find(pk))
        return Response(status=status.HTTP_204_NO_CONTENT)


def _entries(rows: Sequence[RateLimit]) -> Any:
    return RateLimitSerializer([rate_entry(each) for each in show_rates(rows)], many=True).data
