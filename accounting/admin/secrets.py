"""Secrets that are shown once: handed from the request that made one to the page that shows it, then forgotten."""

import time
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.http import HttpRequest

from gateway_project.crypto import Secret, UnreadableSecret, ring

MOST_SECONDS = 600
SLOT = "shown_once"


def keep_once(request: HttpRequest, kind: str, pk: int, secret: Secret) -> None:
    """Keeps `secret` in the session, encrypted, for the next page."""
    request.session[SLOT] = {"kind": kind, "pk": pk, "at": time.time(), "sealed": ring().encrypt(secret.reveal())}


def take_once(request: HttpRequest, kind: str, pk: int) -> Secret | None:
    """The secret kept for this row, the first time only, within ten minutes."""
    kept: dict[str, Any] | None = request.session.get(SLOT)
    if not kept or kept.get("kind") != kind or kept.get("pk") != pk:
        return None
    del request.session[SLOT]
    if time.time() - kept["at"] > MOST_SECONDS:
        return None
    try:
        return Secret(ring().decrypt(kept["sealed"]))
    except UnreadableSecret:
        return None


@dataclass(frozen=True, slots=True)
class Snippet:
    """Lines to paste, with a title."""

    id: str
    title: str
    text: str


def gateway_address(request: HttpRequest) -> str:
    """The address that clients should use, without a slash at the end."""
    return settings.GATEWAY_PUBLIC_URL or f"{request.scheme}://{request.get_host()}"


def key_snippets(address: str, model: str, secret: Secret) -> list[Snippet]:
    """What a person does next with a new virtual key."""
    text = secret.reveal()
    curl = (
        f"curl {address}/v1/messages \\\n"
        f'  -H "x-api-key: {text}" \\\n'
        '  -H "anthropic-version: 2023-06-01" \\\n'
        '  -H "content-type: application/json" \\\n'
        f"""  -d '{{"model": "{model}", "max_tokens": 64, "messages": [{{"role": "user", "content": "Say hello."}}]}}'"""
    )
    claude = f'export ANTHROPIC_BASE_URL="{address}"\nexport ANTHROPIC_AUTH_TOKEN="{text}"\nclaude'
    return [
        Snippet("snippet-curl", "Try it with curl", curl),
        Snippet("snippet-claude", "Use it in Claude Code", claude),
    ]


def token_snippets(address: str, secret: Secret) -> list[Snippet]:
    """What a person does next with a new API token."""
    curl = f'curl "{address}/api/v1/requests/" \\\n  -H "Authorization: Bearer {secret.reveal()}"'
    return [Snippet("snippet-curl", "Read the latest requests", curl)]
