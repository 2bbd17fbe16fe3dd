"""What a client is told when upstreams have failed: an upstream's own words where they are the client's business."""

from routing.formats.anthropic import read_error, with_request_id
from routing.formats.base import Headers
from routing.formats.headers import for_client
from routing.proxy.errors import GatewayError, upstream_failed
from routing.proxy.exchange import Exchange
from routing.proxy.upstream import Fault

TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    409: "conflict_error",
    413: "request_too_large",
    422: "invalid_request_error",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_CREDENTIAL = "The gateway's own credential for this provider was refused. Its administrator has to renew it."


def gateway_error(fault: Fault) -> GatewayError:
    """The fault in the gateway's words, for when the upstream has none that can be passed on."""
    if fault.status == 401:
        return GatewayError(502, "api_error", _CREDENTIAL, "upstream_credential", retry=False, outcome="upstream_error")
    if fault.kind == "timeout":
        return upstream_failed(
            "The provider did not answer in time.", "upstream_timeout", status=504, type="timeout_error"
        )
    if not fault.status:
        return upstream_failed("The provider could not be reached.", "upstream_unreachable")
    if fault.status < 400:
        return upstream_failed("The provider's answer was not one of the Messages API.", "upstream_answer")
    message = f"The provider answered with status {fault.status}."
    wait = fault.retry_after
    return GatewayError(
        fault.status,
        TYPES.get(fault.status, "api_error" if fault.status >= 500 else "invalid_request_error"),
        message,
        f"upstream_{fault.status}",
        retry_after=None if wait is None else int(-(-wait // 1)),
        outcome="upstream_error",
    )


def passed_on(fault: Fault, exchange: Exchange) -> tuple[int, Headers, bytes] | None:
    """The upstream's own error for a client of the same format: status, `error` object and advice as they came, our id.

    Nothing if it is about the gateway's credential, or is no error of the Messages API (a web page, say).
    """
    if fault.status < 400 or fault.status == 401 or not fault.body:
        return None
    if read_error(fault.body) is None:
        return None
    body = with_request_id(fault.body, exchange.request_id)
    headers = [pair for pair in for_client(fault.headers) if pair[0] not in (b"content-type", b"content-encoding")]
    headers.append((b"content-type", b"application/json"))
    return fault.status, headers, body
