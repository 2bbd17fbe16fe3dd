"""The list of a team's requests, which follows by itself, and the same as CSV."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest, HttpResponseBase
from django.utils import timezone

from accounting.dashboard.drawings import Part, parts_of
from accounting.dashboard.request_filters import RequestFilters, suggestions
from accounting.history.listing import Listed, Question, each_record, listed, read_place
from accounting.history.sums import KINDS, tokens_of
from accounting.models import RequestRecord
from accounting.selectors import Viewer, visible_records
from accounting.spreadsheets import spreadsheet
from gateway_project.dashboard.frame import TeamPage, render_page, team_page
from gateway_project.dashboard.periods import HOURS_24, read_period

COLUMNS = (
    "started_at", "request_id", "person", "key", "project", "model", "served_by", "provider", *(name for name, _ in KINDS),
    "cost_usd", "ttft_ms", "duration_ms", "status", "outcome", "reason", "session_id", "agent_id",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Row:
    """A request as the list shows it."""

    record: RequestRecord
    tokens: list[Part]
    prompt: int

    @property
    def renamed(self) -> bool:
        """Whether another model was served than was asked for."""
        return self.record.upstream_model not in ("", self.record.alias)


def records_of(page: TeamPage) -> Any:
    """The team's records, and no others, whoever looks."""
    return visible_records(Viewer(page.user.email, "team", page.team.name))


@team_page("requests")
def requests(request: HttpRequest, page: TeamPage) -> HttpResponseBase:
    """Whole, as the rows of the newest page for those that follow (htmx), or as a spreadsheet."""
    filters = RequestFilters(request.GET, page.team)
    period = read_period(request.GET, page.zone, timezone.now(), default=HOURS_24)
    readable = filters.is_valid()
    named = readable and bool(filters.cleaned_data["session"] or filters.cleaned_data["q"])
    any_time = named and "period" not in request.GET
    records = records_of(page)
    context: dict[str, Any] = {"filters": filters, "period": period, "any_time": any_time}
    if readable:
        question = filters.question(period, any_time=any_time)
        if request.GET.get("format") == "csv":
            return spreadsheet(f"{page.team.name}-requests", COLUMNS, _cells(records, question))
        context |= _listed(request, records, question) | {"narrows": filters.narrows}
    if getattr(request, "htmx", False) and request.GET.get("part") == "rows":
        return render_page(request, page, "dashboard/partials/request_rows.html", context)
    return render_page(request, page, "dashboard/requests.html", context | suggestions(records))


def _listed(request: HttpRequest, records: Any, question: Question) -> dict[str, Any]:
    before, after = (read_place(request.GET.get(name, "")) for name in ("before", "after"))
    found: Listed = listed(records, question, before=before, after=None if before else after)
    rows = [row_of(record) for record in found.rows]
    return {"listed": found, "rows": rows, "follows": not before and not after and not question.text}


def row_of(record: RequestRecord) -> Row:
    tokens = tokens_of(record)
    return Row(record, parts_of(record), sum(tokens.values()) - tokens["output"])


def _cells(records: Any, question: Question) -> Iterator[list[Any]]:
    for record in each_record(records, question):
        tokens = tokens_of(record)
        yield [
            record.started_at, record.request_id, record.user, record.key, record.project, record.alias,
            record.upstream_model, record.provider, *tokens.values(), record.cost_usd, record.ttft_ms, record.duration_ms,
            record.status, record.outcome, record.reason, record.session_id, record.agent_id,
        ]  # fmt: skip
