"""`POST /api/v1/explain/`: what would become of a request, without sending it."""

import json
from typing import Any

from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounting.access.directory import Directory
from accounting.access.grant import Grant
from accounting.api.authentication import ApiTokenAuthentication, SignedInAuthentication
from accounting.api.serializers import RefusalSerializer
from accounting.selectors import Viewer, visible_records
from routing.explaining.decision import explain
from routing.explaining.question import FORMATS, Question, Unaskable
from routing.explaining.rendering import as_json
from routing.explaining.sources import NoSuchKey, grant_of, sources
from routing.explaining.stored import question_of


class Asks(BasePermission):
    """Administrators, auditors and teams; a team asks about its own keys."""

    message = "This account may not explain requests."

    def has_permission(self, request: Request, view: APIView) -> bool:
        return isinstance(request.user, Viewer) and request.user.reach != "nothing"


class QuestionSerializer(serializers.Serializer[Any]):
    """What is known of the request. Give `request`, the id of a stored one, or `key` and `model` (or a `body` that has
    one)."""

    key = serializers.CharField(required=False, max_length=20, help_text="The prefix of the caller's key.")
    model = serializers.CharField(required=False, default="", max_length=300, allow_blank=True)
    format = serializers.ChoiceField(choices=FORMATS, required=False, default=FORMATS[0])
    stream = serializers.BooleanField(required=False, default=False)
    betas = serializers.ListField(
        child=serializers.CharField(max_length=200), required=False, default=list, max_length=100
    )
    session = serializers.CharField(required=False, default="", max_length=200, allow_blank=True)
    body = serializers.JSONField(required=False, default=None, help_text="The request's body, as the client sends it.")
    client_ip = serializers.IPAddressField(required=False, default="", help_text="For keys bound to addresses.")
    request = serializers.CharField(required=False, max_length=40, help_text="The id of a stored request.")


class Explain(APIView):
    """Who asks, which limits hold, which route and target, which price. Sends nothing and changes nothing."""

    authentication_classes = (ApiTokenAuthentication, SignedInAuthentication)
    permission_classes = (Asks,)

    @extend_schema(
        request=QuestionSerializer,
        responses={
            200: OpenApiTypes.OBJECT,
            400: OpenApiResponse(OpenApiTypes.OBJECT, "A value that cannot be read, or no request at all."),
            401: OpenApiResponse(RefusalSerializer, "No token, or one that is unknown, revoked or has expired."),
            403: OpenApiResponse(RefusalSerializer, "This account may not explain requests."),
            404: OpenApiResponse(RefusalSerializer, "There is no such key or request, or not for this reader."),
        },
    )
    def post(self, request: Request) -> Response:
        asked = QuestionSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        values: dict[str, Any] = asked.validated_data
        viewer = request.user
        assert isinstance(viewer, Viewer)
        figures, directory = sources(timezone.now(), client_ip=values["client_ip"])
        prefix, question = _asked(values, viewer)
        grant = _grant(prefix, viewer, directory)
        try:
            found = explain(question, grant, figures)
        except Unaskable as error:
            raise ValidationError({"body" if values["body"] else "model": [str(error)]}) from None
        return Response(as_json(found), headers={"Cache-Control": "private, no-store"})


def _asked(values: dict[str, Any], viewer: Viewer) -> tuple[str, Question]:
    if "request" in values:
        record = visible_records(viewer).filter(request_id=values["request"]).first()
        if record is None:
            raise NotFound("There is no such request.")
        return values.get("key") or record.key_prefix, question_of(record)
    if not values.get("key"):
        raise ValidationError({"key": ["Whose request? Give the prefix of a key, or request."]})
    body = values["body"]
    question = Question(
        model=values["model"],
        format=values["format"],
        stream=values["stream"],
        betas=tuple(values["betas"]),
        session_id=values["session"],
        body=json.dumps(body, ensure_ascii=False).encode("utf-8", "replace") if body is not None else b"",
    )
    return values["key"], question


def _grant(prefix: str, viewer: Viewer, directory: Directory) -> Grant:
    """The caller; a team's reader knows of no key but its own."""
    try:
        grant = grant_of(prefix, directory, team=viewer.team if viewer.reach == "team" else None)
    except NoSuchKey as error:
        raise NotFound(str(error)) from None
    return grant
