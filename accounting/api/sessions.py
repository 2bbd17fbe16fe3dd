"""Sessions in the REST API: `GET /api/v1/sessions/` and one of them with its agents."""

from datetime import datetime, timedelta
from typing import Any

from django.core.exceptions import ValidationError as Refused
from django.db.models import QuerySet
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import remove_query_param, replace_query_param
from rest_framework.views import APIView

from accounting.api.authentication import ApiTokenAuthentication, SignedInAuthentication
from accounting.api.moments import MomentField
from accounting.api.pagination import Pages
from accounting.api.permissions import ReadsRecords
from accounting.api.serializers import MoneySerializerField, RefusalSerializer
from accounting.history.agents import Agent, Session, session_of
from accounting.history.sessions import MOST_PAGES, SessionQuestion, SessionRow, sessions
from accounting.history.sums import Sums
from accounting.models import RequestRecord
from accounting.selectors import Viewer, visible_records

USUAL, LONGEST = timedelta(hours=24), timedelta(days=31)
FILTERS = ("team", "user", "key_prefix", "session_id")
_KNOWN = frozenset({*FILTERS, "since", "until", "page", "page_size", "format"})
_REFUSALS = {
    400: OpenApiResponse(OpenApiTypes.OBJECT, "A parameter that does not exist, is empty or cannot be read."),
    401: OpenApiResponse(RefusalSerializer, "No token, or one that is unknown, revoked or has expired."),
    403: OpenApiResponse(RefusalSerializer, "This account may not read request records."),
    404: OpenApiResponse(RefusalSerializer, "There is none, or not for this reader."),
}


class SumsSerializer(serializers.Serializer[Any]):
    """What requests used together."""

    requests = serializers.IntegerField()
    errors = serializers.IntegerField(help_text="Requests that ended as upstream_error or shut_down.")  # type: ignore[assignment]
    refused = serializers.IntegerField(help_text="Requests that the gateway refused.")
    input = serializers.IntegerField()
    cache_write_5m = serializers.IntegerField()
    cache_write_1h = serializers.IntegerField()
    cache_read = serializers.IntegerField()
    output = serializers.IntegerField()
    cost_usd = MoneySerializerField()
    cache_hit_rate = serializers.FloatField(
        allow_null=True, help_text="The share of the prompts' tokens that was read from a cache."
    )


class SessionSerializer(SumsSerializer):
    """A session, as far as its requests are in the period."""

    team = serializers.CharField()
    session_id = serializers.CharField()
    user = serializers.CharField()
    key = serializers.CharField()
    key_prefix = serializers.CharField()
    first_at = serializers.DateTimeField()
    last_at = serializers.DateTimeField(help_text="When its latest request started.")
    agents = serializers.IntegerField(help_text="The main one and those that it started.")


class SessionPageSerializer(serializers.Serializer[Any]):
    next = serializers.URLField(allow_null=True)
    previous = serializers.URLField(allow_null=True)
    looked_to = serializers.DateTimeField(
        allow_null=True, help_text="Older requests of the period were not looked at: they are too many."
    )
    results = SessionSerializer(many=True)


class AgentSerializer(SumsSerializer):
    """One agent of a session; the main one's id is empty. Those that an agent started follow it."""

    agent_id = serializers.CharField(allow_blank=True)
    parent_agent_id = serializers.CharField(allow_null=True)
    depth = serializers.IntegerField()
    first_at = serializers.DateTimeField()
    last_at = serializers.DateTimeField(help_text="When its latest request ended.")
    failed = serializers.ListField(child=serializers.CharField(), help_text="The ids of what was not served.")


class SessionDetailSerializer(SumsSerializer):
    team = serializers.CharField()
    session_id = serializers.CharField()
    first_at = serializers.DateTimeField()
    last_at = serializers.DateTimeField()
    whole = serializers.BooleanField(help_text="False where only the latest 2,000 requests were looked at.")
    agents = AgentSerializer(many=True)


class _Sessions(APIView):
    authentication_classes = (ApiTokenAuthentication, SignedInAuthentication)
    permission_classes = (ReadsRecords,)

    def records(self, request: Request) -> "QuerySet[RequestRecord]":
        """What the reader may see, of the team that is asked for."""
        for name in request.query_params:
            values = request.query_params.getlist(name)
            if name not in _KNOWN:
                raise ValidationError({name: [f"There is no filter {name!r}; there are {', '.join(sorted(_KNOWN))}."]})
            if len(values) > 1 or not values[0] or "\x00" in values[0]:
                raise ValidationError({name: ["Give this once, and not empty."]})
        viewer: Any = request.user
        records = visible_records(viewer if isinstance(viewer, Viewer) else Viewer("", "nothing"))
        team = request.query_params.get("team")
        return records.filter(team=team) if team else records

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        final = super().finalize_response(request, response, *args, **kwargs)
        final["Cache-Control"] = "private, no-store"
        return final


