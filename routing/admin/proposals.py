"""Proposals in the console: changes that wait for a second administrator or for their time."""

from typing import Any

from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from accounting.templatetags.console import moment, pill
from gateway_project.console.access import is_administrator
from gateway_project.console.editing import sentences
from routing.admin.versions import KeptAdmin
from routing.admin.why import person_of
from routing.models import ConfigProposal
from routing.models.versions import LONGEST_REASON
from routing.versions.difference import read
from routing.versions.proposals import approve, problems_of, reject, withdraw
from routing.versions.wording import summary

State = ConfigProposal.State
TONES: dict[str, str] = {"open": "warn", "approved": "info", "applied": "good", "failed": "bad"}


@admin.register(ConfigProposal)
class ConfigProposalAdmin(KeptAdmin):
    list_display = ("title", "state_word", "author", "time", "not_before", "reason")
    list_display_links = ("title",)
    list_filter = ("state",)
    change_form_template = "admin/config_proposal.html"
    empty_hint = (
        "No proposal. A change with a time in “Not before” waits here, and with GATEWAY_CONFIG_APPROVAL every change of "
        "routing does, until another administrator has approved it."
    )

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).select_related("base", "picture").defer("picture__data")

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> Any:
        proposal = kwargs.get("obj")
        if proposal is not None:
            waiting = proposal.state in (State.OPEN, State.APPROVED)
            own = request.user.pk == proposal.author_id
            context.update(
                proposal=proposal,
                tone=TONES.get(proposal.state, "calm"),
                changes=read(proposal.changes),
                problems=problems_of(proposal) if waiting else [],
                own=own,
                may_decide=waiting and is_administrator(request.user),
                may_approve=proposal.state == State.OPEN and not (own and settings.GATEWAY_CONFIG_APPROVAL),
                may_withdraw=own or proposal.state == State.APPROVED,
                longest_reason=LONGEST_REASON,
            )
        return super().render_change_form(request, context, *args, **kwargs)

    def get_urls(self) -> list[URLPattern]:
        page = self.admin_site.admin_view(self.decide_view)
        return [path("<int:pk>/decide/", page, name="routing_configproposal_decide"), *super().get_urls()]

    def decide_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Approves, rejects or withdraws a proposal (`decision`, `remark`)."""
        if not is_administrator(request.user):
            raise PermissionDenied
        if request.method == "POST":
            try:
                self._decide(request, pk)
            except ValidationError as error:
                messages.error(request, sentences(error))
        there = ConfigProposal.objects.filter(pk=pk).exists()
        return HttpResponseRedirect(self.change_address(pk) if there else self.list_address())

    def _decide(self, request: HttpRequest, pk: int) -> None:
        by, now, decision = person_of(request), timezone.now(), request.POST.get("decision", "")
        if decision == "approve":
            proposal = approve(by, pk, now)
            if proposal.state == State.FAILED:
                messages.error(request, f"Approved, but it could not be applied: {proposal.problem}")
            elif proposal.state == State.APPLIED:
                messages.success(request, "Approved and applied; every process serves it now.")
            else:
                messages.success(request, "Approved; it is applied when its time comes.")
        elif decision == "reject":
            reject(by, pk, request.POST.get("remark", "").strip(), now)
            messages.success(request, "Rejected; nothing was changed.")
        elif decision == "withdraw":
            withdraw(by, pk, now)
            messages.success(request, "Withdrawn; nothing was changed.")
        else:
            raise ValidationError("Choose what becomes of the proposal.")

    @admin.display(description="change")
    def title(self, proposal: ConfigProposal) -> SafeString:
        return format_html("{}", summary(read(proposal.changes), proposal.more_changes))

    @admin.display(description="state", ordering="state")
    def state_word(self, proposal: ConfigProposal) -> SafeString:
        return pill(proposal.get_state_display().lower(), TONES.get(proposal.state, "calm"))

    @admin.display(description="made", ordering="-id")
    def time(self, proposal: ConfigProposal) -> SafeString | str:
        return moment(proposal.created_at)

    @admin.display(description="not before")
    def not_before(self, proposal: ConfigProposal) -> SafeString | str:
        return moment(proposal.activate_at)
