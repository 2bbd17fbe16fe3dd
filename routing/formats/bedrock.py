"""Bedrock's InvokeModel as clients speak it: paths, bodies, the answers of its control plane. No I/O.

The model stands in the path, the version and the betas in the body, the choice to stream in the path's last part.
Source: botocore 1.44.5 service model, Claude Code 2.1.330, bedrock-sdk 1.1.3; 2026-11.
"""

import base64
import binascii
import re
from collections.abc import Sequence
from urllib.parse import quote

import msgspec

from routing.formats.base import ANTHROPIC, BEDROCK, COUNT_TOKENS, MESSAGES, MODELS, Headers, Inbound
from routing.formats.envelope import Envelope, betas_from, read_envelope, session_ids
from routing.formats.faults import NotBridgeable
from routing.formats.names import (
    CONTEXT_1M,
    UNSUPPORTED,
    Address,
    decode_model,
    foundation_model,
    has_mark,
    path_below,
    without_mark,
)
from routing.formats.peek import BadBody, number_of

_MOUNTS = (b"/bedrock",)
_MODEL = re.compile(rb"/model/(.+)/([a-z-]+)", re.DOTALL)
_PROFILE = re.compile(rb"/inference-profiles(?:/(.+))?", re.DOTALL)
_VERBS = {
    b"invoke": (MESSAGES, False),
    b"invoke-with-response-stream": (MESSAGES, True),
    b"count-tokens": (COUNT_TOKENS, False),
    b"converse": (UNSUPPORTED, False),
    b"converse-stream": (UNSUPPORTED, True),
    b"async-invoke": (UNSUPPORTED, False),
    b"invoke-with-bidirectional-stream": (UNSUPPORTED, True),
}


def parse_path(raw_path: bytes) -> Address | None:
    """What a path asks for, or nothing if it is none of Bedrock's. Raises `InvalidModel`.

    Converse is `UNSUPPORTED`; `/bedrock/v1/messages/count_tokens`, where the TypeScript client counts, speaks Messages.
    """
    path = path_below(raw_path, _MOUNTS)
    if path == b"/v1/messages/count_tokens":
        return Address(ANTHROPIC, COUNT_TOKENS)
    profile = _PROFILE.fullmatch(path)
    if profile:
        return Address(BEDROCK, MODELS, decode_model(profile[1]) if profile[1] else "")
    found = _MODEL.fullmatch(path)
    if not found or found[2] not in _VERBS:
        return None
    operation, stream = _VERBS[found[2]]
    return Address(BEDROCK, operation, decode_model(found[1]), stream)


def parse(raw_path: bytes, headers: Headers, body: bytes) -> Inbound:
    """What a client asks for. Raises `BadBody` (`InvalidModel` for the path) and `NotBridgeable` for Converse.

    The name's marker `[1m]` becomes the beta that it stands for.
    """
    address = parse_path(raw_path)
    if address is None or address.format != BEDROCK or address.operation == UNSUPPORTED:
        raise NotBridgeable("This operation of Bedrock", "gateway", status=404)
    if address.operation == MODELS:
        return Inbound(BEDROCK, MODELS, address.model, False, b"", headers)
    envelope = read_envelope(body)
    if address.operation == COUNT_TOKENS:
        inner = counted_body(body)
        envelope = read_envelope(inner) if inner is not None else Envelope()
    betas = betas_from(headers, envelope)
    if has_mark(address.model) and CONTEXT_1M not in betas:
        betas = (*betas, CONTEXT_1M)
    session, agent, parent = session_ids(headers, envelope)
    return Inbound(
        format=BEDROCK,
        operation=address.operation,
        model=without_mark(address.model),
        stream=address.stream,
        body=body,
        headers=headers,
        version=envelope.version,
        betas=betas,
        max_tokens=number_of(envelope.max_tokens),
        session_id=session,
        agent_id=agent,
        parent_agent_id=parent,
    )


class _InvokeModel(msgspec.Struct):
    body: msgspec.Raw = msgspec.Raw()


class _Input(msgspec.Struct):
    invoke_model: _InvokeModel | None = msgspec.field(name="invokeModel", default=None)


class _Count(msgspec.Struct):
    input: _Input


def counted_body(body: bytes) -> bytes | None:
    """The invoke body inside a CountTokens body, or nothing where a conversation of Converse stands there instead.

    Raises `BadBody` for another shape and for bad base64.
    """
    try:
        counted = msgspec.json.decode(body, type=_Count).input.invoke_model
        if counted is None:
            return None
        return base64.b64decode(msgspec.json.decode(counted.body, type=str), validate=True)
    except binascii.Error:
        raise BadBody("input.invokeModel.body: is not base64") from None
    except (msgspec.DecodeError, ValueError, RecursionError):
        raise BadBody("input.invokeModel.body: a text in base64 is required") from None


def profile_of(name: str, upstream_model: str = "") -> dict[str, object]:
    """One inference profile as the control plane shows it.

    `name` is what clients ask for; `upstream_model` the Bedrock id that serves it, from which the foundation model is told.
    Claude Code counts tokens by `models[0].modelArn`, so what stands there must be a name that this gateway serves.
    """
    try:
        foundation = foundation_model(upstream_model or name)
    except NotBridgeable:
        foundation = name
    arn = (
        name if name.startswith("arn:") else f"arn:aws:bedrock:us-east-1::inference-profile/{quote(name, safe=':@[]')}"
    )
    return {
        "inferenceProfileId": name,
        "inferenceProfileArn": arn,
        "inferenceProfileName": name,
        "models": [{"modelArn": f"arn:aws:bedrock:us-east-1::foundation-model/{foundation}"}],
        "status": "ACTIVE",
        "type": "SYSTEM_DEFINED",
    }


def profiles_body(profiles: Sequence[dict[str, object]]) -> bytes:
    """The answer to `GET /inference-profiles`."""
    return msgspec.json.encode({"inferenceProfileSummaries": list(profiles)})


def profile_body(profile: dict[str, object]) -> bytes:
    """The answer to `GET /inference-profiles/{id}`: the same object, not nested."""
    return msgspec.json.encode(profile)
