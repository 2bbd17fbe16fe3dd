"""What an explanation consists of, as plain frozen values. No I/O."""

from dataclasses import dataclass
from typing import Any

from accounting.access.grant import Grant
from routing.formats.base import Inbound


@dataclass(frozen=True, slots=True)
class LimitLine:
    """One limit that applies: `scope` and `what` in words, numbers as texts; `refuses` says that it would refuse now, with
    the record's word `reason`."""

    scope: str
    what: str
    limit: str
    used: str
    remaining: str
    resets_at: str = ""
    hard: bool = True
    refuses: bool = False
    reason: str = ""


@dataclass(frozen=True, slots=True)
class CandidateLine:
    """One target of the route. `score` is what its tier was ordered by; `share` its percentage of the traffic of new
    sessions while all are well; `reason` says why it was not chosen."""

    provider: str
    model: str
    tier: int
    score: float | None
    share: float | None
    chosen: bool
    reason: str


@dataclass(frozen=True, slots=True)
class BetaLine:
    """What becomes of a beta value on the way: `sent`, `renamed` (to `sent_as`) or `removed`."""

    name: str
    action: str
    sent_as: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """One condition that was asked, in words, and what came of it."""

    route: str
    number: int
    when: str
    leads_to: str
    held: bool
    missed: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """The whole decision. `status` and `reason` are what a client would be told and the record would say; `verdict` is one
    sentence; `by_chance` says that another request like this one may go to another candidate."""

    grant: Grant
    inbound: Inbound
    refusal: str
    alias: str
    serving: str
    route: str
    strategy: str
    sticky: str
    steps: tuple[Step, ...]
    candidates: tuple[CandidateLine, ...]
    betas: tuple[BetaLine, ...]
    fields_removed: tuple[str, ...]
    limits: tuple[LimitLine, ...]
    price: dict[str, Any] | None
    by_chance: bool
    revision: int
    live: bool
    status: int
    reason: str
    verdict: str

    @property
    def served(self) -> bool:
        return not self.reason

    @property
    def chosen(self) -> CandidateLine | None:
        return next((each for each in self.candidates if each.chosen), None)
