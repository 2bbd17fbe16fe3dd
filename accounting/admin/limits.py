"""Limits in the console: budgets with what is spent of them now, rate limits, what the organization has chosen."""

from datetime import UTC, datetime
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from accounting.admin.people import enabled_pill
from accounting.admin.records import HistoryAdmin
from accounting.limits.loading import budget_terms, organization_terms
from accounting.limits.standing import BudgetStanding, standings
from accounting.limits.terms import dollars_of
from accounting.models import Budget, BudgetAlert, BudgetRequest, OrganizationSettings, RateLimit
from accounting.templatetags.console import moment, pill
from gateway_project.console.editing import ConsoleAdmin
from gateway_project.console.fields import DollarsField, PercentagesField
from gateway_project.console.forms import VersionedForm

_OWNERS = ("team", "project", "user", "key")
_LABELS = {name: name.capitalize() for name in _OWNERS}


class BudgetForm(VersionedForm):
    amount = DollarsField(help_text="Dollars for each period.")
    soft = PercentagesField(
        required=False, label="Soft limits", help_text="Percentages, such as 50, 80; each raises one alert in a period."
    )
    raise_amount = DollarsField(required=False, label="Raised by", help_text="Dollars that are added for a while.")

    class Meta:
        model = Budget
        fields = "__all__"
        labels = {**_LABELS, "raise_until": "Raised until", "raise_reason": "Because", "hard": "Stops requests"}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not self.instance.pk:
            self.initial.setdefault("period", "month")


class RateLimitForm(VersionedForm):
    class Meta:
        model = RateLimit
        fields = "__all__"
        labels = _LABELS


class OrganizationForm(VersionedForm):
    class Meta:
        model = OrganizationSettings
        fields = "__all__"
        labels = {"on_counter_loss": "When counters are lost"}


def use_of(budget: Budget) -> BudgetStanding:
    """How a budget stands in its current period."""
    known: BudgetStanding | None = budget.__dict__.get("_standing")
    if known is None:
        organization = organization_terms(OrganizationSettings.objects.first())
        (known,) = standings(list(budget_terms([budget], organization)))
        budget.__dict__["_standing"] = known
    return known


class ScopedAdmin(ConsoleAdmin):
    """What both kinds of limits share."""

    list_select_related = ("team", "project__team", "user", "key__project__team")
    autocomplete_fields = _OWNERS
    search_fields = ("model", "tag", "team__name", "project__name", "user__email", "key__name")

    @admin.display(description="for", ordering="scope")
    def whose(self, row: Budget | RateLimit) -> str:
        return row.where()

    @admin.display(description="state", ordering="enabled")
    def state(self, row: Budget | RateLimit) -> SafeString:
        return enabled_pill(row)


_FOR = ("What it is for", {"fields": ("scope", *_OWNERS, "model", "tag")})


@admin.register(Budget)
class BudgetAdmin(ScopedAdmin):
    form = BudgetForm
    list_display = ("whose", "period", "shown_amount", "used", "kind", "state")
    list_filter = ("scope", "period", "hard", "enabled", "team")
    list_per_page = 25
    readonly_fields = ("used", "resets")
    empty_hint = (
        "No budget yet. A budget is so many dollars in each period, for one team, project, person or key, or for all."
    )

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        now = [("Now", {"fields": ("used", "resets")})] if obj else []
        what = ("period", "amount", "hard", "soft", "carry_over", "enabled")
        raised = ("raise_amount", "raise_until", "raise_reason")
        return [_FOR, ("How much", {"fields": what}), ("For a while", {"fields": raised}), *now]

    @admin.display(description="amount", ordering="amount")
    def shown_amount(self, budget: Budget) -> str:
        return f"${budget.amount.normalize():,f}"

    @admin.display(description="used now")
    def used(self, budget: Budget) -> SafeString | str:
        if not budget.pk or not budget.enabled:
            return "—"
        standing = use_of(budget)
        spent, limit = dollars_of(standing.spent), dollars_of(standing.limit)
        share = int(spent * 100 / limit) if limit else 100
        tone = "bad" if share >= 100 else "warn" if any(share >= each for each in budget.soft) else "good"
        reserved = f", ${dollars_of(standing.reserved):,.2f} reserved" if standing.reserved else ""
        return format_html("{} ${} of ${}{}", pill(f"{share} %", tone), f"{spent:,.2f}", f"{limit:,.2f}", reserved)

    @admin.display(description="begins anew")
    def resets(self, budget: Budget) -> str:
        end = use_of(budget).line.period.end if budget.pk and budget.enabled else 0
        if not end:
            return "—"
        return f"{datetime.fromtimestamp(end, UTC):%Y-%m-%d %H:%M} UTC"

    @admin.display(description="kind", ordering="hard")
    def kind(self, budget: Budget) -> str:
        return "hard" if budget.hard else "soft"


@admin.register(RateLimit)
class RateLimitAdmin(ScopedAdmin):
    form = RateLimitForm
    list_display = ("whose", "kind", "shown_amount", "state")
    list_filter = ("scope", "kind", "enabled", "team")
    empty_hint = "No rate limit yet. A rate limit is so many in any sixty seconds, or so many at a time."

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        return [_FOR, ("How much", {"fields": ("kind", "amount", "enabled")})]

    @admin.display(description="amount", ordering="amount")
    def shown_amount(self, row: RateLimit) -> str:
        return f"{row.amount:,}"


@admin.register(OrganizationSettings)
class OrganizationSettingsAdmin(ConsoleAdmin):
    form = OrganizationForm
    list_display = ("__str__", "timezone", "fiscal_start_month", "on_counter_loss", "reservation")
    fields = ("timezone", "fiscal_start_month", "on_counter_loss", "reservation")
    empty_hint = (
        "Nothing chosen yet: UTC, quarters from January, refused while counters are lost, typical reservations."
    )

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_add_permission(request) and not OrganizationSettings.objects.exists()

    def get_model_perms(self, request: HttpRequest) -> dict[str, bool]:
        """For the sidebar, which every page has: without asking the database."""
        return {"view": self.has_view_permission(request), "change": self.has_change_permission(request)}


@admin.register(BudgetRequest)
class BudgetRequestAdmin(HistoryAdmin):
    list_display = ("asked", "asked_by", "whose", "shown_amount", "until", "state")
    list_filter = ("state",)
    list_select_related = ("budget__team", "budget__project__team", "budget__user", "budget__key__project__team")
    empty_hint = "Nobody has asked for more."

    @admin.display(description="asked")
    def asked(self, row: BudgetRequest) -> SafeString | str:
        return moment(row.created_at)

    @admin.display(description="budget")
    def whose(self, row: BudgetRequest) -> str:
        return str(row.budget)

    @admin.display(description="more")
    def shown_amount(self, row: BudgetRequest) -> str:
        return f"${row.amount.normalize():,f}"


@admin.register(BudgetAlert)
class BudgetAlertAdmin(HistoryAdmin):
    list_display = ("time", "whose", "threshold", "shown_spent")
    list_select_related = ("budget__team", "budget__project__team", "budget__user", "budget__key__project__team")
    empty_hint = "No soft limit was reached."

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset(request)
        return rows.order_by("-id")

    @admin.display(description="time")
    def time(self, row: BudgetAlert) -> SafeString | str:
        return moment(row.at)

    @admin.display(description="budget")
    def whose(self, row: BudgetAlert) -> str:
        return str(row.budget)

    @admin.display(description="spent")
    def shown_spent(self, row: BudgetAlert) -> str:
        return f"${row.spent:,.2f} of ${row.limit:,.2f}"
