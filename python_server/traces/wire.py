"""The wire format of Protocol Buffers (protobuf.dev/programming-guides/encoding), as far as reading a few fields takes.

Own, because the messages of Perfetto's traces are hundreds, of which four are of use here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Union

from python_server.errors import TraceError

__all__ = ["fields", "signed"]

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def fields(data: memoryview) -> Iterator[tuple[int, Union[int, memoryview]]]:
    """Yield the number and the value of each field of a message: an integer, or the bytes of what has a length.

    Raises
    ------
    TraceError
        It is no message, or it was cut off.
    """
    position, end = 0, len(data)
    while position < end:
        tag, position = _varint(data, position)
        number, kind = tag >> 3, tag & 7
        if kind == _VARINT:
            value, position = _varint(data, position)
            yield number, value
            continue
        if kind == _BYTES:
            size, position = _varint(data, position)
        elif kind in (_FIXED64, _FIXED32):
            size = 8 if kind == _FIXED64 else 4
        else:
            raise TraceError(f"it is no trace of Perfetto, or damaged: wire type {kind} at byte {position}")
        if number == 0 or position + size > end:
            raise TraceError(
                f"it is no trace of Perfetto, or cut off: a field of {size} bytes at byte {position} of {end}"
            )
        piece = data[position : position + size]
        position += size
        yield number, piece if kind == _BYTES else int.from_bytes(piece, "little")


def signed(value: Union[int, memoryview]) -> int:
    """Return an ``int64`` field's value."""
    if not isinstance(value, int):
        raise TraceError("it is no trace of Perfetto: a number is missing where one has to be")
    return value - (1 << 64) if value >= 1 << 63 else value


def _varint(data: memoryview, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if position >= len(data) or shift > 63:
            raise TraceError(f"it is no trace of Perfetto, or cut off at byte {position}")
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
