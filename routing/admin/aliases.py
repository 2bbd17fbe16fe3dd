"""Aliases in the console: the names that clients ask for."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.http import urlencode
from django.utils.safestring import SafeString

from accounting.templatetags.console import pill
from gateway_project.console.editing import change_set
from gateway_project.console.forms import VersionedForm
from routing.admin.why import RoutingAdmin
from routing.models import ModelAlias
from routing.services import delete_alias, save_alias


class AliasForm(VersionedForm):
    class Meta:
        model = ModelAlias
        fields = "__all__"
        labels = {"display_name": "Shown as"}
        help_texts = {"display_name": "The name in lists of models; empty: the alias itself."}


@admin.register(ModelAlias)
class ModelAliasAdmin(RoutingAdmin):
    form = AliasForm
    list_display = ("name", "display_name", "route_link", "preview", "state")
    list_filter = ("enabled", "route")
    list_select_related = ("route",)
    search_fields = ("name", "display_name", "route__name")
    autocomplete_fields = ("route",)
    fields = ("name", "route", "display_name", "enabled")
    empty_hint = (
        "No alias yet. An alias is a name that clients ask for, such as claude-sonnet-4-5, and leads to a route."
    )

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        save_alias(change_set(request), obj, expected_version=obj.version if change else None)

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        delete_alias(change_set(request), obj)

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
        return pill("enabled", "good") if alias.enabled else pill("disabled")
