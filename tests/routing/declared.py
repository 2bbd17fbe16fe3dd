"""A whole configuration file for tests, and short ways to import variations of it."""

import copy
from collections.abc import Mapping
from typing import Any

import yaml

from routing.declarative import Imported, import_config

ENVIRON = {"UPSTREAM_KEY": "sk-ant-canary-0001", "CI_KEY": "imported-key-canary-0001"}

WHOLE: dict[str, Any] = {
    "version": 1,
    "providers": [
        {
            "name": "anthropic-main",
            "format": "anthropic",
            "base_url": "https://api.example.com",
            "region": "",
            "project": "",
            "enabled": True,
            "credential": {"kind": "api_key", "api_key": "${UPSTREAM_KEY}"},
            "connect_timeout": 5,
            "first_byte_timeout": 120,
            "idle_timeout": 90.5,
            "max_connections": 512,
            "on_client_disconnect": "cancel",
            "allow_private_addresses": False,
        },
        {
            "name": "local",
            "base_url": "http://127.0.0.1:9",
            "credential": {"kind": "none"},
            "allow_private_addresses": True,
        },
    ],
    "routes": [
        {
            "name": "sonnet",
            "strategy": "weighted",
            "sticky": "session",
            "targets": [
                {"provider": "anthropic-main", "model": "claude-sonnet-4-5", "tier": 0, "weight": 80},
                {"provider": "local", "model": "m", "tier": 1, "weight": 1},
            ],
            "conditions": [],
            "max_attempts": 3,
            "retry_on": ["connect", "timeout", 429, 529],
            "cooldown": 30,
            "breaker": {"failures": 5, "window": 30},
        }
    ],
    "aliases": [
        {"name": "claude-sonnet-4-5", "route": "sonnet", "display_name": "Claude Sonnet 4.5"},
        {"name": "claude-sonnet-4-5-*", "route": "sonnet"},
    ],
    "prices": [],
    "organization": {"budgets": [], "rate_limits": []},
    "teams": [
        {
            "name": "platform",
            "display_name": "Platform engineering",
            "timezone": "Europe/Berlin",
            "allowed_models": ["*"],
            "capture": "metadata",
            "budgets": [],
            "members": [{"email": "Ada@Example.org", "role": "owner"}, {"email": "bob@example.org"}],
            "projects": [
                {
                    "name": "default",
                    "budgets": [],
                    "keys": [
                        {
                            "name": "ci",
                            "secret": "${CI_KEY}",
                            "kind": "service",
                            "expires": "2099-06-30T00:00:00Z",
                            "allowed_models": ["claude-sonnet-*"],
                            "allowed_ips": ["10.0.0.0/8"],
                            "tags": {"cost_center": "4711"},
                            "enabled": True,
                        },
                        {"name": "ada", "kind": "personal", "owner": "ada@example.org"},
                    ],
                }
            ],
        }
    ],
}


def whole() -> dict[str, Any]:
    return copy.deepcopy(WHOLE)


def apply(
    content: Mapping[str, Any] | str,
    *,
    prune: bool = False,
    dry_run: bool = False,
    environ: Mapping[str, str] = ENVIRON,
) -> Imported:
    text = content if isinstance(content, str) else yaml.safe_dump(dict(content))
    return import_config(text.encode(), environ=environ, prune=prune, dry_run=dry_run)
