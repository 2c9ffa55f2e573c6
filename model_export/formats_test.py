"""Narrow arrays hold what `ml_dtypes` says their format holds, and give it back exactly."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from model_export import formats
from model_export.errors import TensorFileError

ARRAYS = hnp.arrays(
    np.float32,
    hnp.array_shapes(min_dims=1, max_dims=4, max_side=5),
    elements=st.floats(-(2.0**99), 2.0**99, width=32, allow_subnormal=False),
)


def bits(array: np.ndarray) -> list[int]:
    """Every bit counts, the sign of a zero too."""
    return np.ascontiguousarray(array, np.float32).view(np.uint32).ravel().tolist()


@given(hnp.arrays(np.float32, 20, elements=st.floats(width=32)))
@settings(max_examples=300)
def test_floats_round_as_ml_dtypes_rounds(array: np.ndarray) -> None:
    for name in ("bfloat16", "float16"):
        with np.errstate(over="ignore"):
            expected = array.astype(getattr(ml_dtypes, name, np.float16)).astype(np.float32)
        np.testing.assert_array_equal(formats.on_grid(array, name), expected)


@given(hnp.arrays(np.float32, 20, elements=st.floats(-(2.0**99), 2.0**99, width=32)))
@settings(max_examples=200)
def test_float24_is_nearest_of_fifteen_bits(array: np.ndarray) -> None:
    rounded = formats.on_grid(array, "float24").astype(np.float64)
    fractions, exponents = np.frexp(array.astype(np.float64))
    # NumPy rounds to even, and float64 holds 16 bits of a fraction with room to spare.
    expected = np.ldexp(np.round(fractions * 2**16) / 2**16, exponents)
    normal = np.abs(array) >= 2.0**-126
    np.testing.assert_array_equal(rounded[normal], expected[normal])


@given(ARRAYS, st.sampled_from(formats.FORMATS), st.booleans(), st.integers(0, 2**32 - 1))
@settings(max_examples=300)
def test_what_is_on_the_grid_comes_back_exactly(array: np.ndarray, format: str, channels: bool, seed: int) -> None:
    mask = np.random.default_rng(seed).random(array.shape) < 0.5
    for kept in (None, mask):
        value = formats.on_grid(array if kept is None else array * kept, format, per_channel=channels)
        parts = formats.encode(value, format, per_channel=channels, mask=kept)
        again = formats.decode(parts, value.shape)
        np.testing.assert_array_equal(again, value)
        if kept is None and format in formats.FLOATS:
            assert bits(again) == bits(value)
        assert {k: v.tobytes() for k, v in formats.encode(again, format, per_channel=channels, mask=kept).items()} == {
            k: v.tobytes() for k, v in parts.items()
        }


@given(ARRAYS, st.booleans())
@settings(max_examples=200)
def test_integers_are_within_half_a_step(array: np.ndarray, channels: bool) -> None:
    array = np.where(np.abs(array) < 1e-20, np.float32(0), array)
    for format, largest in formats.INTEGERS.items():
        axes = tuple(range(array.ndim - 1)) if channels and array.ndim > 1 else None
        step = np.abs(array).max(axis=axes, keepdims=True, initial=0).astype(np.float64) / largest
        error = np.abs(formats.on_grid(array, format, per_channel=channels).astype(np.float64) - array)
        assert (error <= step * (0.5 + 1e-3 * largest / 7)).all()


@given(st.lists(st.integers(0, 255), max_size=40), st.integers(1, 8))
def test_bits_are_packed_without_gaps(numbers: list[int], width: int) -> None:
    values = np.array(numbers, np.int64) % (1 << width)
    packed = formats.pack_bits(values, width)
    assert len(packed) == -(-len(values) * width // 8)
    np.testing.assert_array_equal(formats.unpack_bits(packed, width, len(values)), values)


def test_many_numbers_are_packed_as_few_are() -> None:
    values = np.random.default_rng(0).integers(0, 8, 2**17 + 5)
    packed = formats.pack_bits(values, 3)
    assert len(packed) == -(-len(values) * 3 // 8)
    np.testing.assert_array_equal(formats.unpack_bits(packed, 3, len(values)), values)


def test_sizes_are_what_the_formats_promise() -> None:
    array = np.linspace(-1, 1, 4096, dtype=np.float32).reshape(64, 64)
    sizes = {name: sum(part.nbytes for part in formats.encode(array, name).values()) for name in formats.FORMATS}
    assert sizes == {
        "float32": 16384,
        "float24": 12288,
        "bfloat16": 8192,
        "float16": 8192,
        "int8": 4096 + 4,
        "int4": 2048 + 4,
    }
    mask = np.arange(4096).reshape(64, 64) % 4 == 0
    pruned = formats.encode(array * mask, "float32", mask=mask)
    assert sum(part.nbytes for part in pruned.values()) == 1024 * 4 + 512
    clusters = formats.encode(array, "float32", codebook=np.arange(16, dtype=np.float32), indices=np.zeros(4096, int))
    assert sum(part.nbytes for part in clusters.values()) == 64 + 2048


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"a/k:mask": np.zeros(3, np.uint8)}, "variable 'a/k': a mask of 3 bytes does not fit"),
        ({"a/k": np.zeros(5, np.int8)}, "variable 'a/k': 5 values do not fit shape"),
        ({"a/k:scale": np.zeros(4, np.float32)}, "variable 'a/k': scales of shape"),
        ({"a/x": np.zeros(1, np.int8)}, "tensor 'a/x' is not among the variables"),
        ({"a/k": None}, "variable 'a/k': no values among the parts"),
        ({"a/k:indices": np.full(2, 255, np.uint8), "a/k:codebook": np.zeros(3, np.float32)}, "outside the codebook"),
        ({"a/k:float24": np.zeros(7, np.uint8)}, "variable 'a/k'"),
    ],
)
def test_parts_that_do_not_fit_are_named(change: dict[str, Any], message: str) -> None:
    stored: dict[str, Any] = {"a/k": np.ones((2, 3), np.int8), "a/k:scale": np.float32(2)}
    stored = {**stored, **change}
    arrays: dict[str, np.ndarray] = {key: np.asarray(value) for key, value in stored.items() if value is not None}
    with pytest.raises(TensorFileError, match=message):
        formats.decode_all(arrays, {"a/k": (2, 3)})


def test_names_may_hold_colons() -> None:
    stored: dict[str, np.ndarray] = {
        "a:b/k:scale": np.asarray(np.float32(2)),
        "a:b/k": np.ones(2, np.int8),
        "a": np.ones(1, np.float32),
    }
    found = formats.decode_all(stored, {"a": (1,), "a:b/k": (2,)})
    np.testing.assert_array_equal(found["a:b/k"], [2, 2])
