"""The shell of Bedrock's InvokeModel around `messages`: paths, signatures, binary frames, named errors.

It verifies each signature on its own, for the very path and body that arrived, and takes nothing that Amazon would
not: no model or stream in a body, no Messages header, no header of a client's session.
"""

import base64
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, unquote

from tests.fake_aws import SignatureMismatch, verify
from tests.fake_provider import messages
from tests.fake_provider.answers import Answer, Gate, Pairs, Pause, Step, reply, stream
from tests.fake_provider.frames import METRICS, chunk
from tests.fake_provider.received import Received
from tests.fake_provider.rules import Expected
from tests.fake_provider.server import FakeProvider

ACCOUNT = "123456789012"  # of the upstream account; no client may ever see it
ARN = f"arn:aws:bedrock:us-east-1:{ACCOUNT}:inference-profile/us.anthropic.claude-opus-5-5"
VERSIONS = ("bedrock-2023-05-31", "2026-10-21")
STREAM_TYPE = "application/vnd.amazon.eventstream"
# Source: Bedrock's service model, 2026-11.
NAMES = {
    400: "ValidationException",
    403: "AccessDeniedException",
    404: "ResourceNotFoundException",
    408: "ModelTimeoutException",
    424: "ModelErrorException",
    429: "ThrottlingException",
    500: "InternalServerException",
    503: "ServiceUnavailableException",
}
_PATH = re.compile(r"/model/([^/]+)/(invoke|invoke-with-response-stream|count-tokens)")
_SIGNING = {"x-amz-date", "x-amz-security-token", "x-amz-content-sha256"}
_OLD_MODELS = re.compile(r"-\d{8}-v\d")  # ids that carry a date know the first API version only


@dataclass(slots=True)
class Bedrock:
    """One account. `keys` maps access key ids to secrets, `tokens` those of temporary keys to their session tokens;
    with a `bearer` only that is taken. `expired` holds key ids that are answered with 403 from now on. With
    `known_betas` any other value in a body is a 400 in the words of `complaint`.
    """

    region: str = "us-east-1"
    keys: Mapping[str, str] = field(default_factory=dict)
    tokens: Mapping[str, str] = field(default_factory=dict)
    bearer: str = ""
    prefix: str = ""
    expired: set[str] = field(default_factory=set)
    known_betas: frozenset[str] | None = None
    complaint: str = "invalid beta flag"

    def provider(self, secrets: Iterable[str]) -> FakeProvider:
        """The running account, not yet started; `secrets` are the gateway's callers' keys."""
        expected = Expected(
            secrets=set(secrets), session_headers=False, prefix=self.prefix, authorize=self.credential_violations
        )
        return FakeProvider(
            expected=expected, respond=self.respond, rules=self.violations, model_of=lambda request: model_of(request)
        )

    # What must never arrive.

    def credential_violations(self, request: Received) -> Iterator[str]:
        if request.values("x-api-key"):
            yield "x-api-key at Bedrock"
        if self.bearer:
            if request.values("authorization") != [f"Bearer {self.bearer}"]:
                yield "not exactly the bearer token"
            if any(name in _SIGNING for name in request_names(request)):
                yield "a bearer token beside parts of a signature"
            return
        raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in request.headers]
        target = request.target.encode()
        try:
            verify(request.method, target, raw, request.body, self.keys, self.region, "bedrock", tokens=self.tokens)
        except SignatureMismatch as mismatch:
            yield f"signature: {mismatch.reason}"

    def violations(self, request: Received) -> Iterator[str]:
        yield from self._path_violations(request)
        for name in request_names(request):
            if name.startswith(("anthropic-", "x-goog-")):
                yield f"header {name} at Bedrock"
            if name.startswith("x-amz-") and name not in _SIGNING:
                yield f"header {name}"
        if request.values("content-type") != ["application/json"]:
            yield f"content-type {request.values('content-type')}"
        try:
            body = invoke_body(request)
        except (ValueError, KeyError, TypeError) as error:
            yield f"the body cannot be read: {error!r}"
            return
        yield from _body_violations(body)

    def _path_violations(self, request: Received) -> Iterator[str]:
        if request.method != "POST":
            yield f"method {request.method}"
        found = _PATH.fullmatch(request.target.removeprefix(self.prefix))
        if found is None:
            yield f"path {request.target}"
        elif quote(unquote(found[1]), safe="") != found[1] or "[1m]" in unquote(found[1]):
            yield f"the model id is not encoded as it should be: {found[1]}"

    # What it answers.

    def respond(self, request: Received) -> Answer:
        if any(f"Credential={key_id}/" in request.value("authorization") for key_id in self.expired):
            return failure(403, "The security token included in the request is expired", name="ExpiredTokenException")
        body, model = invoke_body(request), model_of(request)
        counting = request.path.endswith("/count-tokens")
        if found := self._problem(body, model, counting=counting):
            return failure(400, found)
        if status := messages.wanted_failure(body):
            return failure(status, f"failure {status} at {ARN}, as asked")
        if counting:
            return reply(200, {"inputTokens": messages.usage_of(body, 0)["input_tokens"]}, edge_headers(), edge=False)
        message = messages.answer_to({**body, "model": model.partition("anthropic.")[2] or model}, request.number)
        message["id"] = f"msg_bdrk_{request.number:06d}"
        if request.path.endswith("/invoke"):
            return whole(message)
        events = [
            event for kind, event in messages.read_stream(b"".join(messages.stream_of(message))) if kind != "ping"
        ]
        return streamed(events, pace=messages.steer(body)[1], usage=message["usage"])

    def _problem(self, body: dict[str, Any], model: str, *, counting: bool) -> str:
        version = body["anthropic_version"]
        if version != VERSIONS[0] and _OLD_MODELS.search(model):
            return f"anthropic_version: {version} is not supported for this model"
        if counting and not model.startswith("anthropic."):
            return "The provided model doesn't support counting tokens."
        if self.known_betas is not None:
            unknown = [beta for beta in body.get("anthropic_beta", []) if beta not in self.known_betas]
            if unknown:
                return self.complaint.format(beta=unknown[0])
        content = {name: value for name, value in body.items() if not name.startswith("anthropic_")}
        if "tools" in content and not content["tools"]:
            return "tools: List should have at least 1 item after validation, not 0"
        return messages.problem({**content, "model": model}, version if version[0].isdigit() else "")


