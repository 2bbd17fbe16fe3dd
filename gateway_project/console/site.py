"""The admin site itself: name, grouped sidebar, index page, one sign-in page for everybody."""

from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.contrib.auth.views import PasswordChangeView
from django.core.exceptions import PermissionDenied
from django.db.models.base import ModelBase
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone

from gateway_project.console.access import is_administrator, may_enter
from gateway_project.console.overview import read_overview
from gateway_project.console.passwords import OwnPasswordForm
from routing.conf import matches
from routing.models import ModelAlias

OURS = frozenset({"routing", "accounting"})
# Group → its pages that are no tables: name, address, whether only administrators may open them.
PAGES: dict[str, tuple[tuple[str, str, bool], ...]] = {
    "Routing": (("Explain a request", "admin:explain", False), ("Import and export", "admin:configuration", True)),
}
# Group → (app, model, name in the sidebar).
GROUPS: tuple[tuple[str, tuple[tuple[str, str, str], ...]], ...] = (
    (
        "Routing",
        (
            ("routing", "Provider", "Providers"),
            ("routing", "Route", "Routes"),
            ("routing", "ModelAlias", "Aliases"),
            ("routing", "Shadow", "Drafts"),
            ("routing", "TargetControl", "Targets"),
            ("routing", "CompatibilityRule", "Compatibility"),
            ("routing", "ConfigVersion", "Versions"),
            ("routing", "ConfigProposal", "Proposals"),
        ),
    ),
    (
        "People",
        (
            ("accounting", "Team", "Teams"),
            ("accounting", "Project", "Projects"),
            ("accounting", "User", "Users"),
            ("accounting", "Membership", "Memberships"),
        ),
    ),
    ("Money", (("accounting", "Price", "Prices"),)),
    ("Access", (("accounting", "VirtualKey", "Virtual keys"), ("accounting", "ApiToken", "API tokens"))),
    (
        "Limits",
        (
            ("accounting", "Budget", "Budgets"),
            ("accounting", "RateLimit", "Rate limits"),
            ("accounting", "BudgetRequest", "Requests for more"),
            ("accounting", "BudgetAlert", "Budget alerts"),
            ("accounting", "OrganizationSettings", "Organization"),
        ),
    ),
    (
        "History",
        (
            ("accounting", "RequestRecord", "Requests"),
            ("accounting", "LedgerEntry", "Ledger"),
            ("accounting", "AuditEvent", "Audit events"),
            ("accounting", "AlertEvent", "Alerts"),
        ),
    ),
)


def _pages_of(group: str, administrator: bool) -> list[dict[str, Any]]:
    return [
        {"name": name, "object_name": name, "admin_url": reverse(address)}
        for name, address, only_administrators in PAGES.get(group, ())
        if administrator or not only_administrators
    ]


class ConsoleSite(admin.AdminSite):
    site_header = "Gateway console"
    site_title = "Gateway console"
    index_title = "Overview"
    index_template = "admin/overview.html"
    empty_value_display = "—"
    site_url = None

    def register(self, model_or_iterable: Any, admin_class: Any = None, **options: Any) -> None:
        """Takes our own tables only; Django's groups would be a second place to give rights."""
        given = [model_or_iterable] if isinstance(model_or_iterable, ModelBase) else list(model_or_iterable)
        ours = [model for model in given if vars(model)["_meta"].app_label in OURS]
        if ours:
            super().register(ours, admin_class, **options)

    def has_permission(self, request: HttpRequest) -> bool:
        return may_enter(request.user)

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        return {
            **super().each_context(request),
            "overview_address": reverse("admin:index"),
            "search_address": reverse("admin:search"),
            "may_change": is_administrator(request.user),
        }

    def get_urls(self) -> list[Any]:
        # They register with this site, which is not made yet.
        from gateway_project.console.search_page import search_view
        from routing.admin.configuration import configuration_view, export_view
        from routing.admin.explain import explain_view

        pages = (
            ("search/", search_view, "search"),
            ("explain/", explain_view, "explain"),
            ("configuration/", configuration_view, "configuration"),
            ("configuration/export/", export_view, "configuration_export"),
        )
        own = [path(address, self.admin_view(view), name=name) for address, view, name in pages]
        return [*own, *super().get_urls()]

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> list[Any]:
        """The sidebar's groups, in the shape of Django's list of apps."""
        known = {
            (label, model["object_name"]): model
            for label, app in self._build_app_dict(request).items()
            for model in app["models"]
        }
        groups = []
        for name, members in GROUPS:
            models = [
                {**known[app, model], "name": title}
                for app, model, title in members
                if (app, model) in known and app_label in (None, app)
            ]
            if app_label in (None, name.lower()):
                models += _pages_of(name, is_administrator(request.user))
            if models:
                groups.append(
                    {"name": name, "app_label": name.lower(), "app_url": reverse("admin:index"), "models": models}
                )
        return groups

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        overview = read_overview(timezone.now())
        return super().index(request, {"overview": overview, **(extra_context or {})})

    def app_index(self, request: HttpRequest, app_label: str, extra_context: dict[str, Any] | None = None) -> Any:
        """The apps are our rooms, not the reader's; everything is on the overview."""
        return HttpResponseRedirect(reverse("admin:index"))

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        if self.has_permission(request):
            return HttpResponseRedirect(reverse("admin:index"))
        if request.user.is_authenticated:
            raise PermissionDenied("This account may not use the console.")
        wanted = request.GET.get("next", reverse("admin:index"))
        return HttpResponseRedirect(f"{reverse('accounts:login')}?{urlencode({'next': wanted})}")

    def password_change(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        return PasswordChangeView.as_view(
            form_class=OwnPasswordForm.of(request),
            success_url=reverse("admin:password_change_done"),
            extra_context={**self.each_context(request), **(extra_context or {})},
            template_name="registration/password_change_form.html",
        )(request)

    def example_model(self, patterns: list[str]) -> str:
        """A name that a client with these allowed models can ask for: an exact alias in use, for lines to paste."""
        names = ModelAlias.objects.filter(enabled=True, route__enabled=True).exclude(name__contains="*")
        known = list(names.order_by("name").values_list("name", flat=True)[:500])
        allowed = [name for name in known if any(matches(pattern, name) for pattern in patterns)]
        plain = [name for name in allowed if not any(char in name for char in ".@/:")]
        return (plain or allowed or ["claude-sonnet-4-5"])[0]
