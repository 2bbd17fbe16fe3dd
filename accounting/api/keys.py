"""Virtual keys in the REST API: for administrators' and teams' tokens, and for people, each by their role in the team."""

# django-filter has no types
# mypy: disable-error-code="no-untyped-call, misc, assignment, name-defined"

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import django_filters
from django.core.exceptions import ValidationError as Refused
from django.db.models import QuerySet
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema, extend_schema_view
from rest_framework import generics, status
from rest_framework.exceptions import APIException, NotFound, PermissionDenied, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from accounting.api.authentication import ApiTokenAuthentication, SignedInAuthentication
from accounting.api.filters import StrictForm
from accounting.api.key_serializers import (
    ChangeKeySerializer,
    KeySerializer,
    KeyWithSecretSerializer,
    NewKeySerializer,
    RotationSerializer,
    SwitchSerializer,
    key_entry,
)
from accounting.api.parties import KnownParty
from accounting.api.serializers import RefusalSerializer
from accounting.audit.changes import Actor, ChangeSet, StaleVersion, changing
from accounting.keyring.orders import issue, revise, revoke, rotate, switch
from accounting.keyring.permissions import visible_keys, visible_projects
from accounting.keyring.reading import STATES, in_state, standing_of, standings
from accounting.limits.asking import NotAllowed, Party, party_of_token, party_of_user
from accounting.models import ApiToken, Project, User, VirtualKey
from accounting.selectors import Viewer
from gateway_project.client_address import client_address
from gateway_project.console.access import is_auditor


class KeyFilter(django_filters.FilterSet):
    """Exact values. Without `state`, revoked keys are there too."""

    team = django_filters.CharFilter("project__team__name", help_text="The team's name.")
    project = django_filters.CharFilter("project__name", help_text="The project's name.")
    owner = django_filters.CharFilter("owner__email", help_text="The address of a personal key's owner.")
    state = django_filters.ChoiceFilter(
        choices=[(name, name) for name in STATES], method="in_state", help_text=f"One of {', '.join(STATES)}."
    )

    class Meta:
        model = VirtualKey
        form = StrictForm
        fields = ("team", "project", "owner", "state", "kind", "name", "prefix")

    def in_state(self, rows: QuerySet[VirtualKey], _: str, value: str) -> QuerySet[VirtualKey]:
        return in_state(rows, value, timezone.now())


class Conflict(APIException):
    status_code = status.HTTP_409_CONFLICT
    default_code = "conflict"


class _Keys(generics.GenericAPIView[VirtualKey]):
    authentication_classes = (ApiTokenAuthentication, SignedInAuthentication)
    permission_classes = (KnownParty,)
    serializer_class = KeySerializer
    queryset = VirtualKey.objects.none()  # for the schema

    @property
    def party(self) -> Party:
        if isinstance(self.request.auth, ApiToken):
            return party_of_token(self.request.auth)
        viewer = self.request.user
        user = User.objects.filter(email=viewer.name).first() if isinstance(viewer, Viewer) else None
        if user is None:
            return Party("")
        party = party_of_user(user)
        return replace(party, reads_all=True) if is_auditor(user) else party

    def get_queryset(self) -> QuerySet[VirtualKey]:
        return visible_keys(self.party).order_by("-id")

    def found(self, pk: int) -> VirtualKey:
        key = self.get_queryset().filter(pk=pk).first()
        if key is None:
            raise NotFound()
        return key

    def made(self, action: Callable[[ChangeSet], Any]) -> Any:
        """What `action` gives, done as one change of this caller."""
        kind: Any = "token" if isinstance(self.request.auth, ApiToken) else "user"
        with changing(Actor(self.party.name, kind, client_address(self.request._request))) as change:
            return action(change)

    def shown(self, key: VirtualKey, **more: Any) -> dict[str, Any]:
        entry = {**key_entry(standing_of(key, timezone.now())), **more}
        return dict((KeyWithSecretSerializer if more else KeySerializer)(entry).data)

    def handle_exception(self, exc: Exception) -> Response:
        if isinstance(exc, Refused):
            exc = ValidationError(exc.message_dict if hasattr(exc, "error_dict") else {"detail": exc.messages})
        elif isinstance(exc, NotAllowed):
            exc = PermissionDenied(str(exc))
        elif isinstance(exc, StaleVersion):
            exc = Conflict(str(exc))
        return super().handle_exception(exc)

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        final = super().finalize_response(request, response, *args, **kwargs)
        final["Cache-Control"] = "private, no-store"
        return final


