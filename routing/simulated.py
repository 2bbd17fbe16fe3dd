"""What the simulated provider answers: pure functions from a request's body to events or a message. No I/O.

The shapes are those of the Messages API (versions 2023-06-01 and 2026-10-21, read 2026-11): message, content blocks,
stream events, errors. Token counts are estimates of four characters each; an output token is one word of the answer.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

LABEL = "This is a simulated answer: no model was asked, and nothing was paid."
THOUGHT = "A simulated thought: the request is well formed, so an answer can follow."
ROLES = frozenset({"user", "assistant", "system"})


class Refused(Exception):
    """A request that the Messages API would not accept: `status`, error type, text."""

    def __init__(self, status: int, kind: str, text: str) -> None:
        super().__init__(text)
        self.status, self.kind, self.text = status, kind, text

    def body(self, request_id: str) -> dict[str, Any]:
        error = {"type": self.kind, "message": self.text}
        return {"type": "error", "error": error, "request_id": request_id}


@dataclass(frozen=True, slots=True)
class Ask:
    """The parts of a request that change the answer. `tool` is the tool to call, if one is to be called."""

    model: str
    max_tokens: int
    stream: bool
    text: str
    after_tool: bool
    thinking: bool
    thinking_shown: bool
    tool: dict[str, Any] | None
    input_tokens: int


@dataclass(frozen=True, slots=True)
class Block:
    """One content block: as it starts, the deltas that fill it, and as it stands at the end."""

    start: dict[str, Any]
    deltas: list[dict[str, Any]]
    whole: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    stop_reason: str
    output_tokens: int
    blocks: list[Block] = field(default_factory=list)

    def message(self, ask: Ask, message_id: str) -> dict[str, Any]:
        """The whole answer, as a request without `stream` gets it."""
        started = _envelope(ask, message_id, self.output_tokens)
        return started | {"content": [block.whole for block in self.blocks], "stop_reason": self.stop_reason}

    def events(self, ask: Ask, message_id: str) -> Iterator[dict[str, Any]]:
        """The same answer as stream events, in the order of the Messages API."""
        yield {"type": "message_start", "message": _envelope(ask, message_id, 1)}
        yield {"type": "ping"}
        for index, block in enumerate(self.blocks):
            yield {"type": "content_block_start", "index": index, "content_block": block.start}
            for delta in block.deltas:
                yield {"type": "content_block_delta", "index": index, "delta": delta}
            yield {"type": "content_block_stop", "index": index}
        delta = {"stop_reason": self.stop_reason, "stop_sequence": None}
        yield {"type": "message_delta", "delta": delta, "usage": {"output_tokens": self.output_tokens}}
        yield {"type": "message_stop"}


def _envelope(ask: Ask, message_id: str, output_tokens: int) -> dict[str, Any]:
    usage = {
        "input_tokens": ask.input_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
        "output_tokens": output_tokens,
        "service_tier": "standard",
    }
    return {
        "id": message_id,
        "type": "message",
        "role": "assistant",
        "model": ask.model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": usage,
    }


def read_ask(body: bytes) -> Ask:
    """The request in `body`; raises `Refused` where the Messages API would answer 400."""
    fields = _fields(body)
    max_tokens = fields.get("max_tokens")
    if isinstance(max_tokens, bool) or not isinstance(max_tokens, int):
        raise _invalid("max_tokens: Field required" if max_tokens is None else "max_tokens: a whole number is needed")
    if max_tokens < 1:
        raise _invalid("max_tokens: must be greater than or equal to 1")
    text, after_tool = _last_user_text(fields["messages"])
    thinking = fields.get("thinking")
    thinking = thinking if isinstance(thinking, dict) else {}
    return Ask(
        model=fields["model"],
        max_tokens=max_tokens,
        stream=fields.get("stream") is True,
        text=text,
        after_tool=after_tool,
        thinking=thinking.get("type") in {"enabled", "adaptive"},
        thinking_shown=thinking.get("display") != "omitted",
        tool=None if after_tool else _wanted_tool(fields, text),
        input_tokens=_estimate(fields),
    )


def input_tokens(body: bytes) -> int:
    """The estimate for `count_tokens`; raises `Refused` as `read_ask` does."""
    return _estimate(_fields(body))


def _invalid(text: str) -> Refused:
    return Refused(400, "invalid_request_error", text)


def _fields(body: bytes) -> dict[str, Any]:
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError):
        raise _invalid("The request body is not valid JSON.") from None
    if not isinstance(fields, dict):
        raise _invalid("The request body is not a JSON object.")
    if not isinstance(fields.get("model"), str) or not fields["model"]:
        raise _invalid("model: Field required")
    messages = fields.get("messages")
    if not isinstance(messages, list) or not messages:
        raise _invalid("messages: at least one message is required")
    for index, message in enumerate(messages):
        if not isinstance(message, dict) or message.get("role") not in ROLES:
            raise _invalid(f"messages.{index}.role: must be user, assistant or system")
        if not isinstance(message.get("content"), str | list):
            raise _invalid(f"messages.{index}.content: a text or a list of blocks is needed")
    if not isinstance(fields.get("tools", []), list):
        raise _invalid("tools: a list is needed")
    return fields


def _estimate(fields: dict[str, Any]) -> int:
    told = [fields.get(name) for name in ("system", "messages", "tools") if fields.get(name)]
    return max(1, sum(len(json.dumps(part, ensure_ascii=False)) for part in told) // 4)


def _last_user_text(messages: list[dict[str, Any]]) -> tuple[str, bool]:
    """The last text of the last user message, and whether that message brings a tool's result."""
    for message in reversed(messages):
        if message["role"] != "user":
            continue
        content = message["content"]
        if isinstance(content, str):
            return content, False
        blocks = [block for block in content if isinstance(block, dict)]
        texts = [block["text"] for block in blocks if isinstance(block.get("text"), str)]
        return "".join(texts[-1:]), any(block.get("type") == "tool_result" for block in blocks)
    return "", False


