"""The compatibility registry in the console: one list of shipped and own rules, and what upstreams have refused."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path

from accounting.audit.changes import changing
from gateway_project.console.access import actor_of
from gateway_project.console.editing import change_set, sentences
from gateway_project.console.fields import LinesField
from gateway_project.console.forms import VersionedForm
from routing.admin.compatibility_list import MOST_UNNAMED, UPSTREAMS, effect, filters, narrowed, read_rows
from routing.admin.why import PutOff, RoutingAdmin, put_aside, settle
from routing.compatibility import State, accept, decide, delete_rule, dismiss, save_rule
from routing.formats.compat import ANY, BETA, Rule
from routing.formats.compat_rules import SHIPPED
from routing.models import CompatibilityRule, CompatibilitySuggestion
from routing.observations import Value
from routing.versions.proposals import Wish

MOST_SUGGESTIONS = 50
MOST_DECIDED = 20
LONGEST_QUERY = 200


class RuleForm(VersionedForm):
    pair = LinesField(
        label="Goes together with",
        required=False,
        help_text="One on each line. For a beta: the fields of the body that go when it goes. For a field that passes: "
        "betas of which one must go with it.",
    )

    class Meta:
        model = CompatibilityRule
        fields = "__all__"
        widgets = {"date": forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d")}


@admin.register(CompatibilityRule)
class CompatibilityRuleAdmin(RoutingAdmin):
    form = RuleForm
    fieldsets = (
        (None, {"fields": ("kind", "name", ("upstream_format", "model"), "enabled")}),
        ("What happens to it", {"fields": ("action", "replacement", "pair")}),
        ("Why", {"fields": ("note", ("source", "date"))}),
    )

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        save_rule(change_set(request), obj, expected_version=obj.version if change else None)

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        delete_rule(change_set(request), obj)

    def title_of(self, obj: Any) -> tuple[str, str | None]:
        return obj.name, overrides(obj.as_rule()) or "Compatibility rule"

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> Any:
        response = super().render_change_form(request, context, *args, **kwargs)
        if kwargs.get("add") and request.GET.get("name"):
            kind, name, upstream, action, model = (
                request.GET.get(part, "") for part in ("kind", "name", "upstream_format", "action", "model")
            )
            context["subtitle"] = overrides(Rule(kind, name, upstream, action, model)) or None
        return response

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path("suggestion/", wrap(self.suggestion_view), name="routing_compatibilityrule_suggestion"),
            path("unnamed/", wrap(self.unnamed_view), name="routing_compatibilityrule_unnamed"),
            *super().get_urls(),
        ]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        query = {name: str(value)[:LONGEST_QUERY] for name, value in request.GET.items()}
        rows, unnamed = read_rows()
        suggestions = CompatibilitySuggestion.objects.all()
        opened = list(suggestions.filter(state=State.OPEN)[:MOST_SUGGESTIONS])
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": "Compatibility",
            "subtitle": "Which beta values and fields an upstream of another format takes, and what becomes of the others.",
            "rows": narrowed(rows, query),
            "total": len(rows),
            "filters": filters(query),
            "query": query.get("q", ""),
            "kept": [(name, query[name]) for name in ("kind", "upstream", "action", "whose") if query.get(name)],
            "narrowed": any(query.get(name) for name in ("q", "kind", "upstream", "action", "whose")),
            "suggestions": [(row, UPSTREAMS.get(row.upstream_format, row.upstream_format)) for row in opened],
            "decided": list(suggestions.exclude(state=State.OPEN)[:MOST_DECIDED]),
            "unnamed": unnamed[:MOST_UNNAMED],
            "more_unnamed": max(0, len(unnamed) - MOST_UNNAMED),
            "has_add_permission": self.has_add_permission(request),
            **(extra_context or {}),
        }
        return TemplateResponse(request, "admin/compatibility.html", context)

    def suggestion_view(self, request: HttpRequest) -> HttpResponse:
        """Accepts or dismisses a suggestion (`suggestion`, `decision`)."""
        self._administrators_only(request)
        number = request.POST.get("suggestion", "")
        if request.method != "POST" or not (number.isascii() and number.isdigit() and len(number) < 19):
            return HttpResponseRedirect(self.list_address())
        try:
            with changing(actor_of(request)) as change:
                if request.POST.get("decision") == "accept":
                    rule = accept(change, int(number))
                    text = (
                        f"From now on {rule.name} is left out for {rule.model}; every process knows it within a second."
                    )
                else:
                    text = f"Dismissed: {dismiss(change, int(number)).name} goes on as it did."
                settle(change, Wish())
            messages.success(request, text)
        except PutOff as waiting:
            return put_aside(request, waiting)
        except ValidationError as error:
            messages.error(request, sentences(error))
        return HttpResponseRedirect(self.list_address())

    def unnamed_view(self, request: HttpRequest) -> HttpResponse:
        """Makes a rule for a beta that none names (`name`, `upstream_format`, `action`)."""
        self._administrators_only(request)
        if request.method != "POST":
            return HttpResponseRedirect(self.list_address())
        name, upstream = request.POST.get("name", ""), request.POST.get("upstream_format", "")
        try:
            with changing(actor_of(request)) as change:
                rule = decide(change, Value(BETA, name, upstream, ANY), request.POST.get("action", ""))
                settle(change, Wish())
            word = "passes" if rule.action == "pass" else "is left out"
            messages.success(
                request, f"From now on {rule.name} {word} on the way to {UPSTREAMS[rule.upstream_format]}."
            )
        except PutOff as waiting:
            return put_aside(request, waiting)
        except ValidationError as error:
            messages.error(request, sentences(error))
        return HttpResponseRedirect(self.list_address())

    def _administrators_only(self, request: HttpRequest) -> None:
        if not self.has_add_permission(request):
            raise PermissionDenied


def overrides(rule: Rule) -> str:
    """A sentence about the shipped rules that a rule stands before, or nothing."""
    below = [
        shipped
        for shipped in SHIPPED
        if (shipped.kind, shipped.name) == (rule.kind, rule.name)
        and rule.upstream_format in (shipped.upstream_format, ANY)
        and rule.model in (shipped.model, ANY)
    ]
    said = dict.fromkeys(f"{shipped.action} {effect(shipped)}".strip() for shipped in below)
    return f"Overrides what ships with the gateway: {'; '.join(said)}." if said else ""
