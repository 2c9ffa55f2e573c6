"""Make ONNX Runtime Training's artifacts from the PyTorch module: ``NETWORK FOLDER`` (see `training_step.py`)."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import onnx
import torch
import torch_network
from networks import CLASSES, NETWORKS, plan
from onnxruntime.training import artifacts


def main() -> None:
    """Write training, evaluation and optimizer model, the checkpoint, and the number of parameters."""
    network, folder = sys.argv[1:]
    case = NETWORKS[network]
    torch.manual_seed(0)
    model = torch_network.build(plan(case.architecture)).train()
    target = Path(folder, network + ".ort")
    target.mkdir(parents=True, exist_ok=True)
    torch.onnx.export(
        model,
        (torch.zeros(case.batch, 3, case.side, case.side),),
        target / "forward.onnx",
        input_names=["x"],
        output_names=["logits"],
        opset_version=15,
        training=torch.onnx.TrainingMode.TRAINING,
        do_constant_folding=False,
        dynamo=False,
    )
    trained = {name for name, _ in model.named_parameters()}
    exported = onnx.load(target / "forward.onnx")
    names = [initializer.name for initializer in exported.graph.initializer]
    missing = trained - set(names)
    if missing:
        raise SystemExit(f"the exported ONNX file lacks parameters: {sorted(missing)}")
    artifacts.generate_artifacts(
        exported,
        requires_grad=[name for name in names if name in trained],
        frozen_params=[name for name in names if "running_" in name],
        loss=artifacts.LossType.CrossEntropyLoss,
        optimizer=artifacts.OptimType.SGD,
        artifact_directory=str(target),
    )
    count = sum(value.numel() for value in torch_network.parameters(model).values())
    (target / "parameters.json").write_text(json.dumps({"parameters": count, "logits": CLASSES}))


if __name__ == "__main__":
    main()
