"""Plans from earlier runs, and plans that runs keep."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from model_export.bundle import Bundle
from python_server.errors import PlanError
from python_server.model import RunBundles
from python_server.planner.calibrations import Calibrations
from python_server.planner.fleet import of_clients
from python_server.planner.forecast import forecast
from python_server.planner.forecast_test import Write, with_costs
from python_server.planner.forecast_test import write as write  # a fixture
from python_server.planner.keep import keep_plan
from python_server.planner.observed import observed
from python_server.run_reader import RunReader
from python_server.run_rows import ENERGY, PREDICTED, DeviceRoundRow, MeasurementRow
from python_server.simulation.settings import SimulationSettings
from python_server.store import RoundCommit, RunStore
from python_server.store_test import a_round

CLIENTS = """\
[[clients]]
name = "phone"
data = "train.npz"
processor = "slow"
"""


def row(number: int, *, train_s: float, **more: Any) -> DeviceRoundRow:
    values: dict[str, Any] = {
        "plan": {"epochs": 2, "submodel": "", "cut": ""},
        "steps": 50,
        "train_s": train_s,
        "prepare_s": 0.1,
        "download_s": 0.5,
        "download_bytes": 10**6,
        "upload_s": 1.0,
        "upload_bytes": 10**6,
        "energy_j": 3 * train_s,
        "energy_idle_j": train_s,
        "energy_method": "battery",
        "energy_source": "the gauge",
    }
    return DeviceRoundRow(number, "sha256:1", "phone", "ok", **{**values, **more})


def a_run(
    path: Path, bundle: str, *rows: DeviceRoundRow, measurements: Sequence[MeasurementRow] = (), **meta: str
) -> Path:
    store = RunStore.create(path, b"", {"bundle_sha256": bundle, **meta})
    for number in sorted({0, *(each.round for each in rows)}):
        own = [each for each in rows if each.round == number]
        told = [each for each in measurements if each.round == number]
        store.commit(RoundCommit(a_round(number), {}, device_rounds=own, measurements=told))
    store.close()
    return path


def test_a_plan_from_what_a_run_observed(write: Write, digits_bundle: Path, tmp_path: Path) -> None:
    experiment = write(CLIENTS)
    rows = [row(1, train_s=50), row(2, train_s=5), row(3, train_s=6), row(4, train_s=7)]
    run = a_run(tmp_path / "run", Bundle.load(digits_bundle).sha256, *rows)
    known = Calibrations(None)
    known.include(observed(run))
    model = RunBundles(experiment.model.bundle)
    plan = forecast(experiment, model, of_clients(experiment, model, known))
    (phone,) = plan.devices
    assert phone.train_s == pytest.approx(50 * 0.120), (
        "the median of 100, 120 and 140 ms; the first round does not count"
    )
    assert phone.prepare_s == pytest.approx(0.1)
    assert phone.upload_s == pytest.approx(phone.upload_bytes / 1e6)
    assert phone.download_s == pytest.approx(phone.download_bytes / 2e6)
    assert phone.energy_j["train"] == pytest.approx(3 * phone.train_s)
    assert phone.energy_idle_j["train"] == pytest.approx(phone.train_s)
    assert phone.sources["power"].startswith("the gauge, in training on 1970-01-01")


def test_power_is_that_of_the_best_source_alone(tmp_path: Path) -> None:
    """Three watts by the gauge, though a model took the phone for one of a hundred in one round; 2.5 by an instrument,
    which saw 4 of the 5 seconds of a round."""
    modelled: dict[str, Any] = {"energy_method": "modelled", "energy_source": "a model"}
    rows = [row(1, train_s=9), row(2, train_s=5), row(3, train_s=5, energy_j=500.0, **modelled), row(4, train_s=5)]
    (phone,) = observed(a_run(tmp_path / "gauge", "sha", *rows))
    (sample,) = phone.counted_power
    assert (sample["method"], sample["source"]) == ("battery", "the gauge")
    assert (sample["energy_j"], sample["wall_s"]) == (30.0, 10.0)
    bench: dict[str, Any] = {"phase": "train", "idle_j": None, "coverage": 0.8, "trace": "bench.csv"}
    attached = MeasurementRow(3, "sha256:1", ENERGY, 10.0, "J", "a bench supply", "measured", bench)
    (phone,) = observed(a_run(tmp_path / "bench", "sha", *rows, measurements=[attached]))
    (sample,) = phone.counted_power
    assert sample["source"] == "a bench supply"
    assert sample["energy_j"] / sample["wall_s"] == pytest.approx(2.5)


def test_runs_that_say_nothing_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="no device trained the run's own bundle"):
        observed(a_run(tmp_path / "empty", "sha"))
    with pytest.raises(PlanError, match="its devices were simulated"):
        observed(a_run(tmp_path / "simulated", "sha", row(1, train_s=1), mode="simulated"))


def test_a_run_keeps_its_plan_or_why_there_is_none(write: Write, tmp_path: Path) -> None:
    experiment = write(CLIENTS)
    model = RunBundles(experiment.model.bundle)
    store = RunStore.create(tmp_path / "run", experiment.source, {})
    line = keep_plan(store, experiment, model, {"phone": "sha256:1"})
    assert line.startswith("plan: ")
    (tmp_path / "lab.toml").write_text('[[devices]]\nname = "pi"\nconnect = "local"\n')
    missing = keep_plan(store, experiment, model, {"pi": "sha256:2"}, tmp_path / "lab.toml")
    assert missing == (
        "no plan: pi: the inventory names no data of it, so its number of steps is not known; give --examples N"
    )
    assert "is enrolled" in keep_plan(store, experiment, model, {}, tmp_path / "lab.toml")
    store.close()
    with RunReader(tmp_path / "run") as run:
        kept = [each for each in run.measurements() if each.method == PREDICTED]
        assert [each.text for each in run.events() if each.kind == "forecast"][:2] == [line, missing]
    assert {each.device for each in kept} == {"", "sha256:1"}
    phases = {each.info["phase"] for each in kept if each.quantity == ENERGY and each.device}
    assert phases == {"download", "train", "upload", "wait"}
    trained = next(each for each in kept if each.quantity == ENERGY and each.info.get("phase") == "train")
    assert "profile 'slow' of the experiment" in trained.source
    whole = next(each for each in kept if each.quantity == "round time" and not each.device)
    assert f"{whole.value:.3g} s a round" in line


def test_clients_that_nothing_is_said_of_have_the_power_of_their_profile(write: Write) -> None:
    experiment = write(CLIENTS.replace('processor = "slow"', 'profile = "raspberry_pi_4"\nthreads = 2'))
    experiment = replace(experiment, simulation=SimulationSettings())
    model = RunBundles(experiment.model.bundle)
    variant = model.variants[""]
    object.__setattr__(variant.manifest, "costs", with_costs(variant.manifest))
    (phone,) = of_clients(experiment, model)
    assert phone.device.profile.power_w == pytest.approx(3.06 + 2 * 0.765)
    assert "raspberry_pi_4: computed from" in phone.sources["power"]
    assert phone.sources["steps"].startswith("export: as fast as the machine that exported")
