"""A strict stand-in for a provider: real sockets, every byte seen, able to misbehave on purpose.

    with FakeProvider() as provider:
        provider.script(reply(529, error("overloaded_error", "busy")))
        ... send through the gateway to provider.url ...
        provider.received[0].head      # the raw bytes of what arrived
        provider.violations            # must be empty: everything that should not have arrived

Without a script it behaves like the Messages API (`messages.py`); `bedrock.Bedrock` and `vertex.Vertex` make providers
of the other two formats. `python -m tests.fake_provider` runs it as a process.
"""

from tests.fake_provider.answers import (
    Answer,
    Die,
    Gate,
    Hang,
    Pause,
    Repeat,
    error,
    event,
    raw,
    reply,
    sse,
    stream,
)
from tests.fake_provider.messages import ENDLESS_EVENT, read_stream
from tests.fake_provider.received import Received
from tests.fake_provider.rules import Expected
from tests.fake_provider.server import FakeProvider

__all__ = [
    "ENDLESS_EVENT",
    "Answer",
    "Die",
    "Expected",
    "FakeProvider",
    "Gate",
    "Hang",
    "Pause",
    "Received",
    "Repeat",
    "error",
    "event",
    "raw",
    "read_stream",
    "reply",
    "sse",
    "stream",
]
