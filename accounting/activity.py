"""What was changed, by whom: the audit log narrowed to who reads, filtered, and paged by id, so that pages stay what they are
while events are added."""

from dataclasses import dataclass
from datetime import datetime

from django.db.models import QuerySet

from accounting.limits.asking import Party
from accounting.models import AuditEvent

LATEST = 2000  # events whose values filters offer
LONGEST = 100  # events of a page


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which events; what is empty does not narrow."""

    actor: str = ""
    object_type: str = ""
    action: str = ""
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Slice:
    """Some events, newest first. `older` and `newer` are the ids to go on from, None where there is no more."""

    events: tuple[AuditEvent, ...]
    older: int | None
    newer: int | None


def visible_events(party: Party) -> "QuerySet[AuditEvent]":
    """The events that somebody may see, newest first: all, or those of their teams."""
    events = AuditEvent.objects.order_by("-id")
    return events if party.admin or party.reads_all else events.filter(team__in=list(party.roles))


def narrowed(events: "QuerySet[AuditEvent]", wanted: Wanted) -> "QuerySet[AuditEvent]":
    """The events that are wanted."""
    for name in ("actor", "object_type", "action"):
        if value := getattr(wanted, name):
            events = events.filter(**{name: value})
    if wanted.since is not None:
        events = events.filter(at__gte=wanted.since)
    return events.filter(at__lt=wanted.until) if wanted.until is not None else events


def slice_of(
    events: "QuerySet[AuditEvent]", *, before: int | None = None, after: int | None = None, size: int = 50
) -> Slice:
    """Those next to an id: `before` it in time, or `after` it; the newest without either."""
    size = min(size, LONGEST)
    if after is not None:
        found = list(events.filter(id__gt=after).order_by("id")[: size + 1])
        rows = found[:size][::-1]
        older = bool(rows) and events.filter(id__lt=rows[-1].pk).exists()
        return Slice(tuple(rows), rows[-1].pk if older else None, rows[0].pk if len(found) > size else None)
    found = list((events.filter(id__lt=before) if before is not None else events)[: size + 1])
    rows = found[:size]
    newer = bool(rows and before is not None and events.filter(id__gte=before).exists())
    return Slice(tuple(rows), rows[-1].pk if len(found) > size else None, rows[0].pk if newer else None)


def offered(events: "QuerySet[AuditEvent]") -> dict[str, list[str]]:
    """The values that filters offer: those of the latest events."""
    rows = list(events.values_list("actor", "object_type", "action")[:LATEST])
    return {name: sorted({row[place] for row in rows}) for place, name in enumerate(("actor", "object_type", "action"))}
