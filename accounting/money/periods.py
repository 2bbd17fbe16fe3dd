"""Hours, days and months of UTC: where they begin, and how a period is made of them. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Literal

Unit = Literal["hour", "day", "month"]


def floor(moment: datetime, unit: Unit) -> datetime:
    """When the unit that `moment` lies in began."""
    hour = moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    if unit == "hour":
        return hour
    day = hour.replace(hour=0)
    return day if unit == "day" else day.replace(day=1)


def following(start: datetime, unit: Unit) -> datetime:
    """When the unit after the one that begins at `start` begins."""
    if unit == "hour":
        return start + timedelta(hours=1)
    if unit == "day":
        return start + timedelta(days=1)
    return (start + timedelta(days=32)).replace(day=1)


def ceiling(moment: datetime, unit: Unit) -> datetime:
    """The first beginning of a unit that is not before `moment`."""
    start = floor(moment, unit)
    return start if start == moment else following(start, unit)


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of a period, made of whole units, or (`unit` None) of no whole unit. None: without a bound. `minus`: it has to
    be taken away from the others."""

    unit: Unit | None
    start: datetime | None
    end: datetime | None
    minus: bool = False


def stretches(
    start: datetime | None, end: datetime | None, units: Sequence[Unit], *, complement: bool = False
) -> list[Stretch]:
    """The period as few stretches that do not overlap, made of the largest of `units` (largest first) that fit.

    With `complement`, a unit of which more than half belongs to the period is taken whole, and the rest of it taken away."""
    if start is not None and end is not None and start >= end:
        return []
    if not units:
        return [Stretch(None, start, end)]
    unit, smaller = units[0], units[1:]
    first = None if start is None else ceiling(start, unit)
    last = None if end is None else floor(end, unit)
    if first is not None and last is not None and (first > last or (first == last and not complement)):
        return stretches(start, end, smaller, complement=complement)
    before: list[Stretch] = []
    after: list[Stretch] = []
    if start is not None and first is not None:
        before, first = _cut(start, first, floor(start, unit), smaller, complement)
    if end is not None and last is not None:
        after, last = _cut(last, end, ceiling(end, unit), smaller, complement)
    whole = [] if first is not None and first == last else [Stretch(unit, first, last)]
    return before + whole + after


def _cut(
    start: datetime, end: datetime, other: datetime, smaller: Sequence[Unit], complement: bool
) -> tuple[list[Stretch], datetime]:
    """A part of a unit, of which `other` is the bound that does not belong to the period: the part in smaller units, or what
    is missing of the unit, to be taken away; and where the whole units begin or end."""
    inner, cut = (end, start) if other <= start else (start, end)
    if complement and abs(cut - other) < abs(inner - cut):
        missing = stretches(min(cut, other), max(cut, other), smaller, complement=True)
        return [replace(each, minus=not each.minus) for each in missing], other
    return stretches(start, end, smaller, complement=complement), inner
