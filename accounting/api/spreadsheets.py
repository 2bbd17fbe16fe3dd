"""Lists of the API as CSV."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounting.spreadsheets import Cell, Rows, spreadsheet


class CsvRenderer(BaseRenderer):
    """Makes `?format=csv` and `Accept: text/csv` known; the views answer with `spreadsheet`."""

    media_type = "text/csv"
    format = "csv"

    def render(self, data: Any, accepted_media_type: str | None = None, renderer_context: Any = None) -> Any:
        raise NotImplementedError("views stream their rows")


if TYPE_CHECKING:
    _View = APIView
else:
    _View = object


class AlsoAsCsv(_View):
    """A view that also answers with `spreadsheet`. What else it has to say, errors above all, is JSON; nobody stores it."""

    renderer_classes: Any = (JSONRenderer, CsvRenderer)

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(response, Response):  # rows in CSV are streamed; what else there is to say is JSON
            request.accepted_renderer = JSONRenderer()
            request.accepted_media_type = "application/json"
        final = super().finalize_response(request, response, *args, **kwargs)
        final["Cache-Control"] = "private, no-store"
        return final


def wants_csv(request: Request) -> bool:
    """Whether rows are wanted as CSV."""
    return bool(getattr(request, "accepted_renderer").format == "csv")  # noqa: B009  an attribute of this framework's making


def table(name: str, entries: Sequence[dict[str, Any]], columns: Sequence[str]) -> Rows:
    """Entries as the API shows them, as CSV: what has parts stands in its column as JSON."""
    return spreadsheet(name, columns, ([_flat(entry[column]) for column in columns] for entry in entries))


def _flat(value: Any) -> Cell:
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else value
