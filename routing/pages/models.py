"""The models that a team may use: names, prices, who serves them and how that goes now."""

from django.http import Http404, HttpRequest, HttpResponse
from django.utils import timezone

from accounting.selectors import projects_in_use
from gateway_project.dashboard.frame import TeamPage, render_page, team_page
from routing.offers import insider, offer, offers
from routing.pages.trying import TryForm, may_try


@team_page("models")
def models(request: HttpRequest, page: TeamPage) -> HttpResponse:
    """All of them, with a search by name."""
    found = offers(insider(page.user, page.team, ""), timezone.now())
    wanted = request.GET.get("q", "").strip().lower()[:200]
    shown = [each for each in found if wanted in each.name.lower() or wanted in each.display_name.lower()]
    return render_page(request, page, "dashboard/models.html", {"offers": shown, "all": len(found), "wanted": wanted})


@team_page("models")
def model(request: HttpRequest, page: TeamPage, name: str) -> HttpResponse:
    """One model: prices by token kind, its upstreams, what stands before it, and a place to try it."""
    found = offer(insider(page.user, page.team, ""), name, timezone.now())
    if found is None:
        raise Http404
    form = TryForm(projects_in_use(page.team)) if may_try(page) else None
    return render_page(request, page, "dashboard/model.html", {"offer": found, "form": form})
