"""The permutation is a bijection, depends on its key, spreads evenly, and does not change."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingot.kernels.permute import permute

GOLDEN = ([3, 4, 1, 7, 2, 6, 9, 0, 8, 5], [1, 2, 7, 5, 8, 6, 4, 3, 0, 9])


@settings(max_examples=50, deadline=None)
@given(n=st.integers(1, 3000), seed=st.integers(0, 2**64 - 1), epoch=st.integers(0, 10**6))
def test_is_a_bijection_computed_per_index(n: int, seed: int, epoch: int) -> None:
    order = permute(np.arange(n), n, seed=seed, epoch=epoch)
    assert sorted(order.tolist()) == list(range(n))
    at = np.array([n - 1, 0, n // 2])
    assert permute(at, n, seed=seed, epoch=epoch).tolist() == order[at].tolist()


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 16, 17, 64, 65, 4096, 4097, 2**20 + 1])
def test_every_shape_of_the_domain(n: int) -> None:
    order = permute(np.arange(n), n, seed=7, epoch=3)
    assert np.array_equal(np.sort(order), np.arange(n))


def test_large_domains_stay_inside() -> None:
    n = 2**40 + 12345
    order = permute(np.arange(1000), n, seed=1, epoch=0)
    assert len(set(order.tolist())) == 1000
    assert order.min() >= 0
    assert order.max() < n
    assert order.max() > 2**38, "values spread over the whole domain"


def test_seed_and_epoch_make_different_orders() -> None:
    orders = {tuple(permute(np.arange(50), 50, seed=s, epoch=e).tolist()) for s in range(10) for e in range(10)}
    assert len(orders) == 100


def test_is_as_even_as_a_shuffle() -> None:
    """Chi-square of position against item, 16 x 16 cells over 200 epochs: a perfect shuffle expects 225, s.d. 21."""
    n, epochs = 1000, 200
    cells = np.zeros((16, 16))
    for epoch in range(epochs):
        np.add.at(cells, (np.arange(n) * 16 // n, permute(np.arange(n), n, seed=11, epoch=epoch) * 16 // n), 1)
    expected = np.outer(cells.sum(1), cells.sum(0)) / cells.sum()
    assert 225 - 5 * 21 < ((cells - expected) ** 2 / expected).sum() < 225 + 5 * 21


def test_neighbours_do_not_stay_neighbours() -> None:
    order = permute(np.arange(10_000), 10_000, seed=0, epoch=0)
    assert np.mean(np.abs(np.diff(order)) <= 1) < 0.01


def test_refuses_positions_outside() -> None:
    with pytest.raises(ValueError, match=r"range\(5\)"):
        permute(np.array([5]), 5, seed=0, epoch=0)
    assert len(permute(np.zeros(0, np.int64), 0, seed=0, epoch=0)) == 0


def test_golden_order() -> None:
    """States saved by trainers rely on this order: a change of it must be a new loader state version."""
    assert permute(np.arange(10), 10, seed=0, epoch=0).tolist() == GOLDEN[0]
    assert permute(np.arange(10), 10, seed=2**63, epoch=5).tolist() == GOLDEN[1]
