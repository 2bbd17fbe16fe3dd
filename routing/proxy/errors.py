"""Every way in which the gateway itself refuses or fails a request: status, type, text, what the record says. No I/O.

A format renders a `GatewayError` in its own shape (`routing.formats`). Nothing here names an upstream's address,
account or credential; `message` is meant for the developer at the other end.
"""

from dataclasses import dataclass, field


@dataclass(slots=True)
class GatewayError(Exception):
    """`type` is the Messages error type; `reason` the word that the record keeps; `retry` sets `x-should-retry`.

    `outcome` is `refused` for a request that was not let through, `upstream_error` when upstreams failed it.
    """

    status: int
    type: str
    message: str
    reason: str
    retry: bool | None = None
    retry_after: int | None = None
    outcome: str = "refused"
    headers: tuple[tuple[bytes, bytes], ...] = field(default=())

    def __str__(self) -> str:
        return f"{self.status} {self.type}: {self.message}"


def not_found(message: str) -> GatewayError:
    return GatewayError(404, "not_found_error", message, "unknown_path")


def method_not_allowed(allowed: str) -> GatewayError:
    allow = (b"allow", allowed.encode())
    text = f"This address takes {allowed} only."
    return GatewayError(405, "invalid_request_error", text, "method_not_allowed", headers=(allow,))


def unauthenticated(message: str, reason: str) -> GatewayError:
    return GatewayError(401, "authentication_error", message, reason, retry=False)


_REFUSED_KEYS = {
    "revoked": "This key has been revoked. Ask your team for a new one.",
    "disabled": "This key is disabled.",
    "expired": "This key has expired. Ask your team for a new one.",
    "team_disabled": "The team of this key is disabled.",
    "project_disabled": "The project of this key is disabled.",
    "owner_disabled": "The owner of this key is disabled.",
    "address_not_allowed": "This key may not be used from this address.",
}


def key_refused(reason: str) -> GatewayError:
    """A key of the gateway that may not be used; `reason` is the directory's word."""
    return unauthenticated(_REFUSED_KEYS.get(reason, "This key is not usable."), reason)


def policy_blocked(message: str, reason: str) -> GatewayError:
    """The one refusal that Claude Code shows as written and sends once, in all three formats (2.1.330)."""
    return GatewayError(400, "policy_blocked", message, reason, retry=False)


def invalid(message: str, reason: str = "invalid_request") -> GatewayError:
    return GatewayError(400, "invalid_request_error", message, reason)


def too_large(limit: int) -> GatewayError:
    text = f"The request is larger than {limit} bytes, the most that this gateway takes."
    return GatewayError(413, "request_too_large", text, "too_large")


def unknown_model(model: str, closest: tuple[str, ...] = ()) -> GatewayError:
    hint = f" Did you mean {', '.join(closest)}?" if closest else ""
    return GatewayError(
        404, "not_found_error", f"model: {model} is not a model of this gateway.{hint}", "unknown_model"
    )


def no_such_file(file_id: str) -> GatewayError:
    """Another team's file is not there for this caller."""
    return GatewayError(404, "not_found_error", f"File not found: {file_id}", "unknown_file")


def not_supported(message: str) -> GatewayError:
    return GatewayError(501, "not_supported", message, "not_supported", retry=False)


def overloaded(message: str, retry_after: int, reason: str = "no_target") -> GatewayError:
    return GatewayError(529, "overloaded_error", message, reason, retry_after=retry_after, outcome="upstream_error")


def deadline_over() -> GatewayError:
    text = "The request took too long to arrive; its time was over before a provider could be asked."
    return GatewayError(504, "timeout_error", text, "deadline")


def upstream_failed(message: str, reason: str, *, status: int = 502, type: str = "api_error") -> GatewayError:  # noqa: A002
    return GatewayError(status, type, message, reason, outcome="upstream_error")


def shutting_down() -> GatewayError:
    return GatewayError(
        503, "api_error", "The gateway is restarting; try again in a second.", "shutting_down", retry_after=1
    )


def not_ready() -> GatewayError:
    text = "The gateway has not read its configuration yet. Try again shortly."
    return GatewayError(503, "api_error", text, "not_ready", retry_after=1)


def records_full() -> GatewayError:
    text = "The gateway cannot keep records at the moment, and serves nothing unrecorded. Try again shortly."
    return GatewayError(503, "api_error", text, "records_full", retry_after=5)
