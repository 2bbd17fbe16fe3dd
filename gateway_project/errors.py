"""What Django itself refuses, before any view or for its failure: in the REST API's shape below /api/, as pages elsewhere."""

import sys
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views import defaults

from gateway_project.outages import database_away
from gateway_project.telemetry import logger

API = "/api/"
RETRY_AFTER = "5"  # seconds
log = logger(__name__)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _refused(request, 400, "This request cannot be read.") or defaults.bad_request(request, exception)


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _refused(request, 403, "This is not allowed.") or defaults.permission_denied(request, exception)


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _refused(request, 404, "There is nothing at this address.") or defaults.page_not_found(request, exception)


def server_error(request: HttpRequest, *_: Any) -> HttpResponse:
    error = sys.exc_info()[1]  # Django asks for this answer while it handles what was raised
    if database_away(error):
        return _without_database(request, error)
    text = "The gateway failed on this request; its log says more."
    return _refused(request, 500, text) or defaults.server_error(request)


def _without_database(request: HttpRequest, error: BaseException | None) -> HttpResponse:
    """One line in the log in place of Django's, whose traceback would say no more, once for every request."""
    log.error("no answer without the database", path=request.path, error=str(error).partition("\n")[0])
    answer = _refused(request, 503, "The database is away at the moment; try again.") or defaults.server_error(request)
    answer.status_code = 503
    answer.headers["retry-after"] = RETRY_AFTER
    answer.headers["cache-control"] = "no-store"
    answer._has_been_logged = True  # type: ignore[attr-defined]  # Django's own word for that
    return answer


def _refused(request: HttpRequest, status: int, text: str) -> HttpResponse | None:
    return JsonResponse({"detail": text}, status=status) if request.path.startswith(API) else None
