"""Feeds damaged streams to every reader for as long as told: nothing but `FormatError`, no hang, bounded memory.

    python -m tests.formats.fuzz --seconds 600 [--seed 1]

Prints the number of rounds, the longest time that one round took and the peak of memory, and exits with 1 on a fault. The
seed of each round is its number added to the first one, so that a fault can be had again.
"""

import argparse
import random
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from routing.formats import bedrock, vertex
from routing.formats.base import ANTHROPIC, BEDROCK, MESSAGES, Event
from routing.formats.compat import Registry
from routing.formats.compat_rules import SHIPPED
from routing.formats.errors import render_error
from routing.formats.eventstream import MessageReader, encode_exception, understand
from routing.formats.faults import FormatError, NotBridgeable
from routing.formats.peek import BadBody
from routing.formats.read_faults import read_error
from routing.formats.response import translate_response
from routing.formats.sse import SseReader
from routing.formats.stream import stream_translator
from routing.formats.translate import to_upstream
from tests.formats.golden import FORMATS, NAMES, PAIRS, UPSTREAM_MODELS, compact, golden, upstream_stream

LONGEST_ROUND = 5.0  # seconds
MOST_MEMORY = 512 * 1024  # KiB, of the whole process
_REGISTRY = Registry(SHIPPED)
_TOKENS = (
    *(
        b"\n",
        b"\r",
        b"\r\n",
        b"\n\n",
        b"data:",
        b"event: error\n",
        b'"',
        b"\\",
        b"{",
        b"}",
        b"[" * 2000,
        b"\x00",
        b"\xff" * 16,
    ),
    *(b'"type":"message_stop"', b'"cache_control":{"scope":1}', b'"role":"system"', b"\\ud800", b"1e999", b":" * 50),
)


@dataclass(frozen=True)
class Seeds:
    """Valid streams and bodies, to be damaged."""

    streams: tuple[tuple[str, bytes], ...]
    bodies: tuple[bytes, ...]


def seeds() -> Seeds:
    streams = tuple(
        (upstream, upstream_stream(upstream, golden(name).events)) for name in NAMES for upstream in FORMATS
    )
    failing = (BEDROCK, encode_exception("throttlingException", "Wait."))
    bodies = [compact(golden(name).request) for name in NAMES] + [compact(golden(name).message) for name in NAMES]
    return Seeds((*streams, failing), tuple(bodies))


def damaged(data: bytes, rng: random.Random) -> bytes:
    """The bytes with up to eight changes: flipped, cut out, doubled, or with something odd put in."""
    out = bytearray(data)
    for _ in range(rng.randrange(9)):
        at = rng.randrange(len(out) + 1)
        length = rng.choice((1, 2, 4, 40, 400))
        change = rng.randrange(5)
        if change == 0 and out:
            out[at % len(out)] ^= 1 << rng.randrange(8)
        elif change == 1:
            del out[at : at + length]
        elif change == 2:
            out[at:at] = out[at : at + length]
        elif change == 3:
            out[at:at] = rng.choice(_TOKENS)
        else:
            out[at:at] = rng.randbytes(length)
    return bytes(out)


def cut(data: bytes, rng: random.Random) -> list[bytes]:
    """The bytes in random pieces; sometimes each alone."""
    if rng.random() < 0.05 and len(data) < 20_000:
        return [data[at : at + 1] for at in range(len(data))]
    ends = sorted(rng.randrange(len(data) + 1) for _ in range(rng.randrange(12)))
    return [data[start:end] for start, end in zip([0, *ends], [*ends, len(data)], strict=True)]


def read_stream(upstream: str, data: bytes, rng: random.Random) -> None:
    """Through the bare reader, and through the translators to each client, in different pieces with the same outcome."""
    try:
        if upstream == BEDROCK:
            frames = MessageReader()
            for piece in cut(data, rng):
                for message in frames.feed(piece):
                    understand(message)
        else:
            sse = SseReader(limit=rng.choice((1000, 1_000_000)))
            for piece in cut(data, rng):
                sse.feed(piece)
    except FormatError:
        pass
    for client, source in PAIRS:
        if source == upstream:
            outcomes = {_carried(upstream, client, cut(data, rng)) for _ in range(2)}
            if len(outcomes) != 1:
                raise AssertionError(f"{upstream} to {client}: the pieces make a difference")


def _carried(upstream: str, client: str, parts: list[bytes]) -> bytes | tuple[Event, ...]:
    """What the client gets: its events where it reads SSE (empty lines between them say nothing), else the bytes."""
    work = stream_translator(upstream, client, clock=lambda: 0.0)
    out = b"".join([piece for part in parts for piece in work.feed(part)] + work.finish())
    if not work.ended:
        raise AssertionError("a stream has not ended")
    return out if client == BEDROCK else tuple(SseReader().feed(out))


def read_bodies(data: bytes, rng: random.Random) -> None:
    """As a request of each format to each other one, as an answer, as an error."""
    place = b"/v1/projects/p/locations/l/publishers/anthropic/models/"
    parsers: tuple[Callable[[], object], ...] = (
        lambda: bedrock.parse(b"/model/" + data[:30] + b"/invoke", [], data),
        lambda: vertex.parse(place + data[:30] + b":rawPredict", [], data),
        lambda: bedrock.parse(b"/model/m/count-tokens", [], data),
        lambda: _crossed(data, rng),
        lambda: translate_response(rng.choice(FORMATS), rng.choice(FORMATS), MESSAGES, data),
    )
    for parse in parsers:
        try:
            parse()
        except (BadBody, FormatError, NotBridgeable):
            pass
    fault = read_error(rng.choice(FORMATS), rng.choice((200, 400, 429, 500, 503)), [], data)
    render_error(rng.choice(FORMATS), fault, "req_1")


def _crossed(data: bytes, rng: random.Random) -> None:
    inbound = bedrock.parse(b"/model/m/invoke", [], data)
    for upstream in FORMATS:
        try:
            to_upstream(
                inbound,
                upstream_format=upstream,
                upstream_model=rng.choice((UPSTREAM_MODELS[upstream], "claude-opus-5-5")),
                provider_region="eu",
                provider_project="p",
                registry=_REGISTRY,
            )
        except NotBridgeable:
            pass


def one_round(seed: int, valid: Seeds) -> None:
    """One damaged stream and one damaged body. Raises what should never be raised."""
    rng = random.Random(seed)
    upstream, stream = rng.choice(valid.streams)
    read_stream(upstream if rng.random() < 0.9 else rng.choice((ANTHROPIC, BEDROCK)), damaged(stream, rng), rng)
    read_bodies(damaged(rng.choice(valid.bodies), rng), rng)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    valid, seed, longest = seeds(), options.seed, 0.0
    end = time.monotonic() + options.seconds
    whole = False
    try:
        while (start := time.monotonic()) < end and longest < LONGEST_ROUND:
            one_round(seed, valid)
            longest = max(longest, time.monotonic() - start)
            seed += 1
        whole = True
    finally:
        if not whole:
            sys.stdout.write(f"seed {seed} broke it\n")
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    sys.stdout.write(
        f"{seed - options.seed} rounds, longest {longest * 1000:.0f} ms, peak memory {memory // 1024} MiB\n"
    )
    return 1 if memory > MOST_MEMORY or longest > LONGEST_ROUND else 0


if __name__ == "__main__":
    raise SystemExit(main())
