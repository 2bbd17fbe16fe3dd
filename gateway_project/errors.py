"""What Django itself refuses, before any view: in the REST API's shape below /api/, as pages elsewhere."""

from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views import defaults

API = "/api/"


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _refused(request, 400, "This request cannot be read.") or defaults.bad_request(request, exception)


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _refused(request, 403, "This is not allowed.") or defaults.permission_denied(request, exception)


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _refused(request, 404, "There is nothing at this address.") or defaults.page_not_found(request, exception)


def server_error(request: HttpRequest, *_: Any) -> HttpResponse:
    text = "The gateway failed on this request; its log says more."
    return _refused(request, 500, text) or defaults.server_error(request)


def _refused(request: HttpRequest, status: int, text: str) -> HttpResponse | None:
    return JsonResponse({"detail": text}, status=status) if request.path.startswith(API) else None
