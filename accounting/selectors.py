"""Reads of accounting that several doors share, each already narrowed to what its reader may see."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal

from django.db.models import F, Q, QuerySet

from accounting.models import ApiToken, LedgerEntry, Project, RequestRecord, Team, User, VirtualKey
from accounting.money.reports import Question
from gateway_project.crypto import keyed_hash

MOST_KEYS = 500
MOST_PROJECTS = 500


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who reads: administrators and auditors everything, a team's viewer its own, a stranger nothing."""

    name: str
    reach: Literal["admin", "auditor", "team", "nothing"]
    team: str = ""

    @property
    def is_authenticated(self) -> bool:
        return True


def visible_records(viewer: Viewer) -> QuerySet[RequestRecord]:
    """The request records that `viewer` may see, newest first."""
    records = RequestRecord.objects.all()
    if viewer.reach in {"admin", "auditor"}:
        return records
    return records.filter(team=viewer.team) if viewer.reach == "team" and viewer.team else records.none()


def visible_ledger(viewer: Viewer) -> QuerySet[LedgerEntry]:
    """The ledger's entries that `viewer` may see, newest first."""
    entries = LedgerEntry.objects.all()
    if viewer.reach in {"admin", "auditor"}:
        return entries
    return entries.filter(team=viewer.team) if viewer.reach == "team" and viewer.team else entries.none()


def narrowed(question: Question, viewer: Viewer) -> Question:
    """The same question about usage, of what `viewer` may see."""
    if viewer.reach in {"admin", "auditor"}:
        return question
    if viewer.reach == "team" and viewer.team:
        return replace(question, names=(*question.names, ("team", viewer.team)))
    return replace(question, since=datetime.min.replace(tzinfo=UTC), until=datetime.min.replace(tzinfo=UTC))


def find_record(request_id: str) -> RequestRecord | None:
    """The record of a request, for those who may see all."""
    return RequestRecord.objects.filter(request_id=request_id).first()


def api_token(secret: str) -> ApiToken | None:
    """The API token with this secret, whether or not it is still in use."""
    return ApiToken.objects.select_related("team").filter(secret_hash=keyed_hash(secret)).first()


def why_refused(token: ApiToken, now: datetime) -> str:
    """A sentence if the token is not to be accepted any more, else ""."""
    if token.revoked_at is not None:
        return "This API token was revoked."
    if token.expires_at is not None and token.expires_at <= now:
        return "This API token has expired."
    if token.team is not None and not token.team.enabled:
        return "The team of this API token is disabled."
    return ""


def viewer_of_token(token: ApiToken) -> Viewer:
    if token.role == ApiToken.Role.ADMIN:
        return Viewer(token.name, "admin")
    if token.role == ApiToken.Role.AUDITOR:
        return Viewer(token.name, "auditor")
    return Viewer(token.name, "team", token.team.name) if token.team else Viewer(token.name, "nothing")


def viewer_of_user(user: User) -> Viewer:
    return Viewer(user.email, "admin" if user.is_active and user.is_superuser else "nothing")


def find_project(team: str, project: str) -> Project | None:
    """A project by its team's name and its own."""
    return Project.objects.select_related("team").filter(team__name=team, name=project).first()


def keys_of_member(user: User) -> list[VirtualKey]:
    """The keys that a person may see: their own, and the service keys of the teams they belong to. At most 500."""
    theirs = Q(owner=user) | Q(owner=None, project__team__memberships__user=user)
    keys = VirtualKey.objects.filter(theirs, revoked_at=None).select_related("project__team").distinct()
    return list(keys.order_by("project__team__name", "project__name", "name")[:MOST_KEYS])


def personal_keys(user: User) -> list[VirtualKey]:
    """A person's own keys of all teams, those in use first. At most 500."""
    keys = VirtualKey.objects.filter(owner=user).select_related("project__team")
    order = (F("revoked_at").asc(nulls_first=True), "project__team__name", "project__name", "name")
    return list(keys.order_by(*order)[:MOST_KEYS])


def find_keys(prefix: str) -> QuerySet[VirtualKey]:
    """The keys with this prefix, or whose secret before the latest rotation had it; imported ones may share one."""
    found = Q(prefix=prefix) | Q(old_prefix=prefix)
    return VirtualKey.objects.select_related("project__team", "owner").filter(found)


def projects_in_use(team: Team) -> list[Project]:
    """The enabled projects of a team, by name."""
    return list(Project.objects.filter(team=team, enabled=True).order_by("name")[:MOST_PROJECTS])
