"""The ledger in the console: its lines, read-only and filtered without scanning."""

from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from accounting.admin.records import HistoryAdmin, TimeFilter
from accounting.models import LedgerEntry, RequestRecord
from accounting.models.ledger import ADJUSTMENT
from accounting.money.lines import RATES, formula
from accounting.templatetags.console import dollars, grouped, moment, pill
from gateway_project.console.paging import seen


class LineTimeFilter(TimeFilter):
    column = "at"


@admin.register(LedgerEntry)
class LedgerEntryAdmin(HistoryAdmin):
    list_display = ("time", "kind_word", "used", "caller", "provider", "tokens", "cost")
    list_display_links = ("time",)
    list_filter = (LineTimeFilter, "kind", seen("team", "team"), seen("provider", "provider"), seen("model", "model"))
    seen_columns = ("team", "provider", "model")
    search_fields = ("request_id", "key_prefix")
    search_help_text = "A request id or a key's prefix, whole."
    change_form_template = "admin/ledger_entry.html"
    empty_hint = "No line in this time. Every model call that used tokens leaves one here."

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        term = search_term.strip().rstrip("…")
        if term:
            queryset = queryset.filter(Q(request_id=term) | Q(key_prefix=term))
        return queryset, False

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> Any:
        entry = kwargs.get("obj")
        if entry is not None:
            record = RequestRecord.objects.filter(request_id=entry.request_id).only("pk").first()
            address = reverse("admin:accounting_requestrecord_change", args=[record.pk]) if record else ""
            context.update(entry=entry, formula=formula(entry), record_address=address)
        return super().render_change_form(request, context, *args, **kwargs)

    @admin.display(description="time", ordering="-at")
    def time(self, entry: LedgerEntry) -> SafeString | str:
        return moment(entry.at)

    @admin.display(description="kind")
    def kind_word(self, entry: LedgerEntry) -> SafeString:
        return pill(entry.kind, "warn" if entry.kind in (ADJUSTMENT, "failed") else "calm")

    @admin.display(description="model")
    def used(self, entry: LedgerEntry) -> SafeString:
        return format_html('{}<span class="sub">{}</span>', entry.model or "—", entry.alias)

    @admin.display(description="key")
    def caller(self, entry: LedgerEntry) -> SafeString | str:
        above = " / ".join(part for part in (entry.team, entry.project) if part)
        name = entry.key or entry.key_prefix
        return format_html('{}<span class="sub">{}</span>', name, above) if name else above or "—"

    @admin.display(description="tokens in, out")
    def tokens(self, entry: LedgerEntry) -> SafeString:
        read = sum(int(getattr(entry, column)) for column, _ in RATES) - entry.tokens_output
        return format_html('{}<span class="sub">{} out</span>', grouped(read), grouped(entry.tokens_output))

    @admin.display(description="cost")
    def cost(self, entry: LedgerEntry) -> str:
        return dollars(entry.cost_usd) + (" est." if entry.estimated else "")
