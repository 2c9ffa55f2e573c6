from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from python_server.aggregate import Aggregator, Index
from python_server.errors import UpdateError
from python_server.submodels import WHOLE, Submodel

SHAPES = {"conv/kernel": (3, 3, 4, 6), "conv/bias": (6,), "norm/gamma": (6,), "dense/kernel": (6, 5)}


def weights(seed: int = 0) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    return {name: random.normal(size=shape).astype(np.float32) for name, shape in SHAPES.items()}


def parts(draw: Any, shape: tuple[int, ...]) -> Index:
    """Draw leading slices, chosen channels or a mask."""
    kind = draw(st.sampled_from(["slices", "channels", "mask"]))
    if kind == "slices":
        return tuple(slice(0, draw(st.integers(1, size))) for size in shape)
    if kind == "channels":
        chosen = [draw(st.lists(st.integers(0, size - 1), min_size=1, unique=True)) for size in shape]
        return np.ix_(*chosen)
    return np.random.default_rng(draw(st.integers(0, 99))).random(shape) < 0.5


@st.composite
def submodels(draw: Any) -> Submodel:
    names = frozenset(draw(st.sets(st.sampled_from(sorted(SHAPES)), min_size=1)))
    where = {name: parts(draw, SHAPES[name]) for name in sorted(names) if draw(st.booleans())}
    return Submodel("part", names=names, where=where)


@given(submodels())
def test_scattering_what_was_extracted_changes_nothing(submodel: Submodel) -> None:
    reference = weights()
    update, where = submodel.scatter(submodel.extract(reference))
    with Aggregator(reference) as aggregator:
        aggregator.add(update, 3, where)
        mean = aggregator.result()
    for name, value in reference.items():
        np.testing.assert_array_equal(mean[name], value)


@given(submodels(), submodels())
def test_each_coordinate_is_divided_by_the_weight_that_reached_it(first: Submodel, second: Submodel) -> None:
    reference, one, two = weights(), weights(1), weights(2)
    with Aggregator(reference) as aggregator:
        for submodel, values, weight in ((first, one, 2), (second, two, 5)):
            update, where = submodel.scatter(submodel.extract(values))
            aggregator.add(update, weight, where)
        mean = aggregator.result()
    for name, value in reference.items():
        total, reached = np.zeros(value.shape), np.zeros(value.shape)
        for submodel, values, weight in ((first, one, 2), (second, two, 5)):
            if submodel.names is not None and name in submodel.names:
                index: Any = submodel.where.get(name, ...)
                total[index] += weight * values[name][index].astype(float)
                reached[index] += weight
        expected = np.where(reached > 0, total / np.maximum(reached, 1), value)
        np.testing.assert_array_equal(mean[name], expected.astype(np.float32))


def test_the_whole_model_is_handed_on_as_it_is() -> None:
    reference = weights()
    extracted = WHOLE.extract(reference)
    assert list(extracted) == list(reference)
    assert all(extracted[name] is reference[name] for name in reference)


def test_some_names_can_be_extracted() -> None:
    submodel = Submodel("half", where={"conv/bias": (slice(0, 3),)})
    extracted = submodel.extract(weights(), names={"conv/bias"})
    assert {name: value.shape for name, value in extracted.items()} == {"conv/bias": (3,)}


def test_a_variable_that_the_device_does_not_hold_is_refused() -> None:
    with pytest.raises(UpdateError, match=r"'conv/bias', which is not part of its model \(head\)"):
        Submodel("head", names=frozenset({"dense/kernel"})).scatter({"conv/bias": np.zeros(6, np.float32)})
