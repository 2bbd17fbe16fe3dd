"""The shell of Vertex's rawPredict around `messages`: paths, tokens, two shapes of errors, Google's own events."""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.fake_google import FakeGoogle, Refused
from tests.fake_provider import messages
from tests.fake_provider.answers import Answer, Pairs, Pause, Step, error, reply, sse, stream
from tests.fake_provider.received import Received
from tests.fake_provider.rules import Expected
from tests.fake_provider.server import FakeProvider

PROJECT = "upstream-project-4711"  # of the upstream account; no client may ever see it
VERSIONS = ("vertex-2023-10-16", "2026-10-21")
# Source: google.rpc.Code, 2026-11.
STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_BY_THE_PLATFORM = (401, 403, 404, 429, 503, 504)
_MODEL = re.compile(r"/models/([A-Za-z0-9@._-]+):(rawPredict|streamRawPredict)")


@dataclass(slots=True)
class Vertex:
    """One project at one location. Takes the tokens of `google`, or the `bearer` if there is one; tokens in `revoked`
    are answered with 401."""

    google: FakeGoogle | None = None
    bearer: str = ""
    project: str = PROJECT
    location: str = "europe-west1"
    prefix: str = ""
    revoked: set[str] = field(default_factory=set)

    def provider(self, secrets: Iterable[str]) -> FakeProvider:
        """The running project, not yet started; `secrets` are the gateway's callers' keys."""
        expected = Expected(
            secrets=set(secrets), session_headers=False, prefix=self.prefix, authorize=self.credential_violations
        )
        return FakeProvider(
            expected=expected, respond=self.respond, rules=self.violations, model_of=lambda request: model_of(request)
        )

    def revoke(self) -> None:
        """No token given out so far is good any more."""
        assert self.google is not None
        self.revoked |= {f"Bearer {token}" for token in self.google.issued}
        self.google.revoke_all()

    # What must never arrive.

    def credential_violations(self, request: Received) -> Iterator[str]:
        if request.values("x-api-key"):
            yield "x-api-key at Vertex"
        given = request.values("authorization")
        if self.google is None:
            if given != [f"Bearer {self.bearer}"]:
                yield "not exactly the bearer token"
        elif len(given) != 1 or given[0] not in self.revoked:
            try:
                self.google.check_request([(name.encode(), value.encode("latin-1")) for name, value in request.headers])
            except Refused as refused:
                yield f"token: {refused}"

    def violations(self, request: Received) -> Iterator[str]:
        place = f"{self.prefix}/v1/projects/{self.project}/locations/{self.location}/publishers/anthropic"
        found = _MODEL.fullmatch(request.target.removeprefix(place))
        if request.method != "POST" or not request.target.startswith(place) or found is None:
            yield f"{request.method} {request.target}"
            return
        for name, _ in request.headers:
            if name.lower().startswith(("x-amz", "x-goog-")):
                yield f"header {name} at Vertex"
        if request.values("content-type") != ["application/json"]:
            yield f"content-type {request.values('content-type')}"
        body = json.loads(request.body)
        yield from _body_violations(body, counting=found[1] == "count-tokens", streams=found[2] == "streamRawPredict")

    # What it answers.

    def respond(self, request: Received) -> Answer:
        if request.value("authorization") in self.revoked:
            return google_failure(401, "Request had invalid authentication credentials.")
        body, model = json.loads(request.body), model_of(request)
        counting = model == "count-tokens"
        version = body["anthropic_version"]
        content = {name: value for name, value in body.items() if name != "anthropic_version"}
        asked = content if counting else {**content, "model": model}
        if found := messages.problem(asked, version if version[0].isdigit() else "", counting=counting):
            return failure(400, found)
        if status := messages.wanted_failure(body):
            return failure(status, f"failure {status} in projects/{PROJECT}, as asked")
        if counting:
            return reply(200, {"input_tokens": messages.usage_of(content, 0)["input_tokens"]}, edge=False)
        message = messages.answer_to(asked, request.number)
        message["id"] = f"msg_vrtx_{request.number:06d}"
        if not body.get("stream"):
            return whole(message)
        events = [event for _, event in messages.read_stream(b"".join(messages.stream_of(message)))]
        return streamed(events, pace=messages.steer(body)[1], usage=message["usage"])


def model_of(request: Received) -> str:
    found = _MODEL.search(request.path)
    return found[1] if found else ""


def _body_violations(body: dict[str, Any], *, counting: bool, streams: bool) -> Iterator[str]:
    if ("model" in body) != counting:
        yield "model in the body" if "model" in body else "no model in the body of a count"
    if body.get("anthropic_version") not in VERSIONS:
        yield f"anthropic_version {body.get('anthropic_version')!r}"
    if bool(body.get("stream")) != streams:
        yield f"stream {body.get('stream')!r} in the body does not fit the method"
    for name in ("anthropic_beta", "betas"):
        if name in body:
            yield f"{name} in the body"


HEADERS = [
    ("request-id", "req_vrtx_000000000001"),
    ("server", "scaffolding on HTTPServer2"),
    ("via", "1.1 google"),
    ("x-goog-project", PROJECT),
]


def failure(status: int, message: str, *, headers: Pairs = ()) -> Answer:
    """An error of the model's side as the Messages envelope, one of the platform's in Google's shape."""
    if status in _BY_THE_PLATFORM:
        return google_failure(status, message, headers=headers)
    body = error(messages.ERROR_TYPES[status], message, request_id="req_vrtx_000000000001")
    return reply(status, body, [*HEADERS, *headers], edge=False)


def google_failure(status: int, message: str, *, headers: Pairs = (), in_list: bool = False) -> Answer:
    """An error of Google's platform; streaming endpoints put it into a list of one."""
    details = [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "metadata": {"consumer": f"projects/{PROJECT}"}}]
    found = {"error": {"code": status, "message": message, "status": STATUSES[status], "details": details}}
    body = json.dumps([found] if in_list else found).encode()
    return reply(status, body, [*HEADERS, *headers], edge=False)


def whole(message: dict[str, Any]) -> Answer:
    return reply(200, message, HEADERS, edge=False)


def of_events(*pieces: Step | bytes, usage: dict[str, Any] | None = None) -> Answer:
    return stream(*pieces, headers=HEADERS, usage=usage, edge=False)


def streamed(events: Sequence[dict[str, Any]], *, pace: float = 0, usage: Any = None) -> Answer:
    """These events, after one of Google's own that clients pass over."""
    steps: list[Step | bytes] = [sse({"type": "vertex_event", "traffic": "ON_DEMAND"})]
    for event in events:
        steps += [sse(event), Pause(pace)] if pace else [sse(event)]
    return of_events(*steps, usage=usage)
