"""The demo's providers, routes, names and prices. Every provider is the built-in simulator, spoken to in its own format."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from routing.quickstart import SIMULATED
from routing.simulator import MOUNT

DIRECT, BEDROCK_US, BEDROCK_EU, VERTEX = "anthropic", "bedrock-us", "bedrock-eu", "vertex"
OPUS, SONNET, HAIKU, FABLE = "claude-opus-5-5", "claude-sonnet-5-5", "claude-haiku-5-5", "claude-fable-5-2"
OLD_SONNET, OLD_HAIKU = "claude-sonnet-4-5", "claude-haiku-4-5"
PREVIEW = "lab-preview"  # a model without a price
NEGOTIATED = "eu.anthropic.claude-sonnet-5-5-v1:0"


@dataclass(frozen=True, slots=True)
class Target:
    """One place of a route; `weight` is also how often the made-up requests went there first."""

    provider: str
    model: str
    weight: int = 1
    tier: int = 0

    def declared(self) -> dict[str, Any]:
        return {"provider": self.provider, "model": self.model, "weight": self.weight, "tier": self.tier}


@dataclass(frozen=True, slots=True)
class RoutePlan:
    name: str
    strategy: str
    targets: tuple[Target, ...]
    conditions: tuple[dict[str, Any], ...] = ()

    def declared(self) -> dict[str, Any]:
        targets = [target.declared() for target in self.targets]
        return {"name": self.name, "strategy": self.strategy, "targets": targets, "conditions": list(self.conditions)}


_EVALS = {"when": {"team": "research", "project": "evals"}, "route": "sonnet-evals"}
SERVED: dict[str, RoutePlan] = {  # by the name that clients ask for
    OPUS: RoutePlan(
        "opus-5-5",
        "weighted",
        (
            Target(DIRECT, OPUS, 6),
            Target(BEDROCK_US, "us.anthropic.claude-opus-5-5-v1:0", 3),
            Target(VERTEX, OPUS, 1, tier=1),
        ),
    ),
    SONNET: RoutePlan(
        "sonnet-5-5",
        "latency",
        (
            Target(DIRECT, SONNET, 4),
            Target(BEDROCK_EU, NEGOTIATED, 3),
            Target(VERTEX, SONNET, 3),
        ),
        (_EVALS,),
    ),
    HAIKU: RoutePlan("haiku-5-5", "least_busy", (Target(DIRECT, HAIKU, 5), Target(VERTEX, HAIKU, 3))),
    FABLE: RoutePlan(
        "fable-5-2",
        "priority",
        (Target(DIRECT, FABLE, 9), Target(BEDROCK_US, "global.anthropic.claude-fable-5-2-v1:0", 1, tier=1)),
    ),
    OLD_SONNET: RoutePlan(
        "sonnet-4-5", "weighted", (Target(BEDROCK_EU, "eu.anthropic.claude-sonnet-4-5-20250929-v1:0", 1),)
    ),
    OLD_HAIKU: RoutePlan(
        "haiku-4-5",
        "priority",
        (Target(VERTEX, "claude-haiku-4-5@20251001", 2), Target(DIRECT, "claude-haiku-4-5-20251001", 1, tier=1)),
    ),
    PREVIEW: RoutePlan(PREVIEW, "weighted", (Target(SIMULATED, "lab-preview-0", 1),)),
}
EVALS = RoutePlan("sonnet-evals", "weighted", (Target(BEDROCK_US, "us.anthropic.claude-sonnet-5-5-v1:0", 1),))
DRAFT = RoutePlan(
    "opus-5-5-cheaper",
    "priority",
    (Target(VERTEX, OPUS, 2), Target(DIRECT, OPUS, 1, tier=1)),
)


def document(address: str, now: datetime) -> dict[str, Any]:
    """Providers, routes, aliases and prices, as the configuration file has them."""
    return {
        "version": 1,
        "providers": _providers(f"{address}{MOUNT}"),
        "routes": [plan.declared() for plan in (*SERVED.values(), EVALS, DRAFT)],
        "aliases": _aliases(now),
        "prices": _prices(now),
    }


def _providers(address: str) -> list[dict[str, Any]]:
    simulated = {"base_url": address, "allow_private_addresses": True}
    token = {"kind": "bearer", "token": "demo-token"}
    return [
        {"name": DIRECT, **simulated, "credential": {"kind": "api_key", "api_key": "demo-key"}},
        {"name": BEDROCK_US, "format": "bedrock", "region": "us-east-1", **simulated, "credential": token},
        {"name": BEDROCK_EU, "format": "bedrock", "region": "eu-central-1", **simulated, "credential": token},
        {
            "name": VERTEX,
            "format": "vertex",
            "region": "europe-west1",
            "project": "demo-project",
            "credential": token,
            "on_client_disconnect": "drain",
            **simulated,
        },
    ]


def _aliases(now: datetime) -> list[dict[str, Any]]:
    return [
        {"name": PREVIEW, "route": PREVIEW, "display_name": "Lab preview"},
        {"name": "coder", "route": "opus-5-5", "display_name": "What our coders use"},
        {
            "name": OLD_SONNET,
            "route": "sonnet-4-5",
            "deprecation": {
                "from": now - timedelta(days=20),
                "until": now + timedelta(days=25),
                "successor": SONNET,
                "text": "Sonnet 5.5 costs less and answers better.",
            },
        },
        {
            "name": "claude-sonnet-4-0",
            "route": "sonnet-4",
            "deprecation": {"from": now - timedelta(days=80), "until": now - timedelta(days=9), "successor": SONNET},
        },
    ]


def _prices(now: datetime) -> list[dict[str, Any]]:
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    return [
        {
            "provider": BEDROCK_EU,
            "model": NEGOTIATED,
            "valid_from": midnight - timedelta(days=60),
            "input": "1.9",
            "output": "9.5",
            "cache_write_5m": "2.375",
            "cache_write_1h": "3.8",
            "cache_read": "0.1",
            "batch_multiplier": "0.5",
        },
        {
            "provider": VERTEX,
            "model": HAIKU,
            "valid_from": midnight + timedelta(days=14),
            "input": "0.12",
            "output": "0.6",
            "cache_write_5m": "0.15",
            "cache_write_1h": "0.24",
            "cache_read": "0.012",
        },
    ]
