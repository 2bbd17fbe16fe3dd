"""Which addresses are the gateway's, and what each asks for. Pure: a path and a method in, a destination out."""

import re
from dataclasses import dataclass
from urllib.parse import unquote

from routing.formats.base import ANTHROPIC, COUNT_TOKENS, MESSAGES, MODELS

# The addresses that never reach Django's pages: every mount of every format, with any number of leading slashes.
OWN = r"^/*(?:anthropic(?:/|$)|v1(?:/|$)|api/hello$)"


@dataclass(frozen=True, slots=True)
class Destination:
    """What a path asks for. `methods` is empty for a path that nothing is at."""

    format: str
    operation: str
    methods: tuple[str, ...]
    subject: str = ""


_ANTHROPIC = {
    "/v1/messages": (MESSAGES, ("POST",)),
    "/v1/messages/count_tokens": (COUNT_TOKENS, ("POST",)),
    "/v1/models": (MODELS, ("GET",)),
}
_MODEL = re.compile(r"/v1/models/([^?]+)\Z")
_SLASHES = re.compile(r"/{2,}")


def destination(raw_path: bytes) -> Destination:
    """Where a request for this path goes; the path as it was sent, percent-encoded, without its query."""
    path = _SLASHES.sub("/", raw_path.decode("latin-1"))
    if path == "/anthropic" or path.startswith("/anthropic/"):
        path = path.removeprefix("/anthropic") or "/"
    found = _ANTHROPIC.get(path)
    if found is not None:
        return Destination(ANTHROPIC, found[0], found[1])
    if path in ("/", "/api/hello"):
        return Destination(ANTHROPIC, "hello", ("HEAD", "GET"))
    one = _MODEL.match(path)
    if one is not None:
        return Destination(ANTHROPIC, MODELS, ("GET",), unquote(one.group(1)))
    return Destination(ANTHROPIC, "unknown", ())
