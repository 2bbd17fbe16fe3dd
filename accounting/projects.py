"""Projects of teams, and what a team's owners may say about it: reads narrowed to who asks, writes by role."""

from dataclasses import dataclass

from django.core.exceptions import ValidationError
from django.db.models import Count, Q, QuerySet
from django.utils.translation import gettext as _

from accounting.access.roles import ADMIN, OWNER, at_least
from accounting.audit.changes import ChangeSet
from accounting.limits.asking import NotAllowed, Party
from accounting.membership import role_under_lock
from accounting.models import Project, Team

MOST_PROJECTS = 1000  # of one team


@dataclass(frozen=True, slots=True)
class TeamSettings:
    """What owners choose; models and what is kept of bodies are the administrators' to choose."""

    display_name: str
    timezone: str


def visible_projects(party: Party) -> "QuerySet[Project]":
    """The projects that somebody may see, with how many keys in use each has (`n_keys`)."""
    in_use = Q(keys__revoked_at=None, keys__isnull=False)
    rows = Project.objects.select_related("team").annotate(n_keys=Count("keys", filter=in_use))
    rows = rows.order_by("team__name", "name")
    return rows if party.admin or party.reads_all else rows.filter(team__name__in=list(party.roles))


def create_project(change: ChangeSet, party: Party, team: Team, name: str, display_name: str = "") -> Project:
    """A new project of a team."""
    _ask(party, team)
    if team.projects.count() >= MOST_PROJECTS:
        raise ValidationError(_("A team has at most %(most)d projects.") % {"most": MOST_PROJECTS})
    project = Project(team=team, name=name.strip(), display_name=display_name.strip())
    try:
        change.save(project)
    except ValidationError as error:
        raise _friendlier(error) from None
    return project


def change_project(
    change: ChangeSet,
    party: Party,
    project: Project,
    *,
    display_name: str | None = None,
    enabled: bool | None = None,
    expected_version: int | None = None,
) -> Project:
    """Another name for people, or an end (or a new beginning) of its keys. What is None stays."""
    _ask(party, project.team)
    fresh = Project.objects.select_related("team").get(pk=project.pk)
    if display_name is not None:
        fresh.display_name = display_name.strip()
    if enabled is not None:
        fresh.enabled = enabled
    change.save(fresh, expected_version=expected_version)
    return fresh


def change_team(
    change: ChangeSet, party: Party, team: Team, settings: TeamSettings, *, expected_version: int | None = None
) -> Team:
    """What owners may change of their team."""
    if not at_least(role_under_lock(party, team), OWNER):
        raise NotAllowed(_("Only an owner changes the team."))
    fresh = Team.objects.get(pk=team.pk)
    fresh.display_name, fresh.timezone = settings.display_name.strip(), settings.timezone
    change.save(fresh, expected_version=expected_version)
    return fresh


def _ask(party: Party, team: Team) -> None:
    if not at_least(role_under_lock(party, team), ADMIN):
        raise NotAllowed(_("Only admins and owners of the team change its projects."))


def _friendlier(error: ValidationError) -> ValidationError:
    """Django says that two fields together are taken; a person typed one name."""
    if not hasattr(error, "error_dict") or "__all__" not in error.error_dict:
        return error
    if any(each.code in {"unique", "unique_together"} for each in error.error_dict["__all__"]):
        return ValidationError({"name": _("The team has a project of this name already.")})
    return error
