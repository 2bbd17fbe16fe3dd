"""How requests went, as sums: `GET /api/v1/usage/latency/`, and why they were not served: `GET /api/v1/usage/outcomes/`."""

from typing import Any

from django.http import HttpResponseBase
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request

from accounting.api.spreadsheets import spreadsheet, wants_csv
from accounting.api.usage import (
    NO_PAGE,
    PARAMETERS,
    PERIOD,
    REFUSALS,
    AboutUsage,
    groups_of,
    page_number,
    page_size,
    paged,
)
from accounting.money.contributions import TOTALS
from accounting.money.outcomes import MOST, OutcomeRow, outcomes
from accounting.money.question import BadQuestion, Question
from accounting.money.reports import UsageRow, each_usage, usage

PERCENTILES = (50, 95, 99)
_TIMES = ("count", "mean_ms", *(f"p{percent}_ms" for percent in PERCENTILES))


class LatencySerializer(serializers.Serializer[Any]):
    """The values that were grouped by, each under its name, and the times to the first byte."""

    count = serializers.IntegerField(help_text="Answers of which there was a first byte.")
    mean_ms = serializers.FloatField(allow_null=True)
    p50_ms = serializers.FloatField(allow_null=True, help_text="Half of them were as fast; interpolated.")
    p95_ms = serializers.FloatField(allow_null=True)
    p99_ms = serializers.FloatField(allow_null=True, help_text="60000: that or more.")


class LatencyPageSerializer(serializers.Serializer[Any]):
    count = serializers.IntegerField()
    next = serializers.URLField(allow_null=True)
    previous = serializers.URLField(allow_null=True)
    results = LatencySerializer(many=True)


class OutcomeSerializer(serializers.Serializer[Any]):
    """The values that were grouped by, and how many requests ended like this."""

    outcome = serializers.CharField(help_text="refused, upstream_error, client_left or shut_down.")
    reason = serializers.CharField()
    requests = serializers.IntegerField()


class OutcomePageSerializer(serializers.Serializer[Any]):
    count = serializers.IntegerField()
    next = serializers.URLField(allow_null=True)
    previous = serializers.URLField(allow_null=True)
    results = OutcomeSerializer(many=True)


class Latency(AboutUsage):
    """Times to the first byte, by whatever is asked for: percentiles out of a histogram."""

    @extend_schema(parameters=PARAMETERS, responses={200: LatencyPageSerializer, **REFUSALS, 404: NO_PAGE})
    def get(self, request: Request) -> HttpResponseBase:
        question, number, size = self.question(request), page_number(request), page_size(request)
        if wants_csv(request):
            usage(question, limit=1)  # what is wrong with the question is said before the first row
            cells = ((*row.group, *_times(row).values()) for row in each_usage(question, timed=True))
            return spreadsheet("latency", (*question.group_by, *_TIMES), cells)
        rows, count = usage(question, limit=size, offset=(number - 1) * size, timed=True)
        return paged(request, [{**groups_of(question, row), **_times(row)} for row in rows], count)


class Outcomes(AboutUsage):
    """Requests that were not served, by outcome and reason, the most first."""

    @extend_schema(
        parameters=[
            OpenApiParameter("group_by", description=", ".join(sorted(TOTALS))),
            *PERIOD,
            *(OpenApiParameter(name, description="An exact value.") for name in sorted(TOTALS)),
            *PARAMETERS[-3:],
        ],
        responses={200: OutcomePageSerializer, **REFUSALS, 404: NO_PAGE},
    )
    def get(self, request: Request) -> HttpResponseBase:
        question, number, size = self.question(request), page_number(request), page_size(request)
        try:
            rows = outcomes(question, limit=MOST)
        except BadQuestion as error:
            raise ValidationError({"detail": [str(error)]}) from None
        if wants_csv(request):
            cells = ((*row.group, row.outcome, row.reason, row.requests) for row in rows)
            return spreadsheet("outcomes", (*question.group_by, "outcome", "reason", "requests"), cells)
        shown = rows[(number - 1) * size : number * size]
        return paged(request, [_shown(question, row) for row in shown], len(rows))


def _times(row: UsageRow) -> dict[str, Any]:
    times = row.first_bytes
    found = {f"p{percent}_ms": _rounded(times.percentile(percent)) for percent in PERCENTILES}
    return {"count": times.count, "mean_ms": _rounded(times.mean), **found}


def _rounded(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else round(milliseconds, 1)


def _shown(question: Question, row: OutcomeRow) -> dict[str, Any]:
    groups = dict(zip(question.group_by, row.group, strict=True))
    return {**groups, "outcome": row.outcome, "reason": row.reason, "requests": row.requests}
