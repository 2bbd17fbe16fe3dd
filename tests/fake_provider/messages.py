"""How the Messages API behaves, as far as clients can tell: validation, content, usage and stream events.

Everything is derived from the request, so a test can compute what to expect. Words in the last user text steer it:
`events=200` makes a stream of exactly 200 events, `pace=0.02` waits so many seconds between them, `fail=529` is
answered with that status and its own error type.
"""

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from typing import Any

from tests.fake_provider.answers import sse

Json = dict[str, Any]
NEWER_VERSION = "2026-10-21"
ENDLESS_EVENT = sse({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "x" * 4000}})


def problem(body: Json, version: str, *, counting: bool = False) -> str:
    """What the API would complain about, or nothing."""
    if not isinstance(body.get("model"), str) or not body["model"]:
        return "model: Field required"
    if counting:
        for name in ("max_tokens", "stream"):
            if name in body:
                return f"{name}: Extra inputs are not permitted"
    elif not isinstance(body.get("max_tokens"), int) or body["max_tokens"] < 1:
        return "max_tokens: Field required"
    if not isinstance(body.get("stream", False), bool):
        return "stream: Input should be a valid boolean"
    if version >= NEWER_VERSION and {"temperature", "top_p", "top_k"} & body.keys():
        return "temperature: not supported in this API version"
    thinking = body.get("thinking") or {}
    if thinking.get("type") == "enabled" and thinking.get("budget_tokens", 0) >= body.get("max_tokens", 1 << 30):
        return "max_tokens must be greater than thinking.budget_tokens"
    return _messages_problem(body.get("messages"))


def _messages_problem(messages: Any) -> str:
    if not isinstance(messages, list) or not messages:
        return "messages: at least one message is required"
    asked: set[str] = set()
    for index, message in enumerate(messages):
        if not isinstance(message, dict) or message.get("role") not in {"user", "assistant", "system"}:
            return f"messages.{index}.role: Input should be 'user', 'assistant' or 'system'"
        content = message.get("content")
        if not isinstance(content, str | list):
            return f"messages.{index}.content: Input should be a valid string or list"
        for block in content if isinstance(content, list) else []:
            if found := _block_problem(block, asked):
                return f"messages.{index}.content: {found}"
    return ""


def _block_problem(block: Any, asked: set[str]) -> str:
    if not isinstance(block, dict) or not isinstance(block.get("type"), str):
        return "type: Field required"
    if block["type"] == "tool_use":
        asked.add(block["id"])
    if block["type"] == "tool_result" and block.get("tool_use_id") not in asked:
        return "unexpected `tool_use_id` found in `tool_result` blocks"
    if block["type"] == "thinking" and block.get("signature") != signature(block.get("thinking", "")):
        return "Invalid `signature` in `thinking` block"
    return ""


def signature(thinking: str) -> str:
    """What makes a thinking block genuine."""
    return base64.b64encode(hashlib.sha256(b"signed:" + thinking.encode()).digest()).decode()


def last_text(body: Json) -> str:
    """The text of the last message."""
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages or not isinstance(messages[-1], dict):
        return ""
    content = messages[-1].get("content")
    if isinstance(content, str):
        return content
    blocks = content if isinstance(content, list) else []
    return " ".join(str(block.get("text", block.get("content", ""))) for block in blocks)


def steer(body: Json) -> tuple[int | None, float]:
    """(number of events asked for, seconds between them)"""
    text = last_text(body)
    events, pace = re.search(r"\bevents=(\d+)", text), re.search(r"\bpace=([\d.]+)", text)
    return (int(events[1]) if events else None, float(pace[1]) if pace else 0.0)


ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    413: "request_too_large",
    422: "invalid_request_error",
    429: "rate_limit_error",
    500: "api_error",
    503: "api_error",
    504: "timeout_error",
    529: "overloaded_error",
}


def wanted_failure(body: Json) -> int:
    """The status of the failure that was asked for; 0 for none."""
    found = re.search(r"\bfail=(\d{3})", last_text(body))
    return int(found[1]) if found else 0


