"""The experiment of the IoT paper: accuracy, time and memory of an MLP's training by samples and by number format.

Zhang, "Towards a Federated Learning Framework for Heterogeneous Devices of Internet of Things" (2021), section 6: five
layers of ten sigmoid neurons; two classes of five Gaussian features with standard deviation 1 around -1 and 1; batch
gradient descent; 1,000 samples to validate on; means of 20 runs. Figures 2 and 3 are float64 with 500 to 2,000 training
samples, figure 4 is float64 beside float32 with 1,000. Here float24, bfloat16 and float16 stand beside them.

What the paper does not say and is chosen here: kernels are uniform in Glorot's range times 4, as Glorot and Bengio
advise for logistic neurons (with the plain range five sigmoid layers learn nothing for hundreds of epochs), biases are
zero, the learning rate is 0.5, and the output layer has one logit a class.

* accuracy: on the 1,000 samples, after each epoch, mean of all runs;
* time: of one epoch, the median over all epochs but the first of all runs;
* memory: the peak of what NumPy allocates during an epoch beyond weights and data (``tracemalloc``), of one run.

float24 is emulated in float32, so its time and memory are float32's or worse. NumPy has no fast arithmetic for float16
and bfloat16 on x86-64: their time says what emulation costs, their memory is real.

    .venv/bin/python benchmarks/iot_data_types.py                       # tables
    .venv/bin/python benchmarks/iot_data_types.py --plots docs/images   # and the figures
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
import tracemalloc
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from edge_client.mlp import FORMATS, MlpTrainer  # noqa: E402

SIZES = (5, 10, 10, 10, 10, 10, 2)
SAMPLES = (500, 1000, 1500, 2000)
LEARNING_RATE = 0.5


@dataclass(frozen=True)
class Result:
    """Means over the runs: accuracy after each epoch; milliseconds and peak kilobytes of an epoch."""

    accuracy: list[float]
    epoch_ms: float
    memory_kb: float

    @property
    def epochs_to_98(self) -> int:
        """First epoch whose mean accuracy is at least 98 %; 0 if none is."""
        return next((epoch for epoch, value in enumerate(self.accuracy, 1) if value >= 0.98), 0)


def initial(seed: int) -> dict[str, np.ndarray]:
    """Weights of a run."""
    random = np.random.default_rng([seed, 0])
    weights = {}
    for number, (inputs, outputs) in enumerate(zip(SIZES, SIZES[1:])):
        limit = 4 * np.sqrt(6 / (inputs + outputs))
        weights[f"layer{number}/kernel"] = random.uniform(-limit, limit, (inputs, outputs))
        weights[f"layer{number}/bias"] = np.zeros(outputs)
    return weights


def samples(count: int, seed: int, part: int) -> tuple[np.ndarray, np.ndarray]:
    """Gaussian features around -1 (class 0) and 1 (class 1)."""
    random = np.random.default_rng([seed, part])
    y = random.integers(0, 2, count)
    return random.normal(size=(count, SIZES[0])) + (2 * y - 1)[:, None], y


def measure(format: str, count: int, runs: int, epochs: int) -> Result:
    """Train some runs."""
    curves, times = [], []
    for seed in range(runs):
        x, y = samples(count, seed, 1)
        validation = samples(1000, seed, 2)
        trainer = MlpTrainer(initial(seed), format=format)
        curve = []
        for _ in range(epochs):
            began = time.perf_counter()
            trainer.train_step(x, y, LEARNING_RATE)
            times.append(time.perf_counter() - began)
            curve.append(trainer.evaluate(*validation)[1])
        curves.append(curve)
    trainer.train_step(x, y, LEARNING_RATE)
    tracemalloc.start()
    trainer.train_step(x, y, LEARNING_RATE)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return Result(np.mean(curves, axis=0).tolist(), 1e3 * statistics.median(times), peak / 1e3)


def chart(title: str, curves: dict[str, list[float]], unit: str) -> str:
    """Draw lines over epochs as an SVG that suits light and dark pages."""
    colours = ("#3b6fb6", "#d1742a", "#2f9463", "#b23a55", "#7a5bb0")
    width, height, left, bottom = 640, 320, 52, 276
    values = [value for curve in curves.values() for value in curve]
    low, high = min(values), max(values)
    epochs = max(len(curve) for curve in curves.values())
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
        f'font-size="12"><title>{title}</title><rect width="{width}" height="{height}" fill="#fff"/>'
        f'<text x="{left}" y="18" font-weight="bold">{title}</text>'
    ]
    for part in range(5):
        level, y = low + (high - low) * part / 4, bottom - 236 * part / 4
        parts.append(f'<path d="M{left} {y:.0f}H{width - 12}" stroke="#ddd"/>')
        parts.append(f'<text x="{left - 6}" y="{y + 4:.0f}" text-anchor="end">{level:.2f}</text>')
        x = left + (width - 12 - left) * part / 4
        parts.append(f'<text x="{x:.0f}" y="{bottom + 16}" text-anchor="middle">{1 + (epochs - 1) * part // 4}</text>')
    parts.append(f'<text x="{width - 12}" y="{height - 10}" text-anchor="end">{unit} by epoch</text>')
    for number, (name, curve) in enumerate(curves.items()):
        points = " ".join(
            f"{left + (width - 12 - left) * i / (epochs - 1):.1f},{bottom - 236 * (v - low) / (high - low or 1):.1f}"
            for i, v in enumerate(curve)
        )
        dash = ("", "7 3", "2 3", "9 3 2 3", "4 2")[number]
        parts.append(
            f'<polyline points="{points}" fill="none" stroke="{colours[number]}" stroke-width="2" '
            f'stroke-dasharray="{dash}"/>'
        )
        parts.append(f'<text x="{width - 120}" y="{150 + 18 * number}" fill="{colours[number]}">{name}</text>')
    return "\n".join([*parts, "</svg>\n"])


def table(head: str, results: dict[str, Result]) -> None:
    """Print a table in Markdown."""
    print(f"| {head} | best accuracy | epochs to 98 % | ms an epoch | peak kB an epoch |\n|---|---|---|---|---|")
    for name, result in results.items():
        reached = result.epochs_to_98 or "–"
        print(
            f"| {name} | {max(result.accuracy):.4f} | {reached} | {result.epoch_ms:.2f} | {result.memory_kb:,.0f} |",
            flush=True,
        )
    print()


def main() -> None:
    """Run the experiment."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--plots", type=Path, help="folder for the figures")
    options = parser.parse_args()
    by_size = {str(n): measure("float64", n, options.runs, options.epochs) for n in SAMPLES}
    table("training samples (float64)", by_size)
    by_format = {name: measure(name, 1000, options.runs, options.epochs) for name in FORMATS}
    table("format (1,000 samples)", by_format)
    if options.plots:
        for name, title, results in (
            ("iot-samples", "Validation accuracy by training samples, float64", by_size),
            ("iot-formats", "Validation accuracy by number format, 1,000 samples", by_format),
        ):
            curves = {key: result.accuracy for key, result in results.items()}
            (options.plots / f"{name}.svg").write_text(chart(title, curves, "accuracy"), encoding="utf-8")


if __name__ == "__main__":
    main()
