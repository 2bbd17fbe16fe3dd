"""What would become of a request of one's own: the page for members of teams."""

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from accounting.models import RequestRecord, User
from accounting.selectors import find_record, keys_of_member
from routing.explaining.page import answer


@never_cache
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def explain(request: HttpRequest) -> HttpResponse:
    """Explains requests of the keys that this person may see: their own, and those of the teams they belong to."""
    assert isinstance(request.user, User)
    keys = [
        (key.prefix, f"{key.project.team.name} / {key.project.name} / {key.name} ({key.prefix}…)")
        for key in keys_of_member(request.user)
    ]
    if not keys:
        return render(request, "routing/explain.html", {"form": None})
    record = _own_record(request, {prefix for prefix, _ in keys})
    return render(request, "routing/explain.html", answer(request, record, keys=keys))


def _own_record(request: HttpRequest, prefixes: set[str]) -> RequestRecord | None:
    """The stored request that is asked about, if one of these keys made it."""
    if request.method == "POST":
        return None
    record = find_record(request.GET.get("request", "")[:40])
    return record if record is not None and record.key_prefix in prefixes else None
