"""NumPy arrays as objects: an ``Array`` with dtype and shape, and its ``.npy`` bytes in ``ArrayChunk`` pieces.

The bytes that come are never unpickled nor evaluated: the ``.npy`` header has one form that NumPy writes, and nothing
else is accepted.
"""

from __future__ import annotations

import json
import re
from io import BytesIO
from typing import Union

import numpy as np

from edge_client.errors import MessageError
from edge_client.transport.objects import Buffer, ObjectHead, StoredObject

__all__ = ["CHUNK_BYTES", "ArrayAssembler", "encode_array"]

CHUNK_BYTES = 5 * 2**20
_STYPE = "numpy.ndarray"
_MAX_DIMENSIONS = 32
_MAX_NPY_HEADER = 4096
_NUMBERS = re.compile(r"bool|u?int(?:8|16|32|64)|float(?:16|32|64)|[<>|=]?(?:b1|[iu][1248]|f[248])")
_NPY_HEADER = re.compile(
    rb"\{'descr': '([<>|=]?[biuf][1248])', 'fortran_order': (True|False), "
    rb"'shape': \(((?:[0-9]{1,18}(?:, ?|,?(?=\))))*)\), \} *\n"
)


def encode_array(array: np.ndarray) -> StoredObject:
    """Turn an array into an object; its data is referred to, not copied.

    Parameters
    ----------
    array
        Booleans, integers or floats of up to 64 bits, of any shape.

    Raises
    ------
    TypeError
        The array holds something else.
    """
    if not _NUMBERS.fullmatch(array.dtype.str):
        raise TypeError(f"an array of dtype {array.dtype} cannot travel; use booleans, integers or floats")
    array = np.asarray(array, order="C")
    header = BytesIO()
    np.lib.format.write_array_header_1_0(header, np.lib.format.header_data_from_array_1_0(array))
    start: Buffer = header.getvalue()
    data = array.reshape(-1).view(np.uint8).data
    cut = max(CHUNK_BYTES - len(start), 0)
    chunks = [StoredObject("ArrayChunk", (), (start, data[:cut]))]
    chunks += [
        StoredObject("ArrayChunk", (), (data[at : at + CHUNK_BYTES],)) for at in range(cut, len(data), CHUNK_BYTES)
    ]
    position = {object_id: at for at, object_id in enumerate(dict.fromkeys(chunk.object_id for chunk in chunks))}
    body = {
        "dtype": str(array.dtype),
        "shape": array.shape,
        "stype": _STYPE,
        "arraychunk_ids": [position[chunk.object_id] for chunk in chunks],
    }
    return StoredObject("Array", chunks, (json.dumps(body).encode(),))


