"""The audit log in the REST API: for administrators and auditors all of it, for the members of a team the team's."""

# django-filter has no types
# mypy: disable-error-code="no-untyped-call, misc, assignment, name-defined"

from collections.abc import Sequence
from typing import Any

import django_filters
from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import generics
from rest_framework.request import Request

from accounting.access.roles import ADMIN, at_least
from accounting.activity import visible_events
from accounting.api.filters import IntegerFilter, MomentFilter, StrictForm
from accounting.api.parties import READING, PartyView
from accounting.api.people_serializers import AuditEventSerializer
from accounting.api.spreadsheets import AlsoAsCsv, table, wants_csv
from accounting.models import AuditEvent

MOST_AS_CSV = 100_000


class EventFilter(django_filters.FilterSet):
    """Exact values. `before_id` and `after_id` go on from an event, whatever was added meanwhile."""

    since = MomentFilter("at", lookup_expr="gte", help_text="At this moment or later (ISO 8601).")
    until = MomentFilter("at", lookup_expr="lt", help_text="Before this moment (ISO 8601).")
    before_id = IntegerFilter("id", lookup_expr="lt", help_text="Older than the event with this id.")
    after_id = IntegerFilter("id", lookup_expr="gt", help_text="Newer than the event with this id.")

    class Meta:
        model = AuditEvent
        form = StrictForm
        fields = ("team", "actor", "actor_kind", "action", "object_type", "object_id")


@extend_schema_view(get=extend_schema(responses={200: AuditEventSerializer(many=True), **READING}))
class AuditEventList(AlsoAsCsv, PartyView, generics.ListAPIView[AuditEvent]):
    """Changes of configuration, newest first; as CSV without pages, the latest 100,000. Where somebody came from (`source`)
    is for admins of the team."""

    serializer_class = AuditEventSerializer
    filterset_class = EventFilter
    queryset = AuditEvent.objects.none()  # for the schema

    def get_queryset(self) -> QuerySet[AuditEvent]:
        return visible_events(self.party)

    def list(self, request: Request, *args: Any, **kwargs: Any) -> Any:
        rows = self.filter_queryset(self.get_queryset())
        if wants_csv(request):
            return table("audit-events", self._entries(rows[:MOST_AS_CSV]), AuditEventSerializer.Meta.fields)
        return self.get_paginated_response(self._entries(self.paginate_queryset(rows) or []))

    def _entries(self, rows: Any) -> Sequence[Any]:
        entries = list(self.get_serializer(rows, many=True).data)
        whole = self.party.admin or self.party.reads_all
        for entry in entries:
            if not whole and not at_least(self.party.roles.get(entry["team"], ""), ADMIN):
                entry["source"] = ""
        return entries
