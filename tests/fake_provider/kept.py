"""Message batches and files of the Messages API: one account that keeps them, and is as strict about what arrives.

account = Account()
with account.provider(secrets=...) as provider: ...
account.end(batch_id)    # its results are there from now on
"""

import email
import email.message
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.fake_provider import anthropic, messages
from tests.fake_provider.answers import Answer, Pairs, error, reply, stream
from tests.fake_provider.received import Received
from tests.fake_provider.rules import Expected, anthropic_violations
from tests.fake_provider.server import FakeProvider

Json = dict[str, Any]
_PATH = re.compile(r"(?:/[^/]+)*?/v1/(messages/batches|files)(?:/([^/]+))?(?:/([a-z]+))?")
RESULTS_HOST = "https://api.upstream.example"  # a client must never see it


@dataclass(slots=True)
class Batch:
    """A batch as it is kept; `results` are the lines of its file once it has ended."""

    shown: Json
    requests: list[Json]
    results: bytes = b""


@dataclass(slots=True)
class File:
    shown: Json
    content: bytes
    content_type: str


@dataclass(slots=True)
class Account:
    """Everything that this account keeps, oldest first. A batch ends when it is asked for the second time, unless
    `patient`; then only `end` ends it."""

    patient: bool = False
    batches: dict[str, Batch] = field(default_factory=dict)
    files: dict[str, File] = field(default_factory=dict)
    looks: dict[str, int] = field(default_factory=dict)

    def provider(self, secrets: Iterable[str], **options: Any) -> FakeProvider:
        expected = options.pop("expected", None) or Expected(secrets=set(secrets))
        return FakeProvider(expected=expected, respond=self.respond, rules=rules, model_of=_model_of, **options)

    def end(self, id_: str) -> None:
        """Ends a batch: what was not answered is answered."""
        batch = self.batches[id_]
        canceled = batch.shown["processing_status"] == "canceling"
        lines = [_line(request, number, canceled=canceled) for number, request in enumerate(batch.requests)]
        batch.results = b"".join(json.dumps(line, ensure_ascii=False).encode() + b"\n" for line in lines)
        batch.shown["processing_status"] = "ended"
        batch.shown["results_url"] = f"{RESULTS_HOST}/v1/messages/batches/{id_}/results"
        batch.shown["ended_at"] = "2026-11-23T12:00:00Z"

    def respond(self, request: Received) -> Answer:
        found = _PATH.fullmatch(request.path)
        if found is None:
            return anthropic.respond(request)
        headers = [("request-id", request.upstream_id)]
        root, id_, action = found.groups()
        kept: dict[str, Any] = self.files if root == "files" else self.batches
        if id_ is None:
            made = self._upload(request) if root == "files" else self._create(request)
            return reply(200, made, headers)
        if id_ not in kept:
            return _refusal(404, "not_found_error", "Not found", request)
        if request.method == "DELETE":
            return self._delete(kept, id_, request)
        if action == "content":
            file = self.files[id_]
            return reply(200, file.content, headers, content_type=file.content_type)
        return (
            reply(200, kept[id_].shown, headers) if root == "files" else self._of_batch(id_, action, request, headers)
        )

    def _of_batch(self, id_: str, action: str | None, request: Received, headers: Pairs) -> Answer:
        batch = self.batches[id_]
        ended = batch.shown["processing_status"] == "ended"
        if action == "results":
            if not ended:
                return _refusal(404, "not_found_error", "Not found", request)
            pieces = [batch.results[at : at + 700] for at in range(0, len(batch.results), 700)]
            return stream(*pieces, headers=headers, content_type="application/x-jsonl")
        if action == "cancel" and not ended:
            batch.shown |= {"processing_status": "canceling", "cancel_initiated_at": "2026-11-23T11:00:00Z"}
        elif action is None:
            self.looks[id_] = self.looks.get(id_, 0) + 1
            if self.looks[id_] > 1 and not ended and not self.patient:
                self.end(id_)
        return reply(200, batch.shown, headers)

    def _delete(self, kept: dict[str, Any], id_: str, request: Received) -> Answer:
        if kept is self.batches and self.batches[id_].shown["processing_status"] != "ended":
            return _refusal(400, "invalid_request_error", "Cannot delete a batch that is in progress", request)
        del kept[id_]
        kind = "message_batch_deleted" if kept is self.batches else "file_deleted"
        return reply(200, {"id": id_, "type": kind}, [("request-id", request.upstream_id)])

    def _create(self, request: Received) -> Json:
        id_ = f"msgbatch_01{request.number:022d}"
        requests: list[Json] = request.json["requests"]
        shown = {
            "id": id_,
            "type": "message_batch",
            "processing_status": "in_progress",
            "request_counts": {"processing": len(requests), "succeeded": 0, "errored": 0, "canceled": 0, "expired": 0},
            "ended_at": None,
            "created_at": "2026-11-23T10:00:00Z",
            "expires_at": "2026-11-24T10:00:00Z",
            "archived_at": None,
            "cancel_initiated_at": None,
            "results_url": None,
            "a field to come": [1.0, {"é": None}],
        }
        self.batches[id_] = Batch(shown, requests)
        return shown

    def _upload(self, request: Received) -> Json:
        id_ = f"file_01{request.number:022d}"
        part = _parts(request)["file"]
        content = part.get_payload(decode=True)
        assert isinstance(content, bytes)
        shown = {
            "id": id_,
            "type": "file",
            "filename": part.get_filename(),
            "mime_type": part.get_content_type(),
            "size_bytes": len(content),
            "created_at": "2026-11-23T10:00:00Z",
            "downloadable": True,
        }
        self.files[id_] = File(shown, content, part.get_content_type())
        return shown


