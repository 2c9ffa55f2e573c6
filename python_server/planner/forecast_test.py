"""Plans beside simulations of the same experiments: both have one clock."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Optional

import pytest

from deployment.inventory import load_inventory
from model_export.bundle import Bundle
from python_server.cli import main
from python_server.errors import PlanError
from python_server.experiment import Experiment, load_experiment
from python_server.model import RunBundles
from python_server.planner.calibrations import Calibrations
from python_server.planner.calibrations_test import entry, power
from python_server.planner.fleet import of_experiment, of_inventory
from python_server.planner.forecast import forecast
from python_server.planner.results import Change, Forecast
from python_server.planner.suggest import suggestions
from python_server.planner.text import farm_cost, measurements, render
from python_server.progress import Progress
from python_server.run_reader import RunReader
from python_server.run_rows import ENERGY
from python_server.simulation.simulate import simulate

EXPERIMENT = """\
name = "planned"
rounds = 4
seed = 5
[model]
bundle = "{bundle}"
[train]
learning_rate = 0.05
epochs = 2
{more}
[simulation]
backend = "tflite"
data = "train.npz"
devices = 6
partition = "dirichlet"
overhead_s = 0.25
[[simulation.profiles]]
name = "fast"
step_ms = 10
share = 2
upload_mbps = 10
download_mbps = 20
latency_s = 0.05
prepare_s = 0.02
idle_w = 0.5
power_w = 2
transfer_w = 1
battery_wh = 0.5
[[simulation.profiles]]
name = "slow"
step_ms = 100
idle_w = 1
power_w = 3
"""

Write = Callable[..., Experiment]


@pytest.fixture
def write(digits: Any, digits_bundle: Path, digits_half: Path, tmp_path: Path) -> Write:
    digits.save(tmp_path / "train.npz", slice(400))

    def write_file(more: str = "") -> Experiment:
        file = tmp_path / "planned.toml"
        file.write_text(EXPERIMENT.format(bundle=digits_bundle, more=more.replace("HALF", str(digits_half))))
        return load_experiment(file)

    return write_file


def planned(experiment: Experiment, **options: Any) -> Forecast:
    variants = {variant.name: variant.bundle for variant in experiment.variants}
    model = RunBundles(experiment.model.bundle, variants=variants)
    return forecast(experiment, model, of_experiment(experiment, model), **options)


@pytest.mark.parametrize(
    "more",
    [
        "[strategy]\nfraction = 0.5\n",
        "[strategy]\nname = 'processor_cutoff'\ncutoff_s = { slow = 1.0 }\n[server]\nround_deadline_s = 1.5\n",
        "[strategy]\nname = 'fedcs'\ndeadline_s = 2.0\n[evaluate]\nclients = true\n",
        "[strategy]\nname = 'heterofl'\n[[variants]]\nname = 'half'\nbundle = 'HALF'\n"
        "[[groups]]\nname = 'weak'\nprocessor = 'slow'\nvariant = 'half'\ncodec = 'int8'\n",
    ],
)
def test_a_plan_is_what_would_be_simulated(more: str, write: Write, tmp_path: Path) -> None:
    experiment = write(more)
    plan = planned(experiment)
    with RunReader(simulate(experiment, runs=tmp_path / "runs", progress=Progress()).run) as run:
        rounds, rows = run.rounds()[1:], run.device_rounds()
    assert plan.round_s == pytest.approx(statistics.median(row.wall_s for row in rounds))
    assert plan.total_s == pytest.approx(sum(row.wall_s for row in rounds))
    for each in plan.devices:
        own = [row for row in rows if row.name == each.name and row.outcome != "skipped"]
        assert each.asked == len(own)
        assert each.late == sum(row.outcome == "late" for row in own)
        assert each.cut_off == sum(row.outcome == "partial" for row in own) + sum(
            row.outcome == "late" for row in own if each.steps < each.planned_steps
        )
        answered = [row for row in own if row.train_s is not None]
        if answered:
            assert each.train_s == pytest.approx(statistics.mean(row.train_s or 0 for row in answered))
            assert each.energy_j["train"] == pytest.approx(statistics.mean(row.energy_j or 0 for row in answered))
            assert each.upload_bytes == statistics.mean(row.upload_bytes or 0 for row in answered)
            assert each.download_bytes == statistics.mean(row.download_bytes or 0 for row in answered)


def test_other_settings_cost_what_they_should(write: Write) -> None:
    experiment = write()
    usual, more = planned(experiment), planned(experiment, change=Change(epochs=4))
    fast = {each.name: each for each in usual.devices}
    for each in more.devices:
        assert each.planned_steps == 2 * fast[each.name].planned_steps
    assert planned(experiment, change=Change(clients=2)).total_s <= usual.total_s
    cut = planned(experiment, change=Change(cutoff_s=0.5))
    assert any(each.cut_off == 4 for each in cut.devices)
    assert max(each.train_s for each in cut.devices) <= 0.5
    once = planned(experiment, most_rounds=1)
    assert (once.worked_out, once.rounds) == (1, 4)
    assert once.total_s == pytest.approx(4 * once.round_s)


def test_what_is_done_once_is_not_taken_for_usual(write: Write) -> None:
    """Features of a frozen base take half a minute, in the first of two rounds that stand for four."""
    experiment = write()
    model = RunBundles(experiment.model.bundle)
    fleet = of_experiment(experiment, model)
    slow = [replace(each, once_s=30.0) for each in fleet]
    for most in (0, 2):
        plan, usual = (forecast(experiment, model, each, most_rounds=most) for each in (slow, fleet))
        assert plan.total_s == pytest.approx(usual.total_s + 30.0)
        more_j = sum(each.device.joules("train", 30.0)[0] for each in fleet)
        assert sum(plan.energy_j.values()) == pytest.approx(sum(usual.energy_j.values()) + more_j)
        for each, other in zip(plan.devices, usual.devices):
            assert (each.asked, each.train_s) == pytest.approx((other.asked, other.train_s + 30.0 / 4))
            assert each.wait_s == pytest.approx(other.wait_s)


def test_the_setting_with_the_most_work_within_the_target_is_found(write: Write) -> None:
    experiment = write()
    model = RunBundles(experiment.model.bundle)
    fleet = of_experiment(experiment, model)
    usual = forecast(experiment, model, fleet)
    found = suggestions(experiment, model, fleet, epochs=[1, 2, 3], minutes=usual.total_s / 60 * 1.001)
    (best,) = [each for each in found if each.best]
    assert best.fits
    assert all(each.local_epochs <= best.local_epochs for each in found if each.fits)
    assert [each.fits for each in found if (each.epochs, each.clients, each.cutoff_s) == (3, 6, 0)] == [False]
    assert not any(each.fits for each in suggestions(experiment, model, fleet, minutes=0.001))
    with pytest.raises(PlanError, match="there are 6 devices"):
        suggestions(experiment, model, fleet, clients=[7])


INVENTORY = """\
[[devices]]
name = "pi"
connect = "local"
data = "train.npz"
profile = "raspberry_pi_4"
threads = 2
[[devices]]
name = "new"
connect = "device_farm"
data = "train.npz"
profile = "pixel_4"
"""


def from_inventory(write: Write, tmp_path: Path, *entries: Any, more: str = "", measured: bool = False) -> Forecast:
    experiment = write(more)
    model = RunBundles(experiment.model.bundle)
    if measured:
        variant = model.variants[""]
        object.__setattr__(variant.manifest, "costs", with_costs(variant.manifest))
    (tmp_path / "lab.toml").write_text(INVENTORY)
    calibrations = Calibrations(tmp_path / "lab.calibration.json")
    calibrations.add(entries)
    inventory = load_inventory(tmp_path / "lab.toml")
    chosen = inventory.choose() if measured else inventory.choose(["pi"])
    return forecast(experiment, model, of_inventory(chosen, model, calibrations))


def with_costs(manifest: Any) -> Any:
    from model_export.costs import Costs, Measured, Measurement

    figures = {manifest.training_signature(cut): Measured(50 * 10**6, 8.0) for cut in ("", *manifest.cuts)}
    return Costs(manifest.costs.signatures, Measurement("r", 1, "m", 0, figures))


def calibrated(bundle: str, *, cuts: tuple[str, ...] = (), exported_ms: Optional[float] = None) -> Any:
    made = entry("pi", bundle=bundle, threads=2)
    made["measured"]["steps"].update({cut: made["measured"]["steps"][""] for cut in cuts})
    made["measured"]["power"] = [power(2, 0), power(3, 1), power(5, 3)]
    if exported_ms is not None:
        made["exported_ms"] = {"train": exported_ms}
    return made


def test_an_inventory_is_planned_from_its_calibration(write: Write, digits_bundle: Path, tmp_path: Path) -> None:
    bundle = Bundle.load(digits_bundle)
    plan = from_inventory(write, tmp_path, calibrated(bundle.sha256, cuts=bundle.manifest.cuts))
    (pi,) = plan.devices
    assert pi.train_s == pytest.approx(2 * 25 * 0.020)
    assert pi.prepare_s == pytest.approx(0.004)
    assert pi.download_s == pytest.approx(0.01 + pi.download_bytes * 8e-6 / 80)
    assert pi.energy_j["train"] == pytest.approx(3 * pi.train_s), "one busy core in the first sample of training"
    assert pi.sources["steps"] == "calibrated 1970-01-01: 20 ms (19 to 22)"
    assert "2 ± 0" in pi.sources["power"]
    assert pi.memory_available == 10**9
    assert "calibrated 1970-01-01: files by ssh" in render(plan)
    rows = measurements(plan, {"pi": "sha256:1"})
    assert {(row.device, row.quantity) for row in rows} >= {("", "round time"), ("sha256:1", ENERGY)}
    assert {row.method for row in rows} == {"predicted"}
    fleet = {row.quantity: row.value for row in rows if not row.device}
    assert fleet["bytes"] == pytest.approx(pi.download_bytes + pi.upload_bytes)
    assert fleet[ENERGY] == pytest.approx(sum(pi.energy_j.values()))


def test_a_device_without_its_own_calibration_is_planned_and_labelled(write: Write, tmp_path: Path) -> None:
    plan = from_inventory(write, tmp_path, calibrated("0" * 64, exported_ms=4), measured=True)
    new, pi = plan.devices
    assert pi.train_s == pytest.approx(50 * 5 * 0.008), "five times slower than the machine that exported, then and now"
    assert pi.remarks[0].startswith("pi was calibrated 1970-01-01, and with another bundle, cnn")
    assert new.train_s == pytest.approx(50 * 0.008)
    assert "no calibration" in new.sources["steps"]
    assert "assumption" in new.sources["power"]
    cost = farm_cost(plan, 1)
    assert cost.device_minutes == 5 + -(-plan.total_s // 60)
    assert "note: new has no calibration" in render(plan, cost)


def test_what_cannot_be_planned_is_one_clear_line(
    write: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(PlanError, match="pi was calibrated with another bundle"):
        from_inventory(write, tmp_path, calibrated("0" * 64))
    (tmp_path / "lab.calibration.json").unlink()
    monkeypatch.chdir(tmp_path)
    for words, message in (
        (["--inventory", "lab.toml", "--device", "pi"], "pi: nothing says how long its steps take"),
        (["--inventory", "lab.toml", "--device", "po"], "no device 'po'; there are: new, pi"),
        (["--device", "pi"], "name it with --inventory"),
        (["--calibration", "none.json"], "there is no none.json; make it with: pocketfleet fleet calibrate"),
        (["--try-clients", "60"], "--try-clients 60: there are 6 devices"),
    ):
        assert main(["plan", "planned.toml", *words]) == 1
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1


def test_the_command_prints_text_json_and_a_picture(
    write: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write()
    monkeypatch.chdir(tmp_path)
    assert main(["plan", "planned.toml", "--farm", "--minutes", "9", "--try-cutoff", "0", "0.5", "--svg", "t.svg"]) == 0
    text = capsys.readouterr().out
    assert "energy of all devices: " in text
    assert "6 phones" in text
    assert text.count("<- most local work within the target") == 1
    assert "<svg" in (tmp_path / "t.svg").read_text()
    assert main(["plan", "planned.toml", "--kilojoules", "1", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert len(told["devices"]) == 6
    assert set(told["energy_j"]) == {"download", "train", "upload", "wait"}
    assert sum(each["best"] for each in told["suggestions"]) <= 1
