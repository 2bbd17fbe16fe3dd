"""Who may open a page of a team's dashboard, and what every page knows of its reader.

    @team_page("keys", least=MEMBER, methods=("GET", "POST"))
    def keys(request: HttpRequest, page: TeamPage) -> HttpResponse: ...

The address names the team. Whoever is no member gets a 404, as if the team did not exist; a member whose role is too small
gets a 403. Administrators open every team's pages, auditors too, for reading; that they looked is in the audit log.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any
from zoneinfo import ZoneInfo

from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from accounting.access.roles import ADMIN, MEMBER, OWNER, VIEWER, at_least
from accounting.audit.changes import Actor, changing
from accounting.models import Membership, Team, User
from gateway_project.console.access import actor_of, is_administrator, is_auditor
from gateway_project.dashboard.places import PLACES

MOST_TEAMS = 200  # in the switcher
LOOKED = "looked_into"  # in the session: the teams whose pages an administrator or auditor has opened
READ = ("GET", "HEAD")


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of the navigation, of this team."""

    title: Any
    address: str
    icon: str
    here: bool


@dataclass(frozen=True, slots=True)
class TeamPage:
    """What a page knows: the team, the reader and what they may do there, the zone of its times.

    `standing` is `member`, `administrator` or `auditor`; the last two look from outside. `teams` are those that the reader
    can switch to.
    """

    user: User
    team: Team
    role: str
    standing: str
    teams: tuple[Team, ...]
    zone: ZoneInfo
    place: str

    def may(self, least: str) -> bool:
        """Whether the reader may do what a `least` may."""
        return at_least(self.role, least)

    @property
    def is_member(self) -> bool:
        return self.may(MEMBER)

    @property
    def is_admin(self) -> bool:
        return self.may(ADMIN)

    @property
    def is_owner(self) -> bool:
        return self.may(OWNER)

    @property
    def entries(self) -> list[Entry]:
        return [
            Entry(each.title, reverse(each.address, args=[self.team.name]), each.icon, here=each.key == self.place)
            for each in PLACES
        ]

    def address(self, name: str, *args: Any) -> str:
        """The address of another page of this team: `page.address("dashboard:key", key.pk)`."""
        return reverse(name, args=[self.team.name, *args])


View = Callable[..., HttpResponseBase]


def team_page(place: str, *, least: str = VIEWER, methods: tuple[str, ...] = READ) -> Callable[[View], View]:
    """Makes a view of a page of a team. `least` is the smallest role that may open it; with POST in `methods`, the view asks
    `page.may` for what it writes where that takes more than `least`."""

    def decorate(view: View) -> View:
        @wraps(view)
        def opened(request: HttpRequest, team: str, **kwargs: Any) -> HttpResponseBase:
            page = open_team(request, team, place)
            if not page.may(least):
                raise PermissionDenied("Your role in this team does not allow this.")
            with timezone.override(page.zone):
                return view(request, page, **kwargs)

        guarded: View = never_cache(login_required(require_http_methods(list(methods))(opened)))
        guarded.access = (least, methods)  # type: ignore[attr-defined]
        return guarded

    return decorate


def open_team(request: HttpRequest, name: str, place: str) -> TeamPage:
    """The team of this name for the person who asks. Raises Http404 for everybody it is not for."""
    user = request.user
    assert isinstance(user, User)
    mine = list(Membership.objects.filter(user=user).select_related("team").order_by("team__name")[: MOST_TEAMS + 1])
    team, own = _find_team(user, name.replace("\x00", ""), mine)
    role, standing = standing_in(user, team, own)
    if not role:
        raise Http404
    if standing != "member":
        _note_that_they_looked(request, team, actor_of(request))
    teams = tuple(each.team for each in mine[:MOST_TEAMS] if each.team.enabled)
    return TeamPage(user, team, role, standing, teams, zone_of(user, team), place)


def _find_team(user: User, name: str, mine: list[Membership]) -> tuple[Team, str]:
    """The team and the role that a membership gives in it: most often one of those that were read already."""
    for each in mine:
        if each.team.name == name:
            return each.team, each.role
    team = Team.objects.filter(name=name).first()
    if team is None:
        raise Http404
    return team, own_role(user, team) if len(mine) > MOST_TEAMS else ""


def teams_of(user: User) -> "list[Team]":
    """The teams in use that somebody belongs to, by name."""
    return list(Team.objects.filter(memberships__user=user, enabled=True).order_by("name")[:MOST_TEAMS])


def zone_of(user: User, team: Team) -> ZoneInfo:
    """The time zone of what is shown: the reader's own choice, else the team's."""
    return ZoneInfo(user.timezone or team.timezone)


def render_page(
    request: HttpRequest, page: TeamPage, template: str, context: dict[str, Any] | None = None, *, status: int = 200
) -> HttpResponse:
    """A page in the dashboard's frame; its template extends `dashboard/base.html`."""
    return render(request, template, {**(context or {}), "page": page}, status=status)


def own_role(user: User, team: Team) -> str:
    """The role that a membership gives; "" without one."""
    return Membership.objects.filter(user=user, team=team).values_list("role", flat=True).first() or ""


def standing_in(user: User, team: Team, own: str) -> tuple[str, str]:
    """What somebody may do in the team, and as what; ("", "") for a stranger. `own` is the role of their membership."""
    if is_administrator(user):
        return OWNER, "member" if own and team.enabled else "administrator"
    if own and team.enabled and user.is_active:
        return own, "member"
    return (VIEWER, "auditor") if is_auditor(user) else ("", "")


def _note_that_they_looked(request: HttpRequest, team: Team, actor: Actor) -> None:
    """Once a session and team."""
    looked: list[str] = request.session.get(LOOKED, [])
    if team.name not in looked:
        with changing(actor) as change:
            change.note("looked into", team)
        request.session[LOOKED] = [*looked, team.name]
