"""Members, invitations and projects in the REST API, by the same services as the dashboard's pages."""

# django-filter has no types
# mypy: disable-error-code="no-untyped-call, misc, assignment, name-defined"

import django_filters
from django.conf import settings
from django.db.models import Q, QuerySet
from django.utils import timezone
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import generics, status
from rest_framework.request import Request
from rest_framework.response import Response

from accounting.api.filters import FlagFilter, StrictForm
from accounting.api.parties import READING, WRITING, PartyView
from accounting.api.people_serializers import (
    InvitationSerializer,
    MadeInvitationSerializer,
    MemberSerializer,
    NewInvitationSerializer,
    NewProjectSerializer,
    ProjectChangeSerializer,
    ProjectSerializer,
    RemovalSerializer,
    RoleSerializer,
)
from accounting.audit.changes import changing
from accounting.invitations import Terms, visible_invitations, withdraw_invitation
from accounting.mailing import make_invitation
from accounting.membership import change_role, hand_over, remove_member, visible_members
from accounting.models import Invitation, Membership, Project
from accounting.projects import change_project, create_project, visible_projects


class MemberFilter(django_filters.FilterSet):
    team = django_filters.CharFilter("team__name")
    email = django_filters.CharFilter("user__email")

    class Meta:
        model = Membership
        form = StrictForm
        fields = ("team", "email", "role")


class InvitationFilter(django_filters.FilterSet):
    team = django_filters.CharFilter("team__name")
    open = FlagFilter(method="is_open", help_text="true or false.")

    class Meta:
        model = Invitation
        form = StrictForm
        fields = ("team", "email", "role", "open")

    def is_open(self, rows: QuerySet[Invitation], _: str, value: bool) -> QuerySet[Invitation]:
        wanted = Q(accepted_at=None, withdrawn_at=None, expires_at__gt=timezone.now())
        return rows.filter(wanted if value else ~wanted)


class ProjectFilter(django_filters.FilterSet):
    team = django_filters.CharFilter("team__name")
    enabled = FlagFilter("enabled", help_text="true or false.")

    class Meta:
        model = Project
        form = StrictForm
        fields = ("team", "name", "enabled")


class _Members(PartyView):
    serializer_class = MemberSerializer
    queryset = Membership.objects.none()  # for the schema

    def get_queryset(self) -> QuerySet[Membership]:
        return visible_members(self.party)

    def answer(self, member: Membership) -> Response:
        return Response(MemberSerializer(self.get_queryset().get(pk=member.pk)).data)


@extend_schema_view(get=extend_schema(responses={200: MemberSerializer(many=True), **READING}))
class MemberList(_Members, generics.ListAPIView[Membership]):
    """The members of the teams that one sees."""

    filterset_class = MemberFilter


@extend_schema_view(
    get=extend_schema(responses={200: MemberSerializer, **READING}),
    patch=extend_schema(request=RoleSerializer, responses={200: MemberSerializer, **WRITING}),
    delete=extend_schema(responses={200: RemovalSerializer, **WRITING}),
)
class MemberDetail(_Members):
    """One member. PATCH gives another role; DELETE removes them, or oneself, and revokes their personal keys of the team."""

    filter_backends = ()

    def get(self, request: Request, pk: int) -> Response:
        return Response(MemberSerializer(self.get_queryset().get(pk=pk)).data)

    def patch(self, request: Request, pk: int) -> Response:
        member = self.get_queryset().get(pk=pk)
        given = RoleSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        values = given.validated_data
        with changing(self.actor()) as change:
            change_role(change, self.party, member, values["role"], expected_version=values.get("version"))
        return self.answer(member)

    def delete(self, request: Request, pk: int) -> Response:
        member = self.get_queryset().get(pk=pk)
        with changing(self.actor()) as change:
            gone = remove_member(change, self.party, member)
        keys = [key.prefix for key in gone.keys]
        return Response({"revoked_keys": keys, "withdrawn_invitations": gone.invitations})


