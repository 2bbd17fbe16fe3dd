"""Budgets and requests for more of them as the REST API shows them. Amounts are dollars as decimal texts."""

# rest_framework's fields are declared, not typed
# mypy: disable-error-code="misc, assignment"

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, ClassVar

from django.utils import timezone
from rest_framework import serializers

from accounting.api.moments import MomentInBody
from accounting.limits.asking import APPROVE, CHANGE, REFUSE, visible_budgets
from accounting.limits.loading import budget_terms, organization_terms, scope_of
from accounting.limits.shown import ShownRate
from accounting.limits.standing import BudgetStanding, standings
from accounting.limits.terms import ORGANIZATION, dollars_of
from accounting.models import Budget, BudgetRequest, OrganizationSettings
from accounting.models.limits import Scoped


def plain(amount: Decimal) -> str:
    """`500`, `0.00054`: exact, without zeros that say nothing."""
    return f"{amount.normalize():f}" if amount else "0"


class ScopeSerializer(serializers.Serializer[Any]):
    """What a limit is for. The organization has no id."""

    type = serializers.CharField()
    id = serializers.IntegerField(allow_null=True)
    name = serializers.CharField()


class RaiseSerializer(serializers.Serializer[Any]):
    """What is added for a while."""

    amount = serializers.CharField()
    until = serializers.DateTimeField()
    reason = serializers.CharField()


class BudgetSerializer(serializers.Serializer[Any]):
    """A budget as it stands; amounts are dollars as decimal texts. `limit` is `amount` with what was carried over and
    what a raise adds; `remaining` what neither was spent nor is reserved of it."""

    id = serializers.IntegerField()
    scope = ScopeSerializer()
    model = serializers.CharField(allow_null=True)
    tag = serializers.CharField(allow_null=True)
    period = serializers.CharField()
    amount = serializers.CharField()
    limit = serializers.CharField()
    spent = serializers.CharField()
    reserved = serializers.CharField()
    remaining = serializers.CharField()
    period_start = serializers.DateTimeField(allow_null=True)
    resets_at = serializers.DateTimeField(allow_null=True)
    hard = serializers.BooleanField()
    soft = serializers.ListField(child=serializers.IntegerField())
    carry_over = serializers.BooleanField()
    temporary_raise = RaiseSerializer(allow_null=True)
    version = serializers.IntegerField()


class RateLimitSerializer(serializers.Serializer[Any]):
    """A rate limit; `used` is what counts towards it now, null where this server has no counters."""

    id = serializers.IntegerField()
    scope = ScopeSerializer()
    model = serializers.CharField(allow_null=True)
    tag = serializers.CharField(allow_null=True)
    kind = serializers.CharField()
    amount = serializers.IntegerField()
    used = serializers.IntegerField(allow_null=True)
    remaining = serializers.IntegerField(allow_null=True)
    version = serializers.IntegerField()


class BudgetRequestSerializer(serializers.ModelSerializer[BudgetRequest]):
    """Somebody asks for more of a budget. On writing: `budget`, `amount`, `until`, `reason`."""

    budget: ClassVar[Any] = serializers.PrimaryKeyRelatedField(queryset=Budget.objects.none())
    scope = serializers.SerializerMethodField()
    until = MomentInBody()
    asked_at = serializers.DateTimeField(source="created_at", read_only=True)

    class Meta:
        model = BudgetRequest
        fields = (
            "id",
            "budget",
            "scope",
            "amount",
            "until",
            "reason",
            "asked_by",
            "asked_at",
            "state",
            "decided_by",
            "decided_at",
            "decided_amount",
            "decided_until",
            "comment",
        )
        read_only_fields = (
            "state",
            "decided_by",
            "decided_at",
            "decided_amount",
            "decided_until",
            "comment",
            "asked_by",
        )
        validators: ClassVar[list[Any]] = []

    def get_fields(self) -> dict[str, Any]:
        fields = super().get_fields()
        party = self.context.get("party")
        if party is not None:
            budget: Any = fields["budget"]
            budget.queryset = visible_budgets(party)
        return fields

    def get_scope(self, row: BudgetRequest) -> dict[str, Any]:
        return scope_entry(row.budget)

    def to_representation(self, instance: BudgetRequest) -> Any:
        shown = super().to_representation(instance)
        shown["amount"] = plain(instance.amount)
        shown["decided_amount"] = None if instance.decided_amount is None else plain(instance.decided_amount)
        return shown


class DecisionSerializer(serializers.Serializer[Any]):
    """`change` approves with another `amount` or `until`."""

    decision = serializers.ChoiceField(choices=[APPROVE, CHANGE, REFUSE])
    amount = serializers.DecimalField(max_digits=30, decimal_places=12, required=False)
    until = MomentInBody(required=False)
    comment = serializers.CharField(required=False, allow_blank=True, max_length=500)


def scope_entry(row: Scoped) -> dict[str, Any]:
    scope = scope_of(row)
    whole = scope.type == ORGANIZATION
    return {"type": scope.type, "id": None if whole else scope.id, "name": ORGANIZATION if whole else scope.name}


def budget_entry(row: Budget, standing: BudgetStanding) -> dict[str, Any]:
    period = standing.line.period
    raised = row.raise_amount is not None and row.raise_until is not None and row.raise_until > timezone.now()
    return {
        "id": row.pk,
        "scope": scope_entry(row),
        "model": row.model or None,
        "tag": row.tag or None,
        "period": row.period,
        "amount": plain(row.amount),
        "limit": plain(dollars_of(standing.limit)),
        "spent": plain(dollars_of(standing.spent)),
        "reserved": plain(dollars_of(standing.reserved)),
        "remaining": plain(dollars_of(standing.remaining)),
        "period_start": datetime.fromtimestamp(period.start, UTC) if period.end else None,
        "resets_at": datetime.fromtimestamp(period.end, UTC) if period.end else None,
        "hard": row.hard,
        "soft": row.soft,
        "carry_over": row.carry_over,
        "temporary_raise": {"amount": plain(row.raise_amount), "until": row.raise_until, "reason": row.raise_reason}
        if raised and row.raise_amount is not None
        else None,
        "version": row.version,
    }


def budget_entries(rows: Sequence[Budget]) -> Any:
    """Budgets as they stand, in their order."""
    organization = organization_terms(OrganizationSettings.objects.first())
    found = standings(list(budget_terms(rows, organization)))
    entries = [budget_entry(row, standing) for row, standing in zip(rows, found, strict=True)]
    return BudgetSerializer(entries, many=True).data


def rate_entry(shown: ShownRate) -> dict[str, Any]:
    row = shown.row
    return {
        "id": row.pk,
        "scope": scope_entry(row),
        "model": row.model or None,
        "tag": row.tag or None,
        "kind": row.kind,
        "amount": row.amount,
        "used": shown.used,
        "remaining": shown.remaining,
        "version": row.version,
    }
