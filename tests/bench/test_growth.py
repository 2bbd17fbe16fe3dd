"""What the benchmark reckons: growth, loads at fixed rates, and whether memory is flat."""

import math

import pytest

from bench.growth import SAFE, SIZES, Units, Wanted, needed, table, turn, waiting_ms
from bench.open_loop import _whole, moments
from bench.soak import growth


def test_needs_grow_with_the_load_and_no_core_is_busier_than_it_may_be() -> None:
    units = Units(gateway_us=1000, stream_event_us=50, redis_us=200, postgres_us=100)
    found = needed(Wanted(requests=3000, streams=10_000, events=20), units)
    assert found.workers == math.ceil((3000 * 1000 + 10_000 * 20 * 50) / 1e6 / SAFE)
    assert found.redis_cores == pytest.approx(0.6)
    assert found.redis_shards == 1
    assert needed(Wanted(requests=3001, streams=0), units).redis_shards == 2


def test_waiting_has_no_end_where_one_server_cannot_keep_up() -> None:
    assert waiting_ms(5_000, 200) == math.inf
    assert waiting_ms(5_000, 200, servers=2) == pytest.approx(0.1)
    assert turn(Wanted(20_000, 0), Units(postgres_us=100), workers=1) == math.inf


def test_workers_that_take_turns_store_later_the_more_there_are() -> None:
    units = Units(postgres_us=100, postgres_batch_us=5_000)
    assert turn(Wanted(5_000, 0), units, workers=100) == pytest.approx(1.0)
    assert turn(Wanted(10, 0), units, workers=1) == 0.2  # never more often than the recorder looks


def test_the_table_has_a_row_for_each_size() -> None:
    assert len(table(Units())) == 2 + len(SIZES)


def test_a_burst_is_in_every_other_second() -> None:
    due = [at / 1e9 for at in moments(10, 4, burst=2)]
    assert [sum(second <= at < second + 1 for at in due) for second in range(4)] == [10, 20, 10, 20]


@pytest.mark.parametrize(
    ("data", "whole"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\na", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab", True),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n", False),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n", True),
    ],
)
def test_an_answer_is_whole_when_its_length_or_its_last_chunk_is_there(data: bytes, whole: bool) -> None:
    assert _whole(bytearray(data)) is whole


def test_memory_that_only_wavers_is_flat_and_memory_that_rises_is_not() -> None:
    wavering = [(second, 200.0 + second % 2) for second in range(0, 600, 5)]
    rising = [(second, 200.0 + second / 10) for second in range(0, 600, 5)]
    assert abs(growth(wavering, 60)) < 1
    assert growth(rising, 60) == pytest.approx((595 - 60) / 10)
    assert growth([(0, 1.0), (5, 100.0)], 0) == 0  # too little to say
