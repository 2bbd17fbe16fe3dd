"""Reads usage beside the lines of a batch's results, and never touches them. No I/O."""

from collections.abc import Callable
from typing import Any

import msgspec

from accounting.money.usage import Usage

MOST_LINE = 64 * 1024 * 1024  # bytes of one line; beyond it the line is passed on unread
MOST_MODELS = 100  # that one batch can have used; more of them is a fault of the upstream


class _Message(msgspec.Struct):
    model: str = ""
    usage: Any = None


class _Result(msgspec.Struct):
    type: str = ""
    message: _Message | None = None


class _Line(msgspec.Struct):
    result: _Result | None = None


_line = msgspec.json.Decoder(_Line)
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class ResultsMeter:
    """Takes the chunks of a results file as they pass, cut anywhere. `usages` has the sum of each model's calls.

    Every call counts by the model that its own message names. `finish` takes the last line, whether or not it is ended.
    `on_call` is told every call by itself: prices can depend on how long its prompt was.
    """

    __slots__ = ("_held", "_on_call", "_size", "doubtful", "lines", "usages")

    def __init__(self, on_call: Callable[[str, Usage], None] | None = None) -> None:
        self._on_call = on_call
        self.usages: dict[str, Usage] = {}
        self.lines = 0
        self.doubtful = False  # something could not be read
        self._held: list[bytes] = []
        self._size = 0

    def feed(self, chunk: bytes) -> None:
        """Takes the next bytes. Never raises, whatever they are."""
        *whole, rest = chunk.split(b"\n")
        for line in whole:
            self._hold(line)
            self._end_line()
        self._hold(rest)

    def finish(self) -> None:
        self._end_line()

    def _hold(self, part: bytes) -> None:
        self._size += len(part)
        if self._size > MOST_LINE:
            self._held.clear()
        elif part:
            self._held.append(part)

    def _end_line(self) -> None:
        line, size = b"".join(self._held), self._size
        self._held.clear()
        self._size = 0
        if size > MOST_LINE:
            self.doubtful = True
        elif line and not line.isspace():
            self._take(line)

    def _take(self, line: bytes) -> None:
        self.lines += 1
        try:
            result = _line.decode(line).result
        except _UNREADABLE:
            self.doubtful = True
            return
        if result is None or result.message is None:
            return  # errored, canceled, expired: nothing was used
        usage = Usage()
        usage.named(result.message.model)
        usage.update(result.message.usage)
        if not (usage.input_known and usage.output_known):
            usage.doubt("usage")
        self._add(result.message.model, usage)

    def _add(self, model: str, usage: Usage) -> None:
        if model not in self.usages and len(self.usages) >= MOST_MODELS:
            model, self.doubtful = next(iter(self.usages)), True
        if self._on_call is not None:
            self._on_call(model, usage)
        total = self.usages.setdefault(model, Usage())
        total.input += usage.input
        total.output += usage.output
        total.cache_read += usage.cache_read
        total.cache_write_5m += usage.cache_write_5m
        total.cache_write_1h += usage.cache_write_1h
        total.web_searches += usage.web_searches
        total.seen = True
        total.doubtful = total.doubtful or usage.doubtful
