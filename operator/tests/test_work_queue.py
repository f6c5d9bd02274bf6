"""When an object is to be looked at."""

import asyncio

import pytest

from whisper_operator.work_queue import KeyedQueue

REST_S = 1.0


@pytest.fixture
def queue():
    made = KeyedQueue(rest_s=REST_S)
    yield made
    made.close()


async def taken(queue, limit_s=5.0):
    async with asyncio.timeout(limit_s):
        return await queue.get()


async def test_what_changes_while_it_is_worked_on_comes_again_once(queue):
    queue.add("a")
    assert await taken(queue) == "a"
    queue.add("a")
    queue.add("a")
    queue.done("a")
    assert await taken(queue) == "a"
    queue.done("a")
    assert len(queue) == 0


async def test_a_key_rests_after_it_was_worked_on_and_others_do_not_wait_for_it(queue):
    clock = asyncio.get_running_loop().time
    queue.add("a")
    await taken(queue)
    queue.done("a")
    done_at = clock()
    queue.add("a")
    queue.add("b")
    assert await taken(queue) == "b"
    assert await taken(queue) == "a"
    assert clock() - done_at >= REST_S


async def test_a_rested_key_is_taken_at_once(queue):
    clock = asyncio.get_running_loop().time
    queue.add("a")
    await taken(queue)
    queue.done("a")
    await asyncio.sleep(REST_S)  # the rest itself
    added_at = clock()
    queue.add("a")
    await taken(queue)
    assert clock() - added_at < REST_S / 2


async def test_a_failed_key_comes_again_later(queue):
    queue.add("a")
    await taken(queue)
    delay_s = queue.retry("a")
    queue.done("a")
    assert 0 < delay_s <= 0.1
    assert await taken(queue) == "a"
