"""Model ids and the paths that carry them. Pure.

Every client encodes a Bedrock id in its own way (raw colons, `%3A`, `%2F` in ARNs), so paths are matched as they were sent
and the id is decoded once. What is left of an encoding after that is an attempt to say one thing to the gateway and another
to the upstream, and is refused.
"""

import re
from dataclasses import dataclass
from urllib.parse import quote, unquote_to_bytes

from routing.formats.base import ANTHROPIC, BEDROCK, COUNT_TOKENS, MESSAGES, VERTEX
from routing.formats.faults import InvalidModel, NotBridgeable

UNSUPPORTED = "unsupported"  # an operation that is known and not served: Converse, other publishers' methods
CONTEXT_1M, _CONTEXT_MARK = "context-1m-2025-08-07", "[1m]"
_LONGEST = 2048  # of Bedrock's model ids; source: its service model, 2026-11
_REGIONS = ("us-gov.", "global.", "apac.", "us.", "eu.", "jp.", "au.", "ca.", "sa.", "me.", "af.")
_SLASHES = re.compile(rb"//+")
_BROKEN_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_DECODED_ESCAPE = re.compile(r"%[0-9A-Fa-f]{2}")
_PLACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9.:-]{0,127}")


@dataclass(frozen=True, slots=True)
class Address:
    """Which operation a path names, for which model (empty where the path names none), and whether it streams.

    `format` is the shape in which the client speaks; a path under one format's mount can belong to another's.
    """

    format: str
    operation: str
    model: str = ""
    stream: bool = False


def path_below(raw_path: bytes, mounts: tuple[bytes, ...]) -> bytes:
    """The path as sent, without query, doubled slashes, a mount's prefix and a final slash."""
    path = _SLASHES.sub(b"/", raw_path.partition(b"?")[0])
    for mount in mounts:
        if path.startswith(mount + b"/"):
            path = path[len(mount) :]
            break
    return path.rstrip(b"/") if len(path) > 1 else path


def decode_model(raw: bytes) -> str:
    """A model id from a path, decoded once. Raises `InvalidModel`."""
    if _BROKEN_ESCAPE.search(raw):
        raise InvalidModel("The model id in the path is not percent-encoded correctly.")
    try:
        return check_model(unquote_to_bytes(raw).decode())
    except UnicodeDecodeError:
        raise InvalidModel("The model id in the path is not UTF-8.") from None


def check_model(model: str) -> str:
    """The id itself if a path can carry it, to an upstream or from a client. Raises `InvalidModel`."""
    if not model or len(model) > _LONGEST:
        raise InvalidModel(f"A model id has 1 to {_LONGEST} characters.")
    if any(ord(char) <= 32 or 127 <= ord(char) <= 160 or not char.isprintable() for char in model):
        raise InvalidModel("The model id has a control character or a space.")
    if ".." in model or "\\" in model or any(part in ("", ".") for part in model.split("/")):
        raise InvalidModel("The model id has a part that a path cannot have.")
    if _DECODED_ESCAPE.search(model):
        raise InvalidModel("The model id is percent-encoded twice.")
    return model


def without_mark(model: str) -> str:
    """The id without Claude Code's marker for the long context, `[1m]`, which no upstream knows."""
    return model.removesuffix(_CONTEXT_MARK) or model


def has_mark(model: str) -> bool:
    return model.endswith(_CONTEXT_MARK) and model != _CONTEXT_MARK


def upstream_path(upstream: str, operation: str, model: str, stream: bool, region: str, project: str) -> str:
    """The path of a request for an upstream, percent-encoded. Raises `InvalidModel`, `NotBridgeable`."""
    if upstream == ANTHROPIC:
        return "/v1/messages" if operation == MESSAGES else "/v1/messages/count_tokens"
    model = without_mark(check_model(model))
    if upstream == BEDROCK:
        return _bedrock_path(operation, model, stream)
    if upstream == VERTEX:
        return _vertex_path(operation, model, stream, region, project)
    raise NotBridgeable(operation, upstream, status=501)


def _bedrock_path(operation: str, model: str, stream: bool) -> str:
    if operation == COUNT_TOKENS:
        return f"/model/{quote(foundation_model(model), safe='')}/count-tokens"
    verb = "invoke-with-response-stream" if stream else "invoke"
    return f"/model/{quote(model, safe='')}/{verb}"


def _vertex_path(operation: str, model: str, stream: bool, region: str, project: str) -> str:
    if not _PLACE.fullmatch(project) or not _PLACE.fullmatch(region) or ".." in project + region:
        raise InvalidModel("The provider's project or location cannot stand in a path.")
    place = f"/v1/projects/{quote(project, safe=':')}/locations/{quote(region, safe='')}/publishers/anthropic/models"
    if operation == COUNT_TOKENS:
        return f"{place}/count-tokens:rawPredict"
    method = "streamRawPredict" if stream else "rawPredict"
    return f"{place}/{quote(model, safe='@')}:{method}"


def foundation_model(model: str) -> str:
    """The foundation model behind a Bedrock id, the only kind that counts tokens.

    Raises `NotBridgeable` (501) for an id that does not tell: application profiles, custom and provisioned models.
    """
    if model.startswith("arn:"):
        kind, _, name = model.split(":", 5)[-1].partition("/")
        if kind not in ("foundation-model", "inference-profile") or not name:
            raise NotBridgeable("Counting tokens by this kind of model id", BEDROCK, status=501)
        model = name
    for prefix in _REGIONS:
        if model.startswith(prefix + "anthropic."):
            return model.removeprefix(prefix)
    return model
