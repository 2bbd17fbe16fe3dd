"""The members of a team: who they are, what they may do, how they come and go."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.core.paginator import Paginator
from django.db.models import Count, Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounting.access.roles import ADMIN, OWNER, ROLES, VIEWER
from accounting.audit.changes import StaleVersion, changing
from accounting.dashboard.acting import BOTH, party_of, put_errors
from accounting.dashboard.invitations import open_invitations, take_link
from accounting.dashboard.people_forms import RoleForm
from accounting.dashboard.sums import spend_by
from accounting.limits.asking import NotAllowed
from accounting.membership import (
    change_role,
    hand_over,
    keys_that_go,
    may_leave,
    may_manage,
    remove_member,
    roles_given_by,
)
from accounting.models import Membership
from gateway_project.console.access import actor_of
from gateway_project.dashboard.frame import READ, TeamPage, render_page, team_page
from gateway_project.dashboard.periods import MONTH, read_period
from gateway_project.dashboard.role_names import ROLE_NAMES

ON_A_PAGE = 50


@dataclass(frozen=True, slots=True)
class Row:
    """A member as the list shows them."""

    member: Membership
    role: Any
    keys: int
    spent: Decimal
    own: bool


@team_page("members", least=VIEWER, methods=READ)
def members(request: HttpRequest, page: TeamPage) -> HttpResponse:
    """Everybody of the team; for admins the open invitations too."""
    asked, role = request.GET.get("q", "").replace("\x00", "").strip()[:100], request.GET.get("role", "")
    period = read_period({"period": MONTH}, page.zone, timezone.now())
    listed = Paginator(_found(page, asked, role), ON_A_PAGE).get_page(request.GET.get("page"))
    spent = spend_by("user", page.team, period)
    rows = [
        Row(row, ROLE_NAMES[row.role], row.n_keys, spent.get(row.user.email, Decimal(0)), row.user_id == page.user.pk)
        for row in listed
    ]
    names = {"rows": rows, "listed": listed, "asked": asked, "role": role, "roles": ROLE_NAMES, "period": period}
    if page.may(ADMIN) or page.standing == "auditor":
        names |= {"invitations": open_invitations(page), "link": take_link(request, page)}
    return render_page(request, page, "dashboard/members.html", names)


@team_page("members", least=VIEWER, methods=BOTH)
def member(request: HttpRequest, page: TeamPage, pk: int) -> HttpResponse:
    """One member: role, keys, and what would become of them. A POST gives another role."""
    found = _member(page, pk)
    form = _role_form(page, found, request.POST if request.method == "POST" else None)
    if request.method == "POST":
        if form is None:
            raise PermissionDenied("Your role in this team does not allow this.")
        if form.is_valid() and (done := _give_role(request, page, found, form)):
            return done
    return _show(request, page, found, form)


@team_page("members", least=VIEWER, methods=("POST",))
def member_removal(request: HttpRequest, page: TeamPage, pk: int) -> HttpResponse:
    """Ends a membership: another's, or one's own."""
    found = _member(page, pk)
    own = found.user_id == page.user.pk
    try:
        with changing(actor_of(request)) as change:
            gone = remove_member(change, party_of(page), found)
    except NotAllowed as error:
        raise PermissionDenied(str(error)) from None
    except ValidationError as error:
        return _refused(request, page, found, error)
    except Membership.DoesNotExist:
        messages.warning(request, _("This person does not belong to the team any more."))
        return HttpResponseRedirect(page.address("dashboard:members"))
    keys = ngettext("%(n)d key was revoked.", "%(n)d keys were revoked.", len(gone.keys)) % {"n": len(gone.keys)}
    if own:
        messages.success(request, _("You have left the team %(team)s.") % {"team": page.team} + f" {keys}")
        return HttpResponseRedirect(reverse("home"))
    messages.success(request, _("%(person)s was removed.") % {"person": found.user} + f" {keys}")
    return HttpResponseRedirect(page.address("dashboard:members"))


@team_page("members", least=OWNER, methods=("POST",))
def member_hand_over(request: HttpRequest, page: TeamPage, pk: int) -> HttpResponse:
    """Makes a member the owner in the place of whoever asks."""
    found = _member(page, pk)
    try:
        with changing(actor_of(request)) as change:
            hand_over(change, party_of(page), found)
    except NotAllowed as error:
        raise PermissionDenied(str(error)) from None
    except Membership.DoesNotExist:
        raise Http404 from None
    except ValidationError as error:
        return _refused(request, page, found, error)
    messages.success(request, _("%(person)s owns the team now; you are an admin.") % {"person": found.user})
    return HttpResponseRedirect(page.address("dashboard:members"))


def _found(page: TeamPage, asked: str, role: str) -> "QuerySet[Any]":
    in_use = Q(user__virtual_keys__project__team=page.team, user__virtual_keys__revoked_at=None)
    rows = page.team.memberships.select_related("user", "team").annotate(
        n_keys=Count("user__virtual_keys", filter=in_use)
    )
    if asked:
        name = Q(user__first_name__icontains=asked) | Q(user__last_name__icontains=asked)
        rows = rows.filter(Q(user__email__icontains=asked) | name)
    return (rows.filter(role=role) if role in ROLES else rows).order_by("user__email")


def _member(page: TeamPage, pk: int) -> Membership:
    found = page.team.memberships.select_related("user", "team").filter(pk=pk).first()
    if found is None:
        raise Http404
    return found


def _role_form(page: TeamPage, found: Membership, data: Any = None) -> RoleForm | None:
    """The form, for those who may give another role."""
    if page.standing == "auditor" or not may_manage(page.role, found.role):
        return None
    initial = {"role": found.role, "version": found.version}
    return RoleForm(data, roles=roles_given_by(page.role), initial=initial)


def _give_role(request: HttpRequest, page: TeamPage, found: Membership, form: RoleForm) -> HttpResponse | None:
    """What to answer with, or None when the form says why nothing was done."""
    values = form.cleaned_data
    try:
        with changing(actor_of(request)) as change:
            change_role(change, party_of(page), found, values["role"], expected_version=values["version"])
    except NotAllowed as error:
        raise PermissionDenied(str(error)) from None
    except Membership.DoesNotExist:
        raise Http404 from None
    except ValidationError as error:
        put_errors(form, error)
        return None
    except StaleVersion:
        form.add_error(None, _("Somebody else has changed this member meanwhile; look again, then save."))
        return None
    names = {"person": found.user, "role": ROLE_NAMES[values["role"]]}
    messages.success(request, _("%(person)s: %(role)s.") % names)
    return HttpResponseRedirect(page.address("dashboard:members"))


def _refused(request: HttpRequest, page: TeamPage, found: Membership, error: ValidationError) -> HttpResponse:
    for text in error.messages:
        messages.error(request, text)
    return _show(request, page, found, _role_form(page, found))


def _show(request: HttpRequest, page: TeamPage, found: Membership, form: RoleForm | None) -> HttpResponse:
    own = found.user_id == page.user.pk
    writes = page.standing != "auditor"
    names = {
        "member": found,
        "role": ROLE_NAMES[found.role],
        "form": form,
        "keys": list(keys_that_go(found).select_related("project")[:100]),
        "own": own,
        "may_remove": writes and (own or may_manage(page.role, found.role)),
        "may_leave": may_leave(found),
        "may_hand_over": page.standing == "member" and page.role == OWNER and not own,
    }
    return render_page(request, page, "dashboard/member.html", names)
