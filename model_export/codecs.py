"""How numbers travel: weights in fewer bytes than float32 takes (``docs/codecs.md``). Needs NumPy alone.

Codecs, and what a coefficient of a kernel takes:

===========  =====  ==================================================================================
float32      4 B    as they are
float16      2 B    IEEE 754 half precision
bfloat16     2 B    the upper half of a float32
int8         1 B    codes -127 … 127, and a scale for each index of the last axis
clustersN    ½ B    an index into N values (N = 16: 4 bits), found by k-means (Han et al. 2016, section 3)
===========  =====  ==================================================================================

Only float32 variables of two or more dimensions are coded. The rest, biases and the parameters and statistics of
normalisation, is a few percent of a network, and the first to suffer: a moving variance that rounds to zero divides by
zero. It travels as it is.

The parts of a coded variable are those of `model_export.formats`, as tensors ``<variable>`` and ``<variable>:<part>``.
An update is coded as the difference to what its sender was sent, so that a code's error is a share of what training
changed, however little that is.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Optional

import numpy as np

from model_export import formats
from model_export.errors import TensorFileError
from model_export.k_means import k_means

__all__ = ["FAMILIES", "check", "coded_bytes", "decode", "encode", "family", "is_coded"]

FAMILIES = ("float32", "float16", "bfloat16", "int8", "clusters")
"""The codecs; clusters come with a number, as in ``clusters16``."""

Spec = tuple[tuple[int, ...], str]
"""Shape and dtype of a variable."""

_CLUSTERS = re.compile(r"clusters([0-9]{1,3})")
_MOST_CLUSTERS = 256


def check(codec: str) -> str:
    """Return the codec's name.

    Raises
    ------
    ValueError
        There is no such codec.
    """
    match = _CLUSTERS.fullmatch(codec)
    if match is not None and not 2 <= int(match[1]) <= _MOST_CLUSTERS:
        raise ValueError(f"codec {codec!r}: there can be 2 to {_MOST_CLUSTERS} clusters")
    if match is None and codec not in FAMILIES[:-1]:
        raise ValueError(f"there is no codec {codec!r}; there are {', '.join(FAMILIES[:-1])} and clusters16")
    return codec


def family(codec: str) -> str:
    """Return which of `FAMILIES` a codec is of."""
    return "clusters" if codec.startswith("clusters") else codec


def is_coded(shape: tuple[int, ...], dtype: str) -> bool:
    """Tell whether a variable is coded; otherwise it travels as it is."""
    return len(shape) >= 2 and dtype == "float32"


def coded_bytes(specs: Iterable[Spec], codec: str) -> int:
    """Return the bytes that variables of these shapes and dtypes take on the wire, all indices of clusters used.

    Raises
    ------
    ValueError
        There is no such codec.
    """
    check(codec)
    total = 0
    for shape, dtype in specs:
        count = math.prod(shape)
        if codec == "float32" or not is_coded(shape, dtype):
            total += count * np.dtype(dtype).itemsize
        elif codec == "int8":
            total += count + 4 * shape[-1]
        elif codec.startswith("clusters"):
            number = min(int(codec[len("clusters") :]), count)
            total += -(-count * max(1, (number - 1).bit_length()) // 8) + 4 * number
        else:
            total += 2 * count
    return total


def encode(
    arrays: Mapping[str, np.ndarray], codec: str, base: Optional[Mapping[str, np.ndarray]] = None
) -> dict[str, np.ndarray]:
    """Return the tensors that hold ``arrays`` on the wire, by name of variable or part.

    Parameters
    ----------
    arrays
        Finite values by variable path.
    codec
        How.
    base
        Coded variables travel as their difference to these; one that is not among them, as it is.

    Raises
    ------
    ValueError
        There is no such codec.
    """
    if check(codec) == "float32":
        return dict(arrays)
    base = base or {}
    stored: dict[str, np.ndarray] = {}
    for name, array in arrays.items():
        if not is_coded(array.shape, array.dtype.name):
            stored[name] = array
            continue
        values = array - base[name] if name in base else array
        for part, value in _parts(values, codec).items():
            stored[f"{name}:{part}" if part else name] = value
    return stored


def decode(
    stored: Mapping[str, np.ndarray], specs: Mapping[str, Spec], base: Optional[Mapping[str, np.ndarray]] = None
) -> dict[str, np.ndarray]:
    """Invert `encode`.

    Parameters
    ----------
    stored
        What came, by name of variable or part; trusted in nothing.
    specs
        The variables that may come.
    base
        What `encode` was given, except for float32, which has no differences.

    Returns
    -------
    dict
        By variable path, in the order of ``specs``; those that came. Variables that are not coded are as they came,
        their shapes unchecked.

    Raises
    ------
    TensorFileError
        A tensor belongs to no variable, or a variable's parts do not fit; the message names it.
    """
    base = base or {}
    plain = {name: array for name, array in stored.items() if name in specs and not is_coded(*specs[name])}
    coded = {name: array for name, array in stored.items() if name not in plain}
    shapes = {}
    for name in {owner for owner in (_owner(key, specs) for key in coded) if owner is not None}:
        if not is_coded(*specs[name]):
            raise TensorFileError(f"variable {name!r} came in parts, but is not coded")
        shapes[name] = specs[name][0]
    with np.errstate(over="ignore", invalid="ignore"):  # who decodes looks for values that are no numbers
        values = formats.decode_all(coded, shapes)
        return {
            name: plain[name] if name in plain else values[name] + base[name] if name in base else values[name]
            for name in specs
            if name in plain or name in values
        }


def _owner(key: str, names: Mapping[str, Spec]) -> Optional[str]:
    """Return the variable that a tensor belongs to: the longest beginning, up to a colon, that is one."""
    end = len(key)
    while end > 0 and key[:end] not in names:
        end = key.rfind(":", 0, end)
    return key[:end] if end > 0 else None


def _parts(values: np.ndarray, codec: str) -> dict[str, np.ndarray]:
    match = _CLUSTERS.fullmatch(codec)
    if match is None:
        return formats.encode(values, codec, per_channel=codec == "int8")
    if not values.size:
        return formats.encode(values, "float32")
    codebook, indices = k_means(values, int(match[1]))
    return formats.encode(values, "float32", codebook=codebook, indices=indices)
