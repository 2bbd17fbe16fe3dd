"""Setting limits: who may make, change and delete budgets and rate limits, and the one way to do it.

An owner or admin of a team sets the limits of its projects and keys. The team's own total, the organization's and people's
are for platform administrators: who is held by a limit does not loosen it.
"""

from collections.abc import Mapping
from typing import TypeVar

from django.db.models import Model, Q, QuerySet

from accounting.access.roles import ADMIN, at_least
from accounting.audit.changes import ChangeSet
from accounting.limits.asking import NotAllowed, Party
from accounting.models import Budget, Project, RateLimit, VirtualKey
from accounting.models.limits import Scoped

SET_BY_TEAMS = ("project", "key")
_REFUSED = (
    "Only a platform administrator sets the limits of {what}; owners and admins of a team set those of its projects "
    "and keys."
)
_WORDS: Mapping[str, str] = {
    "organization": "the organization",
    "team": "a team as a whole",
    "user": "people",
    "project": "this project",
    "key": "this key",
}
_Limit = TypeVar("_Limit", Budget, RateLimit)
_Row = TypeVar("_Row", bound=Model)
_PARENTS = ("team", "project__team", "user", "key__project__team")


def may_set(party: Party, limit: Scoped) -> bool:
    """Whether somebody may set this limit."""
    if party.admin:
        return True
    team = limit.owning_team
    return limit.scope in SET_BY_TEAMS and team is not None and at_least(party.roles.get(team.name, ""), ADMIN)


def visible_rates(party: Party) -> "QuerySet[RateLimit]":
    """The rate limits in use that somebody may see: all, or those of their teams and their own."""
    rates = RateLimit.objects.filter(enabled=True).select_related(*_PARENTS)
    if party.admin or party.reads_all:
        return rates
    teams = list(party.roles)
    mine = Q(team__name__in=teams) | Q(project__team__name__in=teams) | Q(key__project__team__name__in=teams)
    return rates.filter(mine | Q(user__email=party.name) if party.person else mine)


def save_limit(
    change: ChangeSet, party: Party, limit: Budget | RateLimit, *, expected_version: int | None = None
) -> None:
    """Writes a new or changed limit. Raises NotAllowed, ValidationError and StaleVersion.

    What a limit is for is chosen once: its counter goes by its number."""
    if not may_set(party, limit):
        raise NotAllowed(_REFUSED.format(what=_WORDS.get(limit.scope, "this")))
    change.save(limit, expected_version=expected_version)


def delete_limit(change: ChangeSet, party: Party, limit: Budget | RateLimit) -> None:
    """Deletes a limit with its alerts and requests; the audit log keeps what it was. Raises NotAllowed, StaleVersion."""
    if not may_set(party, limit):
        raise NotAllowed(_REFUSED.format(what=_WORDS.get(limit.scope, "this")))
    change.delete(limit)


def settable_projects(party: Party) -> "QuerySet[Project]":
    """The projects whose limits somebody may set."""
    projects = Project.objects.select_related("team").order_by("team__name", "name")
    return projects if party.admin else projects.filter(team__name__in=_led(party))


def settable_keys(party: Party) -> "QuerySet[VirtualKey]":
    """The keys in use whose limits somebody may set."""
    keys = VirtualKey.objects.select_related("project__team").filter(revoked_at=None)
    keys = keys.order_by("project__team__name", "project__name", "name")
    return keys if party.admin else keys.filter(project__team__name__in=_led(party))


def _led(party: Party) -> list[str]:
    return [team for team, role in party.roles.items() if at_least(role, ADMIN)]
