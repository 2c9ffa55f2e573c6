"""One step in eager PyTorch, channels first or last (see `training_step.py`)."""

from __future__ import annotations

import sys
from typing import Any

import torch
import torch_network
from clock import batch, changed, memory_kib, report, time_steps
from networks import CLASSES, LEARNING_RATE, NETWORKS, plan


def main() -> None:
    """Measure ``NETWORK THREADS STEPS LIMIT_S FOLDER LAYOUT``."""
    network, threads, steps, limit_s, _, layout = sys.argv[1:]
    case = NETWORKS[network]
    torch.set_num_threads(int(threads))
    torch.manual_seed(0)
    imports_kib = memory_kib("VmRSS")
    form = torch.channels_last if layout == "last" else torch.contiguous_format
    model = torch_network.build(plan(case.architecture)).to(memory_format=form).train()
    optimizer = torch.optim.SGD(model.parameters(), LEARNING_RATE)
    images, labels = batch(case.side, case.batch, CLASSES)
    x = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous(memory_format=form)
    y = torch.from_numpy(labels).long()

    def step() -> float:
        optimizer.zero_grad(set_to_none=True)
        loss = torch.nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return float(loss.detach())

    def state() -> dict[str, Any]:
        return {name: value.numpy().copy() for name, value in torch_network.parameters(model).items()}

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
