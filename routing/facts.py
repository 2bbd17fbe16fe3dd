"""What the conditions of a route look at: one request and its caller. No I/O.

The body is read only when a condition asks for one of its fields, and then once.
"""

from collections.abc import Callable, Mapping

import msgspec

from accounting.access.grant import Grant
from accounting.money.usage import estimated_tokens
from routing.formats.base import ANTHROPIC, BEDROCK, VERTEX, Inbound
from routing.formats.faults import NotBridgeable
from routing.formats.peek import BadBody
from routing.formats.translate import messages_body

FORMATS = (ANTHROPIC, BEDROCK, VERTEX)
LONG_CONTEXT = "[1m]"  # Claude Code appends it to a model's name to ask for the long context (2.1.330)
_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])
_NULL = b"null"

Fields = Mapping[str, msgspec.Raw]


class Facts(msgspec.Struct):
    """One request as conditions see it. `prompt_tokens` is an estimate, None if nothing is known of the size; `body` gives
    the bytes of the request's body."""

    team: str = ""
    project: str = ""
    key: str = ""
    key_prefix: str = ""
    tags: Mapping[str, str] = msgspec.field(default_factory=dict)
    format: str = ANTHROPIC
    session_id: str = ""
    stream: bool = False
    betas: tuple[str, ...] = ()
    model: str = ""
    prompt_tokens: int | None = None
    body: Callable[[], bytes] | None = None
    _fields: Fields | None = None  # of the body, once it was read

    @property
    def plain_model(self) -> str:
        """The name as asked, without the ending that only asks for the long context."""
        return self.model.removesuffix(LONG_CONTEXT)

    def has_field(self, name: str) -> bool:
        """Whether a field of the body is there and is not null; `thinking.type` is a field of an object at the top."""
        if self._fields is None:
            self._fields = _decoded(self.body()) if self.body is not None else {}
        if "." in name and name not in self._fields:
            name, _, inner = name.partition(".")
            return inner in _present(_decoded(self._fields.get(name, msgspec.Raw())))
        return name in _present(self._fields)


def facts_of(inbound: Inbound, grant: Grant) -> Facts:
    """The facts of a request."""
    return Facts(
        team=grant.team,
        project=grant.project,
        key=grant.key,
        key_prefix=grant.key_prefix,
        tags=grant.tags,
        format=inbound.format,
        session_id=inbound.session_id,
        stream=inbound.stream,
        betas=inbound.betas,
        model=inbound.model,
        prompt_tokens=estimated_tokens(len(inbound.body)),
        body=lambda: _body_of(inbound),
    )


def _body_of(inbound: Inbound) -> bytes:
    try:
        return messages_body(inbound)
    except (BadBody, NotBridgeable):  # whoever serves the request will say so
        return b""


def _present(fields: Fields) -> set[str]:
    return {name for name, value in fields.items() if bytes(value) != _NULL}


def _decoded(data: bytes | msgspec.Raw) -> Fields:
    try:
        return _decoder.decode(data)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return {}
