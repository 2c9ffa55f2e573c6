r"""Tables 2a, 2b and 3 of the on-device paper from device profiles: minutes and kilojoules by the planner.

Mathur et al., "On-device Federated Learning with Flower" (2021). The catalog's profiles hold what one row of each
table says of a device (``[[published]]`` in ``device_profiles/catalog``): seconds of an epoch, of a round beside
training, and watts. The other rows are worked out by the simulator's clock, which the planner asks; nothing is trained,
so there are no accuracies here (``table_3.py`` and ``../table_2b.py`` have them).

    .venv/bin/python benchmarks/papers/tables_from_profiles.py --write docs/planning.md \
        --plot docs/images/planning-trade-offs.svg
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

import numpy as np

from benchmarks.papers.cases import write_section
from device_profiles import load_profile
from device_profiles.profile import Published
from model_export.bundle import Bundle
from model_export.files import write_atomically
from python_server.experiment import Experiment, parse_experiment
from python_server.model import RunBundles
from python_server.planner.fleet import PlannedDevice, of_experiment
from python_server.planner.forecast import forecast
from python_server.planner.results import Forecast
from python_server.planner.suggest import drawn, suggestions

__all__ = ["TABLES", "rows_of"]

PHONES = ("pixel_4", "pixel_3", "pixel_2", "galaxy_tab_s6", "galaxy_tab_s4")
_FULL = "put in"

# Devices, epochs, rounds, cutoff in minutes, whether the row was put in; the paper's minutes and kilojoules.
TABLES: dict[str, list[tuple[str, str, int, int, int, float, bool, float, float | None]]] = {
    "profiles-2a": [
        ("E = 1", "gpu", 10, 1, 40, 0, False, 17.63, 10.21),
        ("E = 5", "gpu", 10, 5, 40, 0, False, 36.83, 50.54),
        ("E = 10", "gpu", 10, 10, 40, 0, True, 80.32, 100.95),
    ],
    "profiles-2b": [
        ("C = 4", "phones", 4, 5, 20, 0, True, 30.7, 10.4),
        ("C = 7", "phones", 7, 5, 20, 0, False, 31.3, 19.72),
        ("C = 10", "phones", 10, 5, 20, 0, False, 31.8, 28.0),
    ],
    "profiles-3": [
        ("GPU, τ = 0", "gpu", 10, 10, 40, 0, True, 80.32, None),
        ("CPU, τ = 0", "cpu", 10, 10, 40, 0, True, 102.0, None),
        ("CPU, τ = 2.23 min", "cpu", 10, 10, 40, 2.23, False, 89.15, None),
        ("CPU, τ = 1.99 min", "cpu", 10, 10, 40, 1.99, False, 80.34, None),
    ],
}

EXPERIMENT = """\
name = "paper"
rounds = {rounds}
model = {{ bundle = "{bundle}" }}
train = {{ epochs = {epochs} }}
[strategy]
name = "processor_cutoff"
default_cutoff_s = {cutoff_s}
[simulation]
devices = {devices}
data = "{data}"
overhead_s = {overhead_s}
"""
PROFILE = """\
[[simulation.profiles]]
name = "{name}"
step_ms = {step_ms}
idle_w = {idle_w}
power_w = {power_w}
"""
STEPS = 100
"""Of an epoch: the paper's batch size is not known, and the cutoff ends a device at a whole step."""


def published(device: str, processor: str) -> Published:
    """Return what is published of training on a device."""
    return next(each for each in load_profile(device).published if each.processor == processor)


