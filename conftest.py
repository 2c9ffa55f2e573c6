"""What tests of several folders share: real digits, and bundles exported from them once per session."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Callable

import hypothesis
import numpy as np
import pytest

if TYPE_CHECKING:
    from edge_client.energy.rig_test import Clock, Tree

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")
os.environ.setdefault("FLWR_DISABLE_UPDATE_CHECK", "1")

# Hypothesis fails an example that takes 0.2 s, and ten that are slow to draw, which on a busy machine any are.
hypothesis.settings.register_profile(
    "without a clock", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("without a clock")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Shells start background jobs so, and all that the tests start would be deaf to Ctrl-C too.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@dataclass(frozen=True)
class Digits:
    """Scikit-learn's handwritten digits: 8x8 grey ``uint8`` images, shuffled, 1,437 to train on and 360 to test."""

    x: np.ndarray
    y: np.ndarray
    test_x: np.ndarray
    test_y: np.ndarray

    def save(self, path: Path, rows: slice = slice(None)) -> Path:
        """Write some training samples as a client's data."""
        np.savez(path, x=self.x[rows], y=self.y[rows])
        return path

    def save_test(self, path: Path) -> Path:
        """Write the test samples."""
        np.savez(path, x=self.test_x, y=self.test_y)
        return path


@pytest.fixture(scope="session")
def digits() -> Digits:
    """Load the digits."""
    from sklearn.datasets import load_digits

    data = load_digits()
    x = np.round(data.images * (255 / 16)).astype(np.uint8)[..., None]
    y = data.target.astype(np.int32)
    order = np.random.default_rng(0).permutation(len(x))
    x, y = x[order], y[order]
    return Digits(x[:1437], y[:1437], x[1437:], y[1437:])


@pytest.fixture(scope="session")
def digits_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Export a CNN with batch norm that trains whole or from two cuts, with a proximal term."""
    import keras

    from model_export import Sgd, export
    from model_export.zoo.small_cnn import small_cnn

    keras.utils.set_random_seed(1)
    path = tmp_path_factory.mktemp("bundles") / "digits"
    export(
        small_cnn((8, 8, 1), 10, filters=(8, 16, 16)),
        path,
        batch_size=16,
        cuts=("conv2", "conv3"),
        optimizer=Sgd(momentum=0.9, proximal=True),
        input_scale=1 / 255,
        measure=False,
    )
    return path


@pytest.fixture(scope="session")
def digits_half(digits_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Export the same CNN at half its width, as a part of it."""
    import keras

    from model_export import Sgd, export
    from model_export.bundle import Bundle
    from model_export.width import slice_width, take_weights
    from model_export.zoo.small_cnn import small_cnn

    keras.utils.set_random_seed(1)
    whole = Bundle.load(digits_bundle)
    model = small_cnn((8, 8, 1), 10, filters=(8, 16, 16))
    take_weights(model, whole)
    half = slice_width(model, 0.5)
    path = tmp_path_factory.mktemp("bundles") / "digits_half"
    export(
        half.model,
        path,
        batch_size=16,
        cuts=("conv2", "conv3"),
        optimizer=Sgd(momentum=0.9, proximal=True),
        input_scale=1 / 255,
        part_of=half.part_of(whole.sha256),
        measure=False,
    )
    return path


@pytest.fixture(scope="session")
def digits_rough(digits_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Export the same CNN half pruned and in int8."""
    from model_export import export
    from model_export.bundle import Bundle
    from model_export.compression import Compression, Prune, Quantize
    from model_export.width import take_weights
    from model_export.zoo.small_cnn import small_cnn

    model = small_cnn((8, 8, 1), 10, filters=(8, 16, 16))
    take_weights(model, Bundle.load(digits_bundle))
    path = tmp_path_factory.mktemp("bundles") / "rough"
    compression = Compression(prune=Prune(0.5), quantize=Quantize("int8"))
    export(model, path, batch_size=16, input_scale=1 / 255, compression=compression, measure=False)
    return path


@pytest.fixture(scope="session")
def head_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Export the same CNN with a frozen base: only its last dense layer trains, from features."""
    import keras

    from model_export import export
    from model_export.zoo.small_cnn import small_cnn

    keras.utils.set_random_seed(1)
    path = tmp_path_factory.mktemp("bundles") / "digits_head"
    export(
        small_cnn((8, 8, 1), 10, filters=(8, 16)),
        path,
        batch_size=16,
        trainable="head",
        input_scale=1 / 255,
        measure=False,
    )
    return path


@pytest.fixture
def tree(tmp_path: Path) -> Callable[[Tree], Path]:
    """Return a function that writes attributes of ``/sys`` under a folder of the test's, and returns that."""
    from edge_client.energy.rig_test import write_tree

    return lambda files: write_tree(tmp_path, files)


@pytest.fixture
def clock() -> Clock:
    """Return a clock that stands still until it is moved."""
    from edge_client.energy.rig_test import Clock

    return Clock()