class SessionList(_Sessions):
    """Sessions of a period (the last 24 hours, if none is given), those seen last first."""

    @extend_schema(
        operation_id="sessions_list",
        parameters=[
            OpenApiParameter("since", OpenApiTypes.DATETIME, description="Requests from this moment on (ISO 8601)."),
            OpenApiParameter("until", OpenApiTypes.DATETIME, description="Requests before this moment (ISO 8601)."),
            *(OpenApiParameter(name, description="An exact value.") for name in FILTERS),
            OpenApiParameter("page", OpenApiTypes.INT),
            OpenApiParameter("page_size", OpenApiTypes.INT),
        ],
        responses={200: SessionPageSerializer, **_REFUSALS},
    )
    def get(self, request: Request) -> Response:
        records, number = self.records(request), _page(request)
        size = Pages().get_page_size(request) or Pages.page_size
        found = sessions(records, _question(request), number, size)
        if not found.rows and number > 1:
            raise NotFound("Invalid page.")
        address = request.build_absolute_uri()
        before = replace_query_param(address, "page", number - 1) if number > 2 else remove_query_param(address, "page")
        answer = {
            "next": replace_query_param(address, "page", number + 1) if found.more else None,
            "previous": before if number > 1 else None,
            "looked_to": found.looked_to,
            "results": [_row(row) for row in found.rows],
        }
        return Response(SessionPageSerializer(answer).data)


class SessionDetail(_Sessions):
    """One session as a tree of agents. Where several teams use its id, `team` says which one is meant."""

    @extend_schema(
        parameters=[OpenApiParameter("team", description="An exact value.")],
        responses={200: SessionDetailSerializer, **_REFUSALS},
    )
    def get(self, request: Request, session_id: str) -> Response:
        records = self.records(request)
        found = session_of(records, session_id)
        if found is None:
            raise NotFound
        if records.filter(session_id=session_id).exclude(team=found.team).exists():
            raise ValidationError({"team": ["Several teams use this session id; say which one is meant."]})
        return Response(SessionDetailSerializer(_detail(found)).data)


def _question(request: Request) -> SessionQuestion:
    query, now = request.query_params, timezone.now()
    until = _moment(query, "until") or now
    since = _moment(query, "since") or until - USUAL
    if since > until:
        raise ValidationError({"since": ["The period ends before it begins."]})
    if until - since > LONGEST and not any(query.get(name) for name in ("user", "key_prefix", "session_id")):
        raise ValidationError({"since": ["At most 31 days, unless a user, a key_prefix or a session_id is given."]})
    return SessionQuestion(
        since, until, query.get("user", ""), query.get("key_prefix", ""), query.get("session_id", "")
    )


def _moment(query: Any, name: str) -> datetime | None:
    if name not in query:
        return None
    try:
        found: datetime = MomentField().clean(query[name])
    except Refused as error:
        raise ValidationError({name: error.messages}) from None
    return found


def _page(request: Request) -> int:
    text = request.query_params.get("page", "1")
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:10]) <= MOST_PAGES:
        raise NotFound("Invalid page.")
    return int(text)


def _sums(sums: Sums) -> dict[str, Any]:
    counts = {"requests": sums.requests, "errors": sums.errors, "refused": sums.refused, **sums.tokens}
    return {**counts, "cost_usd": sums.cost, "cache_hit_rate": sums.cache_hit_rate}


def _row(row: SessionRow) -> dict[str, Any]:
    names = {"team": row.team, "session_id": row.session_id, "user": row.person, "key": row.key}
    times = {"key_prefix": row.key_prefix, "first_at": row.first_at, "last_at": row.last_at, "agents": row.agents}
    return {**names, **times, **_sums(row.sums)}


def _agent(agent: Agent) -> dict[str, Any]:
    return {
        "agent_id": agent.agent_id,
        "parent_agent_id": agent.parent_id,
        "depth": agent.depth,
        "first_at": agent.first_at,
        "last_at": agent.last_at,
        "failed": [each.request_id for each in agent.failures],
        **_sums(agent.sums),
    }


def _detail(session: Session) -> dict[str, Any]:
    about = {"team": session.team, "session_id": session.session_id, "whole": session.whole}
    times = {"first_at": session.first_at, "last_at": session.last_at}
    return {**about, **times, **_sums(session.sums), "agents": [_agent(agent) for agent in session.agents]}
