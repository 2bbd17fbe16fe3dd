"""A period's usage by what it is grouped by and by time: the largest groups, the rest, and all of it.

The sums of all groups come from one statement, those of all bars from another one: in each, the rest is what the groups leave
over. So rows add up to the total to the last digit, and bars to theirs, also while requests are being counted.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from decimal import Decimal
from typing import Any

from accounting.money.bars import Bar, Scale
from accounting.money.contributions import MONEY
from accounting.money.question import Question
from accounting.money.reports import Largest, Ranking, UsageRow, largest, measured


@dataclass(frozen=True, slots=True)
class Sums:
    """Sums of usage; `cost_usd` has the adjustments in it."""

    requests: int = 0
    errors: int = 0
    refused: int = 0
    estimated: int = 0
    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0
    web_searches: int = 0
    cost_usd: Decimal = Decimal(0)
    adjustment_usd: Decimal = Decimal(0)

    @classmethod
    def of(cls, row: UsageRow) -> "Sums":
        sums: dict[str, Any] = row.sums
        return cls(**sums)

    def __sub__(self, other: "Sums") -> "Sums":
        return Sums(*(getattr(self, name) - getattr(other, name) for name in _FIELDS))

    def __add__(self, other: "Sums") -> "Sums":
        if other is NOTHING or self is NOTHING:
            return self if other is NOTHING else other
        return Sums(*(getattr(self, name) + getattr(other, name) for name in _FIELDS))

    @property
    def tokens(self) -> int:
        """Of every kind."""
        return self.input + self.output + self.cache_read + self.cache_write_5m + self.cache_write_1h

    def measure(self, name: str) -> int | Decimal:
        """One of `statements.ORDERS`."""
        found: int | Decimal = getattr(self, name)
        return found


NOTHING = Sums()
_FIELDS = tuple(each.name for each in fields(Sums))


Amount = int | Decimal


@dataclass(frozen=True, slots=True)
class Group:
    """The values of what was grouped by (None: the rest, or all), the sums of the whole period, and each measure by bars."""

    values: tuple[str, ...] | None
    sums: Sums
    bars: Mapping[str, tuple[Amount, ...]]


@dataclass(frozen=True, slots=True)
class Breakdown:
    """`groups` are those with the most of the first measure, the most first; `rest` is made of `others` more groups."""

    bars: tuple[Bar, ...]
    groups: tuple[Group, ...]
    rest: Group | None
    others: int
    total: Group


def ranking(question: Question, by: tuple[str, ...], measures: tuple[str, ...], most: int) -> Ranking:
    """Which groups a breakdown has."""
    return Ranking(replace(question, group_by=by), measures[0], most)


def break_down(
    question: Question, by: tuple[str, ...], bars: Sequence[Bar], scale: Scale, *, measures: tuple[str, ...], most: int,
    chosen: Largest | None = None,
) -> Breakdown:  # fmt: skip
    """Usage of the question (which groups by nothing) by the names `by`, and some of `statements.ORDERS` by bars. Two queries;
    one if `chosen`, the answer to `ranking` of the same, is there already. Raises BadQuestion. The last of `by` tells groups
    apart from each other nearly alone."""
    if chosen is None:
        (chosen,) = largest(ranking(question, by, measures, most))
    kept = {tuple(map(str, row.group)): Sums.of(row) for row in chosen.rows if by}
    others = chosen.count - len(kept) if by else 0
    asked = replace(question, group_by=(*by, scale))
    if others:
        asked = replace(asked, kept=(by[-1], tuple(sorted({values[-1] for values in kept}))))
    found: dict[tuple[Any, ...] | None, dict[Any, list[Amount]]] = defaultdict(dict)
    for (*values, bar), amounts in measured(asked, measures):
        of_group = found[tuple(values) if tuple(values) in kept else None]
        before = of_group.get(bar, [0] * len(measures))
        of_group[bar] = [one + other for one, other in zip(before, amounts, strict=True)]
    groups = tuple(Group(values, sums, _by_bars(found[values], bars, measures)) for values, sums in kept.items())
    left = Group(None, Sums.of(chosen.total) - sum(kept.values(), NOTHING), _by_bars(found[None], bars, measures))
    rest = left if by and (others or any(map(any, left.bars.values()))) else None
    return Breakdown(tuple(bars), groups, rest, others, _total(chosen.total, [*groups, left], measures))


def _by_bars(
    found: Mapping[Any, Sequence[Amount]], bars: Sequence[Bar], measures: tuple[str, ...]
) -> dict[str, tuple[Amount, ...]]:
    nothing = [Decimal(0) if measure in MONEY else 0 for measure in measures]
    rows = [found.get(bar.key, nothing) for bar in bars]
    return {measure: tuple(row[place] for row in rows) for place, measure in enumerate(measures)}


def _total(all_of_it: UsageRow, groups: Sequence[Group], measures: tuple[str, ...]) -> Group:
    bars = {
        measure: tuple(
            sum(column, type(column[0])(0)) for column in zip(*(each.bars[measure] for each in groups), strict=True)
        )
        for measure in measures
    }
    return Group(None, Sums.of(all_of_it), bars)
