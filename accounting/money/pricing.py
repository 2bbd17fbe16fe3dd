"""What usage costs: the rule, and the book of prices that it is applied to. Pure: no I/O, no clock.

Choose the rates (the row in force for provider and model; those of fast mode, or of long prompts by the whole prompt of one
model call), multiply tokens by rates, then by the batch's and the region's multiplier; add web searches last, unmultiplied.
Nothing is rounded before the twelve decimal places that are stored.
"""

from collections.abc import Iterable, Mapping, Sequence
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Any

import msgspec

from accounting.money.entry import Line
from accounting.money.price_book import (
    BATCH,
    FAST,
    LONG,
    PLACES,
    REGIONAL,
    STANDARD,
    PriceBook,
    PriceRow,
    Rates,
    Tariff,
    same_model,
)
from accounting.money.usage import FALLBACK, MESSAGE, Iteration, Usage

MOST_COST = Decimal(1_000_000)  # dollars of one line; more is a fault of the upstream or of a price
_EXACT = Context(prec=200, rounding=ROUND_HALF_EVEN)
_PLACES = Decimal(1).scaleb(-PLACES)
_ONE = Decimal(1)

Counts = tuple[int, int, int, int, int]  # input, output, cache read, cache write 5 m, cache write 1 h


class _Call(msgspec.Struct, frozen=True):
    """One model call: what it is (`Line.kind`), its model where it is not the target's, its tokens."""

    kind: str
    model: str
    counts: Counts

    @property
    def prompt(self) -> int:
        return self.counts[0] + self.counts[2] + self.counts[3] + self.counts[4]


def price_usage(
    usage: Usage,
    provider: str,
    model: str,
    at: float,
    book: PriceBook,
    *,
    kind: str = "usage",
    attempt: int = 0,
    regional: bool = False,
) -> list[Line]:
    """The lines of what one upstream call used, each with its cost and its price; `at` is a Unix time.

    `model` is the upstream's model id as it was asked for, `regional` whether the call went to a regional endpoint of a cloud.
    The first line is the answer's own. A price that is not known is the book's `unknown`, whose id is None.
    """
    calls = _calls(usage) if usage.iterations else (_Call(MESSAGE, "", _counts(usage)),)
    lines: dict[tuple[str, str, PriceRow, str], _Priced] = {}
    for call in calls:
        row = _row(call, usage, provider, model, at, book)
        band, rates = _rates(row, call.prompt, usage.speed)
        named = call.model or model
        kind_ = kind if call.kind == MESSAGE else call.kind
        priced = lines.get((kind_, named, row, band))
        if priced is None:
            line = Line(len(lines), kind_, attempt, provider, named)
            priced = lines[kind_, named, row, band] = _Priced(line, _tariff(row, band, rates, usage, regional))
        priced.add(call.counts)
    first = True
    for priced in lines.values():
        priced.finish(usage, usage.web_searches if first else 0)
        first = False
    return [priced.line for priced in lines.values()]


def total_of(lines: Iterable[Line]) -> Decimal:
    return sum((line.cost_usd for line in lines), Decimal(0))


def _calls(usage: Usage) -> Sequence[_Call]:
    """The model calls to price, the answer's own first. Notes a doubt if the iterations contradict the whole."""
    whole = _counts(usage)
    messages = [each for each in usage.iterations if each.kind == MESSAGE]
    fallbacks = [each for each in usage.iterations if each.kind == FALLBACK]
    extras = [_call(each) for each in usage.iterations if each.kind not in (MESSAGE, FALLBACK)]
    if fallbacks:
        named = [*messages, *fallbacks]
        if any(_sums_to(each, whole) for each in (named, fallbacks, messages)):
            return [*map(_call, named), *extras]
        usage.doubt("iterations_differ")
        return [_Call(MESSAGE, "", whole), *extras]
    if len(messages) > 1 and _sums_to(messages, whole):
        return [*_split(messages, whole), *extras]
    return [_Call(MESSAGE, "", whole), *extras]


def _counts(usage: Usage) -> Counts:
    return usage.input, usage.output, usage.cache_read, usage.cache_write_5m, usage.cache_write_1h


def _call(iteration: Iteration) -> _Call:
    model = "" if iteration.kind == MESSAGE else iteration.usage.model
    return _Call(iteration.kind, model, _counts(iteration.usage))


