"""A small CNN trained compressed: accuracy, size and time of every technique at several degrees.

As in the IoT paper (Zhang 2021, section 5), the local model is compressed from the global one and then trained in that
form. Here the global model is the zoo's ``small_cnn`` (8, 16 and 32 filters) after five epochs on 300 of scikit-learn's
digits; it is exported under each option and trained for six more epochs on 1,137 others, with momentum 0.9 and
learning rate 0.02, in batches of 16. Accuracy is on 360 further digits: at once after compression, and after training;
means over the seeds.

* weights: bytes of ``initial.safetensors``, what the weights take in narrow storage;
* step: median time of a training step with one thread, as a ratio to that of the plain export in the same run.

``--sizes`` exports a perceptron of 216,586 weights instead (four layers of 256 neurons on 64 inputs, batches of 16) and
prints the kilobytes of its weights, of ``model.tflite`` and of the zip that travels: the CNN is so small that the graph
outweighs its weights.

    .venv/bin/python benchmarks/compressed_training.py --seeds 3
    .venv/bin/python benchmarks/compressed_training.py --sizes
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import keras  # noqa: E402
import numpy as np  # noqa: E402
from sklearn.datasets import load_digits  # noqa: E402

from edge_client import Trainer  # noqa: E402
from model_export import Sgd, build, export  # noqa: E402
from model_export.bundle import INITIAL, MODEL  # noqa: E402
from model_export.compression import Cluster, Compression, Prune, PruneChannels, Quantize  # noqa: E402

BATCH = 16


def _all(format: str, **options: Any) -> Compression:
    return Compression(quantize=Quantize(format, format, format, **options))


VARIANTS: dict[str, Compression] = {
    "plain": Compression(),
    "pruned 50 %": Compression(prune=Prune(0.5)),
    "pruned 80 %": Compression(prune=Prune(0.8)),
    "pruned 95 %": Compression(prune=Prune(0.95)),
    "pruned 80 %, globally": Compression(prune=Prune(0.8, "global")),
    "25 % of the channels removed": Compression(channels=PruneChannels(0.25)),
    "50 % of the channels removed": Compression(channels=PruneChannels(0.5)),
    "float24 throughout": _all("float24"),
    "float16 throughout": _all("float16"),
    "bfloat16 throughout": _all("bfloat16"),
    "bfloat16 throughout, stochastic": _all("bfloat16", stochastic=True),
    "int8 weights": Compression(quantize=Quantize("int8")),
    "int8 weights, stochastic": Compression(quantize=Quantize("int8", stochastic=True)),
    "int8 throughout, stochastic": _all("int8", stochastic=True),
    "int4 weights": Compression(quantize=Quantize("int4")),
    "int4 weights, stochastic": Compression(quantize=Quantize("int4", stochastic=True)),
    "64 clusters": Compression(cluster=Cluster(64)),
    "16 clusters": Compression(cluster=Cluster(16)),
    "16 clusters, sums": Compression(cluster=Cluster(16, "sum")),
    "4 clusters": Compression(cluster=Cluster(4)),
    "pruned 50 %, 16 clusters in float16": Compression(Prune(0.5), Quantize("float16"), Cluster(16)),
    "pruned 80 %, int8, stochastic": Compression(Prune(0.8), Quantize("int8", stochastic=True)),
}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--learning-rate", type=float, default=0.02, help="of the training that follows compression")
    parser.add_argument("--only", default="", help="plain, and the variants whose name begins with this")
    parser.add_argument("--sizes", action="store_true")
    options = parser.parse_args()
    if options.sizes:
        _sizes()
        return
    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.target))
    x = (digits.images[order] / 16).astype(np.float32)[..., None]
    y = digits.target[order].astype(np.int32)
    chosen = {k: v for k, v in VARIANTS.items() if k == "plain" or k.startswith(options.only)}
    rows: dict[str, list[tuple[float, float, float]]] = {name: [] for name in chosen}
    sizes = {}
    for seed in range(options.seeds):
        keras.utils.set_random_seed(seed)
        model = build("small_cnn", (8, 8, 1), 10, filters=(8, 16, 32))
        for name, compression in chosen.items():
            with tempfile.TemporaryDirectory() as folder:
                sgd = Sgd(momentum=0.9)
                bundle = export(model, Path(folder) / "b", batch_size=BATCH, optimizer=sgd, compression=compression)
                sizes[name] = bundle.manifest.files[INITIAL].bytes
                trainer = Trainer(bundle, num_threads=1)
            if name == "plain" and not rows["plain"][seed:]:
                _epochs(trainer, x[:300], y[:300], 5, 0.02, seed)
                weights = trainer.weights()
                for layer in model.layers:
                    for variable in layer.weights:
                        variable.assign(weights[f"{layer.name}/{variable.name}"])
            before = trainer.evaluate(x[1437:], y[1437:])[1]
            step_ms = _epochs(trainer, x[300:1437], y[300:1437], 6, options.learning_rate, seed + 100)
            rows[name].append((before, trainer.evaluate(x[1437:], y[1437:])[1], step_ms))
            print(f"seed {seed}: {name}: {rows[name][-1]}", file=sys.stderr, flush=True)
    print("| variant | at once | after training | weights, bytes | step |\n|---|---|---|---|---|")
    for name, found in rows.items():
        before, after, _ = np.mean(found, axis=0)
        ratio = statistics.median(row[2] / plain[2] for row, plain in zip(found, rows["plain"]))
        print(f"| {name} | {before:.3f} | {after:.3f} | {sizes[name]:,} | {ratio:.2f} |")


def _sizes() -> None:
    keras.utils.set_random_seed(0)
    model = build("mlp", (64,), 10, layers=4, units=256, activation="relu")
    print("| variant | weights, kB | model.tflite, kB | zip, kB |\n|---|---|---|---|")
    for name, compression in VARIANTS.items():
        with tempfile.TemporaryDirectory() as folder:
            bundle = export(model, Path(folder) / "b", batch_size=BATCH, compression=compression)
            sizes = [bundle.manifest.files[file].bytes for file in (INITIAL, MODEL)]
            cells = " | ".join(f"{size / 1000:,.0f}" for size in (*sizes, len(bundle.zipped())))
        print(f"| {name} | {cells} |", flush=True)


def _epochs(trainer: Trainer, x: np.ndarray, y: np.ndarray, epochs: int, rate: float, seed: int) -> float:
    """Train; return the median step in milliseconds."""
    times = []
    for epoch in range(epochs):
        order = np.random.default_rng([seed, epoch]).permutation(len(y))
        for start in range(0, len(y), BATCH):
            part = order[start : start + BATCH]
            began = time.perf_counter()
            trainer.train_step(x[part], y[part], rate, seed=len(times))
            times.append(time.perf_counter() - began)
    return 1e3 * statistics.median(times)


if __name__ == "__main__":
    main()
