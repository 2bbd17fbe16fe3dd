"""Forms that know which version of a row they show, so that two people cannot wipe each other's changes."""

import json
from functools import cached_property
from typing import Any

from django import forms
from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.core.serializers.json import DjangoJSONEncoder
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from accounting.models import AuditEvent
from accounting.words import word

BOOKKEEPING = ("version_seen", "shown")
NOT_SHOWN = frozenset({*BOOKKEEPING, "id", "DELETE"})


class VersionedForm(forms.ModelForm):  # type: ignore[type-arg]
    """A form of a `Versioned` row.

    It carries the version it was opened on, and the values it showed then. Saved on an older version, it is shown
    again: fields that the person did not touch with what stands there now, the others as typed, and a sentence that
    names what somebody else changed. `write_only` fields (secrets) never travel back to the page.
    """

    version_seen = forms.CharField(required=False, widget=forms.HiddenInput)
    shown = forms.CharField(required=False, widget=forms.HiddenInput)
    write_only: frozenset[str] = frozenset()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("label_suffix", "")
        super().__init__(*args, **kwargs)
        if self.instance.pk:
            self.initial["version_seen"] = self.current_version()
            self.initial["shown"] = json.dumps(self._current(), cls=DjangoJSONEncoder)

    @cached_property
    def changed_data(self) -> list[str]:
        """What the person changed: against what the page showed them, not against what stands there by now."""
        before = self._shown_values()
        return [name for name in self._compared() if self._differs(name, before.get(name, self._prepared(name)))]

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        touched = self.changed_data or cleaned.get("DELETE")
        if self.instance.pk and touched and cleaned.get("version_seen") != self.current_version():
            sentence = self._what_changed()
            self._show_what_stands_there_now()
            raise ValidationError(sentence, code="stale")
        return cleaned

    def _compared(self) -> list[str]:
        return [name for name in self.fields if name not in NOT_SHOWN]

    def _prepared(self, name: str) -> Any:
        field = self.fields[name]
        return field.prepare_value(self.get_initial_for_field(field, name))

    def _current(self) -> dict[str, Any]:
        return {name: self._prepared(name) for name in self._compared() if name not in self.write_only}

    def _shown_values(self) -> dict[str, Any]:
        raw = self.data.get(self.add_prefix("shown")) if self.is_bound else None
        try:
            values = json.loads(raw or "{}")
        except ValueError:
            return {}
        return values if isinstance(values, dict) else {}

    def _differs(self, name: str, before: Any) -> bool:
        field = self.fields[name]
        try:
            return bool(field.has_changed(field.to_python(before), self[name].data))
        except ValidationError:
            return True

    def _what_changed(self) -> str:
        """The sentence for a stale form: who changed which fields, as labels."""
        before, labels = self._shown_values(), []
        for name, value in self._current().items():
            if name in before and before[name] != json.loads(json.dumps(value, cls=DjangoJSONEncoder)):
                labels.append(_in_a_sentence(str(self[name].label)))
        event = self._last_event()
        who = event.actor if event else _("Someone else")
        if not labels and event:
            labels = [word(str(name)) for name in event.changes]
        if labels:
            text = _(
                "%(who)s changed %(fields)s while you were editing. Nothing of yours was saved yet: the fields you did "
                "not touch now show what stands there; look through them, then save again."
            )
            return text % {"who": who, "fields": ", ".join(labels)}
        text = _(
            "%(who)s saved a change while you were editing. Nothing of yours was saved yet: the fields you did "
            "not touch now show what stands there; look through them, then save again."
        )
        return text % {"who": who}

    def _last_event(self) -> AuditEvent | None:
        kind, key = self.instance._meta.model_name, str(self.instance.pk)
        return AuditEvent.objects.filter(object_type=kind, object_id=key).order_by("-id").first()

    def _show_what_stands_there_now(self) -> None:
        kept = set(self.changed_data)
        for name, field in self.fields.items():
            if name not in kept and name not in {"id", "DELETE"}:
                field.bound_data = lambda data, initial: initial  # type: ignore[method-assign]

    def current_version(self) -> str:
        """What the hidden field holds: the version of everything that the form edits."""
        return str(self.instance.version)


def _in_a_sentence(label: str) -> str:
    """English writes a label small there; other languages may not (`Name` is a noun in German)."""
    return label.lower() if (get_language() or "en").startswith("en") else label


class VersionedFormSet(forms.BaseInlineFormSet):  # type: ignore[type-arg]
    """Rows inside a form. Removing a row that somebody else has changed is refused like changing it."""

    def add_fields(self, form: Any, index: int | None) -> None:
        """The columns' headings are the labels for eyes; every field has its own for ears."""
        super().add_fields(form, index)
        row = f", row {index + 1}" if index is not None else ""
        for name, field in form.fields.items():
            label = "Remove" if name == "DELETE" else field.label or name.replace("_", " ")
            if not field.widget.is_hidden:
                field.widget.attrs["aria-label"] = f"{str(label)[:1].upper()}{str(label)[1:]}{row}"

    def clean(self) -> None:
        super().clean()
        for form in self.initial_forms:
            if form.cleaned_data.get("DELETE") and form.has_error(NON_FIELD_ERRORS, "stale"):
                raise ValidationError(list(form.non_field_errors()))
