"""Background tasks end when they are told to, also those that miss being told."""

import asyncio

from gateway_project.tasks import end


async def test_a_task_that_loses_its_cancellation_is_ended_all_the_same() -> None:
    lost = 0

    async def deaf() -> None:
        nonlocal lost
        while True:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                lost += 1
                if lost > 2:
                    raise

    tasks = [asyncio.create_task(deaf()), asyncio.create_task(asyncio.sleep(3600))]
    await asyncio.sleep(0)
    await asyncio.wait_for(end(tasks, again=0.01), 5)
    assert lost == 3
    assert all(task.cancelled() for task in tasks)


async def test_what_has_ended_already_is_not_waited_for_and_its_error_is_dropped() -> None:
    async def failing() -> None:
        raise ValueError

    task = asyncio.create_task(failing())
    await asyncio.sleep(0)
    await end([task])
    await end([])
    assert isinstance(task.exception(), ValueError)
