"""Message batches on the wire: the models that a batch asks for, its answers, its results. No I/O.

A batch is edited as a request is: only the characters of each `params.model` change, and only where it is proven that the
gateway and the upstream read the same one. The proof is a walk over the members of an object in the order in which they
stand; an object in which a key stands twice, plainly or escaped, does not survive it and is refused.
"""

import json
import re
from collections.abc import Callable, Iterator

import msgspec

from routing.formats.peek import BadBody, text_of

_object = msgspec.json.Decoder(dict[str, msgspec.Raw])
_array = msgspec.json.Decoder(list[msgspec.Raw])
_MEMBER = re.compile(rb'[ \t\r\n]*[{,][ \t\r\n]*("(?:[^"\\]|\\.)*")[ \t\r\n]*:[ \t\r\n]*', re.DOTALL)
_ITEM = re.compile(rb"[ \t\r\n]*[\[,][ \t\r\n]*")
_END = re.compile(rb"[ \t\r\n]*(?:\{[ \t\r\n]*)?\}")
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

Span = tuple[int, int]
Rename = Callable[[int, str], str]


def rename_models(body: bytes, rename: Rename) -> bytes:
    """The batch with each `requests[i].params.model` replaced by `rename(i, model)`; every other byte stays.

    Raises `BadBody` for what is not a batch, and whatever `rename` raises.
    """
    _check_text(body)
    requests = _spans(body, (0, len(body)), "The request body").get("requests")
    if requests is None:
        raise BadBody("requests: Field required")
    pieces: list[bytes] = []
    done = index = 0
    for index, item in enumerate(_items(body, requests), 1):
        where = f"requests.{index - 1}"
        params = _spans(body, item, where).get("params")
        if params is None:
            raise BadBody(f"{where}.params: Field required")
        start, end = _spans(body, params, f"{where}.params").get("model", (0, 0))
        asked = text_of(msgspec.Raw(body[start:end]), f"{where}.params.model")
        served = rename(index - 1, asked)
        if served != asked:
            pieces += (body[done:start], json.dumps(served).encode())
            done = end
    if not index:
        raise BadBody("requests: List should have at least 1 item")
    return b"".join([*pieces, body[done:]]) if pieces else body


def with_results_url(answer: bytes, url: str) -> bytes:
    """A batch as an upstream shows it, its `results_url` (null before the batch has ended) turned to `url`."""
    try:
        start, end = _spans(answer, (0, len(answer)), "The answer").get("results_url", (0, 0))
    except BadBody:
        return answer
    if not answer.startswith(b'"', start) or not start:
        return answer
    return b"%b%b%b" % (answer[:start], json.dumps(url).encode(), answer[end:])


class Shown(msgspec.Struct):
    """What the gateway reads of a batch or a file that an upstream shows."""

    id: str = ""
    processing_status: str = ""

    @property
    def ended(self) -> bool:
        return self.processing_status == "ended"


_shown = msgspec.json.Decoder(Shown)


def shown(answer: bytes) -> Shown:
    """The batch or file of an answer; one without an id if the answer is something else."""
    try:
        return _shown.decode(answer)
    except _UNREADABLE:
        return Shown()


def _check_text(body: bytes) -> None:
    if not body or body.isspace():
        raise BadBody("The request body is empty; send a JSON object.")
    try:
        body.decode()
    except UnicodeDecodeError as error:
        raise BadBody(f"The request body is not UTF-8 (byte {error.start}).") from None


def _spans(body: bytes, span: Span, name: str) -> dict[str, Span]:
    """Where the values of an object's members stand in `body`."""
    start, end = span
    text = body if span == (0, len(body)) else body[start:end]
    try:
        fields = _object.decode(text)
    except msgspec.ValidationError:
        raise BadBody(f"{name}: Input should be an object") from None
    except msgspec.DecodeError as error:
        raise BadBody(f"{name} is not valid JSON: {error}.") from None
    except RecursionError:
        raise BadBody(f"{name} is nested too deeply.") from None
    found: dict[str, Span] = {}
    at = start
    for key, raw in fields.items():
        member = _MEMBER.match(body, at)
        if member is None or not _spells(member[1], key) or not body.startswith(raw, member.end()):
            raise _doubled(name)
        at = member.end() + memoryview(raw).nbytes
        found[key] = (member.end(), at)
    if not _END.match(body, at):
        raise _doubled(name)
    return found


def _spells(literal: bytes, key: str) -> bool:
    return literal[1:-1] == key.encode() if b"\\" not in literal else json.loads(literal) == key


def _items(body: bytes, span: Span) -> Iterator[Span]:
    """Where the items of the array `requests` stand in `body`."""
    try:
        items = _array.decode(body[span[0] : span[1]])
    except msgspec.ValidationError:
        raise BadBody("requests: Input should be a valid list") from None
    at = span[0]
    for raw in items:
        begin = _ITEM.match(body, at)
        assert begin is not None  # the array has been read, so it is one
        at = begin.end() + memoryview(raw).nbytes
        yield begin.end(), at


def _doubled(name: str) -> BadBody:
    return BadBody(f"{name}: a key stands in it more than once")
