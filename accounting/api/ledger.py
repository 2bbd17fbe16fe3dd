"""The ledger, line by line: `GET /api/v1/ledger/`."""

import json
from collections.abc import Iterator
from typing import Any

from django.db.models import Q, QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema, extend_schema_view
from rest_framework import generics
from rest_framework.request import Request

from accounting.api.authentication import ApiTokenAuthentication, SignedInAuthentication
from accounting.api.filters import LedgerFilter
from accounting.api.permissions import ReadsRecords
from accounting.api.serializers import LedgerSerializer, RefusalSerializer
from accounting.api.spreadsheets import AlsoAsCsv, wants_csv
from accounting.models import LedgerEntry
from accounting.selectors import Viewer, visible_ledger
from accounting.spreadsheets import spreadsheet

_READ_AT_ONCE = 2000
_TOKENS = ("tokens_input", "tokens_output", "tokens_cache_read", "tokens_cache_write_5m", "tokens_cache_write_1h")
COLUMNS = (
    "request_id", "number", "kind", "attempt", "at", "team", "project", "key", "key_prefix", "user", "session_id", "alias",
    "provider", "model", "tags", *_TOKENS, "web_searches", "cost_usd", "price", "estimated", "adjusts", "reason", "actor",
    "posted_at",
)  # fmt: skip


@extend_schema_view(
    get=extend_schema(
        responses={
            200: LedgerSerializer(many=True),
            400: OpenApiResponse(OpenApiTypes.OBJECT, "A filter that does not exist, is empty or cannot be read."),
            401: OpenApiResponse(RefusalSerializer, "No token, or one that is unknown, revoked or has expired."),
            403: OpenApiResponse(RefusalSerializer, "This account may not read request records."),
            404: OpenApiResponse(RefusalSerializer, "There is no such page."),
        }
    )
)
class LedgerList(AlsoAsCsv, generics.ListAPIView[LedgerEntry]):
    """Lines of the ledger, those of the newest requests first; as CSV all of them."""

    authentication_classes = (ApiTokenAuthentication, SignedInAuthentication)
    permission_classes = (ReadsRecords,)
    serializer_class = LedgerSerializer
    filterset_class = LedgerFilter
    queryset = LedgerEntry.objects.none()  # for the schema

    def get_queryset(self) -> QuerySet[LedgerEntry]:
        viewer = self.request.user
        return visible_ledger(viewer) if isinstance(viewer, Viewer) else LedgerEntry.objects.none()

    def list(self, request: Request, *args: Any, **kwargs: Any) -> Any:
        if not wants_csv(request):
            return super().list(request, *args, **kwargs)
        entries = self.filter_queryset(self.get_queryset())
        return spreadsheet("ledger", COLUMNS, map(_cells, each_entry(entries)))


def each_entry(entries: QuerySet[LedgerEntry]) -> Iterator[LedgerEntry]:
    """All of them, newest first, by short queries that begin where the last one ended."""
    rest = entries
    while found := list(rest[:_READ_AT_ONCE]):
        yield from found
        last = found[-1]
        rest = entries.filter(Q(at__lt=last.at) | Q(at=last.at, id__lt=last.pk), at__lte=last.at)


def _cells(entry: LedgerEntry) -> list[Any]:
    values = {name: getattr(entry, name) for name in COLUMNS}
    for name in ("tags", "price"):
        values[name] = json.dumps(values[name], ensure_ascii=False) if values[name] else None
    values["estimated"] = "true" if entry.estimated else "false"
    return list(values.values())
