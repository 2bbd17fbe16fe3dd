"""Routes in the console: the targets in their order, the aliases that lead here, and who serves a name."""

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import Count, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from accounting.templatetags.console import pill
from gateway_project.console.editing import ConsoleInline, change_set
from gateway_project.console.fields import ChoicesField
from gateway_project.console.forms import VersionedForm, VersionedFormSet
from routing.admin.condition_field import ConditionsField
from routing.admin.previewing import PreviewingAdmin
from routing.condition_lines import LEGEND
from routing.conf import RETRYABLE, check_targets
from routing.dangling import problems_of_route
from routing.models import Route, RouteTarget
from routing.previews import callers_of, read_sample
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
LAST = 10**9  # the place of a target that has none: after the others


class RouteForm(VersionedForm):
    retry_on = ChoicesField(
        label="Try again after",
        labels=RETRY_LABELS,
        required=False,
        initial=list(RETRYABLE),
        help_text="Failures after which the next target is asked. 400, 413 and 422 never count.",
    )
    conditions = ConditionsField(
        label="Conditions",
        required=False,
        help_text="One condition on a line; the first that holds decides. All tests of a line must hold.",
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

    def _post_clean(self) -> None:
        super()._post_clean()  # type: ignore[misc]
        if not self.errors:
            for name, sentence in problems_of_route(self.instance):
                self.add_error(name, sentence)


class TargetForm(VersionedForm):
    place = forms.IntegerField(label="Order", required=False, min_value=1, max_value=100_000)
    max_concurrent = forms.IntegerField(
        label="At once",
        required=False,
        min_value=0,
        max_value=1_000_000,
        initial=0,
        help_text="Most calls under way at once, in each server process; 0 is no limit.",
    )

    def clean_max_concurrent(self) -> int:
        """Left empty it is no limit; a form that does not ask for it leaves it as it is."""
        if self.add_prefix("max_concurrent") not in self.data:
            return int(self.instance.max_concurrent)
        return self.cleaned_data["max_concurrent"] or 0


class TargetFormSet(VersionedFormSet):
    """The targets of a route, judged as a whole. Each form knows its target's place among them."""

    def _construct_form(self, i: int, **kwargs: Any) -> Any:
        if i < self.initial_form_count():
            kwargs["initial"] = {"place": self._place_of(i)}
        return super()._construct_form(i, **kwargs)  # type: ignore[misc]

    def _place_of(self, i: int) -> int:
        """Of the form's target where it stands by now; while a form is first shown that is the order of the forms."""
        named = self.data.get(f"{self.add_prefix(i)}-id") if self.is_bound else None
        places = {str(target.pk): place for place, target in enumerate(self.get_queryset(), 1)}
        return places.get(str(named), i + 1)

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
    form = TargetForm
    formset = TargetFormSet
    row_fields = ("place", "provider", "model", "tier", "weight", "max_concurrent", "enabled")
    verbose_name = "target"
    verbose_name_plural = "targets: tier 0 first, within a tier in this order where the strategy is priority"

    def get_extra(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> int:
        return 0 if obj else 1

    def get_queryset(self, request: HttpRequest) -> QuerySet[RouteTarget]:
        return super().get_queryset(request).select_related("provider").order_by("tier", "position", "pk")


@admin.register(Route)
class RouteAdmin(PreviewingAdmin):
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
            {"fields": ("retry_on", ("max_attempts", "deadline"), ("cooldown", "breaker_failures", "breaker_window"))},
        ),
        ("Requests for another route", {"fields": ("conditions",)}),
    )

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Whoever may only look sees the conditions as those do who write them."""
        if self.has_change_permission(request, obj):
            return self.fieldsets
        return (*self.fieldsets[:-1], (self.fieldsets[-1][0], {"fields": ("conditions_as_lines",)}))

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return () if self.has_change_permission(request, obj) else ("conditions_as_lines",)

    @admin.display(description="conditions")
    def conditions_as_lines(self, route: Route) -> SafeString | str:
        lines = ConditionsField().prepare_value(route.conditions)
        return format_html('<span class="said mono">{}</span>', lines) if lines else "—"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Route]:
        counts = {"n_targets": Count("targets", distinct=True), "n_aliases": Count("aliases", distinct=True)}
        routes: QuerySet[Route] = super().get_queryset(request)
        return routes.annotate(**counts)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """The route is written together with its targets, in `save_formset`."""

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        formset.save(commit=False)
        kept = formset.kept_forms()
        places = {id(each.instance): each.cleaned_data.get("place") or LAST for each in kept}
        targets = [each.instance for each in kept]
        if change:  # what somebody else added meanwhile stays
            seen = {target.pk for target in targets} | {target.pk for target in formset.deleted_objects}
            targets += [target for target in form.instance.targets.all() if target.pk not in seen]
        targets.sort(key=lambda target: (target.tier, places.get(id(target), LAST)))
        route = form.instance
        save_route(change_set(request), route, targets, expected_version=route.version if change else None)

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        delete_route(change_set(request), obj)

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path("who-serves/", wrap(self.who_serves_view), name="routing_route_who_serves"),
            *super().get_urls(),
        ]

    def who_serves_view(self, request: HttpRequest) -> HttpResponse:
        """Which alias, route and targets serve a name (`?model=`)."""
        if not self.has_view_permission(request):
            return self.admin_site.login(request)
        context = {**self.admin_site.each_context(request), "opts": self.opts, "title": "Who serves this name?"}
        return TemplateResponse(request, "admin/who_serves.html", {**context, **_preview(request)})

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> Any:
        route = kwargs.get("obj")
        context["legend"] = LEGEND
        if route is not None:
            sample = read_sample(timezone.now())
            name = _stored_name(route.pk)
            context.update(sample=sample, callers=callers_of(sample, lambda each: each.route == name))
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


def _stored_name(pk: int) -> str:
    """The route's name as records have it, whatever the form says."""
    return str(Route.objects.values_list("name", flat=True).get(pk=pk))


def _preview(request: HttpRequest, name: str = "") -> dict[str, Any]:
    asked = request.GET.get("model", name).strip()[:LONGEST_NAME]
    return {"asked": asked, "served": who_serves(asked) if asked else None}