def _sums_to(iterations: Sequence[Iteration], whole: Counts) -> bool:
    """Whether the calls are what the whole is made of; how long their cache writes last they need not say."""
    parts = [_counts(each.usage) for each in iterations]
    sums = [sum(part[place] for part in parts) for place in range(5)]
    return sums[:3] == list(whole[:3]) and sums[3] + sums[4] == whole[3] + whole[4]


def _split(messages: Sequence[Iteration], whole: Counts) -> list[_Call]:
    """Each message's call; writes of an hour that only the whole tells apart go to the first calls that wrote."""
    missing = whole[4] - sum(each.usage.cache_write_1h for each in messages)
    calls = []
    for each in messages:
        input_, output, read, short, long = _counts(each.usage)
        moved = max(-long, min(short, missing))
        missing -= moved
        calls.append(_Call(MESSAGE, "", (input_, output, read, short - moved, long + moved)))
    return calls


def _row(call: _Call, usage: Usage, provider: str, model: str, at: float, book: PriceBook) -> PriceRow:
    """The row of a call. The response's word on its model counts, unless it is the same model or only the model that was
    asked for has a price of its own."""
    asked = book.row(provider, call.model or model, at)
    if call.model or not usage.model or usage.model == model:
        return asked or book.unknown
    if asked is not None and same_model(model, usage.model):
        return asked
    if _names_the_first(call, usage):
        return asked or book.unknown
    told = book.row(provider, usage.model, at)
    if told is None or (asked is not None and told.shipped and not asked.shipped):
        return asked or book.unknown
    return told


def _names_the_first(call: _Call, usage: Usage) -> bool:
    """Whether this is the call of the model that was asked for, in an answer that another model has given in the end."""
    return call.kind == MESSAGE and any(each.kind == FALLBACK for each in usage.iterations)


def _rates(row: PriceRow, prompt: int, speed: str) -> tuple[str, Rates]:
    if speed == FAST and row.fast is not None:
        return FAST, row.fast
    if row.long is not None and row.above is not None and prompt > row.above:
        return LONG, row.long
    return STANDARD, row.rates


def _tariff(row: PriceRow, band: str, rates: Rates, usage: Usage, regional: bool) -> Tariff:
    batch = row.batch if usage.service_tier == BATCH else _ONE
    geo = row.geo.get(usage.geo) if usage.geo and usage.geo != REGIONAL else None
    if geo is None:
        geo = row.geo.get(REGIONAL, _ONE) if regional else _ONE
    return row.tariff(band, rates, batch, geo)


class _Priced(msgspec.Struct):
    """A line in the making. `units` is what its tokens cost, in the tariff's units."""

    line: Line
    tariff: Tariff
    units: int = 0

    def add(self, counts: Counts) -> None:
        line, tariff = self.line, self.tariff
        input_, output, read, short, long = counts
        line.tokens_input += input_
        line.tokens_output += output
        line.tokens_cache_read += read
        line.tokens_cache_write_5m += short
        line.tokens_cache_write_1h += long
        self.units += input_ * tariff.input + output * tariff.output
        if read or short or long:
            self.units += read * tariff.cache_read + short * tariff.cache_write_5m + long * tariff.cache_write_1h

    def finish(self, usage: Usage, searches: int) -> None:
        line, tariff = self.line, self.tariff
        line.price, line.web_searches = tariff.shown, searches
        line.estimated = usage.doubtful
        cost = Decimal(self.units + searches * tariff.search).scaleb(-tariff.places, _EXACT)
        if cost > MOST_COST:
            usage.doubt("cost")
            cost, line.estimated = MOST_COST, True
        if tariff.places != PLACES or line.estimated:
            cost = _EXACT.quantize(cost, _PLACES)
        line.cost_usd = cost


def merged(lines: Iterable[Line]) -> list[Line]:
    """Lines of many calls of one model as few: those of one kind, model and price added up."""
    sums: dict[tuple[str, str, str], Line] = {}
    for line in lines:
        key = (line.kind, line.model, _key(line.price or {}))
        known = sums.get(key)
        if known is None:
            sums[key] = line
            line.number = len(sums) - 1
            continue
        for name in _SUMMED:
            setattr(known, name, getattr(known, name) + getattr(line, name))
        known.estimated = known.estimated or line.estimated
    return list(sums.values())


_SUMMED = (
    "tokens_input", "tokens_output", "tokens_cache_read", "tokens_cache_write_5m", "tokens_cache_write_1h",
    "web_searches", "cost_usd",
)  # fmt: skip


def _key(price: Mapping[str, Any]) -> str:
    return f"{price.get('id')} {price.get('band')} {price.get('multipliers')}"
