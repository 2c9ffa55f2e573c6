"""MobileNetV2 (Sandler et al. 2018) as a base, with a dense head.

The base is that of ``keras.applications``. With frozen base and a head of two layers this is the network that Mathur
et al. 2021, "On-device federated learning with Flower", train on phones.
"""

from __future__ import annotations

from typing import Any, Optional

import keras

from model_export.zoo.pretrained import on_base

__all__ = ["mobilenet_v2"]


def mobilenet_v2(
    input_shape: tuple[int, int, int],
    classes: int,
    *,
    alpha: float = 1.0,
    weights: Optional[str] = None,
    hidden: int = 128,
) -> Any:
    """MobileNetV2 without its top, average pooling, and a head of dense layers.

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
        keras.applications.MobileNetV2,
        input_shape,
        classes,
        weights=weights,
        hidden=hidden,
        name="mobilenet_v2",
        alpha=alpha,
    )
