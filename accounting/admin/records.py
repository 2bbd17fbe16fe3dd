"""History in the console: requests and audit events, read-only, filtered without scanning."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from accounting.models import AuditEvent, RequestRecord
from accounting.models.ledger import ADJUSTMENT
from accounting.money.formula import formulas, formulas_of
from accounting.money.lines import formula, lines_of
from accounting.templatetags.console import dollars, grouped, milliseconds, moment, outcome_pill, plain, spaced
from gateway_project.console.access import NobodyWrites
from gateway_project.console.editing import ConsoleAdmin
from gateway_project.console.figures import with_plain_figures
from gateway_project.console.paging import BoundedPaginator, HistoryList, seen

SPANS = {
    "hour": ("last hour", timedelta(hours=1)),
    "day": ("last 24 hours", timedelta(days=1)),
    "week": ("last 7 days", timedelta(days=7)),
    "month": ("last 30 days", timedelta(days=30)),
}
# In this order, and in these colours, wherever tokens are shown.
TOKEN_KINDS = (
    ("input", "tokens_input"),
    ("cache read", "tokens_cache_read"),
    ("cache write, 5 min", "tokens_cache_write_5m"),
    ("cache write, 1 h", "tokens_cache_write_1h"),
    ("output", "tokens_output"),
)
KIND_COLOURS = {"input": 1, "cache read": 3, "cache write, 5 min": 4, "cache write, 1 h": 5, "output": 2}
WIDTH = 1000.0  # of the drawings, in their own units


class TimeFilter(admin.SimpleListFilter):
    """The last hour, day, week, month. Without a choice, `default`; a search looks at all times."""

    title = "time"
    parameter_name = "when"
    column = "started_at"
    default = "day"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        self.searching = bool(request.GET.get("q"))
        return [(name, label) for name, (label, _) in SPANS.items()] + [("any", "any time")]

    def chosen(self) -> str:
        return self.value() or ("any" if self.searching else self.default)

    def choices(self, changelist: Any) -> Any:
        for name, label in self.lookup_choices:
            query = changelist.get_query_string({self.parameter_name: name})
            yield {
                "selected": self.chosen() == name,
                "query_string": query,
                "display": label,
                "default": self.default == name,
            }

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        span = SPANS.get(self.chosen())
        return queryset.filter(**{f"{self.column}__gte": timezone.now() - span[1]}) if span else queryset


class EventTimeFilter(TimeFilter):
    column = "at"
    default = "any"


class HistoryAdmin(NobodyWrites, ConsoleAdmin):
    """A table that nobody edits: no full count, no sorting by columns without an index, a page of its own per row."""

    form = forms.ModelForm  # type: ignore[assignment]
    paginator = BoundedPaginator
    show_full_result_count = False
    actions = None
    sortable_by = ()
    list_per_page = 50
    list_max_show_all = 50
    seen_columns: tuple[str, ...] = ()

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> Any:
        return HistoryList

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        return {}

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        return with_plain_figures(self.model, super().get_fieldsets(request, obj))

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> Any:
        context.setdefault("history_link", False)
        return super().render_change_form(request, context, *args, **kwargs)

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        raise Http404


@dataclass(frozen=True, slots=True)
class Part:
    """One stretch of a bar: where it begins and how long it is, in the drawing's units."""

    label: str
    amount: str
    kind: int
    start: float
    length: float


def token_parts(record: RequestRecord) -> list[Part]:
    """The tokens by kind, in the fixed order, as stretches of one bar."""
    counts = [(label, int(getattr(record, column))) for label, column in TOKEN_KINDS]
    total = sum(count for _, count in counts)
    parts, start = [], 0.0
    for label, count in counts:
        length = WIDTH * count / total if total else 0.0
        parts.append(Part(label, grouped(count), KIND_COLOURS[label], round(start, 2), round(length, 2)))
        start += length
    return parts


def first_byte_at(record: RequestRecord) -> float | None:
    """Where on the timeline the first byte stands."""
    if record.ttft_ms is None or record.duration_ms <= 0:
        return None
    return round(min(WIDTH, WIDTH * record.ttft_ms / record.duration_ms), 2)


