"""The projects of a team: each holds keys, and has budgets and usage of its own."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.core.paginator import Paginator
from django.db.models import Count, Sum
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils import timezone
from django.utils.translation import gettext as _

from accounting.access.roles import ADMIN, VIEWER
from accounting.audit.changes import StaleVersion, changing
from accounting.dashboard.acting import BOTH, party_of, put_errors
from accounting.dashboard.people_forms import NewProjectForm, ProjectForm
from accounting.dashboard.sums import Days, days_of, spend_by, standing_of
from accounting.limits.asking import NotAllowed
from accounting.models import Budget, Project
from accounting.projects import change_project, create_project, visible_projects
from gateway_project.console.access import actor_of
from gateway_project.dashboard.frame import READ, TeamPage, render_page, team_page
from gateway_project.dashboard.periods import MONTH, read_period

ON_A_PAGE = 50
MOST_KEYS = 50
MOST_BUDGETS = 8


@dataclass(frozen=True, slots=True)
class Row:
    """A project as the list shows it."""

    project: Project
    keys: int
    budgets: int
    budget: Decimal | None
    spent: Decimal


@team_page("projects", least=VIEWER, methods=READ)
def projects(request: HttpRequest, page: TeamPage) -> HttpResponse:
    """All projects with what they hold and have spent this month."""
    period = read_period({"period": MONTH}, page.zone, timezone.now())
    found: Any = visible_projects(party_of(page)).filter(team=page.team).order_by("-enabled", "name")
    listed = Paginator(found, ON_A_PAGE).get_page(request.GET.get("page"))
    spent, budgets = spend_by("project", page.team, period), _budgets([row.pk for row in listed])
    rows = [Row(row, row.n_keys, *budgets.get(row.pk, (0, None)), spent.get(row.name, Decimal(0))) for row in listed]
    names = {"rows": rows, "listed": listed, "period": period, "may": _may_write(page)}
    return render_page(request, page, "dashboard/projects.html", names)


@team_page("projects", least=ADMIN, methods=BOTH)
def new_project(request: HttpRequest, page: TeamPage) -> HttpResponse:
    """A form for a new project."""
    if not _may_write(page):
        raise PermissionDenied("Your role in this team does not allow this.")
    form = NewProjectForm(request.POST if request.method == "POST" else None)
    if form.is_bound and form.is_valid():
        try:
            with changing(actor_of(request)) as change:
                made = create_project(change, party_of(page), page.team, **form.cleaned_data)
        except NotAllowed as error:
            raise PermissionDenied(str(error)) from None
        except ValidationError as error:
            put_errors(form, error)
        else:
            messages.success(request, _("The project %(name)s is made.") % {"name": made.name})
            return HttpResponseRedirect(page.address("dashboard:project", made.name))
    return render_page(request, page, "dashboard/new_project.html", {"form": form})


@team_page("projects", least=VIEWER, methods=BOTH)
def project(request: HttpRequest, page: TeamPage, name: str) -> HttpResponse:
    """One project: its usage, keys and budgets. A POST changes its name for people, or disables it."""
    found = page.team.projects.select_related("team").filter(name=name.replace("\x00", "")).first()
    if found is None:
        raise Http404
    may = _may_write(page)
    initial = {"display_name": found.display_name, "version": found.version}
    form = ProjectForm(request.POST if request.method == "POST" else None, initial=initial)
    if request.method == "POST":
        if not may:
            raise PermissionDenied("Your role in this team does not allow this.")
        if form.is_valid() and _saved(request, page, found, form):
            return HttpResponseRedirect(page.address("dashboard:project", name))
    period = read_period(request.GET, page.zone, timezone.now(), default=MONTH)
    keys = found.keys.select_related("owner").filter(revoked_at=None).order_by("name")
    budgets = Budget.objects.filter(project=found, enabled=True).select_related("project__team")
    rows = list(budgets.order_by("id")[:MOST_BUDGETS])
    days: Days = days_of(page.team, period, project=name)
    names = {
        "project": found,
        "form": form if may else None,
        "keys": keys[:MOST_KEYS],
        "budgets": standing_of(rows),
        "days": days,
        "period": period,
    }
    return render_page(request, page, "dashboard/project.html", names)


def _may_write(page: TeamPage) -> bool:
    return page.may(ADMIN) and page.standing != "auditor"


def _budgets(projects: list[int]) -> dict[int, tuple[int, Decimal | None]]:
    """How many budgets each project has, and what its monthly ones come to."""
    rows = Budget.objects.filter(enabled=True, project__in=projects).order_by()
    counts = dict(rows.values_list("project").annotate(n=Count("pk")))
    monthly = dict(rows.filter(period="month", model="", tag="").values_list("project").annotate(sum=Sum("amount")))
    return {pk: (count, monthly.get(pk)) for pk, count in counts.items()}


def _saved(request: HttpRequest, page: TeamPage, found: Project, form: ProjectForm) -> bool:
    """Saves the form; its buttons `disable` and `enable` do that besides."""
    enabled = {"disable": False, "enable": True}.get(request.POST.get("action", ""))
    values = form.cleaned_data
    try:
        with changing(actor_of(request)) as change:
            change_project(
                change,
                party_of(page),
                found,
                display_name=values["display_name"] if enabled is None else None,
                enabled=enabled,
                expected_version=values["version"],
            )
    except NotAllowed as error:
        raise PermissionDenied(str(error)) from None
    except ValidationError as error:
        put_errors(form, error)
        return False
    except StaleVersion:
        form.add_error(None, _("Somebody else has changed this project meanwhile; look again, then save."))
        return False
    texts = {None: _("The project is changed."), True: _("The project is enabled; its keys work again.")}
    texts[False] = _("The project is disabled; its keys are refused within a second.")
    messages.success(request, texts[enabled])
    return True
