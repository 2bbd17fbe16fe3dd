"""The page that explains a request, pasted or stored, in the console."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from accounting.selectors import find_record
from routing.explaining.page import answer


def explain_view(request: HttpRequest, opts: Any) -> HttpResponse:
    """The form, and the explanation once something is asked. `?request=` begins with a stored request."""
    record = find_record(request.GET.get("request", "")[:40]) if request.method == "GET" else None
    context = {
        **admin.site.each_context(request),
        "opts": opts,
        "title": "Explain a request",
        "subtitle": "Who asks, which limits hold, where it goes and why, what it costs. Nothing is sent.",
        **answer(request, record),
    }
    response = TemplateResponse(request, "admin/explain.html", context)
    response["Cache-Control"] = "no-store"
    return response
