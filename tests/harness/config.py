"""Declarative configurations for tests: the standard one, and the pieces to build another."""

from dataclasses import dataclass, field
from typing import Any

import yaml

UPSTREAM_CREDENTIAL = "sk-ant-upstream-credential-0001"
SECOND_CREDENTIAL = "second-upstream-token-0002"

# The callers' keys by name. Imported keys may be any text; their first eight characters are their prefix.
KEYS = {
    "main": "alphmain-key-of-the-tests-0001",
    "narrow": "alphnarr-key-of-the-tests-0002",
    "disabled": "alphdisa-key-of-the-tests-0003",
    "expired": "alphexpi-key-of-the-tests-0004",
    "elsewhere": "alphelse-key-of-the-tests-0005",
    "personal": "alphpers-key-of-the-tests-0006",
    "beta": "betamain-key-of-the-tests-0007",
}

Entry = dict[str, Any]


@dataclass(slots=True)
class Config:
    """One file of `import_config`. Secrets stand in it as references; `environment` has their values."""

    providers: list[Entry] = field(default_factory=list)
    routes: list[Entry] = field(default_factory=list)
    aliases: list[Entry] = field(default_factory=list)
    teams: list[Entry] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)
    organization: Entry = field(default_factory=dict)
    users: list[Entry] = field(default_factory=list)

    def text(self) -> str:
        content: Entry = {"version": 1}
        for name in ("providers", "routes", "aliases", "organization", "teams", "users"):
            if getattr(self, name):
                content[name] = getattr(self, name)
        return yaml.safe_dump(content, sort_keys=False)


def provider_entry(name: str, url: str, **settings: Any) -> Entry:
    """A provider of the Anthropic format on this machine, paid with the fake provider's credential."""
    return {
        "name": name,
        "format": "anthropic",
        "base_url": url,
        "credential": {"kind": "api_key", "api_key": "${UPSTREAM_CREDENTIAL}"},
        "allow_private_addresses": True,
        **settings,
    }


def target(provider: str, model: str, tier: int = 0) -> Entry:
    return {"provider": provider, "model": model, "tier": tier, "weight": 1}


def route(name: str, *targets: Entry, **settings: Any) -> Entry:
    """A route whose breaker never opens by itself, so that one test's failures do not show in another."""
    return {
        "name": name,
        "strategy": "priority",
        "sticky": "none",
        "targets": list(targets),
        "breaker": {"failures": 100000, "window": 1},
        **settings,
    }


def alias(name: str, to: str, display_name: str = "") -> Entry:
    return {"name": name, "route": to, "display_name": display_name}


def _key(name: str, **settings: Any) -> Entry:
    return {"name": name, "secret": f"${{KEY_{name.upper()}}}", "kind": "service", **settings}


def standard_teams() -> list[Entry]:
    """Team alpha with one key of every sort, team beta that may use two models only."""
    keys = [
        _key("main"),
        _key("narrow", allowed_models=["claude-same"]),
        _key("disabled", enabled=False),
        _key("expired", expires="2020-01-01T00:00:00Z"),
        _key("elsewhere", allowed_ips=["10.0.0.0/8"]),
        _key("personal", kind="personal", owner="ada@example.org"),
    ]
    members = [{"email": "ada@example.org", "role": "member"}]
    alpha = {"name": "alpha", "members": members, "projects": [{"name": "one", "keys": keys}, {"name": "two"}]}
    beta = {
        "name": "beta",
        "allowed_models": ["claude-same", "claude-alias"],
        "projects": [{"name": "one", "keys": [_key("beta")]}],
    }
    return [alpha, beta]


def standard_config(url: str, second_url: str = "", dead_url: str = "http://127.0.0.1:9") -> Config:
    """What the shared gateway of the tests serves.

    Aliases: `claude-same` (same name upstream), `claude-alias` (renamed to `claude-upstream-20260101`), `claude-drain`,
    `claude-hasty` (short timeouts), `claude-two` (fallback to the second provider), `claude-dead` (first target refuses
    connections), `claude-pattern-*`.
    """
    second = {"credential": {"kind": "bearer", "token": "${SECOND_CREDENTIAL}"}}
    hasty = {"first_byte_timeout": 0.5, "idle_timeout": 0.5, "connect_timeout": 0.5}
    main = "anthropic-main"
    return Config(
        providers=[
            provider_entry(main, url),
            provider_entry("anthropic-drain", url, on_client_disconnect="drain"),
            provider_entry("anthropic-hasty", url, **hasty),
            provider_entry("anthropic-dead", dead_url, connect_timeout=1),
            provider_entry("anthropic-second", second_url or url, **second),
        ],
        routes=[
            route("same", target(main, "claude-same"), max_attempts=1),
            route("renamed", target(main, "claude-upstream-20260101"), max_attempts=1),
            route("drain", target("anthropic-drain", "claude-drain"), max_attempts=1),
            route("hasty", target("anthropic-hasty", "claude-hasty"), max_attempts=1),
            route("two", target(main, "claude-first"), target("anthropic-second", "claude-second", 1), max_attempts=2),
            route(
                "dead",
                target("anthropic-dead", "claude-dead"),
                target("anthropic-second", "claude-second", 1),
                max_attempts=2,
            ),
            route("pattern", target(main, "claude-pattern"), max_attempts=1),
        ],
        aliases=[
            alias("claude-same", "same", "Claude Same"),
            alias("claude-alias", "renamed", "Claude Alias"),
            alias("claude-drain", "drain"),
            alias("claude-hasty", "hasty"),
            alias("claude-two", "two"),
            alias("claude-dead", "dead"),
            alias("claude-pattern-*", "pattern"),
        ],
        teams=standard_teams(),
        environment={
            "UPSTREAM_CREDENTIAL": UPSTREAM_CREDENTIAL,
            "SECOND_CREDENTIAL": SECOND_CREDENTIAL,
            **{f"KEY_{name.upper()}": secret for name, secret in KEYS.items()},
        },
    )
