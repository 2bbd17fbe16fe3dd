"""Whatever stream an upstream sends, cut wherever, reaches the client byte for byte."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fake_provider import FakeProvider, Pause, stream
from tests.fake_provider.answers import Framing
from tests.gateway.bodies import END, START, STOP, WHOLE, ask
from tests.harness import Gateway, send

DATA = Path(__file__).resolve().parent.parent / "data" / "anthropic"
STREAMS = sorted(DATA.glob("stream-*.sse"))

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n\x00"), max_size=20)
KINDS = st.one_of(
    st.sampled_from(["content_block_delta", "ping", "new_event_type", "message_delta", "content_block_start"]),
    st.text("abcdefghijklmnopqrstuvwxyz_", min_size=1, max_size=10).filter(lambda kind: kind != "error"),
)
BREAKS = st.sampled_from(["\n", "\n", "\r\n", "\r"])


@st.composite
def any_event(draw: st.DrawFn) -> bytes:
    """One event or comment, framed in any of the ways that the event-stream syntax allows."""
    end = draw(BREAKS)
    lines = draw(
        st.lists(
            st.one_of(
                st.builds(lambda text: f"data: {text}", TEXT),
                st.builds(lambda text: f"data:{text}", TEXT),
                st.builds(lambda kind: f"event: {kind}", KINDS),
                st.builds(lambda text: f": {text}", TEXT),
                st.builds(lambda text: f"id: {text}", TEXT),
                st.just("retry: 100"),
                st.just('data: {"type":"content_block_delta","delta":{"text":"message_stop error"}}'),
            ),
            min_size=1,
            max_size=4,
        )
    )
    return (end.join(lines) + end + end).encode()


@st.composite
def cut_streams(draw: st.DrawFn) -> list[bytes]:
    """A stream with anything in its middle, in pieces cut anywhere."""
    middle = b"".join(draw(st.lists(any_event(), max_size=8)))
    whole = START + middle + END + STOP
    cuts = sorted(draw(st.lists(st.integers(1, len(whole) - 1), max_size=10, unique=True)))
    return [whole[start:end] for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True)]


def through(gateway: Gateway, provider: FakeProvider, pieces: list[bytes], framing: Framing) -> bytes:
    if provider.unused_answers:  # of an example that failed; otherwise a reset could cut off the end of the last answer
        provider.reset()
    paced = [part for piece in pieces for part in (piece, Pause(0.0005))]
    provider.script(stream(*paced, framing=framing))
    with gateway.client() as client:
        send(client, ask(stream=True))
        assert client.head().status == 200
        return client.rest()


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(pieces=cut_streams(), framing=st.sampled_from(["chunked", "length", "close"]))
def test_any_stream_cut_anywhere(
    shared_gateway: Gateway, first_provider: FakeProvider, pieces: list[bytes], framing: Framing
) -> None:
    assert through(shared_gateway, first_provider, pieces, framing) == b"".join(pieces)


def test_stream_byte_by_byte(gateway: Gateway, provider: FakeProvider) -> None:
    whole = b"".join(WHOLE)
    assert through(gateway, provider, [bytes([byte]) for byte in whole], "chunked") == whole


@pytest.mark.parametrize("path", STREAMS, ids=lambda path: path.stem)
def test_golden_stream(path: Path, gateway: Gateway, provider: FakeProvider) -> None:
    whole = path.read_bytes()
    assert through(gateway, provider, [whole], "chunked") == whole
    thirds = [whole[at : at + 97] for at in range(0, len(whole), 97)]
    assert through(gateway, provider, thirds, "chunked") == whole


def test_event_of_a_megabyte(gateway: Gateway, provider: FakeProvider) -> None:
    big = b'event: content_block_delta\ndata: {"type":"content_block_delta","x":"' + b"y" * 1_000_000 + b'"}\n\n'
    assert through(gateway, provider, [START, big, END, STOP], "chunked") == START + big + END + STOP
