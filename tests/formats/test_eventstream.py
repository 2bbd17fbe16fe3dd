"""Amazon's event stream: what we write, botocore reads; what is damaged is refused."""

import base64
import json
import struct
import uuid
from zlib import crc32

import pytest
from botocore.eventstream import EventStreamBuffer
from hypothesis import given
from hypothesis import strategies as st

from routing.formats.base import Event
from routing.formats.eventstream import (
    ErrorFrame,
    ExceptionFrame,
    MessageReader,
    encode_chunk,
    encode_exception,
    encode_message,
    understand,
)
from routing.formats.faults import FormatError
from tests.formats.cuts import cuts_of, everywhere, fed
from tests.formats.golden import NAMES, golden, upstream_stream

# One whole frame with {"type":"message_stop"} in it; checked with botocore's decoder, 2026-11.
SAMPLE = bytes.fromhex(
    "00000087 0000004b 87ea2bf3"
    "0b3a6576656e742d747970650700056368756e6b"
    "0d3a636f6e74656e742d747970650700106170706c69636174696f6e2f6a736f6e"
    "0d3a6d6573736167652d747970650700056576656e74"
    "7b226279746573223a2265794a306558426c496a6f69"
    "6257567a6332466e5a56397a64473977496e303d227d"
    "ba48ab22"
)
STOP = Event("message_stop", b'{"type":"message_stop"}')


def read(stream: bytes) -> list[object]:
    return [understand(message) for message in MessageReader().feed(stream)]


def test_the_sample_frame_is_read_and_written_byte_for_byte() -> None:
    assert read(SAMPLE) == [STOP]
    assert encode_chunk(STOP.data) == SAMPLE


@given(st.lists(st.binary(max_size=400), max_size=5), st.text(st.characters(codec="ascii"), max_size=40))
def test_botocore_reads_the_chunks_that_we_write(events: list[bytes], padding: str) -> None:
    buffer = EventStreamBuffer()
    buffer.add_data(b"".join(encode_chunk(data, padding) for data in events))
    messages = list(buffer)
    assert [base64.b64decode(json.loads(message.payload)["bytes"]) for message in messages] == events
    for message in messages:
        assert message.headers == {
            ":event-type": "chunk",
            ":content-type": "application/json",
            ":message-type": "event",
        }
        assert json.loads(message.payload).get("p", "") == padding


@pytest.mark.parametrize("name", ["throttlingException", "internalServerException", "validationException"])
def test_botocore_reads_the_exceptions_that_we_write(name: str) -> None:
    frame = encode_exception(name, 'Too "many"')
    buffer = EventStreamBuffer()
    buffer.add_data(frame)
    (message,) = list(buffer)
    response = message.to_response_dict()
    assert response["status_code"] == 400
    assert response["headers"][":exception-type"] == name
    assert json.loads(response["body"]) == {"message": 'Too "many"'}
    assert read(frame) == [ExceptionFrame(name, 'Too "many"')]


@given(cuts=cuts_of(), data=st.data())
def test_any_cut_gives_the_same_events(cuts: list[int], data: st.DataObject) -> None:
    stream = upstream_stream("bedrock", golden(data.draw(st.sampled_from(NAMES))).events)
    assert [understand(message) for message in fed(MessageReader().feed, stream, cuts)] == read(stream)


def test_frames_are_read_byte_by_byte() -> None:
    reader = MessageReader()
    stream = SAMPLE + encode_exception("throttlingException", "wait")
    got = [understand(message) for message in fed(reader.feed, stream, everywhere(stream))]
    assert got == [STOP, ExceptionFrame("throttlingException", "wait")]
    assert reader.at_boundary


@given(st.integers(0, len(SAMPLE) - 1), st.integers(1, 255))
def test_a_frame_with_any_byte_changed_is_never_handed_out(position: int, change: int) -> None:
    damaged = bytearray(SAMPLE)
    damaged[position] ^= change
    try:
        assert MessageReader().feed(bytes(damaged)) == []
    except FormatError:
        pass


def test_a_wrong_checksum_of_the_message_is_refused() -> None:
    with pytest.raises(FormatError, match="checksum of a frame is wrong"):
        MessageReader().feed(SAMPLE[:-1] + b"\x00")


def test_a_wrong_checksum_of_the_lengths_is_refused_before_the_frame_is_there() -> None:
    with pytest.raises(FormatError, match="checksum of a frame's lengths"):
        MessageReader().feed(SAMPLE[:8] + b"\x00\x00\x00\x00")


