from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from device_profiles.power_fit import PowerFitError
from model_export.bundle import Bundle
from python_server.cli import main
from python_server.errors import PlanError
from python_server.planner.calibrations import Calibrations, calibration_file


def entry(device: str = "pi", *, bundle: str = "sha", threads: int = 0, step_ms: float = 20, at: float = 0) -> Any:
    timing = {"ms": step_ms, "low_ms": step_ms - 1, "high_ms": step_ms + 2, "count": 5}
    return {
        "device": device,
        "release": "r",
        "link": {"download_mbps": 80.0, "upload_mbps": 40.0, "round_trip_s": 0.01, "method": "files by ssh"},
        "measured": {
            "bundle": bundle,
            "model": "cnn",
            "threads": threads,
            "at": at,
            "steps": {"": timing, "two": {**timing, "ms": step_ms / 2}},
            "evaluate": {**timing, "ms": 5},
            "features": None,
            "set_weights": {**timing, "ms": 3},
            "get_weights": {**timing, "ms": 1},
            "power": [],
        },
    }


def power(watts: float, cores: float, method: str = "measured") -> dict[str, Any]:
    return {
        "threads": int(cores),
        "wall_s": 2.0,
        "cpu_s": 2 * cores,
        "energy_j": 2 * watts,
        "idle_j": None,
        "method": method,
        "source": "a sensor",
    }


def test_figures_are_kept_and_replaced_by_newer_ones(tmp_path: Path) -> None:
    file = calibration_file(tmp_path / "lab.toml")
    assert file.name == "lab.calibration.json"
    Calibrations(file).add([entry(), entry("nano", step_ms=7)])
    Calibrations(file).add([entry(step_ms=30, at=5), entry(threads=4, step_ms=12), entry(bundle="other")])
    read = Calibrations(file)
    assert len(read) == 4
    assert read.devices == {"pi", "nano"}
    newest = read.of("pi")[0]
    assert (newest.step_ms[""], newest.step_ms["two"], newest.spread_ms[""]) == (30, 15, (29, 32))
    assert (newest.prepare_s, newest.evaluate_ms, newest.features_ms) == (0.004, 5, 0)
    assert read.of("pi", threads=4)[0].step_ms[""] == 12
    assert read.of("nobody") == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is no file of calibrations"),
        ('{"format": 9}', "format 9; this program reads 1"),
        ('{"format": 1, "calibrations": [{"device": "pi"}]}', "is no file of calibrations (KeyError 'measured')"),
        (json.dumps({"format": 1, "calibrations": [entry(step_ms=float("nan"))]}), "nan is no figure"),
    ],
)
def test_a_file_that_is_none_is_refused_by_name(content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "lab.calibration.json").write_text(content)
    with pytest.raises(PlanError) as error:
        Calibrations(tmp_path / "lab.calibration.json")
    assert message in str(error.value)
    assert "lab.calibration.json" in str(error.value)


def test_figures_that_make_no_sense_are_not_written(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="pi: its figures make no sense"):
        Calibrations(tmp_path / "c.json").add([entry(step_ms=-1)])
    assert not (tmp_path / "c.json").exists()
    old, hot = entry("old"), entry("hot")
    del old["measured"]["features"]
    hot["measured"]["temperature_end_c"] = float("nan")
    with pytest.raises(PlanError, match=r"^old: its figures make no sense: KeyError\('features'\); hot: its figures "):
        Calibrations(tmp_path / "c.json").add([entry("nano"), old, hot, entry("pi")])
    assert Calibrations(tmp_path / "c.json").devices == {"nano", "pi"}, "minutes of other devices' work are not lost"


@pytest.mark.parametrize(
    "wrong", [{"wall_s": 0.0}, {"cpu_s": "a"}, {"energy_j": -1.0}, {"idle_j": "b"}, {"threads": 1.5}, {"threads": None}]
)
def test_a_sample_of_power_that_is_none_is_refused(wrong: dict[str, Any], tmp_path: Path) -> None:
    made = entry()
    made["measured"]["power"] = [{**power(3, 1), **wrong}]
    with pytest.raises(PlanError, match="pi: its figures make no sense"):
        Calibrations(tmp_path / "c.json").add([made])


