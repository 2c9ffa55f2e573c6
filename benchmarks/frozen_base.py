"""What a frozen base saves: a head's step beside the whole network's, the base beside plain inference, and its formats.

For MobileNetV2 with random weights and a head of two dense layers. One batch of each of these is timed:

* ``whole step``: a training step of the whole network; ``head step``: of the head, from cached features;
* ``plain``: the base as TensorFlow's converter makes it of the Keras model, batch norms folded;
* ``float32``, ``float16``, ``int8``: the base of a bundle in each format.

On each runtime the files of one network take turns in one process, so that other work on the machine hits all; the
fastest turn counts. Memory is of a process for each file alone: its highest resident memory less what it held before it
loaded the file.

    .venv/bin/python benchmarks/frozen_base.py --legacy .venv-legacy/bin/python
    .venv/bin/python benchmarks/frozen_base.py --alphas 0.35 --size 96 --turns 3
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Optional

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

CLASSES = 31
SLOW, FAST, PLAIN = "whole step", "head step", "plain"
FORMATS = ("float32", "float16", "int8")


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Measure and print a table in Markdown for each network and runtime."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--alphas", nargs="+", type=float, default=[0.35, 1.0], help="widths (default: %(default)s)")
    parser.add_argument("--size", type=int, default=224, help="pixels of an image's side (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=16, help="images of a batch (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--turns", type=int, default=8, help="timed calls of each base (default: %(default)s)")
    parser.add_argument("--legacy", metavar="PYTHON", help="Python with tflite-runtime 2.14")
    parser.add_argument("--folder", type=Path, help="keep the files here, and use those that are there")
    options = parser.parse_args(arguments)
    pythons = [sys.executable, *([options.legacy] if options.legacy else [])]
    with tempfile.TemporaryDirectory() as temporary:
        for alpha in options.alphas:
            folder = (options.folder or Path(temporary)) / f"{alpha}-{options.size}-{options.batch}"
            if not (folder / "done").exists():
                _command([sys.executable, __file__, "--export", alpha, options.size, options.batch, folder])
            for python in pythons:
                print(f"\n**MobileNetV2 {alpha:g}, {options.size} px, batch {options.batch}, ", end="")
                print(_table(measure(python, folder, options.threads, options.turns), options.threads), flush=True)
    return 0


def measure(python: str, folder: Path, threads: int, turns: int) -> dict[str, Any]:
    """Time the files of a network in turns, and measure each one's memory; see `play`."""
    steps, bases = [SLOW, FAST], [PLAIN, *FORMATS]
    figures = _play(python, folder, threads, 3, steps)
    # A step of the whole network would cost the bases their turns.
    figures["ms"].update(_play(python, folder, threads, turns, bases)["ms"])
    figures["memory_mb"] = {
        name: _play(python, folder, threads, 0, [name])["memory_kib"] / 1024 for name in (*steps, *bases)
    }
    figures["file_mb"] = {name: (folder / f"{name}.tflite").stat().st_size / 1e6 for name in (*steps, *bases)}
    return figures


def _table(figures: Mapping[str, Any], threads: int) -> str:
    ms = figures["ms"]
    lines = [f"{figures['runtime']}, {threads} thread{'s' * (threads > 1)}**", ""]
    lines += ["| | time of a batch | ratio | file | memory |", "|---|---|---|---|---|"]
    for name, value in ms.items():
        beside = SLOW if name in (SLOW, FAST) else PLAIN
        ratio = f"1/{ms[SLOW] / value:.0f}" if name == FAST else f"{value / ms[beside]:.2f}"
        sizes = f"{figures['file_mb'][name]:.2f} MB | {figures['memory_mb'][name]:.0f} MB"
        lines.append(f"| {name} | {value:{',.0f' if value >= 100 else '.3g'}} ms | {ratio} of {beside} | {sizes} |")
    return "\n".join(lines)