def usage_of(body: Json, output: int) -> Json:
    """Usage as a pure function of the request: four characters a token, cache kinds by its cache_control marks."""
    text = json.dumps(body, sort_keys=True)
    long = len(re.findall(r'"ttl": "1h"', text))
    short = text.count('"cache_control"') - long
    turns = len(body.get("messages") or [])
    cached = bool(long or short)
    return {
        "input_tokens": max(1, len(json.dumps([body.get("system"), body.get("messages"), body.get("tools")])) // 4),
        "cache_creation_input_tokens": 100 * short + 200 * long,
        "cache_read_input_tokens": 1000 * turns if cached else 0,
        "cache_creation": {"ephemeral_5m_input_tokens": 100 * short, "ephemeral_1h_input_tokens": 200 * long},
        "output_tokens": output,
        "service_tier": "standard",
        "inference_geo": "not_available",
        "server_tool_use": None,
    }


def _input_for(schema: Json) -> Json:
    made: Json = {}
    for name, rule in (schema.get("properties") or {}).items():
        made[name] = 7 if rule.get("type") in {"integer", "number"} else "Zürich"
    return made


def answer_to(body: Json, number: int) -> Json:
    """The whole message."""
    content: list[Json] = []
    if (body.get("thinking") or {}).get("type") in {"enabled", "adaptive"}:
        thought = "First I look at the question, then I answer it."
        content.append({"type": "thinking", "thinking": thought, "signature": signature(thought)})
    events, _ = steer(body)
    stop = "end_turn"
    last = (body.get("messages") or [{}])[-1].get("content")
    answered = isinstance(last, list) and any(block.get("type") == "tool_result" for block in last)
    if body.get("tools") and not answered:
        tool = body["tools"][0]
        wanted = _input_for(tool.get("input_schema") or {})
        content.append({"type": "tool_use", "id": f"toolu_{number:06d}", "name": tool["name"], "input": wanted})
        stop = "tool_use"
    else:
        text = " ".join(f"w{index}" for index in range(events - 6)) if events else f"You said: {last_text(body)}"
        content.append({"type": "text", "text": text})
    output = sum(len(json.dumps(block)) for block in content) // 4 + 1
    return {
        "id": f"msg_{number:06d}",
        "type": "message",
        "role": "assistant",
        "model": body["model"],
        "content": content,
        "stop_reason": stop,
        "stop_sequence": None,
        "usage": usage_of(body, output),
    }


def _block_events(index: int, block: Json) -> Iterator[bytes]:
    empty: dict[str, Json] = {
        "text": {"type": "text", "text": ""},
        "thinking": {"type": "thinking", "thinking": "", "signature": ""},
    }
    start = empty.get(block["type"]) or {**block, "input": {}}
    yield sse({"type": "content_block_start", "index": index, "content_block": start})
    for delta in _deltas(block):
        yield sse({"type": "content_block_delta", "index": index, "delta": delta})
    yield sse({"type": "content_block_stop", "index": index})


def _deltas(block: Json) -> Iterator[Json]:
    if block["type"] == "text":
        for piece in re.findall(r"\S+\s*|\s+", block["text"]):
            yield {"type": "text_delta", "text": piece}
    elif block["type"] == "thinking":
        yield {"type": "thinking_delta", "thinking": block["thinking"]}
        yield {"type": "signature_delta", "signature": block["signature"]}
    else:
        text = json.dumps(block["input"], ensure_ascii=False)
        yield {"type": "input_json_delta", "partial_json": ""}
        for at in range(0, len(text), 7):
            yield {"type": "input_json_delta", "partial_json": text[at : at + 7]}


def stream_of(message: Json) -> Iterator[bytes]:
    """The events of a stream that ends in `message`: its usage as a start value, then cumulative."""
    usage = message["usage"]
    begun = {**message, "content": [], "stop_reason": None, "usage": {**usage, "output_tokens": 1}}
    yield sse({"type": "message_start", "message": begun})
    for index, block in enumerate(message["content"]):
        yield from _block_events(index, block)
        if index == 0:
            yield sse({"type": "ping"})
    yield sse(
        {
            "type": "message_delta",
            "delta": {"stop_reason": message["stop_reason"], "stop_sequence": None},
            "usage": {
                "input_tokens": usage["input_tokens"],
                "cache_creation_input_tokens": usage["cache_creation_input_tokens"],
                "cache_read_input_tokens": usage["cache_read_input_tokens"],
                "output_tokens": usage["output_tokens"],
            },
        }
    )
    yield sse({"type": "message_stop"})


def read_stream(data: bytes) -> list[tuple[str, Json]]:
    """The events of a stream written by `sse`: (type, payload)."""
    events = []
    for part in data.split(b"\n\n")[:-1]:
        kind, payload = part.split(b"\n", 1)
        events.append((kind.removeprefix(b"event: ").decode(), json.loads(payload.removeprefix(b"data: "))))
    return events
