"""Projects and memberships as lists of their own; a team's own page (`teams`) has its own."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from accounting.membership import revoke_keys
from accounting.models import Membership, Project
from accounting.templatetags.console import pill
from gateway_project.console.editing import ConsoleAdmin, change_set
from gateway_project.console.forms import VersionedForm


def enabled_pill(row: Any) -> SafeString:
    return pill("enabled", "good") if row.enabled else pill("disabled")


def keys_link(text: str, **filters: Any) -> SafeString:
    query = "&".join(f"{name}={value}" for name, value in filters.items())
    return format_html('<a href="{}?{}">{}</a>', reverse("admin:accounting_virtualkey_changelist"), query, text)


class ProjectForm(VersionedForm):
    class Meta:
        model = Project
        fields = "__all__"
        labels = {"display_name": "Shown as"}


@admin.register(Project)
class ProjectAdmin(ConsoleAdmin):
    form = ProjectForm
    list_display = ("name", "team", "display_name", "keys", "state")
    list_filter = ("enabled", "team")
    list_select_related = ("team",)
    search_fields = ("name", "display_name", "team__name")
    autocomplete_fields = ("team",)
    fields = ("team", "name", "display_name", "enabled")
    empty_hint = "No project yet. A project belongs to a team and holds its keys; a team's own page adds them too."

    @admin.display(description="keys")
    def keys(self, project: Project) -> SafeString:
        return keys_link("Keys", project__id__exact=project.pk)

    @admin.display(description="state", ordering="enabled")
    def state(self, project: Project) -> SafeString:
        return enabled_pill(project)


@admin.register(Membership)
class MembershipAdmin(ConsoleAdmin):
    list_display = ("user", "team", "role")
    list_filter = ("role", "team")
    list_select_related = ("team", "user")
    search_fields = ("user__email", "team__name")
    autocomplete_fields = ("team", "user")
    fields = ("team", "user", "role")
    empty_hint = "Nobody belongs to a team yet. A team's own page adds its members too."

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        """Their personal keys of the team end with it."""
        revoke_keys(change_set(request), obj)
        super().delete_model(request, obj)
