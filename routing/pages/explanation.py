"""What would become of a stored request now: a part of the request's page, or a page of its own."""

from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounting.models import RequestRecord
from accounting.selectors import Viewer, visible_records
from gateway_project.dashboard.frame import TeamPage, render_page, team_page
from routing.explaining.decision import explain
from routing.explaining.explanation import Explanation
from routing.explaining.question import Unaskable
from routing.explaining.sources import NoSuchKey, grant_of, sources
from routing.explaining.stored import question_of


@team_page("requests")
def explanation(request: HttpRequest, page: TeamPage, request_id: str) -> HttpResponse:
    """Its body was not kept: one of the same length stands in."""
    records = visible_records(Viewer(page.user.email, "team", page.team.name))
    record = None if "\x00" in request_id else records.filter(request_id=request_id[:40]).first()
    if record is None:
        raise Http404
    found, problem = _explained(record)
    context = {"record": record, "found": found, "problem": problem}
    part = bool(getattr(request, "htmx", False))
    return render_page(request, page, f"dashboard/{'partials/explained' if part else 'explanation'}.html", context)


def _explained(record: RequestRecord) -> tuple[Explanation | None, Any]:
    """The explanation; without one, why there is none."""
    if not (record.key_prefix and record.alias):
        return None, _("The request named no key or no model, so there is nothing to decide.")
    figures, directory = sources(timezone.now())
    try:
        return explain(question_of(record), grant_of(record.key_prefix, directory), figures), ""
    except NoSuchKey:
        return None, _("The key of this request is not there any more.")
    except Unaskable as error:
        return None, str(error)
