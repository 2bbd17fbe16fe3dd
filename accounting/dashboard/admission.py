"""Who may watch a team over a websocket: whoever may open its pages, for as long as they may.

Nothing is audited here: a page is open beside the socket, and its opening is.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from django.contrib.auth import HASH_SESSION_KEY
from django.contrib.sessions.models import Session
from django.utils import timezone
from django.utils.crypto import constant_time_compare

from accounting.models import Membership, Team, User
from gateway_project.dashboard.frame import own_role, standing_in
from gateway_project.sessions import stored_key


@dataclass(frozen=True, slots=True)
class Ticket:
    """By which session (as it is stored) a person watches a team. `password` is its mark of the password that it began
    with."""

    user: int
    team: int
    team_name: str
    session: str
    password: str


def admitted(user: Any, session: Any, team_name: str) -> Ticket | None:
    """The ticket, if this person may open the pages of the team of this name."""
    if not isinstance(user, User) or not session.session_key:
        return None
    team = Team.objects.filter(name=team_name).first()
    if team is None or not standing_in(user, team, own_role(user, team))[0]:
        return None
    kept = stored_key(session.session_key)
    return Ticket(user.pk, team.pk, team_name, kept, str(session.get(HASH_SESSION_KEY, "")))


def refused(tickets: Collection[Ticket]) -> set[Ticket]:
    """Those that are good no more: signed out, another password, deactivated, removed from the team, the team renamed,
    disabled or gone. Four queries for all."""
    people = User.objects.in_bulk({each.user for each in tickets})
    teams = Team.objects.in_bulk({each.team for each in tickets})
    keys = {each.session for each in tickets}
    alive = Session.objects.filter(session_key__in=keys, expire_date__gt=timezone.now())
    sessions = set(alive.values_list("session_key", flat=True))
    belongs = Membership.objects.filter(user__in=people, team__in=teams).values_list("user_id", "team_id", "role")
    roles = {(user, team): role for user, team, role in belongs}

    def holds(ticket: Ticket) -> bool:
        user, team = people.get(ticket.user), teams.get(ticket.team)
        if user is None or team is None or team.name != ticket.team_name or ticket.session not in sessions:
            return False
        if not user.is_active or not constant_time_compare(ticket.password, user.get_session_auth_hash()):
            return False
        return bool(standing_in(user, team, roles.get((user.pk, team.pk), ""))[0])

    return {ticket for ticket in tickets if not holds(ticket)}
