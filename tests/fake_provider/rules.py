"""What must never arrive at a provider. Each rule gives the sentences that a test fails with."""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from tests.fake_provider.received import Received

HOP_BY_HOP = {"te", "trailer", "upgrade", "keep-alive", "proxy-authorization", "proxy-authenticate", "proxy-connection"}
FROM_PROXIES = {
    "forwarded",
    "via",
    "cookie",
    "cookie2",
    "x-real-ip",
    "x-request-id",
    "cf-connecting-ip",
    "true-client-ip",
}
# Names of a client's session; logged, and harmless upstream. Every other hint of that family stays here.
SESSION_HEADERS = {"x-claude-code-session-id", "x-claude-code-agent-id", "x-claude-code-parent-agent-id"}
ONCE = ("host", "content-type", "content-length", "anthropic-version", "anthropic-beta", "user-agent", "accept")


@dataclass(slots=True)
class Expected:
    """What this provider accepts. `credential` is the one header that pays for a request, or None for none at all;
    `authorize` finds fault with credentials that are not the same for every request, and stands in its place;
    `secrets` are texts that belong to the gateway's own callers."""

    credential: tuple[str, str] | None = ("x-api-key", "sk-ant-upstream-credential-0001")
    secrets: set[str] = field(default_factory=set)
    session_headers: bool = True
    prefix: str = ""
    authorize: Callable[[Received], Iterable[str]] | None = None


def http_violations(request: Received, expected: Expected, host: str) -> Iterator[str]:
    """Rules of any format: framing, hop-by-hop headers, credentials, traces of the client's network."""
    if request.values("host") != [host]:
        yield f"host {request.values('host')} instead of {host}"
    for name in ONCE:
        if len(request.values(name)) > 1:
            yield f"{name} arrived {len(request.values(name))} times"
    for name, value in request.headers:
        yield from _header_violations(name.lower(), value, expected)
    yield from _credential_violations(request, expected)
    for secret in expected.secrets:
        if secret.encode() in request.head:
            yield "a secret of a caller stands in the request's head"
    if request.trailers:
        yield f"trailers {request.trailers!r}"


def _header_violations(name: str, value: str, expected: Expected) -> Iterator[str]:
    if name == "connection" and value.lower() not in {"keep-alive", "close"}:
        yield f"connection: {value}"
    if name in HOP_BY_HOP or name.startswith("proxy-"):
        yield f"hop-by-hop header {name}"
    if name == "expect":
        yield f"expect: {value}"
    if name in FROM_PROXIES or name.startswith("x-forwarded"):
        yield f"header {name} tells of the client's way here"
    if name == "accept-encoding" and value.strip().lower() != "identity":
        yield f"accept-encoding: {value}"
    if name == "content-encoding":
        yield f"content-encoding: {value}"
    hint = name.startswith(("x-claude-code-", "x-claude-1p-"))
    if hint and not (expected.session_headers and name in SESSION_HEADERS):
        yield f"client hint {name}"


def _credential_violations(request: Received, expected: Expected) -> Iterator[str]:
    if expected.authorize is not None:
        yield from expected.authorize(request)
        return
    found = [(name.lower(), value) for name, value in request.headers if name.lower() in {"x-api-key", "authorization"}]
    wanted = [expected.credential] if expected.credential else []
    if found != wanted:
        names, right = [name for name, _ in found], [name for name, _ in wanted]
        yield f"credentials in {names}, wanted exactly {right} and its value"


def anthropic_violations(request: Received) -> Iterator[str]:
    """Rules of the Messages API on top."""
    if len(request.values("anthropic-version")) != 1:
        yield f"anthropic-version {request.values('anthropic-version')}"
    if request.method != "POST":
        if request.body:
            yield f"{request.method} with a body"
        return
    content_type = request.values("content-type")
    if len(content_type) != 1 or content_type[0].partition(";")[0].strip().lower() != "application/json":
        yield f"content-type {content_type}"
    try:
        request.body.decode("utf-8")
        if not isinstance(json.loads(request.body), dict):
            yield "the body is not an object"
    except UnicodeDecodeError as error:
        yield f"the body is not UTF-8: {error.reason} at {error.start}"
    except (ValueError, RecursionError) as error:
        yield f"the body is not JSON: {error}"
