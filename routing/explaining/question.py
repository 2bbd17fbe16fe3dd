"""A request to explain, built from what a person knows of it, or from a stored record. No I/O."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from routing.formats import anthropic, bedrock, vertex
from routing.formats.base import ANTHROPIC, BEDROCK, MESSAGES, VERTEX, Headers, Inbound
from routing.formats.faults import NotBridgeable
from routing.formats.peek import BadBody

FORMATS = (ANTHROPIC, BEDROCK, VERTEX)
LARGEST_BODY = 2 * 1024 * 1024  # bytes that a page or a command takes
DEFAULT_MAX_TOKENS = 1024


class Unaskable(ValueError):
    """A question that is no request; the text says why."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is known of a request. `model` replaces the body's own; without a body a small one stands in.

    `prompt_tokens`, if known, makes the body that stands in as large as such a prompt would be.
    """

    model: str = ""
    format: str = ANTHROPIC
    stream: bool = False
    betas: tuple[str, ...] = ()
    session_id: str = ""
    body: bytes = b""
    prompt_tokens: int = 0

    def inbound(self) -> Inbound:
        """The request as the gateway would understand it. Raises `Unaskable`."""
        if self.format not in FORMATS:
            raise Unaskable(f"{self.format!r} is not a format; choose {', '.join(FORMATS)}.")
        content = self._content()
        model = self.model or content.get("model")
        if not isinstance(model, str) or not model:
            raise Unaskable("Name the model that the client asks for.")
        try:
            return self._parsed(model, content)
        except (BadBody, NotBridgeable) as error:
            raise Unaskable(str(error)) from None

    def _content(self) -> dict[str, Any]:
        if len(self.body) > LARGEST_BODY:
            raise Unaskable("The pasted request is larger than 2 MB.")
        if not self.body.strip():
            text = "." * max(1, 4 * self.prompt_tokens)
            return {"max_tokens": DEFAULT_MAX_TOKENS, "messages": [{"role": "user", "content": text[:LARGEST_BODY]}]}
        try:
            content = json.loads(self.body)
        except (ValueError, RecursionError) as error:
            raise Unaskable(f"The pasted request is not JSON: {error}.") from None
        if not isinstance(content, dict):
            raise Unaskable("The pasted request is not a JSON object.")
        return content

    def _parsed(self, model: str, content: dict[str, Any]) -> Inbound:
        headers: Headers = [(b"content-type", b"application/json")]
        if self.session_id:
            headers.append((b"x-claude-code-session-id", self.session_id.encode("latin-1", "replace")))
        stream = self.stream or content.get("stream") is True
        if self.format == BEDROCK:
            return bedrock.parse(_bedrock_path(model, stream), headers, self._bedrock_body(content))
        if self.betas:
            headers.append((b"anthropic-beta", ",".join(self.betas).encode("latin-1", "replace")))
        if self.format == VERTEX:
            content = {"anthropic_version": "vertex-2023-10-16", **_without(content, "model")}
            return vertex.parse(_vertex_path(model, stream), headers, _encoded(content))
        headers.append((b"anthropic-version", anthropic.DEFAULT_VERSION.encode()))
        body = self.body
        if not body.strip() or content.get("model") != model or (stream and content.get("stream") is not True):
            body = _encoded({**content, "model": model, **({"stream": True} if stream else {})})
        return anthropic.parse(MESSAGES, headers, body)

    def _bedrock_body(self, content: dict[str, Any]) -> bytes:
        plain = _without(content, "model", "stream")
        betas = [*self.betas, *(each for each in _listed(content.get("anthropic_beta")) if each not in self.betas)]
        extra = {"anthropic_beta": betas} if betas else {}
        return _encoded({"anthropic_version": "bedrock-2023-05-31", **plain, **extra})


def _bedrock_path(model: str, stream: bool) -> bytes:
    verb = "invoke-with-response-stream" if stream else "invoke"
    return f"/model/{quote(model, safe='')}/{verb}".encode()


def _vertex_path(model: str, stream: bool) -> bytes:
    verb = "streamRawPredict" if stream else "rawPredict"
    name = quote(model, safe="@")
    return f"/v1/projects/-/locations/-/publishers/anthropic/models/{name}:{verb}".encode()


def _without(content: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in content.items() if name not in names}


def _listed(value: object) -> Sequence[str]:
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []


def _encoded(content: dict[str, Any]) -> bytes:
    return json.dumps(content, ensure_ascii=False).encode("utf-8", "replace")