@pytest.mark.parametrize(
    ("total", "headers"), [(0, 0), (15, 0), (25_000_001, 0), (2**32 - 1, 0), (100, 90), (2_000_000, 131_073)]
)
def test_absurd_lengths_are_refused_at_once(total: int, headers: int) -> None:
    prelude = struct.pack(">II", total, headers)
    with pytest.raises(FormatError, match="says that"):
        MessageReader().feed(prelude + struct.pack(">I", crc32(prelude)))


def test_a_truncated_frame_stays_open() -> None:
    reader = MessageReader()
    assert reader.feed(SAMPLE[:-5]) == []
    assert not reader.at_boundary


def test_a_frame_larger_than_many_chunks_is_put_together() -> None:
    data = b'{"type":"content_block_delta","x":"' + b"y" * 3_000_000 + b'"}'
    frame = encode_chunk(data)
    (message,) = fed(MessageReader().feed, frame, list(range(0, len(frame), 65_536)))
    assert understand(message) == Event("content_block_delta", data)


def test_all_ten_types_of_headers_are_read() -> None:
    ident = uuid.uuid4()
    raw = [
        (0, b""), (1, b""), (2, struct.pack(">b", -5)), (3, struct.pack(">h", -300)), (4, struct.pack(">i", -70000)),
        (5, struct.pack(">q", -(2**40))), (6, b"\x00\x03\x01\x02\x03"), (7, b"\x00\x02hi"),
        (8, struct.pack(">q", 1_763_900_000_000)), (9, ident.bytes),
    ]  # fmt: skip
    headers = b"".join(b"\x02h%d" % kind + bytes((kind,)) + value for kind, value in raw)
    (message,) = MessageReader().feed(encode_message(headers, b""))
    assert list(message.headers.values()) == [
        *(True, False, -5, -300, -70000, -(2**40)),
        *(b"\x01\x02\x03", "hi", 1_763_900_000_000, ident),
    ]
    buffer = EventStreamBuffer()
    buffer.add_data(encode_message(headers, b""))
    theirs = next(iter(buffer)).headers
    assert {name: value for name, value in message.headers.items() if name != "h9"} == {
        name: value for name, value in theirs.items() if name != "h9"
    }


@pytest.mark.parametrize(
    "headers",
    [b"\x01", b"\x01a", b"\x01a\x07\x00\x05hi", b"\x01a\x0a", b"\x01a\x09\x00", b"\x01\xff\x00", b"\x01a\x00\x01a\x01"],
)
def test_headers_that_cannot_be_read_are_refused(headers: bytes) -> None:
    with pytest.raises(FormatError):
        MessageReader().feed(encode_message(headers, b"{}"))


def _text_header(name: str, value: str) -> bytes:
    return bytes((len(name),)) + name.encode() + b"\x07" + struct.pack(">H", len(value)) + value.encode()


def test_an_error_frame_is_not_an_exception() -> None:
    headers = (
        _text_header(":message-type", "error")
        + _text_header(":error-code", "InternalError")
        + _text_header(":error-message", "boom")
    )
    assert read(encode_message(headers, b"")) == [ErrorFrame("InternalError", "boom")]


def test_the_original_message_of_a_model_stands_in_when_there_is_no_other() -> None:
    headers = _text_header(":message-type", "exception") + _text_header(":exception-type", "modelStreamErrorException")
    payload = b'{"originalStatusCode":500,"originalMessage":"model failed"}'
    assert read(encode_message(headers, payload)) == [ExceptionFrame("modelStreamErrorException", "model failed")]


def test_an_event_of_an_unknown_kind_is_passed_over() -> None:
    headers = _text_header(":message-type", "event") + _text_header(":event-type", "initial-response")
    assert read(encode_message(headers, b"{}")) == [None]


@pytest.mark.parametrize("payload", [b"", b"{}", b'{"bytes":1}', b'{"bytes":"!!!"}', b"[" * 5000, b'{"bytes":"YQ"}'])
def test_a_chunk_that_holds_no_base64_is_refused(payload: bytes) -> None:
    headers = SAMPLE[12:87]
    with pytest.raises(FormatError):
        read(encode_message(headers, payload))


@pytest.mark.parametrize("data", [b"", b"not JSON", b"[1]", b'"text"', b"{", b"\xff"])
def test_a_chunk_that_holds_no_json_object_is_refused(data: bytes) -> None:
    with pytest.raises(FormatError):
        read(encode_chunk(data))


def test_an_event_too_large_for_a_frame_is_refused() -> None:
    with pytest.raises(FormatError):
        encode_chunk(b"x" * 20_000_000)


def test_messages_before_a_broken_one_are_handed_out() -> None:
    reader = MessageReader()
    assert [understand(message) for message in reader.feed(SAMPLE + SAMPLE[:-1] + b"!")] == [STOP]
    assert reader.error is not None
    with pytest.raises(FormatError):
        reader.feed(b"")
