"""Sums over some requests: tokens by kind, dollars, errors, and how much of the prompts came out of the cache."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal

from accounting.models import RequestRecord

# A kind's name and its column, in the order in which kinds are shown.
KINDS = (
    ("input", "tokens_input"),
    ("cache_write_5m", "tokens_cache_write_5m"),
    ("cache_write_1h", "tokens_cache_write_1h"),
    ("cache_read", "tokens_cache_read"),
    ("output", "tokens_output"),
)
ERRORS = (RequestRecord.Outcome.UPSTREAM_ERROR.value, RequestRecord.Outcome.SHUT_DOWN.value)
REFUSED = RequestRecord.Outcome.REFUSED.value


@dataclass(frozen=True, slots=True)
class Sums:
    """`tokens` by the names of KINDS. `errors` counts failures of upstreams and of this gateway, not refusals."""

    requests: int = 0
    errors: int = 0
    refused: int = 0
    cost: Decimal = Decimal(0)
    tokens: dict[str, int] = field(default_factory=dict)

    @property
    def cache_hit_rate(self) -> float | None:
        """The share of the prompts' tokens that was read from a cache; None without prompts."""
        return hit_rate(self.tokens)

    @property
    def prompt(self) -> int:
        return sum(self.tokens.values()) - self.tokens.get("output", 0)

    @property
    def output(self) -> int:
        return self.tokens.get("output", 0)


def tokens_of(record: RequestRecord) -> dict[str, int]:
    return {name: int(getattr(record, column)) for name, column in KINDS}


def hit_rate(tokens: dict[str, int]) -> float | None:
    prompt = sum(count for name, count in tokens.items() if name != "output")
    return tokens.get("cache_read", 0) / prompt if prompt else None


def sums_of(records: Iterable[RequestRecord]) -> Sums:
    """The sums of records that are in memory."""
    rows = list(records)
    return Sums(
        len(rows),
        sum(row.outcome in ERRORS for row in rows),
        sum(row.outcome == REFUSED for row in rows),
        sum((row.cost_usd for row in rows), Decimal(0)),
        {name: sum(int(getattr(row, column)) for row in rows) for name, column in KINDS},
    )
