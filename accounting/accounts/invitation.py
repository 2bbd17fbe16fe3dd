"""The page behind an invitation's link: for who is signed in, who has an account, and who makes one now."""

from typing import Any

from django.contrib import messages
from django.contrib.auth import login
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from accounting.accounts.forms import NewAccountForm
from accounting.audit.changes import Actor, changing
from accounting.invitations import (
    InvitationRefused,
    accept,
    accept_with_new_account,
    find_invitation,
    may_set_password,
    why_closed,
)
from accounting.models import Invitation, Membership, User
from gateway_project.client_address import client_address
from gateway_project.console.access import actor_of

BACKEND = "django.contrib.auth.backends.ModelBackend"


@never_cache
@sensitive_post_parameters("password", "again")
@require_http_methods(["GET", "HEAD", "POST"])
def invitation(request: HttpRequest, token: str) -> HttpResponse:
    """404 for a link that never was, 410 for one that does not work any more, with the reason."""
    found = find_invitation(token)
    if found is None:
        return render(request, "accounts/invitation_closed.html", {"why": "unknown"}, status=404)
    user = request.user if isinstance(request.user, User) else None
    if user is not None and (member := _membership(found, user)):
        return render(request, "accounts/invitation_closed.html", {"why": "member", "team": member.team})
    if why := why_closed(found):
        return _closed(request, why)
    try:
        return _for_a_person(request, found, user) if user is not None else _for_a_guest(request, found)
    except InvitationRefused as error:
        return _closed(request, error.why)


def _for_a_person(request: HttpRequest, found: Invitation, user: User) -> HttpResponse:
    """Somebody who is signed in accepts with one button."""
    if found.email and found.email != user.email:
        return render(request, "accounts/invitation.html", _names(request, found, other=True), status=403)
    if request.method != "POST":
        return render(request, "accounts/invitation.html", _names(request, found))
    with changing(actor_of(request)) as change:
        member = accept(change, found, user)
    return _welcome(request, member)


def _for_a_guest(request: HttpRequest, found: Invitation) -> HttpResponse:
    """Somebody who is not signed in does so, or makes an account."""
    known = User.objects.filter(email=found.email).first() if found.email else None
    if known is not None and not may_set_password(found, known):
        names = _names(request, found, known=True, no_password=not known.has_usable_password())
        return render(request, "accounts/invitation.html", names)
    form = NewAccountForm(request.POST if request.method == "POST" else None, address=found.email)
    if form.is_bound and form.is_valid():
        member = _joined(request, found, form)
        if member is not None:
            login(request, member.user, backend=BACKEND)
            return _welcome(request, member)
    return render(request, "accounts/invitation.html", _names(request, found, form=form))


def _joined(request: HttpRequest, found: Invitation, form: NewAccountForm) -> Membership | None:
    """The membership of a new account; None when a value was refused, with the reasons in the form."""
    values = form.cleaned_data
    email = str(values["email"]).strip().lower()
    try:
        with changing(Actor(email, "user", client_address(request))) as change:
            return accept_with_new_account(change, found, email, values["password"])
    except InvitationRefused as error:
        if error.why != "account":
            raise
        form.add_error("email", _("There is an account with this address; sign in with it, then accept."))
    except ValidationError as error:
        for name, texts in error.message_dict.items():
            for text in texts:
                form.add_error(name if name in form.fields else None, text)
    return None


def _membership(found: Invitation, user: User) -> Membership | None:
    members = Membership.objects.select_related("team").filter(team__enabled=True)
    return members.filter(team=found.team, user=user).first()


def _names(request: HttpRequest, found: Invitation, **more: Any) -> dict[str, Any]:
    return {"invitation": found, "team": found.team, "next": request.path, **more}


def _welcome(request: HttpRequest, member: Membership) -> HttpResponse:
    messages.success(request, _("Welcome to the team %(team)s.") % {"team": member.team})
    return HttpResponseRedirect(reverse("dashboard:overview", args=[member.team.name]))


def _closed(request: HttpRequest, why: str) -> HttpResponse:
    return render(request, "accounts/invitation_closed.html", {"why": why}, status=410)
