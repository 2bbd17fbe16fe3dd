"""The views of the REST API."""

from typing import Any

from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.db.models import QuerySet
from django.http import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema, extend_schema_view
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView
from rest_framework import generics
from rest_framework.exceptions import NotAuthenticated
from rest_framework.request import Request

from accounting.api.authentication import ApiTokenAuthentication, SignedInAuthentication
from accounting.api.filters import PriceFilter, RecordFilter
from accounting.api.permissions import Known, ReadsRecords
from accounting.api.serializers import PriceSerializer, RecordSerializer, RefusalSerializer
from accounting.api.spreadsheets import AlsoAsCsv, table, wants_csv
from accounting.models import Price, RequestRecord
from accounting.selectors import Viewer, visible_records


class _Records(generics.GenericAPIView[RequestRecord]):
    authentication_classes = (ApiTokenAuthentication, SignedInAuthentication)
    permission_classes = (ReadsRecords,)
    serializer_class = RecordSerializer
    queryset = RequestRecord.objects.none()  # for the schema

    def get_queryset(self) -> QuerySet[RequestRecord]:
        viewer = self.request.user
        return visible_records(viewer) if isinstance(viewer, Viewer) else RequestRecord.objects.none()

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        final = super().finalize_response(request, response, *args, **kwargs)
        final["Cache-Control"] = "private, no-store"
        return final


_REFUSALS = {
    401: OpenApiResponse(RefusalSerializer, "No token, or one that is unknown, revoked or has expired."),
    403: OpenApiResponse(RefusalSerializer, "This account may not read request records."),
}


@extend_schema_view(
    get=extend_schema(
        responses={
            200: RecordSerializer(many=True),
            400: OpenApiResponse(OpenApiTypes.OBJECT, "A filter that does not exist, is empty or cannot be read."),
            404: OpenApiResponse(RefusalSerializer, "There is no such page."),
            **_REFUSALS,
        }
    )
)
class RecordList(_Records, generics.ListAPIView[RequestRecord]):
    """Requests, newest first."""

    filterset_class = RecordFilter


@extend_schema_view(
    get=extend_schema(
        responses={
            200: RecordSerializer,
            404: OpenApiResponse(RefusalSerializer, "There is no such record, or not for this reader."),
            **_REFUSALS,
        }
    )
)
class RecordDetail(_Records, generics.RetrieveAPIView[RequestRecord]):
    """One request by the id that its answer carried."""

    lookup_field = "request_id"
    filter_backends = ()


@extend_schema_view(
    get=extend_schema(
        responses={
            200: PriceSerializer(many=True),
            400: OpenApiResponse(OpenApiTypes.OBJECT, "A filter that does not exist, is empty or cannot be read."),
            404: OpenApiResponse(RefusalSerializer, "There is no such page."),
            401: _REFUSALS[401],
        }
    )
)
class PriceList(AlsoAsCsv, generics.ListAPIView[Price]):
    """Every row of prices, shipped and added ones, past and future; as CSV all of them."""

    authentication_classes = (ApiTokenAuthentication, SignedInAuthentication)
    permission_classes = (Known,)
    serializer_class = PriceSerializer
    filterset_class = PriceFilter
    queryset = Price.objects.order_by("provider", "model", "-valid_from", "-id")

    def list(self, request: Request, *args: Any, **kwargs: Any) -> Any:
        if not wants_csv(request):
            return super().list(request, *args, **kwargs)
        rows = self.get_serializer(self.filter_queryset(self.get_queryset()), many=True).data
        return table("prices", rows, (*PriceSerializer.Meta.fields, "long_context", "fast"))


class Schema(SpectacularAPIView):
    """The OpenAPI description of this API, YAML or JSON by `Accept`."""

    authentication_classes = (ApiTokenAuthentication, SignedInAuthentication)
    permission_classes = (Known,)


class Docs(SpectacularSwaggerSplitView):
    """The same as a page to try it out on; nothing on it comes from another host."""

    authentication_classes = (ApiTokenAuthentication, SignedInAuthentication)
    permission_classes = (Known,)
    template_name = "api/docs.html"
    url_name = "api:schema"

    def handle_exception(self, exc: Exception) -> Any:
        if isinstance(exc, NotAuthenticated):
            page: HttpResponseBase = redirect_to_login(self.request.get_full_path(), settings.LOGIN_URL)
            return page
        return super().handle_exception(exc)
