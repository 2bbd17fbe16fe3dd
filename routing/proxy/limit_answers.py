"""What a caller is told of its limits: the text and the headers of a refusal, and the headers of every answer. No I/O.

Source: wire formats, refusals that a gateway makes and response headers (Claude Code 2.1.330, 2026-08).
"""

import math
from collections.abc import Mapping, Sequence
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
_OF_TOKENS = (b"input-tokens", b"output-tokens")
_STATUS, _OVERAGE_STATUS = UNIFIED + b"status", UNIFIED + b"overage-status"
_CLAIM = (UNIFIED + b"representative-claim", b"overage")
_UTILIZATION, _THRESHOLD = UNIFIED + b"overage-utilization", UNIFIED + b"overage-surpassed-threshold"
_TOKENS = b"tokens"  # the tighter of the two


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


_Rate = tuple[int, int]  # what remains, and the limit
_PREFIX = b"anthropic-ratelimit-"
_REMAINING = {name: _PREFIX + name + b"-remaining" for name in (*_NAMES.values(), _TOKENS)}


def limit_headers(plan: Plan, decision: Decision, now: float) -> Headers:
    """How the caller's tightest limits stand after this request."""
    tightest: dict[bytes, _Rate] = {}
    for line, state in zip(plan.rates, decision.rates, strict=True):
        name = _NAMES.get(line.kind)
        if name is None:
            continue
        left = line.limit - state.used if state.used < line.limit else 0
        if name not in tightest or left < tightest[name][0]:
            tightest[name] = (left, line.limit)
    headers: Headers = []
    if tightest:
        tokens = [tightest[name] for name in _OF_TOKENS if name in tightest]
        if tokens:
            tightest[_TOKENS] = tokens[0] if len(tokens) == 1 else min(tokens, key=_share)
        resets = _resets(int(now))
        for name, (left, limit) in tightest.items():
            headers += (_limit(name, limit), (_REMAINING[name], b"%d" % left), resets[name])
    if plan.budgets:
        headers += _budget_headers(plan.budgets, decision.budgets)
    return headers


def reached_headers(reached: LimitReached, now: float) -> Headers:
    """How the rate limit stands that has refused a request."""
    name = _NAMES.get(reached.rate.kind) if reached.rate is not None else None
    if name is None:
        return []
    left = max(0, reached.limit - reached.used)
    return [_limit(name, reached.limit), (_REMAINING[name], b"%d" % left), _resets(int(now))[name]]


def _share(rate: _Rate) -> tuple[float, int]:
    left, limit = rate
    return left / limit, left


@lru_cache(maxsize=1000)
def _limit(name: bytes, limit: int) -> tuple[bytes, bytes]:
    return _PREFIX + name + b"-limit", b"%d" % limit


@lru_cache(maxsize=8)  # all answers of a second say the same
def _resets(second: int) -> Mapping[bytes, tuple[bytes, bytes]]:
    # The whole limit is available again when the newest of what it counts has left its window.
    moment = datetime.fromtimestamp(second + _WINDOW + 1, UTC).strftime("%Y-%m-%dT%H:%M:%SZ").encode()
    return {name: (_PREFIX + name + b"-reset", moment) for name in _REMAINING}


def _budget_headers(lines: Sequence[BudgetLine], states: Sequence[BudgetState]) -> Headers:
    """The hard budget that is nearest to its end, as a spend cap."""
    most, line = -math.inf, None
    for each, state in zip(lines, states, strict=True):
        if each.hard and state.limit:
            share = state.spent / state.limit
            if share > most:
                most, line = share, each
    if line is None:
        return []
    passed = [percent for percent in line.terms.soft if most * 100 >= percent]
    status = b"allowed_warning" if passed else b"allowed"
    headers = [
        (_STATUS, status),
        _CLAIM,
        (_OVERAGE_STATUS, status),
        (_UTILIZATION, b"%.4f" % min(1.0, most)),
    ]
    if passed:
        headers.append((_THRESHOLD, b"%.2f" % (passed[-1] / 100)))
    headers += resets(line)
    return headers
