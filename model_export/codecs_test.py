from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from model_export import codecs
from model_export.errors import TensorFileError

CODECS = ("float32", "float16", "bfloat16", "int8", "clusters16", "clusters3", "clusters256")
SPECS = {"a/kernel": ((3, 4), "float32"), "a/bias": ((4,), "float32"), "a/seed": ((2, 2), "int32")}
ARRAYS = {
    "a/kernel": np.random.default_rng(1).normal(size=(3, 4)).astype(np.float32),
    "a/bias": np.array([1e-9, 1, 2, 3e9], np.float32),
    "a/seed": np.array([[1, 2], [3, 2**31 - 1]], np.int32),
}
KERNELS = hnp.arrays(
    np.float32,
    hnp.array_shapes(min_dims=2, max_dims=4, min_side=0, max_side=5),
    elements=st.floats(-6e4, 6e4, width=32),
)


def spec(array: np.ndarray) -> codecs.Spec:
    return array.shape, array.dtype.name


def error_bound(kernel: np.ndarray, codec: str) -> Any:
    """How far a value may be from what comes back."""
    size = np.abs(kernel)
    if codec == "float16":
        return size * 2**-11 + 2**-25
    if codec == "bfloat16":
        return size * 2**-8 + 1e-38
    if codec == "int8":
        largest = size.max(axis=tuple(range(kernel.ndim - 1)), initial=0)
        return np.broadcast_to(largest / 127 * (0.5 + 2**-7) + 1e-30, kernel.shape)
    spread = (kernel.max() - kernel.min()) if kernel.size else 0.0
    return np.full(kernel.shape, 0.0 if codec == "float32" else spread * 1.0001)


@pytest.mark.parametrize("codec", CODECS)
@given(kernel=KERNELS)
def test_what_comes_back_is_within_the_codec_s_error(codec: str, kernel: np.ndarray) -> None:
    back = codecs.decode(codecs.encode({"k": kernel}, codec), {"k": spec(kernel)})["k"]
    assert back.dtype == np.float32
    assert back.shape == kernel.shape
    assert (np.abs(back - kernel) <= error_bound(kernel, codec)).all()


@pytest.mark.parametrize("codec", ["float32", "float16", "bfloat16", "int8"])
def test_what_was_decoded_encodes_to_the_same_bytes(codec: str) -> None:
    kernel = np.random.default_rng(2).normal(size=(5, 5, 3, 8)).astype(np.float32)
    once = codecs.encode({"k": kernel}, codec)
    twice = codecs.encode(codecs.decode(once, {"k": spec(kernel)}), codec)
    assert {name: part.tobytes() for name, part in once.items()} == {n: p.tobytes() for n, p in twice.items()}


@pytest.mark.parametrize(
    ("codec", "bytes_each"), [("float32", 4), ("float16", 2), ("bfloat16", 2), ("int8", 1), ("clusters16", 0.5)]
)
def test_a_kernel_takes_the_codec_s_bytes(codec: str, bytes_each: float) -> None:
    kernel = np.random.default_rng(2).normal(size=(64, 100)).astype(np.float32)
    total = sum(part.nbytes for part in codecs.encode({"k": kernel}, codec).values())
    extra = {"int8": 4 * 100, "clusters16": 4 * 16}.get(codec, 0)
    assert total == kernel.size * bytes_each + extra


@pytest.mark.parametrize("codec", CODECS)
def test_what_is_no_kernel_travels_as_it_is(codec: str) -> None:
    back = codecs.decode(codecs.encode(ARRAYS, codec), SPECS)
    assert list(back) == list(SPECS)
    for name in ("a/bias", "a/seed"):
        assert back[name].tobytes() == ARRAYS[name].tobytes()


def test_an_update_comes_back_more_exactly_as_a_difference() -> None:
    base = {"k": np.random.default_rng(3).normal(size=(30, 30)).astype(np.float32)}
    update = {"k": base["k"] + np.random.default_rng(4).normal(scale=1e-4, size=(30, 30)).astype(np.float32)}
    specs = {"k": spec(base["k"])}
    whole = codecs.decode(codecs.encode(update, "int8"), specs)["k"]
    difference = codecs.decode(codecs.encode(update, "int8", base), specs, base)["k"]
    assert np.abs(difference - update["k"]).max() < np.abs(whole - update["k"]).max() / 1000


