"""Which addresses are the gateway's, and what each asks for. Pure: a path in, a destination out."""

import re
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import unquote

from routing.formats import bedrock, vertex
from routing.formats.base import ANTHROPIC, BATCHES, BEDROCK, COUNT_TOKENS, FILES, MESSAGES, MODELS, VERTEX
from routing.formats.faults import InvalidModel
from routing.formats.names import UNSUPPORTED, Address

# The addresses that never reach Django's pages: every mount of every format, with any number of leading slashes.
_ROOTS = "anthropic|v1|bedrock|model|inference-profiles|vertex|vertex_ai|projects"
OWN = rf"^/*(?:(?:{_ROOTS})(?:/|$)|api/hello$)"

_own = re.compile(OWN)

REMEMBERED_BYTES = 256  # of a path
HELLO, UNKNOWN, BAD = "hello", "unknown", "bad_path"


@dataclass(frozen=True, slots=True)
class Destination:
    """What a path asks for, in which format. `methods` is empty where there is nothing; `subject` is the model or profile
    that the path names, or the batch or file, of which `action` is asked; `problem` says what is wrong with the path."""

    format: str
    operation: str
    methods: tuple[str, ...] = ()
    subject: str = ""
    problem: str = ""
    action: str = ""


_ANTHROPIC = {
    "/": (HELLO, ("HEAD", "GET")),
    "/api/hello": (HELLO, ("HEAD", "GET")),
    "/v1/messages": (MESSAGES, ("POST",)),
    "/v1/messages/count_tokens": (COUNT_TOKENS, ("POST",)),
    "/v1/models": (MODELS, ("GET",)),
}
_MODEL = re.compile(r"/v1/models/([^?]+)\Z")
_KEPT = re.compile(r"/v1/(messages/batches|files)(?:/([A-Za-z0-9_-]{1,200})(?:/([a-z]+))?)?\Z")
_KEPT_METHODS: dict[tuple[str, str], tuple[str, ...]] = {
    (BATCHES, "list"): ("GET", "POST"),
    (BATCHES, "one"): ("GET", "DELETE"),
    (BATCHES, "results"): ("GET",),
    (BATCHES, "cancel"): ("POST",),
    (FILES, "list"): ("GET", "POST"),
    (FILES, "one"): ("GET", "DELETE"),
    (FILES, "content"): ("GET",),
}
_SLASHES = re.compile(r"/{2,}")
_BEDROCK_ROOTS = ("/bedrock", "/model", "/inference-profiles")
_VERTEX_ROOTS = ("/vertex", "/vertex_ai", "/projects", "/v1/projects")


def is_own(path: str) -> bool:
    """Whether a path, decoded, belongs to the gateway."""
    return _own.match(path) is not None


def destination(raw_path: bytes) -> Destination:
    """Where a request for this path goes; the path as it was sent, percent-encoded, without its query."""
    return _known(raw_path) if len(raw_path) <= REMEMBERED_BYTES else _destination(raw_path)


@lru_cache(maxsize=1024)  # most are one of three; strangers choose some, so their number and length are bounded
def _known(raw_path: bytes) -> Destination:
    return _destination(raw_path)


def _destination(raw_path: bytes) -> Destination:
    path = _SLASHES.sub("/", raw_path.decode("latin-1"))
    if path == "/anthropic" or path.startswith("/anthropic/"):
        path = path.removeprefix("/anthropic") or "/"
    found = _ANTHROPIC.get(path)
    if found is not None:
        return Destination(ANTHROPIC, found[0], found[1])
    one = _MODEL.match(path)
    if one is not None:
        return Destination(ANTHROPIC, MODELS, ("GET",), unquote(one.group(1)))
    kept = _KEPT.match(path)
    return _elsewhere(path, raw_path) if kept is None else _of_kept(*kept.groups(""))


def _of_kept(root: str, subject: str, action: str) -> Destination:
    """A path of message batches or files."""
    operation = FILES if root == "files" else BATCHES
    action = action or ("one" if subject else "list")
    return Destination(ANTHROPIC, operation, _KEPT_METHODS.get((operation, action), ()), subject=subject, action=action)


def _elsewhere(path: str, raw_path: bytes) -> Destination:
    """A path of the two clouds' formats, or of none."""
    for speech, roots, parse in (
        (BEDROCK, _BEDROCK_ROOTS, bedrock.parse_path),
        (VERTEX, _VERTEX_ROOTS, vertex.parse_path),
    ):
        if not any(path == root or path.startswith(root + "/") for root in roots):
            continue
        try:
            address = parse(raw_path)
        except InvalidModel as error:
            return Destination(speech, BAD, problem=str(error))
        return Destination(speech, UNKNOWN) if address is None else _at(address)
    return Destination(ANTHROPIC, UNKNOWN)


def _at(address: Address) -> Destination:
    if address.operation == UNSUPPORTED:
        return Destination(address.format, UNSUPPORTED)
    methods = ("GET",) if address.operation == MODELS else ("POST",)
    return Destination(address.format, address.operation, methods, address.model)
