"""MobileNetV3 (Howard et al. 2019, tables 1 and 2) as a base, with a dense head.

Built from ordinary layers, because the one of ``keras.applications`` has bare operators in its graph. Layers have the
same names and shapes as there, so its weights fit. The classifier's wide layer (1280 or 1024 units) is ``hidden``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Optional

import keras

from model_export.zoo.pretrained import on_base

__all__ = ["mobilenet_v3_large", "mobilenet_v3_small"]

_EPSILON = 1e-3
_MOMENTUM = 0.999


@dataclass(frozen=True)
class _Block:
    """A row of the paper's tables: kernel, expansion size, output, squeeze-and-excite, activation, stride."""

    kernel: int
    expanded: int
    filters: int
    excite: bool
    activation: str
    stride: int


_LARGE = (
    _Block(3, 16, 16, False, "relu", 1),
    _Block(3, 64, 24, False, "relu", 2),
    _Block(3, 72, 24, False, "relu", 1),
    _Block(5, 72, 40, True, "relu", 2),
    _Block(5, 120, 40, True, "relu", 1),
    _Block(5, 120, 40, True, "relu", 1),
    _Block(3, 240, 80, False, "hard_silu", 2),
    _Block(3, 200, 80, False, "hard_silu", 1),
    _Block(3, 184, 80, False, "hard_silu", 1),
    _Block(3, 184, 80, False, "hard_silu", 1),
    _Block(3, 480, 112, True, "hard_silu", 1),
    _Block(3, 672, 112, True, "hard_silu", 1),
    _Block(5, 672, 160, True, "hard_silu", 2),
    _Block(5, 960, 160, True, "hard_silu", 1),
    _Block(5, 960, 160, True, "hard_silu", 1),
)
_SMALL = (
    _Block(3, 16, 16, True, "relu", 2),
    _Block(3, 72, 24, False, "relu", 2),
    _Block(3, 88, 24, False, "relu", 1),
    _Block(5, 96, 40, True, "hard_silu", 2),
    _Block(5, 240, 40, True, "hard_silu", 1),
    _Block(5, 240, 40, True, "hard_silu", 1),
    _Block(5, 120, 48, True, "hard_silu", 1),
    _Block(5, 144, 48, True, "hard_silu", 1),
    _Block(5, 288, 96, True, "hard_silu", 2),
    _Block(5, 576, 96, True, "hard_silu", 1),
    _Block(5, 576, 96, True, "hard_silu", 1),
)


def mobilenet_v3_large(
    input_shape: tuple[int, int, int],
    classes: int,
    *,
    alpha: float = 1.0,
    weights: Optional[str] = None,
    hidden: int = 1280,
) -> Any:
    """MobileNetV3-Large.

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
    base = _base(_LARGE, keras.applications.MobileNetV3Large)
    return on_base(base, input_shape, classes, weights=weights, hidden=hidden, name="mobilenet_v3_large", alpha=alpha)


def mobilenet_v3_small(
    input_shape: tuple[int, int, int],
    classes: int,
    *,
    alpha: float = 1.0,
    weights: Optional[str] = None,
    hidden: int = 1024,
) -> Any:
    """MobileNetV3-Small; otherwise like `mobilenet_v3_large`."""
    base = _base(_SMALL, keras.applications.MobileNetV3Small)
    return on_base(base, input_shape, classes, weights=weights, hidden=hidden, name="mobilenet_v3_small", alpha=alpha)


def _base(blocks: Sequence[_Block], twin: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function like those of ``keras.applications``; ``twin`` is the one that has weights to download."""

    def build(
        input_shape: tuple[int, int, int],
        *,
        include_top: bool,
        weights: Optional[str],
        pooling: str,
        name: str,
        alpha: float,
    ) -> Any:
        assert not include_top
        assert pooling == "avg"
        model = _network(input_shape, blocks, alpha, name)
        if weights is not None:
            source = twin(input_shape, alpha=alpha, include_top=False, weights=weights, include_preprocessing=False)
            for layer in model.layers:
                if layer.weights:
                    layer.set_weights(source.get_layer(layer.name).get_weights())
        return model

    return build


def _network(input_shape: tuple[int, int, int], blocks: Sequence[_Block], alpha: float, name: str) -> Any:
    if min(input_shape[:2]) < 32:
        raise ValueError(f"images have to be at least 32 by 32, these are {input_shape[0]} by {input_shape[1]}")
    inputs = keras.Input(input_shape)
    x = _convolution(inputs, 16, 3, 2, "hard_silu", "conv")
    for number, block in enumerate(blocks):
        x = _block(x, block, alpha, number, None if number == 0 else blocks[number - 1].filters)
    x = _convolution(x, _depth(x.shape[-1] * 6), 1, 1, "hard_silu", "conv_1")
    return keras.Model(inputs, keras.layers.GlobalAveragePooling2D(name="avg_pool")(x), name=name)


def _block(x: Any, block: _Block, alpha: float, number: int, nominal: Optional[int]) -> Any:
    """Expand, convolve each channel, squeeze and excite, project; ``nominal`` inputs at a width multiplier of 1."""
    prefix = f"expanded_conv_{number}_" if number else "expanded_conv_"
    inputs, channels = x, x.shape[-1]
    expanded = channels if nominal is None else _depth(channels * (block.expanded / nominal))
    if nominal is not None:
        x = _convolution(x, expanded, 1, 1, block.activation, f"{prefix}expand")
    x = keras.layers.DepthwiseConv2D(
        block.kernel, strides=block.stride, padding="same", use_bias=False, name=f"{prefix}depthwise"
    )(x)
    x = _norm(x, f"{prefix}depthwise")
    x = keras.layers.Activation(block.activation, name=f"{prefix}depthwise_act")(x)
    if block.excite:
        gate = keras.layers.GlobalAveragePooling2D(keepdims=True, name=f"{prefix}squeeze_excite_avg_pool")(x)
        gate = keras.layers.Conv2D(_depth(expanded * 0.25), 1, activation="relu", name=f"{prefix}squeeze_excite_conv")(
            gate
        )
        gate = keras.layers.Conv2D(expanded, 1, activation="hard_sigmoid", name=f"{prefix}squeeze_excite_conv_1")(gate)
        x = keras.layers.Multiply(name=f"{prefix}squeeze_excite_mul")([x, gate])
    filters = _depth(block.filters * alpha)
    x = keras.layers.Conv2D(filters, 1, padding="same", use_bias=False, name=f"{prefix}project")(x)
    x = _norm(x, f"{prefix}project")
    if block.stride == 1 and channels == filters:
        x = keras.layers.Add(name=f"{prefix}add")([inputs, x])
    return x


def _convolution(x: Any, filters: int, kernel: int, stride: int, activation: str, name: str) -> Any:
    x = keras.layers.Conv2D(filters, kernel, strides=stride, padding="same", use_bias=False, name=name)(x)
    return keras.layers.Activation(activation, name=f"{name}_act")(_norm(x, name))


def _norm(x: Any, name: str) -> Any:
    return keras.layers.BatchNormalization(epsilon=_EPSILON, momentum=_MOMENTUM, name=f"{name}_bn")(x)


def _depth(value: float) -> int:
    """Round to a multiple of 8, not by more than a tenth down."""
    rounded = max(8, int(value + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * value else rounded
