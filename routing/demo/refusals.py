"""Requests of the demo that the gateway let not through, in its own words; and what a restart has cut off."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from accounting.limits.book import BudgetLine, RateLine, line_at
from accounting.limits.refusal import budget_reached, rate_reached
from accounting.limits.terms import BudgetTerms, RateTerms, nano_of
from accounting.money.entry import Entry
from accounting.money.usage import Usage
from routing.demo.answers import Desk
from routing.demo.callers import Caller, client_of
from routing.demo.upstreams import FABLE, HAIKU, OPUS, SONNET
from routing.proxy.errors import GatewayError, key_refused, policy_blocked, unknown_model
from routing.proxy.limit_answers import refused

ASK_PATH = "/limits/ask"
RESTARTED_BEFORE = timedelta(days=9, hours=3)
_KEPT = (
    *("request_id", "started_at", "client_format", "operation", "stream", "team", "project", "key", "key_prefix", "user"),
    *("session_id", "agent_id", "parent_agent_id", "client_ip", "user_agent", "alias", "route", "tags", "resend_of"),
)  # fmt: skip


def refuse(entry: Entry, error: GatewayError, milliseconds: float) -> Entry:
    """The same request, refused at the door: it has used nothing and went nowhere."""
    kept = Entry(**{name: getattr(entry, name) for name in _KEPT})
    kept.outcome, kept.status, kept.reason = error.outcome, error.status, error.reason
    kept.error_type, kept.error_message = error.type, error.message
    kept.duration_ms = round(milliseconds, 2)
    return kept


@dataclass(slots=True)
class Refusals:
    """The ordinary ones: a name that is not allowed or not known, a key that may not be used, a limit that is reached."""

    desk: Desk
    rates: tuple[RateTerms, ...]
    address: str

    def one(self, caller: Caller) -> Entry:
        chance = self.desk.chance
        kind = "people" if caller.plan.owner else "programs"
        at = self.desk.calendar.moment(chance, caller.zone, kind, caller.plan.silent_for)
        entry = self.desk.blank(caller, client_of(chance, caller), at, chance.choice((OPUS, SONNET, HAIKU)))
        return refuse(entry, self._why(entry, caller), chance.uniform(0.2, 2.5))

    def late(self, caller: Caller) -> Entry:
        """A key that was revoked, and that a program still has."""
        chance = self.desk.chance
        entry = self.desk.blank(caller, client_of(chance, caller), self.desk.calendar.now, SONNET)
        entry.started_at -= chance.random() * 86_400 * max(1.0, caller.plan.silent_for - 2)
        error = key_refused("revoked")
        late = refuse(entry, error, chance.uniform(0.1, 0.5))
        late.alias = late.route = ""
        return late

    def _why(self, entry: Entry, caller: Caller) -> GatewayError:
        chance = self.desk.chance
        if caller.plan.models and chance.random() < 0.6:
            entry.alias = chance.choice((OPUS, FABLE))
            text = f"The model {entry.alias} is not allowed for this key. Ask your team's administrator for it."
            return policy_blocked(text, "model_not_allowed")
        rates = [terms for terms in self.rates if terms.scope.name == entry.team]
        if rates and chance.random() < 0.75:
            terms = chance.choice(rates)
            line = RateLine(terms, f"r:{terms.id}", terms.amount, terms.kind)
            wait = chance.randrange(1, 40) * 1_000_000
            return refused(rate_reached(line, used=terms.amount, wait=wait), self.address + ASK_PATH)
        entry.alias, entry.route = chance.choice(("claude-opus-5.5", "gpt-4o", "sonnet")), ""
        return unknown_model(entry.alias, (OPUS,) if entry.alias.startswith("claude") else ())


def enforce(entries: Iterable[Entry], terms: BudgetTerms, address: str) -> list[Entry]:
    """The requests in their order; what a hard budget for a project would have stopped in its current period is refused."""
    spent, found = 0, []
    period: BudgetLine | None = None
    for entry in entries:
        if f"{entry.team}/{entry.project}" != terms.scope.name or entry.outcome == "refused":
            found.append(entry)
            continue
        line = line_at(terms, entry.started_at)
        if period is None or line.key != period.key:
            spent, period = 0, line
        if spent >= line.limit:
            reached = budget_reached(line, entry.started_at, spent=spent, reserved=0, limit=line.limit)
            entry = refuse(entry, refused(reached, address + ASK_PATH), 0.6)
        spent += nano_of(entry.cost_usd)
        found.append(entry)
    return found


def cut_off(desk: Desk, callers: Iterable[Caller]) -> list[Entry]:
    """What was under way when the gateway was started anew."""
    found = []
    for caller in callers:
        at = desk.calendar.now - RESTARTED_BEFORE - timedelta(seconds=desk.chance.randrange(2, 25))
        entry = desk.blank(caller, client_of(desk.chance, caller), at, SONNET)
        route = desk.route(caller, SONNET)
        if desk.call(entry, route, desk.choose(route)):
            desk.shut_down(entry, Usage(input=9, output=900, cache_read=31_000, cache_write_5m=700))
        found.append(entry)
    return found
