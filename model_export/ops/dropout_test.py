"""The dropout mask against its definition in plain integers, and its statistics."""

from __future__ import annotations

import math
import zlib

import numpy as np
import pytest
import tensorflow as tf

from model_export.ops.dropout import PRIME, dropout_mask


def _mask(shape: tuple[int, ...], rate: float, seed: int, name: str = "dropout") -> np.ndarray:
    return np.asarray(dropout_mask(shape, rate, tf.constant(seed, tf.int32), name))


def _by_definition(shape: tuple[int, ...], rate: float, seed: int, name: str) -> np.ndarray:
    def cube(value: int, key: int) -> int:
        return (value + key) ** 3 % PRIME

    salt, low, high = zlib.crc32(name.encode()), seed % PRIME, seed // PRIME % PRIME
    features = math.prod(shape[1:])
    mask = np.zeros((shape[0], features), np.float32)
    for s in range(shape[0]):
        sample = cube(cube(s, low), high)
        for f in range(features):
            feature = cube(cube(f % PRIME, low + salt % PRIME), high + f // PRIME + salt // PRIME % PRIME)
            mask[s, f] = cube(cube(feature, sample), low) >= round(rate * PRIME)
    return mask.reshape(shape) * np.float32(1 / (1 - rate))


@pytest.mark.parametrize("seed", [0, 1, 46337, 2**31 - 1, -5])
def test_mask_is_what_the_definition_says(seed: int) -> None:
    np.testing.assert_array_equal(_mask((3, 4, 5), 0.3, seed), _by_definition((3, 4, 5), 0.3, seed, "dropout"))


def test_more_features_than_the_prime() -> None:
    mask = _mask((2, 50000), 0.5, 3)
    assert not np.array_equal(mask[:, :3000], mask[:, PRIME : PRIME + 3000])


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_mask_is_right_in_expectation(rate: float) -> None:
    masks = np.stack([_mask((16, 256), rate, seed) for seed in range(50)])
    # 204,800 draws: four standard deviations of the mean.
    bound = 4 * math.sqrt(rate / (1 - rate) / masks.size)
    assert masks.mean() == pytest.approx(1, abs=bound)
    assert set(np.unique(masks)) == {0, np.float32(1 / (1 - rate))}
    # No feature, sample or seed stands out: each mean is of 800, 12,800 or 4,096 draws.
    for axes in ((0, 1), (0, 2), (1, 2)):
        means = masks.mean(axes)
        spread = math.sqrt(rate / (1 - rate) / (masks.size / means.size))
        assert abs(means - 1).max() < 5 * spread


def test_masks_of_other_seeds_samples_and_layers_are_unrelated() -> None:
    one = _mask((16, 256), 0.5, 1)
    for other in (_mask((16, 256), 0.5, 2), _mask((16, 256), 0.5, 1, "other"), np.roll(one, 1, 0), np.roll(one, 1, 1)):
        # Half of 4,096 fair coins agree, give or take four standard deviations.
        assert (one == other).mean() == pytest.approx(0.5, abs=4 * 0.5 / 64)
