"""How a made-up request ends: which target answers after how many tries, in which time, with how many tokens, at which cost."""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from msgspec import structs

from accounting.money.entry import Attempt, Entry
from accounting.money.usage import Usage
from routing.demo.callers import Caller, Client
from routing.demo.rhythm import Calendar
from routing.demo.upstreams import (
    BEDROCK_EU,
    BEDROCK_US,
    DIRECT,
    EVALS,
    HAIKU,
    OPUS,
    SERVED,
    SONNET,
    VERTEX,
    RoutePlan,
    Target,
)
from routing.formats.base import ANTHROPIC
from routing.proxy.billing import Billing
from routing.targets import ProviderConf

_NAMES = {"coder": OPUS}
_AWAY = frozenset({BEDROCK_US, BEDROCK_EU, VERTEX})
_LEFT_OUT = ("prompt-caching-scope-2026-01-05", "per-turn-control-2026-07-01", "extended-cache-ttl-2025-04-11")
_PACE = {HAIKU: (6.0, 140), SONNET: (6.7, 85), OPUS: (7.1, 60)}  # logarithm of the first byte's ms, tokens in a second
_FAILS = 0.006  # how often a call fails on a good day
_FAILS_IN_INCIDENT, _FAILS_BESIDE = 0.62, 0.2
_NO_FURTHER = 0.2  # how often no further call is made, because the process has made too many
_ERRORS = {
    0: ("timeout_error", "The provider did not answer in time."),
    400: ("invalid_request_error", "messages.14: `tool_use` ids were found without `tool_result` blocks."),
    429: ("rate_limit_error", "This request would exceed the rate limit of your organization."),
    500: ("api_error", "Internal server error"),
    529: ("overloaded_error", "Overloaded"),
}
_BROKE = "The connection to the provider broke before the answer was complete."


