"""A period's usage by what it is grouped by and by time: the largest groups, the rest, and all of it.

Whatever is shown comes from one statement: the rest is what the groups leave over, so rows add up to the total to the last
digit, also while requests are being counted.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from decimal import Decimal
from typing import Any

from accounting.money.bars import Bar, Scale
from accounting.money.question import Question
from accounting.money.reports import UsageRow, each_usage, usage


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

    def __add__(self, other: "Sums") -> "Sums":
        if other is NOTHING or self is NOTHING:
            return self if other is NOTHING else other
        return Sums(*(getattr(self, name) + getattr(other, name) for name in _FIELDS))

    @property
    def tokens(self) -> int:
        """Of every kind."""
        return self.input + self.output + self.cache_read + self.cache_write_5m + self.cache_write_1h

    def measure(self, name: str) -> int | Decimal:
        """One of `reports.ORDERS`."""
        found: int | Decimal = getattr(self, name)
        return found


NOTHING = Sums()
_FIELDS = tuple(each.name for each in fields(Sums))


@dataclass(frozen=True, slots=True)
class Group:
    """The values of what was grouped by (None: the rest, or all), the sums of the whole period and of each bar."""

    values: tuple[str, ...] | None
    sums: Sums
    bars: tuple[Sums, ...]


@dataclass(frozen=True, slots=True)
class Breakdown:
    """`groups` are those with the most of the measure, the most first; `rest` is made of `others` more groups."""

    bars: tuple[Bar, ...]
    groups: tuple[Group, ...]
    rest: Group | None
    others: int
    total: Group


def break_down(
    question: Question, by: tuple[str, ...], bars: Sequence[Bar], scale: Scale, *, order: str, most: int
) -> Breakdown:
    """Usage of the question (which groups by nothing) by the names `by` and by bars. Raises BadQuestion.

    Two queries, one where nothing is grouped by. The last of `by` tells groups apart from each other nearly alone.
    """
    chosen, count = usage(replace(question, group_by=by), limit=most, order=order) if by else ([], 0)
    kept = [tuple(str(value) for value in row.group) for row in chosen]
    asked = replace(question, group_by=(*by, scale))
    if count > len(kept):
        asked = replace(asked, kept=(by[-1], tuple(sorted({values[-1] for values in kept}))))
    known = set(kept)
    found: dict[tuple[Any, ...] | None, dict[Any, Sums]] = defaultdict(dict)
    for row in each_usage(asked):
        *values, bar = row.group
        of_group = found[tuple(values) if tuple(values) in known else None]
        of_group[bar] = of_group.get(bar, NOTHING) + Sums.of(row)
    groups = tuple(_group(values, found.get(values, {}), bars) for values in kept)
    left = _group(None, found.get(None, {}), bars)
    others = max(0, count - len(kept))
    rest = left if by and (others or left.sums != NOTHING) else None
    return Breakdown(tuple(bars), groups, rest, others, _total([*groups, left]))


def _group(values: tuple[str, ...] | None, found: dict[Any, Sums], bars: Sequence[Bar]) -> Group:
    each = tuple(found.get(bar.key, NOTHING) for bar in bars)
    return Group(values, sum(each, NOTHING), each)


def _total(groups: Sequence[Group]) -> Group:
    each = tuple(sum(column, NOTHING) for column in zip(*(group.bars for group in groups), strict=True))
    return Group(None, sum((group.sums for group in groups), NOTHING), each)
