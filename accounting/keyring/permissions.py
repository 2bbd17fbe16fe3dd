"""Who may see and manage a team's keys: viewers see, members manage their own personal ones, admins and owners all."""

from django.db.models import QuerySet
from django.utils.translation import gettext as _

from accounting.access.roles import ADMIN, MEMBER, OWNER, VIEWER, at_least
from accounting.limits.asking import NotAllowed, Party
from accounting.models import Project, Team, VirtualKey


def role_in(party: Party, team: Team) -> str:
    """What somebody may do in a team; "" for a stranger."""
    if party.admin:
        return OWNER
    return party.roles.get(team.name, "") or (VIEWER if party.reads_all else "")


def visible_keys(party: Party) -> "QuerySet[VirtualKey]":
    """The keys that somebody may see: all, or those of their teams; revoked ones too."""
    keys = VirtualKey.objects.select_related("project__team", "owner")
    return keys if party.admin or party.reads_all else keys.filter(project__team__name__in=list(party.roles))


def visible_projects(party: Party) -> "QuerySet[Project]":
    """The projects whose keys somebody may see."""
    projects = Project.objects.select_related("team").order_by("team__name", "name")
    return projects if party.admin or party.reads_all else projects.filter(team__name__in=list(party.roles))


def owns(party: Party, key: VirtualKey) -> bool:
    """Whether this is somebody's own personal key."""
    return party.person and key.owner is not None and key.owner.email == party.name


def may_manage(party: Party, key: VirtualKey) -> bool:
    """Whether somebody may change, rotate, disable and revoke this key."""
    role = role_in(party, key.project.team)
    return at_least(role, ADMIN) or (at_least(role, MEMBER) and owns(party, key))


def may_issue(party: Party, team: Team, kind: str) -> bool:
    """Whether somebody may make a key of this kind."""
    role = role_in(party, team)
    if at_least(role, ADMIN):
        return True
    return kind == VirtualKey.Kind.PERSONAL and party.person and at_least(role, MEMBER)


def need_to_manage(party: Party, key: VirtualKey) -> None:
    """Raises NotAllowed where somebody may see a key and not manage it."""
    if not may_manage(party, key):
        raise NotAllowed(_("Only whoever owns this key, and admins and owners of the team, may manage it."))
