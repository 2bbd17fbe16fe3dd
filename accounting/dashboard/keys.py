"""The list of a team's keys, and the page that makes one."""

import secrets
from typing import Any

from django.core.exceptions import PermissionDenied, ValidationError
from django.core.paginator import Paginator
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils import timezone

from accounting.access.offers import offered_names
from accounting.access.roles import ADMIN, MEMBER
from accounting.audit.changes import changing
from accounting.dashboard.key_forms import KeyFilterForm, NewKeyForm
from accounting.dashboard.parties import party_of
from accounting.keyring.orders import issue
from accounting.keyring.permissions import may_manage, visible_keys
from accounting.keyring.reading import EXPIRING, STATES, UNUSED, in_state, standings
from accounting.limits.asking import NotAllowed
from accounting.limits.terms import RATE_KINDS
from accounting.models import Project, User, VirtualKey
from gateway_project.console.access import actor_of
from gateway_project.console.shown_once import keep_once
from gateway_project.dashboard.frame import TeamPage, render_page, team_page

ROWS = 25
MADE = "keys_made"  # in the session: form → key, so that a form that is sent twice makes one key
MOST_MADE = 20


@team_page("keys")
def keys(request: HttpRequest, page: TeamPage) -> HttpResponse:
    """The team's keys: what they are for, when they were used last, which of them nobody needs."""
    now = timezone.now()
    mine = visible_keys(party_of(page)).filter(project__team=page.team)
    form = KeyFilterForm(request.GET, projects=_projects(page))
    listed = Paginator(_filtered(mine, form, page).order_by("-id"), ROWS).get_page(request.GET.get("page"))
    context = {
        "form": form,
        "listed": listed,
        "rows": standings(listed.object_list, now),
        "unused": in_state(mine, UNUSED, now).count(),
        "expiring": in_state(mine, EXPIRING, now).count(),
        "filtered": any(request.GET.get(name) for name in form.fields),
        "may_create": page.is_member,
    }
    return render_page(request, page, "dashboard/keys.html", context)


@team_page("keys", least=MEMBER, methods=("GET", "HEAD", "POST"))
def new_key(request: HttpRequest, page: TeamPage) -> HttpResponse:
    """Makes a key, and leads to the page that shows its secret once."""
    personal_only = not page.may(ADMIN)
    able = {"memberships__team": page.team, "memberships__role__in": ("member", "admin", "owner")}
    given: dict[str, Any] = {
        "offered": offered_names(page.team.allowed_models),
        "personal_only": personal_only,
        "members": User.objects.filter(is_active=True, **able).order_by("email"),
        "projects": _projects(page).filter(enabled=True),
    }
    if request.method != "POST":
        chosen = {"once": secrets.token_urlsafe(18), "kind": "personal" if page.standing == "member" else "service"}
        return _new_page(request, page, NewKeyForm(initial=chosen, **given))
    if made := request.session.get(MADE, {}).get(request.POST.get("once")):
        return HttpResponseRedirect(page.address("dashboard:key_secret", made))
    form = NewKeyForm(request.POST, **given)
    if form.is_valid() and (key := _make(request, page, form)) is not None:
        return HttpResponseRedirect(page.address("dashboard:key_secret", key.pk))
    return _new_page(request, page, form)


def _make(request: HttpRequest, page: TeamPage, form: NewKeyForm) -> VirtualKey | None:
    try:
        with changing(actor_of(request)) as change:
            key, secret = issue(change, party_of(page), form.order(timezone.now()))
    except ValidationError as error:
        form.refuse(error)
        return None
    except NotAllowed as error:
        raise PermissionDenied(str(error)) from None
    keep_once(request, "virtualkey", key.pk, secret)
    made = {**request.session.get(MADE, {}), form.cleaned_data["once"]: key.pk}
    request.session[MADE] = dict(list(made.items())[-MOST_MADE:])
    return key


def _new_page(request: HttpRequest, page: TeamPage, form: NewKeyForm) -> HttpResponse:
    return render_page(
        request, page, "dashboard/key_new.html", {"form": form, "rates": [form[name] for name in RATE_KINDS]}
    )


def _projects(page: TeamPage) -> "QuerySet[Project]":
    return Project.objects.filter(team=page.team).order_by("name")


def _filtered(keys: "QuerySet[VirtualKey]", form: KeyFilterForm, page: TeamPage) -> "QuerySet[VirtualKey]":
    """What the address asks for; a filter that cannot be read narrows nothing and is said in the form."""
    form.is_valid()
    wanted = form.cleaned_data
    if text := wanted.get("q"):
        keys = keys.filter(Q(name__icontains=text) | Q(prefix__startswith=text) | Q(old_prefix__startswith=text))
    if project := wanted.get("project"):
        keys = keys.filter(project=project)
    if kind := wanted.get("kind"):
        keys = keys.filter(kind=kind)
    if wanted.get("mine"):
        keys = keys.filter(owner=page.user)
    state = wanted.get("state")
    if state in STATES:
        return in_state(keys, state, timezone.now())
    return keys if state == "all" else keys.filter(revoked_at=None)


def key_or_none(page: TeamPage, pk: int) -> VirtualKey | None:
    """A key of the page's team."""
    return visible_keys(party_of(page)).filter(project__team=page.team, pk=pk).first()


def manages(page: TeamPage, key: VirtualKey) -> bool:
    return may_manage(party_of(page), key)
