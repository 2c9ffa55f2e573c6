"""Bases of ``keras.applications`` with weights from a file or a download, and the head that goes on them."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Optional

import keras
import numpy as np

from model_export.errors import ModelFileError

__all__ = ["load_npz", "on_base"]

_OLDER_NAMES = {"kernel": "depthwise_kernel"}
"""Keras 2 had another name for the kernel of a depthwise convolution."""


def on_base(
    application: Callable[..., Any],
    input_shape: tuple[int, ...],
    classes: int,
    *,
    alpha: float,
    weights: Optional[str],
    hidden: int,
    name: str,
) -> Any:
    """Build an application without its top, average pooling, and a head of dense layers.

    Parameters
    ----------
    application
        A function of ``keras.applications``.
    input_shape
        Height, width, channels.
    classes
        Number of classes.
    alpha
        Width multiplier.
    weights
        Weights of the base: None for random ones; "imagenet" to download them; or an ``.npz`` file, see `load_npz`.
    hidden
        Units of the head's hidden layer; 0 for a head of one layer.
    name
        Of the network; the base is called ``<name>_base``.

    Raises
    ------
    ModelFileError
        The weights cannot be downloaded, or the weight file is missing or does not fit.
    ValueError
        ``alpha`` is not above 0, or the application refuses what it is given.
    """
    if not alpha > 0:
        raise ValueError(f"alpha is {alpha}; it has to be above 0")
    downloaded = "imagenet" if weights == "imagenet" else None
    try:
        base = application(
            input_shape, include_top=False, weights=downloaded, pooling="avg", name=f"{name}_base", alpha=alpha
        )
    except (ValueError, TypeError):
        raise
    except Exception as error:  # Keras's download raises no class of its own.
        raise ModelFileError(
            f"the ImageNet weights cannot be downloaded: {error}; give an .npz file instead"
        ) from error
    if weights is not None and downloaded is None:
        load_npz(base, weights)
    inputs = keras.Input(input_shape)
    x = base(inputs)
    if hidden:
        x = keras.layers.Dense(hidden, activation="relu", name="hidden")(x)
    return keras.Model(inputs, keras.layers.Dense(classes, name="logits")(x), name=name)


def load_npz(model: Any, path: str | Path) -> None:
    """Set every variable of a model from an ``.npz`` file with one array for each, called ``<layer>/<variable>``.

    Raises
    ------
    ModelFileError
        The file is missing or none, or lacks a variable or has it in another shape; the model is unchanged.
    """
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
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
