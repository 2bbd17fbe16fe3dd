"""Usage, as sums: `GET /api/v1/usage/`, and the FOCUS export of costs."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

from django.http import HttpResponseBase
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import remove_query_param, replace_query_param
from rest_framework.views import APIView

from accounting.api.asking import question_of
from accounting.api.authentication import ApiTokenAuthentication, SignedInAuthentication
from accounting.api.pagination import Pages
from accounting.api.permissions import ReadsRecords
from accounting.api.serializers import RefusalSerializer
from accounting.api.spreadsheets import AlsoAsCsv, CsvRenderer, spreadsheet, wants_csv
from accounting.money.focus import COLUMNS, charges
from accounting.money.reports import FIGURES, FILTERS, BadQuestion, Question, UsageRow, each_usage, usage
from accounting.selectors import Viewer, narrowed
from accounting.texts import plain

REFUSALS = {
    400: OpenApiResponse(OpenApiTypes.OBJECT, "A parameter that does not exist, is empty or cannot be read."),
    401: OpenApiResponse(RefusalSerializer, "No token, or one that is unknown, revoked or has expired."),
    403: OpenApiResponse(RefusalSerializer, "This account may not read request records."),
}
NO_PAGE = OpenApiResponse(RefusalSerializer, "There is no such page.")
PERIOD = [
    OpenApiParameter("since", OpenApiTypes.DATETIME, description="Started at this moment or later (ISO 8601)."),
    OpenApiParameter("until", OpenApiTypes.DATETIME, description="Started before this moment (ISO 8601)."),
]
PARAMETERS = [
    OpenApiParameter(
        "group_by",
        description="team, project, key, key_prefix, user, alias, provider, model, day, week, month, hour, tag:NAME",
    ),
    *PERIOD,
    OpenApiParameter("timezone", description="Whose days to count by, and of moments without a zone. Default UTC."),
    OpenApiParameter("tag:NAME", description="The exact value of a tag of the key."),
    *(OpenApiParameter(name, description="An exact value.") for name in FILTERS),
    OpenApiParameter("page", OpenApiTypes.INT),
    OpenApiParameter("page_size", OpenApiTypes.INT),
    OpenApiParameter("format", enum=["json", "csv"]),
]


class UsageSerializer(serializers.Serializer[Any]):
    """The values that were grouped by, each under its name, and the sums."""

    requests = serializers.IntegerField(
        help_text=(
            "Requests, whatever became of them; each counts once, at the provider and model of its record. A model that was "
            "only called beside another one (an advisor, a fallback attempt that failed) has tokens and dollars, and 0 here."
        )
    )
    errors = serializers.IntegerField(help_text="Requests that ended as upstream_error or shut_down.")  # type: ignore[assignment]
    refused = serializers.IntegerField(help_text="Requests that the gateway refused.")
    estimated = serializers.IntegerField(help_text="Requests whose counts were estimated.")
    input = serializers.IntegerField()
    output = serializers.IntegerField()
    cache_read = serializers.IntegerField()
    cache_write_5m = serializers.IntegerField()
    cache_write_1h = serializers.IntegerField()
    web_searches = serializers.IntegerField()
    cost_usd = serializers.DecimalField(30, 12, help_text="Dollars, adjustments included.")
    adjustment_usd = serializers.DecimalField(30, 12, help_text="What of it later adjustments added or took away.")


class UsagePageSerializer(serializers.Serializer[Any]):
    count = serializers.IntegerField()
    next = serializers.URLField(allow_null=True)
    previous = serializers.URLField(allow_null=True)
    results = UsageSerializer(many=True)


class AboutUsage(AlsoAsCsv, APIView):
    """What endpoints about usage share: who may ask, and what is asked."""

    authentication_classes = (ApiTokenAuthentication, SignedInAuthentication)
    permission_classes = (ReadsRecords,)

    def question(self, request: Request) -> Question:
        """What is asked, narrowed to what the reader may see."""
        viewer: Any = request.user
        asked = question_of(request.query_params)
        return narrowed(asked, viewer) if isinstance(viewer, Viewer) else asked

    def handle_exception(self, exc: Exception) -> Any:
        if isinstance(exc, BadQuestion):
            return super().handle_exception(ValidationError({"timezone": [str(exc)]}))
        return super().handle_exception(exc)


class Usage(AboutUsage):
    """Requests, tokens and dollars, summed by whatever is asked for."""

    @extend_schema(parameters=PARAMETERS, responses={200: UsagePageSerializer, **REFUSALS, 404: NO_PAGE})
    def get(self, request: Request) -> HttpResponseBase:
        question, number, size = self.question(request), page_number(request), page_size(request)
        if wants_csv(request):
            usage(question, limit=1)  # what is wrong with the question is said before the first row
            cells = ((*row.group, *row.sums.values()) for row in each_usage(question))
            return spreadsheet("usage", (*question.group_by, *FIGURES), cells)
        rows, count = usage(question, limit=size, offset=(number - 1) * size)
        return paged(request, [_shown(question, row) for row in rows], count)


class Focus(AboutUsage):
    """Costs as FOCUS 1.2 describes them: a row for each day, team, project, model, price and kind of token."""

    renderer_classes = (CsvRenderer,)

    @extend_schema(
        parameters=[*PERIOD, OpenApiParameter("team", description="An exact value.")],
        responses={(200, "text/csv"): OpenApiTypes.STR, **REFUSALS},
    )
    def get(self, request: Request) -> HttpResponseBase:
        question = self.question(request)
        other = [name for name, _ in question.names if name != "team"]
        if other or question.group_by or question.tags or question.zone != "UTC":
            raise ValidationError({"detail": ["This export takes since, until and team."]})
        now = timezone.now()
        until = question.until or now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
        since = question.since or (until - timedelta(microseconds=1)).replace(
            day=1, hour=0, minute=0, second=0, microsecond=0
        )
        question = replace(question, since=since, until=until)
        return spreadsheet("focus", COLUMNS, charges(question, now))


def page_number(request: Request) -> int:
    text = request.query_params.get("page", "1")
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:10]) <= 10**7:
        raise NotFound("Invalid page.")
    return int(text)


def page_size(request: Request) -> int:
    return Pages().get_page_size(request) or Pages.page_size


def paged(request: Request, results: list[dict[str, Any]], count: int) -> Response:
    """A page of `count` rows, with the addresses of those around it."""
    number, size = page_number(request), page_size(request)
    if not results and number > 1:
        raise NotFound("Invalid page.")
    address = request.build_absolute_uri()
    before = remove_query_param(address, "page") if number == 2 else replace_query_param(address, "page", number - 1)
    return Response(
        {
            "count": count,
            "next": replace_query_param(address, "page", number + 1) if count > number * size else None,
            "previous": before if number > 1 else None,
            "results": results,
        }
    )


def groups_of(question: Question, row: UsageRow) -> dict[str, Any]:
    """The values that were grouped by, each under its name."""
    return dict(zip(question.group_by, map(plain, row.group), strict=True))


def _shown(question: Question, row: UsageRow) -> dict[str, Any]:
    sums = {name: plain(value) if name.endswith("_usd") else value for name, value in row.sums.items()}
    return {**groups_of(question, row), **sums}
