"""The simulated provider speaks the Messages format, says that it is simulated, and refuses what the API refuses."""

import asyncio
import base64
import json
from typing import Any

import pytest
from botocore.eventstream import EventStreamBuffer

from routing.simulator import Simulator

ASK = {"model": "claude-opus-5-5", "max_tokens": 200, "messages": [{"role": "user", "content": "Hello there"}]}
WEATHER = {
    "name": "get_weather",
    "description": "The weather of a place",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer"}, "note": {"type": "string"}},
        "required": ["city", "days"],
    },
}


class Caller:
    """One ASGI call: keeps what was sent, and can leave after a number of messages."""

    def __init__(self, body: bytes, leaves_after: int | None = None) -> None:
        self.sent: list[Any] = []
        self.leaves_after = leaves_after
        self._body: bytes | None = body
        self._left = asyncio.Event()

    async def receive(self) -> dict[str, Any]:
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        self.sent.append(message)
        if self.leaves_after is not None and len(self.sent) >= self.leaves_after:
            self._left.set()

    @property
    def status(self) -> int:
        status: int = self.sent[0]["status"]
        return status

    @property
    def headers(self) -> dict[bytes, bytes]:
        return dict(self.sent[0]["headers"])

    @property
    def body(self) -> bytes:
        return b"".join(message["body"] for message in self.sent[1:])

    def json(self) -> Any:
        return json.loads(self.body)

    def events(self) -> list[Any]:
        events = []
        for frame in self.body.decode().strip().split("\n\n"):
            name, data = frame.split("\n")
            events.append(json.loads(data.removeprefix("data: ")))
            assert name == f"event: {events[-1]['type']}"
        return events


async def call(body: object, path: str = "/v1/messages", method: str = "POST", **caller_options: Any) -> Caller:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    caller = Caller(raw, **caller_options)
    scope = {"type": "http", "method": method, "path": f"/-/simulator{path}", "headers": []}
    await Simulator(pace=0)(scope, caller.receive, caller.send)
    return caller


def assembled(events: list[Any], kind: str, part: str) -> str:
    return "".join(event["delta"][part] for event in events if event.get("delta", {}).get("type") == kind)


async def test_an_answer_is_a_message_that_says_it_is_simulated() -> None:
    caller = await call(ASK)
    message = caller.json()
    assert caller.status == 200
    assert caller.headers[b"x-simulated"] == b"true"
    assert message["id"].startswith("msg_sim_")
    assert message["model"] == "claude-opus-5-5"
    assert "simulated answer" in message["content"][0]["text"]
    assert "Hello there" in message["content"][0]["text"]
    assert message["stop_reason"] == "end_turn"
    assert message["usage"]["input_tokens"] > 0
    assert message["usage"]["output_tokens"] > 5


async def test_a_stream_carries_the_same_text_in_the_order_of_the_api() -> None:
    whole = (await call(ASK)).json()
    caller = await call(ASK | {"stream": True})
    events = caller.events()
    assert caller.headers[b"content-type"].startswith(b"text/event-stream")
    assert assembled(events, "text_delta", "text") == whole["content"][0]["text"]
    types = [event["type"] for event in events]
    assert types[:3] == ["message_start", "ping", "content_block_start"]
    assert types[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    assert events[-2]["usage"]["output_tokens"] == whole["usage"]["output_tokens"]
    assert len(caller.sent) > 10, "a stream comes in many pieces"


async def test_max_tokens_cuts_the_answer() -> None:
    message = (await call(ASK | {"max_tokens": 1})).json()
    assert message["content"][0]["text"] == "This "
    assert message["stop_reason"] == "max_tokens"
    assert message["usage"]["output_tokens"] == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"messages": [{"role": "user", "content": "Please use the get_weather tool"}]},
        {"tool_choice": {"type": "any"}},
        {"tool_choice": {"type": "tool", "name": "get_weather"}},
    ],
)
async def test_a_tool_is_called_when_the_text_or_the_choice_asks_for_it(changes: dict[str, Any]) -> None:
    events = (await call(ASK | {"tools": [WEATHER], "stream": True} | changes)).events()
    given = json.loads(assembled(events, "input_json_delta", "partial_json"))
    assert given == {"city": "simulated", "days": 1}
    assert events[-2]["delta"]["stop_reason"] == "tool_use"


async def test_no_tool_is_called_without_being_asked_for_or_after_its_result() -> None:
    tool_use = {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {}}
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "12 degrees"}
    turns = [
        {"role": "user", "content": "use the get_weather tool"},
        {"role": "assistant", "content": [tool_use]},
        {"role": "user", "content": [result]},
    ]
    for changes in ({}, {"messages": turns}, {"tool_choice": {"type": "none"}}):
        message = (await call(ASK | {"tools": [WEATHER]} | changes)).json()
        assert message["stop_reason"] == "end_turn"


