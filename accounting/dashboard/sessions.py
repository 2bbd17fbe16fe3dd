"""The sessions of a team, and one of them as a tree of agents."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

from django import forms
from django.http import Http404, HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounting.dashboard.drawings import lanes_of, token_parts
from accounting.dashboard.request_filters import MOST_OFFERED, Suggested, keys_of, suggestions
from accounting.dashboard.requests import records_of
from accounting.history.agents import Agent, Session, session_of
from accounting.history.sessions import MOST_PAGES, SessionPage, SessionQuestion, sessions
from accounting.models import Team
from gateway_project.dashboard.frame import TeamPage, render_page, team_page
from gateway_project.dashboard.periods import HOURS_24, Period, read_period

LONGEST = timedelta(days=8)  # of a list that nothing narrows: seven whole days and the present one
AGENTS = 40  # of one page
SHOWN_REQUESTS = 12  # of each agent; the list of requests has them all


class SessionFilters(forms.Form):
    """Each may be left empty."""

    q = forms.CharField(
        label=_("Session id"), required=False, max_length=200, widget=forms.TextInput({"type": "search"})
    )
    person = forms.CharField(label=_("Person"), required=False, max_length=254, widget=Suggested("people"))
    key = forms.ChoiceField(label=_("Key"), required=False)

    def __init__(self, data: Any, team: Team) -> None:
        super().__init__(data, label_suffix="")
        offered = keys_of(team)
        chosen = str(data.get("key", ""))
        if chosen and chosen not in dict(offered):
            offered.append((chosen[:20], chosen[:20]))
        self.fields["key"].choices = [("", _("all")), *offered]  # type: ignore[attr-defined]


@team_page("sessions")
def session_list(request: HttpRequest, page: TeamPage) -> HttpResponse:
    """Those seen last first."""
    filters = SessionFilters(request.GET, page.team)
    period = read_period(request.GET, page.zone, timezone.now(), default=HOURS_24)
    records = records_of(page)
    context: dict[str, Any] = {"filters": filters, "period": period}
    if filters.is_valid():
        question = _question(filters.cleaned_data, period)
        narrows = any(filters.cleaned_data.values())
        cut = not narrows and question.until - question.since > LONGEST
        if cut:
            question = replace(question, since=question.until - LONGEST)
        found: SessionPage = sessions(records, question, _number(request))
        context |= {"listed": found, "narrows": narrows, "cut_to": question.since if cut else None}
    return render_page(request, page, "dashboard/sessions.html", context | suggestions(records))


@team_page("sessions")
def one_session(request: HttpRequest, page: TeamPage, session: str) -> HttpResponse:
    """The agents of a session, a page of them at a time."""
    found = session_of(records_of(page), session[:200])
    if found is None:
        raise Http404
    number = _number(request)
    pages = max(1, -(-len(found.agents) // AGENTS))
    number = min(number, pages)
    agents = found.agents[(number - 1) * AGENTS : number * AGENTS]
    context = {
        "session": found,
        "tokens": token_parts(found.sums.tokens),
        "branches": [_branch(agent, found, lane) for agent, lane in _with_lanes(agents, found)],
        "listed": SessionPage([], number, number < pages, None),
        "people": _names(found, "user"),
        "keys": _names(found, "key"),
        "failures": [each for agent in found.agents for each in agent.failures][:MOST_OFFERED],
    }
    return render_page(request, page, "dashboard/session.html", context)


def _question(values: dict[str, Any], period: Period) -> SessionQuestion:
    return SessionQuestion(
        period.since, period.until, values["person"].strip(), values["key"], values["q"].strip().replace("\x00", "")
    )


def _with_lanes(agents: list[Agent], session: Session) -> Any:
    return zip(agents, lanes_of(agents, session.first_at, session.last_at), strict=True)


def _branch(agent: Agent, session: Session, lane: Any) -> dict[str, Any]:
    """An agent as the page shows it: its latest requests, newest first, and how many there are beyond them."""
    return {
        "agent": agent,
        "lane": lane,
        "indent": min(agent.depth, 6),
        "tokens": token_parts(agent.sums.tokens),
        "requests": agent.requests[: -SHOWN_REQUESTS - 1 : -1],
        "more": max(0, len(agent.requests) - SHOWN_REQUESTS),
        "failures": agent.failures,
        "started_by": agent.parent_id,
    }


def _names(session: Session, column: str) -> list[str]:
    return sorted({getattr(each, column) for agent in session.agents for each in agent.requests} - {""})[:20]


def _number(request: HttpRequest) -> int:
    text = request.GET.get("page", "1")
    return min(max(1, int(text)), MOST_PAGES) if text.isascii() and text.isdigit() and len(text) < 6 else 1
