"""What owners say about their team; what administrators decide is shown beside it."""

from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounting.access.roles import OWNER, VIEWER
from accounting.audit.changes import StaleVersion, changing
from accounting.dashboard.acting import BOTH, party_of, put_errors
from accounting.dashboard.people_forms import TeamForm
from accounting.limits.asking import NotAllowed
from accounting.models import Team
from accounting.projects import TeamSettings, change_team
from gateway_project.console.access import actor_of
from gateway_project.dashboard.frame import TeamPage, render_page, team_page

CAPTURE = {
    Team.Capture.METADATA: gettext_lazy("metadata only: no prompts, no answers"),
    Team.Capture.REDACTED: gettext_lazy("prompts and answers, redacted"),
    Team.Capture.FULL: gettext_lazy("prompts and answers in full"),
}


@team_page("members", least=VIEWER, methods=BOTH)
def team_settings(request: HttpRequest, page: TeamPage) -> HttpResponse:
    """Name and time zone for owners; everybody sees what holds."""
    may = page.may(OWNER) and page.standing != "auditor"
    if request.method == "POST" and not may:
        raise PermissionDenied("Your role in this team does not allow this.")
    initial = {"display_name": page.team.display_name, "timezone": page.team.timezone, "version": page.team.version}
    data = request.POST if request.method == "POST" else None
    form = TeamForm(data, current=page.team.timezone, initial=initial)
    if form.is_bound and form.is_valid() and _saved(request, page, form):
        return HttpResponseRedirect(page.address("dashboard:team"))
    names = {"form": form if may else None, "capture": CAPTURE[Team.Capture(page.team.capture)]}
    return render_page(request, page, "dashboard/team.html", names)


def _saved(request: HttpRequest, page: TeamPage, form: TeamForm) -> bool:
    values = form.cleaned_data
    settings = TeamSettings(values["display_name"], values["timezone"])
    try:
        with changing(actor_of(request)) as change:
            change_team(change, party_of(page), page.team, settings, expected_version=values["version"])
    except NotAllowed as error:
        raise PermissionDenied(str(error)) from None
    except ValidationError as error:
        put_errors(form, error)
        return False
    except StaleVersion:
        form.add_error(None, _("Somebody else has changed the team meanwhile; look again, then save."))
        return False
    messages.success(request, _("The team is changed."))
    return True