class ArrayAssembler:
    """Puts an array together from its chunks, one at a time, so that only one copy of the data exists.

    Parameters
    ----------
    name
        What to call the array in errors.
    head, body
        The ``Array`` object.
    max_bytes
        Largest acceptable array.

    Attributes
    ----------
    chunk_ids
        The chunks in the order in which `feed` wants them; one may come several times.

    Raises
    ------
    edge_client.errors.MessageError
        The object does not describe an array of numbers of acceptable size.
    """

    def __init__(self, name: str, head: ObjectHead, body: Union[bytes, memoryview], *, max_bytes: int) -> None:
        self._name = name
        description = _json_object(name, body)
        dtype, shape = description.get("dtype"), description.get("shape")
        indices, stype = description.get("arraychunk_ids"), description.get("stype")
        if stype != _STYPE:
            raise MessageError(f"array {name!r}: serialised as {str(stype)[:40]!r}, expected {_STYPE!r}")
        if not isinstance(dtype, str) or not _naturals(shape) or not _naturals(indices):
            raise MessageError(f"array {name!r}: no dtype, shape and chunks")
        assert isinstance(shape, list)
        assert isinstance(indices, list)
        if len(shape) > _MAX_DIMENSIONS:
            raise MessageError(f"array {name!r}: {len(shape)} dimensions")
        if set(indices) != set(range(len(head.children))):
            raise MessageError(f"array {name!r}: its chunks are not those it lists")
        self._shape = tuple(shape)
        self._dtype = _dtype(name, dtype)
        count = 1
        for extent in self._shape:
            count *= extent
        self.nbytes = count * self._dtype.itemsize
        if self.nbytes > max_bytes:
            raise MessageError(f"array {name!r}: {self.nbytes} bytes, more than the {max_bytes} still acceptable")
        self.chunk_ids = [head.children[index] for index in indices]
        self._buffer = np.empty(0, np.uint8)
        self._filled = -1
        self._fortran_order = False

    def feed(self, chunk: memoryview) -> None:
        """Add the body of the next chunk.

        Raises
        ------
        edge_client.errors.MessageError
            It is not what the array's description promised.
        """
        if self._filled < 0:
            chunk = self._read_header(chunk)
            self._buffer = np.empty(self.nbytes, np.uint8)
            self._filled = 0
        end = self._filled + len(chunk)
        if end > self.nbytes:
            raise MessageError(f"array {self._name!r}: more data than its shape {self._shape} has room for")
        self._buffer[self._filled : end] = np.frombuffer(chunk, np.uint8)
        self._filled = end

    def finish(self) -> np.ndarray:
        """Return the array, writable and in the machine's byte order.

        Raises
        ------
        edge_client.errors.MessageError
            Data is missing.
        """
        if self._filled != self.nbytes:
            missing = self.nbytes - max(self._filled, 0)
            raise MessageError(f"array {self._name!r}: {missing} bytes short of its shape {self._shape}")
        array = self._buffer.view(self._dtype)
        array = array.reshape(self._shape, order="F" if self._fortran_order else "C")
        return array if self._dtype.isnative else array.astype(self._dtype.newbyteorder("="))

    def _read_header(self, chunk: memoryview) -> memoryview:
        start = bytes(chunk[:12])
        if start[:6] != b"\x93NUMPY" or start[6:7] not in (b"\x01", b"\x02", b"\x03") or len(start) < 12:
            raise MessageError(f"array {self._name!r}: its data does not begin as a .npy file does")
        prefix = 10 if start[6] == 1 else 12
        length = int.from_bytes(start[8:prefix], "little")
        header = bytes(chunk[prefix : prefix + min(length, _MAX_NPY_HEADER + 1)])
        found = _NPY_HEADER.fullmatch(header)
        if found is None or len(header) != length:
            raise MessageError(f"array {self._name!r}: its .npy header is not one of an array of numbers")
        shape = tuple(int(extent) for extent in found[3].replace(b" ", b"").split(b",") if extent)
        dtype = _dtype(self._name, found[1].decode("ascii"))
        if shape != self._shape or dtype.newbyteorder("=") != self._dtype.newbyteorder("="):
            raise MessageError(
                f"array {self._name!r}: described as {self._dtype} {self._shape}, but its data is {dtype} {shape}"
            )
        self._dtype = dtype
        self._fortran_order = found[2] == b"True"
        return chunk[prefix + length :]


def _dtype(name: str, text: str) -> np.dtype[np.generic]:
    if not _NUMBERS.fullmatch(text):
        raise MessageError(f"array {name!r}: dtype {text[:40]!r} is not one of numbers")
    return np.dtype(text)


def _json_object(name: str, body: Union[bytes, memoryview]) -> dict[str, object]:
    try:
        value = json.loads(bytes(body))
    except (ValueError, RecursionError) as error:
        raise MessageError(f"array {name!r}: its description is not JSON") from error
    if not isinstance(value, dict):
        raise MessageError(f"array {name!r}: its description is not a JSON object")
    return value


def _naturals(value: object) -> bool:
    return isinstance(value, list) and all(type(item) is int and 0 <= item < 2**62 for item in value)
