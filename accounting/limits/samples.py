"""What a client will get when a limit is reached, written out beforehand: the very sentences and headers of the gateway."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from accounting.limits.book import RateLine
from accounting.limits.refusal import LimitReached, budget_reached, rate_reached
from accounting.limits.standing import BudgetStanding
from accounting.limits.wording import Headers, budget_text, rate_text, rejected_headers

_TYPICAL_WAIT = 30_000_000  # microseconds; the real one depends on the last minute
_ID = "req_…"


@dataclass(frozen=True, slots=True)
class Sample:
    """An answer in the Messages format."""

    status: int
    headers: Sequence[tuple[str, str]]
    message: str
    body: str


def budget_sample(standing: BudgetStanding, ask_at: str, now: float) -> Sample:
    """The refusal when this budget is used up, at a Unix time."""
    limit = standing.limit
    reached = budget_reached(standing.line, now, spent=max(limit, standing.spent), reserved=0, limit=limit)
    headers = [*rejected_headers(standing.line, reached), (b"x-should-retry", b"false")]
    return _sample("billing_error", budget_text(reached, standing.line, ask_at), headers, reached)


def rate_sample(line: RateLine) -> Sample:
    """The refusal when this rate limit is reached."""
    reached = rate_reached(line, used=line.limit, wait=_TYPICAL_WAIT)
    if reached.reason == "too_many_concurrent":
        reached.retry_after = 1
    return _sample("rate_limit_error", rate_text(reached), [], reached)


def _sample(kind: str, message: str, headers: Headers, reached: LimitReached) -> Sample:
    if reached.retry_after is not None:
        headers = [*headers, (b"retry-after", str(reached.retry_after).encode())]
    body = {"type": "error", "error": {"type": kind, "message": message}, "request_id": _ID}
    shown = [(name.decode(), value.decode()) for name, value in headers]
    return Sample(429, shown, message, json.dumps(body, indent=2, ensure_ascii=False))
