"""Teams in the console: one page with everything of a team in tabs. What is edited is edited here, the rest is shown."""

from typing import Any

from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db.models import Count, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.safestring import SafeString

from accounting.admin.people import enabled_pill, keys_link
from accounting.admin.team_tabs import TABS, dashboard_of, read_tab, tab_of
from accounting.membership import revoke_keys
from accounting.models import Membership, Project, Team
from gateway_project.console.editing import ConsoleAdmin, ConsoleInline, change_set
from gateway_project.console.forms import VersionedForm


class ProjectInline(ConsoleInline):
    model = Project
    row_fields = ("name", "display_name", "enabled", "keys_link")
    readonly_fields = ("keys_link",)
    show_change_link = True

    def get_extra(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> int:
        """A new team is asked for its first project: without one nobody can make a key."""
        return 0 if obj else 1

    @admin.display(description="keys")
    def keys_link(self, project: Project) -> SafeString | str:
        return keys_link("Keys of this project", project__id__exact=project.pk) if project.pk else "—"


class MembershipInline(ConsoleInline):
    model = Membership
    row_fields = ("user", "role")
    autocomplete_fields = ("user",)
    verbose_name = "member"
    verbose_name_plural = "members"


_INLINES = {"projects": (ProjectInline,), "members": (MembershipInline,)}


class TeamForm(VersionedForm):
    class Meta:
        model = Team
        fields = "__all__"
        labels = {"display_name": "Shown as", "capture": "Audit log keeps"}


@admin.register(Team)
class TeamAdmin(ConsoleAdmin):
    form = TeamForm
    inlines = (ProjectInline, MembershipInline)
    change_form_template = "admin/team.html"
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

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """A new team has everything in one form; later each tab has its part of it."""
        return self.fieldsets if obj is None or tab_of(request).name not in _INLINES else ()

    def get_inlines(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.inlines if obj is None else _INLINES.get(tab_of(request).name, ())

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        tab = tab_of(request)
        context = {"tabs": TABS, "tab": tab, **(extra_context or {})}
        if tab.is_form or request.method != "GET":
            return super().change_view(request, object_id, form_url, context)
        team = self.get_object(request, unquote(object_id))
        if not self.has_view_permission(request, team):
            raise PermissionDenied
        if team is None:
            return self.not_there(request)
        title, subtitle = self.title_of(team)
        page = {"opts": self.opts, "original": team, "title": title, "subtitle": subtitle, **context}
        page |= {"dashboard": dashboard_of(team), **self.admin_site.each_context(request), **read_tab(tab, team)}
        return TemplateResponse(request, "admin/team_tab.html", page)

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> Any:
        team = kwargs.get("obj")
        context["dashboard"] = dashboard_of(team) if team else ""
        return super().render_change_form(request, context, *args, **kwargs)

    def response_change(self, request: HttpRequest, obj: Any) -> HttpResponse:
        response = super().response_change(request, obj)
        if "_continue" in request.POST and request.GET.get("tab"):
            response["Location"] = f"{request.path}?tab={tab_of(request).name}"
        return response

    def title_of(self, obj: Any) -> tuple[str, str | None]:
        named = f", shown as {obj.display_name}" if obj.display_name else ""
        return str(obj.name), f"Team{named}{'' if obj.enabled else ', disabled'}"

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
