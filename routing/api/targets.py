"""Targets in the REST API: what the console's page shows, for programs."""

from typing import Any

from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounting.api.authentication import ApiTokenAuthentication, SignedInAuthentication
from accounting.api.permissions import only_reads
from accounting.api.serializers import RefusalSerializer
from accounting.selectors import Viewer
from routing.target_status import ShownTarget, read_targets

LONGEST_NAME = 63


class SeesEverything(BasePermission):
    """Administrators and auditors, for reading: which providers there are is nobody else's business."""

    message = "This account may not read the state of targets."

    def has_permission(self, request: Request, view: APIView) -> bool:
        viewer = request.user
        return only_reads(request, view) and isinstance(viewer, Viewer) and viewer.reach in {"admin", "auditor"}


class TargetSerializer(serializers.Serializer[ShownTarget]):
    provider = serializers.CharField()
    model = serializers.CharField()
    state = serializers.CharField()
    since = serializers.DateTimeField(allow_null=True)
    until = serializers.DateTimeField(allow_null=True)
    calls = serializers.IntegerField()
    failures = serializers.IntegerField(source="errors")
    limited = serializers.IntegerField()
    error_share = serializers.FloatField(allow_null=True)
    p50_ms = serializers.FloatField(allow_null=True)
    p95_ms = serializers.FloatField(allow_null=True)
    in_flight = serializers.IntegerField()
    last_error = serializers.CharField(source="words")
    last_error_at = serializers.DateTimeField(source="words_at", allow_null=True)
    routes = serializers.ListField(child=serializers.CharField(), source="route_names")
    processes = serializers.ListField(child=serializers.CharField())
    reporting = serializers.IntegerField()


class TargetPageSerializer(serializers.Serializer[ShownTarget]):
    """In the shape of every list, all on one page."""

    count = serializers.IntegerField()
    next = serializers.URLField(allow_null=True)
    previous = serializers.URLField(allow_null=True)
    results = TargetSerializer(many=True)


class TargetList(APIView):
    """Where requests can go, and how it is going there: the last minute, all server processes together."""

    authentication_classes = (ApiTokenAuthentication, SignedInAuthentication)
    permission_classes = (SeesEverything,)

    @extend_schema(
        parameters=[OpenApiParameter("provider", str, description="The name of one provider.")],
        responses={
            200: TargetPageSerializer,
            401: OpenApiResponse(RefusalSerializer, "No token, or one that is unknown, revoked or has expired."),
            403: OpenApiResponse(RefusalSerializer, "This account may not read the state of targets."),
        },
    )
    def get(self, request: Request) -> Response:
        provider = request.query_params.get("provider", "")[:LONGEST_NAME]
        targets = read_targets(timezone.now(), provider=provider)
        results: Any = [TargetSerializer(target).data for target in targets]
        body = {"count": len(targets), "next": None, "previous": None, "results": results}
        return Response(body, headers={"Cache-Control": "private, no-store"})