@dataclass(slots=True)
class Desk:
    """What making requests takes: chance, the calendar, the gateway's own billing and its providers."""

    chance: random.Random
    calendar: Calendar
    billing: Billing
    providers: Mapping[str, ProviderConf]

    def blank(self, caller: Caller, client: Client, at: datetime, alias: str) -> Entry:
        """A request that has come in, and nothing more."""
        chance, plan = self.chance, caller.plan
        moment = min(at, self.calendar.now).timestamp()
        return Entry(
            request_id=f"req_{int(moment * 1000):012x}{chance.getrandbits(80):020x}",
            started_at=moment,
            client_format=client.format,
            stream=True,
            team=plan.team,
            project=plan.project,
            key=plan.name,
            key_prefix=caller.prefix,
            user=plan.owner,
            client_ip=f"10.{4 + caller.network % 6}.{caller.network}.{chance.randrange(2, 250)}",
            user_agent=client.user_agent,
            alias=alias,
            route=self.route(caller, alias).name,
            tags=dict(caller.tags),
        )

    def route(self, caller: Caller, alias: str) -> RoutePlan:
        plan = SERVED[_NAMES.get(alias, alias)]
        return EVALS if plan.conditions and caller.plan.project == "evals" else plan

    def choose(self, route: RoutePlan) -> Target:
        """The target that a session begins with."""
        return self.chance.choices(route.targets, [target.weight for target in route.targets])[0]

    def call(self, entry: Entry, route: RoutePlan, target: Target) -> bool:
        """Makes the upstream calls: the chosen target, then the others. False if none has answered."""
        others = [each for each in route.targets if each is not target]
        waited = 0.0
        for number, each in enumerate([target, *others[:2]] if others else [target, target]):
            failure = self._failure(entry, each, number)
            status, words, spent = failure or (200, "", self._first_byte(entry.alias))
            entry.attempts = [*entry.attempts, Attempt(each.provider, each.model, status, words, round(spent, 1))]
            entry.provider, entry.upstream_model = each.provider, each.model
            waited += spent
            if failure is None:
                entry.ttft_ms = round(waited, 1)
                self._leave_out(entry)
                return True
            if status == 400 or self.chance.random() < _NO_FURTHER:
                break
        self._give_up(entry, waited)
        return False

    def serve(self, entry: Entry, usage: Usage) -> None:
        """An answer that came to its end."""
        entry.outcome, entry.status = "served", 200
        self._finish(entry, usage.output)
        self.charge(entry, usage)

    def leave(self, entry: Entry, usage: Usage) -> None:
        """The client went away while the answer came: what was heard of it is billed."""
        usage.output = max(1, int(usage.output * self.chance.uniform(0.05, 0.7)))
        entry.outcome, entry.status, entry.estimated = "client_left", 200, True
        self._finish(entry, usage.output)
        self.charge(entry, usage)

    def shut_down(self, entry: Entry, usage: Usage) -> None:
        usage.output = max(1, usage.output // 3)
        entry.outcome, entry.status, entry.estimated = "shut_down", 200, True
        self._finish(entry, usage.output)
        self.charge(entry, usage)

    def break_off(self, entry: Entry, usage: Usage) -> None:
        """A stream that broke: its prompt and what it said are paid for all the same."""
        usage.output = max(1, usage.output // 4)
        entry.outcome, entry.status, entry.reason, entry.estimated = "upstream_error", 200, "stream_broken", True
        entry.error_type, entry.error_message = "api_error", _BROKE
        self._finish(entry, usage.output)
        self.charge(entry, usage, kind="failed")

    def charge(self, entry: Entry, usage: Usage, kind: str = "usage") -> None:
        self.billing.charge(entry, usage, self.providers.get(entry.provider), kind=kind)

    def _finish(self, entry: Entry, output: int) -> None:
        if entry.provider == DIRECT:
            entry.upstream_request_id = f"req_{self.chance.getrandbits(96):024x}"
        pace = _PACE.get(entry.alias, _PACE[SONNET])[1] * self.chance.uniform(0.7, 1.2)
        entry.duration_ms = round((entry.ttft_ms or 0.0) + output / pace * 1000, 1)
        if not entry.stream:
            self._answered_whole(entry)

    def _answered_whole(self, entry: Entry) -> None:
        """An answer in one piece begins when all of it is there: that was the last call's waiting."""
        *before, last = entry.attempts
        more = entry.duration_ms - (entry.ttft_ms or 0.0)
        entry.attempts = [*before, structs.replace(last, duration_ms=round(last.duration_ms + more, 1))]
        entry.ttft_ms = entry.duration_ms

    def _first_byte(self, alias: str) -> float:
        return self.chance.lognormvariate(_PACE.get(alias, _PACE[SONNET])[0], 0.4)

    def _failure(self, entry: Entry, target: Target, number: int) -> tuple[int, str, float] | None:
        """Status, words and milliseconds of a call that fails. On the bad afternoon the direct provider mostly does, and
        the others, which then have to serve all, do more often than else."""
        begin, end = self.calendar.incident
        bad = begin.timestamp() <= entry.started_at <= end.timestamp()
        often = (_FAILS_IN_INCIDENT if target.provider == DIRECT else _FAILS_BESIDE) if bad else _FAILS
        if self.chance.random() >= often:
            return None
        known = (529, 429, 500, 0) if number or bad else (529, 429, 500, 0, 400)
        status = self.chance.choices(known, (14, 1, 1, 2) if bad else (5, 3, 2, 1, 3)[: len(known)])[0]
        if not status:
            return 0, "no answer within 120 s", 120_000.0
        return status, f"upstream answered {status}", self.chance.uniform(80, 900)

    def _give_up(self, entry: Entry, waited: float) -> None:
        last = entry.attempts[-1]
        entry.outcome, entry.duration_ms = "upstream_error", round(waited, 1)
        entry.status, entry.reason = last.status or 504, f"upstream_{last.status or 'timeout'}"
        entry.error_type, entry.error_message = _ERRORS[last.status]
        if len(entry.attempts) == 1 and last.status in (500, 529):
            entry.reason = "retry_budget"

    def _leave_out(self, entry: Entry) -> None:
        """What the clouds do not take of a client that speaks to Anthropic."""
        coder = entry.user_agent.startswith("claude-cli")
        if entry.provider in _AWAY and entry.client_format == ANTHROPIC and coder:
            count = self.chance.choices((0, 1, 2, 3), (2, 3, 3, 1))[0]
            entry.betas_removed = list(_LEFT_OUT[:count])
            entry.fields_removed = ["cache_control.scope"] if count else []
