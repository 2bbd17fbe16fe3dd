"""A list of requests, page by page: filtered without scanning more than a bounded number of records.

A page begins where another one ended, at a moment and a record's number, so that it costs the same a year back as today. What
no index can find is looked for among the next `MOST_LOOKED_AT` records only; where nothing was found there, the page says up
to which moment it has looked, and the next one looks on.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db.models import Q, QuerySet

from accounting.models import RequestRecord

PAGE = 50
MOST_LOOKED_AT = 20_000  # of a team: they lie side by side
MOST_OF_A_KEY = 5_000  # of a key or a session: each lies elsewhere
MOST_EXPORTED = 10_000
MOST_STRETCHES = 20  # of looking, for one export
MAIN = "main"  # the agent without an id
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
Records = QuerySet[RequestRecord]


@dataclass(frozen=True, slots=True)
class Place:
    """Where in the list a page begins: beside this record, which it does not show."""

    moment: datetime
    number: int

    def __str__(self) -> str:
        return f"{(self.moment - _EPOCH) // _MICROSECOND}-{self.number}"


def read_place(text: str) -> Place | None:
    """The place that an address names; None for what names none."""
    moment, _, number = text.partition("-")
    if not (moment.isascii() and moment.isdigit() and number.isascii() and number.isdigit()):
        return None
    if len(moment) > 17 or len(number) > 18:
        return None
    return Place(_EPOCH + int(moment) * _MICROSECOND, int(number))


@dataclass(frozen=True, slots=True)
class Question:
    """Which requests: of a period, with exact values; `model` is the name asked for or the one served. `text` is a request's
    id, or a session's."""

    since: datetime | None = None
    until: datetime | None = None
    text: str = ""
    outcome: str = ""
    model: str = ""
    project: str = ""
    key: str = ""
    person: str = ""
    session: str = ""
    agent: str = ""
    status: int | None = None
    least_cost: Decimal | None = None

    @property
    def needs_looking(self) -> bool:
        """Whether the records of the period have to be looked at one by one."""
        if self.session or self.text:
            return False
        others = (self.outcome, self.model, self.project, self.person, self.agent)
        return any(others) or self.status is not None or self.least_cost is not None


@dataclass(frozen=True, slots=True)
class Listed:
    """One page, newest first. `looked_to` is the moment up to which was looked, if the page ended for that reason."""

    rows: list[RequestRecord]
    newer: Place | None
    older: Place | None
    looked_to: datetime | None = None


def listed(
    records: Records, question: Question, *, before: Place | None = None, after: Place | None = None, size: int = PAGE
) -> Listed:
    """The page below `before`, or the one above `after`, or the newest."""
    if question.text:
        return Listed(list(_named(records, question.text)[:size]), None, None)
    up = after is not None
    edge = _edge(records, question, before or after, up=up) if question.needs_looking else None
    found = beside(_kept(records, question), before or after, up=up)
    if edge is not None:
        found = found.filter(_up_to(edge, up=up))
    rows = list(found[: size + 1])
    more, rows = len(rows) > size, rows[:size]
    if up and not more and edge is None:
        return listed(records, question, size=size)
    ends = [Place(row.started_at, row.pk) for row in rows]
    on = ends[-1] if more else edge
    back = (ends[0] if ends else before or after) if before or after else None
    looked_to = edge.moment if edge is not None and not more else None
    if up:
        return Listed(rows[::-1], on, back, looked_to)
    return Listed(rows, back, on, looked_to)


def each_record(records: Records, question: Question, most: int = MOST_EXPORTED) -> Iterator[RequestRecord]:
    """The newest records that fit, read in stretches of which each looks at a bounded number of records."""
    place, told = None, 0
    for _ in range(MOST_STRETCHES):
        page = listed(records, question, before=place, size=1000)
        yield from page.rows[: most - told]
        told += len(page.rows)
        if page.older is None or told >= most:
            return
        place = page.older


def _named(records: Records, text: str) -> Records:
    """The request of this id; otherwise the requests of the session of this id."""
    found = records.filter(request_id=text)
    return found if found.exists() else records.filter(session_id=text).order_by("-started_at", "-id")


def _kept(records: Records, question: Question) -> Records:
    exact: dict[str, Any] = {
        "outcome": question.outcome,
        "project": question.project,
        "key_prefix": question.key,
        "user": question.person,
        "session_id": question.session,
    }
    found = of_period(records, question.since, question.until).filter(
        **{name: value for name, value in exact.items() if value}
    )
    if question.agent:
        found = found.filter(agent_id="" if question.agent == MAIN else question.agent)
    if question.model:
        found = found.filter(Q(alias=question.model) | Q(upstream_model=question.model))
    if question.status is not None:
        found = found.filter(status=question.status)
    if question.least_cost is not None:
        found = found.filter(cost_usd__gte=question.least_cost)
    return found


def of_period(records: Records, since: datetime | None, until: datetime | None) -> Records:
    if since is not None:
        records = records.filter(started_at__gte=since)
    return records if until is None else records.filter(started_at__lt=until)


def beside(records: Records, place: Place | None, *, up: bool) -> Records:
    ordered = records.order_by("started_at", "id") if up else records.order_by("-started_at", "-id")
    if place is None:
        return ordered
    beyond, bound = ("gt", "gte") if up else ("lt", "lte")
    same = Q(**{"started_at": place.moment, f"id__{beyond}": place.number})
    return ordered.filter(Q(**{f"started_at__{beyond}": place.moment}) | same, **{f"started_at__{bound}": place.moment})


def _up_to(edge: Place, *, up: bool) -> Q:
    return Q(started_at__lte=edge.moment) if up else Q(started_at__gte=edge.moment)


def _edge(records: Records, question: Question, place: Place | None, *, up: bool) -> Place | None:
    all_of_it = of_period(records, question.since, question.until)
    if question.key:
        all_of_it = all_of_it.filter(key_prefix=question.key)
    most = MOST_OF_A_KEY if question.key else MOST_LOOKED_AT
    return edge_of(all_of_it, place, most, up=up)


def edge_of(
    records: Records, place: Place | None = None, most: int = MOST_LOOKED_AT, *, up: bool = False
) -> Place | None:
    """Where looking ends: the last of the next so many records; None if there are not so many."""
    places = beside(records, place, up=up).values_list("started_at", "id")
    found = list(places[most - 1 : most])
    return Place(*found[0]) if found else None
