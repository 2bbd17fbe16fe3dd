"""What the vendor's Python SDK does against the gateway, written so that its newest and its last 0.x version run it.

Run as `python -m tests.gateway.sdk_scenarios URL KEY` (with that SDK first on the path) it prints one JSON object:
the SDK's version, and for each scenario an empty text or the traceback.
"""

import json
import sys
import traceback
from collections.abc import Callable
from functools import partial
from typing import Any

import anthropic

MODEL = "claude-alias"
WEATHER: Any = {
    "name": "get_weather",
    "description": "The weather in a city",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


def hello(text: str = "Say hello") -> Any:
    return [{"role": "user", "content": text}]


def failure_of(call: Callable[[], object]) -> anthropic.APIStatusError:
    """The error that a call ends in. It carries the gateway's own request id."""
    try:
        call()
    except anthropic.APIStatusError as error:
        found = error
    else:
        raise AssertionError("no error came")
    assert found.request_id
    assert not found.request_id.startswith("req_upstream")
    return found


def create(client: anthropic.Anthropic) -> None:
    message = client.messages.create(model=MODEL, max_tokens=64, messages=hello("Grüß Gott ☃"))
    assert message.content[0].type == "text"
    assert message.content[0].text == "You said: Grüß Gott ☃"
    assert message.stop_reason == "end_turn"
    assert message.usage.input_tokens > 0
    assert message.usage.output_tokens > 0
    assert message._request_id
    assert not message._request_id.startswith("req_upstream")


def stream_helper(client: anthropic.Anthropic) -> None:
    kinds, pieces = [], []
    with client.messages.stream(model=MODEL, max_tokens=64, messages=hello("one two three")) as stream:
        for event in stream:
            kinds.append(event.type)
            if event.type == "text":
                pieces.append(event.text)
        final = stream.get_final_message()
    assert "".join(pieces) == "You said: one two three"
    assert final.content[0].text == "You said: one two three"  # type: ignore[union-attr]
    assert kinds[0] == "message_start"
    assert kinds[-1] == "message_stop"
    assert final.usage.output_tokens > 1
    assert final.stop_reason == "end_turn"


def stream_of_events(client: anthropic.Anthropic) -> None:
    events = list(client.messages.create(model=MODEL, max_tokens=64, messages=hello("events=50"), stream=True))
    # The SDK keeps pings to itself.
    assert [event.type for event in events].count("content_block_delta") == 44
    assert events[-1].type == "message_stop"


def tools(client: anthropic.Anthropic) -> None:
    messages = hello("How is the weather in Zürich?")
    first = client.messages.create(model=MODEL, max_tokens=64, messages=messages, tools=[WEATHER])
    assert first.stop_reason == "tool_use"
    call = first.content[0]
    assert call.type == "tool_use"
    assert call.name == "get_weather"
    assert call.input == {"city": "Zürich"}
    result: Any = {"type": "tool_result", "tool_use_id": call.id, "content": "sunny"}
    messages = [
        *messages,
        {"role": "assistant", "content": [block.model_dump(exclude_none=True) for block in first.content]},
        {"role": "user", "content": [result]},
    ]
    second = client.messages.create(model=MODEL, max_tokens=64, messages=messages, tools=[WEATHER])
    assert second.content[0].text == "You said: sunny"  # type: ignore[union-attr]
    with client.messages.stream(model=MODEL, max_tokens=64, messages=hello(), tools=[WEATHER]) as stream:
        final = stream.get_final_message()
    assert final.content[0].input == {"city": "Zürich"}  # type: ignore[union-attr]


def thinking(client: anthropic.Anthropic) -> None:
    enabled: Any = {"type": "enabled", "budget_tokens": 1024}
    with client.messages.stream(model=MODEL, max_tokens=2048, messages=hello(), thinking=enabled) as stream:
        first = stream.get_final_message()
    thought = first.content[0]
    assert thought.type == "thinking"
    assert thought.signature
    again: Any = [
        *hello(),
        {"role": "assistant", "content": [block.model_dump(exclude_none=True) for block in first.content]},
        {"role": "user", "content": "and again"},
    ]
    second = client.messages.create(model=MODEL, max_tokens=2048, messages=again, thinking=enabled)
    assert second.content[-1].text == "You said: and again"  # type: ignore[union-attr]
    again[1]["content"][0]["thinking"] = "something else"
    error = failure_of(lambda: client.messages.create(model=MODEL, max_tokens=2048, messages=again, thinking=enabled))
    assert isinstance(error, anthropic.BadRequestError)
    assert "signature" in str(error)


def count_tokens(client: anthropic.Anthropic) -> None:
    short = client.messages.count_tokens(model=MODEL, messages=hello("x"))
    long = client.messages.count_tokens(model=MODEL, messages=hello("x" * 4000), tools=[WEATHER])
    assert 0 < short.input_tokens < 100 < 1000 <= long.input_tokens


def models(client: anthropic.Anthropic) -> None:
    everything = [model.id for model in client.models.list(limit=1000)]
    one_by_one = [model.id for model in client.models.list(limit=1)]
    assert one_by_one == everything
    assert {"claude-same", "claude-alias"} <= set(everything)
    found = client.models.retrieve("claude-same")
    assert found.id == "claude-same"
    assert found.display_name == "Claude Same"
    assert isinstance(failure_of(lambda: client.models.retrieve("claude-unheard-of")), anthropic.NotFoundError)


def betas(client: anthropic.Anthropic) -> None:
    message = client.beta.messages.create(
        model=MODEL, max_tokens=64, messages=hello("beta"), betas=["context-1m-2025-08-07", "not-yet-known-2027-01-01"]
    )
    assert message.content[0].text == "You said: beta"  # type: ignore[union-attr]


def errors(client: anthropic.Anthropic) -> None:
    expected: dict[int, type[anthropic.APIStatusError]] = {
        400: anthropic.BadRequestError,
        403: anthropic.PermissionDeniedError,
        404: anthropic.NotFoundError,
        409: anthropic.ConflictError,
        413: anthropic.APIStatusError,
        422: anthropic.UnprocessableEntityError,
        429: anthropic.RateLimitError,
        500: anthropic.InternalServerError,
        529: anthropic.APIStatusError,
    }
    patient = client.with_options(max_retries=0)
    for status, kind in expected.items():
        messages = hello(f"fail={status}")
        error = failure_of(partial(patient.messages.create, model=MODEL, max_tokens=64, messages=messages))
        assert isinstance(error, kind), (status, error)
        assert error.status_code == status, (status, error)
        assert f"failure {status}, as asked" in str(error), status


def both_carriers(client: anthropic.Anthropic) -> None:
    key = client.api_key
    ways: list[dict[str, Any]] = [{"api_key": key}, {"auth_token": key}]
    for options in ways:
        carried: Any = anthropic.Anthropic(base_url=str(client.base_url), **options)
        assert carried.messages.create(model=MODEL, max_tokens=64, messages=hello()).content
        carried.close()


SCENARIOS: tuple[Callable[[anthropic.Anthropic], None], ...] = (
    create,
    stream_helper,
    stream_of_events,
    tools,
    thinking,
    count_tokens,
    models,
    betas,
    errors,
    both_carriers,
)


def main() -> None:
    url, key = sys.argv[1:]
    outcome = {}
    for scenario in SCENARIOS:
        client = anthropic.Anthropic(base_url=url, api_key=key, max_retries=0, timeout=20)
        try:
            scenario(client)
            outcome[scenario.__name__] = ""
        except (AssertionError, anthropic.AnthropicError, AttributeError, IndexError):
            outcome[scenario.__name__] = traceback.format_exc()
        client.close()
    sys.stdout.write(json.dumps({"version": anthropic.__version__, "outcome": outcome}))


if __name__ == "__main__":
    main()
