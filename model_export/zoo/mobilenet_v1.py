"""MobileNet (Howard et al. 2017) as a base, with a dense head; the base is that of ``keras.applications``."""

from __future__ import annotations

from typing import Any, Optional

import keras

from model_export.zoo.pretrained import on_base

__all__ = ["mobilenet_v1"]


def mobilenet_v1(
    input_shape: tuple[int, int, int],
    classes: int,
    *,
    alpha: float = 1.0,
    weights: Optional[str] = None,
    hidden: int = 0,
) -> Any:
    """MobileNetV1 without its top, average pooling, and a head of dense layers.

    Parameters
    ----------
    input_shape
        Height, width, channels.
    classes
        Number of classes.
    alpha
        Width multiplier.
    weights
        Weights of the base: None for random ones; "imagenet" to download those of ``keras.applications``; or an
        ``.npz`` file, see `load_npz`.
    hidden
        Units of the head's hidden layer; 0 for a head of one layer.

    Returns
    -------
    keras.Model
        Ends in logits; takes pixels scaled to -1 … 1.

    Raises
    ------
    ModelFileError
        The weights cannot be downloaded, or the weight file is missing or does not fit.
    """
    return on_base(
        keras.applications.MobileNet,
        input_shape,
        classes,
        weights=weights,
        hidden=hidden,
        name="mobilenet_v1",
        alpha=alpha,
    )
