"""What the three wire formats share: the values that pass between the steps of a request. No I/O.

All three carry the same Messages dialect in their bodies; a format is a thin shell around it that knows where the model,
the version and the betas stand, how a stream is framed and how an error looks.
"""

import msgspec

Headers = list[tuple[bytes, bytes]]

ANTHROPIC, BEDROCK, VERTEX = "anthropic", "bedrock", "vertex"
MESSAGES, COUNT_TOKENS, MODELS, BATCHES, FILES = "messages", "count_tokens", "models", "batches", "files"


class Inbound(msgspec.Struct, frozen=True):
    """A client's request, understood as far as the gateway needs it; the body stays the bytes that came.

    `model` is the name as asked; `version` and `betas` are the API version and the beta values wherever the format
    carries them; `headers` have lower-case names, repeated ones as they came; `model_json` is the model as it is spelled
    in the body, quotes and escapes included (empty where the body has none).
    """

    format: str
    operation: str
    model: str
    stream: bool
    body: bytes
    headers: Headers
    version: str = ""
    betas: tuple[str, ...] = ()
    max_tokens: int | None = None
    session_id: str = ""
    agent_id: str = ""
    parent_agent_id: str = ""
    model_json: bytes = b""


class Outbound(msgspec.Struct, frozen=True):
    """A request for an upstream, complete but for its credential. `path` is percent-encoded, without the base address.

    `opaque` says that any type of answer is good, a web page too: it is a file that a client has stored. `repeatable`: an
    upstream that gets it twice does no harm, as with all questions to a model.
    What was taken out on the way to another format stands beside it, for the record; `betas_renamed` has pairs of
    (as the client wrote it, as it was sent), `betas_sent` is what the upstream gets to see.
    """

    path: str
    headers: Headers
    body: bytes
    betas_removed: tuple[str, ...] = ()
    fields_removed: tuple[str, ...] = ()
    betas_renamed: tuple[tuple[str, str], ...] = ()
    betas_sent: tuple[str, ...] = ()
    method: str = "POST"
    opaque: bool = False
    repeatable: bool = True


class Event(msgspec.Struct, frozen=True):
    """One event of a Messages stream: its type, and its JSON as it came, byte for byte."""

    type: str
    data: bytes


def header(headers: Headers, name: bytes) -> bytes:
    """The first value of a header (lower-case name), or nothing."""
    for key, value in headers:
        if key == name:
            return value
    return b""


def joined(headers: Headers, name: bytes) -> bytes:
    """All values of a header that may be repeated, joined by commas."""
    return b",".join(value for key, value in headers if key == name)