def _line(request: Json, number: int, *, canceled: bool) -> Json:
    if canceled:
        return {"custom_id": request["custom_id"], "result": {"type": "canceled"}}
    body = request["params"]
    if messages.wanted_failure(body):
        problem = error("invalid_request_error", "as asked")
        return {"custom_id": request["custom_id"], "result": {"type": "errored", "error": problem}}
    message = messages.answer_to(body, number)
    message["usage"]["service_tier"] = "batch"
    return {"custom_id": request["custom_id"], "result": {"type": "succeeded", "message": message}}


def _parts(request: Received) -> dict[str, email.message.Message]:
    """The parts of a form by name."""
    head = f"content-type: {request.value('content-type')}\r\n\r\n".encode()
    form = email.message_from_bytes(head + request.body)
    parts = form.get_payload()
    assert isinstance(parts, list)
    found = {}
    for part in parts:
        assert isinstance(part, email.message.Message)
        found[str(part.get_param("name", header="content-disposition"))] = part
    return found


def rules(request: Received) -> Iterator[str]:
    """What must never arrive, for these paths."""
    found = _PATH.fullmatch(request.path)
    if found is None or request.method != "POST":
        yield from anthropic_violations(request)
        if request.method != "POST" and request.values("content-type"):
            yield f"{request.method} with a content-type"
        return
    root, id_, action = found.groups()
    if action == "cancel":
        if request.body:
            yield "a cancellation with a body"
    elif root == "files":
        if not request.value("content-type").startswith("multipart/form-data; boundary="):
            yield f"content-type {request.values('content-type')}"
        elif set(_parts(request)) != {"file"}:
            yield f"parts {sorted(_parts(request))}"
    else:
        yield from anthropic_violations(request)
        yield from _batch_violations(request)
    if id_ is not None and action is None:
        yield f"POST {request.path}"


def _batch_violations(request: Received) -> Iterator[str]:
    version = request.value("anthropic-version")
    for index, each in enumerate(request.json.get("requests", [])):
        if problem := messages.problem(each["params"], version):
            yield f"requests.{index}: {problem}"


def _model_of(request: Received) -> str:
    """Scripts are told apart by method and path here: `GET /v1/files/x`."""
    return f"{request.method} {request.path}"


def _refusal(status: int, kind: str, message: str, request: Received) -> Answer:
    return reply(status, error(kind, message, request_id=request.upstream_id), [("request-id", request.upstream_id)])
