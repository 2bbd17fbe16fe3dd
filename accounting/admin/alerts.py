"""Alerts in the console: what was raised, for every team and for the platform, and where it went."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html_join
from django.utils.safestring import SafeString

from accounting.admin.records import HistoryAdmin
from accounting.models import AlertEvent
from accounting.templatetags.console import moment, pill

_TONES = {"sent": "good", "failed": "bad", "waiting": "info"}


@admin.register(AlertEvent)
class AlertEventAdmin(HistoryAdmin):
    list_display = ("time", "whose", "title", "rule_name", "sent")
    list_filter = ("kind",)
    search_fields = ("team", "title", "rule_name")
    empty_hint = "Nothing was raised. Rules are set on a team's dashboard; those of the platform by the REST API."

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset(request)
        return rows.prefetch_related("deliveries").order_by("-id")

    @admin.display(description="time")
    def time(self, row: AlertEvent) -> SafeString | str:
        return moment(row.at)

    @admin.display(description="team")
    def whose(self, row: AlertEvent) -> str:
        return row.team or "platform"

    @admin.display(description="sent to")
    def sent(self, row: AlertEvent) -> SafeString | str:
        pills = [(_pill(each.destination_name, each.state),) for each in row.deliveries.all()]
        return format_html_join(" ", "{}", pills) if pills else "—"


def _pill(name: str, state: str) -> SafeString:
    return pill(f"{name}: {state}", _TONES.get(state, "calm"))
