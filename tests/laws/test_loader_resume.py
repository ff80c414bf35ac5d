"""Law 8: a loader resumes from its state alone, with any number of ranks and batch size; nothing twice or lost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.gold.gold_lake import new_lake, publish, sft_row, tokens_snapshot

from ingot.gold.loader import Loader, load
from ingot.gold.node import GoldConfig, GoldSplit

LEGS = st.lists(
    st.tuples(st.integers(1, 6), st.integers(1, 5), st.integers(0, 9)),  # world size, batch size, steps before it stops
    min_size=1, max_size=6,
)  # fmt: skip


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> str:
    """23 packs, a number that nothing divides."""
    rng = np.random.default_rng(1)
    place = new_lake(tmp_path_factory.mktemp("resume"))
    tokens = tokens_snapshot(place, [[sft_row(rng, i, 16) for i in range(23)]])
    config = GoldConfig(tokenizer="t", max_length=16)
    node = GoldSplit(name="gold.train", inputs=("gold.tokens",), regime="sft", split="train", config=config)
    assert publish(place, node, {"gold.tokens": tokens}).draft.stats["packs"] == 23
    return place.url


def step(ranks: list[Loader]) -> list[str]:
    """One global batch: the documents of all ranks' samples, in the global order."""
    shares = [next(loader) for loader in ranks]
    documents = [[name for name in share["documents"] if name is not None] for share in shares]
    return [share[i] for i in range(len(documents[0])) for share in documents]


def legs(lake: str, plan: list[tuple[int, int, int]], seed: int, shuffle: bool) -> tuple[list[str], dict[str, Any]]:
    """What is read when training stops and goes on elsewhere, through a JSON checkpoint of one of the ranks."""
    read: list[str] = []
    state: str | None = None
    for world, size, steps in plan:
        ranks = [
            load(lake, seed=seed, shuffle=shuffle, batch_size=size, rank=r, world_size=world) for r in range(world)
        ]
        if state is not None:
            for loader in ranks:
                loader.load_state_dict(json.loads(state))
        for _ in range(steps):
            read += step(ranks)
        states = {json.dumps(loader.state_dict(), sort_keys=True) for loader in ranks}
        assert len(states) == 1, "the state is the same on every rank"
        (state,) = states
    return read, json.loads(str(state))


@settings(max_examples=40, deadline=None)
@given(plan=LEGS, seed=st.integers(0, 2**64 - 1), shuffle=st.booleans())
def test_resumed_reading_equals_reading_in_one_go(
    lake: str, plan: list[tuple[int, int, int]], seed: int, shuffle: bool
) -> None:
    read, state = legs(lake, plan, seed, shuffle)
    whole = load(lake, seed=seed, shuffle=shuffle, batch_size=1)
    assert read == [name for _ in read for name in next(whole)["documents"]]
    assert whole.state_dict() == state
    for epoch in range(0, len(read), 23):
        part = read[epoch : epoch + 23]
        assert len(part) == len(set(part)), "no sample twice in an epoch"
    assert len(set(read[:23])) == min(23, len(read)), "none lost"


@settings(max_examples=20, deadline=None)
@given(stop=st.integers(0, 69), world=st.integers(1, 7), size=st.integers(1, 9), seed=st.integers(0, 99))
def test_finite_epochs_are_completed_after_a_resume(lake: str, stop: int, world: int, size: int, seed: int) -> None:
    options: dict[str, Any] = {"seed": seed, "epochs": 3, "drop_last": False}
    first = load(lake, batch_size=1, **options)
    read = [int(next(first)["samples"][0]) for _ in range(stop)]
    for rank in range(world):
        loader = load(lake, batch_size=size, rank=rank, world_size=world, **options)
        loader.load_state_dict(first.state_dict())
        read += [s for batch in loader for s in batch["samples"].tolist()]
        assert loader.state_dict()["epoch"] == 3
    assert sorted(read) == sorted(list(range(23)) * 3)


def test_any_single_sample_can_be_reached_directly(lake: str, tmp_path: Path) -> None:
    whole = load(lake, batch_size=1)
    order = [next(whole)["documents"] for _ in range(60)]
    state = load(lake).state_dict()
    for at in range(60):
        loader = load(lake, batch_size=1)
        loader.load_state_dict(state | {"epoch": at // 23, "sample": at % 23})
        assert next(loader)["documents"] == order[at]
