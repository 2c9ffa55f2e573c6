"""One step of the Keras model as a ``tf.function`` without XLA (see `training_step.py`)."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
import keras
import tensorflow as tf
from clock import batch, changed, memory_kib, report, time_steps
from networks import CLASSES, LEARNING_RATE, NETWORKS

from model_export.zoo import build


def main() -> None:
    """Measure ``NETWORK THREADS STEPS LIMIT_S FOLDER``."""
    network, threads, steps, limit_s, _ = sys.argv[1:]
    case = NETWORKS[network]
    tf.config.threading.set_intra_op_parallelism_threads(int(threads))
    tf.config.threading.set_inter_op_parallelism_threads(int(threads))
    imports_kib = memory_kib("VmRSS")
    model = build_case(network)
    optimizer = keras.optimizers.SGD(LEARNING_RATE)
    optimizer.build(model.trainable_variables)
    x, y = (tf.constant(array) for array in batch(case.side, case.batch, CLASSES))

    @tf.function(jit_compile=False)  # type: ignore[untyped-decorator]
    def train_step(x: Any, y: Any) -> Any:
        with tf.GradientTape() as tape:
            logits = model(x, training=True)
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(y, logits))
        optimizer.apply_gradients(zip(tape.gradient(loss, model.trainable_variables), model.trainable_variables))
        return loss

    def state() -> dict[str, Any]:
        return {str(i): variable.numpy() for i, variable in enumerate(model.variables)}

    figures = time_steps(lambda: float(train_step(x, y)), int(steps), float(limit_s))
    peak_kib = memory_kib("VmHWM")
    before = state()
    train_step(x, y)
    report(
        {
            **figures,
            "imports_kib": imports_kib,
            "peak_kib": peak_kib,
            "parameters": model.count_params(),
            "changed": changed(before, state()),
        }
    )


def build_case(network: str) -> Any:
    """Build the zoo's network of a case."""
    case = NETWORKS[network]
    options = {"alpha": 0.35} if case.architecture == "mobilenet_v2" else {}
    return build(case.architecture, (case.side, case.side, 3), CLASSES, **options)


if __name__ == "__main__":
    main()
