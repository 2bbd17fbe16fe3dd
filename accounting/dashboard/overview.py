"""The overview of a team."""

from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from gateway_project.dashboard.frame import TeamPage, render_page, team_page
from gateway_project.dashboard.periods import MONTH, read_period


@team_page("overview")
def overview(request: HttpRequest, page: TeamPage) -> HttpResponse:
    """What the team spends and how its requests go."""
    period = read_period(request.GET, page.zone, timezone.now(), default=MONTH)
    return render_page(request, page, "dashboard/overview.html", {"period": period})