@admin.register(RequestRecord)
class RequestRecordAdmin(HistoryAdmin):
    list_display = ("time", "outcome_word", "alias", "caller", "provider", "tokens", "cost", "times")
    list_display_links = ("time",)
    list_filter = (
        TimeFilter,
        "outcome",
        seen("team", "team"),
        seen("provider", "provider"),
        seen("client_format", "format"),
        seen("operation", "operation"),
    )
    seen_columns = ("team", "provider", "client_format", "operation")
    search_fields = ("request_id", "session_id", "key_prefix")
    search_help_text = "A request id, a session id or a key's prefix, whole."
    change_form_template = "admin/record.html"
    empty_hint = "No request in this time. Every request leaves a line here, whatever became of it."

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        term = search_term.strip().rstrip("…")
        if term:
            queryset = queryset.filter(Q(request_id=term) | Q(session_id=term) | Q(key_prefix=term))
        return queryset, False

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> Any:
        record = kwargs.get("obj")
        if record is not None:
            lines = lines_of(record)
            context.update(
                record=record,
                tokens=token_parts(record),
                token_total=sum(int(getattr(record, column)) for _, column in TOKEN_KINDS),
                first_byte_at=first_byte_at(record),
                cost=dollars(record.cost_usd),
                formulas=formulas([line for line in lines if line.kind != ADJUSTMENT]) or formulas_of(record),
                sent_again=RequestRecord.objects.filter(
                    resend_of=record.request_id, session_id=record.session_id
                ).first()
                if record.session_id
                else None,
                lines=[(line, formula(line)) for line in lines],
            )
        return super().render_change_form(request, context, *args, **kwargs)

    @admin.display(description="time", ordering="-started_at")
    def time(self, record: RequestRecord) -> SafeString | str:
        return moment(record.started_at)

    @admin.display(description="outcome")
    def outcome_word(self, record: RequestRecord) -> SafeString:
        return outcome_pill(record)

    @admin.display(description="key")
    def caller(self, record: RequestRecord) -> SafeString | str:
        above = " / ".join(part for part in (record.team, record.project) if part)
        name = record.key or record.key_prefix
        return format_html('{}<span class="sub">{}</span>', name, above) if name else "—"

    @admin.display(description="tokens in, out")
    def tokens(self, record: RequestRecord) -> SafeString:
        written = record.tokens_cache_write_5m + record.tokens_cache_write_1h
        read = grouped(record.tokens_input + record.tokens_cache_read + written)
        return format_html('{}<span class="sub">{} out</span>', read, grouped(record.tokens_output))

    @admin.display(description="cost")
    def cost(self, record: RequestRecord) -> SafeString:
        mark = "estimated" if record.estimated else ""
        return format_html('{}<span class="sub">{}</span>', f"${record.cost_usd:,.4f}", mark)

    @admin.display(description="duration")
    def times(self, record: RequestRecord) -> SafeString:
        first = f"first byte {milliseconds(record.ttft_ms)}" if record.ttft_ms is not None else ""
        return format_html('{}<span class="sub">{}</span>', milliseconds(record.duration_ms), first)


@dataclass(frozen=True, slots=True)
class Change:
    """One field of an audit event, as texts."""

    field: str
    before: str
    after: str


def changes_of(event: AuditEvent) -> list[Change]:
    found = []
    for name, value in event.changes.items():
        pair = value if isinstance(value, list) and len(value) == 2 else [None, value]
        found.append(Change(str(name).replace("_", " "), plain(pair[0]), plain(pair[1])))
    return found


@admin.register(AuditEvent)
class AuditEventAdmin(HistoryAdmin):
    list_display = ("time", "actor", "action", "what", "object_name", "fields_changed", "source")
    list_display_links = ("time",)
    list_filter = (
        EventTimeFilter,
        seen("object_type", "what", spaced),
        seen("action", "action"),
        seen("actor", "who"),
        seen("team", "team"),
    )
    seen_columns = ("object_type", "action", "actor", "team")
    search_fields = ("object_name", "actor")
    search_help_text = "The name of a thing or a person, whole."
    change_form_template = "admin/event.html"
    empty_hint = "Nothing was changed yet. Every change of the configuration leaves a line here."

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        term = search_term.strip()
        return (queryset.filter(Q(object_name=term) | Q(actor=term)) if term else queryset), False

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> Any:
        event = kwargs.get("obj")
        if event is not None:
            context.update(event=event, changes=changes_of(event))
        return super().render_change_form(request, context, *args, **kwargs)

    def title_of(self, obj: AuditEvent) -> tuple[str, str | None]:
        return f"{obj.action.capitalize()}: {spaced(obj.object_type)} {obj.object_name}", None

    @admin.display(description="time", ordering="-id")
    def time(self, event: AuditEvent) -> SafeString | str:
        return moment(event.at)

    @admin.display(description="what")
    def what(self, event: AuditEvent) -> str:
        return spaced(event.object_type)

    @admin.display(description="fields")
    def fields_changed(self, event: AuditEvent) -> SafeString | str:
        if event.action in {"created", "deleted"}:
            return ""
        names = ", ".join(str(name).replace("_", " ") for name in event.changes)
        return format_html('<span class="quiet">{}</span>', names[:120])
