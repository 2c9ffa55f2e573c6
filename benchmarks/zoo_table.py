"""Every network of the zoo: whole, from three cuts, and head alone, on both runtimes.

For each: whether the file holds builtin ops only; how far one step lies from Keras in float64, beside how far Keras in
float32 lies from it (change of all variables, relative); time and peak memory of a step; size of the file. Each network
runs in a process of its own and leaves one file in the output folder; what is there is not repeated.

    .venv/bin/python benchmarks/zoo_table.py
    .venv/bin/python benchmarks/zoo_table.py --networks mlp small_cnn --threads 1
    .venv/bin/python benchmarks/zoo_table.py --write docs/zoo.md
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
LEGACY = ROOT / ".venv-legacy" / "bin" / "python"
CLASSES, LEARNING_RATE, MOMENTUM, SEED = 10, 0.01, 0.9, 7
BEGIN, END = "<!-- table: begin -->\n", "<!-- table: end -->"


@dataclass(frozen=True)
class Entry:
    """How a network is built for the table."""

    shape: tuple[int, ...] = (32, 32, 3)
    batch: int = 16
    options: Mapping[str, Any] = field(default_factory=dict)


ENTRIES = {
    "mlp": Entry((4,)),
    "sensor_cnn": Entry((128, 6)),
    "sensor_lstm": Entry((32, 6)),
    "keyboard_lstm": Entry((10,)),
    "small_cnn": Entry(),
    "resnet20": Entry(),
    "resnet18": Entry(),
    "mobilenet_v1": Entry(options={"alpha": 0.25}),
    "mobilenet_v2": Entry(options={"alpha": 0.35}),
    "mobilenet_v3_small": Entry(),
    "mobilenet_v3_large": Entry(),
    "shufflenet_v2": Entry(options={"width": 0.5}),
}


def main() -> int:
    """Run what is missing; print or write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", choices=ENTRIES, default=list(ENTRIES))
    parser.add_argument("--threads", type=int, default=1, help="threads of the runtimes (default: %(default)s)")
    parser.add_argument("--output", type=Path, default=ROOT / "runs" / "zoo_table")
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the table between its marks in FILE")
    parser.add_argument("--worker", choices=ENTRIES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        _work(options.worker, options.threads, options.output)
        return 0
    if not LEGACY.exists():
        print(f"{LEGACY} is not there (scripts/test makes it): no rows for tflite-runtime", file=sys.stderr)
    options.output.mkdir(parents=True, exist_ok=True)
    failed = 0
    results = {name: result_file(options.output, name, options.threads) for name in options.networks}
    for name, result in results.items():
        if not result.exists():
            failed += not _start(name, options)
    rows = [row for result in results.values() if result.exists() for row in json.loads(result.read_text())]
    table = markdown(rows)
    print(table)
    if options.write:
        text = options.write.read_text() if options.write.exists() else f"{BEGIN}{END}\n"
        before, _, rest = text.partition(BEGIN)
        options.write.write_text(f"{before}{BEGIN}\n{table}\n{END}{rest.partition(END)[2]}")
    return 1 if failed else 0


def result_file(output: Path, name: str, threads: int) -> Path:
    """Where the rows of a network are left."""
    return output / (f"{name}.json" if threads == 1 else f"{name}-{threads}-threads.json")


def _start(name: str, options: argparse.Namespace) -> bool:
    command = [sys.executable, __file__, "--worker", name, "--threads", str(options.threads)]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [*command, "--output", str(options.output)], capture_output=True, text=True, check=False, env=environment
    )
    problem = done.stderr.strip().splitlines()[-1] if done.returncode else "done"
    print(f"{name}: {problem}", file=sys.stderr, flush=True)
    return done.returncode == 0


