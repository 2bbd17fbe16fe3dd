"""The form's field for a route's conditions: one on a line, with a sentence for each line that is wrong."""

from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from routing.condition_lines import BadLines, read_lines, written
from routing.conditions import problems_of


class ConditionsField(forms.CharField):
    """A list of conditions as lines such as `team=research stream=true -> sonnet-eu`."""

    def __init__(self, **kwargs: Any) -> None:
        attributes = {"rows": 5, "class": "lines", "spellcheck": "false", "aria-describedby": "conditions-legend"}
        kwargs.setdefault("widget", forms.Textarea(attrs=attributes))
        super().__init__(**kwargs)

    def prepare_value(self, value: Any) -> Any:
        return written(value) if isinstance(value, list) and not problems_of(value) else value

    def to_python(self, value: Any) -> Any:
        if isinstance(value, list):
            return value
        try:
            return read_lines(super().to_python(value) or "")
        except BadLines as error:
            raise ValidationError(list(error.sentences)) from None

    def has_changed(self, initial: Any, data: Any) -> bool:
        try:
            return bool(self.to_python(initial) != self.to_python(data))
        except ValidationError:
            return True
