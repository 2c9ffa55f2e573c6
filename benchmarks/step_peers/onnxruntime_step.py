"""One step in ONNX Runtime Training from the artifacts that `onnxruntime_artifacts.py` made."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from clock import batch, changed, memory_kib, report, time_steps
from networks import CLASSES, LEARNING_RATE, NETWORKS
from onnxruntime.training import api


def main() -> None:
    """Measure ``NETWORK THREADS STEPS LIMIT_S FOLDER``."""
    network, threads, steps, limit_s, folder = sys.argv[1:]
    case = NETWORKS[network]
    source = Path(folder, network + ".ort")
    imports_kib = memory_kib("VmRSS")
    session = onnxruntime.SessionOptions()
    session.intra_op_num_threads = int(threads)
    session.inter_op_num_threads = 1
    state = api.CheckpointState.load_checkpoint(str(source / "checkpoint"))
    # The evaluation model is left out: ONNX Runtime refuses one made of batch norms in training mode.
    model = api.Module(str(source / "training_model.onnx"), state, session_options=session)
    optimizer = api.Optimizer(str(source / "optimizer_model.onnx"), model)
    optimizer.set_learning_rate(LEARNING_RATE)
    images, labels = batch(case.side, case.batch, CLASSES)
    x, y = np.ascontiguousarray(images.transpose(0, 3, 1, 2)), labels.astype(np.int64)
    model.train()

    def step() -> float:
        outputs = model(x, y)
        optimizer.step()
        model.lazy_reset_grad()
        return float(outputs[0] if isinstance(outputs, (list, tuple)) else outputs)

    figures = time_steps(step, int(steps), float(limit_s))
    peak_kib = memory_kib("VmHWM")
    before = {name: np.array(parameter.data) for name, parameter in state.parameters}
    step()
    after = {name: np.array(parameter.data) for name, parameter in state.parameters}
    report(
        {
            **figures,
            "imports_kib": imports_kib,
            "peak_kib": peak_kib,
            "parameters": json.loads((source / "parameters.json").read_text())["parameters"],
            "changed": changed(before, after),
        }
    )


if __name__ == "__main__":
    main()