def test_a_variable_without_a_base_travels_whole() -> None:
    kernel = {"a/kernel": ARRAYS["a/kernel"]}
    assert codecs.encode(kernel, "float16", {})["a/kernel"].tobytes() == (
        ARRAYS["a/kernel"].astype(np.float16).tobytes()
    )


@pytest.mark.parametrize("codec", ["", "int4", "float8", "clusters", "clusters1", "clusters257", "clusters016x"])
def test_a_codec_that_does_not_exist_is_named(codec: str) -> None:
    with pytest.raises(ValueError, match=f"codec '{codec}'"):
        codecs.check(codec)


def test_clusters_are_one_family() -> None:
    assert [codecs.family(codec) for codec in ("clusters4", "int8")] == ["clusters", "int8"]


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "of a variable nobody knows": ({"b/kernel": np.zeros((3, 4), np.float16)}, "b/kernel"),
    "a part of a variable nobody knows": ({"b/kernel:scale": np.float32(1)}, "b/kernel:scale"),
    "of too few values": ({"a/kernel": np.zeros((2, 4), np.float16)}, "a/kernel"),
    "of another dtype": ({"a/kernel": np.zeros((3, 4), np.int64)}, "a/kernel"),
    "bfloat16 of another dtype": ({"a/kernel:bfloat16": np.zeros(12, np.float32)}, "bfloat16"),
    "a scale without codes": ({"a/kernel:scale": np.ones(4, np.float32)}, "a/kernel"),
    "scales that do not fit": (
        {"a/kernel": np.zeros((3, 4), np.int8), "a/kernel:scale": np.ones(3, np.float32)},
        "scales",
    ),
    "an index beyond the codebook": (
        {"a/kernel:codebook": np.zeros(3, np.float32), "a/kernel:indices": np.full(3, 255, np.uint8)},
        "outside the codebook",
    ),
    "an empty codebook": (
        {"a/kernel:codebook": np.zeros(0, np.float32), "a/kernel:indices": np.zeros(2, np.uint8)},
        "a/kernel",
    ),
    "a codebook of no dimension": (
        {"a/kernel:codebook": np.float32(1), "a/kernel:indices": np.zeros(2, np.uint8)},
        "a/kernel",
    ),
    "too few indices": (
        {"a/kernel:codebook": np.zeros(4, np.float32), "a/kernel:indices": np.zeros(2, np.uint8)},
        "2 bytes",
    ),
    "parts of what is not coded": ({"a/bias:bfloat16": np.zeros(4, np.uint16)}, "not coded"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_does_not_fit_is_refused_by_name(case: str) -> None:
    stored, words = BAD[case]
    with pytest.raises(TensorFileError, match=words):
        codecs.decode({name: np.asarray(value) for name, value in stored.items()}, SPECS)


def test_only_what_came_is_returned() -> None:
    assert set(codecs.decode(codecs.encode({"a/kernel": ARRAYS["a/kernel"]}, "int8"), SPECS)) == {"a/kernel"}


@pytest.mark.parametrize("codec", CODECS)
def test_the_size_on_the_wire_is_foreseen(codec: str) -> None:
    random = np.random.default_rng(3)
    arrays = {"k": random.normal(size=(3, 3, 8, 7)).astype(np.float32), "b": np.ones(7, np.float32)}
    arrays["few"] = np.array([[1, 2]], np.float32)
    real = sum(array.nbytes for array in codecs.encode(arrays, codec).values())
    foreseen = codecs.coded_bytes(map(spec, arrays.values()), codec)
    # Of 256 clusters that begin, some end empty.
    assert real <= foreseen <= real * (1.5 if codec == "clusters256" else 1)


def test_the_size_in_an_unknown_codec_is_refused() -> None:
    with pytest.raises(ValueError, match="there is no codec 'int9'"):
        codecs.coded_bytes([((2, 2), "float32")], "int9")
