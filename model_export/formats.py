"""Number formats, and arrays in as few bytes as their format needs. Needs NumPy alone.

A value on a format's grid comes back exactly. Formats:

=========  ==============================  =====================================================
float64    1 sign, 11 exponent, 52 bits    the reference trainer's
float32    1-8-23                          what TensorFlow Lite computes in
float24    1-8-15                          of some microcontrollers
bfloat16   1-8-7                           the upper half of a float32
float16    1-5-10                          IEEE 754 half precision
int8       codes -127 … 127 times a scale  one scale, or one for each index of the last axis
int4       codes -7 … 7 times a scale      two codes a byte
=========  ==============================  =====================================================

All rounding is to nearest, ties to even, as IEEE 754 has it. A scale is the largest magnitude divided by the largest
code, held in float24: then code times scale is exact in float32, so that what was decoded encodes to the
same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Optional

import numpy as np

from model_export.errors import TensorFileError

__all__ = [
    "FLOATS",
    "FORMATS",
    "INTEGERS",
    "decode",
    "decode_all",
    "encode",
    "on_grid",
    "pack_bits",
    "unpack_bits",
]

FLOATS = {"float32": (8, 23), "float24": (8, 15), "bfloat16": (8, 7), "float16": (5, 10)}
"""Exponent and fraction bits of the floating-point formats that fit into float32."""

INTEGERS = {"int8": 127, "int4": 7}
"""Largest code of the integer formats."""

FORMATS = (*FLOATS, *INTEGERS)

# Numbers that are packed at once, as their bits take a byte each meanwhile; of eight, so that a chunk ends with a byte.
_CHUNK = 2**16

_PART_DTYPES = {"bfloat16": "uint16", "float24": "uint8", "int4": "uint8"}

_SMALLEST_SCALE = np.float32(1e-30)


def on_grid(array: np.ndarray, format: str, *, per_channel: bool = False) -> np.ndarray:
    """Round to the format and return as float32.

    Parameters
    ----------
    array
        Of any shape, float32.
    format
        One of `FORMATS`.
    per_channel
        Whether an integer format has a scale for each index of the last axis.
    """
    array = np.asarray(array, np.float32)
    if format in INTEGERS:
        codes, scale = _codes(array, INTEGERS[format], per_channel)
        return np.asarray(codes.astype(np.float32) * scale)
    if format == "float16":
        with np.errstate(over="ignore"):
            return array.astype(np.float16).astype(np.float32)
    return _upper(array, 23 - FLOATS[format][1])


def _upper(array: np.ndarray, dropped: int) -> np.ndarray:
    """Round the lowest ``dropped`` bits of a float32's fraction away."""
    if not dropped:
        return array
    bits = np.ascontiguousarray(array).view(np.uint32).astype(np.uint64)
    kept = (bits + np.uint64((1 << (dropped - 1)) - 1) + ((bits >> np.uint64(dropped)) & np.uint64(1))).astype(
        np.uint32
    )
    rounded = (kept & np.uint32(0xFFFFFFFF ^ ((1 << dropped) - 1))).view(np.float32).reshape(array.shape)
    return np.asarray(np.where(np.isnan(array), array, rounded))


def _codes(array: np.ndarray, largest: int, per_channel: bool) -> tuple[np.ndarray, np.ndarray]:
    axes = tuple(range(array.ndim - 1)) if per_channel and array.ndim > 1 else None
    size = np.abs(array).max(axis=axes, initial=0.0)
    scale = np.maximum(_upper(np.asarray(size / np.float32(largest), np.float32), 8), _SMALLEST_SCALE)
    return np.clip(np.round(array / scale), -largest, largest).astype(np.int8), scale


