"""One session as a tree of agents: who started whom, and what each asked for."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from accounting.history.listing import Records
from accounting.history.sums import ERRORS, Sums, sums_of
from accounting.models import RequestRecord

MOST_REQUESTS = 2_000  # of one session that its page looks at: the latest
_UNUSED = ("attempts", "betas_removed", "fields_removed", "price", "tags", "user_agent")


@dataclass(slots=True)
class Agent:
    """One agent of a session; the main one has no id. `requests` are in the order in which they began."""

    agent_id: str
    parent_id: str | None = None
    depth: int = 0
    requests: list[RequestRecord] = field(default_factory=list)
    sums: Sums = field(default_factory=Sums)

    @property
    def first_at(self) -> datetime:
        return self.requests[0].started_at

    @property
    def last_at(self) -> datetime:
        return max(ended(each) for each in self.requests)

    @property
    def busy_ms(self) -> float:
        """The durations of its requests together."""
        return sum(each.duration_ms for each in self.requests)

    @property
    def lasted_ms(self) -> float:
        return (self.last_at - self.first_at) / timedelta(milliseconds=1)

    @property
    def failures(self) -> list[RequestRecord]:
        """The requests that were not served to their end, refused ones included."""
        return [each for each in self.requests if each.outcome in ERRORS or each.outcome == "refused"]


@dataclass(frozen=True, slots=True)
class Session:
    """`agents` in the order of the tree: each is followed by those that it started. `whole` is false where only the latest
    requests were looked at."""

    session_id: str
    team: str
    agents: list[Agent]
    sums: Sums
    whole: bool

    @property
    def latest(self) -> RequestRecord:
        return max((each.requests[-1] for each in self.agents), key=lambda record: (record.started_at, record.pk))

    @property
    def first_at(self) -> datetime:
        return min(agent.first_at for agent in self.agents)

    @property
    def last_at(self) -> datetime:
        return max(agent.last_at for agent in self.agents)

    @property
    def lasted_ms(self) -> float:
        return (self.last_at - self.first_at) / timedelta(milliseconds=1)


def ended(record: RequestRecord) -> datetime:
    return record.started_at + timedelta(milliseconds=record.duration_ms)


def session_of(records: Records, session_id: str) -> Session | None:
    """The session of this id among these records, which are one team's; None if there is none."""
    if not session_id or "\x00" in session_id:
        return None
    found = records.filter(session_id=session_id).order_by("-started_at", "-id").defer(*_UNUSED)
    rows = list(found[: MOST_REQUESTS + 1])
    if not rows:
        return None
    kept = rows[:MOST_REQUESTS][::-1]
    return Session(session_id, kept[0].team, tree(kept), sums_of(kept), len(rows) <= MOST_REQUESTS)


def tree(records: Iterable[RequestRecord]) -> list[Agent]:
    """The agents of requests, which come in the order in which they began."""
    agents: dict[str, Agent] = {}
    for record in records:
        agent = agents.setdefault(record.agent_id, Agent(record.agent_id))
        agent.requests.append(record)
        if record.agent_id and record.parent_agent_id not in {"", record.agent_id}:
            agent.parent_id = record.parent_agent_id
    for agent in agents.values():
        agent.sums = sums_of(agent.requests)
        if agent.agent_id and agent.parent_id not in agents:
            agent.parent_id = "" if "" in agents else None
    return list(_in_order(agents))


def _in_order(agents: dict[str, Agent]) -> Iterator[Agent]:
    """Parents before their children; agents that name each other as parents begin trees of their own."""
    children: dict[str | None, list[Agent]] = {}
    for agent in agents.values():
        children.setdefault(agent.parent_id, []).append(agent)
    told: set[str] = set()
    for first in (*children.get(None, []), *agents.values()):
        waiting = [(first, 0)]
        while waiting:
            agent, depth = waiting.pop()
            if agent.agent_id in told:
                continue
            told.add(agent.agent_id)
            agent.depth = depth
            yield agent
            waiting += [(child, depth + 1) for child in reversed(children.get(agent.agent_id, []))]
