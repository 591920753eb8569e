"""Ending a task that does not end at once."""

import asyncio

from serving_adapter.cancelling import end


def test_a_task_that_forgets_the_first_cancellation_ends_all_the_same():
    async def forgetful(forgotten):
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                if forgotten:
                    raise
                forgotten.append(True)

    async def main():
        forgotten = []
        task = asyncio.create_task(forgetful(forgotten))
        await asyncio.sleep(0)
        async with asyncio.timeout(5):
            await end(task)
        assert (task.cancelled(), forgotten) == (True, [True])

    asyncio.run(main())


def test_what_a_task_raises_while_it_ends_stays_with_it():
    async def failing():
        try:
            await asyncio.sleep(60)
        finally:
            raise ValueError("on the way out")

    async def main():
        task = asyncio.create_task(failing())
        await asyncio.sleep(0)
        await end(task)
        await end(task)
        assert isinstance(task.exception(), ValueError)

    asyncio.run(main())
