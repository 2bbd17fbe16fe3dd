"""A short run of the fuzzer; `python -m tests.formats.fuzz` is the long one."""

from tests.formats.fuzz import one_round, seeds


def test_damaged_streams_and_bodies_break_nothing() -> None:
    valid = seeds()
    for seed in range(150):
        one_round(seed, valid)
