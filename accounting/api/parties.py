"""Views for somebody who acts: the holder of a token by its role, a person who is signed in by theirs."""

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
from accounting.models import ApiToken, Team, User
from accounting.selectors import Viewer
from gateway_project.client_address import client_address
from gateway_project.console.access import is_administrator, is_auditor

BAD = OpenApiResponse(OpenApiTypes.OBJECT, "What cannot be read or makes no sense, by field.")
READING = {
    400: OpenApiResponse(OpenApiTypes.OBJECT, "A filter that does not exist, is empty or cannot be read."),
    401: OpenApiResponse(RefusalSerializer, "No token, or one that is unknown, revoked or has expired."),
    404: OpenApiResponse(RefusalSerializer, "There is none, or not for this account."),
}
WRITING = {
    400: BAD,
    401: READING[401],
    403: OpenApiResponse(RefusalSerializer, "This account may see it and may not do it."),
    404: READING[404],
    409: OpenApiResponse(RefusalSerializer, "Somebody else has changed it since the `version` that was given."),
}


REFUSALS = {status: WRITING[status] for status in (401, 403, 404)}
STALE = WRITING[409]


class Conflict(APIException):
    """Somebody else was faster."""

    status_code = status.HTTP_409_CONFLICT
    default_code = "conflict"


class KnownParty(BasePermission):
    """Anybody with a token or a session; what they see is narrowed, what they may do is asked of the services."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        return isinstance(request.user, Viewer)


class PartyView(generics.GenericAPIView[Any]):
    """Knows who acts, and turns what services refuse into answers."""

    authentication_classes = (ApiTokenAuthentication, SignedInAuthentication)
    permission_classes: Any = (KnownParty,)

    @property
    def party(self) -> Party:
        known: Party | None = self.__dict__.get("_party")
        if known is None:
            known = self.__dict__["_party"] = self._read_party()
        return known

    def actor(self) -> Actor:
        kind: Any = "token" if isinstance(self.request.auth, ApiToken) else "user"
        return Actor(self.party.name, kind, client_address(self.request._request))

    def team(self, name: str) -> Team:
        """A team that the party may know of. Raises ValidationError."""
        team = Team.objects.filter(name=name).first()
        known = self.party.admin or self.party.reads_all or name in self.party.roles
        if team is None or not known:
            raise ValidationError({"team": [f"There is no team {name!r}, or not for this account."]})
        return team

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
            exc = NotFound() if exc.deleted else Conflict(str(exc))
        return super().handle_exception(exc)

    def _read_party(self) -> Party:
        if isinstance(self.request.auth, ApiToken):
            return party_of_token(self.request.auth)
        viewer = self.request.user
        user = User.objects.filter(email=viewer.name).first() if isinstance(viewer, Viewer) else None
        if user is None:
            return Party("")
        own = party_of_user(user)
        return Party(own.name, admin=is_administrator(user), reads_all=is_auditor(user), roles=own.roles)
