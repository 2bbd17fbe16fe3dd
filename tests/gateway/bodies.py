"""Request bodies and events that several tests send."""

import json
from typing import Any

from tests.fake_provider import sse

Json = dict[str, Any]


def ask(text: str = "Say hello", model: str = "claude-same", **fields: Any) -> Json:
    """A small inference request."""
    return {"model": model, "max_tokens": 64, "messages": [{"role": "user", "content": text}], **fields}


def usage(**fields: Any) -> Json:
    return {"input_tokens": 11, "output_tokens": 5, **fields}


def message(model: str = "claude-same", **fields: Any) -> Json:
    """A small whole answer, as an upstream gives it."""
    return {
        "id": "msg_test",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [{"type": "text", "text": "Hello"}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": usage(),
        **fields,
    }


START = sse({"type": "message_start", "message": {**message(), "content": [], "usage": usage(output_tokens=1)}})
BLOCK = sse({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}})


def delta(text: str) -> bytes:
    return sse({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}})


STOP_BLOCK = sse({"type": "content_block_stop", "index": 0})
END = sse({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 5}})
STOP = sse({"type": "message_stop"})
WHOLE = (START, BLOCK, delta("Hel"), delta("lo"), STOP_BLOCK, END, STOP)


def encoded(body: Json) -> bytes:
    return json.dumps(body).encode()


def assert_error(reply: Any, status: int, kind: str) -> str:
    """Asserts the Messages error envelope with the gateway's own id; returns the message."""
    assert reply.status == status, (reply.status, reply.body[:500])
    assert reply.value("content-type").startswith("application/json")
    envelope = reply.json
    assert envelope["type"] == "error"
    assert envelope["error"]["type"] == kind, envelope
    assert envelope["request_id"] == reply.value("request-id") != ""
    text = envelope["error"]["message"]
    assert isinstance(text, str)
    assert text
    return text
