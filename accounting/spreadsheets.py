"""Rows as CSV: streamed, and safe to open in a spreadsheet."""

import csv
import re
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from typing import Any

from asgiref.sync import sync_to_async
from django.http import StreamingHttpResponse

from accounting.texts import plain

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")  # what a spreadsheet takes for the beginning of a formula
_AMOUNT = re.compile(r"-?\d+(\.\d+)?")  # also below zero: no formula
_ROWS = 200  # in one chunk
Cell = Any


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
