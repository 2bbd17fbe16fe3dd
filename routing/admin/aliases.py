"""Aliases in the console: the names that clients ask for."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.http import urlencode
from django.utils.safestring import SafeString

from accounting.templatetags.console import pill
from gateway_project.console.editing import change_set
from gateway_project.console.forms import VersionedForm
from routing.admin.previewing import PreviewingAdmin
from routing.connections import problems_of_alias
from routing.models import ModelAlias
from routing.previews import asks_for, callers_of, read_sample
from routing.services import delete_alias, save_alias
from routing.snapshot import load_snapshot

STAGES = {"in use": "info", "deprecated": "warn", "retired": "bad"}


class AliasForm(VersionedForm):
    class Meta:
        model = ModelAlias
        fields = "__all__"
        labels = {
            "display_name": "Shown as",
            "after_retirement": "Then",
            "deprecation_text": "Note",
        }
        help_texts = {"display_name": "The name in lists of models; empty: the alias itself."}

    def _post_clean(self) -> None:
        super()._post_clean()  # type: ignore[misc]
        if not self.errors:
            for name, sentence in problems_of_alias(self.instance):
                self.add_error(name, sentence)


@admin.register(ModelAlias)
class ModelAliasAdmin(PreviewingAdmin):
    form = AliasForm
    list_display = ("name", "display_name", "route_link", "preview", "state")
    list_filter = ("enabled", "route")
    list_select_related = ("route",)
    search_fields = ("name", "display_name", "route__name")
    autocomplete_fields = ("route",)
    change_form_template = "admin/alias.html"
    fieldsets = (
        (None, {"fields": ("name", "route", "display_name", "enabled")}),
        (
            "When its days are over",
            {
                "fields": (
                    ("deprecated_on", "retires_on"),
                    ("after_retirement", "successor"),
                    "deprecation_text",
                ),
                "description": "Answers for a deprecated name carry headers that say so. Times are in UTC.",
            },
        ),
    )
    empty_hint = (
        "No alias yet. An alias is a name that clients ask for, such as claude-sonnet-4-5, and leads to a route."
    )

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        save_alias(change_set(request), obj, expected_version=obj.version if change else None)

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        delete_alias(change_set(request), obj)

    def title_of(self, obj: ModelAlias) -> tuple[str, str | None]:
        title, below = super().title_of(obj)
        stage = obj.deprecation.stage(timezone.now().timestamp()) if obj.pk and obj.deprecation else "in use"
        return title, below if stage == "in use" else f"{below}, {stage}"

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> Any:
        alias = kwargs.get("obj")
        if alias is not None:
            sample = read_sample(timezone.now())
            name = str(ModelAlias.objects.values_list("name", flat=True).get(pk=alias.pk))
            context.update(sample=sample, callers=callers_of(sample, asks_for(load_snapshot(), name)))
        return super().render_change_form(request, context, *args, **kwargs)

    @admin.display(description="route", ordering="route__name")
    def route_link(self, alias: ModelAlias) -> SafeString:
        address = reverse("admin:routing_route_change", args=[alias.route_id])
        return format_html('<a href="{}">{}</a>', address, alias.route.name)

    @admin.display(description="served by")
    def preview(self, alias: ModelAlias) -> SafeString | str:
        if "*" in alias.name:
            return pill("pattern", "info")
        query = urlencode({"model": alias.name})
        return format_html('<a href="{}?{}">Who serves it?</a>', reverse("admin:routing_route_who_serves"), query)

    @admin.display(description="state", ordering="enabled")
    def state(self, alias: ModelAlias) -> SafeString:
        if alias.enabled and not alias.route.enabled:
            return pill("its route is disabled", "bad")
        if alias.enabled and alias.deprecation is not None:
            stage = alias.deprecation.stage(timezone.now().timestamp())
            return pill("deprecation planned" if stage == "in use" else stage, STAGES[stage])
        return pill("enabled", "good") if alias.enabled else pill("disabled")
