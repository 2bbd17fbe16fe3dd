"""Budgets, and requests for more of them, in the REST API."""

# django-filter has no types
# mypy: disable-error-code="no-untyped-call, misc, assignment, name-defined"

from typing import Any

import django_filters
from django.db.models import Q, QuerySet
from django.utils import timezone
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import generics, status
from rest_framework.request import Request
from rest_framework.response import Response

from accounting.api.filters import IntegerFilter, StrictForm
from accounting.api.limit_serializers import (
    BudgetRequestSerializer,
    BudgetSerializer,
    DecisionSerializer,
    budget_entries,
)
from accounting.api.limit_writing import GivenBudgetSerializer, new_budget
from accounting.api.parties import BAD, REFUSALS, PartyView
from accounting.api.spreadsheets import AlsoAsCsv, table, wants_csv
from accounting.audit.changes import changing
from accounting.limits.asking import (
    ask,
    decide,
    visible_budgets,
    visible_requests,
    withdraw,
)
from accounting.limits.setting import save_limit
from accounting.models import Budget, BudgetRequest


class BudgetFilter(django_filters.FilterSet):
    team = django_filters.CharFilter(method="of_team", help_text="Budgets of this team, its projects and its keys.")

    class Meta:
        model = Budget
        form = StrictForm
        fields = ("scope", "period", "team")

    def of_team(self, rows: QuerySet[Budget], _: str, value: str) -> QuerySet[Budget]:
        return rows.filter(Q(team__name=value) | Q(project__team__name=value) | Q(key__project__team__name=value))


class RequestFilter(django_filters.FilterSet):
    budget = IntegerFilter("budget")  # a choice among all would tell which ones there are

    class Meta:
        model = BudgetRequest
        form = StrictForm
        fields = ("state", "budget", "asked_by")


@extend_schema_view(
    get=extend_schema(responses={200: BudgetSerializer(many=True), 400: BAD, **REFUSALS}),
    post=extend_schema(request=GivenBudgetSerializer, responses={201: BudgetSerializer, 400: BAD, **REFUSALS}),
)
class BudgetList(AlsoAsCsv, PartyView, generics.ListCreateAPIView[Any]):
    """Budgets in use and how they stand: all for administrators and auditors, a team's for the team, one's own; as CSV
    without pages. Who may set limits makes new ones."""

    serializer_class = BudgetSerializer
    filterset_class = BudgetFilter
    queryset = Budget.objects.none()  # for the schema

    def get_queryset(self) -> QuerySet[Any]:
        return visible_budgets(self.party).order_by("id")

    def list(self, request: Request, *args: Any, **kwargs: Any) -> Any:
        asked = self.filter_queryset(self.get_queryset())
        if wants_csv(request):
            return table("budgets", budget_entries(list(asked)), list(BudgetSerializer().fields))
        return self.get_paginated_response(budget_entries(list(self.paginate_queryset(asked) or [])))

    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        given = GivenBudgetSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        with changing(self.actor()) as change:
            row = new_budget(self.party, given.validated_data)
            save_limit(change, self.party, row)
        return Response(budget_entries([row])[0], status=status.HTTP_201_CREATED)


@extend_schema_view(
    get=extend_schema(responses={200: BudgetRequestSerializer(many=True), 400: BAD, **REFUSALS}),
    post=extend_schema(responses={201: BudgetRequestSerializer, 400: BAD, **REFUSALS}),
)
class BudgetRequestList(PartyView, generics.ListCreateAPIView[BudgetRequest]):
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
    post=extend_schema(request=DecisionSerializer, responses={200: BudgetRequestSerializer, 400: BAD, **REFUSALS})
)
class BudgetRequestDecision(PartyView):
    """Approves, changes or refuses a request; approval raises the budget until the request's end."""

    serializer_class = BudgetRequestSerializer
    queryset = BudgetRequest.objects.none()  # for the schema

    def post(self, request: Request, pk: int) -> Response:
        given = DecisionSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        with changing(self.actor()) as change:
            decided = decide(change, self.party, pk, now=timezone.now(), **given.validated_data)
        return Response(self.get_serializer(decided).data)


@extend_schema_view(post=extend_schema(request=None, responses={200: BudgetRequestSerializer, 400: BAD, **REFUSALS}))
class BudgetRequestWithdrawal(PartyView):
    """Takes one's own request back."""

    serializer_class = BudgetRequestSerializer
    queryset = BudgetRequest.objects.none()  # for the schema

    def post(self, request: Request, pk: int) -> Response:
        with changing(self.actor()) as change:
            withdrawn = withdraw(change, self.party, pk)
        return Response(self.get_serializer(withdrawn).data)