def request_names(request: Received) -> list[str]:
    return [name.lower() for name, _ in request.headers]


def model_of(request: Received) -> str:
    """The model that a path names, decoded; empty where it names none."""
    found = _PATH.search(request.path)
    return unquote(found[1]) if found else ""


def invoke_body(request: Received) -> dict[str, Any]:
    """The Messages content of a request; that of a count is wrapped. Raises ValueError, KeyError, TypeError."""
    body = json.loads(request.body)
    if request.path.endswith("/count-tokens"):
        if body.keys() != {"input"} or body["input"].keys() != {"invokeModel"}:
            raise ValueError("a count is input.invokeModel.body and nothing else")
        body = json.loads(base64.b64decode(body["input"]["invokeModel"]["body"], validate=True))
    if not isinstance(body, dict):
        raise TypeError("not an object")
    return body


def _body_violations(body: dict[str, Any]) -> Iterator[str]:
    for name in ("model", "stream", "betas"):
        if name in body:
            yield f"{name} in the body"
    if body.get("anthropic_version") not in VERSIONS:
        yield f"anthropic_version {body.get('anthropic_version')!r}"
    betas = body.get("anthropic_beta", ["x"])
    if not isinstance(betas, list) or not betas or len(set(betas)) != len(betas) or not all(betas):
        yield f"anthropic_beta {betas!r}"
    if "max_tokens" not in body:
        yield "no max_tokens in the body"


def edge_headers(usage: Mapping[str, Any] | None = None) -> list[tuple[str, str]]:
    """What Amazon adds to an answer: its own request id, counts, and what belongs to the account and the edge."""
    headers = [
        ("x-amzn-requestid", "0f3d3b2e-aaaa-bbbb-cccc-00000000aws1"),
        ("server", "amazon"),
        ("via", "1.1 bedrock-edge.internal"),
        ("set-cookie", f"account={ACCOUNT}"),
    ]
    if usage:
        counts = {
            "input": usage.get("input_tokens"),
            "output": usage.get("output_tokens"),
            "cache-read-input": usage.get("cache_read_input_tokens"),
            "cache-write-input": usage.get("cache_creation_input_tokens"),
        }
        headers += [(f"x-amzn-bedrock-{name}-token-count", str(count or 0)) for name, count in counts.items()]
        headers.append(("x-amzn-bedrock-invocation-latency", "87"))
    return headers


def failure(status: int, message: str, *, name: str = "", headers: Pairs = ()) -> Answer:
    """An error answer; its name is the status's usual one unless given."""
    name = name or NAMES.get(status, "InternalServerException")
    fields = [("x-amzn-errortype", f"{name}:http://internal.amazon.com/coral/"), *edge_headers(), *headers]
    return reply(status, {"message": message}, fields, edge=False)


def whole(message: dict[str, Any]) -> Answer:
    """A complete answer."""
    return reply(200, message, edge_headers(message.get("usage")), edge=False)


def metrics_of(events: Sequence[dict[str, Any]]) -> dict[str, int]:
    """The numbers that the last chunk repeats."""
    usage: dict[str, Any] = {}
    for event in events:
        reported = (event.get("message") or event).get("usage") or {}
        usage |= {name: value for name, value in reported.items() if value is not None}
    return {
        "inputTokenCount": usage.get("input_tokens") or 0,
        "outputTokenCount": usage.get("output_tokens") or 0,
        "invocationLatency": 87,
        "firstByteLatency": 12,
        "cacheReadInputTokenCount": usage.get("cache_read_input_tokens") or 0,
        "cacheWriteInputTokenCount": usage.get("cache_creation_input_tokens") or 0,
    }


def frames_of(events: Sequence[dict[str, Any]]) -> list[bytes]:
    """Each event as a frame, the metrics in the last."""
    framed = []
    for index, event in enumerate(events):
        metrics = {METRICS: metrics_of(events)} if event["type"] == "message_stop" else {}
        framed.append(chunk({**event, **metrics}, padding="abcdefghijklmnopqrstuvwxyz"[: index % 26]))
    return framed


def of_frames(*pieces: Step | bytes, usage: dict[str, Any] | None = None) -> Answer:
    """A stream of exactly these pieces, whole frames or not."""
    headers = [*edge_headers(), ("x-amzn-bedrock-content-type", "application/json")]
    return stream(*pieces, headers=headers, content_type=STREAM_TYPE, usage=usage, edge=False)


def streamed(
    events: Sequence[dict[str, Any]], *, cut: int = 0, pace: float = 0, gate: Gate | None = None, usage: Any = None
) -> Answer:
    """A stream of these events: a frame a chunk, or cut into pieces of `cut` bytes; `gate` stands before the last."""
    pieces = frames_of(events)
    if cut:
        data = b"".join(pieces)
        pieces = [data[at : at + cut] for at in range(0, len(data), cut)]
    steps: list[Step | bytes] = []
    for piece in pieces:
        steps += [piece, Pause(pace)] if pace else [piece]
    if gate:
        steps.insert(-1, gate)
    return of_frames(*steps, usage=usage)
