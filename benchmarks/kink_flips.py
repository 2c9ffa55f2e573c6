"""Which activations fall on the other side of a kink in float32, and how exact batch norm is.

The forward pass of a training step is computed three times from the same weights: by Keras in float64, by Keras in
float32, and by the exported graph's own operations, run by TensorFlow in float32 (the interpreter shows no values in
between). Counted are the outputs of ReLU and ReLU6 that lie on another piece than in float64; beside them stands the
relative error of the batch norms' outputs, of the median and of the worst layer.

    .venv/bin/python benchmarks/kink_flips.py
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
from training_fidelity import NETWORKS, ROOT, decode_images, initial_model, preprocess

Values = dict[str, np.ndarray]


def main() -> int:
    """Count, and print a line for each batch."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=["resnet20", "mobilenet_v2_035"])
    parser.add_argument("--batches", type=int, default=5)
    parser.add_argument("--output", type=Path, default=ROOT / "runs" / "training_fidelity")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    decode_images(options.output)
    with np.load(options.output / "cifar10.npz") as data:
        images = data["x"]
    for name in options.networks:
        for number in range(options.batches):
            chosen = np.random.default_rng(number).permutation(len(images))[: NETWORKS[name].batch]
            print(f"{name}, batch {number}: {compare(name, number, images[chosen])}", flush=True)
    return 0


def compare(name: str, seed: int, pixels: np.ndarray) -> str:
    """Compare the three forward passes of one batch."""
    import keras

    from model_export.network import read_network

    exact = keras_values(initial_model(name, seed, "float64"), preprocess(name, pixels, "float64"))
    model = initial_model(name, seed)
    network = read_network(model)
    found = {
        "exported graph": own_values(network, preprocess(name, pixels)),
        "Keras float32": keras_values(model, preprocess(name, pixels)),
    }
    kinked = [n for n in network.nodes if isinstance(n.layer, keras.layers.ReLU)]
    norms = [n.name for n in network.nodes if isinstance(n.layer, keras.layers.BatchNormalization)]
    texts = [f"{sum(exact[n.name].size for n in kinked):,} activations"]
    for who, values in found.items():
        flips = sum(
            int((_piece(values[n.name], n.layer.max_value) != _piece(exact[n.name], n.layer.max_value)).sum())
            for n in kinked
        )
        errors = [np.linalg.norm(values[norm] - exact[norm]) / np.linalg.norm(exact[norm]) for norm in norms]
        texts.append(f"{who}: {flips} flipped, batch norms off by {np.median(errors):.1e}, worst {max(errors):.1e}")
    return "; ".join(texts)


def _piece(y: np.ndarray, limit: float | None) -> np.ndarray:
    return (y > 0).astype(int) + (y >= (np.inf if limit is None else limit))


def keras_values(model: Any, x: np.ndarray) -> Values:
    """Output of every layer in training mode."""
    import tensorflow as tf

    from model_export.network import _calls

    found: Values = {}

    def run(part: Any, given: Any) -> Any:
        values = {id(part.inputs[0]): given}
        for operation, call in _calls(part):
            inputs = [values[id(tensor)] for tensor in call.input_tensors]
            if hasattr(operation, "layers"):
                output = run(operation, inputs[0])
            else:
                output = operation(inputs if len(inputs) > 1 else inputs[0], training=True)
                found[operation.name] = output.numpy()
            values[id(call.outputs[0])] = output
        return values[id(part.outputs[0])]

    run(model, tf.constant(x))
    return found


def own_values(network: Any, x: np.ndarray) -> Values:
    """Output of every layer in training mode, by the operations that are exported."""
    import tensorflow as tf

    from model_export.network import INPUT
    from model_export.training import Batch, forward

    variables = {path: tf.constant(v.numpy()) for node in network.nodes for path, v in node.variables.items()}
    batch = Batch(tf.zeros(len(x), tf.int32), tf.ones(len(x)), tf.constant(0.0))
    everything = frozenset(node.name for node in network.nodes)
    passed = forward(network, network.nodes, {INPUT: tf.constant(x)}, variables, train=everything, batch=batch)
    return {name: np.asarray(value) for name, value in passed.values.items()}


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.path.insert(0, str(ROOT))
    sys.exit(main())
