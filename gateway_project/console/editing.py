"""How the console changes rows: through the one door, in one transaction with its audit event, on the version shown."""

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.contrib.admin.widgets import RelatedFieldWidgetWrapper
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import ProtectedError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.text import capfirst

from accounting.audit.changes import ChangeSet, StaleVersion, changing
from gateway_project.console.access import AdministratorsWrite, actor_of
from gateway_project.console.fields import ChosenRow, LinesField, MomentField, TagsField
from gateway_project.console.forms import BOOKKEEPING, VersionedForm, VersionedFormSet

FIELDS: dict[str, type] = {
    "allowed_models": LinesField,
    "allowed_ips": LinesField,
    "tags": TagsField,
    "expires_at": MomentField,
    "deprecated_on": MomentField,
    "retires_on": MomentField,
    "raise_until": MomentField,
}


def sentences(error: Exception) -> str:
    """What an error says to the person who caused it."""
    if isinstance(error, ValidationError):
        return " ".join(error.messages)
    if isinstance(error, ProtectedError):
        names = ", ".join(sorted({str(row) for row in error.protected_objects})[:5])
        return f"Still used by {names}. Disable it instead, or remove what points to it first."
    return str(error)


class FriendlyFields:
    """Puts our form fields for lists, tags, times and rows that are found by typing."""

    def formfield_for_dbfield(self, db_field: "models.Field[Any, Any]", request: HttpRequest, **kwargs: Any) -> Any:
        friendly = FIELDS.get(db_field.name)
        if friendly is None:
            field = super().formfield_for_dbfield(db_field, request, **kwargs)  # type: ignore[misc]
            if isinstance(getattr(field, "widget", None), RelatedFieldWidgetWrapper):
                field.widget = field.widget.widget  # no windows on top of the form; every table has its own page
            return field
        label = str(db_field.verbose_name).capitalize()
        initial = db_field.get_default if db_field.has_default() else None
        return friendly(required=not db_field.blank, label=label, help_text=db_field.help_text, initial=initial)

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        admins: Any = self
        if db_field.name in admins.get_autocomplete_fields(request):
            kwargs.setdefault("widget", ChosenRow(db_field, admins.admin_site))
        return super().formfield_for_foreignkey(db_field, request, **kwargs)  # type: ignore[misc]


class ConsoleAdmin(FriendlyFields, AdministratorsWrite, admin.ModelAdmin):  # type: ignore[type-arg]
    """Every table's admin: permissions by role, changes through `changing`, no bulk deletion, no second history."""

    form = VersionedForm
    save_on_top = False
    view_on_site = False
    list_per_page = 50
    empty_hint = ""
    save_as = False
    show_facets = admin.ShowFacets.NEVER

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        try:
            with self._door(request) as change:
                request.console_change = change  # type: ignore[attr-defined]
                self._lock(request, object_id)
                return super().changeform_view(request, object_id, form_url, extra_context)
        except (StaleVersion, ValidationError, ProtectedError) as error:
            messages.error(request, sentences(error))
            return HttpResponseRedirect(request.get_full_path())

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        try:
            with self._door(request) as change:
                request.console_change = change  # type: ignore[attr-defined]
                return super().delete_view(request, object_id, extra_context)
        except (StaleVersion, ValidationError, ProtectedError) as error:
            messages.error(request, sentences(error))
            return HttpResponseRedirect(self.list_address())

    def _lock(self, request: HttpRequest, object_id: str | None) -> None:
        """Holds the row from before the form reads it until it is written: forms of one row come one after another."""
        if request.method != "POST" or object_id is None:
            return
        try:
            key = self.opts.pk.to_python(unquote(object_id)) if self.opts.pk else None
        except ValidationError:
            return
        self.model._base_manager.select_for_update().only("pk").filter(pk=key).first()

    def _door(self, request: HttpRequest) -> AbstractContextManager[ChangeSet | None]:
        return changing(actor_of(request)) if request.method == "POST" else nullcontext()

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        change_set(request).save(obj, expected_version=obj.version if change else None)

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        rows = formset.save(commit=False)
        for row in formset.deleted_objects:
            change_set(request).delete(row)
        for row in rows:
            change_set(request).save(row)

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        change_set(request).delete(obj)

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        actions = super().get_actions(request)
        actions.pop("delete_selected", None)  # one by one, through the door
        return actions

    def construct_change_message(self, request: HttpRequest, form: Any, formsets: Any, add: bool = False) -> Any:
        return []

    # The audit log is the history; Django's own log would be a second one.
    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        return None

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        return None

    def log_deletions(self, request: HttpRequest, queryset: Any) -> Any:
        return None

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        query = urlencode({"object_type": self.opts.model_name or "", "object_id": object_id})
        return HttpResponseRedirect(f"{reverse('admin:accounting_auditevent_changelist')}?{query}")

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        title = str(self.opts.verbose_name_plural)
        context = {"empty_hint": self.empty_hint, "title": f"{title[:1].upper()}{title[1:]}", **(extra_context or {})}
        return super().changelist_view(request, context)

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> Any:
        obj = kwargs.get("obj")
        context["title"], context["subtitle"] = self.title_of(obj) if obj else (f"New {self.opts.verbose_name}", None)
        context["show_save_and_add_another"] = False
        return super().render_change_form(request, context, *args, **kwargs)

    def title_of(self, obj: Any) -> tuple[str, str | None]:
        """The heading of a row's page, and the line below it."""
        return str(obj), capfirst(str(self.opts.verbose_name))

    def not_there(self, request: HttpRequest) -> HttpResponse:
        """For a row that is gone."""
        messages.warning(request, f"This {self.opts.verbose_name} does not exist any more.")
        return HttpResponseRedirect(self.list_address())

    def list_address(self) -> str:
        return reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_changelist")

    def change_address(self, pk: Any) -> str:
        return reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_change", args=[pk])


class ConsoleInline(FriendlyFields, AdministratorsWrite, admin.TabularInline):  # type: ignore[type-arg]
    """Rows of a table inside their parent's form."""

    form = VersionedForm
    formset = VersionedFormSet
    extra = 0
    row_fields: tuple[str, ...] = ()

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Iterable[str]:  # type: ignore[override]
        return [*self.row_fields, *(BOOKKEEPING if self.has_change_permission(request, obj) else ())]


def change_set(request: HttpRequest) -> ChangeSet:
    """The change set of the view that handles `request`."""
    change: ChangeSet = request.console_change  # type: ignore[attr-defined]
    return change
