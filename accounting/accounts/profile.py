"""One's own profile: how the dashboard looks, the password, one's keys, where one is signed in."""

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import update_session_auth_hash
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import override
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST

from accounting.accounts import lockout
from accounting.accounts.browsers import browser_of
from accounting.accounts.forms import OwnPasswordForm, PreferencesForm
from accounting.audit.changes import changing
from accounting.models import User
from accounting.selectors import personal_keys
from accounting.signing_in import OWN, end_sign_in, end_sign_ins, sign_ins_of
from gateway_project.console.access import actor_of
from gateway_project.dashboard.frame import teams_of
from gateway_project.dashboard.language import remember_language

PREFERENCES = ("timezone", "language", "theme")
LANGUAGES = dict(settings.LANGUAGES)


def _self(request: HttpRequest) -> User:
    """The reader as the row has them."""
    assert isinstance(request.user, User)
    return User.objects.get(pk=request.user.pk)


@never_cache
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def profile(request: HttpRequest) -> HttpResponse:
    """The page; a POST saves how the dashboard looks."""
    user = _self(request)
    form = _preferences(user, request.POST if request.method == "POST" else None)
    if form.is_bound and form.is_valid():
        for name in PREFERENCES:
            setattr(user, name, form.cleaned_data[name])
        with changing(actor_of(request)) as change:
            change.save(user)
        response = HttpResponseRedirect(reverse("dashboard:profile"))
        remember_language(response, user)
        with override(user.language or None):
            messages.success(request, _("Your profile is changed."))
        return response
    return _page(request, user, form=form)


@never_cache
@sensitive_post_parameters()
@login_required
@require_POST
def own_password(request: HttpRequest) -> HttpResponse:
    """Changes the password, for which it asks for the old one, and signs out everywhere else."""
    user = _self(request)
    attempt = lockout.attempt_of(request, user.email)
    form = OwnPasswordForm(user, request.POST)
    if not lockout.admit(attempt):
        form = OwnPasswordForm(user)
        messages.error(request, _("Too many failed attempts. Wait 15 minutes, then try again."))
        return _page(request, user, password=form, status=429)
    if not form.is_valid():
        if "old_password" not in form.errors:
            lockout.succeeded(attempt)
        return _page(request, user, password=form)
    lockout.succeeded(attempt)
    form.save(commit=False)
    with changing(actor_of(request)) as change:
        change.save(user, action="password changed")
        end_sign_ins(change.actor, user, but=request.session.get(OWN))
    update_session_auth_hash(request, user)
    messages.success(request, _("Your password is changed; you are signed out everywhere else."))
    return HttpResponseRedirect(reverse("dashboard:profile"))


@never_cache
@login_required
@require_POST
def sign_in_ended(request: HttpRequest) -> HttpResponse:
    """Ends one of one's sign-ins, or all but this one."""
    user, which = _self(request), request.POST.get("which", "")
    if which == "others":
        end_sign_ins(actor_of(request), user, but=request.session.get(OWN))
        messages.success(request, _("You are signed out everywhere else."))
    elif which.isascii() and which.isdigit() and len(which) < 19 and end_sign_in(actor_of(request), user, int(which)):
        if int(which) == request.session.get(OWN):
            request.session.flush()
            return HttpResponseRedirect(settings.LOGOUT_REDIRECT_URL)
        messages.success(request, _("That browser is signed out."))
    else:
        messages.warning(request, _("That browser was signed out already."))
    return HttpResponseRedirect(reverse("dashboard:profile"))


def _preferences(user: User, data: Any = None) -> PreferencesForm:
    return PreferencesForm(data, user=user, initial={name: getattr(user, name) for name in PREFERENCES})


def _page(
    request: HttpRequest,
    user: User,
    *,
    form: PreferencesForm | None = None,
    password: OwnPasswordForm | None = None,
    status: int = 200,
) -> HttpResponse:
    own = request.session.get(OWN)
    sign_ins = [(row, browser_of(row.user_agent), row.pk == own) for row in sign_ins_of(user)]
    names = {
        "form": form or _preferences(user),
        "password": password or OwnPasswordForm(user),
        "has_password": user.has_usable_password(),
        "keys": personal_keys(user),
        "teams": user.memberships.select_related("team").filter(team__enabled=True)[:200],
        "sign_ins": sorted(sign_ins, key=lambda each: not each[2]),
        "others": len(sign_ins) > 1,
    }
    first = teams_of(user)[:1]
    with timezone.override(user.timezone or (first[0].timezone if first else "UTC")):
        return render(request, "dashboard/profile.html", names, status=status)
