"""What the console's forms of routing have in common: why, from when on, and whether a change waits instead of being made."""

from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone

from accounting.audit.changes import ChangeSet
from gateway_project.console.access import actor_of
from gateway_project.console.editing import ConsoleAdmin, change_set
from gateway_project.console.fields import MomentField
from routing.models import ConfigProposal
from routing.models.versions import LONGEST_REASON
from routing.versions.keeping import current_version
from routing.versions.proposals import Draft, Person, Wish, draft, propose

WHY = ("change_reason", "change_not_before")


class PutOff(Exception):
    """The change has to wait: raised where it was made, so that its transaction is taken back."""

    def __init__(self, draft: Draft, wish: Wish) -> None:
        super().__init__("the change waits")
        self.draft = draft
        self.wish = wish


class Reasoned(forms.Form):
    """Two fields beside those of the row."""

    change_reason = forms.CharField(
        label="Why?",
        required=False,
        max_length=LONGEST_REASON,
        help_text="Kept with the version that this makes.",
        widget=forms.TextInput(attrs={"class": "vTextField", "autocomplete": "off"}),
    )
    change_not_before = MomentField(
        label="Not before", required=False, help_text="UTC. The change is made by itself then; empty: now."
    )

    def clean_change_not_before(self) -> Any:
        when = self.cleaned_data["change_not_before"]
        if when is not None and when <= timezone.now():
            raise ValidationError("This time has passed; leave it empty to make the change now.")
        return when

    def _compared(self) -> list[str]:
        return [name for name in super()._compared() if name not in WHY]  # type: ignore[misc]


def wish_of(form: Any) -> Wish:
    return Wish(*(form.cleaned_data[name] for name in WHY))


def person_of(request: HttpRequest) -> Person:
    return Person(actor_of(request), request.user.pk)


def settle(change: ChangeSet, wish: Wish) -> None:
    """The last word inside the transaction of a console's change: it is kept with its reason, or raises PutOff."""
    change.reason = change.reason or wish.reason
    if wish.waits and (found := draft(change)):
        raise PutOff(found, Wish(change.reason, wish.not_before))


def put_aside(request: HttpRequest, waiting: PutOff) -> HttpResponse:
    """Stores what was put off, and leads to its page."""
    proposal = propose(waiting.draft, person_of(request), waiting.wish, timezone.now())
    what = "it waits for the approval of another administrator"
    if proposal.state == ConfigProposal.State.APPROVED and proposal.activate_at:
        what = f"it will be made on {proposal.activate_at:%-d %B %Y at %H:%M} UTC"
    messages.info(request, f"Nothing is changed yet: {what}.")
    return HttpResponseRedirect(reverse("admin:routing_configproposal_change", args=[proposal.pk]))


class RoutingAdmin(ConsoleAdmin):
    """The admin of a table that versions hold."""

    delete_confirmation_template = "admin/delete_with_reason.html"

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        reasoned = type(self.form.__name__, (Reasoned, self.form), {})
        return super().get_form(request, obj, change, **{"form": reasoned, **kwargs})

    def save_form(self, request: HttpRequest, form: Any, change: bool) -> Any:
        request.console_wish = wish_of(form)  # type: ignore[attr-defined]
        return super().save_form(request, form, change)

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if request.method == "POST" and self.has_change_permission(request):
            current_version()
        try:
            return super().changeform_view(request, *args, **kwargs)
        except PutOff as waiting:
            return put_aside(request, waiting)

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        form = Reasoned(request.POST or None, label_suffix="")
        if request.method == "POST" and self.has_delete_permission(request):
            current_version()
            if not form.is_valid():
                messages.error(request, " ".join(str(text) for texts in form.errors.values() for text in texts))
                return HttpResponseRedirect(request.get_full_path())
            request.console_wish = wish_of(form)  # type: ignore[attr-defined]
        try:
            return super().delete_view(request, object_id, {"why": form, **(extra_context or {})})
        except PutOff as waiting:
            return put_aside(request, waiting)

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> Any:
        may = self.has_change_permission(request) if kwargs.get("change") else self.has_add_permission(request)
        if may:
            context["why"] = [context["adminform"].form[name] for name in WHY]
        return super().render_change_form(request, context, *args, **kwargs)

    # Called when all is written, and before anybody is told so.
    def response_add(self, request: HttpRequest, obj: Any, post_url_continue: str | None = None) -> HttpResponse:
        self._settle(request)
        return super().response_add(request, obj, post_url_continue)

    def response_change(self, request: HttpRequest, obj: Any) -> HttpResponse:
        self._settle(request)
        return super().response_change(request, obj)

    def response_delete(self, request: HttpRequest, obj_display: str, obj_id: int) -> HttpResponse:
        self._settle(request)
        return super().response_delete(request, obj_display, obj_id)

    def _settle(self, request: HttpRequest) -> None:
        settle(change_set(request), request.console_wish)  # type: ignore[attr-defined]
