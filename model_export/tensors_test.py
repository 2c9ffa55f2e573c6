from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from model_export import tensors
from model_export.errors import TensorFileError

DTYPES = st.sampled_from(["<f4", "<f8", "<f2", "<i4", "<i8", "i1", "u1", "?", "<u2"])
ARRAYS = DTYPES.flatmap(
    lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5))
)
NAMED = st.dictionaries(
    st.text(min_size=1, max_size=12).filter(lambda name: name != "__metadata__"), ARRAYS, max_size=6
)


@given(NAMED)
def test_round_trip_is_bit_for_bit(named: dict[str, np.ndarray]) -> None:
    back = tensors.unpack(tensors.pack(named))
    assert list(back) == list(named)
    for name, array in named.items():
        assert back[name].dtype == array.dtype
        assert back[name].shape == array.shape
        assert back[name].tobytes() == array.tobytes()


@given(NAMED)
@settings(max_examples=50)
def test_agrees_with_the_reference_library(named: dict[str, np.ndarray]) -> None:
    theirs = safetensors.numpy.load(bytes(tensors.pack(named)))
    ours = tensors.unpack(safetensors.numpy.save({name: np.ascontiguousarray(a) for name, a in named.items()}))
    for name, array in named.items():
        assert theirs[name].tobytes() == array.tobytes()
        assert ours[name].tobytes() == array.tobytes()


def test_strided_arrays_are_stored_in_order() -> None:
    array = np.arange(24, dtype=np.float32).reshape(4, 6)[::2, ::-3]
    np.testing.assert_array_equal(tensors.unpack(tensors.pack({"a": array}))["a"], array)


def test_unpack_does_not_copy() -> None:
    data = tensors.pack({"a": np.zeros(4, np.float32)})
    view = tensors.unpack(data)["a"]
    view[0] = 7
    assert tensors.unpack(data)["a"][0] == 7


@given(st.binary(max_size=200))
def test_any_bytes_give_the_one_error(data: bytes) -> None:
    with contextlib.suppress(TensorFileError):
        tensors.unpack(data)


@given(NAMED, st.data())
def test_altered_files_give_the_one_error(named: dict[str, np.ndarray], draw: st.DataObject) -> None:
    packed = tensors.pack(named)
    position = draw.draw(st.integers(0, len(packed) - 1))
    packed[position] ^= draw.draw(st.integers(1, 255))
    with contextlib.suppress(TensorFileError):
        tensors.unpack(packed)


def test_every_truncation_is_noticed() -> None:
    packed = tensors.pack({"a": np.arange(3, dtype=np.float32), "b": np.zeros((2, 2), np.int8)})
    for length in range(len(packed)):
        with pytest.raises(TensorFileError):
            tensors.unpack(packed[:length])


def test_huge_shapes_do_not_allocate() -> None:
    header = b'{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}}'
    with pytest.raises(TensorFileError, match="'a'"):
        tensors.unpack(len(header).to_bytes(8, "little") + header)


def test_objects_are_refused() -> None:
    with pytest.raises(TypeError, match="'bad'"):
        tensors.pack({"bad": np.array([None])})


def test_load_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    tensors.save(path, {"a": np.ones(2)})
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(TensorFileError, match="w.safetensors"):
        tensors.load(path)
