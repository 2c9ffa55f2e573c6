"""Long-run study: whether training the exported file follows Keras.

Each network is trained four times from the same weights with the same batches in the same order: the exported file on
LiteRT, Keras in float32, Keras in float32 from weights that differ in their last bit ("twin"), and Keras in float64.
Two float32 trainings drift apart chaotically, whatever computes them; so what counts is whether the exported file ends
as near to float64 as Keras's own two float32 runs do (`fidelity_report` has the rule). Every run is a process of its
own with one thread and leaves one file in the output folder; runs that are there are not repeated.

    .venv/bin/python benchmarks/training_fidelity.py
    .venv/bin/python benchmarks/training_fidelity.py --networks resnet20 --seeds 5 --jobs 1
    .venv/bin/python benchmarks/training_fidelity.py --report docs/training_fidelity.md --images docs/images
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
VARIANTS = ("exported", "keras32", "twin", "keras64")
TEST_IMAGES = 4000


@dataclass(frozen=True)
class Network:
    """What is trained: an architecture of the zoo for CIFAR-10, batch size and the first learning rate."""

    architecture: str
    batch: int
    learning_rate: float
    options: dict[str, Any] = field(default_factory=dict)


NETWORKS = {
    "bn_cnn": Network("small_cnn", 32, 0.02),
    "resnet20": Network("resnet20", 16, 0.02),
    "mobilenet_v2_035": Network("mobilenet_v2", 32, 0.02, {"alpha": 0.35, "hidden": 0}),
}
MOMENTUM, WEIGHT_DECAY = 0.9, 5e-4
# That of the zoo's own networks. MobileNetV2 of keras.applications has 0.999, and would be tested after 1,500 steps by
# statistics that are still one fifth the initial ones.
NORM_MOMENTUM = 0.9


def main() -> int:
    """Run what is missing; report on what is there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--seeds", type=int, default=5, help="trainings of each network (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--output", type=Path, default=ROOT / "runs" / "training_fidelity")
    parser.add_argument("--jobs", type=int, default=2, help="runs at once (default: %(default)s)")
    parser.add_argument("--report", type=Path, help="Markdown file to write; no more runs are made")
    parser.add_argument("--images", type=Path, default=ROOT / "docs" / "images", help="folder of the plots")
    parser.add_argument("--worker", nargs=3, metavar=("NETWORK", "SEED", "VARIANT"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        name, seed, variant = options.worker
        _train(options.output, name, int(seed), variant, options.steps)
        return 0
    if options.report:
        from fidelity_report import write_report

        write_report(options.output, options.report, options.images)
        return 0
    options.output.mkdir(parents=True, exist_ok=True)
    decode_images(options.output)
    _bundles(options.output, options.networks)
    # Seed by seed, so that a study that is stopped has all variants of the seeds that it has.
    wanted = [(n, s, v) for s in range(options.seeds) for n in options.networks for v in options.variants]
    missing = [run for run in wanted if not result_file(options.output, *run, options.steps).exists()]
    print(f"{len(wanted) - len(missing)} of {len(wanted)} runs are there", flush=True)
    failed = 0
    with ThreadPoolExecutor(options.jobs) as pool:
        for run, seconds, problem in pool.map(lambda run: _start(options, run), missing):
            failed += bool(problem)
            print(f"{run[0]:18} seed {run[1]}  {run[2]:9} {problem or f'{seconds:.0f} s'}", flush=True)
    return 1 if failed else 0


def result_file(output: Path, network: str, seed: int, variant: str, steps: int) -> Path:
    """Where a run leaves losses, final weights and test figures."""
    return output / f"{network}-{seed}-{variant}-{steps}.npz"


def _start(options: argparse.Namespace, run: tuple[str, int, str]) -> tuple[tuple[str, int, str], float, str]:
    began = time.monotonic()
    command = [sys.executable, __file__, "--worker", *map(str, run)]
    command += ["--output", str(options.output), "--steps", str(options.steps)]
    # One thread, so that a run is the same each time it is made.
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": str(ROOT)}
    environment.update(OMP_NUM_THREADS="1", TF_NUM_INTRAOP_THREADS="1", TF_NUM_INTEROP_THREADS="1")
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    problem = done.stderr.strip().splitlines()[-1] if done.returncode else ""
    return run, time.monotonic() - began, problem


def decode_images(output: Path) -> None:
    """Decode CIFAR-10 once."""
    if (output / "cifar10.npz").exists():
        return
    shared = Path(os.environ.get("POCKETFLEET_SHARED", ROOT.parent / "shared"))
    sys.path.insert(0, str(shared / "data"))
    from load import cifar10

    x, y, _ = cifar10("train")
    test_x, test_y, _ = cifar10("test", TEST_IMAGES)
    part = output / "part.npz"
    np.savez(part, x=x, y=y, test_x=test_x, test_y=test_y)
    part.replace(output / "cifar10.npz")


def _bundles(output: Path, names: list[str]) -> None:
    from model_export import Sgd, export
    from model_export.zoo import ARCHITECTURES

    for name in names:
        if not (output / name).exists():
            network, architecture = NETWORKS[name], ARCHITECTURES[NETWORKS[name].architecture]
            export(
                initial_model(name, 0),
                output / name,
                batch_size=network.batch,
                optimizer=Sgd(momentum=MOMENTUM, weight_decay=WEIGHT_DECAY),
                input_scale=architecture.input_scale,
                input_offset=architecture.input_offset,
                measure=False,
            )


def initial_model(name: str, seed: int, dtype: str = "float32") -> Any:
    """Build a network with the weights of a seed; in float64 they are the same float32 numbers."""
    import keras

    from model_export.network import read_network
    from model_export.zoo import build

    def built(policy: str) -> Any:
        keras.utils.clear_session()
        keras.utils.set_random_seed(seed)
        keras.config.set_dtype_policy(policy)
        return build(NETWORKS[name].architecture, (32, 32, 3), 10, **NETWORKS[name].options)

    model = built("float32")
    for node in read_network(model).nodes:
        if isinstance(node.layer, keras.layers.BatchNormalization):
            node.layer.momentum = NORM_MOMENTUM
    if dtype == "float64":
        wide = built(dtype)
        wide.set_weights(model.get_weights())
        for layer in flat_layers(wide):
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.momentum = NORM_MOMENTUM
        keras.config.set_dtype_policy("float32")
        return wide
    return model


def flat_layers(model: Any) -> Iterator[Any]:
    """Layers of a Keras model and of the models in it."""
    for layer in model.layers:
        if hasattr(layer, "layers"):
            yield from flat_layers(layer)
        else:
            yield layer


def variables_by_path(model: Any) -> dict[str, Any]:
    """Keras variables by the path that a bundle gives them."""
    return {f"{layer.name}/{v.name}": v for layer in flat_layers(model) for v in layer.weights}


def preprocess(name: str, pixels: np.ndarray, dtype: str = "float32") -> np.ndarray:
    """Scale pixels as clients do: in float32, whatever computes on them."""
    from model_export.zoo import ARCHITECTURES

    architecture = ARCHITECTURES[NETWORKS[name].architecture]
    scale, offset = np.float32(architecture.input_scale), np.float32(architecture.input_offset)
    return (pixels.astype(np.float32) * scale + offset).astype(dtype)


Step = Callable[[np.ndarray, np.ndarray, float], float]


def _train(output: Path, name: str, seed: int, variant: str, steps: int) -> None:
    network = NETWORKS[name]
    with np.load(output / "cifar10.npz") as data:
        x, y, test_x, test_y = (data[key] for key in ("x", "y", "test_x", "test_y"))
    random = np.random.default_rng(1000 + seed)
    order = np.concatenate([random.permutation(len(x)) for _ in range(-(-steps * network.batch // len(x)))])
    step, weights = _exported(output, name, seed) if variant == "exported" else _keras(name, seed, variant)
    losses = np.empty(steps)
    for i in range(steps):
        chosen = order[i * network.batch : (i + 1) * network.batch]
        # Falling to a tenth: the end is then less the luck of the last batches.
        losses[i] = step(x[chosen], y[chosen].astype(np.int32), network.learning_rate * (1 - 0.9 * i / steps))
    final = weights()
    loss, accuracy = _test(name, seed, final, test_x, test_y)
    target = result_file(output, name, seed, variant, steps)
    arrays = {f"weights/{path.replace('/', '|')}": value for path, value in final.items()}
    part = target.with_name(f"part-{target.name}")
    np.savez(part, losses=losses, test_loss=loss, test_accuracy=accuracy, **arrays)
    part.replace(target)


def _exported(output: Path, name: str, seed: int) -> tuple[Step, Callable[[], dict[str, np.ndarray]]]:
    from edge_client import Trainer

    trainer = Trainer(output / name, num_threads=1)
    initial = variables_by_path(initial_model(name, seed))
    trainer.set_weights({path: initial[path].numpy() for path in trainer.manifest.state})
    return trainer.train_step, trainer.weights


def _keras(name: str, seed: int, variant: str) -> tuple[Step, Callable[[], dict[str, np.ndarray]]]:
    import keras
    import tensorflow as tf

    dtype = "float64" if variant == "keras64" else "float32"
    model = initial_model(name, seed, dtype)
    if variant == "twin":
        random = np.random.default_rng(seed)
        for variable in model.trainable_variables:
            value = variable.numpy()
            away = np.where(random.random(value.shape) < 0.5, -np.inf, np.inf).astype(np.float32)
            variable.assign(np.nextafter(value, away))
    optimizer = keras.optimizers.SGD(0.1, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY)
    optimizer.build(model.trainable_variables)

    @tf.function(autograph=False)  # type: ignore[untyped-decorator]
    def train(x: Any, y: Any, learning_rate: Any) -> Any:
        optimizer.learning_rate.assign(learning_rate)
        with tf.GradientTape() as tape:
            logits = model(x, training=True)
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(y, logits))
        optimizer.apply(tape.gradient(loss, [v.value for v in model.trainable_variables]), model.trainable_variables)
        return loss

    def step(pixels: np.ndarray, labels: np.ndarray, learning_rate: float) -> float:
        x = tf.constant(preprocess(name, pixels, dtype))
        return float(train(x, tf.constant(labels), tf.constant(np.float32(learning_rate))))

    return step, lambda: {path: v.numpy() for path, v in variables_by_path(model).items()}


def _test(
    name: str, seed: int, weights: dict[str, np.ndarray], pixels: np.ndarray, labels: np.ndarray
) -> tuple[float, float]:
    """Mean loss and accuracy on test images, always by Keras in float32: it is the weights that are compared."""
    model = initial_model(name, seed)
    for path, variable in variables_by_path(model).items():
        variable.assign(weights[path].astype(np.float32))
    logits = np.concatenate(
        [model(preprocess(name, pixels[i : i + 200]), training=False).numpy() for i in range(0, len(pixels), 200)]
    ).astype(np.float64)
    logits -= logits.max(axis=1, keepdims=True)
    likelihood = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    loss = -likelihood[np.arange(len(labels)), labels].mean()
    return float(loss), float((logits.argmax(axis=1) == labels).mean())


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    sys.exit(main())
