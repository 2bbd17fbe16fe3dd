"""Drafts beside live routes in the console: started, ended, and what they would have done."""

from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils import timezone
from django.utils.safestring import SafeString

from accounting.templatetags.console import moment, pill
from gateway_project.console.editing import ConsoleAdmin
from gateway_project.console.fields import MomentField
from gateway_project.console.forms import VersionedForm
from routing.models import Shadow
from routing.shadows import report_of

DAYS = 7  # that a draft is evaluated if nobody says otherwise


class ShadowForm(VersionedForm):
    until = MomentField(label="Until", help_text="UTC. It is asked no more after that.")

    class Meta:
        model = Shadow
        fields = "__all__"
        labels = {"live": "Beside the route", "draft": "Draft"}


@admin.register(Shadow)
class ShadowAdmin(ConsoleAdmin):
    form = ShadowForm
    list_display = ("draft_name", "live", "requests", "moved", "ends", "state")
    list_display_links = ("draft_name",)
    list_select_related = ("live", "draft")
    list_filter = ("enabled",)
    fields = ("live", "draft", "until", "enabled")
    change_form_template = "admin/shadow.html"
    empty_hint = (
        "No draft is evaluated. A draft is a route that is asked where it would send the requests of a live one, "
        "and sends none: make a route, let no alias lead to it, and choose it here."
    )

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        initial: dict[str, Any] = super().get_changeform_initial_data(request)
        return {"until": timezone.now() + timedelta(days=DAYS), **initial}

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> Any:
        shadow = kwargs.get("obj")
        if shadow is not None:
            context["report"] = report_of(shadow)
        return super().render_change_form(request, context, *args, **kwargs)

    @admin.display(description="draft", ordering="draft__name")
    def draft_name(self, shadow: Shadow) -> str:
        return shadow.draft.name

    @admin.display(description="requests")
    def requests(self, shadow: Shadow) -> int:
        return report_of(shadow).requests

    @admin.display(description="would go elsewhere")
    def moved(self, shadow: Shadow) -> str:
        report = report_of(shadow)
        return f"{100 * report.moved / report.requests:.1f} %" if report.requests else "—"

    @admin.display(description="until", ordering="until")
    def ends(self, shadow: Shadow) -> SafeString | str:
        return moment(shadow.until)

    @admin.display(description="state", ordering="enabled")
    def state(self, shadow: Shadow) -> SafeString:
        if not shadow.enabled:
            return pill("ended")
        return pill("over", "calm") if shadow.until <= timezone.now() else pill("evaluated", "good")
