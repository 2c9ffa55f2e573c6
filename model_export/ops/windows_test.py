"""`gather` and `scatter` against loops, and against each other."""

from __future__ import annotations

import numpy as np
import pytest

from model_export.ops.windows import Window, gather, scatter

CASES = [
    # size, kernel, strides, padding
    ((5, 7), (3, 3), (1, 1), "same"),
    ((5, 7), (3, 2), (1, 1), "valid"),
    ((6, 8), (2, 2), (2, 2), "valid"),
    ((7, 9), (2, 2), (2, 2), "valid"),
    ((7, 9), (3, 3), (2, 2), "same"),
    ((8, 6), (3, 3), (2, 2), "same"),
    ((8, 9), (1, 1), (2, 3), "valid"),
    ((9, 10), (2, 3), (3, 2), "same"),
    ((11, 5), (5, 4), (2, 3), "same"),
    ((1, 1), (3, 3), (2, 2), "same"),
]


@pytest.mark.parametrize(("size", "kernel", "strides", "padding"), CASES)
def test_gather_sees_what_a_loop_sees(
    size: tuple[int, int], kernel: tuple[int, int], strides: tuple[int, int], padding: str
) -> None:
    window = Window.of(size, kernel, strides, padding)
    x = np.random.default_rng(0).normal(size=(2, *size, 3)).astype(np.float32)
    before, after = window.before, [n + k for n, k in zip(size, kernel)]
    padded = np.full((2, size[0] + 2 * after[0], size[1] + 2 * after[1], 3), 7.0, np.float32)
    padded[:, before[0] : before[0] + size[0], before[1] : before[1] + size[1]] = x
    for (i, j), seen in zip(window.taps, gather(x, window, fill=7.0)):
        rows = np.arange(window.output[0]) * strides[0] + i
        columns = np.arange(window.output[1]) * strides[1] + j
        np.testing.assert_array_equal(seen, padded[:, rows][:, :, columns])


@pytest.mark.parametrize(("size", "kernel", "strides", "padding"), CASES)
def test_scatter_is_the_adjoint_of_gather(
    size: tuple[int, int], kernel: tuple[int, int], strides: tuple[int, int], padding: str
) -> None:
    window = Window.of(size, kernel, strides, padding)
    random = np.random.default_rng(0)
    x = random.integers(-9, 9, (2, *size, 3)).astype(np.float32)
    parts = [random.integers(-9, 9, (2, *window.output, 3)).astype(np.float32) for _ in window.taps]
    forward = sum(float(np.sum(seen * part)) for seen, part in zip(gather(x, window), parts))
    back = np.asarray(scatter(parts, window))
    assert back.shape == x.shape
    assert float((back * x).sum()) == forward
