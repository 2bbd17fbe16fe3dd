"""Entries with lines, as the gateway hands them over, for tests of the ledger."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any

from accounting.money.entry import Entry, Line

START = datetime(2026, 10, 31, 21, 30, tzinfo=UTC)  # days and a month end within the hours that follow
PRICE = {
    "id": 7, "provider": "*", "model": "claude-*", "valid_from": "2026-01-01T00:00:00Z", "band": "standard",
    "input": "3", "output": "15", "cache_write_5m": "3.75", "cache_write_1h": "6", "cache_read": "0.3",
    "multipliers": {}, "web_search_per_1000": "10",
}  # fmt: skip


def line(number: int = 0, kind: str = "usage", **fields: Any) -> Line:
    """A line with its cost by `PRICE`."""
    made = Line(number, kind, 0, fields.pop("provider", "main"), fields.pop("model", "claude-a"), **fields)
    rates = (
        (made.tokens_input, "3"), (made.tokens_output, "15"), (made.tokens_cache_read, "0.3"),
        (made.tokens_cache_write_5m, "3.75"), (made.tokens_cache_write_1h, "6"),
    )  # fmt: skip
    if "cost_usd" not in fields:
        made.cost_usd = sum((count * Decimal(rate) for count, rate in rates), Decimal(0)) / 1_000_000
        made.cost_usd += made.web_searches * Decimal("0.01")
    made.price = fields.get("price", PRICE)
    return made


def entry(name: str, *lines: Line, at: datetime = START, **fields: Any) -> Entry:
    """A served request with these lines; its own sums are theirs."""
    sums = {
        column: sum((getattr(each, column) for each in lines), type(getattr(lines[0], column))(0))
        for column in (
            "tokens_input", "tokens_output", "tokens_cache_read", "tokens_cache_write_5m", "tokens_cache_write_1h",
            "web_searches", "cost_usd",
        )
    } if lines else {}  # fmt: skip
    usual = {"outcome": "served", "status": 200, "team": "alpha", "project": "default", "alias": "sonnet"}
    if lines:
        usual |= {"provider": lines[0].provider, "upstream_model": lines[0].model}
    return Entry(request_id=name, started_at=at.timestamp(), lines=list(lines), **{**usual, **sums, **fields})


def day_of_requests(random: Random, count: int, prefix: str = "r") -> list[Entry]:
    """Requests of a day and a half: many callers and models, some refused, some without lines, some with several."""
    return [_any(random, f"{prefix}{number}") for number in range(count)]


def _any(random: Random, name: str) -> Entry:
    team = random.choice(["alpha", "beta", ""])
    key = random.randrange(3)
    at = START + timedelta(seconds=random.randrange(36 * 3600), microseconds=random.randrange(10**6))
    who: dict[str, Any] = {
        "team": team, "project": random.choice(["default", "other"]), "key": f"key{key}", "key_prefix": f"gw_{team}{key}",
        "user": random.choice(["", "ada@example.org"]), "alias": random.choice(["sonnet", "opus"]),
        "tags": random.choice([{}, {"cost_center": "4711"}, {"cost_center": "9", "app": "ünï"}]),
        "ttft_ms": random.choice([None, random.random() * 90_000]),
    }  # fmt: skip
    if random.random() < 0.2:
        outcome, reason = random.choice(
            [("refused", "budget"), ("refused", "rate"), ("upstream_error", "timeout"), ("shut_down", "process_ended")]
        )
        return entry(name, at=at, **who, outcome=outcome, reason=reason, status=429)
    kinds = ["usage", "failed", "advisor", "fallback"][: random.randrange(1, 5)]
    lines = [
        line(
            number,
            kind,
            provider=random.choice(["main", "bedrock"]),
            model=random.choice(["claude-a", "claude-b"]),
            tokens_input=random.randrange(10_000),
            tokens_output=random.randrange(5_000),
            tokens_cache_read=random.randrange(100_000),
            tokens_cache_write_1h=random.choice([0, 17]),
            web_searches=random.choice([0, 0, 3]),
        )
        for number, kind in enumerate(kinds)
    ]
    return entry(name, *lines, at=at, **who, estimated=random.random() < 0.1)
