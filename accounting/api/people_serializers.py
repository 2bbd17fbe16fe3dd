"""Members, invitations, projects and audit events as the REST API shows them. Field names are a contract (docs/api.md)."""

# rest_framework's fields are declared, not typed
# mypy: disable-error-code="misc, assignment"

from typing import Any

from django.utils import timezone
from rest_framework import serializers

from accounting.invitations import DAYS
from accounting.models import AuditEvent, Invitation, Membership, Project


class MemberSerializer(serializers.ModelSerializer[Membership]):
    """Somebody who belongs to a team."""

    team = serializers.CharField(source="team.name")
    email = serializers.EmailField(source="user.email")
    name = serializers.CharField(source="user.get_full_name")
    joined_at = serializers.DateTimeField(source="created_at")
    last_seen = serializers.DateTimeField(source="user.last_seen", allow_null=True)

    class Meta:
        model = Membership
        fields = ("id", "team", "email", "name", "role", "joined_at", "last_seen", "version")
        read_only_fields = fields


class RoleSerializer(serializers.Serializer[Any]):
    """Another role; with the `version` that was read, only if nobody else has changed it."""

    role = serializers.ChoiceField(choices=Membership.Role.choices)
    version = serializers.IntegerField(required=False)


class RemovalSerializer(serializers.Serializer[Any]):
    """What went with a membership."""

    revoked_keys = serializers.ListField(child=serializers.CharField(), help_text="Their prefixes.")
    withdrawn_invitations = serializers.IntegerField()


class InvitationSerializer(serializers.ModelSerializer[Invitation]):
    """An invitation; never its link."""

    team = serializers.CharField(source="team.name")
    invited_at = serializers.DateTimeField(source="created_at")
    state = serializers.SerializerMethodField()

    class Meta:
        model = Invitation
        fields = (
            "id", "team", "role", "email", "mailed", "invited_by", "invited_at", "expires_at", "state", "accepted_by",
            "accepted_at", "withdrawn_at",
        )  # fmt: skip
        read_only_fields = fields

    def get_state(self, row: Invitation) -> str:
        return row.state(timezone.now())


class MadeInvitationSerializer(InvitationSerializer):
    """A new invitation with its `link`, which is never to be had again; `null` where it went by mail."""

    link = serializers.SerializerMethodField()

    class Meta(InvitationSerializer.Meta):
        fields = (*InvitationSerializer.Meta.fields, "link")
        read_only_fields = fields

    def get_link(self, row: Invitation) -> str | None:
        link = self.context.get("link")
        return link.reveal() if link is not None else None


class NewInvitationSerializer(serializers.Serializer[Any]):
    """Whom to invite; with `mailed` the link goes to `email` and is not shown."""

    team = serializers.CharField()
    role = serializers.ChoiceField(choices=Membership.Role.choices)
    days = serializers.ChoiceField(choices=list(DAYS), default=7)
    email = serializers.EmailField(required=False, allow_blank=True, max_length=254, default="")
    mailed = serializers.BooleanField(default=False)


class ProjectSerializer(serializers.ModelSerializer[Project]):
    """A project; `keys` counts those in use."""

    team = serializers.CharField(source="team.name")
    keys = serializers.IntegerField(source="n_keys")

    class Meta:
        model = Project
        fields = ("id", "team", "name", "display_name", "enabled", "keys", "created_at", "version")
        read_only_fields = fields


class NewProjectSerializer(serializers.Serializer[Any]):
    team = serializers.CharField()
    name = serializers.CharField(max_length=63)
    display_name = serializers.CharField(required=False, allow_blank=True, max_length=120, default="")


class ProjectChangeSerializer(serializers.Serializer[Any]):
    """What is left out stays; with the `version` that was read, only if nobody else has changed it."""

    display_name = serializers.CharField(required=False, allow_blank=True, max_length=120)
    enabled = serializers.BooleanField(required=False)
    version = serializers.IntegerField(required=False)


class AuditEventSerializer(serializers.ModelSerializer[AuditEvent]):
    """One change; `changes` names each field with what it was and what it became, secrets masked."""

    class Meta:
        model = AuditEvent
        fields = (
            "id", "at", "actor", "actor_kind", "source", "action", "object_type", "object_id", "object_name",
            "object_version", "team", "changes",
        )  # fmt: skip
        read_only_fields = fields
