"""The shell of the Messages API around `messages`: paths, headers, JSON and SSE framing, its error bodies."""

import json
from typing import Any

from tests.fake_provider import messages
from tests.fake_provider.answers import Answer, Pause, error, reply, stream
from tests.fake_provider.received import Received

MODELS = ("claude-fake-2", "claude-fake-1")


def respond(request: Received) -> Answer:
    """What the real API would answer. The request has already passed the rules."""
    headers = [("request-id", request.upstream_id)]
    if request.method == "GET":
        return _models(request, headers)
    path = request.path
    if not path.endswith(("/v1/messages", "/v1/messages/count_tokens")):
        return _refusal(404, "not_found_error", "Not found", request)
    body: dict[str, Any] = json.loads(request.body)
    counting = path.endswith("/count_tokens")
    if found := messages.problem(body, request.value("anthropic-version"), counting=counting):
        return _refusal(400, "invalid_request_error", found, request)
    if status := messages.wanted_failure(body):
        return _refusal(status, messages.ERROR_TYPES[status], f"failure {status}, as asked", request)
    if counting:
        return reply(200, {"input_tokens": messages.usage_of(body, 0)["input_tokens"]}, headers)
    message = messages.answer_to(body, request.number)
    if not body.get("stream"):
        return reply(200, message, headers)
    _, pace = messages.steer(body)
    pieces: list[bytes | Pause] = []
    for piece in messages.stream_of(message):
        pieces += [piece, Pause(pace)] if pace else [piece]
    return stream(*pieces, headers=headers, usage=message["usage"])


def _models(request: Received, headers: list[tuple[str, str]]) -> Answer:
    entries = [
        {"id": name, "type": "model", "display_name": name.title(), "created_at": "2026-01-01T00:00:00Z"}
        for name in MODELS
    ]
    if request.path.endswith("/v1/models"):
        page = {"data": entries, "has_more": False, "first_id": MODELS[0], "last_id": MODELS[-1]}
        return reply(200, page, headers)
    for entry in entries:
        if request.path.endswith("/v1/models/" + entry["id"]):
            return reply(200, entry, headers)
    return _refusal(404, "not_found_error", "Not found", request)


def _refusal(status: int, kind: str, message: str, request: Received) -> Answer:
    body = error(kind, message, request_id=request.upstream_id)
    return reply(status, body, [("request-id", request.upstream_id)])
