"""The page that searches everything, and the fragment of it that the palette (Ctrl-K) fetches while somebody types."""

from typing import Any

from django.contrib import admin
from django.db import models
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse

from accounting.models import User
from gateway_project.console.search import LONGEST, Found, search


def search_view(request: HttpRequest) -> HttpResponse:
    """What fits `?q=`, in groups; with `&fragment=1` only the results."""
    text = request.GET.get("q", "")[:LONGEST]
    groups = search(text, _pages(request), lambda model: _sees(request, model))
    context: dict[str, Any] = {
        "text": text.strip(),
        "groups": groups,
        "count": sum(len(group.found) for group in groups),
        "longest": LONGEST,
    }
    if "fragment" in request.GET:
        response = TemplateResponse(request, "admin/search_results.html", context)
    else:
        page = {**admin.site.each_context(request), "title": "Search"}
        response = TemplateResponse(request, "admin/search.html", {**page, **context})
    response["Cache-Control"] = "no-store"
    return response


def _sees(request: HttpRequest, model: type[models.Model]) -> bool:
    registered = admin.site._registry.get(model)
    return registered is not None and registered.has_view_permission(request)


def _pages(request: HttpRequest) -> list[Found]:
    """The console's own pages that this person may open: the lists, the forms for something new, and the rest."""
    found = [Found("Overview", reverse("admin:index"), "is everything all right?")]
    for group in admin.site.get_app_list(request):
        for each in group["models"]:
            found.append(Found(each["name"], each["admin_url"], group["name"]))
            if each.get("add_url"):
                noun = str(each["model"]._meta.verbose_name)
                found.append(Found(f"New {noun}", each["add_url"], group["name"]))
    if isinstance(request.user, User) and request.user.has_usable_password():
        found.append(Found("Change password", reverse("admin:password_change"), "your own"))
    return found