_BAD = OpenApiResponse(OpenApiTypes.OBJECT, "What cannot be read or makes no sense, by field.")
_REFUSALS = {
    400: _BAD,
    401: OpenApiResponse(RefusalSerializer, "No token, or one that is unknown, revoked or has expired."),
    403: OpenApiResponse(RefusalSerializer, "This account may see it and may not do it."),
    404: OpenApiResponse(RefusalSerializer, "There is none, or not for this account."),
}
_STALE = {409: OpenApiResponse(RefusalSerializer, "Somebody changed the key since that version.")}


@extend_schema_view(
    get=extend_schema(responses={200: KeySerializer(many=True), **_REFUSALS}),
    post=extend_schema(request=NewKeySerializer, responses={201: KeyWithSecretSerializer, **_REFUSALS}),
)
class KeyList(_Keys, generics.ListAPIView[VirtualKey]):
    """Virtual keys, newest first: all for administrators and auditors, a team's for the team. The answer to a new one is the
    only one that has its secret."""

    filterset_class = KeyFilter

    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        rows = list(self.paginate_queryset(self.filter_queryset(self.get_queryset())) or [])
        entries = [key_entry(each) for each in standings(rows, timezone.now())]
        return self.get_paginated_response(self.get_serializer(entries, many=True).data)

    def post(self, request: Request) -> Response:
        given = NewKeySerializer(data=request.data)
        given.is_valid(raise_exception=True)
        project = self._project(given.validated_data)
        key, secret = self.made(lambda change: issue(change, self.party, given.order(project)))
        return Response(self.shown(key, secret=secret.reveal()), status=status.HTTP_201_CREATED)

    def _project(self, given: dict[str, Any]) -> Project:
        """The project by its name, in the team that is named or, where that is one, the only one."""
        fitting = visible_projects(self.party).filter(name=given["project"])
        if "team" in given:
            fitting = fitting.filter(team__name=given["team"])
        found = list(fitting[:2])
        if len(found) > 1:
            raise ValidationError({"team": ["Several teams have such a project; name the team."]})
        if not found:
            raise ValidationError({"project": ["There is no such project, or not for this account."]})
        return found[0]


@extend_schema_view(
    get=extend_schema(responses={200: KeySerializer, **_REFUSALS}),
    patch=extend_schema(request=ChangeKeySerializer, responses={200: KeySerializer, **_REFUSALS, **_STALE}),
)
class KeyDetail(_Keys):
    """One key; changes take effect within a second."""

    filter_backends = ()

    def get(self, request: Request, pk: int) -> Response:
        return Response(self.shown(self.found(pk)))

    def patch(self, request: Request, pk: int) -> Response:
        key = self.found(pk)
        given = ChangeKeySerializer(data=request.data)
        given.is_valid(raise_exception=True)
        values = dict(given.validated_data)
        version, enabled = values.pop("version", None), values.pop("enabled", None)

        def change_it(change: ChangeSet) -> None:
            revise(change, self.party, key, values, expected_version=version)
            if enabled is not None and enabled != key.enabled:
                switch(change, self.party, key, enabled=enabled)

        self.made(change_it)
        return Response(self.shown(self.found(pk)))


@extend_schema_view(
    post=extend_schema(request=RotationSerializer, responses={200: KeyWithSecretSerializer, **_REFUSALS, **_STALE})
)
class KeyRotation(_Keys):
    """Gives a key a new secret, which stands in this answer only; the old one works on for `overlap`: now, 1h, 24h or 7d."""

    def post(self, request: Request, pk: int) -> Response:
        key = self.found(pk)
        given = RotationSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        overlap, version = given.validated_data["overlap"], given.validated_data.get("version")
        secret = self.made(lambda change: rotate(change, self.party, key, overlap, expected_version=version))
        return Response(self.shown(key, secret=secret.reveal()))


@extend_schema_view(post=extend_schema(request=None, responses={200: KeySerializer, **_REFUSALS}))
class KeyRevocation(_Keys):
    """Ends a key for good, with both its secrets. Again, it changes nothing."""

    def post(self, request: Request, pk: int) -> Response:
        key = self.found(pk)
        self.made(lambda change: revoke(change, self.party, key))
        return Response(self.shown(key))


@extend_schema_view(post=extend_schema(request=SwitchSerializer, responses={200: KeySerializer, **_REFUSALS}))
class KeySwitch(_Keys):
    """Disables a key, or enables it again with `{"enabled": true}`."""

    def post(self, request: Request, pk: int) -> Response:
        key = self.found(pk)
        given = SwitchSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        self.made(lambda change: switch(change, self.party, key, enabled=given.validated_data["enabled"]))
        return Response(self.shown(key))
