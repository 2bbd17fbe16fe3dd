"""The envelope fields that Bedrock and Vertex bodies carry beside the Messages dialect. Pure."""

import msgspec

from routing.formats.anthropic import betas_of
from routing.formats.base import Headers, header
from routing.formats.peek import BadBody, peek, session_of

_LONGEST_ID = 200


class _Envelope(msgspec.Struct):
    anthropic_version: msgspec.Raw = msgspec.Raw()
    anthropic_beta: msgspec.Raw = msgspec.Raw()
    betas: msgspec.Raw = msgspec.Raw()


_envelope = msgspec.json.Decoder(_Envelope)
_text = msgspec.json.Decoder(str)
_texts = msgspec.json.Decoder(list[str])


class Envelope(msgspec.Struct, frozen=True):
    """What stands around the content: the version, the betas of the body, and fields undecoded."""

    version: str = ""
    betas: tuple[str, ...] = ()
    model: msgspec.Raw = msgspec.Raw()
    max_tokens: msgspec.Raw = msgspec.Raw()
    metadata: msgspec.Raw = msgspec.Raw()


def read_envelope(body: bytes) -> Envelope:
    """Raises `BadBody` for anything but a JSON object in UTF-8 and for a version or betas of the wrong type."""
    seen = peek(body)
    fields = _envelope.decode(body)
    return Envelope(
        version=_version(fields.anthropic_version),
        betas=(*_betas(fields.anthropic_beta, "anthropic_beta"), *_betas(fields.betas, "betas")),
        model=seen.model,
        max_tokens=seen.max_tokens,
        metadata=seen.metadata,
    )


def betas_from(headers: Headers, envelope: Envelope) -> tuple[str, ...]:
    """The betas of the body, then those that only the header has, each once."""
    return tuple(dict.fromkeys((*envelope.betas, *betas_of(headers))))


def session_ids(headers: Headers, envelope: Envelope) -> tuple[str, str, str]:
    """The ids of session, agent and parent agent, empty where the client says nothing."""
    session = _short(headers, b"x-claude-code-session-id") or session_of(envelope.metadata)
    return session, _short(headers, b"x-claude-code-agent-id"), _short(headers, b"x-claude-code-parent-agent-id")


def _short(headers: Headers, name: bytes) -> str:
    return header(headers, name).decode("latin-1")[:_LONGEST_ID]


def _version(raw: msgspec.Raw) -> str:
    if bytes(raw) in (b"", b"null"):
        return ""
    try:
        return _text.decode(raw)
    except msgspec.DecodeError:
        raise BadBody("anthropic_version: Input should be a valid string") from None


def _betas(raw: msgspec.Raw, name: str) -> tuple[str, ...]:
    if bytes(raw) in (b"", b"null"):
        return ()
    try:
        values = _texts.decode(raw)
    except msgspec.DecodeError:
        raise BadBody(f"{name}: Input should be a valid list of strings") from None
    if any(ord(char) <= 32 or ord(char) >= 127 or char == "," for value in values for char in value.strip()):
        raise BadBody(f"{name}: a value has a character that no beta has")
    return tuple(dict.fromkeys(value.strip() for value in values if value.strip()))
