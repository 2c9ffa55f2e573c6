from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from benchmarks.papers.dac_networks import Shape, by_chance, evenly, expansions, fresh, inverted, macs_of, narrowed
from model_export.architecture_search import Budget
from model_export.network import read_network
from model_export.size import size_of
from model_export.width import slice_channels

SHAPE = Shape(stem=(4, 2), blocks=((6, 4, 1, 1), (6, 6, 2, 2)), head=8, pixels=8)


@pytest.fixture(scope="module")
def whole() -> Any:
    return fresh(SHAPE, 1.0, seed=0)


def test_half_of_the_channels_is_the_network_of_half_the_width(whole: Any) -> None:
    part = slice_channels(whole, narrowed(whole, 0.5)).model
    assert size_of(read_network(part)) == size_of(read_network(fresh(SHAPE, 0.5, seed=0)))


def test_an_even_share_is_the_largest_within_the_budget(whole: Any) -> None:
    budget = Budget(macs=macs_of(whole) * 0.6)
    kept = evenly(whole, budget)
    counts = expansions(whole)
    assert kept.keys() == counts.keys() == {"expand1", "expand2", "expand3"}
    assert np.ptp([len(kept[name]) / counts[name] for name in counts]) < 0.05
    assert budget.allows(size_of(read_network(slice_channels(whole, kept).model)))
    more = {name: range(len(kept[name]) + 1) for name in kept}
    assert not budget.allows(size_of(read_network(slice_channels(whole, more).model)))


def test_the_controls_keep_as_many_channels_of_each_layer(whole: Any) -> None:
    kept = {"expand1": [0, 2, 4], "expand3": list(range(30))}
    chance, other = by_chance(whole, kept, seed=1), inverted(whole, kept, seed=1)
    for found in (chance, other):
        assert {name: len(set(indices)) for name, indices in found.items()} == {"expand1": 3, "expand3": 30}
        assert all(max(found[name]) < expansions(whole)[name] for name in found)
    assert not set(other["expand1"]) & {0, 2, 4}
    assert set(other["expand3"]) >= {30, 31, 32, 33, 34, 35}  # all that is dropped, and some of what is kept
    assert chance != kept
