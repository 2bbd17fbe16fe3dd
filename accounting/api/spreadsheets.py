"""Lists as CSV: streamed row by row, and safe to open in a spreadsheet."""

import csv
import json
import re
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from asgiref.sync import sync_to_async
from django.http import StreamingHttpResponse
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounting.api.texts import plain

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")  # what a spreadsheet takes for the beginning of a formula
_AMOUNT = re.compile(r"-?\d+(\.\d+)?")  # also below zero: no formula
_ROWS = 200  # in one chunk
Cell = Any


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


def table(name: str, entries: Sequence[dict[str, Any]], columns: Sequence[str]) -> "Rows":
    """Entries as the API shows them, as CSV: what has parts stands in its column as JSON."""
    return spreadsheet(name, columns, ([_flat(entry[column]) for column in columns] for entry in entries))


def _flat(value: Any) -> Cell:
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else value


class _Line:
    """What csv writes into: keeps the last line."""

    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str) -> None:
        self.text = text


class Rows(StreamingHttpResponse):
    """Rows that are read as the client takes them. An asynchronous server reads them in the thread of the database."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        chunks = iter(self)
        following = sync_to_async(lambda: next(chunks, None))
        while (chunk := await following()) is not None:
            yield chunk


def spreadsheet(name: str, header: Sequence[str], rows: Iterable[Sequence[Cell]]) -> Rows:
    """A CSV download. Texts that a spreadsheet would take for a formula begin with an apostrophe; numbers stay numbers."""
    response = Rows(_chunks(header, rows), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{name}.csv"'
    response["Cache-Control"] = "private, no-store"
    return response


def _chunks(header: Sequence[str], rows: Iterable[Sequence[Cell]]) -> Iterator[str]:
    line = _Line()
    writer = csv.writer(line)
    writer.writerow(header)
    kept = [line.text]
    for row in rows:
        writer.writerow([_cell(value) for value in row])
        kept.append(line.text)
        if len(kept) >= _ROWS:
            yield "".join(kept)
            kept.clear()
    if kept:
        yield "".join(kept)


def _cell(value: Cell) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return f"'{value}" if value.startswith(_FORMULA) and not _AMOUNT.fullmatch(value) else value
    return plain(value)
