"""How targets are doing, live, and the orders that administrators give: drain, rest, reopen."""

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme

from accounting.audit.changes import ChangeSet, changing
from gateway_project.console.access import actor_of, is_administrator
from gateway_project.console.editing import ConsoleAdmin, sentences
from routing.controls import drain, reopen, rest, undo
from routing.models import Provider, TargetControl
from routing.target_status import read_targets

LONGEST_MODEL = 300
MINUTES = ((1, "1 minute"), (5, "5 minutes"), (15, "15 minutes"), (60, "1 hour"), (240, "4 hours"), (1440, "1 day"))


@admin.register(TargetControl)
class TargetAdmin(ConsoleAdmin):
    """No forms: a page that shows, and buttons."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path("", wrap(self.changelist_view), name="routing_targetcontrol_changelist"),
            path("order/", wrap(self.order_view), name="routing_targetcontrol_order"),
        ]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """The page, or with `?live` only the part of it that changes; `?provider=` narrows both to one account."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        context = {**targets_context(request, request.GET.get("provider", "")[:63]), "opts": self.opts}
        if "live" in request.GET:
            return TemplateResponse(request, "admin/targets_live.html", context)
        page = {
            **self.admin_site.each_context(request),
            "title": "Targets",
            "subtitle": "Where requests can go, and how it is going there: the last minute, all server processes together.",
        }
        return TemplateResponse(request, "admin/targets.html", {**page, **context, **(extra_context or {})})

    def order_view(self, request: HttpRequest) -> HttpResponse:
        """Gives an order (`order`: drain, rest with `minutes`, undo, reopen) to `model` of the provider with id `provider`."""
        if not is_administrator(request.user):
            raise PermissionDenied
        back = request.POST.get("next", "")
        if not url_has_allowed_host_and_scheme(back, allowed_hosts=None):
            back = reverse("admin:routing_targetcontrol_changelist")
        number = request.POST.get("provider", "")
        provider = Provider.objects.filter(pk=number).first() if number.isascii() and number.isdigit() else None
        if request.method != "POST" or provider is None:
            return HttpResponseRedirect(back)
        model = request.POST.get("model", "")[:LONGEST_MODEL]
        try:
            with changing(actor_of(request)) as change:
                text = _ordered(change, request, provider, model)
            messages.success(request, f"{provider.name}: {model} {text} Every process knows it within a second.")
        except ValidationError as error:
            messages.error(request, sentences(error))
        return HttpResponseRedirect(back)


def _ordered(change: ChangeSet, request: HttpRequest, provider: Provider, model: str) -> str:
    """Gives the order; returns the rest of a sentence about it. Raises ValidationError."""
    match request.POST.get("order"):
        case "drain":
            drain(change, provider, model)
            return "gets no new requests until you undo it."
        case "rest":
            minutes = request.POST.get("minutes", "")
            count = int(minutes) if minutes.isascii() and minutes.isdigit() and len(minutes) < 9 else 0
            rest(change, provider, model, count, timezone.now())
            return f"rests for {count} minute{'s' if count != 1 else ''}."
        case "undo":
            undo(change, provider, model)
            return "takes requests again."
        case "reopen":
            reopen(change, provider, model, timezone.now())
            return "takes requests again; its breaker is closed."
    raise ValidationError("Choose what the target is to do: drain, rest, undo or reopen.")


def targets_context(request: HttpRequest, provider: str = "") -> dict[str, Any]:
    """What the live part of a page shows."""
    return {
        "targets": read_targets(timezone.now(), provider=provider),
        "narrowed_to": provider,
        "minutes": MINUTES,
        "may_change": is_administrator(request.user),
        "here": request.path if "live" not in request.GET else "",
    }
