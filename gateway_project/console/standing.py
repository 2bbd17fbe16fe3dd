"""How versions stand, for the overview: what processes serve, changes that failed or wait. Three bounded queries."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Q
from django.urls import reverse

from routing.models import ConfigProposal, ConfigVersion
from routing.versions.fleet import Fleet, read_fleet

SLOW = timedelta(seconds=5)  # a process that is behind for longer is worth a line; a change takes a second at most
FAILURE_SHOWN = timedelta(days=7)
MOST = 5
MOST_READ = 50


@dataclass(frozen=True, slots=True)
class Standing:
    """`problems` are sentence, address, whether it is serious."""

    fleet: Fleet
    problems: tuple[tuple[str, str, bool], ...]


def read_standing(now: datetime) -> Standing:
    fleet = read_fleet(now)
    state = ConfigProposal.State
    wanted = Q(state=state.OPEN) | Q(state=state.FAILED, closed_at__gte=now - FAILURE_SHOWN)
    rows = list(ConfigProposal.objects.filter(wanted).only("state", "author", "problem")[:MOST_READ])
    failed = [row for row in rows if row.state == state.FAILED]
    waiting = [row for row in rows if row.state == state.OPEN]
    return Standing(fleet, (*_failed(failed), *_slow(fleet, now), *_waiting(waiting)))


def _failed(rows: list[ConfigProposal]) -> list[tuple[str, str, bool]]:
    found = []
    for row in rows[:MOST]:
        first_line = row.problem.partition("\n")[0]
        found.append((f"A change of {row.author} could not be applied: {first_line}", _proposal(row.pk), True))
    return found


def _slow(fleet: Fleet, now: datetime) -> list[tuple[str, str, bool]]:
    if not fleet.behind:
        return []
    current = ConfigVersion.objects.filter(number=fleet.current).values_list("at", flat=True).first()
    if current is None or now - current < SLOW:
        return []
    text = f"Processes do not follow the configuration: {fleet.sentence}."
    return [(text, reverse("admin:routing_configversion_changelist"), True)]


def _waiting(rows: list[ConfigProposal]) -> list[tuple[str, str, bool]]:
    if len(rows) > MOST:
        address = reverse("admin:routing_configproposal_changelist") + "?state__exact=open"
        return [(f"More than {MOST} changes wait for approval.", address, False)]
    return [(f"A change of {row.author} waits for approval.", _proposal(row.pk), False) for row in rows]


def _proposal(pk: int) -> str:
    return reverse("admin:routing_configproposal_change", args=[pk])
