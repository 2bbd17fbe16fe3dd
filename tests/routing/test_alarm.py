"""The one timer of a request: it ends what lasts too long, and nothing else."""

import asyncio
import weakref

import pytest

from routing.proxy.alarm import Alarm

pytestmark = pytest.mark.anyio


async def limited(alarm: Alarm, seconds: float, lasts: float) -> str:
    alarm.set(seconds)
    try:
        await asyncio.sleep(lasts)
    except asyncio.CancelledError:
        if alarm.rang():
            return "late"
        raise
    finally:
        alarm.off()
    return "in time"


async def test_what_lasts_too_long_is_ended_and_the_task_goes_on() -> None:
    alarm = Alarm()
    assert await limited(alarm, 0.02, 5) == "late"
    assert await limited(alarm, 5, 0.02) == "in time"
    assert await limited(alarm, 0.02, 5) == "late", "an earlier moment than the timer was asked for"


async def test_nothing_rings_when_it_is_off() -> None:
    alarm = Alarm()
    assert await limited(alarm, 0.02, 0) == "in time"
    await asyncio.sleep(0.05)


async def test_a_moment_that_is_moved_counts_from_then() -> None:
    alarm = Alarm()
    alarm.set(0.1)
    for _ in range(5):
        await asyncio.sleep(0.05)
        alarm.set(0.1)
    alarm.off()


async def test_a_cancellation_by_somebody_else_is_not_the_alarms() -> None:
    async def work() -> str:
        return await limited(Alarm(), 5, 5)

    task = asyncio.get_running_loop().create_task(work())
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_both_at_once_end_the_task() -> None:
    """Whoever cancels a task must not be answered with a mere lateness."""

    async def work() -> str:
        return await limited(Alarm(), 0.0, 5)

    task = asyncio.get_running_loop().create_task(work())
    await asyncio.sleep(0)
    asyncio.get_running_loop().call_soon(task.cancel)
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_one_that_lasts_is_told_once() -> None:
    told: list[str] = []
    alarm = Alarm(lambda: told.append("lasts"), 0.02)
    assert await limited(alarm, 0.05, 5) == "late"
    await asyncio.sleep(0.05)
    assert told == ["lasts"]
    alarm.stop()


async def test_a_stopped_alarm_holds_nothing() -> None:
    class Thing:
        def lasts(self) -> None:
            raise AssertionError("stopped")

    thing = Thing()
    alarm = Alarm(thing.lasts, 0.01)
    gone = weakref.ref(thing)
    alarm.stop()
    del thing
    assert gone() is None
    await asyncio.sleep(0.03)


async def test_an_old_ring_is_not_taken_for_a_new_one() -> None:
    alarm = Alarm()
    alarm.set(0.01)
    try:
        await asyncio.sleep(5)
    except asyncio.CancelledError:
        pass  # somebody who does not ask
    alarm.set(5)
    assert not alarm.rang()
    alarm.stop()