def encode(
    array: np.ndarray,
    format: str,
    *,
    per_channel: bool = False,
    mask: Optional[np.ndarray] = None,
    codebook: Optional[np.ndarray] = None,
    indices: Optional[np.ndarray] = None,
) -> dict[str, np.ndarray]:
    """Return the narrow arrays that hold ``array``, each under the name of its part.

    Parameters
    ----------
    array
        float32; rounded to the format.
    format
        One of `FORMATS`.
    per_channel
        Whether an integer format has a scale for each index of the last axis.
    mask
        Boolean, of the same shape: where it is False, ``array`` is zero and takes one bit.
    codebook, indices
        The different values of ``array`` (of what ``mask`` keeps, in order) and the place of each among them.

    Returns
    -------
    dict
        The part "" holds values in a dtype of NumPy's own; "bfloat16" (uint16), "float24" (uint8, three a value, the
        lowest first) and "int4" (uint8, two codes a value, the first in the lower half) hold what NumPy has no dtype
        for; "scale" (float32) goes with integers; "mask" (uint8) holds eight places a byte, the first in the lowest
        bit; "indices" (uint8) the packed places in "codebook". Values are flat where there is a mask or a packing.
    """
    array = np.asarray(array, np.float32)
    parts: dict[str, np.ndarray] = {}
    if mask is not None:
        parts["mask"] = np.packbits(mask.ravel(), bitorder="little")
    if codebook is not None and indices is not None:
        inner = encode(codebook, format)
        parts.update({f"codebook{':' + part if part else ''}": value for part, value in inner.items()})
        parts["indices"] = pack_bits(indices.ravel(), _width(len(codebook)))
        return parts
    if format in INTEGERS:
        codes, scale = _codes(array, INTEGERS[format], per_channel)
        kept = codes if mask is None else codes[mask]
        if format == "int4":
            parts["int4"] = pack_bits(kept.ravel().view(np.uint8) & 15, 4)
        else:
            parts[""] = kept
        parts["scale"] = scale
        return parts
    kept = array if mask is None else array[mask]
    if format == "float32":
        parts[""] = kept
    elif format == "float16":
        parts[""] = on_grid(kept, "float16").astype(np.float16)
    else:
        words = np.ascontiguousarray(on_grid(kept, format)).view(np.uint32).reshape(kept.shape)
        if format == "bfloat16":
            parts["bfloat16"] = (words >> np.uint32(16)).astype(np.uint16)
        else:
            parts["float24"] = words.astype("<u4").ravel().view(np.uint8).reshape(-1, 4)[:, 1:].copy()
    return parts


