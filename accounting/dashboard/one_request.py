"""A request's own page: what became of it, why, and what it cost."""

from typing import Any

from django.http import Http404, HttpRequest, HttpResponse

from accounting.dashboard.drawings import KIND_LABELS, timeline_of, token_parts
from accounting.dashboard.requests import records_of
from accounting.history.one import story_of
from accounting.history.sums import hit_rate, tokens_of
from accounting.models import RequestRecord, VirtualKey
from gateway_project.dashboard.frame import TeamPage, render_page, team_page

RATES = ("input", "cache_write_5m", "cache_write_1h", "cache_read", "output")


@team_page("requests")
def one_request(request: HttpRequest, page: TeamPage, request_id: str) -> HttpResponse:
    """A request of another team is not there."""
    records = records_of(page)
    record = None if "\x00" in request_id else records.filter(request_id=request_id[:40]).first()
    if record is None:
        raise Http404
    story = story_of(records, record)
    tokens = tokens_of(record)
    context = {
        "record": record,
        "story": story,
        "lanes": timeline_of(record),
        "kinds": _kinds(record),
        "token_total": sum(tokens.values()),
        "hit_rate": hit_rate(tokens),
        "key_id": _key_of(record),
        "explainable": bool(record.key_prefix and record.alias),
    }
    return render_page(request, page, "dashboard/request.html", context)


def _kinds(record: RequestRecord) -> list[dict[str, Any]]:
    """Each kind of tokens with its count and unit price, in the order in which they are always shown."""
    price = record.price if isinstance(record.price, dict) else {}
    parts = token_parts(tokens_of(record))
    return [
        {"part": part, "label": KIND_LABELS[name], "price": price.get(name)}
        for name, part in zip(RATES, parts, strict=True)
    ]


def _key_of(record: RequestRecord) -> int | None:
    """The key that asked, if it is still there and the only one with its prefix in this team."""
    if not record.key_prefix:
        return None
    found = VirtualKey.objects.filter(prefix=record.key_prefix, project__team__name=record.team)
    ids = list(found.values_list("pk", flat=True)[:2])
    return ids[0] if len(ids) == 1 else None
