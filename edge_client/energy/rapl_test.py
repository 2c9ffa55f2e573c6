"""Trees as Linux shows them (docs.kernel.org, power/powercap; names and ranges of an Intel package with memory)."""

from __future__ import annotations

from pathlib import Path
from typing import Callable

import pytest

from edge_client.energy.meter import SampledMeter
from edge_client.energy.rapl import find_rapl
from edge_client.energy.rig_test import Tree
from edge_client.energy.source import ReadingError

CLASS = "sys/class/powercap"


def zone(name: str, label: str, energy_uj: int, range_uj: int = 262_143_328_850) -> dict[str, int | str]:
    folder = f"{CLASS}/{name}"
    return {f"{folder}/name": label, f"{folder}/energy_uj": energy_uj, f"{folder}/max_energy_range_uj": range_uj}


MACHINE: Tree = {
    **zone("intel-rapl:0", "package-0", 100_000_000),
    **zone("intel-rapl:0:0", "core", 50_000_000),
    **zone("intel-rapl:0:1", "dram", 7_000_000, 65_712_999_613),
    **zone("intel-rapl:1", "package-1", 262_143_000_000),
    **zone("intel-rapl:2", "psys", 900_000_000),
    **zone("intel-rapl-mmio:0", "package-0", 100_000_000),
}


def test_packages_and_memory_add_up_and_a_wrap_is_followed(tree: Callable[[Tree], Path]) -> None:
    """5 J of package 0, 328,850 µJ to the wrap and 2 J after it of package 1, 1.5 J of memory."""
    source = find_rapl(tree(MACHINE))
    tree(
        {
            f"{CLASS}/intel-rapl:0/energy_uj": 105_000_000,
            f"{CLASS}/intel-rapl:0:0/energy_uj": 54_000_000,
            f"{CLASS}/intel-rapl:0:1/energy_uj": 8_500_000,
            f"{CLASS}/intel-rapl:1/energy_uj": 2_000_000,
        }
    )
    assert source.read() == pytest.approx(5.0 + 0.32885 + 2.0 + 1.5)
    assert source.about.title == "RAPL counters: package-0 + package-1 + dram, for all programs"
    assert (source.about.covers, source.about.unit, source.about.method) == ("processor", "J", "measured")


def test_a_meter_over_it(tree: Callable[[Tree], Path], clock: Callable[[], float]) -> None:
    root = tree(MACHINE)
    meter = SampledMeter(find_rapl(root), rate_hz=0.0, clock=clock)
    with meter:
        clock.now += 2.0  # type: ignore[attr-defined]
        tree({f"{CLASS}/intel-rapl:0/energy_uj": 130_000_000})
    assert meter.energy is not None
    assert meter.energy.gross_j == pytest.approx(30.0)
    assert (meter.energy.idle_j, meter.energy.coverage, meter.energy.flags) == (None, 1.0, ())
    with meter:
        (root / CLASS / "intel-rapl:0/energy_uj").unlink()
        clock.now += 2.0  # type: ignore[attr-defined]
    assert meter.energy is not None
    assert meter.energy.excluded


def test_nonsense_is_no_reading(tree: Callable[[Tree], Path]) -> None:
    source = find_rapl(tree(MACHINE))
    tree({f"{CLASS}/intel-rapl:0/energy_uj": 262_143_328_851})
    with pytest.raises(ReadingError, match="beyond its range"):
        source.read()
    tree({f"{CLASS}/intel-rapl:0/energy_uj": "<not counted>"})
    with pytest.raises(ReadingError, match="is no number"):
        source.read()


def test_a_reading_that_failed_at_one_counter_counts_the_others_once(tree: Callable[[Tree], Path]) -> None:
    source = find_rapl(tree(MACHINE))
    tree({f"{CLASS}/intel-rapl:0/energy_uj": 105_000_000, f"{CLASS}/intel-rapl:1/energy_uj": 262_143_328_851})
    with pytest.raises(ReadingError, match="beyond its range"):
        source.read()
    tree({f"{CLASS}/intel-rapl:1/energy_uj": 262_143_000_000})
    assert source.read() == pytest.approx(5.0)


def test_what_is_missing_is_said(tree: Callable[[Tree], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ReadingError, match="no RAPL counters"):
        find_rapl(tmp_path)
    root = tree(MACHINE)

    def refuse(path: str) -> int:
        raise ReadingError(f"{path}: Permission denied")

    monkeypatch.setattr("edge_client.energy.rapl.read_number", refuse)  # tests may run as root, who may read all
    with pytest.raises(ReadingError, match=r"only root may read them: sudo chmod a\+r .*intel-rapl:0/energy_uj"):
        find_rapl(root)
