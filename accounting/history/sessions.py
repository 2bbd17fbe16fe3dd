"""Sessions: the requests that carry one session id, summed. A list of them looks at a bounded number of records."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Count, Max, Min, Q, Sum

from accounting.history.listing import MOST_LOOKED_AT, MOST_OF_A_KEY, Records, edge_of, of_period
from accounting.history.sums import ERRORS, KINDS, REFUSED, Sums

PAGE = 50
MOST_PAGES = 400  # of PAGE rows: no more sessions than records that are looked at


@dataclass(frozen=True, slots=True)
class SessionQuestion:
    """Which sessions: those with requests in a period, of a person, of a key (by its prefix), or the one of an id."""

    since: datetime
    until: datetime
    person: str = ""
    key: str = ""
    session: str = ""


@dataclass(frozen=True, slots=True)
class SessionRow:
    """One session, as far as its requests are in the period. `agents` counts the main one too."""

    team: str
    session_id: str
    person: str
    key: str
    key_prefix: str
    first_at: datetime
    last_at: datetime
    agents: int
    sums: Sums


@dataclass(frozen=True, slots=True)
class SessionPage:
    """`looked_to`: older requests of the period were not looked at, because they are too many."""

    rows: list[SessionRow]
    number: int
    more: bool
    looked_to: datetime | None

    # As a page of Django's paginator, for the pager.

    def has_previous(self) -> bool:
        return self.number > 1

    def has_next(self) -> bool:
        return self.more

    def has_other_pages(self) -> bool:
        return self.more or self.number > 1

    def previous_page_number(self) -> int:
        return self.number - 1

    def next_page_number(self) -> int:
        return self.number + 1


def sessions(records: Records, question: SessionQuestion, number: int = 1, size: int = PAGE) -> SessionPage:
    """A page of sessions, those seen last first. Two queries."""
    found = of_period(records, question.since, question.until)
    if question.key:
        found = found.filter(key_prefix=question.key)
    if question.session:
        found = found.filter(session_id=question.session)
    edge = edge_of(found, most=MOST_OF_A_KEY if question.key or question.session else MOST_LOOKED_AT)
    if edge is not None:
        found = found.filter(started_at__gte=edge.moment)
    if question.person:
        found = found.filter(user=question.person)
    groups: Any = found.exclude(session_id="").order_by().values("team", "session_id").annotate(**_sums())
    start = (number - 1) * size
    rows = list(groups.order_by("-last_at", "session_id")[start : start + size + 1])
    looked_to = edge.moment if edge is not None else None
    return SessionPage([_row(row) for row in rows[:size]], number, len(rows) > size, looked_to)


def _sums() -> dict[str, Any]:
    tokens = {f"sum_{name}": Sum(column) for name, column in KINDS}
    return {
        "first_at": Min("started_at"),
        "last_at": Max("started_at"),
        "agents": Count("agent_id", distinct=True),
        "some_person": Max("user"),
        "some_key": Max("key"),
        "some_prefix": Max("key_prefix"),
        "requests": Count("id"),
        "errors": Count("id", filter=Q(outcome__in=ERRORS)),
        "refused": Count("id", filter=Q(outcome=REFUSED)),
        "cost": Sum("cost_usd"),
        **tokens,
    }


def _row(row: dict[str, Any]) -> SessionRow:
    tokens = {name: int(row[f"sum_{name}"] or 0) for name, _ in KINDS}
    sums = Sums(row["requests"], row["errors"], row["refused"], row["cost"], tokens)
    names = (row["team"], row["session_id"], row["some_person"], row["some_key"], row["some_prefix"])
    return SessionRow(*names, row["first_at"], row["last_at"], row["agents"], sums)
