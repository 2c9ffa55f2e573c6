from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from edge_client.errors import MessageError
from edge_client.transport import arrays as module
from edge_client.transport.arrays import ArrayAssembler, encode_array
from edge_client.transport.objects import StoredObject, read_object

DTYPES = [np.dtype(name) for name in ("bool", "int8", "uint8", "int32", "int64", "float16", "float32", "float64")]
ARRAYS = st.sampled_from(DTYPES).flatmap(
    lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=7))
)


def content(item: StoredObject) -> bytes:
    return b"".join(bytes(part) for part in item.parts)


def decode(item: StoredObject, *, max_bytes: int = 1 << 30) -> np.ndarray:
    store = {piece.object_id: content(piece) for piece in item.descendants_first()}
    head, body = read_object(item.object_id, store[item.object_id], kinds=("Array",))
    assembler = ArrayAssembler("a", head, body, max_bytes=max_bytes)
    for chunk_id in assembler.chunk_ids:
        assembler.feed(read_object(chunk_id, store[chunk_id], kinds=("ArrayChunk",))[1])
    return assembler.finish()


def described(body: object, *chunks: bytes) -> StoredObject:
    children = [StoredObject("ArrayChunk", (), (chunk,)) for chunk in chunks]
    return StoredObject("Array", children, (json.dumps(body).encode(),))


def npy(array: np.ndarray) -> bytes:
    chunk = encode_array(array).children[0]
    return content(chunk).partition(b"\0")[2]


@given(ARRAYS)
def test_round_trip(array: np.ndarray) -> None:
    back = decode(encode_array(array))
    assert back.dtype == array.dtype
    assert back.shape == array.shape
    assert back.tobytes() == array.tobytes()
    assert back.flags.writeable


@given(ARRAYS)
@settings(max_examples=50)
def test_same_ids_as_flower(array: np.ndarray) -> None:
    message = pytest.importorskip("flwr.app.message")
    theirs = message.Array(array)
    ours = encode_array(array)
    assert ours.object_id == theirs.object_id
    assert content(ours) == theirs.deflate()


@pytest.mark.parametrize("length", [0, 1, 871, 872, 873, 1895, 1896, 1897, 5000])
def test_chunks_of_every_length(monkeypatch: pytest.MonkeyPatch, length: int) -> None:
    monkeypatch.setattr(module, "CHUNK_BYTES", 1000)
    array = np.arange(length, dtype=np.uint8)
    item = encode_array(array)
    assert all(len(content(child).partition(b"\0")[2]) <= 1000 for child in item.children)
    assert np.array_equal(decode(item), array)


def test_equal_chunks_travel_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK_BYTES", 1000)
    array = np.zeros(10_000, np.uint8)
    item = encode_array(array)
    assert len(item.children) == 3  # the first with the header, the full ones, the last
    assert np.array_equal(decode(item), array)


def test_fortran_order_and_big_endian_are_understood() -> None:
    array = np.asfortranarray(np.arange(12, dtype=">f4").reshape(3, 4))
    header = "{'descr': '>f4', 'fortran_order': True, 'shape': (3, 4), }"
    data = b"\x93NUMPY\x01\x00" + (118).to_bytes(2, "little") + header.ljust(117).encode() + b"\n"
    data += array.tobytes(order="F")
    body = {"dtype": "float32", "shape": [3, 4], "stype": "numpy.ndarray", "arraychunk_ids": [0]}
    back = decode(described(body, data))
    assert back.dtype == np.dtype("float32")
    assert np.array_equal(back, array)


def test_object_arrays_are_not_sent() -> None:
    with pytest.raises(TypeError, match="object"):
        encode_array(np.array([{}], dtype=object))


GOOD = {"dtype": "float32", "shape": [2], "stype": "numpy.ndarray", "arraychunk_ids": [0]}
TWO = npy(np.zeros(2, np.float32))


@pytest.mark.parametrize(
    ("body", "chunks", "complaint"),
    [
        ([], [TWO], "not a JSON object"),
        ({}, [TWO], "serialised as"),
        ({**GOOD, "dtype": "object"}, [TWO], "not one of numbers"),
        ({**GOOD, "dtype": "|V4"}, [TWO], "not one of numbers"),
        ({**GOOD, "dtype": 3}, [TWO], "no dtype"),
        ({**GOOD, "shape": [-2]}, [TWO], "no dtype"),
        ({**GOOD, "shape": [True, 2]}, [TWO], "no dtype"),
        ({**GOOD, "shape": "2"}, [TWO], "no dtype"),
        ({**GOOD, "shape": [2] * 40}, [TWO], "40 dimensions"),
        ({**GOOD, "shape": [2**40]}, [TWO], "still acceptable"),
        ({**GOOD, "shape": [3]}, [TWO], "but its data is"),
        ({**GOOD, "dtype": "int32"}, [TWO], "but its data is"),
        ({**GOOD, "stype": "pickle"}, [TWO], "serialised as"),
        ({**GOOD, "arraychunk_ids": [1]}, [TWO], "chunks are not those"),
        ({**GOOD, "arraychunk_ids": []}, [TWO], "chunks are not those"),
        ({**GOOD, "arraychunk_ids": [0, 0]}, [TWO], "more data than"),
        (GOOD, [TWO[:-1]], "1 bytes short"),
        (GOOD, [TWO + b"x"], "more data than"),
        (GOOD, [b""], "does not begin"),
        (GOOD, [b"\x93NUMPY\x09\x00" + TWO[8:]], "does not begin"),
        (GOOD, [TWO[:10] + TWO[10:].replace(b"'<f4'", b"'|O8'")], "not one of an array of numbers"),
        (GOOD, [TWO[:10] + TWO[10:].replace(b"(2,)", b"(2,__import__('os'))")], "not one of an array of numbers"),
        (GOOD, [TWO[:8] + b"\xff\xff" + TWO[10:]], "not one of an array of numbers"),
    ],
)
def test_nonsense_is_refused(body: object, chunks: list[bytes], complaint: str) -> None:
    with pytest.raises(MessageError, match=complaint):
        decode(described(body, *chunks), max_bytes=1 << 20)


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_random_bytes_raise_nothing_else(body: bytes, chunk: bytes) -> None:
    item = StoredObject("Array", [StoredObject("ArrayChunk", (), (chunk,))], (body,))
    with pytest.raises(MessageError):
        decode(item)


@given(st.integers(0, len(TWO) - 1), st.integers(0, 255))
def test_altered_bytes_give_an_array_or_the_error(at: int, value: int) -> None:
    altered = TWO[:at] + bytes([value]) + TWO[at + 1 :]
    try:
        array = decode(described(GOOD, altered))
    except MessageError:
        return
    assert array.shape == (2,)
    assert array.dtype == np.float32


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(sorted(GOOD)), inner, max_size=4),
        max_leaves=8,
    )
)
def test_json_of_any_shape_raises_nothing_else(body: object) -> None:
    with pytest.raises(MessageError):
        decode(described(body, TWO))