def devices_of(
    bundle: Path, folder: Path, kind: str, devices: int, epochs: int, rounds: int, cutoff_min: float
) -> tuple[Experiment, RunBundles, list[PlannedDevice]]:
    """Return the experiment of a row, with its bundle and devices."""
    kinds = {"phones": [(name, "cpu") for name in PHONES], "both": [("jetson_tx2", "gpu"), ("jetson_tx2", "cpu")]}
    named = kinds.get(kind, [("jetson_tx2", kind)])
    known = [published(name, processor) for name, processor in named]
    samples = STEPS * Bundle.load(bundle).manifest.batch_size * devices
    data = folder / f"{samples}.npz"
    if not data.exists():
        shape = (samples, *Bundle.load(bundle).manifest.input.shape)
        np.savez(data, x=np.broadcast_to(np.uint8(0), shape), y=np.arange(samples) % 2)
    text = EXPERIMENT.format(
        rounds=rounds,
        bundle=bundle,
        epochs=epochs,
        cutoff_s=60 * cutoff_min,
        devices=devices,
        data=data,
        overhead_s=max(1e-9, *(each.round_s for each in known), 0),
    )
    for (name, processor), each in zip(named, known):
        step_ms, watts = 1000 * each.epoch_s / STEPS, each.power_w or 0.0
        text += PROFILE.format(name=f"{name}-{processor}", step_ms=step_ms, idle_w=0.0, power_w=watts)
    experiment = parse_experiment(text.encode(), folder, "a row of the table")
    model = RunBundles(experiment.model.bundle)
    return experiment, model, of_experiment(experiment, model)


def planned(
    bundle: Path, folder: Path, kind: str, devices: int, epochs: int, rounds: int, cutoff_min: float
) -> Forecast:
    """Return the plan of a row."""
    return forecast(*devices_of(bundle, folder, kind, devices, epochs, rounds, cutoff_min))


def trade_offs(bundle: Path, folder: Path) -> str:
    """Return a picture of what E and the paper's τ cost where half of the TX2s train on the CPU."""
    experiment, model, fleet = devices_of(bundle, folder, "both", 10, 10, 40, 0)
    cutoffs = [0.0, *(60 * row[5] for row in TABLES["profiles-3"] if row[5])]
    return drawn(suggestions(experiment, model, fleet, epochs=range(1, 11), clients=[10], cutoffs=cutoffs))


def rows_of(bundle: Path, folder: Path) -> dict[str, list[dict[str, str]]]:
    """Return the tables by name."""
    tables: dict[str, list[dict[str, str]]] = {}
    for table, cases in TABLES.items():
        for name, kind, devices, epochs, rounds, cutoff_min, given, minutes, kilojoules in cases:
            plan = planned(bundle, folder, kind, devices, epochs, rounds, cutoff_min)
            ours_min, ours_kj = plan.total_s / 60, plan.energy_j.get("train", 0.0) / 1000
            row = {
                "": name + (f" ({_FULL})" if given else ""),
                "minutes, planned": f"{ours_min:.1f}",
                "paper": f"{minutes:g}",
                "planned ÷ paper": f"{ours_min / minutes:.2f}",
            }
            if kilojoules is not None:
                row |= {
                    "kJ, planned": f"{ours_kj:.1f}",
                    "paper's": f"{kilojoules:g}",
                    "kJ, planned ÷ paper": f"{ours_kj / kilojoules:.2f}",
                }
            tables.setdefault(table, []).append(row)
    return tables


def main(words: Sequence[str] | None = None) -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", type=Path, metavar="PAGE", help="also put the tables into this page")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw what E and τ cost on TX2s")
    options = parser.parse_args(words)
    with tempfile.TemporaryDirectory() as temporary:
        from model_export import build, export

        folder = Path(temporary)
        model = build("small_cnn", (8, 8, 1), 10, filters=(2, 2))
        export(model, folder / "cnn.bundle", batch_size=2, input_scale=1 / 255, measure=False)
        tables = rows_of(folder / "cnn.bundle", folder)
        if options.plot is not None:
            write_atomically(options.plot, trade_offs(folder / "cnn.bundle", folder).encode())
    for name, rows in tables.items():
        print(name)
        for row in rows:
            print("  ".join(f"{key}: {value}" for key, value in row.items()))
        if options.write is not None:
            write_section(options.write, name, rows)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
