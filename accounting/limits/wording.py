"""What a caller is told when a limit is reached: the sentences and the headers, for the gateway and for pages that show them
beforehand. No I/O.

Source: refusals that a gateway makes and response headers (Claude Code 2.1.330, 2026-08).
"""

from datetime import UTC, datetime
from decimal import Decimal

from accounting.limits.book import BudgetLine
from accounting.limits.periods import zone_of
from accounting.limits.refusal import TOO_MANY_CONCURRENT, LimitReached
from accounting.limits.terms import COUNTS, INPUT_TOKENS, OUTPUT_TOKENS, REQUESTS, BudgetTerms, dollars_of

ASK_PATH = "/limits/ask"  # where the sentences lead to, below the gateway's public address
UNIFIED = b"anthropic-ratelimit-unified-"
_RESET, _OVERAGE_RESET = UNIFIED + b"reset", UNIFIED + b"overage-reset"
Headers = list[tuple[bytes, bytes]]
_PERIODS = {"day": "today", "week": "this week", "month": "this month", "quarter": "this quarter", "total": "in all"}


def budget_text(reached: LimitReached, line: BudgetLine, ask_at: str) -> str:
    """`ask_at` is the address of the page to ask for more on."""
    terms = line.terms
    amount, spent = money(reached.limit), money(reached.spent)
    what = f"The budget of {_whose(terms)} {_PERIODS[terms.period]}, {amount}{_narrowed(terms)}, "
    if reached.spent >= reached.limit:
        what += "is used up."
    elif reached.reserved:
        what += f"is used up by what was spent ({spent}) and by requests that are running."
    else:
        what += f"has too little left for this request ({money(reached.limit - reached.spent)})."
    return f"{what} {_reset_text(line)} To ask for more: {ask_at}?budget={terms.id}"


def _whose(terms: BudgetTerms) -> str:
    return "the organization" if not terms.scope.name else f"the {terms.scope}"


def _narrowed(terms: BudgetTerms) -> str:
    models = f" for models {terms.model}" if terms.model else ""
    return f"{models} for {terms.tag}" if terms.tag else models


def _reset_text(line: BudgetLine) -> str:
    if not line.period.end:
        return "It does not begin anew."
    begin = datetime.fromtimestamp(line.period.end, UTC).astimezone(zone_of(line.terms.zone))
    return f"It begins anew on {begin:%A}, {begin.day} {begin:%B %Y} at {begin:%H:%M} ({line.terms.zone})."


def money(nano: int) -> str:
    """`$500.00`; as many places as the amount needs."""
    amount = dollars_of(nano)
    cents = amount.quantize(Decimal("0.01"))
    return f"${cents:,.2f}" if amount == cents else f"${amount.normalize():,f}"


_RATE_NOUNS = {
    REQUESTS: "requests per minute",
    INPUT_TOKENS: "input tokens per minute",
    OUTPUT_TOKENS: "output tokens per minute",
    COUNTS: "counts of tokens per minute",
    "concurrent_requests": "requests at the same time",
    "concurrent_streams": "streams at the same time",
}


def rate_text(reached: LimitReached) -> str:
    line = reached.rate
    assert line is not None
    scope = line.terms.scope
    whose = "this key" if line.kind == COUNTS else f"the {scope}"
    models = f" for models {line.terms.model}" if line.terms.model else ""
    what = f"The limit of {whose}{models}, {reached.limit:,} {_RATE_NOUNS[line.kind]}, is reached."
    if reached.reason == TOO_MANY_CONCURRENT:
        return f"{what} Try again when one of them has ended."
    return f"{what} Try again in {reached.retry_after} s."


def rejected_headers(line: BudgetLine, reached: LimitReached) -> Headers:
    return [
        (UNIFIED + b"status", b"rejected"),
        *resets(line),
        (UNIFIED + b"overage-utilization", b"1"),
        (UNIFIED + b"overage-surpassed-threshold", b"1"),
        (UNIFIED + b"overage-period", line.terms.period.encode()),
        (UNIFIED + b"overage-disabled-reason", b"org_spend_cap_reached"),
    ]


def resets(line: BudgetLine) -> Headers:
    end = b"%d" % line.period.end
    return [(_RESET, end), (_OVERAGE_RESET, end)] if line.period.end else []
