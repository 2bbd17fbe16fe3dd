"""Invitations to a team: made on a page of their own, shown once as a link, withdrawn from the list of members."""

import time
from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils import timezone
from django.utils.translation import gettext as _

from accounting.access.roles import ADMIN
from accounting.audit.changes import changing
from accounting.dashboard.acting import BOTH, party_of, put_errors
from accounting.dashboard.people_forms import InvitationForm
from accounting.invitations import SentBefore, Terms, withdraw_invitation
from accounting.limits.asking import NotAllowed
from accounting.mailing import make_invitation, may_mail
from accounting.membership import roles_given_by
from accounting.models import Invitation
from gateway_project.console.access import actor_of
from gateway_project.crypto import Secret, UnreadableSecret, ring
from gateway_project.dashboard.frame import TeamPage, render_page, team_page
from gateway_project.dashboard.role_names import ROLE_NAMES

SLOT = "invitation_link"  # in the session: a link that is to be shown once
SHOWN_WITHIN = 600  # seconds
MOST_SHOWN = 200


@team_page("members", least=ADMIN, methods=BOTH)
def invite(request: HttpRequest, page: TeamPage) -> HttpResponse:
    """A form for a new invitation."""
    if page.standing == "auditor":
        raise PermissionDenied("Your role in this team does not allow this.")
    data = request.POST if request.method == "POST" else None
    form = InvitationForm(data, roles=roles_given_by(page.role), mail=may_mail())
    if form.is_bound and form.is_valid() and _made(request, page, form):
        return HttpResponseRedirect(page.address("dashboard:members"))
    return render_page(request, page, "dashboard/invite.html", {"form": form, "mail": may_mail()})


@team_page("members", least=ADMIN, methods=("POST",))
def withdrawal(request: HttpRequest, page: TeamPage, pk: int) -> HttpResponse:
    """Takes an invitation back."""
    invitation = page.team.invitations.select_related("team").filter(pk=pk).first()
    if invitation is None:
        raise Http404
    try:
        with changing(actor_of(request)) as change:
            withdraw_invitation(change, party_of(page), invitation)
    except NotAllowed as error:
        raise PermissionDenied(str(error)) from None
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
    else:
        messages.success(request, _("The invitation is withdrawn; its link does not work any more."))
    return HttpResponseRedirect(page.address("dashboard:members"))


def open_invitations(page: TeamPage) -> Sequence[dict[str, Any]]:
    """What waits to be accepted, with whether the reader may withdraw it."""
    rows = page.team.invitations.filter(accepted_at=None, withdrawn_at=None, expires_at__gt=timezone.now())
    given = roles_given_by(page.role) if page.standing != "auditor" else ()
    return [{"row": row, "role": ROLE_NAMES[row.role], "may": row.role in given} for row in rows[:MOST_SHOWN]]


def take_link(request: HttpRequest, page: TeamPage) -> dict[str, Any] | None:
    """The link that was just made, the first time only."""
    kept: dict[str, Any] | None = request.session.get(SLOT)
    if kept is None or kept["team"] != page.team.pk:
        return None
    del request.session[SLOT]
    invitation = page.team.invitations.filter(pk=kept["pk"]).first()
    if invitation is None or time.time() - kept["at"] > SHOWN_WITHIN:
        return None
    try:
        return {"invitation": invitation, "role": ROLE_NAMES[invitation.role], "text": ring().decrypt(kept["sealed"])}
    except UnreadableSecret:
        return None


def _made(request: HttpRequest, page: TeamPage, form: InvitationForm) -> bool:
    values = form.cleaned_data
    terms = Terms(values["role"], values["days"], values["email"], form.by_mail, values["form_id"])
    address = settings.GATEWAY_PUBLIC_URL or f"{request.scheme}://{request.get_host()}"
    try:
        invitation, link = make_invitation(actor_of(request), party_of(page), page.team, terms, address)
    except NotAllowed as error:
        raise PermissionDenied(str(error)) from None
    except SentBefore:
        return True
    except ValidationError as error:
        put_errors(form, error)
        return False
    if link is None:
        messages.success(request, _("The invitation is on its way to %(email)s.") % {"email": invitation.email})
    else:
        _keep_link(request, page, invitation, link)
    return True


def _keep_link(request: HttpRequest, page: TeamPage, invitation: Invitation, link: Secret) -> None:
    request.session[SLOT] = {
        "team": page.team.pk,
        "pk": invitation.pk,
        "at": time.time(),
        "sealed": ring().encrypt(link.reveal()),
    }
