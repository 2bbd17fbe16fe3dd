"""What each record and each line of the ledger adds to the roll-ups: the one definition that storing, rebuilding and
checking share.

A request is counted once, at its record's own provider and model. Tokens and money are those of its lines, at the line's
provider and model. What a record has and its lines do not (there may be none) stays at the record's own: so every sum over
roll-ups is the sum over records, and adjustments beside it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connection

from accounting.models import LedgerEntry, RequestRecord
from accounting.models.ledger import ADJUSTMENT
from accounting.models.rollups import TTFT_BOUNDS
from accounting.money.dialect import LARGEST, beginning, bounded_sum, identity, in_sqlite, least_greatest, no_tags

NAMES = ("team", "project", "key", "key_prefix", "user", "alias", "provider", "model", "tags")
TOTALS = frozenset({"team", "project", "alias", "provider", "model"})  # the names that totals are kept by
TOKENS = ("tokens_input", "tokens_output", "tokens_cache_read", "tokens_cache_write_5m", "tokens_cache_write_1h")
SHARED = (*TOKENS, "web_searches", "cost_usd")  # what records and lines both have
BUCKETS = tuple(f"ttft_{bound}" for bound in TTFT_BOUNDS)
MEASURES = (
    "requests", "errors", "refused", "estimated", *SHARED, "adjustment_usd", "ttft_count", "ttft_us", *BUCKETS
)  # fmt: skip
MONEY = frozenset({"cost_usd", "adjustment_usd"})
WIDE = frozenset({*TOKENS, "web_searches", "ttft_us"})  # what is no count of requests
RECORDS = RequestRecord._meta.db_table
LINES = LedgerEntry._meta.db_table
_LONGEST = "1000000000"  # milliseconds that are believed


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which records (`r`) and which lines (`l`) contribute: two conditions with their parameters, which must fit together:
    a record comes with all of its lines but adjustments. `records_in` and `lines_in` are where they are looked for."""

    records: str
    records_with: tuple[Any, ...]
    lines: str
    lines_with: tuple[Any, ...]
    records_in: str = RequestRecord._meta.db_table
    lines_in: str = LedgerEntry._meta.db_table


@dataclass(frozen=True, slots=True)
class Statement:
    sql: str
    parameters: tuple[Any, ...]

    def run(self) -> list[tuple[Any, ...]]:
        """Its rows; none if it gives none."""
        with connection.cursor() as cursor:
            cursor.execute(self.sql, self.parameters)
            return list(cursor.fetchall()) if cursor.description else []


def contributions(chosen: Chosen, *, bounded: bool = False) -> Statement:
    """One row for each chosen record and line: `dimension_id`, `totals_id`, the names, `hour`, `outcome`, `reason`, and
    what it adds to each measure. `bounded`: even if a record's lines come to more than a column holds."""
    return identified(_each(chosen, bounded))


def contributed(chosen: Chosen, *, bounded: bool = False) -> Statement:
    """The same without the ids, added up as far as names, hour and outcome are the same ("served" is left empty): an id
    costs a hash. For PostgreSQL, and for few records: unless `bounded`, sums are kept in the columns' own types, of which
    more sums cost less than half, and what these do not hold is an error."""
    each = _each(chosen, bounded, narrow=not bounded)
    names = ", ".join(f'"{name}"' for name in NAMES)
    unserved = (
        "CASE WHEN outcome = 'served' THEN '' ELSE outcome END AS outcome"  # so that a record and its line are one
    )
    same = ", ".join(str(place) for place in range(1, len(NAMES) + 4))
    sums = summed() if bounded else ", ".join(f"{_narrow(name, f'SUM({name})')} AS {name}" for name in MEASURES)
    sql = f"SELECT {names}, hour, {unserved}, reason, {sums} FROM ({each.sql}) AS each GROUP BY {same}"
    return Statement(sql, each.parameters)


def identified(source: Statement) -> Statement:
    """Its rows with `dimension_id` and `totals_id`, which are made from the names."""
    names = {name: f'"{name}"' for name in NAMES}
    blank = {
        name: names[name] if name in TOTALS else no_tags() if name == "tags" else "CAST('' AS text)" for name in NAMES
    }
    full, totals = identity(tuple(names.values())), identity(tuple(blank.values()))
    sql = f"SELECT {full} AS dimension_id, {totals} AS totals_id, part.* FROM ({source.sql}) AS part"
    return Statement(sql, source.parameters)


