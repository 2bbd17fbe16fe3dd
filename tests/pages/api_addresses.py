"""The addresses of the REST API, as the resolver has them, and for each that writes a body that is taken."""

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils import timezone

from tests.pages.everybody import Everything

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
JSON = "application/json"
TOMORROW = (timezone.now() + timedelta(days=1)).isoformat()

# What a writer may send, with every field that the description has. Words of rows stand for their ids.
BODIES: Mapping[tuple[str, str], Mapping[str, Any]] = {
    ("alert_destinations", "POST"): {
        "team": "platform", "name": "more", "kind": "mail", "addresses": ["b@example.org"], "url": "", "enabled": True,
        "version": 0,
    },
    ("alert_destination", "PATCH"): {
        "team": "platform", "name": "renamed", "kind": "mail", "addresses": ["b@example.org"], "url": "", "enabled": True,
        "version": 1,
    },
    ("alert_rules", "POST"): {
        "team": "platform", "name": "more", "kind": "budget_threshold", "percent": 80, "minutes": 60, "least_requests": 10,
        "days": 7, "destinations": [], "enabled": True, "version": 0,
    },
    ("alert_rule", "PATCH"): {
        "team": "platform", "name": "renamed", "kind": "budget_used_up", "percent": 80, "minutes": 60,
        "least_requests": 10, "days": 7, "destinations": [], "enabled": True, "version": 1,
    },
    ("budgets", "POST"): {
        "scope": {"type": "project", "id": "project"}, "period": "day", "amount": "7", "model": "claude-*", "tag": None,
        "hard": True, "soft": [50], "carry_over": False, "temporary_raise": None, "version": 0,
    },
    ("budget", "PATCH"): {
        "scope": {"type": "project", "id": "project"}, "period": "month", "amount": "7", "model": None, "tag": None,
        "hard": True, "soft": [50], "carry_over": False, "version": 1,
        "temporary_raise": {"amount": "1", "until": TOMORROW, "reason": "launch"},
    },
    ("rate_limits", "POST"): {
        "scope": {"type": "key", "id": "key"}, "kind": "concurrent_requests", "amount": 7, "model": None, "tag": None,
        "version": 0,
    },
    ("rate_limit", "PATCH"): {
        "scope": {"type": "key", "id": "key"}, "kind": "requests_per_minute", "amount": 7, "model": None, "tag": None,
        "version": 1,
    },
    ("invitations", "POST"): {"team": "platform", "role": "member", "days": 7, "email": "", "mailed": False},
    ("keys", "POST"): {
        "name": "more", "project": "default", "team": "platform", "kind": "service", "owner": None, "expires_at": TOMORROW,
        "allowed_models": ["*"], "allowed_ips": ["192.0.2.0/24"], "tags": {"for": "tests"}, "budget": "3",
        "budget_period": "day", "rate_limits": {"requests_per_minute": 3},
    },
    ("key", "PATCH"): {
        "name": "renamed", "expires_at": None, "allowed_models": ["*"], "allowed_ips": [], "tags": {}, "enabled": True,
        "version": 1,
    },
    ("key_rotation", "POST"): {"overlap": "1h", "version": 1},
    ("key_switch", "POST"): {"enabled": False},
    ("member", "PATCH"): {"role": "viewer", "version": 1},
    ("projects", "POST"): {"team": "platform", "name": "more", "display_name": "More"},
    ("project", "PATCH"): {"display_name": "Other", "enabled": True, "version": 1},
    ("budget_requests", "POST"): {"budget": "budget", "amount": "1", "until": TOMORROW, "reason": "launch"},
    ("budget_request_decision", "POST"): {"decision": "change", "amount": "2", "until": TOMORROW, "comment": "well"},
    ("explain", "POST"): {
        "key": "prefix", "model": "claude-sonnet-4-5", "format": "anthropic", "stream": True, "betas": ["b-1"],
        "session": "s", "client_ip": "192.0.2.7", "request": "req_s",
        "body": {"model": "claude-sonnet-4-5", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]},
    },
}  # fmt: skip


def _patterns() -> dict[str, tuple[str, URLPattern]]:
    """The addresses of the API, by their names, with their patterns."""
    found: dict[str, tuple[str, URLPattern]] = {}

    def walk(resolver: URLResolver, before: str) -> None:
        for each in resolver.url_patterns:
            path = f"{before}{each.pattern}"
            if isinstance(each, URLResolver):
                walk(each, path)
            elif path.startswith("/api/"):
                found[str(each.name)] = (path, each)

    walk(get_resolver(), "/")
    return found


PATTERNS = _patterns()
OFFERED = {
    name: frozenset(method for method in METHODS if hasattr(pattern.callback.cls, method.lower()))  # type: ignore[attr-defined]
    | ({"HEAD"} if hasattr(pattern.callback.cls, "get") else set())  # type: ignore[attr-defined]
    for name, (_path, pattern) in PATTERNS.items()
}


def kind_of(name: str) -> str:
    kinds = ("budget_request", "budget", "rate_limit", "member", "invitation", "project", "key", "alert_rule")
    found = next((kind for kind in kinds if name.startswith(kind)), "alert_destination")
    return "webhook" if name == "alert_destination_rotation" else found


def address_of(name: str, everything: Everything) -> str:
    text = PATTERNS[name][0].replace("<str:request_id>", "req_1").replace("<path:session_id>", "s1")
    text = text.replace("<int:pk>", str(everything.rows.get(kind_of(name))))
    assert "<" not in text, text
    return text


def body_of(name: str, method: str, everything: Everything) -> dict[str, Any]:
    body = dict(BODIES.get((name, method), {}))
    if "scope" in body:
        body["scope"] = {**body["scope"], "id": everything.rows[body["scope"]["id"]]}
    if "budget" in body and name == "budget_requests":
        body["budget"] = everything.world.budget.pk
    if name == "explain":
        body["key"] = everything.world.key.prefix
    if name in ("alert_rules", "alert_rule"):
        body["destinations"] = [everything.rows["alert_destination"]]
    return body


def ask(client: Client, method: str, address: str, body: Any = None) -> Any:
    data = json.dumps(body).encode() if body is not None else b""
    return client.generic(method, address, data, JSON)
