"""The queue: its bound, its order, its batches, its estimates."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from arctone.inference.request import GenerationRequest, Progress
from arctone.serving.http.errors import ApiError
from arctone.serving.http.jobs import Job, JobQueue, units


def job(**fields: Any) -> Job:
    return Job(
        "tiny", GenerationRequest(**{"prompt": "rain", "duration_seconds": 2.0, "steps": 8, "cfg_scale": 1, **fields})
    )


def run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(work)


def ids(jobs: Any) -> list[str]:
    return [one.request.prompt for one in jobs]


async def filled(queue: JobQueue, *jobs: Job) -> None:
    for one in jobs:
        await queue.put(one)


def test_one_more_than_the_bound_is_refused_and_a_place_that_gets_free_is_given_again() -> None:
    async def work() -> None:
        queue = JobQueue(2, 1)
        await filled(queue, job(), job())
        with pytest.raises(ApiError, match="2 requests are waiting") as refused:
            await queue.put(job())
        assert (refused.value.status, int(refused.value.headers["Retry-After"]) >= 1) == (429, True)
        queue.remove(queue.waiting[0])
        await queue.put(job())

    run(work())


def test_only_jobs_of_the_same_shape_share_a_batch_and_the_first_is_never_left_behind() -> None:
    async def work() -> None:
        queue = JobQueue(9, 1)
        await filled(
            queue, job(prompt="a"), job(prompt="b", steps=4), job(prompt="c"), job(prompt="d", seed=1), job(prompt="e")
        )
        assert ids(await queue.take(3)) == ["a", "c", "d"]
        assert ids(await queue.take(3)) == ["b"]
        assert ids(await queue.take(3)) == ["e"]

    run(work())


@pytest.mark.parametrize("change", [{"steps": 9}, {"duration_seconds": 3.0}, {"sampler": "heun"}, {"cfg_scale": 2.0}])
def test_what_costs_differently_is_another_shape(change: dict[str, Any]) -> None:
    async def work() -> None:
        queue = JobQueue(9, 1)
        await filled(queue, job(), job(**change))
        assert len(await queue.take(9)) == 1

    run(work())


def test_two_workers_share_what_waits() -> None:
    async def work() -> None:
        queue = JobQueue(9, 2)
        await filled(queue, *(job() for _ in range(4)))
        assert [len(await queue.take(9)) for _ in range(3)] == [2, 1, 1]

    run(work())


def test_estimates_follow_what_jobs_took() -> None:
    """10 s for a job; then a waiting one like it needs 10 s for itself, and half the rest of the one that runs."""

    async def work() -> None:
        queue = JobQueue(9, 1)
        first = job()
        await filled(queue, first)
        assert queue.eta_seconds(first) is None
        await queue.take(1)
        first.start()
        first.end("done")
        assert first.started_at is not None
        first.finished_at = first.started_at + 10.0
        queue.remove(first)
        running, waiting = job(), job()
        await filled(queue, running, waiting)
        assert queue.eta_seconds(waiting) == pytest.approx(20.0)
        await queue.take(1)
        running.start()
        running.advance(Progress("sampling", 0, 4, 8))
        assert queue.eta_seconds(running) == pytest.approx(5.0)
        assert queue.eta_seconds(waiting) == pytest.approx(15.0)

    run(work())


def test_work_grows_with_steps_guidance_variations_and_length() -> None:
    base = units(job())
    assert units(job(variations=3)) == 3 * base
    assert units(job(variations=3, diverse=True)) == 12 * base
    assert units(job(duration_seconds=4.0)) == 2 * base
    assert units(job(duration_seconds=0.1)) == units(job(duration_seconds=1.0))
    assert base < units(job(cfg_scale=2.0)) < 2 * base
    assert base < units(job(steps=16)) < 2 * base
