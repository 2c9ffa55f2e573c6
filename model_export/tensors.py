"""Named tensors as bytes: the safetensors format, read and written without a copy of the data.

The format: https://github.com/huggingface/safetensors. A client has to read it from the network, so every length and
offset is checked before use, and the reader needs NumPy alone. The tests hold it against the reference library.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Union

import numpy as np

from model_export.errors import TensorFileError
from model_export.files import write_atomically

__all__ = ["load", "pack", "packed_bytes", "save", "unpack"]

_MAX_HEADER_BYTES = 16 * 2**20
_NAME_OF_DTYPE = {
    "float64": "F64",
    "float32": "F32",
    "float16": "F16",
    "int64": "I64",
    "int32": "I32",
    "int16": "I16",
    "int8": "I8",
    "uint64": "U64",
    "uint32": "U32",
    "uint16": "U16",
    "uint8": "U8",
    "bool": "BOOL",
}
_DTYPE_OF_NAME = {name: np.dtype(dtype).newbyteorder("<") for dtype, name in _NAME_OF_DTYPE.items()}


def pack(tensors: Mapping[str, np.ndarray]) -> bytearray:
    """Return the bytes of a safetensors file.

    Parameters
    ----------
    tensors
        Arrays by name, in the order they are to be laid out.

    Raises
    ------
    TypeError
        An array has a dtype that the format cannot hold.
    """
    text = _header(tensors)
    end = sum(array.nbytes for array in tensors.values())
    out = bytearray(8 + len(text) + end)
    out[:8] = len(text).to_bytes(8, "little")
    out[8 : 8 + len(text)] = text
    body = np.frombuffer(out, dtype=np.uint8, offset=8 + len(text))
    start = 0
    for array in tensors.values():
        little = array.astype(array.dtype.newbyteorder("<"), copy=False)
        destination = body[start : start + array.nbytes].view(little.dtype)
        destination.reshape(array.shape)[...] = little
        start += array.nbytes
    return out


def packed_bytes(tensors: Mapping[str, np.ndarray]) -> int:
    """Return how many bytes `pack` would return.

    Raises
    ------
    TypeError
        An array has a dtype that the format cannot hold.
    """
    return 8 + len(_header(tensors)) + sum(array.nbytes for array in tensors.values())


def _header(tensors: Mapping[str, np.ndarray]) -> bytes:
    header: dict[str, object] = {}
    end = 0
    for name, array in tensors.items():
        if array.dtype.name not in _NAME_OF_DTYPE:
            raise TypeError(f"tensor {name!r}: dtype {array.dtype} cannot be stored")
        start, end = end, end + array.nbytes
        header[name] = {
            "dtype": _NAME_OF_DTYPE[array.dtype.name],
            "shape": list(array.shape),
            "data_offsets": [start, end],
        }
    text = json.dumps(header, separators=(",", ":")).encode()
    return text + b" " * (-len(text) % 8)


def unpack(data: Union[bytes, bytearray, memoryview]) -> dict[str, np.ndarray]:
    """Invert `pack`. The arrays are views of ``data``: read-only where ``data`` is.

    Raises
    ------
    TensorFileError
        The bytes are not a well-formed safetensors file.
    """
    view = memoryview(data).cast("B")
    size = len(view)
    if size < 8:
        raise TensorFileError(f"a safetensors file has at least 8 bytes, this has {size}")
    header_bytes = int.from_bytes(view[:8], "little")
    if header_bytes > min(_MAX_HEADER_BYTES, size - 8):
        raise TensorFileError(f"header of {header_bytes} bytes in a file of {size}: truncated or not safetensors")
    try:
        header = json.loads(bytes(view[8 : 8 + header_bytes]))
    except (ValueError, RecursionError) as error:
        raise TensorFileError(f"the header is not JSON: {error}") from None
    if not isinstance(header, dict):
        raise TensorFileError("the header is not a JSON object")
    body = view[8 + header_bytes :]
    header.pop("__metadata__", None)
    tensors = {name: _tensor(name, entry, body) for name, entry in header.items()}
    if sum(array.nbytes for array in tensors.values()) != len(body):
        raise TensorFileError(f"tensors do not fill the {len(body)} bytes of data: truncated or padded")
    return tensors


def _tensor(name: str, entry: object, body: memoryview) -> np.ndarray:
    if not isinstance(entry, dict) or not {"dtype", "shape", "data_offsets"} <= set(entry):
        raise TensorFileError(f"tensor {name!r}: entry without dtype, shape and data_offsets")
    dtype = _DTYPE_OF_NAME.get(str(entry["dtype"]))
    if dtype is None:
        raise TensorFileError(f"tensor {name!r}: unknown dtype {entry['dtype']!r}")
    shape, offsets = entry["shape"], entry["data_offsets"]
    if not _naturals(shape) or not _naturals(offsets) or len(offsets) != 2:
        raise TensorFileError(f"tensor {name!r}: shape {shape!r} or offsets {offsets!r} are not natural numbers")
    start, end = offsets
    count = 1
    for extent in shape:
        count *= extent
    if not start <= end <= len(body) or end - start != count * dtype.itemsize:
        raise TensorFileError(f"tensor {name!r}: offsets {start}..{end} do not fit shape {shape} of {dtype}")
    return np.ndarray(shape, dtype, body, start)


def _naturals(value: object) -> bool:
    return isinstance(value, list) and all(type(item) is int and item >= 0 for item in value)


def save(path: Union[str, os.PathLike[str]], tensors: Mapping[str, np.ndarray]) -> None:
    """Write a safetensors file; it is there whole or not at all."""
    write_atomically(Path(path), pack(tensors))


def load(path: Union[str, os.PathLike[str]]) -> dict[str, np.ndarray]:
    """Read a safetensors file into writable arrays.

    Raises
    ------
    TensorFileError
        The file is not a well-formed safetensors file; the message names it.
    """
    try:
        return unpack(bytearray(Path(path).read_bytes()))
    except TensorFileError as error:
        raise TensorFileError(f"{path}: {error}") from None
