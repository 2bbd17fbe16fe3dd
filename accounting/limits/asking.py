"""Asking for more: who may see a budget, who may ask for more of it, who decides, and what a decision does.

Writes go through a ChangeSet and so into the audit log. A refused value is a ValidationError with a sentence; somebody who
may not is a NotAllowed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import pgettext_lazy

from accounting.audit.changes import Actor, ChangeSet, changing
from accounting.models import ApiToken, Budget, BudgetRequest, Membership, User

LONGEST = timedelta(days=366)
MOST_EXPIRED = 500  # in one turn
APPROVE, CHANGE, REFUSE = "approve", "change", "refuse"
_ASKING = ("owner", "admin", "member")
_DECIDING = ("owner", "admin")
_STATES = {
    "approved": pgettext_lazy("a request for more", "Approved"),
    "changed": pgettext_lazy("a request for more", "approved with changes"),
    "refused": pgettext_lazy("a request for more", "Refused"),
    "expired": pgettext_lazy("a request for more", "Expired"),
    "withdrawn": pgettext_lazy("a request for more", "Withdrawn"),
}


class NotAllowed(Exception):
    """This person may see it and may not do it; the text says so."""


@dataclass(frozen=True, slots=True)
class Party:
    """Somebody who asks or decides: a person by their address, a token by its name; `roles` by a team's name."""

    name: str
    admin: bool = False
    reads_all: bool = False
    roles: Mapping[str, str] = field(default_factory=dict)
    person: bool = True


def party_of_user(user: User) -> Party:
    if not user.is_active:
        return Party(user.email)
    roles = Membership.objects.filter(user=user, team__enabled=True).values_list("team__name", "role")
    return Party(user.email, admin=user.is_superuser, roles=dict(roles))


def party_of_token(token: ApiToken) -> Party:
    roles = {token.team.name: token.team_role} if token.team is not None else {}
    admin = token.role == ApiToken.Role.ADMIN
    reads = admin or token.role == ApiToken.Role.AUDITOR
    return Party(token.name, admin=admin, reads_all=reads, roles=roles, person=False)


def visible_budgets(party: Party) -> "QuerySet[Budget]":
    """The budgets in use that somebody may see: all, or those of their teams and their own."""
    budgets = Budget.objects.filter(enabled=True).select_related("team", "project__team", "user", "key__project__team")
    if party.admin or party.reads_all:
        return budgets
    teams = list(party.roles)
    mine = Q(team__name__in=teams) | Q(project__team__name__in=teams) | Q(key__project__team__name__in=teams)
    return budgets.filter(mine | Q(user__email=party.name) if party.person else mine)


def visible_requests(party: Party) -> "QuerySet[BudgetRequest]":
    """The requests for more of what somebody may see, newest first."""
    requests = BudgetRequest.objects.select_related(
        "budget__team", "budget__project__team", "budget__user", "budget__key__project__team"
    )
    if party.admin or party.reads_all:
        return requests.order_by("-id")
    return requests.filter(budget__in=visible_budgets(party).order_by()).order_by("-id")


def may_ask(party: Party, budget: Budget) -> bool:
    """Whether somebody may ask for more of a budget: members of its team, whoever it is for, administrators."""
    return party.admin or _role(party, budget) in _ASKING or _owns(party, budget)


def ask(
    change: ChangeSet, party: Party, budget: Budget, *, amount: Decimal, until: datetime, reason: str, now: datetime
) -> BudgetRequest:
    """Asks for `amount` dollars on top of a budget until a moment."""
    if not may_ask(party, budget):
        raise NotAllowed(_("Only members of the team may ask for more of this budget."))
    _check_until(until, now)
    request = BudgetRequest(budget=budget, amount=amount, until=until, reason=reason.strip(), asked_by=party.name)
    change.save(request, action="asked")
    return request


def withdraw(change: ChangeSet, party: Party, request_id: int) -> BudgetRequest:
    """Takes one's own request back."""
    request = _open(party, request_id)
    if request.asked_by != party.name:
        raise NotAllowed(_("Only whoever asked may withdraw a request."))
    request.state = BudgetRequest.State.WITHDRAWN
    change.save(request, action="withdrawn")
    return request


