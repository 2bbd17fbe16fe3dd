"""Form fields for lists and dictionaries that people type as lines."""

import json
from decimal import Decimal
from typing import Any

from django import forms
from django.contrib.admin.widgets import AutocompleteSelect
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _


class LinesField(forms.CharField):
    """A list of texts, one on each line. Empty lines and spaces around are dropped."""

    widget = forms.Textarea

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("widget", forms.Textarea(attrs={"rows": 4, "class": "lines", "spellcheck": "false"}))
        super().__init__(**kwargs)

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(value) if isinstance(value, list) else value

    def to_python(self, value: Any) -> Any:
        if isinstance(value, list):
            return value
        return [line.strip() for line in (super().to_python(value) or "").splitlines() if line.strip()]

    def has_changed(self, initial: Any, data: Any) -> bool:
        return bool(self.to_python(initial) != self.to_python(data))


class TagsField(forms.CharField):
    """A dictionary of texts, one `name: value` on each line."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("widget", forms.Textarea(attrs={"rows": 3, "class": "lines", "spellcheck": "false"}))
        super().__init__(**kwargs)

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(f"{name}: {text}" for name, text in value.items()) if isinstance(value, dict) else value

    def to_python(self, value: Any) -> Any:
        if isinstance(value, dict):
            return value
        tags: dict[str, str] = {}
        for line in (super().to_python(value) or "").splitlines():
            name, colon, text = (part.strip() for part in line.partition(":"))
            if not line.strip():
                continue
            if not colon or not name:
                raise ValidationError(
                    _("Write one tag on a line, as name: value. This line is not: %(line)s") % {"line": line.strip()}
                )
            if name in tags:
                raise ValidationError(_("The tag %(name)s is there twice.") % {"name": name})
            tags[name] = text
        return tags

    def has_changed(self, initial: Any, data: Any) -> bool:
        try:
            return bool(self.to_python(initial) != self.to_python(data))
        except ValidationError:
            return True


class ChosenRow(AutocompleteSelect):
    """The admin's field that finds a row by typing. Shown once more with what is no row's number, it is empty, and does not
    fail as Django's does."""

    @property
    def media(self) -> forms.Media:
        return super().media + forms.Media(js=["console/combobox.js"])

    def optgroups(self, name: str, value: Any, attr: Any = None) -> Any:
        rows = [each for each in value if str(each).isascii() and str(each).isdigit() and len(str(each)) < 19]
        return super().optgroups(name, rows or [""], attr)


class MomentField(forms.DateTimeField):
    """A point in time in UTC, with the browser's own picker."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs["widget"] = forms.DateTimeInput(
            attrs={"type": "datetime-local", "step": "1"}, format="%Y-%m-%dT%H:%M:%S"
        )
        super().__init__(**kwargs)


class ChoicesField(forms.TypedMultipleChoiceField):
    """A list of values, chosen with checkboxes. `values` keep their types (429 stays a number)."""

    widget = forms.CheckboxSelectMultiple

    def __init__(self, *, labels: dict[str | int, str], **kwargs: Any) -> None:
        self.known = set(labels)
        kwargs["choices"] = [(json.dumps(value), label) for value, label in labels.items()]
        kwargs["coerce"] = json.loads
        kwargs["empty_value"] = []
        super().__init__(**kwargs)

    def prepare_value(self, value: Any) -> Any:
        if isinstance(value, list | tuple):
            return [json.dumps(item) if item in self.known else item for item in value]
        return value

    def allow(self, labels: dict[str | int, str]) -> None:
        """Offers these values instead."""
        self.known = set(labels)
        self.choices = [(json.dumps(value), label) for value, label in labels.items()]

    def has_changed(self, initial: Any, data: Any) -> bool:
        return super().has_changed(self.prepare_value(initial), self.prepare_value(data))


class DollarsField(forms.DecimalField):
    """An amount without zeros that say nothing."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_digits=30, decimal_places=12, **kwargs)

    def prepare_value(self, value: Any) -> Any:
        return f"{value.normalize():f}" if isinstance(value, Decimal) and value.is_finite() else value


class PercentagesField(forms.CharField):
    """Whole percentages, with commas between: 50, 80."""

    def prepare_value(self, value: Any) -> Any:
        return ", ".join(str(each) for each in value) if isinstance(value, list) else value

    def to_python(self, value: Any) -> Any:
        if isinstance(value, list):
            return value
        parts = [part.strip(" %") for part in (super().to_python(value) or "").split(",") if part.strip()]
        if not all(part.isascii() and part.isdigit() and len(part) < 6 for part in parts):
            raise ValidationError(_("Write whole percentages with commas between, such as 50, 80."))
        return [int(part) for part in parts]

    def has_changed(self, initial: Any, data: Any) -> bool:
        try:
            return bool(self.to_python(initial) != self.to_python(data))
        except ValidationError:
            return True
