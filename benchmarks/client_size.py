"""Installed size and start-up time of the Python client, beside a stock SuperNode environment with TensorFlow.

Makes two virtual environments with the versions pinned in requirements/dev.txt: one with what ``pocketfleet[edge]``
needs and the package itself, one with ``flwr`` and ``tensorflow``. Sizes are those of site-packages without pip and
setuptools. Start-up is the wall time from the start of a process to the end of its first training step on a small CNN,
less the wall time of ``python -c pass``, as the median over some runs.

    .venv/bin/python benchmarks/client_size.py
    .venv/bin/python benchmarks/client_size.py --keep /tmp/environments --runs 9 --json
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LEAN = [f"{ROOT}[edge]"]
STOCK = ["flwr", "tensorflow", str(ROOT)]
FIRST_STEP = """
import sys
import numpy as np
import edge_client.client, edge_client.transport.fleet
from edge_client.trainer import Trainer
trainer = Trainer(sys.argv[1])
x = np.zeros((trainer.batch_size, *trainer.manifest.input.shape), np.uint8)
loss = trainer.train_step(x, np.zeros(trainer.batch_size, np.int32), 0.01)
assert np.isfinite(loss)
assert "tensorflow" not in sys.modules and "flwr" not in sys.modules
"""
STOCK_FIRST_STEP = """
import flwr.clientapp
import numpy as np
import keras
from model_export.zoo.small_cnn import small_cnn
model = small_cnn((8, 8, 1), 10)
model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
model.train_on_batch(np.zeros((16, 8, 8, 1), np.float32), np.zeros(16, np.int32))
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", type=Path, help="folder for the environments; reused when they are there")
    parser.add_argument("--runs", type=int, default=5, help="process starts to take the median of (default: 5)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        lean = environment(folder / "lean", LEAN)
        stock = environment(folder / "stock", STOCK)
        bundle = folder / "bundle"
        if not bundle.exists():
            export_bundle(bundle)
        # Alternately, so that a slow moment of the machine hits both.
        starts: dict[str, list[float]] = {"bare": [], "lean": [], "stock": []}
        for _ in range(options.runs):
            starts["bare"].append(seconds([str(lean), "-c", "pass"]))
            starts["lean"].append(seconds([str(lean), "-c", FIRST_STEP, str(bundle)]))
            starts["stock"].append(seconds([str(stock), "-c", STOCK_FIRST_STEP]))
        bare = statistics.median(starts["bare"])
        figures = {
            "client installed (MB)": installed_bytes(lean) / 1e6,
            "stock installed (MB)": installed_bytes(stock) / 1e6,
            "installed, client / stock": installed_bytes(lean) / installed_bytes(stock),
            "client start to first step (s)": statistics.median(starts["lean"]) - bare,
            "stock start to first step (s)": statistics.median(starts["stock"]) - bare,
        }
    if options.json:
        print(json.dumps(figures, indent=1))
    else:
        for name, value in figures.items():
            print(f"{name:34}{value:10.3f}")
    return 0


def environment(path: Path, names: Sequence[str]) -> Path:
    """Make a virtual environment with some packages, pinned as in requirements/dev.txt; return its Python."""
    python = path / "bin" / "python"
    if not (path / "ready").exists():
        print(f"making {path} with {', '.join(names)}", file=sys.stderr)
        pins = re.findall(r"^([A-Za-z0-9_.-]+==[^\s\\]+)", (ROOT / "requirements/dev.txt").read_text(), re.MULTILINE)
        constraints = path.parent / "constraints.txt"
        constraints.write_text("\n".join(pins))
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(path)], check=True)
        install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*install, "-c", str(constraints), *names], check=True)
        (path / "ready").touch()
    return python


def export_bundle(path: Path) -> None:
    """Export the demo's CNN, in a process of its own."""
    code = (
        "import sys; from model_export import export; from model_export.zoo.small_cnn import small_cnn\n"
        "export(small_cnn((8, 8, 1), 10), sys.argv[1], batch_size=16, measure=False)"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=True, cwd=ROOT, stderr=subprocess.DEVNULL)


def installed_bytes(python: Path) -> int:
    """Return the bytes of an environment's site-packages, without what every environment starts with."""
    (packages,) = python.parent.parent.glob("lib/python3*/site-packages")
    always = re.compile(r"(pip|setuptools|_distutils_hack|pkg_resources)\b")
    files = [file for file in packages.rglob("*") if not always.match(file.relative_to(packages).parts[0])]
    return sum(file.stat().st_size for file in files if file.is_file())


def seconds(command: Sequence[str]) -> float:
    """Return the wall time of a command."""
    start = time.monotonic()
    subprocess.run(command, check=True, cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.monotonic() - start


if __name__ == "__main__":
    raise SystemExit(main())
