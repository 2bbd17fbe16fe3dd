"""Secrets that are shown once: handed from the request that made one to the page that shows it, then forgotten."""

import time
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
    if not waits(request, kind, pk):
        return None
    kept: dict[str, Any] = request.session.pop(SLOT)
    if time.time() - kept["at"] > MOST_SECONDS:
        return None
    try:
        return Secret(ring().decrypt(kept["sealed"]))
    except UnreadableSecret:
        return None


def waits(request: HttpRequest, kind: str, pk: int) -> bool:
    """Whether a secret of this row has been made and not been shown yet."""
    kept: dict[str, Any] = request.session.get(SLOT) or {}
    return (kept.get("kind"), kept.get("pk")) == (kind, pk)


def gateway_address(request: HttpRequest) -> str:
    """The address that clients should use, without a slash at the end."""
    return settings.GATEWAY_PUBLIC_URL or f"{request.scheme}://{request.get_host()}"
