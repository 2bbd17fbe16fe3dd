"""Routes in the console: the targets in their order, the aliases that lead here, and who serves a name."""

from typing import Any

from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import Count, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.safestring import SafeString

from accounting.templatetags.console import pill
from gateway_project.console.editing import ConsoleInline, change_set
from gateway_project.console.fields import ChoicesField
from gateway_project.console.forms import VersionedForm, VersionedFormSet
from routing.admin.why import RoutingAdmin
from routing.conf import RETRYABLE, check_targets
from routing.models import Route, RouteTarget
from routing.selectors import who_serves
from routing.services import delete_route, save_route

RETRY_LABELS: dict[str | int, str] = {
    "connect": "connection failed",
    "timeout": "no answer in time",
    429: "429 rate limited",
    500: "500 server error",
    502: "502 bad gateway",
    503: "503 unavailable",
    504: "504 gateway time-out",
    529: "529 overloaded",
}
LONGEST_NAME = 300


class RouteForm(VersionedForm):
    retry_on = ChoicesField(
        label="Try again after",
        labels=RETRY_LABELS,
        required=False,
        initial=list(RETRYABLE),
        help_text="Failures after which the next target is asked.",
    )

    class Meta:
        model = Route
        fields = "__all__"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        kept = {value: RETRY_LABELS.get(value, str(value)) for value in self.instance.retry_on or []}
        field = self.fields["retry_on"]
        assert isinstance(field, ChoicesField)
        field.allow({**RETRY_LABELS, **kept})


class TargetFormSet(VersionedFormSet):
    """The targets of a route, judged as a whole."""

    def clean(self) -> None:
        super().clean()
        if any(self.errors) or not self.instance.enabled:
            return
        if problem := check_targets([_judged(form) for form in self.kept_forms()]):
            raise ValidationError(problem)

    def kept_forms(self) -> list[Any]:
        """The forms of the targets that there will be, in their order."""
        filled = [form for form in self.forms if form.instance.pk or form.has_changed()]
        return [form for form in filled if not form.cleaned_data.get("DELETE")]


def _judged(form: Any) -> tuple[bool, int, bool]:
    target: RouteTarget = form.instance
    return target.enabled, target.weight, target.provider.enabled


class TargetInline(ConsoleInline):
    model = RouteTarget
    formset = TargetFormSet
    row_fields = ("provider", "model", "tier", "weight", "enabled")
    verbose_name = "target"
    verbose_name_plural = "targets, in their order: tier 0 first"

    def get_extra(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> int:
        return 0 if obj else 1

    def get_queryset(self, request: HttpRequest) -> QuerySet[RouteTarget]:
        return super().get_queryset(request).select_related("provider").order_by("tier", "position", "pk")


@admin.register(Route)
class RouteAdmin(RoutingAdmin):
    form = RouteForm
    inlines = (TargetInline,)
    list_display = ("name", "strategy", "sticky", "target_count", "alias_count", "state")
    list_filter = ("enabled", "strategy")
    search_fields = ("name",)
    change_form_template = "admin/route.html"
    empty_hint = "No route yet. A route says which providers and models serve a name, and in which order."
    fieldsets = (
        (None, {"fields": ("name", ("strategy", "sticky"), "enabled")}),
        (
            "When a call fails",
            {"fields": ("retry_on", ("max_attempts", "cooldown"), ("breaker_failures", "breaker_window"))},
        ),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Route]:
        counts = {"n_targets": Count("targets", distinct=True), "n_aliases": Count("aliases", distinct=True)}
        routes: QuerySet[Route] = super().get_queryset(request)
        return routes.annotate(**counts)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """The route is written together with its targets, in `save_formset`."""

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        formset.save(commit=False)
        targets = [each.instance for each in formset.kept_forms()]
        if change:  # what somebody else added meanwhile stays
            seen = {target.pk for target in targets} | {target.pk for target in formset.deleted_objects}
            targets += [target for target in form.instance.targets.all() if target.pk not in seen]
        targets.sort(key=lambda target: target.tier)
        route = form.instance
        save_route(change_set(request), route, targets, expected_version=route.version if change else None)

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        delete_route(change_set(request), obj)

    def get_urls(self) -> list[URLPattern]:
        page = self.admin_site.admin_view(self.who_serves_view)
        return [path("who-serves/", page, name="routing_route_who_serves"), *super().get_urls()]

    def who_serves_view(self, request: HttpRequest) -> HttpResponse:
        """Which alias, route and targets serve a name (`?model=`)."""
        if not self.has_view_permission(request):
            return self.admin_site.login(request)
        context = {**self.admin_site.each_context(request), "opts": self.opts, "title": "Who serves this name?"}
        return TemplateResponse(request, "admin/who_serves.html", {**context, **_preview(request)})

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> Any:
        route = kwargs.get("obj")
        if route is not None:
            aliases = list(route.aliases.order_by("name")[:200])
            context["aliases"] = aliases
            first = next((alias.name for alias in aliases if alias.enabled and "*" not in alias.name), "")
            context.update(_preview(request, first))
        return super().render_change_form(request, context, *args, **kwargs)

    @admin.display(description="targets", ordering="n_targets")
    def target_count(self, route: Any) -> SafeString | int:
        return int(route.n_targets) if route.n_targets else pill("none", "bad")

    @admin.display(description="aliases", ordering="n_aliases")
    def alias_count(self, route: Any) -> SafeString | int:
        return int(route.n_aliases) if route.n_aliases else pill("none", "warn")

    @admin.display(description="state", ordering="enabled")
    def state(self, route: Route) -> SafeString:
        return pill("enabled", "good") if route.enabled else pill("disabled")


def _preview(request: HttpRequest, name: str = "") -> dict[str, Any]:
    asked = request.GET.get("model", name).strip()[:LONGEST_NAME]
    return {"asked": asked, "served": who_serves(asked) if asked else None}
