"""The gates and goals of the project: what a run has to show, and how far from it a run is.

A gate must hold; a goal is where we want to be. Ratios are taken within a round, against nginx beside the gateway, and the
median over the rounds counts.
"""

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bench.plan import Cell, Open, Stalled, Streams, Whole

Figures = Mapping[str, float]
Round = Mapping[str, Mapping[str, Figures]]  # subject → cell → figures
YARDSTICK = "nginx"
AFTER = "after all loads"


@dataclass(frozen=True, slots=True)
class Verdict:
    """One row of the table. `value` is None where the run did not measure it."""

    what: str
    unit: str
    value: float | None
    gate: float
    goal: float
    more: bool = False  # is better, for this one

    @property
    def held(self) -> bool | None:
        if self.value is None:
            return None
        return self.value >= self.gate if self.more else self.value <= self.gate

    @property
    def distance(self) -> str:
        """How far the value is from the goal: a factor above 1 is still to be gained."""
        if self.value is None:
            return "not measured"
        if (self.value >= self.goal) if self.more else (self.value <= self.goal):
            return "reached"
        if not self.value or not self.goal:
            return "not reached"
        factor = self.goal / self.value if self.more else self.value / self.goal
        return f"{factor:.2f} x away"


def compared(cell: Cell) -> bool:
    """Whether nginx is measured under this load, too."""
    return isinstance(cell, Whole | Open) or (isinstance(cell, Streams) and cell.client == cell.upstream)


def median(rounds: Sequence[Round], of: Callable[[Round], float]) -> float | None:
    """The median over the rounds that have it."""
    found = []
    for each in rounds:
        try:
            found.append(of(each))
        except KeyError:
            continue
    return statistics.median(found) if found else None


def verdicts(rounds: Sequence[Round], subject: str, *, start_seconds: float, idle_mib: float) -> list[Verdict]:
    """Every target, for one set-up of the gateway."""

    def value(cell: Cell, figure: str) -> float | None:
        return median(rounds, lambda each: each[subject][cell.name][figure])

    def ratio(cell: Cell, figure: str, *, turned: bool = False) -> float | None:
        found = median(rounds, lambda each: each[subject][cell.name][figure] / each[YARDSTICK][cell.name][figure])
        return None if found is None else 1 / found if turned else found

    def added(cell: Cell, figure: str) -> float | None:
        return median(rounds, lambda each: each[subject][cell.name][figure] - each[YARDSTICK][cell.name][figure])

    crossed = [_crossing(rounds, subject, name) for name in _crossings(rounds)]
    resident = median(rounds, lambda each: each[subject][AFTER]["resident_mib"])
    crossing = max((each for each in crossed if each), default=None)
    return [
        Verdict("requests/s at 2 KB, nginx over ours", "times", ratio(Whole("2 KB", 16), "per_second", turned=True), 28, 10),
        Verdict("requests/s at 100 KB, nginx over ours", "times", ratio(Whole("100 KB", 16), "per_second", turned=True), 15, 6),
        Verdict("time added at one connection, p50", "ms", added(Whole("2 KB", 1), "p50_ms"), 1.0, 0.4),
        Verdict("live streams at 50 events/s, all in time", "", _in_time(rounds, subject, 200), 200, 500, more=True),
        Verdict("CPU per stream event over nginx", "times", ratio(Streams(100), "cpu_us"), 3, 1.8),
        Verdict("time to first byte added, 100 streams, p50", "ms", added(Streams(100), "first_p50_ms"), 3, 1.2),
        Verdict("memory per live stream, 2 KB body", "KiB", _taken(rounds, subject, "2 KB"), 60, 25),
        Verdict("memory per live stream, 100 KB body", "KiB", _taken(rounds, subject, "100 KB"), 200, 110),
        Verdict("resident memory, idle", "MiB", idle_mib, 160, 110),
        Verdict("resident memory, after load", "MiB", resident, 220, 150),
        Verdict("start to first answer", "s", start_seconds, 3, 1.2),
        Verdict("CPU per event across formats over the same format", "times", crossing, 2, 1.5),
        Verdict("requests with an error", "", _errors(rounds, subject), 0, 0),
        Verdict("growth while readers stall", "MiB", _stalled(rounds, subject, value), 8, 2),
    ]  # fmt: skip


def _in_time(rounds: Sequence[Round], subject: str, gate: int) -> float | None:
    """The most streams that all ended while their lag kept its limits, in the median of the rounds; None if all did that
    were tried, and so many as the gate wants were not."""
    names = {name for each in rounds for name in each[subject] if name.endswith(" streams")}

    def good(name: str) -> bool:
        figures = [each[subject][name] for each in rounds if name in each[subject]]
        p50 = statistics.median(each["lag_p50_ms"] for each in figures)
        p99 = statistics.median(each["lag_p99_ms"] for each in figures)
        return p50 <= 1 and p99 <= 25 and not any(each["errors"] for each in figures)

    tried = max((_count(name) for name in names), default=0)
    most = max((_count(name) for name in names if good(name)), default=0)
    return None if most == tried < gate else most


def _count(name: str) -> int:
    return int(name.split(" ")[0])


def _crossings(rounds: Sequence[Round]) -> list[str]:
    names = {name for each in rounds for cells in each.values() for name in cells}
    return sorted(name for name in names if " streams, " in name and " to " in name)


def _crossing(rounds: Sequence[Round], subject: str, name: str) -> float | None:
    same = name.partition(",")[0]
    return median(rounds, lambda each: each[subject][name]["cpu_us"] / each[subject][same]["cpu_us"])


def _taken(rounds: Sequence[Round], subject: str, size: str) -> float | None:
    """Of the round that took the most: later ones use memory that earlier ones have left."""
    found = [
        figures["kib_per_stream"]
        for each in rounds
        for name, figures in each[subject].items()
        if name.endswith(f"open streams, {size} body")
    ]
    return max(found, default=None)


def _errors(rounds: Sequence[Round], subject: str) -> float:
    return sum(figures.get("errors", 0.0) for each in rounds for figures in each[subject].values())


def _stalled(rounds: Sequence[Round], subject: str, value: Callable[[Cell, str], float | None]) -> float | None:
    names = {name for each in rounds for name in each[subject] if name.endswith("stalled readers")}
    return max((value(Stalled(_count(name)), "grown_mib") or 0.0 for name in names), default=None)
