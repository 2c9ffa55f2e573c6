from __future__ import annotations

import json
from pathlib import Path
from types import TracebackType
from typing import Optional

import pytest

from edge_client.calibrate import _power, calibrate, timed
from edge_client.cli import main
from edge_client.energy import About, Energy, SampledMeter
from edge_client.energy.rig_test import Clock, Scripted
from edge_client.errors import SettingsError
from edge_client.trainer import Trainer
from model_export.bundle import Bundle


class OneJoule:
    """A meter that finds every interval one joule."""

    def __enter__(self) -> OneJoule:
        return self

    def __exit__(
        self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        pass

    @property
    def energy(self) -> Optional[Energy]:
        return Energy(1.0, None, "measured", "a test's meter", "board")


def test_every_signature_is_timed_and_power_is_measured_idle_and_busy(digits_bundle: Path, tmp_path: Path) -> None:
    zone = tmp_path / "sys/class/thermal/thermal_zone0"
    zone.mkdir(parents=True)
    (zone / "type").write_text("cpu-thermal\n")
    (zone / "temp").write_text("41500\n")
    bundle = Bundle.load(digits_bundle)
    said: list[str] = []
    found = calibrate(
        digits_bundle,
        threads=1,
        thread_counts=(2, 1),
        seconds=0.02,
        say=said.append,
        meter=OneJoule(),
        root=tmp_path,
    )
    assert found.bundle == bundle.sha256
    assert list(found.steps) == ["", *bundle.manifest.cuts]
    assert all(0 < each.low_ms <= each.ms <= each.high_ms for each in found.steps.values())
    assert min(each.count for each in found.steps.values()) >= 5
    assert found.features is None
    assert [sample.threads for sample in found.power] == [0, 1, 2]
    assert {sample.source for sample in found.power} == {"a test's meter"}
    assert (found.temperature_start_c, found.temperature_end_c) == (41.5, 41.5)
    assert said[1] == "steps of train"
    json.dumps(found.as_json(), allow_nan=False)


def test_joules_are_those_of_all_the_time_and_the_meter_is_let_go_of(
    digits_bundle: Path, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    """Four watts, seen for all but one second in twenty, are four watts; then the runtime fails, and so it ends."""
    source = Scripted(About("test", "a test", "measured", "board"))
    source.value = 4.0
    meter = SampledMeter(source, rate_hz=0.0, clock=clock, cpu=lambda: 0.0)

    def idle() -> None:
        for _ in range(20):
            clock.now += 0.95
            meter.mark()
        clock.now += 1.0

    sample = _power(meter, 0, idle)
    assert sample is not None
    assert not sample.excluded
    assert sample.energy_j == pytest.approx(4.0 * 20, rel=1e-3)

    def fail(*_: object, num_threads: Optional[int]) -> Trainer:
        if num_threads == 7:
            raise SettingsError("no seven threads")
        return Trainer(digits_bundle, num_threads=num_threads)

    monkeypatch.setattr("edge_client.calibrate.find_meter", lambda profile, source: meter)
    with pytest.raises(SettingsError, match="no seven threads"):
        calibrate(digits_bundle, threads=1, thread_counts=(7,), seconds=0.01, make_trainer=fail)
    assert source.closed


def test_a_figure_is_the_median_of_blocks() -> None:
    """One block of five is ten times as slow, and does not count."""
    now = [0.0]
    calls = [0]

    def work() -> None:
        calls[0] += 1
        now[0] += 1.0 if calls[0] in (4, 5) else 0.1

    found = timed(work, 1.0, clock=lambda: now[0])
    assert found.ms == pytest.approx(100)
    assert found.high_ms > 300
    assert found.count == calls[0] - 1


def test_the_command_prints_json_or_lines(digits_bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["calibrate", str(digits_bundle), "--seconds", "0.01", "--threads", "1"]
    assert main([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["model"] == Bundle.load(digits_bundle).manifest.name
    assert main(words) == 0
    assert any(line.startswith("power, idle: ") for line in capsys.readouterr().out.splitlines())


def test_what_cannot_be_calibrated(digits_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["calibrate", str(tmp_path / "none.bundle")]) == 1
    assert "none.bundle" in capsys.readouterr().err
    with pytest.raises(SettingsError, match="--seconds is 0"):
        calibrate(digits_bundle, seconds=0)
