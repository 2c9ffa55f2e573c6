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
    """MobileNetV1 without its top; otherwise like `mobilenet_v2`, but for a head of one layer by default."""
    return on_base(
        keras.applications.MobileNet,
        input_shape,
        classes,
        weights=weights,
        hidden=hidden,
        name="mobilenet_v1",
        alpha=alpha,
    )
