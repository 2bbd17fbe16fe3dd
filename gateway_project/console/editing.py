"""How the console changes rows: through the one door, in one transaction with its audit event, on the version shown."""

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import ProtectedError
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.urls import reverse
from django.utils.http import urlencode

from accounting.audit.changes import ChangeSet, StaleVersion, changing
from accounting.models import Versioned
from gateway_project.console.access import AdministratorsWrite, actor_of
from gateway_project.console.fields import LinesField, MomentField, TagsField
from gateway_project.console.forms import BOOKKEEPING, VersionedForm

FIELDS: dict[str, type] = {
    "allowed_models": LinesField,
    "allowed_ips": LinesField,
    "tags": TagsField,
    "expires_at": MomentField,
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
    """Puts our form fields for lists, tags and times."""

    def formfield_for_dbfield(self, db_field: models.Field[Any, Any], request: HttpRequest, **kwargs: Any) -> Any:
        friendly = FIELDS.get(db_field.name)
        if friendly is None:
            return super().formfield_for_dbfield(db_field, request, **kwargs)  # type: ignore[misc]
        label = str(db_field.verbose_name).capitalize()
        return friendly(
            required=not db_field.blank, label=label, help_text=db_field.help_text, initial=db_field.default
        )


class ConsoleAdmin(FriendlyFields, AdministratorsWrite, admin.ModelAdmin[Any]):
    """Every table's admin: permissions by role, changes through `changing`, no bulk deletion, no second history."""

    form = VersionedForm
    save_on_top = False
    view_on_site = False
    list_per_page = 50
    empty_hint = ""
    save_as = False

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponseBase:
        try:
            with self._door(request) as change:
                request.console_change = change  # type: ignore[attr-defined]
                return super().changeform_view(request, object_id, form_url, extra_context)
        except StaleVersion:
            # Someone saved between reading the row and writing it: now the form itself finds that it is stale.
            with self._door(request) as change:
                request.console_change = change  # type: ignore[attr-defined]
                return super().changeform_view(request, object_id, form_url, extra_context)
        except (ValidationError, ProtectedError) as error:
            messages.error(request, sentences(error))
            return HttpResponseRedirect(request.get_full_path())

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponseBase:
        try:
            with self._door(request) as change:
                request.console_change = change  # type: ignore[attr-defined]
                return super().delete_view(request, object_id, extra_context)
        except (StaleVersion, ProtectedError) as error:
            messages.error(request, sentences(error))
            return HttpResponseRedirect(self.list_address())

    def _door(self, request: HttpRequest) -> AbstractContextManager[ChangeSet | None]:
        return changing(actor_of(request)) if request.method == "POST" else nullcontext()

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        expected = form.expected_version() if change and isinstance(form, VersionedForm) else None
        change_set(request).save(obj, expected_version=expected)

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        rows = formset.save(commit=False)
        for row in formset.deleted_objects:
            change_set(request).delete(row)
        for row in rows:
            change_set(request).save(row, expected_version=_expected(formset, row))

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        change_set(request).delete(obj)

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        actions = super().get_actions(request)
        actions.pop("delete_selected", None)  # one by one, through the door
        return actions

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
        query = urlencode({"object_type": self.opts.model_name, "object_id": object_id})
        return HttpResponseRedirect(f"{reverse('admin:accounting_auditevent_changelist')}?{query}")

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        return super().changelist_view(request, {"empty_hint": self.empty_hint, **(extra_context or {})})

    def list_address(self) -> str:
        return reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_changelist")

    def change_address(self, pk: Any) -> str:
        return reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_change", args=[pk])


class ConsoleInline(FriendlyFields, AdministratorsWrite, admin.TabularInline[Any, Any]):
    """Rows of a table inside their parent's form."""

    form = VersionedForm
    extra = 0
    row_fields: tuple[str, ...] = ()

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Iterable[str]:  # type: ignore[override]
        return [*self.row_fields, *(BOOKKEEPING if self.has_change_permission(request, obj) else ())]


def change_set(request: HttpRequest) -> ChangeSet:
    """The change set of the view that handles `request`."""
    change: ChangeSet = request.console_change  # type: ignore[attr-defined]
    return change


def _expected(formset: Any, row: models.Model) -> int | None:
    if row._state.adding or not isinstance(row, Versioned):
        return None
    for form in formset.initial_forms:
        if form.instance is row and isinstance(form, VersionedForm):
            return form.expected_version()
    return None
