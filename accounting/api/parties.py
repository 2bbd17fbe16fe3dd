"""What views for members of teams share: who asks, as whom the audit log names them, what refusals become."""

# mypy: disable-error-code="misc"

from typing import Any

from django.core.exceptions import ObjectDoesNotExist
from django.core.exceptions import ValidationError as Refused
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse
from rest_framework import generics, status
from rest_framework.exceptions import APIException, NotFound, PermissionDenied, ValidationError
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounting.api.authentication import ApiTokenAuthentication, SignedInAuthentication
from accounting.api.serializers import RefusalSerializer
from accounting.audit.changes import Actor, StaleVersion
from accounting.limits.asking import NotAllowed, Party, party_of_token, party_of_user
from accounting.models import ApiToken, User
from accounting.selectors import Viewer
from gateway_project.client_address import client_address


class Conflict(APIException):
    status_code = status.HTTP_409_CONFLICT
    default_code = "conflict"


class KnownParty(BasePermission):
    """Anybody with a token or a session; what they see is narrowed, what they may do is asked of `limits.asking`."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        return isinstance(request.user, Viewer)


class ForParty(generics.GenericAPIView[Any]):
    authentication_classes = (ApiTokenAuthentication, SignedInAuthentication)
    permission_classes = (KnownParty,)

    @property
    def party(self) -> Party:
        if isinstance(self.request.auth, ApiToken):
            return party_of_token(self.request.auth)
        viewer = self.request.user
        user = User.objects.filter(email=viewer.name).first() if isinstance(viewer, Viewer) else None
        return party_of_user(user) if user is not None else Party("")

    def actor(self) -> Actor:
        kind: Any = "token" if isinstance(self.request.auth, ApiToken) else "user"
        return Actor(self.party.name, kind, client_address(self.request._request))

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        final = super().finalize_response(request, response, *args, **kwargs)
        final["Cache-Control"] = "private, no-store"
        return final

    def get_serializer_context(self) -> dict[str, Any]:
        context = super().get_serializer_context()
        return dict(context) if getattr(self, "swagger_fake_view", False) else {**context, "party": self.party}

    def handle_exception(self, exc: Exception) -> Response:
        if isinstance(exc, Refused):
            exc = ValidationError(exc.message_dict if hasattr(exc, "error_dict") else {"detail": exc.messages})
        elif isinstance(exc, NotAllowed):
            exc = PermissionDenied(str(exc))
        elif isinstance(exc, ObjectDoesNotExist):
            exc = NotFound()
        elif isinstance(exc, StaleVersion):
            exc = Conflict(str(exc))
        return super().handle_exception(exc)


BAD = OpenApiResponse(OpenApiTypes.OBJECT, "What cannot be read or makes no sense, by field.")
REFUSALS = {
    401: OpenApiResponse(RefusalSerializer, "No token, or one that is unknown, revoked or has expired."),
    403: OpenApiResponse(RefusalSerializer, "This account may see it and may not do it."),
    404: OpenApiResponse(RefusalSerializer, "There is none, or not for this account."),
}
STALE = OpenApiResponse(RefusalSerializer, "Somebody has changed it since it was read.")
