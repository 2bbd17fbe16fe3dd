"""What the vendor's Python clients of the three formats do on every pair; its newest and its last 0.x version run it.

Run as `python -m tests.pairs.sdk_scenarios URL KEY` (with that version first on the path) it prints one JSON object: the
version, and for each `scenario client upstream` an empty text or the traceback.
"""

import json
import sys
import traceback
from collections.abc import Callable
from functools import partial
from typing import Any

import anthropic

from tests.harness.formats import name_for

FORMATS = ("anthropic", "bedrock", "vertex")
MOUNTS = {"anthropic": "", "bedrock": "/bedrock", "vertex": "/vertex/v1"}
# What stands in the upstreams' error texts and must not come down.
HIDDEN = ("123456789012", "upstream-project-4711", "arn:aws", "req_vrtx", "aws1", "req_upstream")
WEATHER: Any = {
    "name": "get_weather",
    "description": "The weather in a city",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
Sdk = Any

# What becomes of a status of each upstream, by client.
STATUSES: dict[str, dict[int, dict[str, int]]] = {
    "anthropic": {
        400: {"anthropic": 400, "bedrock": 400, "vertex": 400},
        403: {"anthropic": 403, "bedrock": 403, "vertex": 403},
        404: {"anthropic": 404, "bedrock": 404, "vertex": 404},
        413: {"anthropic": 413, "bedrock": 400, "vertex": 400},
        429: {"anthropic": 429, "bedrock": 429, "vertex": 429},
        500: {"anthropic": 500, "bedrock": 500, "vertex": 500},
        504: {"anthropic": 504, "bedrock": 408, "vertex": 504},
        529: {"anthropic": 529, "bedrock": 503, "vertex": 529},
    },
    "bedrock": {
        400: {"anthropic": 400, "bedrock": 400, "vertex": 400},
        403: {"anthropic": 403, "bedrock": 403, "vertex": 403},
        404: {"anthropic": 404, "bedrock": 404, "vertex": 404},
        408: {"anthropic": 504, "bedrock": 408, "vertex": 504},
        424: {"anthropic": 500, "bedrock": 424, "vertex": 500},
        429: {"anthropic": 429, "bedrock": 429, "vertex": 429},
        500: {"anthropic": 500, "bedrock": 500, "vertex": 500},
        503: {"anthropic": 503, "bedrock": 503, "vertex": 529},
    },
    "vertex": {
        400: {"anthropic": 400, "bedrock": 400, "vertex": 400},
        403: {"anthropic": 403, "bedrock": 403, "vertex": 403},
        404: {"anthropic": 404, "bedrock": 404, "vertex": 404},
        413: {"anthropic": 413, "bedrock": 400, "vertex": 400},
        429: {"anthropic": 429, "bedrock": 429, "vertex": 429},
        500: {"anthropic": 500, "bedrock": 500, "vertex": 500},
        503: {"anthropic": 503, "bedrock": 503, "vertex": 529},
        504: {"anthropic": 504, "bedrock": 408, "vertex": 504},
        529: {"anthropic": 529, "bedrock": 503, "vertex": 529},
    },
}
CLASSES: dict[int, type[anthropic.APIStatusError]] = {
    400: anthropic.BadRequestError,
    401: anthropic.AuthenticationError,
    403: anthropic.PermissionDeniedError,
    404: anthropic.NotFoundError,
    429: anthropic.RateLimitError,
    500: anthropic.InternalServerError,
}


def hello(text: str = "Say hello") -> Any:
    return [{"role": "user", "content": text}]


def client_of(format_: str, url: str, key: str, retries: int = 0) -> Sdk:
    options: Any = {"base_url": url + MOUNTS[format_], "max_retries": retries, "timeout": 20}
    if format_ == "bedrock":
        return anthropic.AnthropicBedrock(api_key=key, aws_region="us-east-1", **options)
    if format_ == "vertex":
        return anthropic.AnthropicVertex(access_token=key, region="us-east5", project_id="of-the-client", **options)
    return anthropic.Anthropic(api_key=key, **options)


def create(sdk: Sdk, model: str, client: str, upstream: str) -> None:
    message = sdk.messages.create(model=model, max_tokens=64, messages=hello("Grüß Gott ☃"))
    assert message.content[0].text == "You said: Grüß Gott ☃"
    assert message.stop_reason == "end_turn"
    assert message.usage.input_tokens > 0
    assert message.id.startswith({"bedrock": "msg_bdrk_", "vertex": "msg_vrtx_"}.get(upstream, "msg_"))
    assert message._request_id.startswith("req_")
    assert not message._request_id.startswith(("req_vrtx", "req_upstream"))


def stream_helper(sdk: Sdk, model: str, client: str, upstream: str) -> None:
    kinds, pieces = [], []
    with sdk.messages.stream(model=model, max_tokens=64, messages=hello("one two three")) as stream:
        for event in stream:
            kinds.append(event.type)
            if event.type == "text":
                pieces.append(event.text)
        final = stream.get_final_message()
    assert "".join(pieces) == final.content[0].text == "You said: one two three"
    assert next(kind for kind in kinds if kind != "vertex_event") == "message_start"
    assert kinds[-1] == "message_stop"
    assert final.usage.output_tokens > 1
    assert final.stop_reason == "end_turn"


def stream_of_events(sdk: Sdk, model: str, client: str, upstream: str) -> None:
    events = list(sdk.messages.create(model=model, max_tokens=64, messages=hello("events=50"), stream=True))
    assert [event.type for event in events].count("content_block_delta") == 44
    assert events[-1].type == "message_stop"


def tools(sdk: Sdk, model: str, client: str, upstream: str) -> None:
    messages = hello("How is the weather in Zürich?")
    with sdk.messages.stream(model=model, max_tokens=64, messages=messages, tools=[WEATHER]) as stream:
        first = stream.get_final_message()
    assert first.stop_reason == "tool_use"
    call = first.content[0]
    assert call.input == {"city": "Zürich"}
    result: Any = {"type": "tool_result", "tool_use_id": call.id, "content": "sunny"}
    turn = [block.model_dump(exclude_none=True) for block in first.content]
    messages = [*messages, {"role": "assistant", "content": turn}, {"role": "user", "content": [result]}]
    second = sdk.messages.create(model=model, max_tokens=64, messages=messages, tools=[WEATHER])
    assert second.content[0].text == "You said: sunny"


def thinking(sdk: Sdk, model: str, client: str, upstream: str) -> None:
    enabled: Any = {"type": "enabled", "budget_tokens": 1024}
    with sdk.messages.stream(model=model, max_tokens=2048, messages=hello(), thinking=enabled) as stream:
        first = stream.get_final_message()
    assert first.content[0].signature
    turn = [block.model_dump(exclude_none=True) for block in first.content]
    again: Any = [*hello(), {"role": "assistant", "content": turn}, {"role": "user", "content": "and again"}]
    second = sdk.messages.create(model=model, max_tokens=2048, messages=again, thinking=enabled)
    assert second.content[-1].text == "You said: and again"
    again[1]["content"][0]["thinking"] = "something else"
    error = failure_of(lambda: sdk.messages.create(model=model, max_tokens=2048, messages=again, thinking=enabled))
    assert isinstance(error, anthropic.BadRequestError)
    assert "signature" in str(error)


def betas(sdk: Sdk, model: str, client: str, upstream: str) -> None:
    names = ["context-1m-2025-08-07", "not-yet-known-2027-01-01"]
    message = sdk.beta.messages.create(model=model, max_tokens=64, messages=hello("beta"), betas=names)
    assert message.content[0].text == "You said: beta"


def count_tokens(sdk: Sdk, model: str, client: str, upstream: str) -> None:
    if client == "bedrock":
        try:
            sdk.messages.count_tokens(model=model, messages=hello())
        except anthropic.AnthropicError:
            return  # this client does not count
        raise AssertionError("this client counts now: test it")
    short = sdk.messages.count_tokens(model=model, messages=hello("x"))
    long = sdk.messages.count_tokens(model=model, messages=hello("x" * 4000), tools=[WEATHER])
    assert 0 < short.input_tokens < 100 < 1000 <= long.input_tokens


def failure_of(call: Callable[[], object]) -> anthropic.APIStatusError:
    """The error that a call ends in. It carries the gateway's own request id and nothing of the upstream's account."""
    try:
        call()
    except anthropic.APIStatusError as error:
        found = error
    else:
        raise AssertionError("no error came")
    assert found.request_id
    told = f"{found} {found.body} {dict(found.response.headers)}"
    for text in HIDDEN:
        assert text not in told, told
    return found


def errors(sdk: Sdk, model: str, client: str, upstream: str) -> None:
    for status, by_client in STATUSES[upstream].items():
        messages = hello(f"fail={status}")
        for stream in (False, True):
            call = partial(sdk.messages.create, model=model, max_tokens=64, messages=messages, stream=stream)
            error = failure_of(call)
            wanted = by_client[client]
            assert error.status_code == wanted, (status, wanted, error)
            assert isinstance(error, CLASSES.get(wanted, anthropic.APIStatusError)), (status, error)


def unknown_model(sdk: Sdk, model: str, client: str, upstream: str) -> None:
    error = failure_of(lambda: sdk.messages.create(model="claude-unheard-of", max_tokens=64, messages=hello()))
    assert isinstance(error, anthropic.NotFoundError)
    assert "claude-unheard-of" in str(error)


SCENARIOS: tuple[Callable[[Sdk, str, str, str], None], ...] = (
    create,
    stream_helper,
    stream_of_events,
    tools,
    thinking,
    betas,
    count_tokens,
    errors,
    unknown_model,
)
NAMES = tuple(
    f"{scenario.__name__} {client} {upstream}" for scenario in SCENARIOS for client in FORMATS for upstream in FORMATS
)


def main() -> None:
    url, key = sys.argv[1:]
    sdks = {format_: client_of(format_, url, key) for format_ in FORMATS}
    outcome = {}
    by_name = {scenario.__name__: scenario for scenario in SCENARIOS}
    for name in NAMES:
        scenario, client, upstream = name.split()
        try:
            by_name[scenario](sdks[client], name_for(client, upstream), client, upstream)
            outcome[name] = ""
        except (AssertionError, anthropic.AnthropicError, AttributeError, IndexError):
            outcome[name] = traceback.format_exc()
    sys.stdout.write(json.dumps({"version": anthropic.__version__, "outcome": outcome}))


if __name__ == "__main__":
    main()
