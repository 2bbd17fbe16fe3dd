"""Keys as the REST API shows and takes them."""

# rest_framework's fields are declared, not typed
# mypy: disable-error-code="misc, assignment"

from typing import Any

from rest_framework import serializers

from accounting.api.moments import MomentInBody
from accounting.keyring.orders import NO_MEMBER, OVERLAPS, Order, OwnLimits
from accounting.keyring.reading import KeyStanding, Use
from accounting.limits.periods import PERIODS
from accounting.limits.terms import RATE_KINDS
from accounting.models import Project, User, VirtualKey
from accounting.models.limits import MOST_RATE


class UseSerializer(serializers.Serializer[Any]):
    """The last time that a secret was presented."""

    at = serializers.DateTimeField()
    client_ip = serializers.CharField()
    user_agent = serializers.CharField()


class OldSecretSerializer(serializers.Serializer[Any]):
    """The secret before the latest rotation, while it is taken. `last_use` is its last since that rotation, or null."""

    prefix = serializers.CharField()
    until = serializers.DateTimeField()
    last_use = UseSerializer(allow_null=True)


class KeySerializer(serializers.Serializer[Any]):
    """A virtual key, without its secret. `state` is usable, disabled, expired or revoked; `blocked_by` is what else stops it:
    a disabled team, project or owner, or null."""

    id = serializers.IntegerField()
    name = serializers.CharField()
    prefix = serializers.CharField()
    kind = serializers.CharField()
    owner = serializers.CharField(allow_null=True)
    team = serializers.CharField()
    project = serializers.CharField()
    state = serializers.CharField()
    blocked_by = serializers.CharField(allow_null=True)
    enabled = serializers.BooleanField()
    allowed_models = serializers.ListField(child=serializers.CharField())
    allowed_ips = serializers.ListField(child=serializers.CharField())
    tags = serializers.DictField(child=serializers.CharField())
    expires_at = serializers.DateTimeField(allow_null=True)
    created_at = serializers.DateTimeField()
    rotated_at = serializers.DateTimeField(allow_null=True)
    revoked_at = serializers.DateTimeField(allow_null=True)
    last_use = UseSerializer(allow_null=True)
    old_secret = OldSecretSerializer(allow_null=True)
    version = serializers.IntegerField()


class KeyWithSecretSerializer(KeySerializer):
    """A key with the secret that was made just now; it is never to be had again."""

    secret = serializers.CharField()


class _Restrictions(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=63)
    expires_at = MomentInBody(required=False, allow_null=True)
    allowed_models = serializers.ListField(child=serializers.CharField(max_length=200), required=False)
    allowed_ips = serializers.ListField(child=serializers.CharField(max_length=60), required=False)
    tags = serializers.DictField(child=serializers.CharField(max_length=200, allow_blank=True), required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        unknown = sorted(set(self.initial_data) - set(self.fields))
        if unknown:
            raise serializers.ValidationError({name: ["There is no such field here."] for name in unknown})
        return attrs


class NewKeySerializer(_Restrictions):
    """A key to make. `project` is named within `team`, which a team's token and a member of one team may leave out. `owner` is
    an address: of a personal key, one's own if left out."""

    team = serializers.CharField(required=False)
    project = serializers.CharField()
    kind = serializers.ChoiceField(choices=VirtualKey.Kind.choices, default=VirtualKey.Kind.SERVICE)
    owner = serializers.EmailField(required=False, allow_null=True)
    budget = serializers.DecimalField(max_digits=30, decimal_places=12, required=False, allow_null=True)
    budget_period = serializers.ChoiceField(choices=[(name, name) for name in PERIODS], default="month")
    rate_limits = serializers.DictField(
        child=serializers.IntegerField(min_value=1, max_value=MOST_RATE),
        required=False,
        help_text=f"By kind: {', '.join(RATE_KINDS)}.",
    )

    def validate_rate_limits(self, value: dict[str, int]) -> dict[str, int]:
        unknown = sorted(set(value) - set(RATE_KINDS))
        if unknown:
            raise serializers.ValidationError(
                f"There is no rate limit {unknown[0]!r}; there are {', '.join(RATE_KINDS)}."
            )
        return value

    def validate_owner(self, value: str | None) -> User | None:
        if value is None:
            return None
        user = User.objects.filter(email=value.lower()).first()
        if user is None:
            raise serializers.ValidationError(NO_MEMBER)
        return user

    def order(self, project: Project) -> Order:
        given = self.validated_data
        return Order(
            project=project,
            name=given["name"],
            kind=given["kind"],
            owner=given.get("owner"),
            expires_at=given.get("expires_at"),
            allowed_models=given.get("allowed_models"),
            allowed_ips=given.get("allowed_ips", ()),
            tags=given.get("tags", {}),
            limits=OwnLimits(given.get("budget"), given["budget_period"], given.get("rate_limits", {})),
        )


class ChangeKeySerializer(_Restrictions):
    """What to change of a key; what is left out stays. `version` refuses to change a row that was changed since with 409."""

    name = serializers.CharField(max_length=63, required=False)
    enabled = serializers.BooleanField(required=False)
    version = serializers.IntegerField(required=False)


class RotationSerializer(serializers.Serializer[Any]):
    """How long the old secret works on."""

    overlap = serializers.ChoiceField(choices=[(name, name) for name in OVERLAPS], default="now")
    version = serializers.IntegerField(required=False)


class SwitchSerializer(serializers.Serializer[Any]):
    enabled = serializers.BooleanField(default=False)


def key_entry(standing: KeyStanding) -> dict[str, Any]:
    key = standing.key
    old = {"prefix": key.old_prefix, "until": key.old_until, "last_use": _use(standing.old_use)}
    return {
        "id": key.pk,
        "owner": key.owner.email if key.owner else None,
        "team": key.project.team.name,
        "project": key.project.name,
        "state": standing.state,
        "blocked_by": standing.blocked_by or None,
        "last_use": _use(standing.last_use),
        "old_secret": old if standing.has_old_secret else None,
        **{name: getattr(key, name) for name in _COPIED},
    }


_COPIED = (
    "name", "prefix", "kind", "enabled", "allowed_models", "allowed_ips", "tags", "expires_at", "created_at", "rotated_at",
    "revoked_at", "version",
)  # fmt: skip


def _use(use: Use | None) -> dict[str, Any] | None:
    return {"at": use.at, "client_ip": use.client_ip, "user_agent": use.user_agent} if use else None
