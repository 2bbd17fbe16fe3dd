"""Access rules of the REST API. A view that states none is closed."""

from typing import TYPE_CHECKING

from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request

from accounting.selectors import Viewer

if TYPE_CHECKING:  # the framework's views read these rules while they are being imported
    from rest_framework.views import APIView


class DenyAll(BasePermission):
    """The default: nobody."""

    def has_permission(self, request: Request, view: "APIView") -> bool:
        return False


def only_reads(request: Request, view: "APIView") -> bool:
    """Whether nothing is asked for that could change something. What the view does not offer goes on to be told so, with 405."""
    return request.method in SAFE_METHODS or request.method not in view.allowed_methods


class ReadsRecords(BasePermission):
    """Administrators, auditors and teams, for reading; what a team sees is narrowed by the selector."""

    message = "This account may not read request records."

    def has_permission(self, request: Request, view: "APIView") -> bool:
        viewer = request.user
        return only_reads(request, view) and isinstance(viewer, Viewer) and viewer.reach != "nothing"


class Known(BasePermission):
    """Anyone with a token or a session, for reading what holds no data: the schema and its page."""

    def has_permission(self, request: Request, view: "APIView") -> bool:
        return only_reads(request, view) and isinstance(request.user, Viewer)
