from __future__ import annotations

import json
from pathlib import Path
from types import TracebackType
from typing import Optional

import pytest

from edge_client.calibrate import calibrate, timed
from edge_client.cli import main
from edge_client.energy import Energy
from edge_client.errors import SettingsError
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
