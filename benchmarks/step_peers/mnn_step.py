"""One step in MNN's training API (see `training_step.py`)."""

from __future__ import annotations

import itertools
import sys
from typing import Any

import MNN
import numpy as np
from clock import batch, changed, memory_kib, report, time_steps
from networks import CLASSES, LEARNING_RATE, NETWORKS, Block, Conv, Plan, plan

F, nn = MNN.expr, MNN.nn


class _Conv(nn.Module):  # type: ignore[misc]
    def __init__(self, conv: Conv, plan: Plan) -> None:
        super().__init__()
        self.conv = nn.conv(
            conv.inputs,
            conv.outputs,
            [conv.size, conv.size],
            [conv.stride, conv.stride],
            [0, 0],
            [1, 1],
            conv.depthwise,
            False,
            F.SAME,
        )
        self.norm = nn.batch_norm(conv.outputs, 4, plan.momentum, plan.epsilon)
        self.activation = conv.activation

    def forward(self, x: Any) -> Any:
        y = self.norm(self.conv(x))
        if self.activation is None:
            return y
        return F.relu(y) if self.activation == "relu" else F.relu6(y)


class _Block(nn.Module):  # type: ignore[misc]
    def __init__(self, block: Block, plan: Plan) -> None:
        super().__init__()
        self.count = len(block.convs)
        for i, conv in enumerate(block.convs):
            setattr(self, f"conv{i}", _Conv(conv, plan))
        self.added, self.relu = block.shortcut, block.relu
        if isinstance(block.shortcut, Conv):
            self.shortcut = _Conv(block.shortcut, plan)

    def forward(self, x: Any) -> Any:
        y = x
        for i in range(self.count):
            y = getattr(self, f"conv{i}").forward(y)
        if self.added is not None:
            y = F.add(y, x if isinstance(self.added, str) else self.shortcut.forward(x))
        return F.relu(y) if self.relu else y


class _Network(nn.Module):  # type: ignore[misc]
    def __init__(self, plan: Plan) -> None:
        super().__init__()
        self.blocks, self.dense = len(plan.blocks), len(plan.dense) - 1
        for i, block in enumerate(plan.blocks):
            setattr(self, f"block{i}", _Block(block, plan))
        for i, (inputs, outputs) in enumerate(itertools.pairwise(plan.dense)):
            setattr(self, f"dense{i}", nn.linear(inputs, outputs))

    def forward(self, x: Any) -> Any:
        x = F.convert(x, F.NC4HW4)
        for i in range(self.blocks):
            x = getattr(self, f"block{i}").forward(x)
        samples, channels, *size = x.shape
        # Of the two ways to take the mean, the only one with a gradient.
        x = F.reshape(F.convert(F.avg_pool(x, size, [1, 1]), F.NCHW), [samples, channels])
        for i in range(self.dense):
            x = getattr(self, f"dense{i}")(x if i == 0 else F.relu(x))
        return x


def main() -> None:
    """Measure ``NETWORK THREADS STEPS LIMIT_S FOLDER``."""
    network, threads, steps, limit_s, _ = sys.argv[1:]
    case = NETWORKS[network]
    F.set_thread_number(int(threads))
    F.lazy_eval(True)  # without it MNN finds no gradients, and its optimizer's step does nothing
    imports_kib = memory_kib("VmRSS")
    model = _Network(plan(case.architecture))
    optimizer = MNN.optim.SGD(model, LEARNING_RATE, 0.0, 0.0)
    model.train(True)
    images, labels = batch(case.side, case.batch, CLASSES)
    x = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
    one_hot = np.eye(CLASSES, dtype=np.float32)[labels]

    def step() -> float:
        logits = model.forward(F.const(x, list(x.shape), F.NCHW))
        targets = F.const(one_hot, list(one_hot.shape), F.NCHW)
        loss = nn.loss.cross_entropy(F.softmax(logits, 1), targets)
        optimizer.step(loss)
        return float(loss.read())

    def state() -> dict[str, Any]:
        return {str(i): np.array(parameter.read()) for i, parameter in enumerate(model.parameters)}

    figures = time_steps(step, int(steps), float(limit_s))
    peak_kib = memory_kib("VmHWM")
    before = state()
    step()
    after = state()
    report(
        {
            **figures,
            "imports_kib": imports_kib,
            "peak_kib": peak_kib,
            "parameters": sum(value.size for value in after.values()),
            "changed": changed(before, after),
        }
    )


if __name__ == "__main__":
    main()
