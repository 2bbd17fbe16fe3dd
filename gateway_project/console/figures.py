"""Figures of pages that only show: without the zeros that their columns could hold."""

from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

from django.contrib import admin
from django.db import models

from accounting.templatetags.console import rate


def with_plain_figures(model: type[models.Model], fieldsets: Iterable[Any]) -> list[Any]:
    """The field sets of an admin page; in places of decimals stand functions that write them, under the same labels."""
    fields = vars(model)["_meta"].fields
    titles = {field.name: str(field.verbose_name) for field in fields if isinstance(field, models.DecimalField)}

    def plain(entry: Any) -> Any:
        if isinstance(entry, (list, tuple)):
            return tuple(plain(each) for each in entry)
        return _figure(entry, titles[entry]) if entry in titles else entry

    return [(title, {**options, "fields": plain(options["fields"])}) for title, options in fieldsets]


@cache
def _figure(name: str, title: str) -> Callable[[Any], str]:
    @admin.display(description=title)
    def figure(row: Any) -> str:
        value = getattr(row, name)
        return "—" if value is None else rate(value)

    figure.__name__ = name  # Django finds the help by it
    return figure