async def test_thinking_comes_first_and_is_signed() -> None:
    message = (await call(ASK | {"thinking": {"type": "enabled", "budget_tokens": 1024}})).json()
    assert [block["type"] for block in message["content"]] == ["thinking", "text"]
    assert message["content"][0]["signature"]
    omitted = {"thinking": {"type": "adaptive", "display": "omitted"}, "stream": True}
    events = (await call(ASK | omitted)).events()
    assert assembled(events, "thinking_delta", "thinking") == ""
    assert assembled(events, "signature_delta", "signature")


async def test_count_tokens_grows_with_the_text() -> None:
    short = (await call({"model": "m", "messages": ASK["messages"]}, "/v1/messages/count_tokens")).json()
    long_text = [{"role": "user", "content": "word " * 400}]
    long = (await call({"model": "m", "messages": long_text}, "/v1/messages/count_tokens")).json()
    assert 0 < short["input_tokens"] < 50
    assert 400 < long["input_tokens"] < 600


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "JSON"),
        (b"\xff\xfe", "JSON"),
        (b"[" * 100_000, "JSON"),
        ([], "object"),
        ({"max_tokens": 1, "messages": ASK["messages"]}, "model"),
        (ASK | {"messages": []}, "messages"),
        (ASK | {"messages": [{"role": "robot", "content": "x"}]}, "messages.0.role"),
        (ASK | {"messages": [{"role": "user", "content": 7}]}, "messages.0.content"),
        (ASK | {"max_tokens": 0}, "max_tokens"),
        (ASK | {"max_tokens": True}, "max_tokens"),
        ({"model": "m", "messages": ASK["messages"]}, "max_tokens"),
        (ASK | {"tools": {}}, "tools"),
    ],
)
async def test_what_the_api_refuses_is_refused_in_its_shape(body: object, words: str) -> None:
    caller = await call(body)
    refusal = caller.json()
    assert caller.status == 400
    assert refusal["type"] == "error"
    assert refusal["error"]["type"] == "invalid_request_error"
    assert words in refusal["error"]["message"]
    assert refusal["request_id"].startswith("req_sim_")


BEDROCK_PATH = "/model/us.anthropic.claude-opus-5-5-v1:0"
VERTEX_PATH = "/v1/projects/demo/locations/global/publishers/anthropic/models"
SHELL = {name: value for name, value in ASK.items() if name != "model"}


async def test_bedrock_s_invoke_answers_for_the_model_in_the_path() -> None:
    caller = await call(SHELL | {"anthropic_version": "bedrock-2023-05-31"}, f"{BEDROCK_PATH}/invoke")
    assert caller.status == 200
    assert caller.headers[b"x-amzn-requestid"].startswith(b"req_sim_")
    assert caller.json()["model"] == "us.anthropic.claude-opus-5-5-v1:0"


async def test_bedrock_s_stream_is_one_that_amazon_s_own_reader_takes() -> None:
    caller = await call(SHELL, f"{BEDROCK_PATH}/invoke-with-response-stream")
    assert caller.headers[b"content-type"] == b"application/vnd.amazon.eventstream"
    frames = EventStreamBuffer()
    frames.add_data(caller.body)
    events = [json.loads(base64.b64decode(json.loads(frame.payload)["bytes"])) for frame in frames]
    assert (events[0]["type"], events[-1]["type"]) == ("message_start", "message_stop")
    assert assembled(events, "text_delta", "text").startswith("This is a simulated answer")


async def test_bedrock_s_count_is_of_the_body_inside() -> None:
    inner = base64.b64encode(json.dumps(SHELL).encode()).decode()
    caller = await call({"input": {"invokeModel": {"body": inner}}}, "/model/anthropic.claude-opus-5-5/count-tokens")
    assert caller.json() == {"inputTokens": (await call(ASK, "/v1/messages/count_tokens")).json()["input_tokens"]}


async def test_vertex_s_raw_predict_answers_whole_and_as_a_stream() -> None:
    whole = await call(SHELL, f"{VERTEX_PATH}/claude-haiku-4-5@20251001:rawPredict")
    assert whole.json()["model"] == "claude-haiku-4-5@20251001"
    stream = await call(SHELL, f"{VERTEX_PATH}/claude-opus-5-5:streamRawPredict")
    assert stream.events()[0]["message"]["model"] == "claude-opus-5-5"
    count = await call(ASK, f"{VERTEX_PATH}/count-tokens:rawPredict")
    assert count.json()["input_tokens"] > 0


async def test_refusals_have_the_shape_of_the_format_that_was_spoken() -> None:
    bodies: tuple[object, ...] = ({}, b"no JSON")
    for body in bodies:
        caller = await call(body, f"{BEDROCK_PATH}/invoke")
        assert caller.status == 400
        assert caller.headers[b"x-amzn-errortype"].startswith(b"ValidationException")


async def test_other_paths_and_methods_are_refused() -> None:
    assert (await call(ASK, "/v1/complete")).status == 404
    assert (await call(SHELL, f"{BEDROCK_PATH}/converse")).status == 404
    assert (await call(ASK, method="GET")).status == 405


async def test_a_client_that_leaves_ends_the_stream() -> None:
    caller = await call(ASK | {"stream": True}, leaves_after=4)
    assert len(caller.sent) < 10
    assert caller.sent[-1]["more_body"] is True