def _play(python: str, folder: Path, threads: int, turns: int, names: Sequence[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(_command([python, __file__, "--play", folder, threads, turns, *names]))
    return found


def _command(words: Sequence[Any]) -> str:
    done = subprocess.run([str(word) for word in words], stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout


def play(folder: str, threads: str, turns: str, *names: str) -> None:
    """Call each file once, then all in turns; print the runtime, the fastest times and the process's memory."""
    import time

    sys.path.insert(0, str(HERE / "step_peers"))
    from clock import memory_kib

    from model_export.runner import SignatureRunner, load_calls, runtime_name

    runtime = runtime_name()
    calls = {name: load_calls(f"{folder}/{name}.npz") for name in names}
    before = memory_kib("VmRSS")
    runners = {name: SignatureRunner(Path(folder, f"{name}.tflite").read_bytes(), int(threads)) for name in names}
    for name, run in runners.items():
        signature, inputs = calls[name][0]
        run(signature, **inputs)
    times: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(int(turns)):
        for name, run in runners.items():
            signature, inputs = calls[name][0]
            # A call that is over in less than the clock and the caches can be trusted for is repeated.
            repeats = 20 if name == FAST else 1
            start = time.perf_counter()
            for _ in range(repeats):
                run(signature, **inputs)
            times[name].append((time.perf_counter() - start) * 1e3 / repeats)
    figures = {"ms": {name: min(found) for name, found in times.items() if found}, "runtime": runtime}
    print(json.dumps({**figures, "memory_kib": memory_kib("VmHWM") - before}))


def export_files(alpha: str, size: str, batch: str, folder: str) -> None:
    """Write ``<name>.tflite`` and ``<name>.npz``, the call that `play` makes, for every name in the table."""
    import keras

    from model_export import Sgd, build
    from model_export.conversion import convert
    from model_export.frozen_base import FrozenBase, calibration_input
    from model_export.network import read_network
    from model_export.runner import save_calls
    from model_export.signatures import TrainableModel
    from model_export.suffix import first_trained

    shape, count, to = (int(size), int(size), 3), int(batch), Path(folder)
    to.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (count, *shape)).astype(np.uint8)
    x = pixels.astype(np.float32) / np.float32(127.5) - 1
    keras.utils.set_random_seed(0)
    model = build("mobilenet_v2", shape, CLASSES, alpha=float(alpha))
    base = next(layer for layer in model.layers if isinstance(layer, keras.Model))
    # With the statistics that fit the random weights, activations have the size of a trained network's.
    for layer in base.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    base(x, training=True)
    network = read_network(model)
    start = first_trained(network, "head")

    def keep(name: str, content: bytes, signature: str, inputs: dict[str, Any]) -> None:
        (to / f"{name}.tflite").write_bytes(content)
        save_calls(str(to / f"{name}.npz"), [(signature, inputs)])

    frozen = FrozenBase(network, count, start)
    for base_format in FORMATS:
        samples = calibration_input(
            pixels if base_format == "int8" else None, base_format, network, count, 1 / 127.5, -1
        )
        keep(base_format, frozen.convert(base_format, samples), "features", {"x": x})
    keep(PLAIN, _plain(base, (count, *shape)), "serving_default", {"x": x})
    y, w = random.integers(0, CLASSES, count).astype(np.int32), np.ones(count, np.float32)
    rest = {"y": y, "w": w, "learning_rate": np.float32(1e-3)}
    features = random.uniform(0, 1, frozen.describe().outputs["features"].shape).astype(np.float32)
    for name, first, entering in ((FAST, start, {"features": features}), (SLOW, 0, {"x": x})):
        trainable = TrainableModel(network, count, start=first, cuts={}, optimizer=Sgd(momentum=0.9))
        keep(name, convert(trainable), "train_head" if first else "train", {**entering, **rest})
    (to / "done").touch()


def _plain(base: Any, shape: tuple[int, ...]) -> bytes:
    import keras
    import tensorflow as tf

    x = keras.Input(shape[1:], batch_size=shape[0], name="x")
    content: bytes = tf.lite.TFLiteConverter.from_keras_model(keras.Model(x, base(x, training=False))).convert()
    return content


if __name__ == "__main__":
    if sys.argv[1:2] == ["--play"]:
        play(*sys.argv[2:])
    elif sys.argv[1:2] == ["--export"]:
        export_files(*sys.argv[2:])
    else:
        raise SystemExit(main())
