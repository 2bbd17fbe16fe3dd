"""What limits say, as plain frozen values in whole nano-dollars: budgets, rate limits, what the organization has chosen.

Read with the directory and handed down from there. No I/O, no ORM.
"""

from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

NANO = 10**9  # nano-dollars in a dollar
_NANO = Decimal(NANO)

ORGANIZATION, TEAM, PROJECT, USER, KEY = "organization", "team", "project", "user", "key"
SCOPES = (ORGANIZATION, TEAM, PROJECT, USER, KEY)

REQUESTS, INPUT_TOKENS, OUTPUT_TOKENS = "requests_per_minute", "input_tokens_per_minute", "output_tokens_per_minute"
CONCURRENT_REQUESTS, CONCURRENT_STREAMS = "concurrent_requests", "concurrent_streams"
RATE_KINDS = (REQUESTS, INPUT_TOKENS, OUTPUT_TOKENS, CONCURRENT_REQUESTS, CONCURRENT_STREAMS)
CONCURRENT = frozenset({CONCURRENT_REQUESTS, CONCURRENT_STREAMS})
COUNTS = "counts_per_minute"  # count_tokens, by key; no table has it

CLOSED, OPEN = "closed", "open"
STRICT, TYPICAL = "strict", "typical"


def nano_of(dollars: Decimal) -> int:
    """Dollars as whole nano-dollars."""
    return int((dollars * _NANO).to_integral_value(ROUND_HALF_UP))


def dollars_of(nano: int) -> Decimal:
    return Decimal(nano).scaleb(-9)


@dataclass(frozen=True, slots=True)
class Scope:
    """What a limit is for. `team` is the name of the team that it belongs to; empty for the organization and a user."""

    type: str
    id: int = 0
    name: str = ""
    team: str = ""

    def __str__(self) -> str:
        return self.type if self.type == ORGANIZATION else f"{self.type} {self.name}"


EVERYTHING = Scope(ORGANIZATION)


@dataclass(frozen=True, slots=True)
class BudgetTerms:
    """One budget. Amounts are nano-dollars; moments Unix times; `soft` percentages in ascending order.

    The counter is named by `id` and the period alone, so that a changed amount keeps what was spent.
    """

    id: int
    scope: Scope
    period: str
    amount: int
    zone: str = "UTC"
    fiscal_start_month: int = 1
    hard: bool = True
    soft: tuple[int, ...] = ()
    carry_over: bool = False
    raise_amount: int = 0
    raise_until: float = 0.0
    created_at: float = 0.0
    model: str = ""
    tag: str = ""

    def amount_at(self, now: float) -> int:
        """The amount in force, a raise included; what is carried over is not."""
        return self.amount + self.raise_amount if now < self.raise_until else self.amount


@dataclass(frozen=True, slots=True)
class RateTerms:
    """One rate limit of one kind: so many in any sixty seconds, or so many at a time."""

    id: str
    scope: Scope
    kind: str
    amount: int
    model: str = ""
    tag: str = ""


@dataclass(frozen=True, slots=True)
class OrganizationTerms:
    """`on_counter_loss`: closed or open; `reservation`: strict or typical."""

    timezone: str = "UTC"
    fiscal_start_month: int = 1
    on_counter_loss: str = CLOSED
    reservation: str = TYPICAL


DEFAULTS = OrganizationTerms()
