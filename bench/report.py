"""From rounds to tables: medians with their spread, the targets, and the page docs/performance.md."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from bench.processes import ROOT
from bench.targets import YARDSTICK, Figures, Round, Verdict

PAGE = ROOT / "docs" / "performance.md"
BEGIN, END = "<!-- written by `make bench`: begin -->", "<!-- written by `make bench`: end -->"
COLUMNS = {
    "per_second": "requests/s", "p50_ms": "p50 ms", "p99_ms": "p99 ms", "lag_p50_ms": "lag p50 ms",
    "lag_p99_ms": "lag p99 ms", "first_p50_ms": "first byte p50 ms", "cpu_us": "CPU us each", "ended": "ended",
    "kib_per_stream": "KiB a stream", "kib_per_reader": "KiB a reader", "grown_mib": "grown MiB",
    "others_p50_ms": "others' p50 ms", "resident_mib": "resident MiB", "errors": "errors",
}  # fmt: skip


def _number(value: float) -> str:
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.0f}" if value == round(value) else f"{value:.2f}"


def _spread(values: Sequence[float]) -> str:
    """The median, and the lowest and the highest round where they differ by more than a tenth."""
    middle, low, high = statistics.median(values), min(values), max(values)
    if high - low <= 0.1 * abs(middle):
        return _number(middle)
    return f"{_number(middle)} ({_number(low)}-{_number(high)})"


def target_table(verdicts: Sequence[Verdict]) -> list[str]:
    """A row for each target: what was measured, whether its gate holds, how far its goal is."""
    words = {True: "held", False: "**not held**", None: "not measured"}
    rows = ["| target | measured | gate | | goal | |", "|---|---|---|---|---|---|"]
    for each in verdicts:
        measured = "" if each.value is None else f"{_number(each.value)} {each.unit}".strip()
        rows.append(
            f"| {each.what} | {measured} | {_number(each.gate)} | {words[each.held]} | {_number(each.goal)} | {each.distance} |"
        )
    return rows


def cell_tables(rounds: Sequence[Round], subjects: Sequence[str]) -> list[str]:
    """For each load a table with a row for each subject."""
    lines: list[str] = []
    names = {name: None for each in rounds for cells in each.values() for name in cells}  # in order, once each
    for name in names:
        have = [subject for subject in subjects if any(name in each.get(subject, {}) for each in rounds)]
        figures = {
            subject: [each[subject][name] for each in rounds if name in each.get(subject, {})] for subject in have
        }
        columns = [key for key in COLUMNS if any(key in found[0] for found in figures.values())]
        lines += ["", f"**{name}**", "", "| | " + " | ".join(COLUMNS[key] for key in columns) + " |"]
        lines.append("|---" * (len(columns) + 1) + "|")
        for subject, found in figures.items():
            lines.append(f"| {subject} | " + " | ".join(_cell(found, key) for key in columns) + " |")
    return lines


def _cell(found: Sequence[Figures], key: str) -> str:
    values = [each[key] for each in found if key in each]
    return _spread(values) if values else ""


def page_text(result: Mapping[str, Any], verdicts: Mapping[str, Sequence[Verdict]]) -> str:
    """What stands between the marks of docs/performance.md."""
    subjects = [YARDSTICK, *result["rivals"], *result["setups"]]
    lines = [
        f"Run of {result['at'][:10]}, {len(result['rounds'])} rounds, on {result['machine']}.",
        "",
        "Versions: " + ", ".join(f"{name} {version}" for name, version in result["versions"].items()) + ".",
    ]
    if result["core"] == result["load_core"]:
        lines += ["", "One core only: the load ran beside what was measured."]
    for setup, rows in verdicts.items():
        lines += ["", f"### Targets: {setup}", "", *target_table(rows)]
    lines += [
        "",
        "### All loads",
        "",
        "Medians over the rounds; in brackets the lowest and the highest, where they differ.",
    ]
    return "\n".join([*lines, *cell_tables(result["rounds"], subjects)])


def write_page(text: str) -> None:
    """Replaces what stands between the marks; the rest of the page is written by hand."""
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition(BEGIN)
    after = rest.partition(END)[2]
    PAGE.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}", encoding="utf-8")