def _wanted_tool(fields: dict[str, Any], text: str) -> dict[str, Any] | None:
    """The tool that the request forces, or the one meant by a last text such as "use the weather tool"."""
    tools = [tool for tool in fields.get("tools", []) if isinstance(tool, dict) and isinstance(tool.get("name"), str)]
    choice = fields.get("tool_choice")
    choice = choice if isinstance(choice, dict) else {}
    kind = choice.get("type")
    if not tools or kind == "none":
        return None
    if kind == "tool":
        return next((tool for tool in tools if tool["name"] == choice.get("name")), None)
    if kind != "any" and not re.search(r"\b(use|call|run)\b.{0,80}\btools?\b", text, re.IGNORECASE | re.DOTALL):
        return None
    return next((tool for tool in tools if tool["name"] in text), tools[0])


def answer(ask: Ask, token: str) -> Answer:
    """The answer to `ask`, cut after `max_tokens` words. `token` makes the id of a tool call unique."""
    blocks = [_thinking_block(shown=ask.thinking_shown)] if ask.thinking else []
    if ask.tool is not None:
        blocks += [_text_block(_words(f"{LABEL} It calls the tool as asked. ")), _tool_block(ask.tool, token)]
        return Answer("tool_use", sum(len(block.deltas) for block in blocks), blocks)
    words = _words(_text(ask))
    kept = words[: ask.max_tokens]
    blocks.append(_text_block(kept))
    stop_reason = "end_turn" if len(kept) == len(words) else "max_tokens"
    return Answer(stop_reason, sum(len(block.deltas) for block in blocks), blocks)


def _text(ask: Ask) -> str:
    if ask.after_tool:
        return f"{LABEL} The tool's result arrived, and the turn ends here."
    quoted = " ".join(ask.text.split())
    if len(quoted) > 120:
        quoted = quoted[:120] + "…"
    return f"{LABEL} The gateway works, and it asked for {ask.model}. You wrote: {quoted}"


def _words(text: str) -> list[str]:
    return re.findall(r"\S+\s*", text)


def _text_block(words: list[str]) -> Block:
    deltas = [{"type": "text_delta", "text": word} for word in words]
    return Block({"type": "text", "text": ""}, deltas, {"type": "text", "text": "".join(words)})


def _thinking_block(*, shown: bool) -> Block:
    signature = "c2ltdWxhdGVkIHNpZ25hdHVyZQ=="
    words = _words(THOUGHT) if shown else []
    deltas = [{"type": "thinking_delta", "thinking": word} for word in words]
    deltas.append({"type": "signature_delta", "signature": signature})
    whole = {"type": "thinking", "thinking": "".join(words), "signature": signature}
    return Block({"type": "thinking", "thinking": "", "signature": ""}, deltas, whole)


def _tool_block(tool: dict[str, Any], token: str) -> Block:
    given = _example(tool.get("input_schema"))
    start = {"type": "tool_use", "id": f"toolu_sim_{token}", "name": tool["name"]}
    text = json.dumps(given)
    parts = [text[at : at + 12] for at in range(0, len(text), 12)]
    deltas = [{"type": "input_json_delta", "partial_json": part} for part in ("", *parts)]
    return Block(start | {"input": {}}, deltas, start | {"input": given})


def _example(schema: object) -> dict[str, Any]:
    """A value for each required property of a tool's input schema, of the type that it names."""
    if not isinstance(schema, dict) or not isinstance(schema.get("properties"), dict):
        return {}
    required = schema.get("required")
    names = [name for name in schema["properties"] if isinstance(required, list) and name in required]
    return {name: _value(schema["properties"][name]) for name in names}


def _value(schema: object) -> Any:
    if not isinstance(schema, dict):
        return "simulated"
    if isinstance(schema.get("enum"), list) and schema["enum"]:
        return schema["enum"][0]
    values: dict[str, Any] = {"integer": 1, "number": 1.5, "boolean": True, "array": [], "object": {}, "null": None}
    kind = schema.get("type")
    return values.get(kind, "simulated") if isinstance(kind, str) else "simulated"
