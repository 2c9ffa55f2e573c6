from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from model_export.tensors import pack, unpack
from python_server.aggregate import Aggregator
from python_server.errors import UpdateError

SHAPES = {"a/kernel": (3, 2), "a/bias": (2,), "b/scale": ()}
REFERENCE = {name: np.full(shape, 7.0, np.float32) for name, shape in SHAPES.items()}

values = st.floats(-100, 100, width=32)
weights = st.integers(1, 10_000)


def updates(names: st.SearchStrategy[set[str]]) -> st.SearchStrategy[dict[str, np.ndarray]]:
    return names.flatmap(
        lambda chosen: st.fixed_dictionaries(
            {name: hnp.arrays(np.float32, SHAPES[name], elements=values) for name in sorted(chosen)}
        )
    )


whole = updates(st.just(set(SHAPES)))
some = updates(st.sets(st.sampled_from(sorted(SHAPES))))


def aggregate(parts: list[tuple[dict[str, np.ndarray], int]]) -> dict[str, np.ndarray]:
    with Aggregator(REFERENCE) as aggregator:
        for update, weight in parts:
            aggregator.add(update, weight)
        return aggregator.result()


def equal(left: dict[str, np.ndarray], right: dict[str, np.ndarray]) -> bool:
    return set(left) == set(right) and all(
        left[name].dtype == right[name].dtype and np.array_equal(left[name], right[name]) for name in left
    )


@given(whole, st.lists(weights, min_size=1, max_size=5))
def test_equal_updates_aggregate_to_themselves(update: dict[str, np.ndarray], many: list[int]) -> None:
    assert equal(aggregate([(update, weight) for weight in many]), update)


@given(st.lists(st.tuples(some, weights), max_size=5), st.randoms(use_true_random=False))
def test_order_does_not_matter(parts: list[tuple[dict[str, np.ndarray], int]], random: Any) -> None:
    shuffled = list(parts)
    random.shuffle(shuffled)
    left, right = aggregate(parts), aggregate(shuffled)
    for name, value in left.items():
        np.testing.assert_array_almost_equal_nulp(value, right[name], nulp=1)


def test_order_does_not_matter_to_the_last_bit_for_weights_near_one_another() -> None:
    random = np.random.default_rng(0)
    start = random.standard_normal(200_000).astype(np.float32)
    parts = [(start + 0.05 * random.standard_normal(start.size).astype(np.float32), n) for n in (10, 999, 57, 4001)]
    results = []
    for order in ([0, 1, 2, 3], [3, 1, 0, 2], [2, 0, 3, 1]):
        aggregator = Aggregator({"w": start})
        for index in order:
            aggregator.add({"w": parts[index][0]}, parts[index][1])
        results.append(aggregator.result()["w"].tobytes())
    assert len(set(results)) == 1


@given(st.lists(st.tuples(some, weights), max_size=5))
def test_every_coordinate_is_divided_by_the_weight_that_reached_it(
    parts: list[tuple[dict[str, np.ndarray], int]],
) -> None:
    result = aggregate(parts)
    for name, reference in REFERENCE.items():
        held = [(update[name].astype(np.float64), weight) for update, weight in parts if name in update]
        total = sum(weight for _, weight in held)
        expected = sum(value * weight for value, weight in held) / total if held else reference
        np.testing.assert_allclose(result[name], expected, rtol=2e-7, atol=1e-5)


@given(st.lists(st.tuples(some, weights), max_size=4), st.permutations(sorted(SHAPES)))
def test_unpacked_updates_are_added_as_separate_ones_are(
    parts: list[tuple[dict[str, np.ndarray], int]], order: list[str]
) -> None:
    packed = [(unpack(pack({n: update[n] for n in order if n in update})), weight) for update, weight in parts]
    assert equal(aggregate(packed), aggregate(parts))


def test_arrays_that_lie_side_by_side_by_accident() -> None:
    """Parts of one buffer in another order, strided, and with a gap."""
    buffer = np.arange(24, dtype=np.float32)
    reference = {"a": np.zeros(4, np.float32), "b": np.zeros((2, 4), np.float32), "c": np.zeros(4, np.float32)}
    for update in (
        {"a": buffer[:4], "b": buffer[4:12].reshape(2, 4), "c": buffer[12:16]},
        {"b": buffer[:8].reshape(2, 4), "a": buffer[8:12], "c": buffer[12:16]},
        {"a": buffer[:4], "b": buffer[5:13].reshape(2, 4), "c": buffer[13:17]},
        {"a": buffer[:8:2], "b": buffer[8:16].reshape(4, 2).T, "c": buffer[::-1][:4]},
    ):
        aggregator = Aggregator(reference)
        aggregator.add(update, 3)
        assert equal(aggregator.result(), {name: np.ascontiguousarray(value) for name, value in update.items()})


def test_models_of_mixed_dtypes() -> None:
    dtypes = {"n": np.int32, "w": np.float32, "d": np.float64, "h": np.float16}
    reference: dict[str, np.ndarray] = {name: np.ones(3, dtype) for name, dtype in dtypes.items()}
    aggregator = Aggregator(reference)
    aggregator.add({name: np.full(3, 2, dtype) for name, dtype in dtypes.items() if name != "n"}, 1)
    result = aggregator.result()
    assert {name: array.dtype for name, array in result.items()} == dtypes
    assert {name: array.tolist() for name, array in result.items()} == {
        "n": [1, 1, 1],
        "w": [2, 2, 2],
        "d": [2, 2, 2],
        "h": [2, 2, 2],
    }


