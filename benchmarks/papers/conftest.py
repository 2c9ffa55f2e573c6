"""What the tests of the papers' scripts share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest


@pytest.fixture
def noise_for_cifar10(tmp_path: Path) -> Path:
    """Return a folder of results with noise where a script would put parts of CIFAR-10."""
    folder = tmp_path / "runs"
    folder.mkdir()
    random = np.random.default_rng(0)
    for name, count in (("train", 200), ("test", 50)):
        np.savez(
            folder / f"{name}.npz", x=random.integers(0, 256, (count, 32, 32, 3), np.uint8), y=np.arange(count) % 10
        )
    return folder
