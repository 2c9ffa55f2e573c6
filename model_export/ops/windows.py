"""Sliding windows over images, as slices and pads of static shape.

A window of ``kh × kw`` taps slides over ``[N, H, W, C]``. `gather` returns for each tap the image that it sees;
`scatter` is its adjoint. Convolutions by matrix product and all pooling are built from these two.

Strides are handled by phases: the image is viewed as ``[N, H/s, s, W/s, s·C]``, where every tap is a slice of unit
stride. XNNPACK has no strided slices.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from model_export.ops.tensor import Tensor

__all__ = ["Window", "backwards", "concat", "dilate", "gather", "pad_or_crop", "scatter", "turned_around", "undilate"]

Pair = tuple[int, int]

_MOST_CONCATENATED = 4
_SHORT_PIXEL = 16


@dataclass(frozen=True)
class Window:
    """Geometry of a window; every pair is (rows, columns).

    Attributes
    ----------
    size
        Size of the image.
    kernel, strides, dilation
        Extent of the window from its first tap to its last, its stride, and the distance of its taps.
    before, after
        Padding before and after the image.
    output
        Number of places.
    padding
        How TensorFlow calls the padding, "SAME" or "VALID".
    """

    size: Pair
    kernel: Pair
    strides: Pair
    before: Pair
    after: Pair
    output: Pair
    padding: str
    dilation: Pair = (1, 1)

    @classmethod
    def of(cls, size: Pair, kernel: Pair, strides: Pair, padding: str, dilation: Pair = (1, 1)) -> Window:
        """Geometry for Keras's ``padding``, "same" or "valid", and a kernel of so many taps."""
        rows, columns = ((k - 1) * d + 1 for k, d in zip(kernel, dilation))
        axes = [_axis(n, k, s, padding) for n, k, s in zip(size, (rows, columns), strides)]
        (top, bottom, down), (left, right, along) = axes
        before, after = (top, left), (bottom, right)
        return cls(size, (rows, columns), strides, before, after, (down, along), padding.upper(), dilation)

    @property
    def blocks(self) -> Pair:
        """Number of strides that cover everything the window sees."""
        rows, columns = (o + (k - 1) // s for o, k, s in zip(self.output, self.kernel, self.strides))
        return rows, columns

    @property
    def pooled(self) -> np.ndarray:
        """Number of taps that see the image and not its padding, ``[1, OH, OW, 1]``."""
        axes = zip(self.size, self.kernel, self.strides, self.before, self.output)
        rows, columns = (
            np.array([min(o * s - b + k, n) - max(o * s - b, 0) for o in range(places)], np.float32)
            for n, k, s, b, places in axes
        )
        return np.outer(rows, columns)[None, :, :, None]

    @property
    def taps(self) -> list[Pair]:
        """Places within the window, row by row."""
        down, right = self.dilation
        return [(i, j) for i in range(0, self.kernel[0], down) for j in range(0, self.kernel[1], right)]


def _axis(size: int, kernel: int, stride: int, padding: str) -> tuple[int, int, int]:
    if padding == "valid":
        return 0, 0, (size - kernel) // stride + 1
    output = -(-size // stride)
    total = max((output - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2, output


def pad_or_crop(x: Tensor, before: Pair, size: Pair, fill: float = 0.0) -> Tensor:
    """Move the image by ``before`` and pad or crop it at its end to ``size``; ``[N, *size, C]``."""
    _, height, width, _ = x.shape
    rows = max(min(height, size[0] - before[0]), 0)
    columns = max(min(width, size[1] - before[1]), 0)
    top, left = (max(-b, 0) for b in before)
    if (top, left, rows, columns) != (0, 0, height, width):
        x = x[:, top:rows, left:columns, :]
    _, height, width, _ = x.shape
    top, left = (max(b, 0) for b in before)
    bottom, right = size[0] - top - height, size[1] - left - width
    if any((top, bottom, left, right)):
        x = _pad(x, (top, bottom), (left, right), fill)
    return x


def _pad(x: Tensor, rows: Pair, columns: Pair, fill: float) -> Tensor:
    samples, height, width, channels = x.shape
    if channels > _SHORT_PIXEL:
        return tf.pad(x, [[0, 0], rows, columns, [0, 0]], constant_values=fill)
    # XNNPACK pads pixel by pixel; whole lines are many times as fast.
    lines = tf.reshape(x, [samples, height, width * channels])
    ends = [count * channels for count in columns]
    lines = tf.pad(lines, [[0, 0], rows, ends], constant_values=fill)
    return tf.reshape(lines, [samples, height + sum(rows), width + sum(columns), channels])


def concat(parts: Sequence[Tensor], axis: int) -> Tensor:
    """Concatenate any number of tensors; XNNPACK takes up to four at once, in newer runtimes five."""
    while len(parts) > 1:
        groups = -(-len(parts) // _MOST_CONCATENATED)
        size = -(-len(parts) // groups)
        parts = [_concat(parts[i : i + size], axis) for i in range(0, len(parts), size)]
    return parts[0]


def _concat(parts: Sequence[Tensor], axis: int) -> Tensor:
    return tf.concat(parts, axis=axis) if len(parts) > 1 else parts[0]


def gather(x: Tensor, window: Window, fill: float = 0.0) -> list[Tensor]:
    """Return what each tap sees.

    Parameters
    ----------
    x
        ``[N, H, W, C]``.
    window
        The geometry.
    fill
        Value of the padding.

    Returns
    -------
    list
        One ``[N, OH, OW, C]`` for each tap, row by row.
    """
    samples, channels = x.shape[0], x.shape[-1]
    (down, right), (blocks_h, blocks_w), (rows, columns) = window.strides, window.blocks, window.output
    x = pad_or_crop(x, window.before, (blocks_h * down, blocks_w * right), fill)
    if (down, right) == (1, 1):
        return [x[:, i : i + rows, j : j + columns, :] for i, j in window.taps]
    phases = tf.reshape(x, [samples, blocks_h, down, blocks_w, right * channels])
    seen = []
    for i, j in window.taps:
        row, column, phase_h, phase_w = i // down, j // right, i % down, j % right * channels
        tap = phases[
            :, row : row + rows, phase_h : phase_h + 1, column : column + columns, phase_w : phase_w + channels
        ]
        seen.append(tf.reshape(tap, [samples, rows, columns, channels]))
    return seen


def scatter(parts: Sequence[Tensor], window: Window) -> Tensor:
    """Add what each tap gives back at the place where it looked: the adjoint of `gather`.

    Parameters
    ----------
    parts
        One ``[N, OH, OW, C]`` for each tap, row by row.
    window
        The geometry.

    Returns
    -------
    Tensor
        ``[N, H, W, C]``.
    """
    (down, right), (blocks_h, blocks_w) = window.strides, window.blocks
    phases: dict[Pair, Tensor] = {}
    for (i, j), part in zip(window.taps, parts):
        part = pad_or_crop(part, (i // down, j // right), (blocks_h, blocks_w))
        phase = (i % down, j % right)
        phases[phase] = phases[phase] + part if phase in phases else part
    image = _interleave(phases, window.strides)
    top, left = window.before
    return pad_or_crop(image, (-top, -left), window.size)


def _interleave(phases: dict[Pair, Tensor], strides: Pair) -> Tensor:
    """Lay out images ``[N, BH, BW, C]``, one for each phase, as one ``[N, BH·s, BW·s, C]``; absent phases are zero."""
    down, right = strides
    if strides == (1, 1):
        return phases[0, 0]
    samples, blocks_h, blocks_w, channels = phases[0, 0].shape
    rows, columns = (1 + max(axis) for axis in zip(*phases))
    lines = []
    for a in range(rows):
        line = [phases[a, b] for b in range(columns)]
        joined = tf.concat(line, axis=-1) if columns > 1 else line[0]
        lines.append(tf.reshape(joined, [samples * blocks_h, 1, blocks_w, columns * channels]))
    image = tf.concat(lines, axis=1) if rows > 1 else lines[0]
    if (rows, columns) != strides:
        image = tf.pad(image, [[0, 0], [0, down - rows], [0, 0], [0, (right - columns) * channels]])
    return tf.reshape(image, [samples, blocks_h * down, blocks_w * right, channels])


def turned_around(kernel: Tensor) -> Tensor:
    """Reverse the rows and the columns of ``kernel [kh, kw, I, O]``."""
    return backwards(backwards(kernel, axis=0), axis=1)


def backwards(x: Tensor, axis: int) -> Tensor:
    """Reverse a short axis. XNNPACK has no REVERSE_V2, and one op of another kind cuts a step in two."""
    size = x.shape[axis]
    if size == 1:
        return x
    before = [slice(None)] * axis
    return concat([x[(*before, slice(i, i + 1))] for i in reversed(range(size))], axis=axis)


def dilate(kernel: Tensor, dilation: Pair) -> Tensor:
    """Put zeros between the taps of ``kernel [kh, kw, C, 1]``."""
    height, width, channels, _ = kernel.shape
    down, right = dilation
    lines = tf.pad(tf.reshape(kernel, [height * width, 1, channels]), [[0, 0], [0, right - 1], [0, 0]])
    lines = tf.reshape(lines, [height, 1, width * right * channels])
    dense = tf.reshape(tf.pad(lines, [[0, 0], [0, down - 1], [0, 0]]), [height * down, width * right, channels])
    dense = dense[: (height - 1) * down + 1, : (width - 1) * right + 1]
    return tf.reshape(dense, [*dense.shape, 1])


def undilate(dense: Tensor, dilation: Pair) -> Tensor:
    """Take the taps out of a kernel with zeros between them: the adjoint of `dilate`."""
    height, width = dense.shape[:2]
    down, right = dilation
    lines = tf.concat([dense[i : i + 1] for i in range(0, height, down)], axis=0) if down > 1 else dense
    return tf.concat([lines[:, j : j + 1] for j in range(0, width, right)], axis=1) if right > 1 else lines
