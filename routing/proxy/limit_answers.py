"""What a caller is told of its limits: the text and the headers of a refusal, and the headers of every answer. No I/O.

Source: wire formats, refusals that a gateway makes and response headers (Claude Code 2.1.330, 2026-08).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache

from accounting.limits.book import BudgetLine, Plan
from accounting.limits.counters import BudgetState, Decision
from accounting.limits.refusal import BUDGET_EXCEEDED, COUNTERS_LOST, LimitReached
from accounting.limits.terms import COUNTS, INPUT_TOKENS, OUTPUT_TOKENS, REQUESTS
from accounting.limits.wording import UNIFIED, budget_text, rate_text, rejected_headers, resets
from routing.formats.base import Headers
from routing.proxy.errors import GatewayError

LOST_RETRY = 2  # seconds
_WINDOW = 60  # seconds
_NAMES = {REQUESTS: b"requests", INPUT_TOKENS: b"input-tokens", OUTPUT_TOKENS: b"output-tokens", COUNTS: b"requests"}


def counters_lost() -> GatewayError:
    text = "The gateway cannot reach its counters at the moment, and serves nothing uncounted. Try again shortly."
    return GatewayError(503, "api_error", text, COUNTERS_LOST, retry_after=LOST_RETRY)


def refused(reached: LimitReached, ask_at: str) -> GatewayError:
    """A limit that is reached, as the gateway's refusal. `ask_at` is the address of the page to ask for more on."""
    if reached.budget is not None:
        text = budget_text(reached, reached.budget, ask_at)
        headers = tuple(rejected_headers(reached.budget, reached))
        return GatewayError(
            429, "billing_error", text, BUDGET_EXCEEDED, retry=False, retry_after=reached.retry_after, headers=headers
        )
    assert reached.rate is not None
    return GatewayError(429, "rate_limit_error", rate_text(reached), reached.reason, retry_after=reached.retry_after)


# -- headers -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Rate:
    limit: int
    remaining: int


def limit_headers(plan: Plan, decision: Decision, now: float) -> Headers:
    """How the caller's tightest limits stand after this request."""
    tightest: dict[bytes, _Rate] = {}
    for line, state in zip(plan.rates, decision.rates, strict=True):
        name = _NAMES.get(line.kind)
        left = max(0, line.limit - state.used)
        if name and (name not in tightest or left < tightest[name].remaining):
            tightest[name] = _Rate(line.limit, left)
    tokens = [rate for name, rate in tightest.items() if name.endswith(b"tokens")]
    if tokens:
        tightest[b"tokens"] = min(tokens, key=lambda rate: (rate.remaining / rate.limit, rate.remaining))
    headers = [pair for name, rate in tightest.items() for pair in _three(name, rate, now)]
    if plan.budgets:
        headers += _budget_headers(plan.budgets, decision.budgets)
    return headers


def reached_headers(reached: LimitReached, now: float) -> Headers:
    """How the rate limit stands that has refused a request."""
    name = _NAMES.get(reached.rate.kind) if reached.rate is not None else None
    return list(_three(name, _Rate(reached.limit, max(0, reached.limit - reached.used)), now)) if name else []


def _three(name: bytes, rate: _Rate, now: float) -> Iterable[tuple[bytes, bytes]]:
    prefix = b"anthropic-ratelimit-" + name
    yield prefix + b"-limit", b"%d" % rate.limit
    yield prefix + b"-remaining", b"%d" % rate.remaining
    # The whole limit is available again when the newest of what it counts has left its window.
    yield prefix + b"-reset", _written(int(now) + _WINDOW + 1)


@lru_cache(maxsize=8)  # all answers of a second say the same one
def _written(moment: int) -> bytes:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ").encode()


def _budget_headers(lines: Sequence[BudgetLine], states: Sequence[BudgetState]) -> Headers:
    """The hard budget that is nearest to its end, as a spend cap."""
    hard = [(line, state) for line, state in zip(lines, states, strict=True) if line.hard and state.limit]
    if not hard:
        return []
    line, state = max(hard, key=lambda pair: pair[1].spent / pair[1].limit)
    share = state.spent / state.limit
    passed = [percent for percent in line.terms.soft if share * 100 >= percent]
    status = b"allowed_warning" if passed else b"allowed"
    headers = [
        (UNIFIED + b"status", status),
        (UNIFIED + b"representative-claim", b"overage"),
        (UNIFIED + b"overage-status", status),
        (UNIFIED + b"overage-utilization", b"%.4f" % min(1.0, share)),
    ]
    if passed:
        headers.append((UNIFIED + b"overage-surpassed-threshold", b"%.2f" % (passed[-1] / 100)))
    return [*headers, *resets(line)]