def decide(
    change: ChangeSet,
    party: Party,
    request_id: int,
    decision: str,
    *,
    now: datetime,
    amount: Decimal | None = None,
    until: datetime | None = None,
    comment: str = "",
) -> BudgetRequest:
    """Approves a request as it is or changed, which raises the budget until the request's end, or refuses it.

    An owner or admin of the budget's team decides, or an administrator; of the organization's budgets and of people's only
    an administrator. Nobody but an administrator decides about their own.
    """
    request = _open(party, request_id)
    if not may_decide(party, request):
        raise NotAllowed(_("This is for another owner or admin of the team to decide, or for an administrator."))
    if decision not in (APPROVE, CHANGE, REFUSE):
        raise ValidationError({"decision": f"Choose {APPROVE}, {CHANGE} or {REFUSE}."})
    if request.until <= now:
        raise ValidationError(_("The time that this request was for is over."))
    if decision != CHANGE and (amount is not None or until is not None):
        raise ValidationError({"decision": f"Another amount or end is a {CHANGE}."})
    request.state = BudgetRequest.State.REFUSED
    if decision != REFUSE:
        changed = decision == CHANGE
        request.state = BudgetRequest.State.CHANGED if changed else BudgetRequest.State.APPROVED
        request.decided_amount = request.amount if amount is None else amount
        request.decided_until = request.until if until is None else until
        _check_until(request.decided_until, now)
        _raise(change, request, now)
    request.decided_by, request.decided_at, request.comment = party.name, now, comment.strip()
    change.save(request, action="decided")
    return request


def may_decide(party: Party, request: BudgetRequest) -> bool:
    if party.admin:
        return True
    return request.asked_by != party.name and _role(party, request.budget) in _DECIDING


def expire_requests(now: datetime) -> int:
    """Ends the open requests whose time is over; how many."""
    due = list(BudgetRequest.objects.filter(state="open", until__lte=now).values_list("pk", flat=True)[:MOST_EXPIRED])
    for pk in due:
        with changing(Actor("expiry", "system")) as change:
            request = BudgetRequest.objects.select_for_update().filter(pk=pk, state="open").first()
            if request is not None:
                request.state = BudgetRequest.State.EXPIRED
                change.save(request, action="expired")
    return len(due)


def raised(budget: Budget, amount: Decimal, until: datetime, now: datetime) -> tuple[Decimal, datetime]:
    """The raise that a budget would have with this one: while another is in force, the amounts add up and the later end
    holds."""
    if budget.raise_amount is not None and budget.raise_until is not None and budget.raise_until > now:
        return amount + budget.raise_amount, max(until, budget.raise_until)
    return amount, until


def _raise(change: ChangeSet, request: BudgetRequest, now: datetime) -> None:
    """Writes the budget's raise."""
    budget = Budget.objects.select_for_update().get(pk=request.budget_id)
    assert request.decided_amount is not None
    assert request.decided_until is not None
    budget.raise_amount, budget.raise_until = raised(budget, request.decided_amount, request.decided_until, now)
    budget.raise_reason = f"{request.reason} (asked by {request.asked_by})"[:500]
    change.save(budget, action="raised")


def _open(party: Party, request_id: int) -> BudgetRequest:
    """An open request that the party may see, locked. Raises DoesNotExist, or ValidationError if it is decided."""
    visible_requests(party).get(pk=request_id)
    request = BudgetRequest.objects.select_for_update().get(pk=request_id)
    if request.state != BudgetRequest.State.OPEN:
        raise ValidationError(_("This request is not open any more: %(state)s.") % {"state": _STATES[request.state]})
    return request


def _role(party: Party, budget: Budget) -> str:
    team = budget.owning_team
    return party.roles.get(team.name, "") if team is not None and budget.scope != "user" else ""


def _owns(party: Party, budget: Budget) -> bool:
    return party.person and budget.user is not None and budget.user.email == party.name


def _check_until(until: datetime, now: datetime) -> None:
    if until <= now:
        raise ValidationError({"until": _("This moment is over; choose one that is to come.")})
    if until > now + LONGEST:
        raise ValidationError({"until": _("At most a year from now; change the budget itself for longer.")})
