"""Sessions of Claude Code in the demo: a prompt that grows and stays cached, subagents beside it, the odd failure."""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from accounting.money.entry import Entry
from accounting.money.usage import Usage
from routing.demo.answers import Desk
from routing.demo.callers import Caller, Client, client_of, model_of
from routing.demo.people import address
from routing.demo.upstreams import DIRECT, FABLE, HAIKU, OPUS, SONNET, Target
from routing.formats.base import COUNT_TOKENS

SHARE_WITH_AGENTS = 0.22
_LARGEST_PROMPT = 165_000  # then the conversation is made short
_CACHE_LIFE = timedelta(minutes=5)
_FAST = frozenset({address("Grace"), address("Konrad")})


@dataclass(slots=True)
class _Agent:
    """One line of a session: its own prompt, its own cache, one target as long as that answers."""

    id: str
    parent: str
    model: str
    target: Target
    at: datetime
    cached: int
    hour: bool  # whether its cache lives for an hour
    warm: bool = True
    last: tuple[str, str] | None = None  # who has served it
    failed: str = ""  # the request whose stream broke just now


@dataclass(slots=True)
class Session:
    """One session of one person, or of a bot that runs Claude Code."""

    desk: Desk
    caller: Caller
    client: Client
    id: str
    agents: int = field(default=0)

    def requests(self, at: datetime) -> Iterator[Entry]:
        """All its requests, not in order: the main agent's, then those of each subagent."""
        chance = self.desk.chance
        subagents = chance.randrange(2, 7) if chance.random() < SHARE_WITH_AGENTS else 0
        main = self._agent("", model_of(chance, self.caller), at, chance.randrange(30_000, 75_000))
        steps = chance.randrange(12, 50) if subagents else int(chance.paretovariate(1.15) * 3) % 40 + 3
        yield from self._steps(main, steps)
        span = (main.at - at).total_seconds()
        known = [main.id]
        for _ in range(subagents):
            parent = known[0] if chance.random() < 0.8 else chance.choice(known)
            begin = at + timedelta(seconds=chance.random() * span * 0.7)
            agent = self._agent(
                parent, HAIKU if chance.random() < 0.55 else SONNET, begin, chance.randrange(12_000, 28_000)
            )
            known.append(agent.id)
            yield from self._steps(agent, chance.randrange(4, 18))

    def _agent(self, parent: str, model: str, at: datetime, cached: int) -> _Agent:
        chance = self.desk.chance
        route = self.desk.route(self.caller, model)
        name = f"agent-{chance.getrandbits(32):08x}"
        return _Agent(
            name, parent, model, self.desk.choose(route), at, cached, hour=not parent and chance.random() < 0.5
        )

    def _steps(self, agent: _Agent, count: int) -> Iterator[Entry]:
        chance = self.desk.chance
        for number in range(count):
            entry = self._step(agent, first=number == 0)
            yield entry
            pause = chance.lognormvariate(2.6 if agent.parent else 3.4, 0.9)
            agent.warm = agent.hour or pause < _CACHE_LIFE.total_seconds()
            agent.at += timedelta(seconds=min(pause, 2400.0), milliseconds=entry.duration_ms)

    def _step(self, agent: _Agent, *, first: bool) -> Entry:
        desk, chance = self.desk, self.desk.chance
        entry = desk.blank(self.caller, self.client, agent.at, agent.model)
        entry.session_id, entry.agent_id, entry.parent_agent_id = self.id, agent.id, agent.parent
        if first and chance.random() < 0.1:
            return self._count(entry, agent)
        entry.resend_of, agent.failed = agent.failed, ""
        route = desk.route(self.caller, agent.model)
        if not desk.call(entry, route, agent.target):
            return entry
        usage = self._usage(entry, agent, first=first)
        draw = chance.random()
        if draw < 0.012:
            desk.leave(entry, usage)
        elif draw < 0.016:
            desk.break_off(entry, usage)
            agent.failed = entry.request_id
        else:
            desk.serve(entry, usage)
        return entry

    def _count(self, entry: Entry, agent: _Agent) -> Entry:
        """Counting tokens: a question that costs nothing."""
        entry.operation, entry.stream = COUNT_TOKENS, False
        if self.desk.call(entry, self.desk.route(self.caller, agent.model), agent.target):
            entry.outcome, entry.status, entry.duration_ms = "served", 200, entry.ttft_ms or 0.0
        return entry

    def _usage(self, entry: Entry, agent: _Agent, *, first: bool) -> Usage:
        """The prompt so far is read from the cache, what is new is written to it; another target has none of it."""
        chance = self.desk.chance
        served = (entry.provider, entry.upstream_model)
        moved = agent.last is not None and served != agent.last
        if moved and agent.last is not None:
            entry.switched_from, entry.switch_tokens = "/".join(agent.last), agent.cached if agent.warm else 0
        agent.last = served
        fresh = int(chance.lognormvariate(7.5, 1.0))
        cold = moved or not agent.warm or (first and chance.random() < 0.6)
        written, read = (agent.cached + fresh, 0) if cold else (fresh, agent.cached)
        usage = Usage(input=chance.randrange(3, 14), output=int(chance.lognormvariate(6.6, 1.0)) + 1, cache_read=read)
        if agent.hour:
            usage.cache_write_1h = written
        else:
            usage.cache_write_5m = written
        self._extras(entry, agent, usage)
        agent.cached = agent.cached + fresh if agent.cached < _LARGEST_PROMPT else chance.randrange(18_000, 40_000)
        return usage

    def _extras(self, entry: Entry, agent: _Agent, usage: Usage) -> None:
        """Fast mode, which one person likes, and searches of subagents; only Anthropic's own API has them."""
        if entry.provider != DIRECT:
            return
        if self.caller.plan.owner in _FAST and entry.alias in (OPUS, FABLE) and not agent.parent:
            usage.speed = "fast"
        if agent.parent and self.desk.chance.random() < 0.1:
            usage.web_searches = self.desk.chance.randrange(1, 5)


def session(desk: Desk, caller: Caller) -> list[Entry]:
    """The requests of one session; one that would not be over yet began earlier."""
    chance, now = desk.chance, desk.calendar.now
    kind = "people" if caller.plan.owner else "programs"
    at = desk.calendar.moment(chance, caller.zone, kind, caller.plan.silent_for)
    name = str(uuid.UUID(int=chance.getrandbits(128), version=4))
    found = list(Session(desk, caller, client_of(chance, caller), name).requests(at))
    return [entry for entry in found if entry.started_at < now.timestamp()]
