"""What the pages of requests and sessions draw: stretches of bars and of timelines, as numbers that SVG takes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.utils.translation import gettext_lazy as _

from accounting.history.agents import Agent
from accounting.history.sums import tokens_of
from accounting.models import RequestRecord
from accounting.templatetags.dashboard import KINDS

WIDTH = 1000.0  # of a drawing, in its own units
LEAST = 2.0  # of what has happened at all
KIND_LABELS = {
    "input": _("input"),
    "cache_write_5m": _("cache write, 5 min"),
    "cache_write_1h": _("cache write, 1 h"),
    "cache_read": _("cache read"),
    "output": _("output"),
}


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch: what it stands for, how much that is, its class of colour, where it begins and how long it is."""

    label: Any
    amount: Any
    tone: str
    start: float
    length: float


def token_parts(tokens: Mapping[str, int]) -> list[Part]:
    """Tokens by kind, always in the same order, as one bar."""
    total = sum(tokens.values())
    parts, start = [], 0.0
    for name, tone in KINDS:
        count = tokens.get(name, 0)
        length = WIDTH * count / total if total else 0.0
        parts.append(Part(KIND_LABELS[name], count, tone, round(start, 2), round(length, 2)))
        start += length
    return parts


def parts_of(record: RequestRecord) -> list[Part]:
    return token_parts(tokens_of(record))


@dataclass(frozen=True, slots=True)
class Lane:
    """A line of a timeline, with its label."""

    label: Any
    parts: list[Part]


def timeline_of(record: RequestRecord) -> list[Lane]:
    """A request's time: waiting and answering as a whole, then each attempt until it was answered or had failed.

    When an attempt began is not recorded. They follow each other, so they are laid end to end before the first byte; what is
    left at the beginning was spent in the gateway: queues, decisions, pauses between attempts.
    """
    whole = max(record.duration_ms, record.ttft_ms or 0.0, 0.001)
    first = record.ttft_ms if record.ttft_ms is not None else whole
    attempts = [(each, max(0.0, float(each.get("duration_ms") or 0))) for each in record.attempts]
    spent = sum(duration for _, duration in attempts)
    scale = WIDTH / max(whole, spent)
    inside = max(0.0, first - spent)
    lead = [_part(_("in the gateway"), inside, "idle", 0.0, scale)] if inside else []
    waiting = _part(_("waiting for the provider"), first - inside, "wait", inside, scale)
    lanes = [Lane(_("whole request"), [*lead, *([waiting] if attempts else [])])]
    if record.ttft_ms is not None:
        lanes[0].parts.append(_part(_("answering"), whole - first, "flow", first, scale))
    start = inside
    for number, (attempt, duration) in enumerate(attempts, 1):
        tone = "failed" if attempt.get("error") else "wait"
        label = f"{number}. {attempt.get('provider', '')}"
        lanes.append(Lane(label, [_part(label, duration, tone, start, scale)]))
        start += duration
    return lanes


def _part(label: Any, milliseconds: float, tone: str, start: float, scale: float) -> Part:
    length = max(LEAST, milliseconds * scale)
    return Part(label, milliseconds, tone, round(min(start * scale, WIDTH - LEAST), 2), round(length, 2))


TONES = {"served": "flow", "client_left": "idle", "refused": "refused"}


def lane_of(agent: Agent, since: datetime, until: datetime, most: int = 400) -> Lane:
    """The requests of an agent on the time of its session; of very many, the latest."""
    whole = max((until - since) / timedelta(milliseconds=1), 0.001)
    scale = WIDTH / whole
    return Lane(
        agent.agent_id,
        [
            _part(
                record.request_id,
                record.duration_ms,
                TONES.get(record.outcome, "failed"),
                (record.started_at - since) / timedelta(milliseconds=1),
                scale,
            )
            for record in agent.requests[-most:]
        ],
    )


def lanes_of(agents: Sequence[Agent], since: datetime, until: datetime) -> list[Lane]:
    return [lane_of(agent, since, until) for agent in agents]
