"""Moments that callers give. Those at the calendar's edge are refused: in another time zone they would be beyond it."""

# django-filter has no types
# mypy: disable-error-code="no-untyped-call, misc, name-defined"

import re
from datetime import datetime
from typing import Any

import django_filters
from django.core.exceptions import ValidationError
from rest_framework import serializers

FIRST_YEAR, LAST_YEAR = 1900, 9000
BEYOND = f"A moment of the years {FIRST_YEAR} to {LAST_YEAR}."


def _beyond(moment: datetime) -> bool:
    return not FIRST_YEAR <= moment.year <= LAST_YEAR


class MomentField(django_filters.fields.IsoDateTimeField):
    """Of an address: ISO 8601; without a zone it is UTC. A `+` that arrived as a space is understood."""

    def to_python(self, value: Any) -> Any:
        text = re.sub(r" (\d\d:?\d\d)$", r"+\1", value) if isinstance(value, str) else value
        try:
            found = super().to_python(text)
        except OverflowError:
            raise ValidationError(BEYOND) from None
        if isinstance(found, datetime) and _beyond(found):
            raise ValidationError(BEYOND)
        return found


class MomentInBody(serializers.DateTimeField):
    """Of a body: ISO 8601; without a zone it is UTC."""

    def to_internal_value(self, value: Any) -> datetime:
        found = super().to_internal_value(value)
        if _beyond(found):
            raise serializers.ValidationError(BEYOND)
        return found
