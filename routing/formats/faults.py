"""What can go wrong with bytes: a broken frame, a model id that no path can carry, a request that an upstream cannot take,
and an upstream's error once it is understood. No I/O.
"""

from dataclasses import dataclass

from routing.formats.base import Headers
from routing.formats.peek import BadBody

# What became of a request upstream, in one word; the tables of `routing.formats.errors` give each its shape per format.
INVALID, CREDENTIAL, PERMISSION, NOT_FOUND = "invalid", "credential", "permission", "not_found"
TOO_LARGE, RATE_LIMIT, TIMEOUT, MODEL_ERROR = "too_large", "rate_limit", "timeout", "model_error"
INTERNAL, OVERLOADED, BILLING, CONFLICT = "internal", "overloaded", "billing", "conflict"
KINDS = (
    *(INVALID, CREDENTIAL, PERMISSION, NOT_FOUND, TOO_LARGE, RATE_LIMIT),
    *(TIMEOUT, MODEL_ERROR, INTERNAL, OVERLOADED, BILLING, CONFLICT),
)


class FormatError(ValueError):
    """Bytes of an upstream that are not in the format they should be in; the text says what is wrong, never quotes them."""


class InvalidModel(BadBody):
    """A model id with something in it that no path can carry: control characters, `..`, an encoding twice over."""


class NotBridgeable(ValueError):
    """A request that cannot be carried to an upstream of this format.

    `feature` names what cannot be carried, `upstream` the format of the upstream, `capability` the class by which a client
    repairs its request (empty where there is none); `status` is 400, or 501 for an operation that the upstream lacks.
    """

    def __init__(self, feature: str, upstream: str, capability: str = "", status: int = 400) -> None:
        self.feature = feature
        self.upstream = upstream
        self.capability = capability
        self.status = status
        super().__init__(self.message)

    @property
    def message(self) -> str:
        """The text for the client; a capability class stands alone, because clients match the whole text."""
        if self.capability:
            return f"capability_rejected: {self.capability}"
        return f"{self.feature} is not possible on the upstream that serves this model ({self.upstream})."


@dataclass(frozen=True, slots=True)
class UpstreamFault:
    """An upstream's error answer, understood.

    `format` is the upstream's; `kind` one of `KINDS`; `status` as received, 502 for one that is no error's; `type` the
    error's own name (`overloaded_error`, `ThrottlingException`, `RESOURCE_EXHAUSTED`); `message` in full, for the log only;
    `error_code` of `error.details`; `retry_after` and `should_retry` the headers' values as received; `object_json` the
    bytes of a Messages `error` object, `body` an answer of another shape, both empty where there is none.
    """

    format: str
    kind: str
    status: int
    type: str
    message: str
    error_code: str = ""
    retry_after: str = ""
    should_retry: str = ""
    object_json: bytes = b""
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Reply:
    """A complete answer for a client: its status, headers with lower-case names, body."""

    status: int
    headers: Headers
    body: bytes


@dataclass(frozen=True, slots=True)
class StreamFailure:
    """Why a stream failed: a Messages error type, the text that the client got, the full text for the log."""

    type: str
    message: str
    detail: str