def test_a_sample_without_idle_power_is_one(tmp_path: Path) -> None:
    made = entry()
    made["measured"]["power"] = [{key: value for key, value in power(3, 1).items() if key != "idle_j"}]
    Calibrations(tmp_path / "c.json").add([made])
    assert Calibrations(tmp_path / "c.json").of("pi")[0].counted_power[0]["idle_j"] is None


def test_power_is_fitted_to_what_was_measured_alone(tmp_path: Path) -> None:
    def fitted(*samples: dict[str, Any]) -> Any:
        made = entry()
        made["measured"]["power"] = list(samples)
        Calibrations(tmp_path / "c.json").add([made])
        return Calibrations(tmp_path / "c.json").of("pi")[0].power_fit()

    fit = fitted(power(2, 0), power(3, 1), power(5, 3))
    assert (fit.power.idle_w, fit.power.busy_w_per_core) == pytest.approx((2, 1))
    assert fit.power.source.startswith("fitted to 3 samples of a sensor, calibrated 1970-01-01")
    assert fitted(power(2, 0, "modelled"), power(3, 1, "modelled")) is None
    with pytest.raises(PowerFitError):
        fitted(power(2, 0))


def test_a_fleet_calibrates_itself_and_is_planned_from_that(
    digits: Any,
    digits_bundle: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    digits.save(tmp_path / "d.npz", slice(100))
    (tmp_path / "signer.pem").write_bytes(b"key")
    (tmp_path / "fleet.toml").write_text(
        '[server]\naddress = "http://127.0.0.1:9"\ntrust = "signer.pem"\n[[devices]]\nname = "here"\n'
        f'connect = "local"\ndata = "d.npz"\ndirectory = "{tmp_path}/board"\npython = "{sys.executable}"\n'
        'install = "none"\nthreads = 1\narguments = ["--energy", "model"]\n'
    )
    words = ["fleet", "calibrate", str(digits_bundle), "--seconds", "0.02"]
    assert main([*words, "--device", "here"]) == 1
    error = capsys.readouterr().err
    assert "here: there is no client on it; run: pocketfleet fleet push --device here" in error
    assert not (tmp_path / "fleet.calibration.json").exists()
    assert main(["fleet", "push"]) == 0
    capsys.readouterr()
    assert main([*words, "--dry-run"]) == 0
    planned = capsys.readouterr().out.splitlines()
    assert planned[0] == "here: time the link, 2 MB there and back"
    assert planned[2].startswith("here: calibrate ")
    assert not (tmp_path / "fleet.calibration.json").exists()
    assert main(["fleet", "start"]) == 0
    try:
        assert main(words) == 1
        assert "here: its client is running, and would be measured too; run: pocketfleet" in capsys.readouterr().err
    finally:
        assert main(["fleet", "stop"]) == 0
    capsys.readouterr()
    assert main([*words, "--power-threads", "1", "2"]) == 0
    assert capsys.readouterr().out.startswith("here: step ")
    (found,) = Calibrations(tmp_path / "fleet.calibration.json").of("here")
    assert (found.bundle, found.threads) == (Bundle.load(digits_bundle).sha256, 1)
    assert [sample["threads"] for sample in found.power] == [0, 1, 2]
    assert {sample["method"] for sample in found.power} == {"modelled"}
    assert found.power_fit() is None
    assert set(found.step_ms) == {"", *Bundle.load(digits_bundle).manifest.cuts}
    assert not (tmp_path / "board/calibrate").exists()
    (tmp_path / "e.toml").write_text(f'name = "e"\nrounds = 3\nmodel = {{ bundle = "{digits_bundle}" }}\n')
    capsys.readouterr()
    assert main(["plan", "e.toml", "--inventory", "fleet.toml", "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    (here,) = plan["devices"]
    assert here["sources"]["steps"].startswith(f"calibrated {found.when}: ")
    assert here["train_s"] == pytest.approx(7 * found.step_ms[""] / 1000), "a hundred images in batches of 16"
    own_s = sum(here[key] for key in ("download_s", "prepare_s", "train_s", "upload_s"))
    assert plan["round_s"] == pytest.approx(own_s + 0.3)
    assert plan["total_s"] == pytest.approx(3 * plan["round_s"])
