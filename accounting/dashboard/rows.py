"""A breakdown as a page shows it: rows with their columns, and the same as a chart and as lines of a CSV."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.utils import formats
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from accounting.dashboard.asked import KIND, MEASURES, TAGGED, Asked
from accounting.money.bars import Bar
from accounting.money.breakdown import Breakdown, Group
from accounting.templatetags.console import dollars
from accounting.templatetags.dashboard import KINDS

IN_CHART = 10
FIGURE_SPACE = "\N{FIGURE SPACE}"
KIND_TITLES: dict[str, Any] = {
    "input": gettext_lazy("Input"),
    "cache_write_5m": gettext_lazy("Cache write, 5 min"),
    "cache_write_1h": gettext_lazy("Cache write, 1 h"),
    "cache_read": gettext_lazy("Cache read"),
    "output": gettext_lazy("Output"),
}
# The columns of figures, in their order: a name of `Sums` each.
COLUMNS: dict[str, Any] = {
    "cost_usd": gettext_lazy("Spend"),
    "requests": gettext_lazy("Requests"),
    "errors": gettext_lazy("Errors"),
    "refused": gettext_lazy("Refused"),
    "tokens": gettext_lazy("Tokens"),
    **KIND_TITLES,
}
FEW: dict[str, Any] = {name: COLUMNS[name] for name in ("cost_usd", "requests", "errors", "tokens")}


@dataclass(frozen=True, slots=True)
class Row:
    """One group, the rest, or all: `names` as they were counted (none but for groups), `label` as people read it, `sub` what it
    belongs to; `amounts` by column; `bars` the measure by time; `colour` what charts.js knows; `places` the decimals of
    money that the column has room for."""

    names: tuple[str, ...]
    label: str
    sub: str
    amounts: dict[str, int | Decimal]
    share: float
    bars: tuple[int | Decimal, ...]
    colour: int | str = "rest"
    places: int = 0

    @property
    def cells(self) -> list[str]:
        return [written(name, value, self.places) for name, value in self.amounts.items()]


@dataclass(frozen=True, slots=True)
class Table:
    """The rows of a breakdown, sorted; `columns` are names of `Row.amounts` with their titles."""

    columns: dict[str, Any]
    rows: tuple[Row, ...]
    rest: Row | None
    total: Row
    bars: tuple[Bar, ...]

    @property
    def series(self) -> list[Row]:
        """What the chart shows: the first rows by the measure, and all others as one."""
        ranked = sorted(self.rows, key=lambda row: row.colour if isinstance(row.colour, int) else IN_CHART)
        shown = [row for row in ranked if row.colour != "rest" and any(row.bars)]
        left = [row for row in ranked if row.colour == "rest"] + ([self.rest] if self.rest else [])
        if not left:
            return shown
        bars = tuple(sum(column, type(column[0])(0)) for column in zip(*(row.bars for row in left), strict=True))
        return [*shown, Row((), _("Others"), "", {}, 0, bars)]


def written(column: str, value: int | Decimal, places: int = 0) -> str:
    """Money to its last digit, so that a column adds up, with blanks as wide as digits up to `places`, so that points stand
    below each other; counts with their thousands apart."""
    if column != "cost_usd":
        return formats.number_format(value, 0, force_grouping=True)
    return dollars(Decimal(value)) + FIGURE_SPACE * (places - decimals(value))


def decimals(value: int | Decimal) -> int:
    """How many decimals `dollars` writes."""
    return max(2, len(f"{abs(Decimal(value)):.12f}".rstrip("0").partition(".")[2]))


def measures_of(asked: Asked) -> tuple[str, ...]:
    """What is needed by bars."""
    measure = MEASURES[asked.measure].order
    return (measure, *KIND_TITLES) if asked.group == KIND else (measure,)


def table_of(asked: Asked, found: Breakdown, columns: dict[str, Any] = COLUMNS) -> Table:
    if asked.group == KIND:
        return _by_kind(found)
    measure = MEASURES[asked.measure].order
    whole = found.total.sums.measure(measure)
    shown = [*found.groups, *([found.rest] if found.rest else []), found.total]
    places = max(decimals(group.sums.measure("cost_usd")) for group in shown)

    def row(group: Group, label: str, sub: str = "", colour: int | str = "rest") -> Row:
        sums = group.sums
        share = float(sums.measure(measure) / whole) if whole else 0.0
        amounts = {name: sums.measure(name) for name in columns}
        return Row(group.values or (), label, sub, amounts, share, group.bars[measure], colour, places)

    rows = [
        row(group, *_label(asked, group.values or ()), place if place < IN_CHART else "rest")
        for place, group in enumerate(found.groups)
    ]
    others = ngettext("%(count)d other", "%(count)d others", found.others) % {"count": found.others}
    rest = row(found.rest, others) if found.rest else None
    return Table(columns, tuple(_sorted(rows, asked.sort, columns)), rest, row(found.total, _("Total")), found.bars)


def _by_kind(found: Breakdown) -> Table:
    whole = found.total.sums.tokens
    rows = []
    for name, colour in KINDS:
        count = int(found.total.sums.measure(name))
        bars = found.total.bars[name]
        rows.append(Row((name,), str(KIND_TITLES[name]), "", {"tokens": count}, count / (whole or 1), bars, colour))
    total = Row((), _("Total"), "", {"tokens": whole}, float(bool(whole)), found.total.bars["tokens"])
    return Table({"tokens": COLUMNS["tokens"]}, tuple(rows), None, total, found.bars)


def _label(asked: Asked, values: tuple[str, ...]) -> tuple[str, str]:
    """What a group is called, and what it belongs to."""
    name = values[-1]
    none = {
        "user": _("no person"),
        "key": _("no key"),
        "project": _("no project"),
        "model": _("no model"),
        TAGGED: _("without this tag"),
    }
    return name or none.get(asked.group, _("none")), " / ".join(values[:-1])


def _sorted(rows: list[Row], sort: str, columns: dict[str, Any]) -> list[Row]:
    column = sort.removeprefix("-")
    if column == "name":
        return sorted(rows, key=lambda row: (row.label.casefold(), row.sub), reverse=sort.startswith("-"))
    if column in columns:
        return sorted(rows, key=lambda row: row.amounts[column], reverse=sort.startswith("-"))
    return rows


def bar_label(bar: Bar, asked: Asked) -> str:
    """As the axis of a chart writes it."""
    if isinstance(bar.key, datetime):
        return formats.date_format(bar.key.astimezone(asked.period.zone), "j M H:i")
    if asked.scale == "month":
        return formats.date_format(bar.key, "M Y")
    first = formats.date_format(bar.first_day, "j M")
    if asked.scale == "day" or bar.first_day == bar.last_day:
        return first
    return f"{first} \N{EN DASH} {formats.date_format(bar.last_day, 'j M')}"


def chart_of(asked: Asked, table: Table, links: Sequence[str]) -> dict[str, Any]:
    """What charts.js draws."""
    series = [{"name": _full(row), "values": [str(v) for v in row.bars], "colour": row.colour} for row in table.series]
    data = {
        "labels": [bar_label(bar, asked) for bar in table.bars],
        "series": series,
        "unit": MEASURES[asked.measure].unit,
        "stacked": True,
    }
    return {**data, "links": list(links)} if links else data


def _full(row: Row) -> str:
    return f"{row.sub} / {row.label}" if row.sub else row.label


@dataclass(frozen=True, slots=True)
class TimeRow:
    """A bar of the chart as a row: its label, the address that narrows the page to it, the measure of each series, all."""

    label: str
    link: str
    cells: list[str]


def time_rows(asked: Asked, table: Table, links: Sequence[str]) -> list[TimeRow]:
    order, series = MEASURES[asked.measure].order, [*table.series, table.total]
    places = [max((decimals(value) for value in row.bars), default=0) for row in series]
    return [
        TimeRow(
            bar_label(bar, asked),
            links[place] if links else "",
            [written(order, row.bars[place], most) for row, most in zip(series, places, strict=True)],
        )
        for place, bar in enumerate(table.bars)
    ]
