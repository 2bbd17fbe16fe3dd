"""How many requests were not served, and why: refusals by reason, errors by kind, out of the outcomes of hours.

Reasons are kept by team, project, name asked for, provider and model; not by key, person and tag.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from accounting.money.contributions import TOTALS, Statement, contributions
from accounting.money.dialect import moment
from accounting.money.facts import named
from accounting.money.periods import Stretch, stretches
from accounting.money.question import BadQuestion, Question
from accounting.money.rebuild import between
from accounting.money.rollups import DIMENSIONS, OUTCOMES

MOST = 1000  # rows
_EARLIEST, _LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class OutcomeRow:
    """`outcome` is a record's, other than `served`; `group` has the values that were asked for, in their order."""

    group: tuple[str, ...]
    outcome: str
    reason: str
    requests: int


def outcomes(question: Question, *, limit: int = MOST) -> list[OutcomeRow]:
    """By group, outcome and reason, the most first within each outcome of a group. Raises BadQuestion for names by which no
    reasons are kept."""
    other = {*question.group_by, *(name for name, _ in question.names)} - TOTALS
    if other or question.tags:
        kept = ", ".join(sorted(TOTALS))
        raise BadQuestion(f"Reasons are kept by {kept}; not by keys, people, tags and times.")
    columns = [f'names."{name}"' for name in question.group_by]
    places = ", ".join(str(place + 1) for place in range(len(columns) + 2))
    ordered = ", ".join([*(str(place + 1) for place in range(len(columns) + 1)), f"{len(columns) + 3} DESC", places])
    facts = _facts(question)
    names = f" JOIN {DIMENSIONS} names ON names.id = facts.dimension_id" if columns else ""
    sql = (
        f"SELECT {', '.join([*columns, 'outcome', 'reason', 'SUM(requests)'])} FROM ({facts.sql}) AS facts{names} "
        f"GROUP BY {places} ORDER BY {ordered} LIMIT %s"
    )
    rows = Statement(sql, (*facts.parameters, limit)).run()
    return [OutcomeRow(tuple(map(str, row[:-3])), str(row[-3]), str(row[-2]), int(row[-1])) for row in rows]


def _facts(question: Question) -> Statement:
    names = named(question)
    parts: list[str] = []
    parameters: list[Any] = []
    nothing = Stretch("hour", _EARLIEST, _EARLIEST)
    for stretch in stretches(question.since, question.until, ("hour",)) or [nothing]:
        part = _cut(stretch) if stretch.unit is None else _hours(stretch)
        parts.append(f"{part.sql}{names.sql}")
        parameters += [*part.parameters, *names.parameters]
    return Statement(" UNION ALL ".join(parts), tuple(parameters))


def _hours(stretch: Stretch) -> Statement:
    bounds = [("bucket >= %s", stretch.start), ("bucket < %s", stretch.end)]
    given = [(text, moment(value)) for text, value in bounds if value is not None]
    conditions = "".join(f" AND {text}" for text, _ in given)
    sql = f"SELECT dimension_id, outcome, reason, requests FROM {OUTCOMES} WHERE true{conditions}"
    return Statement(sql, tuple(value for _, value in given))


def _cut(stretch: Stretch) -> Statement:
    """What lies in no whole hour, out of records."""
    added = contributions(between(stretch.start or _EARLIEST, stretch.end or _LATEST))
    source = f"SELECT totals_id AS dimension_id, outcome, reason, requests FROM ({added.sql}) AS part"
    sql = f"SELECT dimension_id, outcome, reason, requests FROM ({source}) AS added WHERE outcome NOT IN ('', 'served')"
    return Statement(sql, added.parameters)
