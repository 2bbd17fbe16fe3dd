"""Asking for more of a budget, following the answer, deciding."""

from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied, ValidationError
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from accounting.audit.changes import changing
from accounting.dashboard.budgets import find_budget, to_decide
from accounting.dashboard.limit_forms import AskForm, DecisionForm, refuse
from accounting.limits.asking import (
    APPROVE,
    CHANGE,
    REFUSE,
    NotAllowed,
    ask,
    decide,
    may_ask,
    may_decide,
    party_of_user,
    raised,
    visible_budgets,
    withdraw,
)
from accounting.limits.shown import ShownBudget, budgets_for
from accounting.limits.terms import nano_of
from accounting.models import Budget, BudgetRequest, User
from gateway_project.console.access import actor_of, is_auditor
from gateway_project.dashboard.frame import TeamPage, render_page, team_page, teams_of

PER_PAGE = 25
SHARE_ASKED = Decimal("0.2")  # of the amount: what the form proposes
LONGEST_REASON = 500


@never_cache
@login_required
@require_safe
def ask_for_more(request: HttpRequest) -> HttpResponse:
    """`/limits/ask?budget=7`, to which refusals lead: the form of that budget, in a team of whoever follows the link."""
    user = request.user
    assert isinstance(user, User)
    number = request.GET.get("budget", "")
    row = _budget_of_link(user, number) if number.isascii() and number.isdigit() and len(number) < 19 else None
    if row is None:
        raise Http404
    team = row.owning_team or next(iter(teams_of(user)), None)
    if team is None:
        return HttpResponseRedirect(reverse("home"))
    return HttpResponseRedirect(reverse("dashboard:budget_ask", args=[team.name, row.pk]))


def _budget_of_link(user: User, number: str) -> Budget | None:
    """The budget, if it holds this person's requests; the organization's holds everybody's."""
    rows = Budget.objects.filter(enabled=True).select_related("team", "project__team", "user", "key__project__team")
    row = rows.filter(pk=int(number)).first()
    if row is None or row.scope == "organization" or is_auditor(user):
        return row
    return row if visible_budgets(party_of_user(user)).filter(pk=row.pk).exists() else None


@team_page("budgets", methods=("GET", "HEAD", "POST"))
def budget_ask(request: HttpRequest, page: TeamPage, pk: int) -> HttpResponse:
    """Asks for more of a budget."""
    shown, party = find_budget(page, pk), party_of_user(page.user)
    if not may_ask(party, shown.row):
        if request.method == "POST":
            raise PermissionDenied
        return render_page(request, page, "dashboard/budget_ask.html", {"shown": shown})
    mine = BudgetRequest.objects.filter(budget=shown.row, asked_by=party.name, state="open").first()
    if mine is not None:
        messages.info(request, _("You have asked for more of this budget already; this is your request."))
        return HttpResponseRedirect(page.address("dashboard:budget_request", mine.pk))
    form = AskForm(request.POST or None, initial=_proposed(request, shown), label_suffix="")
    if request.method == "POST" and form.is_valid():
        try:
            with changing(actor_of(request)) as change:
                made = ask(change, party, shown.row, now=shown.now, **form.cleaned_data)
        except ValidationError as error:
            refuse(form, error)
        else:
            messages.success(request, _("Your request waits for an answer. You can follow it here."))
            return HttpResponseRedirect(page.address("dashboard:budget_request", made.pk))
    context = {"shown": shown, "form": form}
    return render_page(request, page, "dashboard/budget_ask.html", context, status=400 if form.errors else 200)


def _proposed(request: HttpRequest, shown: ShownBudget) -> dict[str, Any]:
    """What the form says at first; an address may name amount and reason."""
    most = max(Decimal(1), (shown.row.amount * SHARE_ASKED).quantize(Decimal(1)))
    text = request.GET.get("amount", "")
    amount: Any = text if text.replace(".", "", 1).isdigit() and len(text) < 20 else most
    return {"amount": amount, "until": shown.until(), "reason": request.GET.get("reason", "")[:LONGEST_REASON]}


@team_page("budgets")
def budget_requests(request: HttpRequest, page: TeamPage) -> HttpResponse:
    """Requests for more: one's own, those that wait for the reader, all of the team."""
    party = party_of_user(page.user)
    waiting = to_decide(page, party)
    rows = _requests(page)
    which = request.GET.get("show", "")
    if which == "mine":
        rows = rows.filter(asked_by=party.name)
    elif which == "waiting":
        rows = rows.filter(pk__in=waiting.values("pk"))
    listed = Paginator(rows, PER_PAGE).get_page(request.GET.get("page"))
    context = {"listed": listed, "which": which, "waiting": waiting.count(), "tab": "requests"}
    return render_page(request, page, "dashboard/budget_requests.html", context)


