"""The measured networks as data, so that every peer builds the same one. Needs nothing beyond Python.

A network is blocks of convolutions, each with batch norm, then average pooling and dense layers. ResNet-20 follows
`model_export.zoo.resnet`, MobileNetV2 with a width of 0.35 and its head follow `model_export.zoo.mobilenet_v2`.
Where Keras pads a convolution of stride 2 on the far side only, peers pad both sides: the same work, sizes and
parameters, shifted by one pixel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

__all__ = ["NETWORKS", "Block", "Case", "Conv", "Plan", "plan"]

CLASSES = 10
LEARNING_RATE = 0.02


@dataclass(frozen=True)
class Case:
    """One measured network: architecture of the zoo, side of the square images in pixels, samples in a batch."""

    architecture: str
    side: int
    batch: int


NETWORKS = {
    "resnet20-32-b16": Case("resnet20", 32, 16),
    "resnet20-32-b32": Case("resnet20", 32, 32),
    "mobilenet_v2-32-b32": Case("mobilenet_v2", 32, 32),
    "mobilenet_v2-96-b16": Case("mobilenet_v2", 96, 16),
}


@dataclass(frozen=True)
class Conv:
    """Convolution without bias, batch norm, and an activation: "relu", "relu6" or None."""

    inputs: int
    outputs: int
    size: int
    stride: int
    activation: Optional[str]
    depthwise: bool = False


@dataclass(frozen=True)
class Block:
    """Convolutions in a row, beside a shortcut: None, "identity" or a convolution; ReLU at the end if ``relu``."""

    convs: tuple[Conv, ...]
    shortcut: Conv | str | None = None
    relu: bool = False


@dataclass(frozen=True)
class Plan:
    """A network: blocks, average pooling, dense layers of these sizes with ReLU between.

    ``momentum`` is the share of a batch norm's old moving statistics that is kept (Keras's meaning).
    """

    blocks: tuple[Block, ...]
    dense: tuple[int, ...]
    momentum: float
    epsilon: float = 1e-3


def plan(architecture: str) -> Plan:
    """Describe an architecture of the zoo."""
    return {"resnet20": _resnet20, "mobilenet_v2": _mobilenet_v2}[architecture]()


def _resnet20() -> Plan:
    blocks = [Block((Conv(3, 16, 3, 1, "relu"),))]
    channels = 16
    for width in (16, 32, 64):
        for _ in range(3):
            stride = 1 if width == channels else 2
            convs = (Conv(channels, width, 3, stride, "relu"), Conv(width, width, 3, 1, None))
            shortcut = "identity" if stride == 1 else Conv(channels, width, 1, stride, None)
            blocks.append(Block(convs, shortcut, relu=True))
            channels = width
    return Plan(tuple(blocks), (64, CLASSES), momentum=0.9)


def _mobilenet_v2() -> Plan:
    blocks = [Block((Conv(3, 16, 3, 2, "relu6"),))]
    channels = 16
    # Filters at a width of 0.35, blocks, and stride of each stage; the first block does not expand.
    for filters, count, first_stride in (
        (8, 1, 1),
        (8, 2, 2),
        (16, 3, 2),
        (24, 4, 2),
        (32, 3, 1),
        (56, 3, 2),
        (112, 1, 1),
    ):
        for number in range(count):
            stride = first_stride if number == 0 else 1
            expanded = channels if len(blocks) == 1 else channels * 6
            convs = (Conv(expanded, expanded, 3, stride, "relu6", depthwise=True), Conv(expanded, filters, 1, 1, None))
            if expanded != channels:
                convs = (Conv(channels, expanded, 1, 1, "relu6"), *convs)
            blocks.append(Block(convs, "identity" if stride == 1 and channels == filters else None))
            channels = filters
    blocks.append(Block((Conv(channels, 1280, 1, 1, "relu6"),)))
    return Plan(tuple(blocks), (1280, 128, CLASSES), momentum=0.999)