def markdown(rows: list[dict[str, Any]]) -> str:
    """Lay the rows out as a Markdown table."""
    lines = [
        "| network, input, batch | trained | runtime | builtin | step − float64 | Keras float32 − float64 | step ms "
        "| memory MB | file MB |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        first = row["part"] == "all" and row["runtime"].startswith("ai-edge")
        cells = [
            f"**{row['network']}**, {row['input']}, {row['batch']}" if first else "",
            row["part"],
            row["runtime"],
            "yes" if row["builtin"] else "**no**",
            f"{row['error']:.1e}",
            f"{row['keras_error']:.1e}",
            f"{row['step_ms']:.3g}",
            f"{row['memory_bytes'] / 1e6:.1f}",
            f"{row['file_bytes'] / 1e6:.2f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _work(name: str, threads: int, output: Path) -> None:
    import keras

    from model_export import Sgd, export
    from model_export.errors import ExportError
    from model_export.network import read_network
    from model_export.suffix import first_trained
    from model_export.zoo import ARCHITECTURES, build

    entry, architecture = ENTRIES[name], ARCHITECTURES[name]
    keras.utils.set_random_seed(SEED)
    model = build(name, entry.shape, CLASSES, **entry.options)
    network = read_network(model)
    try:
        head_at = first_trained(network, "head")
    except ExportError:
        head_at = None  # A network without a base: its head is all of it.
    cuts = _cuts(network, head_at or len(network.nodes) - 1)
    common: dict[str, Any] = {
        "batch_size": entry.batch,
        "optimizer": Sgd(momentum=MOMENTUM),
        "input_scale": architecture.input_scale,
        "input_offset": architecture.input_offset,
        "measure": False,
    }
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        whole = export(model, Path(folder) / "whole", cuts=cuts, **common)
        parts = [("all", whole, None, 0), *((f"from {cut}", whole, cut, network.index(cut)) for cut in cuts)]
        if head_at is not None:
            parts.append(("head", export(model, Path(folder) / "head", trainable="head", **common), None, head_at))
        for part, bundle, cut, first in parts:
            rows += _part(network, bundle, bundle.manifest.training_signature(cut), first, threads)
            for row in rows:
                row.setdefault("part", part)
    for row in rows:
        row.update(network=name, input="×".join(map(str, entry.shape)), batch=entry.batch)
    temporary = output / f"{name}.part"
    temporary.write_text(json.dumps(rows, indent=1))
    temporary.replace(result_file(output, name, threads))


def _cuts(network: Any, head: int) -> list[str]:
    """Up to three layers with weights, at about a quarter, a half and three quarters of those before the head."""
    kernels = [node.name for node in network.nodes[:head] if any(p.endswith("/kernel") for p in node.variables)]
    places = dict.fromkeys(max(1, len(kernels) * i // 4) for i in (1, 2, 3))
    return [kernels[place] for place in places if place < len(kernels)]


def _part(network: Any, bundle: Any, signature: str, first: int, threads: int) -> list[dict[str, Any]]:
    """Rows of one part, one a runtime."""
    from model_export.bundle import BASE, MODEL
    from model_export.check import check_input
    from model_export.measure import measure_signature
    from model_export.options import Sgd
    from model_export.reference import Reference
    from model_export.tflite_file import foreign_ops

    manifest = bundle.manifest
    x = check_input(network, manifest.batch_size, manifest.input.scale, manifest.input.offset)
    y = np.arange(manifest.batch_size, dtype=np.int32) % CLASSES
    references = {dtype: Reference(network, dtype) for dtype in ("float64", "float32")}
    before = references["float64"].values
    for reference in references.values():
        reference.step(x, y, LEARNING_RATE, Sgd(momentum=MOMENTUM), first=first, seed=SEED)
    exact = _changes(references["float64"].values, before, manifest.state)
    rounded = _changes(references["float32"].values, before, manifest.state)
    fed = {
        "y": y,
        "w": np.ones(len(y), np.float32),
        "learning_rate": np.float32(LEARNING_RATE),
        "seed": np.int32(SEED),
    }
    content = bundle.read(MODEL)
    base_bytes = bundle.manifest.files[BASE].bytes if BASE in bundle.manifest.files else 0
    rows = []
    for python in (Path(sys.executable), LEGACY):
        if not python.exists():
            continue
        run = _Player(python, bundle.path / MODEL)
        inputs: dict[str, Any] = {"x": x}
        if signature == "train_head":
            base = _Player(python, bundle.path / BASE)
            inputs = {"features": base([("features", {"x": x})])[0]["features"]}
        wanted = manifest.signatures[signature].inputs
        inputs.update({key: value for key, value in fed.items() if key in wanted})
        _, after = run([(signature, inputs), ("get", {})])
        found = _changes(dict(zip(manifest.state, after.values(), strict=True)), before, manifest.state)
        figures = measure_signature(
            bundle.path / MODEL, manifest.signatures[signature], signature, threads, python=str(python)
        )
        rows.append(
            {
                **figures,
                "builtin": not foreign_ops(content),
                "error": float(np.linalg.norm(found - exact) / np.linalg.norm(exact)),
                "keras_error": float(np.linalg.norm(rounded - exact) / np.linalg.norm(exact)),
                "file_bytes": len(content) + base_bytes,
            }
        )
    return rows


def _changes(after: Mapping[str, Any], before: Mapping[str, Any], state: tuple[str, ...]) -> np.ndarray:
    return np.concatenate([(np.asarray(after[path], np.float64) - before[path]).ravel() for path in state])


class _Player:
    """Plays calls back with the runtime of a Python, in a process each time (`model_export.runner`)."""

    def __init__(self, python: Path, model: Path) -> None:
        self._python = python
        self._model = model

    def __call__(self, calls: list[tuple[str, dict[str, Any]]]) -> list[dict[str, Any]]:
        from model_export.runner import load_calls, save_calls

        with tempfile.TemporaryDirectory() as folder:
            given, results = (os.path.join(folder, name) for name in ("calls.npz", "results.npz"))
            save_calls(given, calls)
            command = [str(self._python), "-m", "model_export.runner"]
            files = json.dumps([str(self._model), given, results])
            done = subprocess.run(command, cwd=ROOT, input=files, capture_output=True, text=True, check=False)
            if done.returncode or done.stdout != "\n":
                raise RuntimeError(done.stderr.strip() or done.stdout.strip())
            return [values for _, values in load_calls(results)]


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    sys.exit(main())
