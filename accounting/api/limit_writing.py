"""Making, changing and deleting budgets and rate limits in the REST API: what is given, as rows."""

# rest_framework's fields are declared, not typed
# mypy: disable-error-code="misc, assignment"

from typing import Any

from rest_framework import serializers
from rest_framework.exceptions import ValidationError

from accounting.api.moments import MomentInBody
from accounting.limits.asking import Party
from accounting.limits.periods import PERIODS
from accounting.limits.terms import RATE_KINDS, SCOPES
from accounting.models import Budget, Project, RateLimit, Team, User, VirtualKey

_NONE = "There is none, or not for this account."
_RAISE = {"amount": "raise_amount", "until": "raise_until", "reason": "raise_reason"}


class LimitTargetSerializer(serializers.Serializer[Any]):
    """What a limit is for; `id` is left out for the organization."""

    type = serializers.ChoiceField(choices=list(SCOPES))
    id = serializers.IntegerField(required=False, allow_null=True, min_value=1, max_value=2**62)


class _LimitSerializer(serializers.Serializer[Any]):
    scope = LimitTargetSerializer(required=False)
    model = serializers.CharField(required=False, allow_null=True, allow_blank=True, max_length=200)
    tag = serializers.CharField(required=False, allow_null=True, allow_blank=True, max_length=264)
    version = serializers.IntegerField(
        required=False, help_text="Of the row that was read; 409 if somebody has changed it since."
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        unknown = sorted(set(self.initial_data) - set(self.fields))
        if unknown:
            raise ValidationError({name: ["There is no such field."] for name in unknown})
        return attrs


class GivenRaiseSerializer(serializers.Serializer[Any]):
    amount = serializers.DecimalField(max_digits=30, decimal_places=12)
    until = MomentInBody()
    reason = serializers.CharField(max_length=500)


class GivenBudgetSerializer(_LimitSerializer):
    """A budget to make or to change. On making, `scope`, `period` and `amount` are needed; on changing, `scope` stays."""

    period = serializers.ChoiceField(choices=list(PERIODS), required=False)
    amount = serializers.DecimalField(max_digits=30, decimal_places=12, required=False)
    hard = serializers.BooleanField(required=False)
    soft = serializers.ListField(child=serializers.IntegerField(), required=False, max_length=20)
    carry_over = serializers.BooleanField(required=False)
    temporary_raise = GivenRaiseSerializer(required=False, allow_null=True)


class GivenRateLimitSerializer(_LimitSerializer):
    """A rate limit to make or to change. On making, `scope`, `kind` and `amount` are needed; on changing, `scope` stays."""

    kind = serializers.ChoiceField(choices=list(RATE_KINDS), required=False)
    amount = serializers.IntegerField(required=False)


def new_budget(party: Party, values: dict[str, Any]) -> Budget:
    """A budget of what is given, not saved yet. Raises ValidationError."""
    _need(values, "scope", "period", "amount")
    row = Budget(**_target(party, values["scope"]))
    change_budget(row, values)
    return row


def change_budget(row: Budget, values: dict[str, Any]) -> None:
    _keep_scope(row, values)
    for name in ("period", "amount", "hard", "soft", "carry_over"):
        if name in values:
            setattr(row, name, values[name])
    _narrow(row, values)
    if "temporary_raise" in values:
        given = values["temporary_raise"] or {"amount": None, "until": None, "reason": ""}
        for name, column in _RAISE.items():
            setattr(row, column, given[name])


def new_rate_limit(party: Party, values: dict[str, Any]) -> RateLimit:
    """A rate limit of what is given, not saved yet. Raises ValidationError."""
    _need(values, "scope", "kind", "amount")
    row = RateLimit(**_target(party, values["scope"]))
    change_rate_limit(row, values)
    return row


def change_rate_limit(row: RateLimit, values: dict[str, Any]) -> None:
    _keep_scope(row, values)
    for name in ("kind", "amount"):
        if name in values:
            setattr(row, name, values[name])
    _narrow(row, values)


def _need(values: dict[str, Any], *names: str) -> None:
    missing = [name for name in names if name not in values]
    if missing:
        raise ValidationError({name: ["This field is required."] for name in missing})


def _narrow(row: Budget | RateLimit, values: dict[str, Any]) -> None:
    for name in ("model", "tag"):
        if name in values:
            setattr(row, name, values[name] or "")


def _keep_scope(row: Budget | RateLimit, values: dict[str, Any]) -> None:
    given = values.get("scope")
    if row._state.adding or given is None:
        return
    owner = row.owner.pk if row.owner is not None else None
    if (given["type"], given.get("id")) != (row.scope, owner):
        raise ValidationError({"scope": ["What a limit is for stays; make another one."]})


def _target(party: Party, given: dict[str, Any]) -> dict[str, Any]:
    """The columns of what a limit is for, of that which somebody sees; whether they may set it is asked on saving."""
    kind, pk = given["type"], given.get("id")
    if kind == "organization":
        return {"scope": kind}
    all_teams = party.admin or party.reads_all
    teams = Team.objects.all() if all_teams else Team.objects.filter(name__in=list(party.roles))
    rows: dict[str, Any] = {
        "team": teams,
        "project": Project.objects.select_related("team").filter(team__in=teams),
        "key": VirtualKey.objects.select_related("project__team").filter(project__team__in=teams),
        "user": User.objects.all() if all_teams else User.objects.none(),
    }
    found = rows[kind].filter(pk=pk).first() if pk is not None else None
    if found is None:
        raise ValidationError({"scope": [_NONE]})
    return {"scope": kind, kind: found}
