"""One step of our exported file on whichever TensorFlow Lite runtime is installed (see `training_step.py`)."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from clock import batch, changed, memory_kib, report, time_steps
from networks import CLASSES, LEARNING_RATE, NETWORKS

from model_export.runner import SignatureRunner, _interpreter_class


def main() -> None:
    """Measure ``NETWORK THREADS STEPS LIMIT_S FOLDER``; the folder holds ``<architecture>.bundle``."""
    network, threads, steps, limit_s, folder = sys.argv[1:]
    case = NETWORKS[network]
    _interpreter_class()
    imports_kib = memory_kib("VmRSS")
    run = SignatureRunner(Path(folder, network + ".bundle", "model.tflite").read_bytes(), int(threads))
    x, y = batch(case.side, case.batch, CLASSES)
    w, rate = np.ones(case.batch, np.float32), np.float32(LEARNING_RATE)

    figures = time_steps(
        lambda: float(run("train", x=x, y=y, w=w, learning_rate=rate)["loss"]), int(steps), float(limit_s)
    )
    peak_kib = memory_kib("VmHWM")
    before = run("get")
    run("train", x=x, y=y, w=w, learning_rate=rate)
    after = run("get")
    report(
        {
            **figures,
            "imports_kib": imports_kib,
            "peak_kib": peak_kib,
            "parameters": sum(int(value.size) for value in after.values()),
            "changed": changed(before, after),
        }
    )


if __name__ == "__main__":
    main()