@team_page("budgets", methods=("GET", "HEAD", "POST"))
def budget_request(request: HttpRequest, page: TeamPage, pk: int) -> HttpResponse:
    """One request with its answer; who may decide sees what approving would do, and decides here."""
    row = _requests(page).filter(pk=pk).first()
    if row is None:
        raise Http404
    party = party_of_user(page.user)
    allowed = row.state == BudgetRequest.State.OPEN and may_decide(party, row)
    if request.method == "POST" and not may_decide(party, row):
        raise PermissionDenied
    if request.method == "POST" and not allowed:
        messages.error(request, _("This request is not open any more."))
        return HttpResponseRedirect(page.address("dashboard:budget_request", row.pk))
    shown = find_budget(page, row.budget_id)
    form = DecisionForm(request.POST or None, initial={"amount": row.amount, "until": row.until}, label_suffix="")
    complete = request.method == "POST" and (request.POST.get("decision") == REFUSE or form.is_valid())
    if complete and (answer := _decide(request, page, row, form)) is not None:
        return answer
    context = {
        "row": row,
        "shown": shown,
        "after": after(shown, row.amount, row.until),
        "form": form if allowed else None,
        "mine": row.asked_by == party.name and row.state == BudgetRequest.State.OPEN,
    }
    return render_page(request, page, "dashboard/budget_request.html", context, status=400 if form.errors else 200)


def _decide(request: HttpRequest, page: TeamPage, row: BudgetRequest, form: DecisionForm) -> HttpResponse | None:
    """Decides as the form says; None, and the reason in the form, if that was refused."""
    given: dict[str, Any] = {"comment": request.POST.get("comment", "")[:LONGEST_REASON]}
    decision = REFUSE
    if request.POST.get("decision") != REFUSE:
        decision = CHANGE if form.is_changed else APPROVE
        if form.is_changed:
            given |= {"amount": form.cleaned_data["amount"], "until": form.cleaned_data["until"]}
    party = party_of_user(page.user)
    try:
        with changing(actor_of(request)) as change:
            decide(change, party, row.pk, decision, now=find_budget(page, row.budget_id).now, **given)
    except ValidationError as error:
        refuse(form, error)
        return None
    except NotAllowed as error:
        raise PermissionDenied(str(error)) from None
    said = _("Refused.") if decision == REFUSE else _("Approved: the budget is raised.")
    messages.success(request, said)
    return HttpResponseRedirect(page.address("dashboard:budget_request", row.pk))


@team_page("budgets", methods=("POST",))
def budget_request_withdraw(request: HttpRequest, page: TeamPage, pk: int) -> HttpResponse:
    """Takes one's own request back."""
    if not _requests(page).filter(pk=pk).exists():
        raise Http404
    try:
        with changing(actor_of(request)) as change:
            withdraw(change, party_of_user(page.user), pk)
        messages.success(request, _("Withdrawn."))
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
    except (NotAllowed, BudgetRequest.DoesNotExist) as error:
        raise PermissionDenied(str(error)) from None
    return HttpResponseRedirect(page.address("dashboard:budget_request", pk))


def after(shown: ShownBudget, amount: Decimal, until: datetime) -> ShownBudget:
    """How the budget would stand if it were raised by that."""
    more, _until = raised(shown.row, amount, until, shown.now)
    standing = shown.standing
    added = nano_of(more) - max(0, standing.line.limit - standing.line.amount)
    line = replace(standing.line, limit=standing.line.limit + added)
    return replace(shown, standing=replace(standing, line=line, limit=standing.limit + added))


def _requests(page: TeamPage) -> Any:
    """The requests for more of what applies to the team and the reader, newest first."""
    budgets = budgets_for(page.team, page.user).order_by().values("pk")
    rows = BudgetRequest.objects.select_related("budget__team", "budget__project__team", "budget__key__project__team")
    rows = rows.select_related("budget__user").filter(budget__in=budgets).order_by("-id")
    # What others want of the organization's budget is no team's business.
    whole = rows.filter(budget__scope="organization")
    return rows if page.standing == "administrator" else rows.exclude(pk__in=whole.exclude(asked_by=page.user.email))
