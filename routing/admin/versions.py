"""Versions in the console: what each changed, what has changed since, and the way back."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from accounting.audit.changes import StaleVersion, changing
from accounting.templatetags.console import moment
from gateway_project.console.access import NobodyWrites, actor_of
from gateway_project.console.editing import ConsoleAdmin, sentences
from gateway_project.console.paging import BoundedPaginator, HistoryList, seen
from routing.admin.why import PutOff, put_aside, settle
from routing.models import ConfigVersion
from routing.models.versions import LONGEST_REASON
from routing.versions.difference import MOST_CHANGES, as_changes, differences, read
from routing.versions.fleet import read_fleet
from routing.versions.keeping import current_number, current_version, picture_of
from routing.versions.picture import take_picture
from routing.versions.proposals import Wish
from routing.versions.rollback import plan_rollback, roll_back
from routing.versions.wording import summary


class KeptAdmin(NobodyWrites, ConsoleAdmin):
    """A table that nobody edits, with a page of its own for each row."""

    form = forms.ModelForm  # type: ignore[assignment]
    paginator = BoundedPaginator
    show_full_result_count = False
    actions = None
    sortable_by = ()
    list_max_show_all = 50

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> Any:
        return HistoryList

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        raise Http404

    def title_of(self, obj: Any) -> tuple[str, str | None]:
        return str(obj).capitalize(), None


@admin.register(ConfigVersion)
class ConfigVersionAdmin(KeptAdmin):
    list_display = ("number", "time", "actor", "what", "reason")
    list_filter = (seen("actor", "who"),)
    seen_columns = ("actor",)
    change_list_template = "admin/config_versions.html"
    change_form_template = "admin/config_version.html"
    empty_hint = "No version yet. Every change of providers, routes, aliases and compatibility rules makes one."

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).select_related("picture").defer("picture__data")

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        fleet = read_fleet(timezone.now())
        return super().changelist_view(request, {"fleet": fleet, **(extra_context or {})})

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> Any:
        version = kwargs.get("obj")
        if version is not None:
            since = as_changes(differences(picture_of(version), take_picture().picture))
            context.update(
                version=version,
                changes=read(version.changes),
                since=since[:MOST_CHANGES],
                more_since=max(0, len(since) - MOST_CHANGES),
                current=current_number(),
                may_roll_back=request.user.is_superuser and bool(since),
                before=ConfigVersion.objects.filter(number__lt=version.number).values_list("number", flat=True).first(),
                after=_next(version.number),
            )
        return super().render_change_form(request, context, *args, **kwargs)

    def get_urls(self) -> list[URLPattern]:
        page = self.admin_site.admin_view(self.rollback_view)
        return [path("<int:number>/rollback/", page, name="routing_configversion_rollback"), *super().get_urls()]

    def rollback_view(self, request: HttpRequest, number: int) -> HttpResponse:
        """Shows what going back would change; a POST (`seen`, `reason`) does it, unless somebody was faster."""
        if not self.has_rollback_permission(request):
            raise PermissionDenied
        try:
            return self._roll_back(request, number) if request.method == "POST" else self._confirm(request, number)
        except PutOff as waiting:
            return put_aside(request, waiting)
        except (ValidationError, StaleVersion) as error:
            messages.error(request, sentences(error))
            there = ConfigVersion.objects.filter(number=number).exists()
            return HttpResponseRedirect(self.change_address(number) if there else self.list_address())

    def has_rollback_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request) and request.user.is_superuser

    def _confirm(self, request: HttpRequest, number: int) -> HttpResponse:
        plan = plan_rollback(number)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": f"Back to version {number}",
            "subtitle": f"From version {plan.seen}, which is in force.",
            "plan": plan,
            "changes": plan.changes[:MOST_CHANGES],
            "more_changes": max(0, len(plan.edits) - MOST_CHANGES),
            "longest_reason": LONGEST_REASON,
        }
        return TemplateResponse(request, "admin/config_rollback.html", context)

    def _roll_back(self, request: HttpRequest, number: int) -> HttpResponse:
        text = request.POST.get("seen", "")
        seen = int(text) if text.isascii() and text.isdigit() and len(text) < 19 else -1
        current_version()
        with changing(actor_of(request)) as change:
            roll_back(change, number, seen, request.POST.get("reason", "").strip()[:LONGEST_REASON])
            settle(change, Wish())
        messages.success(request, f"The configuration is as it was in version {number}; every process serves it now.")
        return HttpResponseRedirect(self.list_address())

    @admin.display(description="time", ordering="-number")
    def time(self, version: ConfigVersion) -> SafeString | str:
        return moment(version.at)

    @admin.display(description="what changed")
    def what(self, version: ConfigVersion) -> SafeString:
        return format_html('<span class="wrap-any">{}</span>', summary(read(version.changes), version.more_changes))


def _next(number: int) -> int | None:
    return ConfigVersion.objects.filter(number__gt=number).order_by("number").values_list("number", flat=True).first()
