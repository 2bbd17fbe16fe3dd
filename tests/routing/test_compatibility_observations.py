"""What a process counts of compatibility between two writes: nothing lost, nothing unbounded, one line for each value."""

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.db import OperationalError
from structlog.testing import capture_logs

from routing.formats.base import Outbound
from routing.observations import MOST_VALUES, OTHERS, PAUSE, Batch, Observations, Value
from routing.proxy.runtime import Runtime
from routing.proxy.teller import Teller
from routing.targets import CredentialConf, ProviderConf, TargetConf

START = datetime(2026, 11, 1, 12, tzinfo=UTC)


class Clock:
    """Both clocks of an `Observations`, moved by hand."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def monotonic(self) -> float:
        return self.seconds

    def now(self) -> datetime:
        return START + timedelta(seconds=self.seconds)


def made(clock: Clock) -> Observations:
    return Observations(clock=clock.monotonic, now=clock.now)


def at(format_: str = "bedrock", model: str = "m") -> TargetConf:
    provider = ProviderConf(
        id=1, name="p", format=format_, base_url="https://p.example", credential=CredentialConf("none", {})
    )
    return TargetConf(provider, model)


def sent(*betas: str, fields: tuple[str, ...] = ()) -> Outbound:
    return Outbound("/", [], b"", betas_removed=betas, fields_removed=fields)


def test_what_is_new_is_written_at_once_and_mere_counts_after_the_pause() -> None:
    clock = Clock()
    seen = made(clock)
    assert not seen.take()
    seen.removed(at(), sent("a-1", fields=("speed",)))
    first = seen.take()
    assert {value.name: each.count for value, each in first.removed.items()} == {"a-1": 1, "speed": 1}
    clock.seconds = 1
    seen.removed(at(), sent("a-1"))
    seen.removed(at(), sent("a-1"))
    assert not seen.take()
    clock.seconds = PAUSE
    later = seen.take().removed[Value("beta", "a-1", "bedrock", "m")]
    assert (later.count, later.first, later.last) == (2, START + timedelta(seconds=1), START + timedelta(seconds=1))


def test_what_could_not_be_written_is_offered_again_with_what_came_since() -> None:
    clock = Clock()
    seen = made(clock)
    seen.removed(at(), sent("a-1"))
    batch = seen.take()
    seen.refused("b-1", at(), "no b-1")
    seen.give_back(batch)
    seen.removed(at(), sent("a-1"))
    again = seen.take_all()
    assert again.removed[Value("beta", "a-1", "bedrock", "m")].count == 2
    assert again.refused[Value("beta", "b-1", "bedrock", "m")].words == "no b-1"
    assert seen.take_all() == Batch()


def test_each_value_is_logged_once_for_each_upstream_format() -> None:
    seen = made(Clock())
    with capture_logs() as lines:
        for _ in range(3):
            seen.removed(at("bedrock", "one"), sent("a-1", fields=("speed",)))
            seen.removed(at("bedrock", "two"), sent("a-1"))
            seen.removed(at("vertex"), sent("a-1"))
    assert [(line["log_level"], line["kind"], line["name"], line["upstream"]) for line in lines] == [
        ("info", "beta", "a-1", "bedrock"),
        ("info", "field", "speed", "bedrock"),
        ("info", "beta", "a-1", "vertex"),
    ]


def test_values_that_clients_invent_neither_fill_the_memory_nor_get_lost() -> None:
    seen = made(Clock())
    with capture_logs() as lines:
        for number in range(MOST_VALUES + 500):
            seen.removed(at(), sent(f"x-{number}-" + "y" * 5000))
            seen.refused(f"z-{number}", at(), "word " * 10_000)
    batch = seen.take_all()
    assert sum(each.count for each in batch.removed.values()) == MOST_VALUES + 500
    assert len(batch.removed) + len(batch.refused) <= MOST_VALUES + 1
    assert batch.removed[Value("beta", OTHERS, "bedrock", "")].count > 0
    assert all(len(value.name) <= 200 for value in batch.removed)
    assert all(len(each.words) <= 1000 for each in batch.refused.values())
    assert len(lines) <= MOST_VALUES


def test_the_words_of_an_upstream_are_kept_without_account_details() -> None:
    seen = made(Clock())
    with capture_logs() as lines:
        seen.refused("b-1", at(), "invalid beta flag b-1 for arn:aws:bedrock:us-east-1:123456789012:x at 10.0.0.7")
    (each,) = seen.take().refused.values()
    assert "b-1" in each.words
    assert "123456789012" not in each.words + str(lines)
    assert "10.0.0.7" not in each.words + str(lines)


def test_counting_and_taking_at_the_same_time_loses_nothing() -> None:
    seen = Observations()
    taken: list[Batch] = []
    done = threading.Event()

    def take() -> None:
        while not done.is_set():
            taken.append(seen.take_all())

    def count() -> None:
        for _ in range(2000):
            seen.removed(at(), sent("a-1"))

    taker = threading.Thread(target=take)
    counters = [threading.Thread(target=count) for _ in range(3)]
    for thread in (taker, *counters):
        thread.start()
    for thread in counters:
        thread.join()
    done.set()
    taker.join()
    taken.append(seen.take_all())
    assert sum(each.count for batch in taken for each in batch.removed.values()) == 6000


@pytest.mark.django_db
def test_nothing_is_lost_while_the_database_is_away(tmp_path: Path) -> None:
    runtime = Runtime(tmp_path)
    house = runtime.house
    stored: list[Batch] = []
    away = True

    def store(batch: Batch) -> None:
        if away:
            raise OperationalError("the database is away")
        stored.append(batch)

    teller = Teller(house, store=store, limits=runtime.limits)
    house.observations.removed(at(), sent("a-1"))
    teller.tell(house.observations.take())
    house.observations.removed(at(), sent("a-1"))
    teller.tell(house.observations.take_all())
    away = False
    teller.tell(house.observations.take_all())
    assert [each.count for batch in stored for each in batch.removed.values()] == [2]
