"""Convolution by matrix products.

A convolution of stride 1 shifts the columns of the input and the rows of the output: the input is concatenated with
itself once for each column of the kernel, one product gives every row of the kernel its own outputs, and these are
added up, shifted by a row each. That needs ``kw + kh`` copies where im2col needs ``kh·kw``. The input gradient is
the same operation with the kernel turned around, and the kernel gradient is one product of the two concatenations.
Where there are few channels, two neighbouring pixels are taken as one with twice the channels.

Convolutions of larger stride and dilated ones are im2col: a product of the gathered taps.
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from model_export.ops.matmul import correlate_rows, matmul
from model_export.ops.tensor import Tensor
from model_export.ops.windows import Window, backwards, concat, gather, pad_or_crop, scatter, turned_around

__all__ = ["convolution", "grouped_convolution"]

_FEW_CHANNELS = 32

Gradient = Callable[[Tensor], tuple[Tensor, Tensor]]


def convolution(x: Tensor, kernel: Tensor, window: Window, form: str = "auto") -> tuple[Tensor, Gradient]:
    """Convolve ``x [N, H, W, I]`` with ``kernel [kh, kw, I, O]``.

    Parameters
    ----------
    x, kernel
        Image and kernel.
    window
        The geometry.
    form
        "taps": im2col, the only form for strides and dilations. "shifts": columns shifted before the product, rows
        after it. "pairs": shifts with two pixels at once where the width is even. "auto": pairs where there are few
        channels, shifts otherwise.

    Returns
    -------
    output
        ``[N, OH, OW, O]``.
    gradient
        Takes the output's gradient; returns those of ``x`` and ``kernel``.
    """
    if form != "taps" and window.strides == (1, 1) and window.dilation == (1, 1) and window.kernel != (1, 1):
        return _by_shifts(x, kernel, window, _pixels_at_once(window, kernel.shape[2] + kernel.shape[3], form))
    return _by_taps(x, kernel, window)


def grouped_convolution(
    x: Tensor, kernel: Tensor, window: Window, groups: int, form: str = "auto"
) -> tuple[Tensor, Gradient]:
    """Convolve each of ``groups`` slices of the channels with its part of ``kernel [kh, kw, I / groups, O]``."""
    if groups == 1:
        return convolution(x, kernel, window, form)
    inputs, outputs = kernel.shape[2], kernel.shape[3] // groups
    results, gradients = [], []
    for group in range(groups):
        part = x[..., group * inputs : (group + 1) * inputs]
        y, gradient = convolution(part, kernel[..., group * outputs : (group + 1) * outputs], window, form)
        results.append(y)
        gradients.append(gradient)

    def backward(dy: Tensor) -> tuple[Tensor, Tensor]:
        pairs = [gradient(dy[..., g * outputs : (g + 1) * outputs]) for g, gradient in enumerate(gradients)]
        return tf.concat([dx for dx, _ in pairs], axis=-1), tf.concat([dkernel for _, dkernel in pairs], axis=-1)

    return tf.concat(results, axis=-1), backward


def _by_taps(x: Tensor, kernel: Tensor, window: Window) -> tuple[Tensor, Gradient]:
    samples = x.shape[0]
    height, width, inputs, outputs = kernel.shape
    depth = height * width * inputs
    seen = gather(x, window)
    columns = concat(seen, axis=-1)
    flat_kernel = tf.reshape(kernel, [depth, outputs])
    places = samples * window.output[0] * window.output[1]
    y = tf.reshape(matmul(tf.reshape(columns, [places, depth]), flat_kernel), [samples, *window.output, outputs])

    def gradient(dy: Tensor) -> tuple[Tensor, Tensor]:
        flat = matmul(tf.reshape(dy, [places, outputs]), flat_kernel, transpose_b=True)
        dcolumns = tf.reshape(flat, [samples, *window.output, depth])
        parts = (
            [dcolumns[..., t * inputs : (t + 1) * inputs] for t in range(height * width)]
            if depth > inputs
            else [dcolumns]
        )
        dkernel = correlate_rows(columns, dy)
        return scatter(parts, window), tf.reshape(dkernel, kernel.shape)

    return y, gradient


def _by_shifts(x: Tensor, kernel: Tensor, window: Window, pixels: int) -> tuple[Tensor, Gradient]:
    height, width = kernel.shape[:2]
    y, _ = _correlate(x, tf.transpose(kernel, [1, 2, 0, 3]), window.before, window.output, pixels)

    def gradient(dy: Tensor) -> tuple[Tensor, Tensor]:
        turned = tf.transpose(turned_around(kernel), [1, 3, 0, 2])
        before = (height - 1 - window.before[0], width - 1 - window.before[1])
        dx, shifted = _correlate(dy, turned, before, window.size, pixels)
        rows = window.size[0] + height - 1
        tall = pad_or_crop(x, (height - 1, 0), (rows + height - 1, window.size[1]))
        product = _correlate_shifts(tall, shifted, height, width, pixels)
        # The columns of the gradient were shifted in the order of the turned kernel.
        dkernel = backwards(tf.transpose(product, [0, 2, 1, 3]), axis=1)
        return dx, dkernel

    return y, gradient


def _pixels_at_once(window: Window, channels: int, form: str) -> int:
    """Return how many neighbouring pixels make one row of the matrix product.

    With few channels, copying short rows takes longer than multiplying. Two pixels at once halve the number of copied
    rows and save a third of their bytes, for a third more multiplications (at a width of three).
    """
    even = window.kernel[1] % 2 == 1 and window.output[1] % 2 == 0 and window.size[1] % 2 == 0
    wanted = form == "pairs" or (form == "auto" and channels <= _FEW_CHANNELS)
    return 2 if even and wanted else 1


def _correlate(
    x: Tensor, kernel: Tensor, before: tuple[int, int], output: tuple[int, int], pixels: int
) -> tuple[Tensor, Tensor]:
    """Correlate at stride 1 with ``kernel [kw, I, kh, O]``.

    Returns
    -------
    result
        ``[N, *output, O]``.
    shifted
        ``x`` beside its shifted selves, ``[N, rows, columns / pixels, (kw + pixels - 1) · I]``.
    """
    samples = x.shape[0]
    width, inputs, height, outputs = kernel.shape
    rows, blocks, seen = output[0] + height - 1, output[1] // pixels, width + pixels - 1
    x = pad_or_crop(x, before, (rows, output[1] + width - 1))
    x = tf.reshape(x, [samples, rows, (output[1] + width - 1) // pixels, pixels * inputs])
    shifted = concat([x[:, :, j : j + blocks] for j in range(seen // pixels)], axis=-1)
    flat = tf.reshape(shifted, [samples * rows * blocks, seen * inputs])
    if pixels == 1:
        product = matmul(flat, tf.reshape(kernel, [width * inputs, height * outputs]))
        product = tf.reshape(product, [samples, rows, blocks, height * outputs])
        total = product[:, : output[0], :, :outputs]
        for i in range(1, height):
            total = total + product[:, i : i + output[0], :, i * outputs : (i + 1) * outputs]
        return total, shifted
    none = [[0, 0]] * 3
    # For each pixel of a block, the kernel where that pixel sees it.
    wide = tf.concat([tf.pad(kernel, [[p, pixels - 1 - p], *none]) for p in range(pixels)], axis=-1)
    total = None
    for i in range(height):
        product = matmul(flat, tf.reshape(wide[:, :, i : i + 1], [seen * inputs, pixels * outputs]))
        lines = tf.reshape(product, [samples, rows * blocks, pixels * outputs])
        lines = lines[:, i * blocks : (i + output[0]) * blocks]
        total = lines if total is None else total + lines
    return tf.reshape(total, [samples, *output, outputs]), shifted


def _correlate_shifts(tall: Tensor, shifted: Tensor, height: int, width: int, pixels: int) -> Tensor:
    """Correlate the rows of ``tall [N, rows + kh - 1, W, I]`` with what is ``shifted`` along columns.

    Returns
    -------
    Tensor
        ``[kh, I, kw, O]``, the columns in the order in which they were shifted.
    """
    samples, tall_rows, _, inputs = tall.shape
    _, rows, blocks, depth = shifted.shape
    outputs = depth // (width + pixels - 1)
    lines = tf.reshape(tall, [samples, tall_rows * blocks, pixels * inputs])
    steps = [slice(i * blocks, (i + rows) * blocks) for i in range(height)]
    shifted = tf.reshape(shifted, [samples, rows * blocks, depth])
    if height * pixels * inputs <= rows * blocks:
        # Channels first, so that shifting by a row copies long lines, and the product need not transpose them.
        lines = tf.transpose(lines, [0, 2, 1])
        products = tf.matmul(concat([lines[:, :, step] for step in steps], axis=1), shifted)
        product = tf.reduce_sum(products, axis=0)
    else:
        # One product for each sample would be larger than what it is made from.
        product = correlate_rows(concat([lines[:, step] for step in steps], axis=-1), shifted)
    product = tf.reshape(product, [height, pixels, inputs, width + pixels - 1, outputs])
    # Each pixel of a block saw the columns from its own place on.
    total = None
    for p in range(pixels):
        part = product[:, p : p + 1, :, p : p + width]
        total = part if total is None else total + part
    return tf.reshape(total, [height, inputs, width, outputs])
