"""Vertex's rawPredict as clients speak it: paths and bodies. No I/O.

The model stands in the path before the last colon, the version in the body, the betas in the header. Project and location
in a client's path say nothing to the gateway: it has its own. Source: vertex-sdk 1.1.3, Claude Code 2.1.330; 2026-11.
"""

import re

from routing.formats.base import COUNT_TOKENS, MESSAGES, VERTEX, Headers, Inbound
from routing.formats.envelope import betas_from, read_envelope, session_ids
from routing.formats.faults import NotBridgeable
from routing.formats.names import CONTEXT_1M, UNSUPPORTED, Address, decode_model, has_mark, path_below, without_mark
from routing.formats.peek import number_of, text_of

_MOUNTS = (b"/vertex/v1", b"/vertex_ai/v1", b"/vertex", b"/vertex_ai", b"/v1")
_MODEL = re.compile(
    rb"/projects/[^/]+/locations/[^/]+/publishers/anthropic/models/(.+?)(?::|%3[Aa])([A-Za-z]+)", re.DOTALL
)
_METHODS = {b"rawPredict": False, b"streamRawPredict": True}


def parse_path(raw_path: bytes) -> Address | None:
    """What a path asks for, or nothing if it is none of Vertex's. Raises `InvalidModel`.

    A method other than the two of Claude models is `UNSUPPORTED`.
    """
    found = _MODEL.fullmatch(path_below(raw_path, _MOUNTS))
    if not found:
        return None
    if found[2] not in _METHODS:
        return Address(VERTEX, UNSUPPORTED, decode_model(found[1]))
    if found[1] == b"count-tokens":
        return Address(VERTEX, COUNT_TOKENS) if found[2] == b"rawPredict" else Address(VERTEX, UNSUPPORTED)
    return Address(VERTEX, MESSAGES, decode_model(found[1]), _METHODS[found[2]])


def parse(raw_path: bytes, headers: Headers, body: bytes) -> Inbound:
    """What a client asks for. Raises `BadBody` (`InvalidModel` for the path), and `NotBridgeable` for other methods."""
    address = parse_path(raw_path)
    if address is None or address.operation == UNSUPPORTED:
        raise NotBridgeable("This method of Vertex", "gateway", status=404)
    envelope = read_envelope(body)
    model = address.model if address.operation == MESSAGES else text_of(envelope.model, "model")
    betas = betas_from(headers, envelope)
    if has_mark(model) and CONTEXT_1M not in betas:
        betas = (*betas, CONTEXT_1M)
    session, agent, parent = session_ids(headers, envelope)
    return Inbound(
        format=VERTEX,
        operation=address.operation,
        model=without_mark(model),
        stream=address.stream,
        body=body,
        headers=headers,
        version=envelope.version,
        betas=betas,
        max_tokens=number_of(envelope.max_tokens),
        session_id=session,
        agent_id=agent,
        parent_agent_id=parent,
        model_json=bytes(envelope.model) if address.operation == COUNT_TOKENS else b"",
    )
