"""Budgets and limits: what applies to the team and the reader, how it stands, what a refusal will look like."""

from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.utils import timezone

from accounting.limits.asking import Party, may_ask, party_of_user
from accounting.limits.samples import budget_sample, rate_sample
from accounting.limits.setting import may_set
from accounting.limits.shown import ShownBudget, ShownRate, budgets_for, rates_for, show_budgets, show_rates
from accounting.limits.wording import ASK_PATH
from accounting.models import AuditEvent, Budget, BudgetRequest
from gateway_project.dashboard.frame import TeamPage, render_page, team_page

PER_PAGE = 20
MOST_HISTORY = 30


@dataclass(frozen=True, slots=True)
class Line:
    """A limit of a list, and what its reader may do with it."""

    shown: Any
    may_ask: bool
    may_set: bool


@team_page("budgets")
def budgets(request: HttpRequest, page: TeamPage) -> HttpResponse:
    """Every budget that applies, as bars."""
    party = party_of_user(page.user)
    listed = Paginator(budgets_for(page.team, page.user), PER_PAGE).get_page(request.GET.get("page"))
    shown = show_budgets(list(listed.object_list), timezone.now())
    lines = [Line(each, may_ask(party, each.row), may_set(party, each.row)) for each in shown]
    context = {"lines": lines, "listed": listed, "waiting": to_decide(page, party).count(), "tab": "budgets"}
    return render_page(request, page, "dashboard/budgets.html", context)


@team_page("budgets")
def rate_limits(request: HttpRequest, page: TeamPage) -> HttpResponse:
    """Every rate limit that applies, with what is used of it now."""
    party = party_of_user(page.user)
    listed = Paginator(rates_for(page.team, page.user), PER_PAGE).get_page(request.GET.get("page"))
    lines = [_rate(each, party) for each in show_rates(list(listed.object_list))]
    context = {"lines": lines, "listed": listed, "waiting": to_decide(page, party).count(), "tab": "limits"}
    return render_page(request, page, "dashboard/rate_limits.html", context)


def _rate(shown: ShownRate, party: Party) -> tuple[Line, Any]:
    return Line(shown, False, may_set(party, shown.row)), rate_sample(shown.line)


@team_page("budgets")
def budget(request: HttpRequest, page: TeamPage, pk: int) -> HttpResponse:
    """One budget: where its limit comes from, what was raised and changed, what a client gets when it is used up."""
    shown = find_budget(page, pk)
    party = party_of_user(page.user)
    open_to_all = shown.row.scope != "organization" or party.admin  # who asked for what of it is no team's business
    requests = BudgetRequest.objects.filter(budget=shown.row) if open_to_all else BudgetRequest.objects.none()
    context = {
        "shown": shown,
        "may_ask": may_ask(party, shown.row),
        "may_set": may_set(party, shown.row),
        "sample": budget_sample(shown.standing, asking_address(request), shown.now.timestamp()),
        "requests": requests.order_by("-id")[:MOST_HISTORY],
        "alerts": shown.row.alerts.order_by("-id")[:MOST_HISTORY],
        "events": _history(shown.row) if open_to_all else [],
    }
    return render_page(request, page, "dashboard/budget.html", context)


def find_budget(page: TeamPage, pk: int) -> ShownBudget:
    """A budget that applies to this team and reader. Raises Http404."""
    row = budgets_for(page.team, page.user).filter(pk=pk).first()
    if row is None:
        raise Http404
    return show_budgets([row], timezone.now())[0]


def to_decide(page: TeamPage, party: Party) -> Any:
    """The open requests of this team that the reader may decide about."""
    rows = BudgetRequest.objects.filter(
        state="open", budget__in=budgets_for(page.team, page.user).order_by().values("pk")
    )
    if party.admin:
        return rows
    if not page.is_admin or page.standing != "member":
        return rows.none()
    return rows.exclude(asked_by=party.name).exclude(budget__scope__in=("organization", "user"))


def asking_address(request: HttpRequest) -> str:
    """The address that refusals give to ask for more on."""
    return (settings.GATEWAY_PUBLIC_URL or request.build_absolute_uri("/").rstrip("/")) + ASK_PATH


def _history(row: Budget) -> list[AuditEvent]:
    """Who made and changed a budget, newest first."""
    return list(AuditEvent.objects.filter(object_type="budget", object_id=str(row.pk)).order_by("-id")[:MOST_HISTORY])
