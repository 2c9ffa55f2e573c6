"""One step's gradient against float64, with kinks separated from rounding.

A float32 gradient differs from float64 for two reasons: rounding, and kinks: where an activation lies within rounding
of a kink of ReLU or ReLU6, it may fall on the other side, and its whole gradient comes or goes. So each network is
tried as it is and with its ReLUs replaced by the smooth SiLU, where there are no kinks. The exported file runs on
LiteRT and, where ``.venv-legacy`` is, on tflite-runtime 2.14. Beside it and Keras in float32 stands Keras in float64
with weights moved by half a float32 unit in the last place, which says how far the gradient itself, computed without
error, moves by a change that float32 cannot see.

Errors are relative to float64: of all gradients together, and of the worst variable ("tail"). The figures are the
median and the largest over the batches.

    .venv/bin/python benchmarks/gradient_tails.py
    .venv/bin/python benchmarks/gradient_tails.py --networks mobilenet_v2_035 --batches 10
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
from training_fidelity import NETWORKS, ROOT, decode_images, initial_model, preprocess, variables_by_path

Gradients = dict[str, np.ndarray]
LEGACY = Path(os.environ.get("POCKETFLEET_LEGACY_PYTHON", ROOT / ".venv-legacy" / "bin" / "python"))
# Power of two, so that dividing by it is exact, and so large that the weights' own rounding is far below the gradient.
_LEARNING_RATE = 1024.0
# A variable whose exact gradient is nothing beside the others' has no relative error worth the name.
_NEGLIGIBLE = 1e-6


def main() -> int:
    """Compare, print a table, and leave the figures in a file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--batches", type=int, default=5)
    parser.add_argument("--output", type=Path, default=ROOT / "runs" / "training_fidelity")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    target = options.output / "gradient_tails.json"
    results = json.loads(target.read_text()) if target.exists() else {}
    for name in options.networks:
        for smooth in (False, True):
            key = f"{name}, smooth" if smooth else name
            results[key] = compare(options.output, name, smooth, options.batches)
            target.write_text(json.dumps(results, indent=1))
            for variant, figures in results[key].items():
                print(f"{key:26} {variant:18} " + "  ".join(f"{k} {v:.2e}" for k, v in figures.items()), flush=True)
    return 0


def compare(output: Path, name: str, smooth: bool, batches: int) -> dict[str, dict[str, float]]:
    """Errors of each variant, over batches that start from weights of their own."""
    import keras

    decode_images(output)
    with np.load(output / "cifar10.npz") as data:
        x, y = data["x"], data["y"]
    exported = _exported(output, name, smooth)
    errors: dict[str, list[tuple[float, float]]] = {}
    for number in range(batches):
        chosen = np.random.default_rng(number).permutation(len(x))[: NETWORKS[name].batch]
        pixels, labels = x[chosen], y[chosen].astype(np.int32)
        keras.backend.clear_session()
        model = _model(name, number, "float32", smooth)
        values = {path: v.numpy() for path, v in variables_by_path(model).items()}
        trained = [path for path, v in variables_by_path(model).items() if v.trainable]
        found = {who: run(values, preprocess(name, pixels), labels) for who, run in exported.items()}
        found["Keras float32"] = _keras(model, preprocess(name, pixels), labels)
        wide = _model(name, number, "float64", smooth)
        exact = _keras(wide, preprocess(name, pixels, "float64"), labels)
        random = np.random.default_rng(number)
        for path in trained:
            signs = random.choice([-1.0, 1.0], values[path].shape)
            variables_by_path(wide)[path].assign(values[path].astype(np.float64) * (1 + signs * 2.0**-24))
        found["float64, moved"] = _keras(wide, preprocess(name, pixels, "float64"), labels)
        for variant, gradients in found.items():
            errors.setdefault(variant, []).append(_errors(gradients, exact))
    return {
        variant: {
            "error": float(np.median([e[0] for e in pairs])),
            "largest": max(e[0] for e in pairs),
            "tail": float(np.median([e[1] for e in pairs])),
            "largest_tail": max(e[1] for e in pairs),
        }
        for variant, pairs in errors.items()
    }


def _model(name: str, seed: int, dtype: str, smooth: bool) -> Any:
    import keras

    model = initial_model(name, seed, dtype)
    if not smooth:
        return model

    def without_kinks(layer: Any) -> Any:
        if isinstance(layer, keras.layers.ReLU):
            return keras.layers.Activation("silu", name=layer.name, dtype=dtype)
        return type(layer).from_config(layer.get_config())

    clone = keras.models.clone_model(model, clone_function=without_kinks, recursive=True)
    clone.set_weights(model.get_weights())
    return clone


def _exported(output: Path, name: str, smooth: bool) -> dict[str, Any]:
    """Return how to take a gradient with the exported file, for each runtime by name."""
    from model_export import export
    from model_export.conftest import Elsewhere, play_here

    bundle = output / f"{name}-plain{'-smooth' if smooth else ''}"
    if not bundle.exists():
        export(_model(name, 0, "float32", smooth), bundle, batch_size=NETWORKS[name].batch, measure=False)
    content = (bundle / "model.tflite").read_bytes()
    manifest = json.loads((bundle / "manifest.json").read_text())
    keys = dict(zip(manifest["state"], sorted(manifest["signatures"]["set"]["inputs"])))

    def gradients(play: Any, values: Gradients, x: np.ndarray, y: np.ndarray) -> Gradients:
        fed = {"x": x, "y": y, "w": np.ones(len(y), np.float32), "learning_rate": np.float32(_LEARNING_RATE)}
        initial = {key: values[path] for path, key in keys.items()}
        *_, after = play(content, [("set", initial), ("train", fed), ("get", {})])
        return {path: (values[path].astype(np.float64) - after[key]) / _LEARNING_RATE for path, key in keys.items()}

    players = {"exported": play_here}
    if LEGACY.exists():
        folder = output / "elsewhere"
        folder.mkdir(exist_ok=True)
        players["exported, 2.14"] = Elsewhere(str(LEGACY), folder)
    return {who: functools.partial(gradients, play) for who, play in players.items()}


def _keras(model: Any, x: np.ndarray, y: np.ndarray) -> Gradients:
    import tensorflow as tf

    variables = {path: v for path, v in variables_by_path(model).items() if v.trainable}
    with tf.GradientTape() as tape:
        logits = model(tf.constant(x), training=True)
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(y, logits))
    found = tape.gradient(loss, {path: v.value for path, v in variables.items()})
    return {path: gradient.numpy().astype(np.float64) for path, gradient in found.items()}


def _errors(found: Gradients, exact: Gradients) -> tuple[float, float]:
    """Relative error of all gradients together, and the largest of one variable."""
    size = np.sqrt(sum(float(np.sum(g**2)) for g in exact.values()))
    each = {path: float(np.linalg.norm(found[path] - g)) for path, g in exact.items()}
    norms = {path: float(np.linalg.norm(g)) for path, g in exact.items()}
    together = float(np.sqrt(sum(error**2 for error in each.values())) / size)
    return together, max(each[path] / norms[path] for path in exact if norms[path] > _NEGLIGIBLE * size)


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.path.insert(0, str(ROOT))
    sys.exit(main())
