"""Virtual keys and API tokens: made with their secret shown once, disabled, rotated, revoked; never deleted."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.safestring import SafeString

from accounting.admin.secrets import key_snippets, token_snippets
from accounting.audit.changes import changing
from accounting.models import ApiToken, Membership, VirtualKey
from accounting.services import create_api_token, create_key, revoke_api_token, rotate_api_token, rotate_key
from accounting.templatetags.console import day, key_state
from gateway_project.console.access import actor_of
from gateway_project.console.editing import ConsoleAdmin, change_set
from gateway_project.console.forms import VersionedForm
from gateway_project.console.shown_once import gateway_address, keep_once, take_once
from gateway_project.crypto import Secret

MOST_AT_ONCE = 200


class StateFilter(admin.SimpleListFilter):
    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        states = ["usable", "disabled", "expired", "revoked"]
        return [(state, state) for state in states if state != "disabled" or model_admin.model is VirtualKey]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        now, value = timezone.now(), self.value()
        if value == "revoked":
            return queryset.exclude(revoked_at=None)
        if value == "expired":
            return queryset.filter(expires_at__lte=now)
        if value == "disabled":
            return queryset.filter(enabled=False, revoked_at=None)
        if value == "usable":
            on = {"enabled": True} if queryset.model is VirtualKey else {}
            return queryset.filter(revoked_at=None, **on).filter(Q(expires_at=None) | Q(expires_at__gt=now))
        return queryset


class SecretHolderAdmin(ConsoleAdmin):
    """What keys and tokens share: the page that shows a secret once, and revocation with a question first."""

    change_form_template = "admin/secret_holder_form.html"
    actions: tuple[str, ...] = ("revoke_selected",)

    def get_urls(self) -> list[URLPattern]:
        name = f"{self.opts.app_label}_{self.opts.model_name}"
        wrap = self.admin_site.admin_view
        return [
            path("revoke/", wrap(self.revoke_view), name=f"{name}_revoke"),
            path("<int:pk>/secret/", wrap(self.secret_view), name=f"{name}_secret"),
            path("<int:pk>/rotate/", wrap(self.rotate_view), name=f"{name}_rotate"),
            *super().get_urls(),
        ]

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        if obj is not None and obj.revoked_at:
            return False
        return super().has_change_permission(request, obj)

    def response_add(self, request: HttpRequest, obj: Any, post_url_continue: str | None = None) -> HttpResponse:
        return HttpResponseRedirect(self._address("secret", obj.pk))

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> Any:
        if kwargs.get("add"):
            context["show_save_and_continue"] = False
        return super().render_change_form(request, context, *args, **kwargs)

    def _address(self, what: str, *args: Any) -> str:
        return reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_{what}", args=args)

    def _page(self, request: HttpRequest, template: str, **context: Any) -> TemplateResponse:
        context = {**self.admin_site.each_context(request), "opts": self.opts, **context}
        return TemplateResponse(request, template, context)

    def _administrators_only(self, request: HttpRequest) -> None:
        if not self.has_add_permission(request):
            raise PermissionDenied

    def secret_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """The secret that was just made, shown once."""
        self._administrators_only(request)
        row = self.get_object(request, str(pk))
        if row is None:
            return HttpResponseRedirect(self.list_address())
        secret = take_once(request, self.opts.model_name or "", pk)
        snippets = self.snippets(request, row, secret) if secret else []
        text = secret.reveal() if secret else ""
        title = f"{row.name} is ready" if secret else "This secret was shown already"
        response = self._page(
            request, "admin/secret_shown.html", original=row, secret=text, snippets=snippets, title=title
        )
        response["Cache-Control"] = "no-store"
        return response

    def snippets(self, request: HttpRequest, row: Any, secret: Any) -> Any:
        raise NotImplementedError

    def rotate_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Asks, then gives a new secret; the old one stops."""
        self._administrators_only(request)
        row = self.get_object(request, str(pk))
        if row is None or row.revoked_at:
            messages.error(request, "Only what is not revoked can get a new secret.")
            return HttpResponseRedirect(self.list_address())
        if request.method != "POST":
            return self._page(request, "admin/rotate_confirm.html", original=row, title=f"New secret for {row.name}?")
        with changing(actor_of(request)) as change:
            keep_once(request, self.opts.model_name or "", pk, self.rotate(change, row))
        return HttpResponseRedirect(self._address("secret", pk))

    @admin.action(description="Revoke for good …")
    def revoke_selected(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse:
        ids = ",".join(str(pk) for pk in queryset.values_list("pk", flat=True)[:MOST_AT_ONCE])
        return HttpResponseRedirect(f"{self._address('revoke')}?ids={ids}")

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        return super().get_actions(request) if self.has_add_permission(request) else {}

    def revoke_view(self, request: HttpRequest) -> HttpResponse:
        """Asks, then ends what is chosen (`?ids=1,2`) for good."""
        self._administrators_only(request)
        asked = (request.POST if request.method == "POST" else request.GET).get("ids", "")
        ids = [int(part) for part in asked.split(",")[:MOST_AT_ONCE] if part.isascii() and part.isdigit()]
        rows = list(self.get_queryset(request).filter(pk__in=ids, revoked_at=None))
        if not rows:
            messages.info(request, "Nothing to revoke: none of these is in use.")
            return HttpResponseRedirect(self.list_address())
        if request.method != "POST":
            return self._page(request, "admin/revoke_confirm.html", rows=rows, ids=asked, title="Revoke for good?")
        with changing(actor_of(request)) as change:
            for row in rows:
                self.revoke(change, row)
        messages.success(request, f"Revoked: {', '.join(row.name for row in rows)}. It takes effect within a second.")
        return HttpResponseRedirect(self.list_address())

    def rotate(self, change: Any, row: Any) -> Secret:
        raise NotImplementedError

    def revoke(self, change: Any, row: Any) -> None:
        raise NotImplementedError

    @admin.display(description="prefix", ordering="prefix")
    def shown_prefix(self, row: Any) -> str:
        return f"{row.prefix}…" if row.prefix else "—"

    @admin.display(description="expires", ordering="expires_at")
    def expires(self, row: Any) -> SafeString | str:
        return day(row.expires_at)

    @admin.display(description="state")
    def state(self, row: Any) -> SafeString:
        return key_state(row)


class VirtualKeyForm(VersionedForm):
    class Meta:
        model = VirtualKey
        fields = "__all__"
        widgets = {"kind": forms.RadioSelect}


@admin.register(VirtualKey)
class VirtualKeyAdmin(SecretHolderAdmin):
    form = VirtualKeyForm
    list_display = ("name", "project", "shown_prefix", "whose", "expires", "state")
    list_filter = (StateFilter, "kind", "project__team")
    list_select_related = ("project__team", "owner")
    search_fields = ("name", "prefix", "project__name", "project__team__name", "owner__email")
    autocomplete_fields = ("project", "owner")
    readonly_fields = ("shown_prefix", "state")
    actions = ("disable_selected", "enable_selected", "revoke_selected")
    empty_hint = "No key yet. A key is what a client presents; it belongs to a project of a team."

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        what = ("project", "name", *(("shown_prefix", "state", "enabled") if obj else ()))
        return [
            (None, {"fields": what}),
            ("Whose it is", {"fields": ("kind", "owner")}),
            ("What it may do", {"fields": ("allowed_models", "allowed_ips", "expires_at")}),
            ("Tags", {"fields": ("tags",), "description": "One on each line, as name: value. Records carry them."}),
        ]

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        if change:
            super().save_model(request, obj, form, change)
            return
        values = {name: getattr(obj, name) for name in ("kind", "owner", "expires_at", "allowed_models")}
        key, secret = create_key(
            change_set(request), obj.project, obj.name, allowed_ips=obj.allowed_ips, tags=obj.tags, **values
        )
        obj.__dict__.update(key.__dict__)
        keep_once(request, "virtualkey", key.pk, secret)

    def snippets(self, request: HttpRequest, row: VirtualKey, secret: Any) -> Any:
        site: Any = self.admin_site
        return key_snippets(gateway_address(request), site.example_model(row.allowed_models), secret)

    def rotate(self, change: Any, row: VirtualKey) -> Secret:
        return rotate_key(change, row)

    def revoke(self, change: Any, row: VirtualKey) -> None:
        row.revoked_at = timezone.now()
        change.save(row, action="revoked")

    @admin.display(description="whose", ordering="owner__email")
    def whose(self, key: VirtualKey) -> str:
        return str(key.owner) if key.owner else key.get_kind_display()

    @admin.action(description="Disable")
    def disable_selected(self, request: HttpRequest, queryset: QuerySet[VirtualKey]) -> None:
        self._switch(request, queryset, enabled=False)

    @admin.action(description="Enable")
    def enable_selected(self, request: HttpRequest, queryset: QuerySet[VirtualKey]) -> None:
        self._switch(request, queryset, enabled=True)

    def _switch(self, request: HttpRequest, queryset: QuerySet[VirtualKey], *, enabled: bool) -> None:
        word, names = "enabled" if enabled else "disabled", []
        with changing(actor_of(request)) as change:
            for key in queryset.filter(revoked_at=None).order_by("pk")[:MOST_AT_ONCE]:
                key.enabled = enabled
                if change.save(key, action=word):
                    names.append(key.name)
        messages.success(request, f"{word.capitalize()}: {', '.join(names)}." if names else f"All were {word} already.")


class ApiTokenForm(VersionedForm):
    team_role = forms.ChoiceField(
        required=False,
        choices=[("", "—"), *Membership.Role.choices],
        help_text="Of a team's token: what it may see of the team.",
    )

    class Meta:
        model = ApiToken
        fields = "__all__"
        widgets = {"role": forms.RadioSelect}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "role" in self.fields:
            self.fields["role"].choices = ApiToken.Role.choices  # type: ignore[attr-defined]


@admin.register(ApiToken)
class ApiTokenAdmin(SecretHolderAdmin):
    form = ApiTokenForm
    list_display = ("name", "shown_prefix", "role", "team", "expires", "state")
    list_filter = (StateFilter, "role", "team")
    list_select_related = ("team",)
    search_fields = ("name", "prefix")
    autocomplete_fields = ("team",)
    readonly_fields = ("shown_prefix", "state")
    empty_hint = "No API token yet. A token lets a program read and change what this console shows, at /api/v1/."

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        what = ("name", *(("shown_prefix", "state") if obj else ()))
        return [
            (None, {"fields": what}),
            ("What it may do", {"fields": ("role", "team", "team_role", "expires_at")}),
        ]

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        if change:
            super().save_model(request, obj, form, change)
            return
        token, secret = create_api_token(
            change_set(request),
            obj.name,
            role=obj.role,
            team=obj.team,
            team_role=obj.team_role,
            expires_at=obj.expires_at,
        )
        obj.__dict__.update(token.__dict__)
        keep_once(request, "apitoken", token.pk, secret)

    def snippets(self, request: HttpRequest, row: ApiToken, secret: Any) -> Any:
        return token_snippets(gateway_address(request), secret)

    def rotate(self, change: Any, row: ApiToken) -> Secret:
        return rotate_api_token(change, row)

    def revoke(self, change: Any, row: ApiToken) -> None:
        revoke_api_token(change, row)
