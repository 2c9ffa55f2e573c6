"""Weights from files."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from model_export.errors import ModelFileError

__all__ = ["load_npz"]

_OLDER_NAMES = {"kernel": "depthwise_kernel"}
"""Keras 2 had another name for the kernel of a depthwise convolution."""


def load_npz(model: Any, path: str | Path) -> None:
    """Set every variable of a model from an ``.npz`` file with one array for each, called ``<layer>/<variable>``.

    Raises
    ------
    ModelFileError
        The file is missing or none, or lacks a variable or has it in another shape; the model is unchanged.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except FileNotFoundError:
        raise ModelFileError(f"{path}: no such weight file") from None
    except (OSError, ValueError, AttributeError, EOFError, zipfile.BadZipFile) as error:
        raise ModelFileError(f"{path} is not an .npz file: {error}") from None
    found = []
    for layer in model.layers:
        for variable in layer.weights:
            name = f"{layer.name}/{variable.name}"
            older = f"{layer.name}/{_OLDER_NAMES.get(variable.name, variable.name)}"
            value = arrays.get(name, arrays.get(older))
            if value is None:
                raise ModelFileError(f"{path} has no array {name}")
            if value.shape != tuple(variable.shape):
                raise ModelFileError(
                    f"{path}: {name} has shape {list(value.shape)}, the model needs {list(variable.shape)}"
                )
            found.append((variable, value))
    for variable, value in found:
        variable.assign(value)
