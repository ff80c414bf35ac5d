"""Packing against an O(n * packs) reference, its order, and what it costs."""

from __future__ import annotations

import time
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingot.kernels.packing import MAX_CAPACITY, best_fit_decreasing


def reference(lengths: list[int], capacity: int) -> list[int]:
    """Free space left in each pack of best-fit decreasing, sorted: every choice among equal packs gives the same."""
    free: list[int] = []
    for length in sorted(lengths, reverse=True):
        fits = [(space, i) for i, space in enumerate(free) if space >= length]
        if fits:
            free[min(fits)[1]] -= length
        else:
            free.append(capacity - length)
    return sorted(free)


def check(lengths: np.ndarray, capacity: int) -> tuple[np.ndarray, np.ndarray]:
    offsets, members = best_fit_decreasing(lengths, capacity)
    assert sorted(members.tolist()) == list(range(len(lengths)))
    packs = [members[a:b] for a, b in pairwise(offsets.tolist())]
    assert sorted(capacity - int(lengths[pack].sum()) for pack in packs) == reference(lengths.tolist(), capacity)
    assert all((np.diff(pack) > 0).all() for pack in packs), "items ascend inside a pack"
    firsts = [int(pack[0]) for pack in packs]
    assert firsts == sorted(firsts), "packs are numbered by their first item"
    return offsets, members


@pytest.mark.parametrize("capacity", [1, 2, 63, 64, 65, 127, 4095, 4096, 4097, 9000, 262_144, MAX_CAPACITY])
def test_equals_the_reference_at_every_shape_of_the_bitmap(capacity: int) -> None:
    rng = np.random.default_rng(capacity)
    for size in (1, 2, 17, 90):
        check(rng.integers(1, capacity + 1, size), capacity)
        check(np.minimum(rng.geometric(0.05, size), capacity), capacity)


@settings(max_examples=50, deadline=None)
@given(data=st.data(), capacity=st.integers(1, 300))
def test_equals_the_reference(data: st.DataObject, capacity: int) -> None:
    lengths = data.draw(st.lists(st.integers(1, capacity), max_size=60))
    check(np.array(lengths, np.int64), capacity)


def test_nothing_to_pack() -> None:
    offsets, members = best_fit_decreasing(np.zeros(0, np.int64), 10)
    assert offsets.tolist() == [0]
    assert len(members) == 0


@pytest.mark.parametrize(("lengths", "capacity"), [([0], 4), ([5], 4), ([-1], 4), ([1], 0), ([1], MAX_CAPACITY + 1)])
def test_refuses_what_cannot_be_packed(lengths: list[int], capacity: int) -> None:
    with pytest.raises(ValueError, match=r"in 1\.\."):
        best_fit_decreasing(np.array(lengths), capacity)


def test_lognormal_lengths_fill_packs_and_cost_little() -> None:
    rng = np.random.default_rng(0)
    lengths = np.clip(np.exp(rng.normal(np.log(350), 1.0, 200_000)).astype(np.int64), 8, 4096)
    best_fit_decreasing(lengths[:10], 4096)  # compile
    costs = []
    for _ in range(5):
        started = time.process_time()
        offsets, members = best_fit_decreasing(lengths, 4096)
        costs.append(time.process_time() - started)
    assert lengths.sum() / ((len(offsets) - 1) * 4096) >= 0.999
    assert np.add.reduceat(lengths[members], offsets[:-1]).max() <= 4096
    assert min(costs) <= 0.1, f"{min(costs):.3f} CPU seconds"
