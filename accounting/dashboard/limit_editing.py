"""Making, changing and deleting budgets and rate limits of a team."""

from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.translation import gettext as _

from accounting.access.roles import ADMIN
from accounting.audit.changes import StaleVersion, changing
from accounting.dashboard.limit_forms import BudgetForm, LimitForm, RateLimitForm, refuse
from accounting.limits.asking import NotAllowed, Party, party_of_user
from accounting.limits.setting import delete_limit, may_set, save_limit
from accounting.limits.shown import budgets_for, rates_for
from accounting.models import Budget, RateLimit
from gateway_project.console.access import actor_of
from gateway_project.dashboard.frame import TeamPage, render_page, team_page

WRITE = ("GET", "HEAD", "POST")
_LISTS = {"budget": "dashboard:budgets", "rate": "dashboard:rate_limits"}


@team_page("budgets", least=ADMIN, methods=WRITE)
def budget_new(request: HttpRequest, page: TeamPage) -> HttpResponse:
    return _edit(request, page, Budget(), BudgetForm, "budget")


@team_page("budgets", least=ADMIN, methods=WRITE)
def budget_change(request: HttpRequest, page: TeamPage, pk: int) -> HttpResponse:
    return _edit(request, page, _found(budgets_for(page.team, page.user), page, pk), BudgetForm, "budget")


@team_page("budgets", least=ADMIN, methods=WRITE)
def budget_delete(request: HttpRequest, page: TeamPage, pk: int) -> HttpResponse:
    return _delete(request, page, _found(budgets_for(page.team, page.user), page, pk), "budget")


@team_page("budgets", least=ADMIN, methods=WRITE)
def rate_limit_new(request: HttpRequest, page: TeamPage) -> HttpResponse:
    return _edit(request, page, RateLimit(), RateLimitForm, "rate")


@team_page("budgets", least=ADMIN, methods=WRITE)
def rate_limit_change(request: HttpRequest, page: TeamPage, pk: int) -> HttpResponse:
    return _edit(request, page, _found(rates_for(page.team, page.user), page, pk), RateLimitForm, "rate")


@team_page("budgets", least=ADMIN, methods=WRITE)
def rate_limit_delete(request: HttpRequest, page: TeamPage, pk: int) -> HttpResponse:
    return _delete(request, page, _found(rates_for(page.team, page.user), page, pk), "rate")


def _found(rows: Any, page: TeamPage, pk: int) -> Any:
    """The limit, if the reader may set it. Raises Http404, and PermissionDenied for one that they only see."""
    row = rows.filter(pk=pk).first()
    if row is None:
        raise Http404
    if not may_set(party_of_user(page.user), row):
        raise PermissionDenied
    return row


def _edit(request: HttpRequest, page: TeamPage, row: Any, form_class: type[LimitForm], kind: str) -> HttpResponse:
    party = party_of_user(page.user)
    form = form_class(request.POST or None, instance=row, team=page.team, party=party)
    if request.method == "POST" and form.is_valid() and _save(request, party, form):
        messages.success(request, _("Saved. It is in force within a second."))
        if kind == "budget":
            return HttpResponseRedirect(page.address("dashboard:budget", form.instance.pk))
        return HttpResponseRedirect(page.address(_LISTS[kind]))
    context = {"form": form, "row": row, "kind": kind, "is_new": row._state.adding, "back": _LISTS[kind]}
    return render_page(request, page, "dashboard/limit_form.html", context, status=400 if form.errors else 200)


def _save(request: HttpRequest, party: Party, form: LimitForm) -> bool:
    row = form.instance
    try:
        with changing(actor_of(request)) as change:
            save_limit(change, party, row, expected_version=None if row._state.adding else row.version)
    except ValidationError as error:
        refuse(form, error)
        return False
    except StaleVersion as error:
        form.add_error(None, str(error))
        return False
    except NotAllowed as error:
        raise PermissionDenied(str(error)) from None
    return True


def _delete(request: HttpRequest, page: TeamPage, row: Any, kind: str) -> HttpResponse:
    if request.method != "POST":
        context = {"row": row, "kind": kind, "back": _LISTS[kind]}
        return render_page(request, page, "dashboard/limit_delete.html", context)
    try:
        with changing(actor_of(request)) as change:
            delete_limit(change, party_of_user(page.user), row)
        messages.success(request, _("Deleted."))
    except StaleVersion as error:
        messages.error(request, str(error))
    return HttpResponseRedirect(page.address(_LISTS[kind]))
