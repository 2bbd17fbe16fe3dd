"""What a client is told when upstreams have failed: an upstream's own words where they are the client's business."""

from routing.formats import faults
from routing.formats.anthropic import with_request_id
from routing.formats.base import ANTHROPIC, Headers
from routing.formats.errors import render_error, type_of
from routing.formats.faults import UpstreamFault
from routing.formats.headers import for_client
from routing.formats.read_faults import read_error
from routing.proxy.errors import GatewayError, upstream_failed
from routing.proxy.exchange import Exchange
from routing.proxy.upstream import Fault


def understood(fault: Fault) -> UpstreamFault | GatewayError:
    """What the fault says: the upstream's error, or, if it gave no answer that counts, the gateway's own words."""
    if fault.status >= 400:
        return read_error(fault.format, fault.status, fault.headers, fault.body)
    if fault.kind == "timeout":
        text = "The provider did not answer in time."
        return upstream_failed(text, "upstream_timeout", status=504, type="timeout_error")
    if not fault.status:
        return upstream_failed("The provider could not be reached.", "upstream_unreachable")
    return upstream_failed("The provider's answer was not one of its API.", "upstream_answer")


def rendered(fault: Fault, problem: UpstreamFault | GatewayError, exchange: Exchange) -> tuple[int, Headers, bytes]:
    """The answer for this client. An Anthropic upstream's error reaches an Anthropic client as it came: status, `error`
    object and advice, under our id."""
    client = exchange.call.format
    own = problem if isinstance(problem, UpstreamFault) and client == ANTHROPIC == problem.format else None
    if own is not None and own.object_json and own.kind != faults.CREDENTIAL:
        headers = [pair for pair in for_client(fault.headers) if pair[0] not in _REWRITTEN]
        headers.append((b"content-type", b"application/json"))
        return fault.status, headers, with_request_id(fault.body, exchange.request_id)
    return render_error(client, problem, exchange.request_id, fault.betas)


_REWRITTEN = (b"content-type", b"content-encoding")


def told_type(problem: UpstreamFault | GatewayError) -> str:
    """The Messages error type that clients are told, for a fault that has no name of its own."""
    return problem.type if isinstance(problem, GatewayError) else type_of(problem)
