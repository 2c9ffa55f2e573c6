"""Residual networks for small images.

He et al. 2016, "Deep residual learning for image recognition": ResNet-20 is section 4.2 (CIFAR-10), ResNet-18 that of
table 1 with the stem that small images need (one 3x3 convolution, no pooling). Where a block changes the size, the
shortcut is a 1x1 convolution with batch norm (option B); the paper's ResNet-20 pads with zeros instead (option A).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

__all__ = ["resnet18", "resnet20"]


def resnet20(
    input_shape: tuple[int, int, int],
    classes: int,
    *,
    width: float = 1.0,
    blocks: int = 3,
    project_first: bool = False,
) -> Any:
    """ResNet-20: three stages of three blocks with 16, 32 and 64 filters.

    Parameters
    ----------
    input_shape
        Height, width, channels.
    classes
        Number of classes.
    width
        Factor on all numbers of filters.
    blocks
        Blocks in each stage: the paper's n of its networks of 6n + 2 layers, so 1 is ResNet-8 and 2 ResNet-14.
    project_first
        Whether the very first block's shortcut, too, is a 1x1 convolution with batch norm, though it changes no size.
        So it is in the network of 272,762 parameters that InclusiveFL (Lee, slides, table 1) trains in parts.

    Returns
    -------
    keras.Model
        Ends in logits; takes pixels scaled to 0 … 1.
    """
    return _resnet(
        input_shape, classes, (16, 32, 64), blocks, width, f"resnet{6 * blocks + 2}", project_first=project_first
    )


def resnet18(input_shape: tuple[int, int, int], classes: int, *, width: float = 1.0) -> Any:
    """ResNet-18: four stages of two blocks with 64, 128, 256 and 512 filters; otherwise like `resnet20`."""
    return _resnet(input_shape, classes, (64, 128, 256, 512), 2, width, "resnet18")


def _resnet(
    input_shape: tuple[int, int, int],
    classes: int,
    filters: Sequence[int],
    blocks: int,
    width: float,
    name: str,
    *,
    project_first: bool = False,
) -> Any:
    if not width > 0:
        raise ValueError(f"width is {width}; it has to be above 0")
    if blocks < 1:
        raise ValueError(f"blocks is {blocks}; each stage has to have at least one")
    widths = [max(1, round(count * width)) for count in filters]
    inputs = keras.Input(input_shape)
    x = _conv(inputs, widths[0], 3, 1, "stem")
    x = keras.layers.ReLU(name="stem_relu")(x)
    for stage, count in enumerate(widths, start=1):
        for block in range(1, blocks + 1):
            project = project_first and stage == block == 1
            x = _block(x, count, 2 if block == 1 and stage > 1 else 1, f"stage{stage}_block{block}", project)
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(inputs, keras.layers.Dense(classes, name="logits")(x), name=name)


def _block(x: Any, filters: int, stride: int, name: str, project: bool) -> Any:
    """Two convolutions beside a shortcut."""
    y = _conv(x, filters, 3, stride, f"{name}_conv1")
    y = keras.layers.ReLU(name=f"{name}_relu1")(y)
    y = _conv(y, filters, 3, 1, f"{name}_conv2")
    if project or stride != 1 or x.shape[-1] != filters:
        x = _conv(x, filters, 1, stride, f"{name}_shortcut")
    return keras.layers.ReLU(name=f"{name}_out")(keras.layers.Add(name=f"{name}_add")([y, x]))


def _conv(x: Any, filters: int, size: int, stride: int, name: str) -> Any:
    """Convolution and batch norm; He's initialization."""
    x = keras.layers.Conv2D(
        filters, size, stride, padding="same", use_bias=False, kernel_initializer="he_normal", name=name
    )(x)
    return keras.layers.BatchNormalization(momentum=0.9, name=f"{name}_norm")(x)
