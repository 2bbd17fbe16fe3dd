"""Teams with their projects and members in one form; projects and memberships as lists of their own."""

from typing import Any

from django.contrib import admin
from django.db.models import Count, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from accounting.membership import revoke_keys
from accounting.models import Membership, Project, Team
from accounting.templatetags.console import pill
from gateway_project.console.editing import ConsoleAdmin, ConsoleInline, change_set
from gateway_project.console.forms import VersionedForm


def enabled_pill(row: Any) -> SafeString:
    return pill("enabled", "good") if row.enabled else pill("disabled")


def keys_link(text: str, **filters: Any) -> SafeString:
    query = "&".join(f"{name}={value}" for name, value in filters.items())
    return format_html('<a href="{}?{}">{}</a>', reverse("admin:accounting_virtualkey_changelist"), query, text)


class ProjectInline(ConsoleInline):
    model = Project
    row_fields = ("name", "display_name", "enabled", "keys_link")
    readonly_fields = ("keys_link",)
    show_change_link = True

    @admin.display(description="keys")
    def keys_link(self, project: Project) -> SafeString | str:
        return keys_link("Keys of this project", project__id__exact=project.pk) if project.pk else "—"


class MembershipInline(ConsoleInline):
    model = Membership
    row_fields = ("user", "role")
    autocomplete_fields = ("user",)
    verbose_name = "member"
    verbose_name_plural = "members"


class TeamForm(VersionedForm):
    class Meta:
        model = Team
        fields = "__all__"
        labels = {"display_name": "Shown as", "capture": "Audit log keeps"}


@admin.register(Team)
class TeamAdmin(ConsoleAdmin):
    form = TeamForm
    inlines = (ProjectInline, MembershipInline)
    list_display = ("name", "display_name", "project_count", "member_count", "keys", "timezone", "state")
    list_filter = ("enabled",)
    search_fields = ("name", "display_name")
    fieldsets = (
        (None, {"fields": ("name", "display_name", "timezone", "enabled")}),
        ("What its people may use", {"fields": ("allowed_models", "capture")}),
    )
    empty_hint = "No team yet. A team holds the people who use the gateway, and projects that hold keys."

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        if formset.model is Membership:
            for row in formset.initial_forms:
                if formset._should_delete_form(row):
                    revoke_keys(change_set(request), row.instance)
        super().save_formset(request, form, formset, change)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Team]:
        counts = {"n_projects": Count("projects", distinct=True), "n_members": Count("memberships", distinct=True)}
        teams: QuerySet[Team] = super().get_queryset(request)
        return teams.annotate(**counts)

    @admin.display(description="projects", ordering="n_projects")
    def project_count(self, team: Any) -> int:
        return int(team.n_projects)

    @admin.display(description="members", ordering="n_members")
    def member_count(self, team: Any) -> int:
        return int(team.n_members)

    @admin.display(description="keys")
    def keys(self, team: Team) -> SafeString:
        return keys_link("Keys", project__team__id__exact=team.pk)

    @admin.display(description="state", ordering="enabled")
    def state(self, team: Team) -> SafeString:
        return enabled_pill(team)


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
