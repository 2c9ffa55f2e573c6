"""ShuffleNetV2 (Ma et al. 2018, table 5).

The split of the channels and their shuffle are ordinary layers: the two halves become an axis, which is transposed and
cropped. Images of less than 64 pixels, such as CIFAR's, get a stem of stride 1 without pooling.
"""

from __future__ import annotations

from typing import Any

import keras

__all__ = ["shufflenet_v2"]

_WIDTHS = {
    0.5: (48, 96, 192, 1024),
    1.0: (116, 232, 464, 1024),
    1.5: (176, 352, 704, 1024),
    2.0: (244, 488, 976, 2048),
}
_UNITS = (4, 8, 4)
_SMALL_IMAGE = 64


def shufflenet_v2(input_shape: tuple[int, int, int], classes: int, *, width: float = 1.0) -> Any:
    """ShuffleNetV2.

    Parameters
    ----------
    input_shape
        Height, width, channels.
    classes
        Number of classes.
    width
        Width multiplier: 0.5, 1.0, 1.5 or 2.0.

    Returns
    -------
    keras.Model
        Ends in logits; takes pixels scaled to 0 … 1.
    """
    if width not in _WIDTHS:
        raise ValueError(f"width is {width}; the paper has {', '.join(map(str, _WIDTHS))}")
    *widths, last = _WIDTHS[width]
    small = min(input_shape[:2]) < _SMALL_IMAGE
    inputs = keras.Input(input_shape)
    x = _convolution(inputs, 24, 3, 1 if small else 2, "stem")
    if not small:
        x = keras.layers.MaxPooling2D(3, strides=2, padding="same", name="stem_pool")(x)
    for stage, (channels, units) in enumerate(zip(widths, _UNITS), start=2):
        x = _down(x, channels // 2, f"stage{stage}_unit1")
        for unit in range(2, units + 1):
            x = _unit(x, f"stage{stage}_unit{unit}")
    x = _convolution(x, last, 1, 1, "conv5")
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(inputs, keras.layers.Dense(classes, name="logits")(x), name="shufflenet_v2")


def _down(x: Any, channels: int, name: str) -> Any:
    """Halve the image: both branches see all channels."""
    short = _depthwise(x, 2, f"{name}_short_depthwise")
    short = _convolution(short, channels, 1, 1, f"{name}_short_conv")
    return _shuffled(short, _branch(x, channels, 2, name), name)


def _unit(x: Any, name: str) -> Any:
    """Pass half of the channels on, convolve the other half."""
    height, width, channels = x.shape[1:]
    halves = keras.layers.Reshape((height * width, 2, channels // 2), name=f"{name}_halves")(x)
    kept = keras.layers.Cropping2D(((0, 0), (0, 1)), name=f"{name}_first")(halves)
    kept = keras.layers.Reshape((height, width, channels // 2), name=f"{name}_kept")(kept)
    other = keras.layers.Cropping2D(((0, 0), (1, 0)), name=f"{name}_second")(halves)
    other = keras.layers.Reshape((height, width, channels // 2), name=f"{name}_other")(other)
    return _shuffled(kept, _branch(other, channels // 2, 1, name), name)


def _branch(x: Any, channels: int, stride: int, name: str) -> Any:
    x = _convolution(x, channels, 1, 1, f"{name}_conv1")
    x = _depthwise(x, stride, f"{name}_depthwise")
    return _convolution(x, channels, 1, 1, f"{name}_conv2")


def _shuffled(first: Any, second: Any, name: str) -> Any:
    """Join two branches, their channels taking turns."""
    height, width, channels = first.shape[1:]
    x = keras.layers.Concatenate(name=f"{name}_join")([first, second])
    x = keras.layers.Reshape((height * width, 2, channels), name=f"{name}_branches")(x)
    x = keras.layers.Permute((1, 3, 2), name=f"{name}_shuffle")(x)
    return keras.layers.Reshape((height, width, 2 * channels), name=f"{name}_out")(x)


def _depthwise(x: Any, stride: int, name: str) -> Any:
    x = keras.layers.DepthwiseConv2D(3, strides=stride, padding="same", use_bias=False, name=name)(x)
    return keras.layers.BatchNormalization(momentum=0.9, name=f"{name}_norm")(x)


def _convolution(x: Any, filters: int, kernel: int, stride: int, name: str) -> Any:
    x = keras.layers.Conv2D(filters, kernel, strides=stride, padding="same", use_bias=False, name=name)(x)
    x = keras.layers.BatchNormalization(momentum=0.9, name=f"{name}_norm")(x)
    return keras.layers.ReLU(name=f"{name}_relu")(x)
