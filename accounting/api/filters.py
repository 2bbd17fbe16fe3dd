"""Filters of lists. A filter that does not exist, is empty or cannot be read is refused, never passed over: an answer
to another question than was asked looks just like the right one."""

# django-filter has no types
# mypy: disable-error-code="no-untyped-call, misc, assignment, name-defined"

from typing import Any

import django_filters
from django import forms
from django.core.exceptions import ValidationError

from accounting.api.moments import MomentField
from accounting.models import LedgerEntry, Price, RequestRecord

LARGEST = 2**63 - 1
_PAGING = frozenset({"page", "page_size", "format"})


class FlagField(forms.Field):
    """true or false, and nothing else."""

    def to_python(self, value: Any) -> bool | None:
        if value in self.empty_values:
            return None
        if str(value).lower() not in {"true", "false", "1", "0"}:
            raise ValidationError("true or false.")
        return str(value).lower() in {"true", "1"}


class FlagFilter(django_filters.Filter):
    field_class = FlagField


class IntegerFilter(django_filters.Filter):
    """A number that a column can hold."""

    field_class = forms.IntegerField

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"min_value": -LARGEST, "max_value": LARGEST, **kwargs})


class MomentFilter(django_filters.Filter):
    field_class = MomentField


class StrictForm(forms.Form):
    """Refuses what no filter is named, what is empty and what is given twice."""

    def clean(self) -> dict[str, Any]:
        for name in self.data:
            if name not in self.fields and name not in _PAGING:
                known = ", ".join(sorted(self.fields))
                self.add_error(None, ValidationError(f"There is no filter {name!r}; the filters are {known}."))
            elif name in self.fields and self.data.get(name) == "":
                self.add_error(name, "This filter is empty; leave it out to see everything.")
            elif len(getattr(self.data, "getlist", lambda name: [""])(name)) > 1:
                self.add_error(name if name in self.fields else None, "Give this once.")
        return self.cleaned_data


class RecordFilter(django_filters.FilterSet):
    """Exact values; `model` is the upstream's model id, `alias` the name that the client asked for."""

    model = django_filters.CharFilter("upstream_model", help_text="The upstream's model id.")
    alias = django_filters.CharFilter("alias", help_text="The model name as the client asked for it.")
    stream = FlagFilter("stream", help_text="true or false.")
    estimated = FlagFilter("estimated", help_text="true or false.")
    status = IntegerFilter("status", help_text="The status that the client got.")
    outcome = django_filters.ChoiceFilter(choices=RequestRecord.Outcome.choices)
    since = MomentFilter("started_at", lookup_expr="gte", help_text="Started at this moment or later (ISO 8601).")
    until = MomentFilter("started_at", lookup_expr="lt", help_text="Started before this moment (ISO 8601).")

    class Meta:
        model = RequestRecord
        form = StrictForm
        fields = (
            "request_id",
            "team",
            "project",
            "key",
            "key_prefix",
            "user",
            "session_id",
            "agent_id",
            "client_format",
            "operation",
            "client_ip",
            "user_agent",
            "provider",
            "upstream_model",
            "reason",
            "resend_of",
        )


class PriceFilter(django_filters.FilterSet):
    """Exact values, as the rows have them."""

    shipped = FlagFilter("shipped", help_text="true or false.")

    class Meta:
        model = Price
        form = StrictForm
        fields = ("provider", "model")


class LedgerFilter(django_filters.FilterSet):
    """Exact values; `model` is the upstream's model id, `alias` the name that the client asked for."""

    kind = django_filters.ChoiceFilter(choices=LedgerEntry.Kind.choices)
    alias = django_filters.CharFilter("alias", help_text="The model name as the client asked for it.")
    estimated = FlagFilter("estimated", help_text="true or false.")
    session_id = django_filters.CharFilter(method="of_session", help_text="Lines of the requests of a session.")
    since = MomentFilter(
        "at", lookup_expr="gte", help_text="Of requests that started at this moment or later (ISO 8601)."
    )
    until = MomentFilter("at", lookup_expr="lt", help_text="Of requests that started before this moment (ISO 8601).")

    class Meta:
        model = LedgerEntry
        form = StrictForm
        fields = ("request_id", "team", "project", "key", "key_prefix", "user", "provider", "model")

    def of_session(self, queryset: Any, name: str, value: str) -> Any:
        """By way of the records, which have an index for it."""
        return queryset.filter(request_id__in=RequestRecord.objects.filter(session_id=value).values("request_id"))
