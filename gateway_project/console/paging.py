"""Lists of history: counted to a bound, filtered without scanning."""

from collections.abc import Callable
from functools import cached_property
from typing import Any

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest

MOST_COUNTED = 10_000
LATEST = 2_000


class BoundedPaginator(Paginator):  # type: ignore[type-arg]
    """Counts no further than `MOST_COUNTED` rows; older ones are reached by narrowing the time."""

    @cached_property
    def count(self) -> int:
        rows: Any = self.object_list
        return int(rows.order_by()[:MOST_COUNTED].count())


class SeenFilter(admin.SimpleListFilter):
    """Choices are the values that the latest rows have, read from a bounded number of them."""

    column = ""

    @staticmethod
    def worded(value: str) -> str:
        """A value as people read it."""
        return value

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        seen = latest_values(request, model_admin)[self.column]
        chosen = request.GET.get(self.parameter_name or "")
        return [(value, self.worded(value)) for value in sorted(seen | ({chosen} if chosen else set()))]

    def has_output(self) -> bool:
        return len(self.lookup_choices) > 0

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value()
        return queryset.filter(**{self.column: value}) if value else queryset


def seen(column_name: str, label: str, worded: Callable[[str], str] = str) -> type[SeenFilter]:
    """A filter by `column_name` over the values of the latest rows, which `worded` writes for people."""
    attributes = {
        "title": label,
        "parameter_name": column_name,
        "column": column_name,
        "worded": staticmethod(worded),
    }
    return type(f"Seen{column_name.title()}", (SeenFilter,), attributes)


def latest_values(request: HttpRequest, model_admin: Any) -> dict[str, set[str]]:
    """The values of the latest rows in the columns of `model_admin.seen_columns`; one query for each page."""
    kept: dict[str, set[str]] = request.__dict__.setdefault("_latest_values", {})
    if not kept:
        columns = model_admin.seen_columns
        rows = model_admin.model.objects.order_by(*model_admin.model._meta.ordering).values_list(*columns)[:LATEST]
        kept.update({column: set() for column in columns})
        for row in rows:
            for column, value in zip(columns, row, strict=True):
                if value:
                    kept[column].add(value)
    return kept


class HistoryList(ChangeList):
    """A change list that says when it stopped counting."""

    @property
    def counted_to_the_bound(self) -> bool:
        return bool(self.result_count >= MOST_COUNTED)
