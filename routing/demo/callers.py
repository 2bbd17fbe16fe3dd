"""The keys of the demo as requests know them, and the programs that they are used with."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from accounting.models import VirtualKey
from routing.demo.keys import ANTHROPIC_SDK, BOTO3, CLAUDE_CODE, PERSONAL, SERVICES, VERTEX_SDK, KeyPlan
from routing.demo.upstreams import FABLE, HAIKU, OLD_HAIKU, OLD_SONNET, OPUS, PREVIEW, SONNET
from routing.formats.base import ANTHROPIC, BEDROCK, VERTEX


@dataclass(frozen=True, slots=True)
class Client:
    """A program as records see it: the format that it speaks and its name."""

    format: str
    user_agent: str


@dataclass(frozen=True, slots=True)
class Caller:
    """A stored key and what it is used for. `network` is a number, the same each time, for its addresses."""

    plan: KeyPlan
    prefix: str
    zone: str
    tags: Mapping[str, str]
    network: int


_CLAUDE = "claude-cli/{} (external, {})"
_CLIENTS: Mapping[str, Sequence[tuple[Client, float]]] = {
    CLAUDE_CODE: (
        (Client(ANTHROPIC, _CLAUDE.format("2.1.330", "cli")), 7),
        (Client(ANTHROPIC, _CLAUDE.format("2.1.318", "cli")), 3),
        (Client(ANTHROPIC, _CLAUDE.format("2.1.330", "claude-vscode")), 2),
        (Client(ANTHROPIC, _CLAUDE.format("2.0.76", "cli")), 1),
        (Client(BEDROCK, _CLAUDE.format("2.1.330", "cli")), 1),
        (Client(VERTEX, _CLAUDE.format("2.1.330", "cli")), 1),
    ),
    ANTHROPIC_SDK: (
        (Client(ANTHROPIC, "Anthropic/Python 2.12.0"), 5),
        (Client(ANTHROPIC, "Anthropic/Python 1.4.1"), 1),
        (Client(ANTHROPIC, "Anthropic/JS 1.18.0"), 2),
    ),
    BOTO3: (
        (Client(BEDROCK, "Boto3/1.44.5 md/Botocore#1.44.5 ua/2.1 os/linux#6.8 lang/python#3.12.4"), 4),
        (Client(BEDROCK, "AnthropicBedrock/Python 2.12.0"), 1),
    ),
    VERTEX_SDK: (
        (Client(VERTEX, "AnthropicVertex/Python 2.12.0"), 3),
        (Client(VERTEX, "AnthropicVertex/JS 1.1.3"), 1),
    ),
}
_MODELS: Mapping[str, Sequence[tuple[str, float]]] = {
    CLAUDE_CODE: ((OPUS, 5), (SONNET, 7), (FABLE, 0.8), ("coder", 0.7)),
    ANTHROPIC_SDK: ((SONNET, 5), (OPUS, 2), (HAIKU, 3), (OLD_SONNET, 1), (PREVIEW, 0.25)),
    BOTO3: ((SONNET, 5), (HAIKU, 4), (OLD_SONNET, 1)),
    VERTEX_SDK: ((HAIKU, 5), (SONNET, 2), (OLD_HAIKU, 2)),
}
_CAREFUL = ((SONNET, 5.0), (HAIKU, 3.0))  # where Opus is not allowed


def load_callers() -> list[Caller]:
    """The keys that are used, in the order of their plans."""
    stored = {
        f"{key.project.team.name}/{key.project.name}/{key.name}": key
        for key in VirtualKey.objects.select_related("project__team")
    }
    plans = [plan for plan in (*PERSONAL, *SERVICES) if plan.weight]
    return [
        Caller(plan, key.prefix, key.project.team.timezone, dict(key.tags), number)
        for number, plan in enumerate(plans)
        if (key := stored.get(plan.place)) is not None
    ]


def client_of(chance: random.Random, caller: Caller) -> Client:
    clients = _CLIENTS[caller.plan.client]
    return chance.choices([client for client, _ in clients], [weight for _, weight in clients])[0]


def model_of(chance: random.Random, caller: Caller) -> str:
    """The name that a caller asks for."""
    models: Sequence[tuple[str, float]] = _MODELS[caller.plan.client]
    if caller.plan.models and caller.plan.client == CLAUDE_CODE:
        models = _CAREFUL
    return chance.choices([name for name, _ in models], [weight for _, weight in models])[0]