@extend_schema_view(post=extend_schema(request=None, responses={200: MemberSerializer, **WRITING}))
class MemberHandOver(_Members):
    """Makes a member the owner in one's own place; for an owner who is signed in."""

    filter_backends = ()

    def post(self, request: Request, pk: int) -> Response:
        member = self.get_queryset().get(pk=pk)
        with changing(self.actor()) as change:
            hand_over(change, self.party, member)
        return self.answer(member)


class _Invitations(PartyView):
    serializer_class = InvitationSerializer
    queryset = Invitation.objects.none()  # for the schema

    def get_queryset(self) -> QuerySet[Invitation]:
        return visible_invitations(self.party)


@extend_schema_view(
    get=extend_schema(responses={200: InvitationSerializer(many=True), **READING}),
    post=extend_schema(request=NewInvitationSerializer, responses={201: MadeInvitationSerializer, **WRITING}),
)
class InvitationList(_Invitations, generics.ListAPIView[Invitation]):
    """Invitations to the teams that one is an admin of, newest first. The link of a new one is in the answer, once."""

    filterset_class = InvitationFilter

    def post(self, request: Request) -> Response:
        given = NewInvitationSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        values = given.validated_data
        team = self.team(values["team"])
        terms = Terms(values["role"], values["days"], values["email"], mailed=values["mailed"])
        address = settings.GATEWAY_PUBLIC_URL or f"{request.scheme}://{request.get_host()}"
        made, link = make_invitation(self.actor(), self.party, team, terms, address)
        shown = MadeInvitationSerializer(made, context={"link": link})
        return Response(shown.data, status=status.HTTP_201_CREATED)


@extend_schema_view(post=extend_schema(request=None, responses={200: InvitationSerializer, **WRITING}))
class InvitationWithdrawal(_Invitations):
    """Takes an open invitation back; its link does not work any more."""

    filter_backends = ()

    def post(self, request: Request, pk: int) -> Response:
        found = self.get_queryset().get(pk=pk)
        with changing(self.actor()) as change:
            withdrawn = withdraw_invitation(change, self.party, found)
        return Response(InvitationSerializer(withdrawn).data)


class _Projects(PartyView):
    serializer_class = ProjectSerializer
    queryset = Project.objects.none()  # for the schema

    def get_queryset(self) -> QuerySet[Project]:
        return visible_projects(self.party)

    def answer(self, project: Project, code: int = status.HTTP_200_OK) -> Response:
        return Response(ProjectSerializer(self.get_queryset().get(pk=project.pk)).data, status=code)


@extend_schema_view(
    get=extend_schema(responses={200: ProjectSerializer(many=True), **READING}),
    post=extend_schema(request=NewProjectSerializer, responses={201: ProjectSerializer, **WRITING}),
)
class ProjectList(_Projects, generics.ListAPIView[Project]):
    """The projects of the teams that one sees; an admin of the team makes new ones."""

    filterset_class = ProjectFilter

    def post(self, request: Request) -> Response:
        given = NewProjectSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        values = given.validated_data
        team = self.team(values["team"])
        with changing(self.actor()) as change:
            made = create_project(change, self.party, team, values["name"], values["display_name"])
        return self.answer(made, status.HTTP_201_CREATED)


@extend_schema_view(
    get=extend_schema(responses={200: ProjectSerializer, **READING}),
    patch=extend_schema(request=ProjectChangeSerializer, responses={200: ProjectSerializer, **WRITING}),
)
class ProjectDetail(_Projects):
    """One project. PATCH changes its name for people, disables or enables it."""

    filter_backends = ()

    def get(self, request: Request, pk: int) -> Response:
        return Response(ProjectSerializer(self.get_queryset().get(pk=pk)).data)

    def patch(self, request: Request, pk: int) -> Response:
        project = self.get_queryset().get(pk=pk)
        given = ProjectChangeSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        values = given.validated_data
        with changing(self.actor()) as change:
            change_project(
                change,
                self.party,
                project,
                display_name=values.get("display_name"),
                enabled=values.get("enabled"),
                expected_version=values.get("version"),
            )
        return self.answer(project)
