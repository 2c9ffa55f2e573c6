"""A `Plan` as a PyTorch module."""

from __future__ import annotations

import itertools
from typing import Any

import torch
from networks import Block, Conv, Plan
from torch import nn

__all__ = ["build", "parameters"]


def build(plan: Plan) -> Any:
    """Build the module; it takes ``[N, 3, H, W]`` float32 and ends in logits."""
    layers: list[Any] = [_Block(block, plan) for block in plan.blocks]
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    for inputs, outputs in itertools.pairwise(plan.dense):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def parameters(module: Any) -> dict[str, Any]:
    """Variables and moving statistics by name, without PyTorch's counters of batches."""
    return {name: value for name, value in module.state_dict().items() if "num_batches" not in name}


def _conv(conv: Conv, plan: Plan) -> list[Any]:
    groups = conv.inputs if conv.depthwise else 1
    layers: list[Any] = [
        nn.Conv2d(conv.inputs, conv.outputs, conv.size, conv.stride, conv.size // 2, groups=groups, bias=False),
        nn.BatchNorm2d(conv.outputs, plan.epsilon, 1 - plan.momentum),
    ]
    if conv.activation:
        layers.append(nn.ReLU(inplace=True) if conv.activation == "relu" else nn.ReLU6(inplace=True))
    return layers


class _Block(nn.Module):  # type: ignore[misc]
    def __init__(self, block: Block, plan: Plan) -> None:
        super().__init__()
        self.convs = nn.Sequential(*itertools.chain.from_iterable(_conv(conv, plan) for conv in block.convs))
        self.added = block.shortcut is not None
        self.shortcut = nn.Sequential(*(_conv(block.shortcut, plan) if isinstance(block.shortcut, Conv) else ()))
        self.relu = block.relu

    def forward(self, x: Any) -> Any:
        """Apply the block."""
        y = self.convs(x)
        if self.added:
            y = y + self.shortcut(x)
        return torch.relu(y) if self.relu else y
