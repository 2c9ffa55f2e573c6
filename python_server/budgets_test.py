"""Budgets of a group come to hold for each of its devices, by what earlier rounds say of it; with simulated devices."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from model_export.bundle import Bundle, write_bundle
from model_export.costs import Measured, Measurement
from python_server.experiment import load_experiment
from python_server.progress import Progress
from python_server.run_reader import RunReader
from python_server.simulation.simulate import load_simulation, simulate

EXPERIMENT = """\
name = "budgets"
rounds = 3
[model]
bundle = "measured"
[train]
epochs = 4
learning_rate = 0.05
[[groups]]
name = "all"
train_s = 0.4
upload_s = 1
[simulation]
data = "train.npz"
devices = 4
[[simulation.profiles]]
name = "fast"
step_ms = 10
upload_mbps = 10
[[simulation.profiles]]
name = "slow"
step_ms = 40
upload_mbps = 0.05
"""


@pytest.fixture(name="folder")
def make_folder(digits: Any, digits_bundle: Path, tmp_path: Path) -> Path:
    """Return a folder with the experiment, whose bundle says that a step takes 10 ms."""
    digits.save(tmp_path / "train.npz", slice(600))
    (tmp_path / "budgets.toml").write_text(EXPERIMENT)
    bundle = Bundle.load(digits_bundle)
    steps = {name: Measured(10**6, 10.0) for name in bundle.manifest.costs.signatures}
    costs = replace(bundle.manifest.costs, measured=Measurement("a runtime", 1, "a machine", 0, steps))
    files = {name: bundle.read(name) for name in bundle.manifest.files}
    write_bundle(tmp_path / "measured", replace(bundle.manifest, costs=costs), files)
    return tmp_path


class Stop(Progress):
    def round_done(self, row: object, devices: object) -> None:
        if getattr(row, "round", 0) == 2:
            raise KeyboardInterrupt


def test_slow_devices_get_fewer_epochs_and_smaller_uploads_once_that_is_known(folder: Path) -> None:
    experiment = load_experiment(folder / "budgets.toml")
    with RunReader(simulate(experiment, runs=folder / "runs", progress=Progress()).run) as run:
        rows = run.device_rounds()
    for row in rows:
        slow, known = row.train_s is not None and row.steps and row.train_s / row.steps > 0.02, row.round > 1
        assert row.plan["epochs"] == (1 if slow and known else 4)
        assert f"an epoch takes {0.4 if slow and known else 0.1:g} s of 0.4 s" in row.plan["reason"]
        # How long an upload took comes with the answer after it.
        assert ("s of 1 s at" in row.plan["reason"]) is (row.round == 3)
        assert row.plan["upload_codec"] == ("int8" if slow and row.round == 3 else "float32")
    assert len({row.plan["epochs"] for row in rows}) == 2

    with pytest.raises(KeyboardInterrupt):
        simulate(experiment, runs=folder / "stopped", progress=Stop())
    (path,) = (folder / "stopped").iterdir()
    simulate(load_simulation(path), runs=folder / "stopped", progress=Progress(), resume=path)
    with RunReader(path) as again:
        assert [row.plan for row in again.device_rounds()] == [row.plan for row in rows], "it knows what it knew before"
