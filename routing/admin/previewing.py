"""A form's Preview button: everything is checked and tried, the effect is shown, and nothing is saved."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from routing.admin.why import RoutingAdmin
from routing.previews import Preview, compare, read_sample
from routing.snapshot import Snapshot, load_snapshot

BUTTON = "_preview"


class _Tried(Exception):
    """Ends the transaction of a save that was only tried; carries the configuration as it would be."""

    def __init__(self, after: Snapshot) -> None:
        super().__init__("tried only")
        self.after = after


class PreviewingAdmin(RoutingAdmin):
    """An admin whose form can be tried: the save is done in full, looked at, and rolled back."""

    change_form_template = "admin/previewing_form.html"

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        if request.method != "POST" or BUTTON not in request.POST:
            return super().changeform_view(request, object_id, form_url, extra_context)
        before = load_snapshot()
        try:
            return super().changeform_view(request, object_id, form_url, extra_context)
        except _Tried as tried:
            now = timezone.now()
            preview = compare(before, tried.after, read_sample(now), now)
        request.__dict__["_previewed"] = preview
        return super().changeform_view(request, object_id, form_url, extra_context)

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        form = super().get_form(request, obj, change=change, **kwargs)
        if previewed(request) is None:
            return form
        return type(form.__name__, (form,), {"is_valid": lambda self: False})  # shown again as typed, without an error

    def response_add(self, request: HttpRequest, obj: Any, post_url_continue: str | None = None) -> HttpResponse:
        _stop_if_tried(request)
        return super().response_add(request, obj, post_url_continue)

    def response_change(self, request: HttpRequest, obj: Any) -> HttpResponse:
        _stop_if_tried(request)
        return super().response_change(request, obj)

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> Any:
        context["preview"] = previewed(request)
        return super().render_change_form(request, context, *args, **kwargs)


def previewed(request: HttpRequest) -> Preview | None:
    """What this request's form would do, if that was asked for."""
    found: Preview | None = request.__dict__.get("_previewed")
    return found


def _stop_if_tried(request: HttpRequest) -> None:
    if BUTTON in request.POST:
        raise _Tried(load_snapshot())
