"""What was changed in a team: who, when, what, before and after."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone

from accounting.access.roles import ADMIN, VIEWER
from accounting.activity import Wanted, narrowed, offered, slice_of, visible_events
from accounting.dashboard.acting import party_of
from accounting.models import AuditEvent
from accounting.templatetags.console import action_word, spaced
from accounting.templatetags.dashboard import told
from gateway_project.dashboard.frame import TeamPage, render_page, team_page
from gateway_project.dashboard.periods import DAYS_90, Period, read_period

ON_A_PAGE = 50
MOST_FIELDS = 40
MOST_OPEN = 6  # fields that are shown without a click


@dataclass(frozen=True, slots=True)
class Line:
    """An event, and what it changed as texts: field, before, after."""

    event: AuditEvent
    kind: str
    changes: tuple[tuple[str, str, str], ...]

    @property
    def folded(self) -> bool:
        """A whole row that came or went says little that its name does not say."""
        return self.event.action in {"created", "deleted"} or len(self.changes) > MOST_OPEN


@team_page("activity", least=VIEWER)
def activity(request: HttpRequest, page: TeamPage) -> HttpResponse:
    """The team's events, newest first."""
    period = read_period(request.GET, page.zone, timezone.now(), default=DAYS_90)
    asked = {name: request.GET.get(name, "")[:300].replace("\x00", "") for name in ("actor", "object_type", "action")}
    events = visible_events(party_of(page)).filter(team=page.team.name)
    wanted = Wanted(**asked, since=period.since, until=period.until)
    found = slice_of(
        narrowed(events, wanted), before=_number(request, "before"), after=_number(request, "after"), size=ON_A_PAGE
    )
    names = {
        "lines": [_line(event) for event in found.events],
        "found": found,
        "asked": asked,
        "filtered": any(asked.values()),
        "offered": _choices(offered(events), asked),
        "period": period,
        "sources": page.may(ADMIN) or page.standing == "auditor",
        "csv": _csv_address(page, asked, period),
    }
    return render_page(request, page, "dashboard/activity.html", names)


def _line(event: AuditEvent) -> Line:
    changes = event.changes if isinstance(event.changes, dict) else {}
    pairs = []
    for name, change in list(changes.items())[:MOST_FIELDS]:
        pair = change if isinstance(change, list) and len(change) == 2 else [None, change]
        pairs.append((spaced(name), told(pair[0]), told(pair[1])))
    return Line(event, spaced(event.object_type), tuple(pairs))


def _choices(values: dict[str, list[str]], asked: dict[str, str]) -> dict[str, list[tuple[str, str]]]:
    """What filters offer, and what was asked though it is not among it."""
    words: dict[str, Callable[[str], str]] = {"object_type": spaced, "action": action_word}
    return {
        name: [(value, words.get(name, str)(value)) for value in sorted({*found, asked[name]} - {""})]
        for name, found in values.items()
    }


def _number(request: HttpRequest, name: str) -> int | None:
    text = request.GET.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


def _csv_address(page: TeamPage, asked: dict[str, str], period: Period) -> str:
    query: dict[str, Any] = {"format": "csv", "team": page.team.name, **{k: v for k, v in asked.items() if v}}
    query |= {"since": period.since.isoformat(), "until": period.until.isoformat()}
    return f"{reverse('api:audit_events')}?{urlencode(query)}"