def decode(parts: Mapping[str, np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
    """Invert `encode`; ``float32`` of ``shape``.

    Raises
    ------
    TensorFileError
        The parts do not belong together, or do not fit the shape.
    """
    count = int(np.prod(shape, dtype=np.int64))
    mask = None
    if "mask" in parts:
        if parts["mask"].dtype != np.uint8 or parts["mask"].size != (count + 7) // 8:
            raise TensorFileError(f"a mask of {parts['mask'].size} bytes does not fit shape {list(shape)}")
        mask = np.unpackbits(parts["mask"].ravel(), bitorder="little")[:count].astype(bool)
    kept = count if mask is None else int(mask.sum())
    values = _values(parts, kept)
    if values.size != kept:
        raise TensorFileError(f"{values.size} values do not fit shape {list(shape)}, which takes {kept}")
    if mask is None:
        dense = values.reshape(shape)
    else:
        dense = np.zeros(count, np.float32)
        dense[mask] = values.ravel()
        dense = dense.reshape(shape)
    if "scale" in parts:
        scale = parts["scale"]
        if scale.dtype != np.float32 or scale.shape not in ((), shape[-1:]):
            raise TensorFileError(f"scales of shape {list(scale.shape)} do not fit shape {list(shape)}")
        dense = dense * scale
    return dense


def _values(parts: Mapping[str, np.ndarray], count: int) -> np.ndarray:
    """Return the values that a mask has kept, or all."""
    if "indices" in parts:
        prefix = "codebook"
        inner = {name[len(prefix) :].lstrip(":"): part for name, part in parts.items() if name.startswith(prefix)}
        size = next((part.shape[0] for name, part in inner.items() if name != "scale" and part.ndim), 0)
        codebook = decode(inner, (size,))
        indices = unpack_bits(parts["indices"], _width(size), count)
        if size == 0 or (indices.size and int(indices.max()) >= size):
            raise TensorFileError(f"an index lies outside the codebook of {size} values")
        return np.asarray(codebook[indices])
    for part, dtype in _PART_DTYPES.items():
        if part in parts and parts[part].dtype != dtype:
            raise TensorFileError(f"its part {part!r} is {parts[part].dtype}, not {dtype}")
    if "bfloat16" in parts:
        return (parts["bfloat16"].astype(np.uint32) << np.uint32(16)).view(np.float32)
    if "float24" in parts:
        triples = parts["float24"].reshape(-1, 3)
        words = np.zeros((len(triples), 4), np.uint8)
        words[:, 1:] = triples
        return words.reshape(-1).view("<u4").astype(np.uint32).view(np.float32)
    if "int4" in parts:
        nibbles = unpack_bits(parts["int4"], 4, count).astype(np.int8)
        return np.where(nibbles > 7, nibbles - 16, nibbles).astype(np.float32)
    if "" not in parts or parts[""].dtype.name not in ("float32", "float16", "int8"):
        raise TensorFileError("no values among the parts " + ", ".join(sorted(parts)))
    return parts[""].astype(np.float32)


def decode_all(stored: Mapping[str, np.ndarray], shapes: Mapping[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """Decode a file of tensors whose parts are stored as ``<name>`` and ``<name>:<part>``.

    Raises
    ------
    TensorFileError
        A tensor is missing, is not wanted, or does not fit its shape; the message names it.
    """
    grouped: dict[str, dict[str, np.ndarray]] = {name: {} for name in shapes}
    for key, array in stored.items():
        if key in grouped and array.dtype == np.float32 and array.shape == shapes[key]:
            grouped[key][""] = array
            continue
        name = next((n for n in _prefixes(key) if n in grouped), None)
        if name is None:
            raise TensorFileError(f"tensor {key!r} is not among the variables")
        grouped[name][key[len(name) + 1 :]] = array
    decoded = {}
    for name, parts in grouped.items():
        if not parts:
            raise TensorFileError(f"variable {name!r} is missing")
        try:
            decoded[name] = decode(parts, shapes[name])
        except (TensorFileError, ValueError, IndexError) as error:
            raise TensorFileError(f"variable {name!r}: {error}") from None
    return decoded


def _prefixes(key: str) -> list[str]:
    """Return ``key`` and what stands before each of its colons, the longest first."""
    ends = [len(key), *(i for i in range(len(key) - 1, -1, -1) if key[i] == ":")]
    return [key[:end] for end in ends]


def pack_bits(values: np.ndarray, width: int) -> np.ndarray:
    """Pack natural numbers of ``width`` bits without gaps, the lowest bit first; uint8."""
    places = np.arange(width, dtype=np.uint16)
    packed = [np.zeros(0, np.uint8)]
    for start in range(0, len(values), _CHUNK):
        bits = (values[start : start + _CHUNK].astype(np.uint16)[:, None] >> places) & np.uint16(1)
        packed.append(np.packbits(bits.astype(np.uint8).ravel(), bitorder="little"))
    return np.concatenate(packed)


def unpack_bits(packed: np.ndarray, width: int, count: int) -> np.ndarray:
    """Invert `pack_bits`; uint8.

    Raises
    ------
    TensorFileError
        ``packed`` holds another number of values.
    """
    if packed.dtype != np.uint8 or packed.size != (count * width + 7) // 8:
        raise TensorFileError(f"{packed.size} bytes do not hold {count} numbers of {width} bits")
    factors = np.uint8(1) << np.arange(width, dtype=np.uint8)
    values = np.empty(count, np.uint8)
    for start in range(0, count, _CHUNK):
        part = packed.ravel()[start * width // 8 : (start + _CHUNK) * width // 8 + 1]
        chunk = values[start : start + _CHUNK]
        bits = np.unpackbits(part, bitorder="little")[: len(chunk) * width]
        chunk[:] = (bits.reshape(len(chunk), width) * factors).sum(axis=1, dtype=np.uint8)
    return values


def _width(size: int) -> int:
    """Bits of an index into ``size`` values."""
    return max(1, int(size - 1).bit_length())
