"""Tasks that are ended are over, however often they have to be told."""

import asyncio

import pytest

from gateway_project.endings import end


async def _deaf(times: int, told: list[int]) -> None:
    """Goes on after so many cancellations, as a loop around a client that takes them for failures does."""
    while True:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            told.append(1)
            if len(told) > times:
                raise


async def test_a_task_that_takes_a_cancellation_for_a_failure_is_told_again() -> None:
    told: list[int] = []
    task = asyncio.create_task(_deaf(1, told))
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await end(task, None)
    assert task.cancelled()
    assert len(told) == 2


async def test_tasks_that_are_over_already_and_failed_ones_are_no_trouble() -> None:
    async def fails() -> None:
        raise ValueError("as planned")

    task = asyncio.create_task(fails())
    await asyncio.sleep(0)
    await end(task)
    await end()


async def test_who_is_cancelled_meanwhile_still_ends_the_others_first() -> None:
    told: list[int] = []
    task = asyncio.create_task(_deaf(2, told))
    await asyncio.sleep(0)
    ending = asyncio.create_task(end(task))
    await asyncio.sleep(0)
    ending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await ending
    assert task.cancelled()
