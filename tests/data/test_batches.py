from itertools import islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arctone.data.batches import LengthBucketSampler, collate
from arctone.errors import UsageError

LENGTHS = st.lists(st.integers(1, 256), min_size=4, max_size=150)


def joined(batches):
    return [index for batch in batches for index in batch]


@given(lengths=LENGTHS, budget=st.integers(1024, 4096), seed=st.integers(0, 2**63 - 1), epoch=st.integers(0, 1000))
@settings(max_examples=60, deadline=None)
def test_every_clip_comes_exactly_once_in_every_epoch(lengths, budget, seed, epoch):
    batches = LengthBucketSampler(lengths, budget, seed=seed).batches(epoch)
    assert sorted(joined(batches)) == list(range(len(lengths)))
    assert all(batches)


@given(lengths=LENGTHS, budget=st.integers(1024, 4096), world_size=st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_ranks_are_disjoint_and_complete_and_never_go_without_work(lengths, budget, world_size):
    ranks = [
        LengthBucketSampler(lengths, budget, seed=5, rank=rank, world_size=world_size).batches(2)
        for rank in range(world_size)
    ]
    assert len({len(rank) for rank in ranks}) == 1
    assert all(batch for rank in ranks for batch in rank)
    assert sorted(index for rank in ranks for index in joined(rank)) == list(range(len(lengths)))


@given(
    lengths=st.lists(st.integers(1, 256), min_size=40, max_size=150),
    budget=st.integers(2048, 4096),
    world_size=st.integers(2, 4),
)
@settings(max_examples=40, deadline=None)
def test_the_steps_are_the_same_for_any_number_of_processes(lengths, budget, world_size):
    alone = LengthBucketSampler(lengths, budget).batches(1)
    ranks = [
        LengthBucketSampler(lengths, budget, rank=rank, world_size=world_size).batches(1) for rank in range(world_size)
    ]
    together = [sorted(joined(parts)) for parts in zip(*ranks, strict=True)]
    # Only a last batch too small for all processes is cut otherwise.
    if len(alone) == len(together):
        assert together == [sorted(batch) for batch in alone]
    else:
        assert min(map(len, alone)) < 2 * world_size


@given(lengths=LENGTHS, stop=st.integers(0, 400))
@settings(max_examples=60, deadline=None)
def test_resuming_after_any_batch_equals_never_stopping(lengths, stop):
    def stream(sampler, num_epochs):
        for _ in range(num_epochs):
            yield from sampler

    whole = list(stream(LengthBucketSampler(lengths, 1024, seed=3), 3))
    first = LengthBucketSampler(lengths, 1024, seed=3)
    running = stream(first, 3)
    before = list(islice(running, stop))
    state = first.state_dict()
    second = LengthBucketSampler(lengths, 1024, seed=3)
    second.load_state_dict(state)
    after = list(stream(second, 3 - state["epoch"]))
    assert before + after == whole


@given(lengths=LENGTHS, budget=st.integers(256, 2048), bucket=st.integers(1, 32))
@settings(max_examples=60, deadline=None)
def test_padded_batches_stay_under_the_budget(lengths, budget, bucket):
    if -(-max(lengths) // bucket) * bucket > budget:
        return
    for batch in LengthBucketSampler(lengths, budget, bucket_frames=bucket).batches(0):
        assert len(batch) * max(lengths[index] for index in batch) <= budget


def test_lengths_in_a_batch_are_similar_and_epochs_differ():
    lengths = np.random.default_rng(0).integers(20, 256, 2000)
    sampler = LengthBucketSampler(lengths, 4096)
    padded = sum(len(batch) * lengths[batch].max() for batch in sampler.batches(0))
    assert lengths.sum() / padded > 0.93
    assert sampler.batches(0) != sampler.batches(1)
    assert {frozenset(batch) for batch in sampler.batches(0)} != {frozenset(batch) for batch in sampler.batches(1)}
    assert len(sampler.batches(0)) == len(sampler.batches(1)) == len(sampler)


def test_the_same_seed_gives_the_same_batches_and_another_seed_others():
    lengths = list(range(1, 100))
    assert LengthBucketSampler(lengths, 512, seed=1).batches(4) == LengthBucketSampler(lengths, 512, seed=1).batches(4)
    assert LengthBucketSampler(lengths, 512, seed=1).batches(4) != LengthBucketSampler(lengths, 512, seed=2).batches(4)


def test_max_clips_bounds_batches_of_short_clips():
    batches = LengthBucketSampler([1] * 100, 4096, max_clips=8).batches(0)
    assert max(map(len, batches)) == 8


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"lengths": [], "max_frames": 100}, "at least world_size = 1 clips"),
        ({"lengths": [0, 5], "max_frames": 100}, "1 frame or more"),
        ({"lengths": [256], "max_frames": 200}, "longest 256 frames, got 200"),
        ({"lengths": [10, 10], "max_frames": 100, "rank": 2, "world_size": 2}, "rank must be 0 to world_size - 1"),
        ({"lengths": [10], "max_frames": 100, "world_size": 2}, "at least world_size = 2"),
        ({"lengths": [10, 10], "max_frames": 100, "seed": -1}, "seed 0 or more"),
    ],
)
def test_impossible_settings_are_refused(arguments, message):
    with pytest.raises(UsageError, match=message):
        LengthBucketSampler(**arguments)


def test_a_state_of_another_seed_is_refused():
    sampler = LengthBucketSampler([10] * 5, 100, seed=1)
    with pytest.raises(UsageError, match="seed 2"):
        sampler.load_state_dict({"seed": 2, "epoch": 0, "batch": 0})
    with pytest.raises(UsageError, match="at batch 99"):
        sampler.load_state_dict({"seed": 1, "epoch": 0, "batch": 99})


def example(index, frames, tokens):
    return {
        "index": index,
        "id": f"clip {index}",
        "caption": "x" * tokens,
        "latents": np.full((3, frames), index + 1, np.float32),
        "seconds": frames / 21.5,
        "bpm": 0.0,
        "text_tokens": np.full((tokens, 2), 7, np.float32),
        "text_pooled": np.full(2, index, np.float32),
    }


def test_collate_pads_with_zeros_and_masks_tell_what_is_real():
    batch = collate([example(0, 5, 3), example(1, 2, 0)], frames_multiple=4, text_multiple=8)
    assert batch["latents"].shape == (2, 3, 8)
    assert batch["frame_mask"].sum(axis=1).tolist() == [5, 2]
    assert np.array_equal(batch["latents"] != 0, np.repeat(batch["frame_mask"][:, None], 3, axis=1))
    assert batch["latents"][1, :, :2].tolist() == [[2, 2]] * 3
    assert batch["text_tokens"].shape == (2, 8, 2)
    assert batch["text_mask"].sum(axis=1).tolist() == [3, 0]
    assert batch["text_tokens"][1].tolist() == np.zeros((8, 2)).tolist()
    assert batch["text_pooled"].tolist() == [[0, 0], [1, 1]]
    assert batch["id"] == ["clip 0", "clip 1"]


def test_collate_of_nothing_is_refused():
    with pytest.raises(UsageError, match="at least one example"):
        collate([])
