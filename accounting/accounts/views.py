"""Sign-in, sign-out, the one-time link of the first administrator, and the page at `/`."""

from django.conf import settings
from django.contrib.auth import authenticate, login, logout
from django.contrib.auth.decorators import login_required
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounting.accounts import lockout
from accounting.accounts.forms import FirstAdministratorForm, SignInForm
from accounting.models import OneTimeLink, User
from accounting.services import LinkRefused, is_open_first_admin_link, redeem_first_admin
from gateway_project.client_address import client_address
from gateway_project.console.access import may_enter
from gateway_project.crypto import keyed_hash
from gateway_project.dashboard.frame import teams_of
from gateway_project.dashboard.language import remember_language

BACKEND = "django.contrib.auth.backends.ModelBackend"
WRONG = _("This e-mail address and password do not fit together. Passwords distinguish upper and lower case.")
WAIT = _("Too many failed attempts. Wait 15 minutes, then try again.")


def _next_address(request: HttpRequest) -> str:
    wanted = request.POST.get("next") or request.GET.get("next") or ""
    if url_has_allowed_host_and_scheme(wanted, allowed_hosts={request.get_host()}, require_https=request.is_secure()):
        return wanted
    return reverse("home")


@never_cache
@sensitive_post_parameters("password")
@require_http_methods(["GET", "HEAD", "POST"])
def sign_in(request: HttpRequest) -> HttpResponse:
    """The one sign-in page, for the console too."""
    address = _next_address(request)
    if request.method != "POST":
        if request.user.is_authenticated:
            return HttpResponseRedirect(address)
        return render(request, "accounts/sign_in.html", {"form": SignInForm(), "next": address})
    form = SignInForm(request.POST)
    status = 200
    if form.is_valid():
        status = _try_to_sign_in(request, form)
        if not form.errors and isinstance(request.user, User):
            done = HttpResponseRedirect(address)
            lockout.remember_browser(done, request, request.user.email)
            remember_language(done, request.user)
            return done
    response = render(request, "accounts/sign_in.html", {"form": form, "next": address}, status=status)
    if status == 429:
        response["Retry-After"] = str(lockout.WINDOW_SECONDS)
    return response


def _try_to_sign_in(request: HttpRequest, form: SignInForm) -> int:
    """Signs in, or puts the reason into the form; returns the status to answer with."""
    email = form.cleaned_data["email"]
    attempt = lockout.attempt_of(request, email)
    if not lockout.admit(attempt):
        form.add_error(None, WAIT)
        return 429
    user = authenticate(request, username=email, password=form.cleaned_data["password"])
    if user is None:
        form.add_error(None, WRONG)
        return 200
    lockout.succeeded(attempt)
    login(request, user)
    return 200


@require_POST
def sign_out(request: HttpRequest) -> HttpResponse:
    logout(request)
    return HttpResponseRedirect(settings.LOGOUT_REDIRECT_URL)


@never_cache
@sensitive_post_parameters("password", "again")
@require_http_methods(["GET", "HEAD", "POST"])
def first_administrator(request: HttpRequest, token: str) -> HttpResponse:
    """The page behind the link that the first start prints."""
    if not is_open_first_admin_link(token):
        return _closed(request, token)
    form = FirstAdministratorForm(request.POST if request.method == "POST" else None)
    if form.is_bound and form.is_valid():
        try:
            user = _redeem(request, token, form)
        except LinkRefused:
            return _closed(request, token)
        if user is not None:
            login(request, user, backend=BACKEND)
            return HttpResponseRedirect(reverse("admin:index"))
    return render(request, "accounts/first_administrator.html", {"form": form})


def _redeem(request: HttpRequest, token: str, form: FirstAdministratorForm) -> User | None:
    """The new administrator; None when a value was refused, with the reasons in the form."""
    values = form.cleaned_data
    try:
        return redeem_first_admin(token, values["email"], values["password"], source=client_address(request))
    except ValidationError as error:
        for name, texts in error.message_dict.items():
            for text in texts:
                form.add_error(name if name in form.fields else None, text)
        return None


def _closed(request: HttpRequest, token: str) -> HttpResponse:
    """410 for a link that was one, 404 for one that never was, or was replaced by a newer one."""
    known = OneTimeLink.objects.filter(token_hash=keyed_hash(token)).exists()
    taken = User.objects.filter(is_superuser=True).exists()
    return render(request, "accounts/link_closed.html", {"taken": taken}, status=410 if known else 404)


@require_safe
@login_required
def home(request: HttpRequest) -> HttpResponse:
    """The dashboard of one's first team, the console for those who are in none; a plain word for everybody else."""
    assert isinstance(request.user, User)
    teams = teams_of(request.user)
    if teams and not may_enter(request.user):
        return HttpResponseRedirect(reverse("dashboard:overview", args=[teams[0].name]))
    if may_enter(request.user):
        return HttpResponseRedirect(reverse("admin:index"))
    return render(request, "accounts/home.html")
