"""A committed change is signalled through Redis; without Redis nothing is slower than the poll, and one line says so."""

import logging
import threading
from collections.abc import Iterator

import pytest
from pytest_django import Settings

from routing.versions.signals import Ear
from tests.harness import Cable, wait_until
from tests.serving.conftest import REDIS
from tests.serving.test_serve import redis_or_skip
from tests.versions.conftest import first_configuration, make, set_cooldown

NOBODY = "redis://127.0.0.1:9/0"


@pytest.fixture
def woken(settings: Settings) -> Iterator[threading.Event]:
    """Set when another process would look."""
    redis_or_skip()
    settings.REDIS_URL = REDIS
    woken = threading.Event()
    ear = Ear(REDIS, woken.set)
    ear.start()
    assert woken.wait(5), "it hears its own subscription"
    woken.clear()
    yield woken
    ear.stop()


@pytest.mark.redis
@pytest.mark.django_db(transaction=True)
def test_a_change_is_heard_when_it_is_committed(woken: threading.Event) -> None:
    make(first_configuration)
    assert woken.wait(5)


@pytest.mark.redis
@pytest.mark.django_db(transaction=True)
def test_what_is_taken_back_is_not_signalled(woken: threading.Event) -> None:
    make(first_configuration)
    assert woken.wait(5)
    woken.clear()
    with pytest.raises(ZeroDivisionError):
        make(lambda change: (set_cooldown(77)(change), 1 / 0))
    make(set_cooldown(30))  # no difference
    assert not woken.is_set()


@pytest.mark.django_db(transaction=True)
def test_a_change_is_made_without_redis(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    settings.REDIS_URL = NOBODY
    with caplog.at_level(logging.WARNING):
        assert make(first_configuration) == 1
    assert "a change cannot be signalled" in caplog.text


@pytest.mark.redis
def test_an_ear_hears_again_when_redis_is_back(caplog: pytest.LogCaptureFixture) -> None:
    redis_or_skip()
    host, _, port = REDIS.partition("//")[2].partition("/")[0].rpartition("@")[2].partition(":")
    woken = threading.Event()
    with caplog.at_level(logging.INFO), Cable(int(port or 6379), host) as cable:
        ear = Ear(f"redis://127.0.0.1:{cable.port}/15", woken.set)
        ear.start()
        assert woken.wait(5)
        cable.cut()
        wait_until(lambda: "cannot be heard" in caplog.text, what="the line in the log")
        woken.clear()
        cable.mend()
        assert woken.wait(10)
        wait_until(lambda: "heard again" in caplog.text, what="the other line")
        assert caplog.text.count("cannot be heard") == 1
        ear.stop()


def test_without_an_address_nobody_listens() -> None:
    ear = Ear("", lambda: None)
    ear.start()
    ear.stop()
    assert "signals" not in {thread.name for thread in threading.enumerate()}