def _narrow(measure: str, value: str) -> str:
    """A sum of a batch as a number whose sums PostgreSQL computes fast; what is counted, it counts to a few thousand."""
    if measure in MONEY:
        return value
    return f"CAST({value} AS {'bigint' if measure in WIDE else 'integer'})"


def _each(chosen: Chosen, bounded: bool = False, *, narrow: bool = False) -> Statement:
    sql = f"{_records(chosen, bounded, narrow)} UNION ALL {_lines(chosen)}"
    return Statement(sql, (*chosen.lines_with, *chosen.records_with, *chosen.lines_with))


def _records(chosen: Chosen, bounded: bool, narrow: bool) -> str:
    split = bounded and in_sqlite()  # PostgreSQL's sums have no bound
    added = {name: bounded_sum(f"l.{name}", LARGEST) if split else f"SUM(l.{name})" for name in SHARED}
    sums = ", ".join(f"{_narrow(name, value) if narrow else value} AS {name}" for name, value in added.items())
    lines = f"SELECT l.request_id, {sums} FROM {chosen.lines_in} l WHERE l.kind <> '{ADJUSTMENT}' AND {chosen.lines} GROUP BY 1"
    measures = {
        "requests": "1",
        "errors": _flag("r.outcome IN ('upstream_error', 'shut_down')"),
        "refused": _flag("r.outcome = 'refused'"),
        "estimated": _flag("r.estimated"),
        **{name: f"r.{name} - coalesce(lines.{name}, 0)" for name in SHARED},
        "adjustment_usd": "0",
        "ttft_count": _flag("r.ttft_ms IS NOT NULL"),
        "ttft_us": f"CAST(round(coalesce({least_greatest('r.ttft_ms', _LONGEST)}, 0) * 1000) AS bigint)",
        **_histogram("r.ttft_ms"),
    }
    columns = _columns("r", {"model": "upstream_model"}, "r.started_at", "r.outcome", "r.reason", measures)
    source = f"{chosen.records_in} r LEFT JOIN ({lines}) lines ON lines.request_id = r.request_id"
    return f"SELECT {columns} FROM {source} WHERE {chosen.records}"


def _lines(chosen: Chosen) -> str:
    measures = {
        **dict.fromkeys(MEASURES, "0"),
        **{name: f"l.{name}" for name in SHARED},
        "cost_usd": f"CASE WHEN l.kind = '{ADJUSTMENT}' THEN 0 ELSE l.cost_usd END",
        "adjustment_usd": f"CASE WHEN l.kind = '{ADJUSTMENT}' THEN l.cost_usd ELSE 0 END",
    }
    columns = _columns("l", {}, "l.at", "CAST('' AS text)", "CAST('' AS text)", measures)
    return f"SELECT {columns} FROM {chosen.lines_in} l WHERE {chosen.lines}"


def _columns(
    table: str, renamed: Mapping[str, str], moment: str, outcome: str, reason: str, measures: Mapping[str, str]
) -> str:
    names = [f'{table}."{renamed.get(name, name)}" AS "{name}"' for name in NAMES]
    values = [f"{measures[name]} AS {name}" for name in MEASURES]
    where = [f"{beginning('hour', moment)} AS hour", f"{outcome} AS outcome", f"{reason} AS reason"]
    return ", ".join([*names, *where, *values])


def _flag(condition: str) -> str:
    return f"CASE WHEN {condition} THEN 1 ELSE 0 END"


def _histogram(column: str) -> dict[str, str]:
    found, above = {}, ""
    for name, bound in zip(BUCKETS, TTFT_BOUNDS, strict=True):
        found[name] = _flag(f"{column} <= {bound}{above}")
        above = f" AND {column} > {bound}"
    return found


def summed(names: Sequence[str] = MEASURES, most: Mapping[str, int] | None = None) -> str:
    """Sums; of the measures in `most` no more than that."""
    bounds = most or {}
    return ", ".join(
        f"{bounded_sum(name, bounds[name]) if name in bounds else f'SUM({name})'} AS {name}" for name in names
    )