@given(
    st.lists(st.tuples(hnp.arrays(np.bool_, (3, 2)), st.floats(-10, 10, width=32), weights), min_size=1, max_size=4),
    st.lists(st.tuples(hnp.arrays(np.float32, (3, 2), elements=values), weights), max_size=2),
)
def test_masked_parts(parts: list[tuple[np.ndarray, float, int]], wholes: list[tuple[np.ndarray, int]]) -> None:
    reference = REFERENCE["a/kernel"]
    aggregator = Aggregator({"k": reference})
    sums, counts = np.zeros((3, 2)), np.zeros((3, 2))
    for mask, value, weight in parts:
        aggregator.add({"k": np.full(int(mask.sum()), value, np.float32)}, weight, where={"k": mask})
        sums += mask * (np.float64(np.float32(value)) * weight)
        counts += mask * weight
    for array, weight in wholes:
        aggregator.add({"k": array}, weight)
        sums += array.astype(np.float64) * weight
        counts += weight
    expected = np.where(counts > 0, sums / np.maximum(counts, 1), reference)
    np.testing.assert_allclose(aggregator.result()["k"], expected, rtol=2e-7, atol=1e-5)


def test_slices_and_index_lists() -> None:
    aggregator = Aggregator({"k": np.zeros((4, 3), np.float32)})
    aggregator.add({"k": np.ones((2, 3), np.float32)}, 1, where={"k": (slice(0, 2), slice(None))})
    aggregator.add({"k": np.full((2, 2), 4, np.float32)}, 2, where={"k": np.ix_([1, 3], [0, 2])})
    assert aggregator.result()["k"].tolist() == [[1, 1, 1], [3, 1, 3], [0, 0, 0], [4, 0, 4]]


def test_nothing_sent_keeps_the_global_values() -> None:
    assert equal(aggregate([]), REFERENCE)


def test_integers_are_rounded() -> None:
    aggregator = Aggregator({"n": np.zeros(1, np.int32)})
    aggregator.add({"n": np.array([1], np.int32)}, 1)
    aggregator.add({"n": np.array([4], np.int32)}, 2)
    result = aggregator.result()["n"]
    assert result.dtype == np.int32
    assert result.tolist() == [3]


@pytest.mark.parametrize(
    ("update", "weight", "message"),
    [
        ({"a/bias": np.zeros(3, np.float32)}, 1, r"'a/bias' has shape \[3\] instead of \[2\]"),
        ({"a/bias": np.array([0, np.nan], np.float32)}, 1, "'a/bias' holds NaN"),
        ({"a/bias": np.array([-np.inf, 0], np.float32)}, 1, "'a/bias' holds an infinite value"),
        ({"c": np.zeros(2, np.float32)}, 1, "which the model does not have"),
        ({"a/bias": np.zeros(2, np.complex64)}, 1, "dtype complex64"),
        ({}, 0, "weight 0"),
        ({}, 1.5, "weight 1.5"),
        ({}, True, "weight True"),
    ],
)
def test_refused_updates_change_nothing(update: dict[str, np.ndarray], weight: Any, message: str) -> None:
    aggregator = Aggregator(REFERENCE)
    aggregator.add(REFERENCE, 3)
    with pytest.raises(UpdateError, match=message):
        aggregator.add({"b/scale": np.array(1, np.float32), **update}, weight)
    assert (aggregator.updates, aggregator.weight) == (1, 3)
    assert equal(aggregator.result(), REFERENCE)


def test_an_update_has_to_hold_what_was_asked_for() -> None:
    with pytest.raises(UpdateError, match="'a/kernel' is missing, and 1 more"):
        Aggregator(REFERENCE).add({"a/bias": REFERENCE["a/bias"]}, 1, names=list(SHAPES))
    with pytest.raises(UpdateError, match="not asked to train"):
        Aggregator(REFERENCE).add({"a/bias": REFERENCE["a/bias"]}, 1, names=["a/kernel"])
    with pytest.raises(UpdateError, match="a part is given"):
        Aggregator(REFERENCE).add({}, 1, {"a/bias": (slice(1),)})


def test_memory_does_not_grow_with_the_number_of_updates() -> None:
    reference = {f"v{i}": np.zeros(300_000, np.float32) for i in range(4)}
    model = sum(array.nbytes for array in reference.values())
    tracemalloc.start()
    try:
        with Aggregator(reference) as aggregator:
            for _ in range(10):
                aggregator.add({name: np.ones(array.shape, np.float32) for name, array in reference.items()}, 5)
            aggregator.result()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak <= 4.2 * model + 4 * 2**17 * 8  # one update, three models, and the threads' blocks


def test_more_kinds_of_parts_than_are_kept_apart_are_summed_up_all_the_same() -> None:
    reference = {"w": np.zeros((7, 5), np.float32), "b": np.ones(3, np.float32)}
    random = np.random.default_rng(5)
    total, reached = np.zeros((7, 5)), np.zeros((7, 5))
    with Aggregator(reference) as aggregator:
        for number in range(1, 41):
            rows = np.sort(random.choice(7, 3, replace=False))
            index = np.ix_(rows, np.arange(5))
            value = random.normal(size=(3, 5)).astype(np.float32)
            aggregator.add({"w": value, "b": np.full(3, number, np.float32)}, number, {"w": index})
            total[index] += number * value.astype(float)
            reached[index] += number
        mean = aggregator.result()
    np.testing.assert_allclose(mean["w"], (total / reached).astype(np.float32), rtol=1e-6)
    assert mean["b"].tolist() == [27.0, 27.0, 27.0]  # Σn² / Σn


def test_weights_of_parts_beyond_32_bits_are_counted() -> None:
    index = (slice(0, 1),)
    with Aggregator({"w": np.zeros(2, np.float32)}) as aggregator:
        for _ in range(20):
            aggregator.add({"w": np.ones(1, np.float32)}, 2**29, {"w": index})
        assert aggregator.result()["w"].tolist() == [1.0, 0.0]
