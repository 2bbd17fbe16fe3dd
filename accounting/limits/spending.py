"""What a budget has spent in a period, from the records: what counters are rebuilt from and checked against.

`SpentBy` is all that the rest knows of it; a faster source takes the place of `spent_by_records` where a runtime is made.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal

from django.db.models import QuerySet, Sum, TextField
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Cast

from accounting.limits.book import fits
from accounting.limits.periods import NEVER, Period
from accounting.limits.terms import KEY, PROJECT, TEAM, USER, BudgetTerms
from accounting.models import RequestRecord, VirtualKey

SpentBy = Callable[[BudgetTerms, Period], Decimal]
MOST_MODELS = 10_000  # pairs of names that one budget's sum is made of


def spent_by_records(terms: BudgetTerms, period: Period) -> Decimal:
    """Dollars of the requests that began in the period. Raises `django.db.Error` while the database is away."""
    records = RequestRecord.objects.filter(cost_usd__gt=0, started_at__gte=datetime.fromtimestamp(period.start, UTC))
    if period.end != NEVER:
        records = records.filter(started_at__lt=datetime.fromtimestamp(period.end, UTC))
    records = _of_scope(records.order_by(), terms)
    if terms.tag:
        name, _, value = terms.tag.partition("=")
        records = records.annotate(tag=Cast(KeyTextTransform(name, "tags"), TextField())).filter(tag=value)
    if not terms.model:
        return records.aggregate(sum=Sum("cost_usd"))["sum"] or Decimal(0)
    rows = records.values_list("alias", "upstream_model").annotate(sum=Sum("cost_usd"))[:MOST_MODELS]
    return sum((cost for alias, model, cost in rows if fits(terms.model, (alias, model))), Decimal(0))


def _of_scope(records: "QuerySet[RequestRecord]", terms: BudgetTerms) -> "QuerySet[RequestRecord]":
    scope = terms.scope
    if scope.type == TEAM:
        return records.filter(team=scope.name)
    if scope.type == USER:
        return records.filter(user=scope.name)
    if scope.type == PROJECT:
        return records.filter(team=scope.team, project=scope.name.partition("/")[2])
    if scope.type == KEY:
        # By name: a key that was given a new secret has another prefix and the same budget.
        key = VirtualKey.objects.select_related("project__team").filter(pk=scope.id).first()
        if key is None:
            return records.none()
        return records.filter(team=key.project.team.name, project=key.project.name, key=key.name)
    return records
