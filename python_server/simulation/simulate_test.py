"""``pocketfleet simulate``: experiments over simulated devices, from file to report."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model_export.bundle import Bundle
from python_server.cli import main
from python_server.commands.train import report_on
from python_server.errors import ExperimentError, FleetError, NoClientsError, PartitionError, StoreError
from python_server.experiment import Experiment, load_experiment
from python_server.model import RunBundles
from python_server.new_run import create_run, load_run, reopen_run
from python_server.progress import Progress
from python_server.report.figures import gather
from python_server.report.page import render
from python_server.run_reader import RunReader
from python_server.run_rows import BATTERY, ENERGY
from python_server.simulation.population import populate
from python_server.simulation.simulate import load_simulation, simulate

_EXPERIMENT = """\
name = "sim"
rounds = 3
seed = 5
[model]
bundle = "{bundle}"
[data]
test = "test.npz"
[train]
learning_rate = 0.05
{more}
"""
_FOUR = "[simulation]\ndata = 'train.npz'\ndevices = 4\n"
_TWENTY = """
[server]
round_deadline_s = {deadline}
[simulation]
backend = "tflite"
data = "train.npz"
devices = 20
partition = "dirichlet"
dropout = {dropout}
[[simulation.profiles]]
name = "fast"
step_ms = 10
share = 3
upload_mbps = 10
power_w = 2
[[simulation.profiles]]
name = "slow"
step_ms = 500
"""

Write = Callable[[str], Experiment]


@pytest.fixture
def write(digits: Any, digits_bundle: Path, digits_half: Path, tmp_path: Path) -> Write:
    digits.save(tmp_path / "train.npz", slice(600))
    digits.save_test(tmp_path / "test.npz")

    def write_file(more: str) -> Experiment:
        file = tmp_path / "sim.toml"
        file.write_text(_EXPERIMENT.format(bundle=digits_bundle, more=more).replace("{half}", str(digits_half)))
        return load_experiment(file)

    return write_file


def _run(experiment: Experiment, runs: Path) -> RunReader:
    return RunReader(simulate(experiment, runs=runs, progress=Progress()).run)


def test_rounds_take_the_time_that_devices_are_said_to_take(write: Write, tmp_path: Path) -> None:
    with _run(write(_TWENTY.format(deadline=600, dropout=0)), tmp_path / "runs") as run:
        assert run.meta["mode"] == "simulated"
        rounds, rows = run.rounds(), run.device_rounds()
        assert [row.outcome for row in rows] == ["ok"] * 60
        facts = {device.name: device.facts for device in run.devices()}
        kinds = [str(facts[row.name]["profile"]) for row in rows if row.round == 1]
        assert (kinds.count("fast"), kinds.count("slow")) == (15, 5)
        for row in rows:
            step_s = {"fast": 0.01, "slow": 0.5}[str(facts[row.name]["profile"])]
            assert row.steps == row.planned_steps == -(-(row.num_examples or 0) // 16)
            assert row.train_s == pytest.approx(step_s * row.steps)
            assert row.energy_method == ("modelled" if step_s == 0.01 else "none")
        first = [row for row in rows if row.round == 1]
        assert rounds[1].train_phase_s == pytest.approx(max(row.replied_after_s or 0 for row in first))
        fast = next(row for row in first if row.energy_j)
        assert fast.energy_j == pytest.approx(2 * (fast.train_s or 0))
        assert fast.upload_s == pytest.approx((fast.upload_bytes or 0) * 8 / 10e6)
        split = json.loads(run.meta["split"])
        assert len(split) == 20
        assert sum(map(sum, split.values())) == 600


_BATTERY = """
[simulation]
backend = "tflite"
data = "train.npz"
devices = 2
[[simulation.profiles]]
name = "phone"
step_ms = 100
upload_mbps = 1
download_mbps = 1
idle_w = 1
power_w = 3
transfer_w = 2
memory_mb = 4000
battery_wh = {wh}
"""


def test_energy_of_every_phase_and_the_battery_that_it_drains(write: Write, tmp_path: Path) -> None:
    with _run(write(_BATTERY.format(wh=0.1)), tmp_path / "runs") as run:
        rows, figures = run.device_rounds(), run.measurements()
        facts = run.devices()[0].facts
    assert facts["memory-bytes"] == 4 * 10**9
    assert facts["charging"] is False
    for row in rows:
        own = [each for each in figures if (each.round, each.device) == (row.round, row.device)]
        joules = {each.info["phase"]: each for each in own if each.quantity == ENERGY}
        assert set(joules) == {"download", "train", "upload", "wait"}
        assert joules["train"].value == pytest.approx(3 * (row.train_s or 0)) == pytest.approx(row.energy_j)
        assert joules["train"].info["idle_j"] == pytest.approx(row.train_s)
        assert joules["download"].value == pytest.approx(2 * (row.download_s or 0))
        assert joules["upload"].value == pytest.approx(2 * (row.upload_s or 0))
        assert joules["wait"].value == joules["wait"].info["idle_j"]
        assert {each.method for each in own} == {"modelled"}
        before, after = (each.value for each in own if each.quantity == BATTERY)
        spent = sum(joules[phase].value for phase in ("download", "train", "upload"))
        assert before - after == pytest.approx(100 * spent / 360), "0.1 Wh are 360 J"


def test_a_device_whose_battery_is_empty_is_gone(write: Write, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    with pytest.raises(NoClientsError, match="0 of 1 devices"):
        simulate(write(_BATTERY.format(wh=0.003)), runs=runs, progress=Progress())
    with RunReader(next(runs.iterdir())) as run:
        assert 1 <= run.rounds()[-1].round < 3


def test_rounds_keep_within_a_budget_of_joules_and_say_who_was_passed_over(write: Write, tmp_path: Path) -> None:
    more = "[strategy]\nname = 'energy_aware'\njoules = 4.0\n" + _TWENTY.format(deadline=600, dropout=0)
    experiment = write(more.replace('name = "slow"', 'name = "slow"\npower_w = 2'))
    with _run(experiment, tmp_path / "runs") as run:
        rows, kept = run.device_rounds(), run.measurements()
    for number in (2, 3):
        own = [row for row in rows if row.round == number]
        skipped = [row for row in own if row.outcome == "skipped"]
        assert 0 < sum(row.energy_j or 0 for row in own) <= 4.0
        assert skipped
        assert all("went to others" in row.reason for row in skipped)
        assert all("an epoch takes" in str(row.plan["reason"]) for row in own if row.plan)
    assert sum(row.energy_j or 0 for row in rows if row.round == 1) > 4.0, "nothing was known yet"
    assert {each.info["phase"] for each in kept if each.quantity == ENERGY} == {"download", "train", "upload", "wait"}


def test_deadline_dropouts_and_resume(write: Write, tmp_path: Path) -> None:
    """Devices keep weights (FedLAMA's), go on with what they do, and use up batteries while nobody simulates them."""
    more = _TWENTY.format(deadline=1, dropout=0.2) + "[strategy]\nname = 'fedlama'\nphi = 3\n"
    experiment = write(more.replace("power_w = 2\n", "power_w = 2\nidle_w = 1\nbattery_wh = 1\n"))
    whole = simulate(experiment, runs=tmp_path / "runs", progress=Progress())
    with RunReader(whole.run) as run:
        rows = run.device_rounds()
        outcomes = {row.name: row.outcome for row in rows if row.round == 1}
        late = [name for name, outcome in outcomes.items() if outcome == "late"]
        facts = {device.name: device.facts["profile"] for device in run.devices()}
        assert any(facts[name] == "slow" for name in late), "five hundred ms a step is too slow for a second"
        assert any(facts[name] == "fast" for name in late), "a fifth of all drops out"
        assert run.rounds()[1].train_phase_s == pytest.approx(1)
        assert any(event.kind == "late" for event in run.events())
        weights = run.weights(3)
        came_to = _all_of(run)
        assert not (whole.run / "local_weights").exists()
        assert not (whole.run / "simulated_devices").exists()

    class Stop(Progress):
        def round_done(self, row: object, devices: object) -> None:
            if getattr(row, "round", 0) == 2:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        simulate(experiment, runs=tmp_path / "others", progress=Stop())
    (path,) = (tmp_path / "others").iterdir()
    assert any((path / "local_weights").iterdir())
    again = simulate(load_simulation(path), runs=tmp_path / "others", progress=Progress(), resume=path)
    assert again.last.round == 3
    with RunReader(again.run) as run:
        assert _all_of(run) == came_to
        for name, value in run.weights(3).items():
            np.testing.assert_array_equal(value, weights[name], err_msg="the same seed, the same weights")


def _all_of(run: RunReader) -> list[Any]:
    """Return what a run's devices did and measured, and who was late."""
    figures = [each for each in run.measurements() if each.unit != "s"]
    measured = sorted((each.round, each.device, each.quantity, each.value) for each in figures)
    late = sorted(event.text for event in run.events() if event.kind == "late")
    return [run.device_rounds(), [row.wall_s for row in run.rounds()], measured, late]


def test_architectures_apart_are_evaluated_reported_and_resumed(
    write: Write, tmp_path: Path, digits_half: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    experiment = write(
        f"[strategy]\nname = 'dac'\nserver_optimizer = 'sgd'\nserver_momentum = 0.5\n{_FOUR}"
        "[[simulation.profiles]]\nname = 'any'\nstep_ms = 1\n"
        f"[[variants]]\nname = 'half'\nbundle = '{digits_half}'\n"
        "[[groups]]\nname = 'weak'\ndevices = ['device-0', 'device-1']\nvariant = 'half'\n"
    )
    killed = tmp_path / "killed"

    class Copy(Progress):
        def round_done(self, row: object, devices: object) -> None:
            if getattr(row, "round", 0) == 1:  # what a kill after the first round would leave
                (path,) = (tmp_path / "runs").iterdir()
                shutil.copytree(path, killed)

    whole = simulate(experiment, runs=tmp_path / "runs", progress=Copy())
    with RunReader(whole.run) as run:
        weights, (values, arrays), accuracies = run.weights(3), run.strategy_state(3), run.architectures()
        assert {row.plan["submodel"] for row in run.device_rounds() if row.name < "device-2"} == {"half"}
        assert values == {"architectures": ["", "half"]}
        assert {name: set(each) for name, each in accuracies.items()} == {
            "the whole model": {1, 2, 3},
            "half": {1, 2, 3},
        }
        assert run.rounds()[3].accuracy == accuracies["the whole model"][3] > 0.3
        assert accuracies["half"][3] > 0.3
        first = run.strategy_state(0)[1]
        part = Bundle.load(digits_half)
        assert {path.removeprefix("half:") for path in first} == set(part.initial())
        np.testing.assert_array_equal(first["half:conv2/kernel"], part.initial()["conv2/kernel"])
        page = render(gather(run))
        assert "</i>half</span>" in page
        assert "Accuracy of half</th>" in page
        assert f"<td>{accuracies['half'][3]:.3f}</td>" in page
    report_on(whole, as_json=False)
    told = capsys.readouterr().out.splitlines()
    assert told[:2] == [f"accuracy of {name}: {each[3]:.4f}" for name, each in accuracies.items()]
    assert told[2].startswith("accuracy: ")

    again = simulate(load_simulation(killed), runs=tmp_path, progress=Progress(), resume=killed)
    with RunReader(again.run) as run:
        resumed = {**run.weights(3), **run.strategy_state(3)[1]}
        assert run.architectures() == accuracies
    for name, value in {**weights, **arrays}.items():
        np.testing.assert_array_equal(resumed[name], value, err_msg=name)


_LEAVES = """
[strategy]
name = "heterofl"
server_optimizer = "sgd"
[[variants]]
name = "half"
bundle = "{half}"
[simulation]
backend = "tflite"
[[clients]]
name = "strong"
data = "train.npz"
[[clients]]
name = "weak"
data = "train.npz"
variant = "half"
[[simulation.profiles]]
name = "weak"
step_ms = 1
[[simulation.profiles]]
name = "strong"
step_ms = 1000
power_w = 1
battery_wh = 0.001
"""


def test_a_server_optimizer_leaves_alone_what_nobody_trained(write: Write, tmp_path: Path) -> None:
    """The only device with all channels is gone after the first round: its battery is empty."""
    with _run(write(_LEAVES), tmp_path / "runs") as run:
        assert [(row.round, row.name) for row in run.device_rounds()] == [
            (1, "strong"),
            (1, "weak"),
            (2, "weak"),
            (3, "weak"),
        ]
        first, last = (run.weights(number)["conv2/kernel"] for number in (1, 3))
    assert (first[:, :, :4, :8] != last[:, :, :4, :8]).any()
    np.testing.assert_array_equal(first[:, :, 4:], last[:, :, 4:])
    np.testing.assert_array_equal(first[:, :, :, 8:], last[:, :, :, 8:])


def test_the_command_line_ends_with_accuracy_and_report(
    write: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(_TWENTY.format(deadline=600, dropout=0).replace("devices = 20", "devices = 4"))
    assert main(["simulate", str(tmp_path / "sim.toml"), "--runs", str(tmp_path / "runs")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "simulated devices: 4; times and energy are modelled"
    assert float(lines[-2].removeprefix("accuracy: ")) > 0.2, "it learns"
    page = Path(lines[-1].removeprefix("report: ")).read_text(encoding="utf-8")
    for words in ("simulated", "modelled", "Samples by class"):
        assert words in page


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("", r"there are no devices: give \[simulation\] devices and data, or \[\[clients\]\]"),
        ("[simulation]\ndevices = 4", "simulation.data is missing"),
        ("[simulation]\ndata = 'train.npz'", "simulation.devices is not; say how many"),
        ("[simulation]\ndata = 'train.npz'\ndevices = 4", "'default' has no step_ms, and the bundle does not say"),
        (
            f"{_FOUR}[[simulation.profiles]]\nname = 'a'\nstep_ms = {{ conv9 = 1 }}",
            "'a' has a step_ms for 'conv9', which is no cut of the bundle; it has: conv2, conv3",
        ),
        (
            f"{_FOUR}[[simulation.profiles]]\nname = 'a'\nshare = 0",
            "all shares are 0",
        ),
        ("[simulation]\ndata = 'train.npz'\ndevices = 4\npartition = 'user'", "has no array 'user', which partition"),
        ("[simulation]\ndata = 'train.npz'\ndevices = 601", r"train\.npz: 600 samples for 601 clients"),
        ("[simulation]\ndevices = 4\ndata = 'trein.npz'", r"simulation\.data: there is no .*trein\.npz"),
        ("[[variants]]\nname = 'half'\nbundle = '{half}'", "there are .*variants.*, but strategy 'fedavg' gives all"),
        (
            "[[clients]]\nname = 'x'\ndata = 'train.npz'\n[[simulation.profiles]]\nname = 'a'",
            r"client 'x' is of no kind in \[\[simulation.profiles\]\]",
        ),
    ],
)
def test_what_cannot_be_simulated_is_said(write: Write, tmp_path: Path, more: str, message: str) -> None:
    experiment = write(more)
    with pytest.raises((ExperimentError, PartitionError), match=rf"^{tmp_path}/sim\.toml: .*{message}"):
        simulate(experiment, runs=tmp_path / "runs", progress=Progress())
    assert not (tmp_path / "runs").exists()


def test_a_run_in_which_nobody_trained_has_failed(write: Write, tmp_path: Path) -> None:
    """It has fewer rounds than are waited for otherwise."""
    experiment = replace(write(_TWENTY.format(deadline=600, dropout=1)), rounds=1)
    with pytest.raises(FleetError, match="^1 round gave no usable update"):
        simulate(experiment, runs=tmp_path / "runs", progress=Progress())


def test_a_run_of_real_devices_is_not_resumed_as_a_simulation(write: Write, tmp_path: Path) -> None:
    from python_server.store import RunStore

    experiment = write("")
    RunStore.create(tmp_path / "real", experiment.source, {"base": str(tmp_path)}).close()
    with pytest.raises(StoreError, match="is a run of real devices.*: pocketfleet train --resume"):
        load_simulation(tmp_path / "real")
    RunStore.create(tmp_path / "made-up", experiment.source, {"base": str(tmp_path), "mode": "simulated"}).close()
    with pytest.raises(StoreError, match="is a run of simulated devices.*: pocketfleet simulate --resume"):
        load_run(tmp_path / "made-up")


def test_a_run_goes_on_with_the_bundles_that_it_began_with(
    write: Write, tmp_path: Path, digits_bundle: Path, digits_half: Path
) -> None:
    copies = [Path(shutil.copytree(each, tmp_path / f"copy-of-{each.name}")) for each in (digits_bundle, digits_half)]
    experiment = write(_LEAVES.replace("{half}", str(copies[1])))
    experiment = replace(experiment, model=replace(experiment.model, bundle=copies[0]))
    store = create_run(experiment, tmp_path / "runs", RunBundles(copies[0], variants={"half": copies[1]}))
    store.close()
    for copy, original in zip(copies, (digits_bundle, digits_half)):
        manifest = json.loads((copy / "manifest.json").read_text())
        (copy / "manifest.json").write_text(json.dumps({**manifest, "name": "exported anew"}))
        model = RunBundles(copies[0], variants={} if copy == copies[0] else {"half": copies[1]})
        with pytest.raises(StoreError, match=f"{copy} is another bundle than {store.path} began with; put that one"):
            reopen_run(store.path, experiment, model)
        shutil.copy(original / "manifest.json", copy)
    reopen_run(store.path, experiment, RunBundles(copies[0], variants={"half": copies[1]})).close()


def test_devices_that_are_made_up_share_a_file_that_clients_hold_too(write: Write, digits: Any, tmp_path: Path) -> None:
    """They are split by that file's labels, whatever was read after it."""
    digits.save(tmp_path / "other.npz", slice(600, 900))
    clients = "".join(f"[[clients]]\nname = '{name}'\ndata = '{name}.npz'\n" for name in ("train", "other"))
    experiment = write(
        f"{clients}{_FOUR}partition = 'shards'\nclasses = 1\n[[simulation.profiles]]\nname = 'cpu'\nstep_ms = 1\n"
    )
    population = populate(experiment, RunBundles(experiment.model.bundle))
    for device in population.devices[2:]:
        assert len(np.unique(population.data.y[device.rows])) <= 4, "a quarter of ten classes, and parts of two"


_FLOWER = """
[simulation]
engine = "flower"
data = "train.npz"
devices = 4
[[simulation.profiles]]
name = "a"
step_ms = 10
[strategy]
name = "heterofl"
[[variants]]
name = "half"
bundle = "{half}"
[[groups]]
name = "weak"
devices = ["*-0", "*-3"]
variant = "half"
"""


@pytest.mark.skipif(not importlib.util.find_spec("ray"), reason="Ray is not installed")
def test_flowers_simulation_on_ray_trains_the_same(write: Write, tmp_path: Path) -> None:
    runs = {}
    for engine in ("flower", "local"):
        write(_FLOWER.replace('"flower"', f'"{engine}"'))
        command = [sys.executable, "-m", "python_server.cli", "simulate", "sim.toml", "--runs", engine]
        root = str(Path(__file__).resolve().parents[2])
        done = subprocess.run(
            command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": root}, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        with RunReader(next((tmp_path / engine).iterdir())) as run:
            runs[engine] = run.rounds()
            parts = {row.name: row.plan["submodel"] for row in run.device_rounds()}
            assert parts == {"device-0": "half", "device-1": "", "device-2": "", "device-3": "half"}
    for one, two in zip(runs["flower"], runs["local"]):
        assert one.loss == pytest.approx(two.loss, rel=0.01)
        assert one.train_phase_s == pytest.approx(two.train_phase_s)


def test_without_ray_it_is_said_how_to_install_it(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "ray" else found(name, *rest))
    with pytest.raises(ExperimentError, match="Ray is not installed: pip install ray"):
        simulate(write(_FLOWER), runs=tmp_path / "runs", progress=Progress())
