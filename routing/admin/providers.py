"""Providers in the console, with their credential and the test of the connection."""

from dataclasses import asdict
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Count, F, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from accounting.audit.changes import changing
from accounting.templatetags.console import pill
from gateway_project.console.access import actor_of
from gateway_project.console.editing import change_set
from routing.admin.credential_form import FIELD_NAMES, KIND_LABELS, ProviderForm
from routing.admin.targets import targets_context
from routing.admin.why import RoutingAdmin
from routing.models import Credential, CredentialRefresh, Provider
from routing.proxy.probe import probe
from routing.services import delete_provider, save_provider

RESULT = "probe_result"
LONGEST_MODEL = 300
CHECKS = "One small request when there is no traffic, or when a breaker waits for a probe. Each costs one token."


@admin.register(Provider)
class ProviderAdmin(RoutingAdmin):
    form = ProviderForm
    list_display = ("name", "format", "base_url", "credential_state", "target_count", "requests", "state")
    list_filter = ("format", "enabled")
    search_fields = ("name", "base_url")
    change_form_template = "admin/provider.html"
    empty_hint = "No provider yet. A provider is an upstream account: an address and the credential for it."

    def get_queryset(self, request: HttpRequest) -> QuerySet[Provider]:
        providers: QuerySet[Provider] = super().get_queryset(request)
        return providers.annotate(n_targets=Count("targets"), credential_kind=F("credential__kind"))

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        reads_only = obj is not None and not self.has_change_permission(request, obj)
        credential = ("credential_summary",) if reads_only else ("credential_kind", *FIELD_NAMES)
        waits = (("connect_timeout", "first_byte_timeout", "idle_timeout"), "max_connections", "on_client_disconnect")
        return [
            (None, {"fields": ("name", "format", "base_url", ("region", "project"), "enabled")}),
            ("Credential", {"fields": credential, "description": "Stored encrypted; secrets are never shown again."}),
            ("Waiting, in seconds, and limits", {"fields": (*waits, "allow_private_addresses")}),
            ("Health checks", {"fields": (("check_interval", "check_model"),), "description": CHECKS}),
        ]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return ("credential_summary",)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        kind, values = form.credential_to_save()
        expected = obj.version if change else None
        save_provider(
            change_set(request), obj, credential_kind=kind, credential_values=values, expected_version=expected
        )

    def response_post_save_add(self, request: HttpRequest, obj: Any) -> HttpResponseRedirect:
        """A new provider's page is what comes next: the connection is tested there."""
        return HttpResponseRedirect(self.change_address(obj.pk))

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        delete_provider(change_set(request), obj)

    def get_urls(self) -> list[URLPattern]:
        page = self.admin_site.admin_view(self.test_view)
        return [path("<int:pk>/test/", page, name="routing_provider_test"), *super().get_urls()]

    def test_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Sends one small request to the provider; the result is shown on its page."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        provider = self.get_object(request, str(pk))
        if not self.has_change_permission(request, provider):
            raise PermissionDenied
        if provider is None:
            return self.not_there(request)
        model = request.POST.get("model", "").strip()[:LONGEST_MODEL]
        if not model:
            messages.error(request, "Name the model to ask: one that this provider serves.")
            return HttpResponseRedirect(self.change_address(pk))
        result = probe(pk, model)
        with changing(actor_of(request)) as change:
            change.note("tested", provider, {"model": model, "status": result.status, "ok": result.ok})
        request.session[RESULT] = {"provider": pk, "model": model, **asdict(result)}
        return HttpResponseRedirect(self.change_address(pk))

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> Any:
        provider = kwargs.get("obj")
        if provider is not None:
            result = request.session.get(RESULT)
            if result and result["provider"] == provider.pk:
                del request.session[RESULT]
                context["result"] = result
            models = provider.targets.order_by("model").values_list("model", flat=True).distinct()[:50]
            context["test_models"] = list(models)
            context["refresh"] = CredentialRefresh.objects.filter(provider=provider).first()
            context.update(targets_context(request, provider.name))
            context["records_address"] = reverse("admin:accounting_requestrecord_changelist")
        return super().render_change_form(request, context, *args, **kwargs)

    @admin.display(description="credential")
    def credential_summary(self, provider: Provider) -> str:
        stored = Credential.objects.defer("values").filter(provider=provider).first()
        if stored is None:
            return "none yet"
        return f"{KIND_LABELS.get(stored.kind, stored.kind)}; changed on {stored.updated_at:%-d %B %Y}"

    @admin.display(description="credential", ordering="credential__kind")
    def credential_state(self, provider: Any) -> SafeString | str:
        if provider.credential_kind is None:
            return pill("missing", "bad")
        return str(provider.credential_kind).replace("_", " ")

    @admin.display(description="targets", ordering="n_targets")
    def target_count(self, provider: Any) -> int:
        return int(provider.n_targets)

    @admin.display(description="requests")
    def requests(self, provider: Provider) -> SafeString:
        address = reverse("admin:accounting_requestrecord_changelist")
        return format_html('<a href="{}?provider={}">Requests</a>', address, provider.name)

    @admin.display(description="state", ordering="enabled")
    def state(self, provider: Provider) -> SafeString:
        return pill("enabled", "good") if provider.enabled else pill("disabled")
