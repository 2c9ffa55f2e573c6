from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from python_server.aggregate import Aggregator
from python_server.errors import UpdateError
from python_server.parts import Part
from python_server.submodels import WHOLE, Submodel, shifted

SHAPES = {"conv/kernel": (3, 3, 4, 6), "conv/bias": (6,), "norm/gamma": (6,), "dense/kernel": (6, 5)}


def weights(seed: int = 0) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    return {name: random.normal(size=shape).astype(np.float32) for name, shape in SHAPES.items()}


def parts(draw: Any, shape: tuple[int, ...]) -> Part:
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


@given(st.data())
def test_masks_choose_within_whole_variables_slices_and_chosen_channels(data: Any) -> None:
    submodel = data.draw(submodels())
    extracted = submodel.extract(weights())
    random = np.random.default_rng(data.draw(st.integers(0, 99)))
    masks = {name: random.random(value.shape) < 0.5 for name, value in extracted.items() if data.draw(st.booleans())}
    pruned = Submodel("pruned", names=submodel.names, where=submodel.where, masks=masks)
    reference, sent = weights(), submodel.extract(weights(1))
    update, where = pruned.scatter(sent)
    with Aggregator(reference) as aggregator:
        aggregator.add(update, 3, where)
        mean = aggregator.result()
    for name, value in reference.items():
        expected: Any = value.copy()
        if name in sent:
            index: Any = submodel.where.get(name, ...)
            part = expected[index].copy()
            mask = masks.get(name, np.ones(part.shape, bool))
            part[mask] = sent[name][mask]
            expected[index] = part
        np.testing.assert_array_equal(mean[name], expected)


def test_a_pruned_update_of_another_shape_is_refused() -> None:
    pruned = Submodel("pruned", masks={"conv/bias": np.ones(6, bool)})
    aggregator = Aggregator(weights())
    update, where = pruned.scatter({"conv/bias": np.zeros(5, np.float32)})
    with pytest.raises(UpdateError, match=r"'conv/bias' has shape \[5\] instead of \[6\]"):
        aggregator.add(update, 1, where)


def test_naively_everything_counts() -> None:
    pruned = Submodel("pruned", masks={"conv/bias": np.zeros(6, bool)}, differences=True)
    update, where = pruned.naive().scatter({"conv/bias": np.zeros(6, np.float32)})
    assert (update["conv/bias"].size, where) == (6, {})
    assert not pruned.naive().differences


def test_a_shifted_update_is_what_training_changed() -> None:
    sent = {"w": np.array([1.04, 2.06], np.float32)}
    rounded = {"w": np.array([1.0, 2.1], np.float32)}
    trained = {"w": np.array([1.5, 2.1], np.float32)}
    np.testing.assert_allclose(shifted(trained, sent, rounded)["w"], [1.54, 2.06], rtol=1e-6)
    with pytest.raises(UpdateError, match="'v', which is not part of its model"):
        shifted({"v": trained["w"]}, sent, rounded)
    with pytest.raises(UpdateError, match=r"'w' has shape \[1\] instead of \[2\]"):
        shifted({"w": trained["w"][:1]}, sent, rounded)
