from __future__ import annotations

from pathlib import Path

import pytest

from device_profiles import PowerModel, ProfileError, catalog, load_profile
from edge_client.meters import ModelMeter, RaplMeter, find_meter


def _zone(root: Path, name: str, label: str, energy_uj: int, range_uj: int = 1_000_000) -> Path:
    zone = root / name
    zone.mkdir(parents=True)
    (zone / "name").write_text(f"{label}\n")
    (zone / "energy_uj").write_text(f"{energy_uj}\n")
    (zone / "max_energy_range_uj").write_text(f"{range_uj}\n")
    return zone


@pytest.fixture
def two_packages(tmp_path: Path) -> list[Path]:
    _zone(tmp_path, "intel-rapl:0:0", "core", 5)
    _zone(tmp_path, "intel-rapl:2", "psys", 7)
    return [
        _zone(tmp_path, "intel-rapl:0", "package-0", 100_000),
        _zone(tmp_path, "intel-rapl:1", "package-1", 900_000),
    ]


def test_rapl_adds_packages_and_follows_a_wrap(two_packages: list[Path], tmp_path: Path) -> None:
    meter = RaplMeter(tmp_path)
    with meter:
        (two_packages[0] / "energy_uj").write_text("350000")
        (two_packages[1] / "energy_uj").write_text("100000")
    assert meter.energy is not None
    assert meter.energy.gross_j == pytest.approx(0.25 + 0.2)
    assert (meter.energy.method, meter.energy.idle_j) == ("measured", None)


def test_rapl_that_vanishes_gives_no_figure(two_packages: list[Path], tmp_path: Path) -> None:
    meter = RaplMeter(tmp_path)
    with meter:
        (two_packages[0] / "energy_uj").unlink()
    assert meter.energy is None


def test_model_says_its_numbers() -> None:
    wall, cpu = iter([10.0, 14.0]), iter([1.0, 3.0])
    meter = ModelMeter(PowerModel(0.5, 2.0, "a guess"), wall=lambda: next(wall), cpu=lambda: next(cpu))
    with meter:
        pass
    assert meter.energy is not None
    assert meter.energy.gross_j == pytest.approx(4 * 0.5 + 2 * 2.0)
    assert meter.energy.idle_j == pytest.approx(2.0)
    assert meter.energy.method == "modelled"
    assert "2.0 W per core" in meter.energy.source
    assert "a guess" in meter.energy.source


def test_a_counter_is_preferred_and_a_model_is_the_last_resort(two_packages: list[Path], tmp_path: Path) -> None:
    assert isinstance(find_meter(root=tmp_path), RaplMeter)
    (two_packages[0] / "energy_uj").unlink()
    assert isinstance(find_meter(root=tmp_path), ModelMeter)
    assert isinstance(find_meter(root=tmp_path / "none"), ModelMeter)


def test_every_profile_of_the_catalog_loads() -> None:
    assert "generic" in catalog()
    for name in catalog():
        profile = load_profile(name)
        assert profile.name == name
        assert profile.power.idle_w >= 0
        assert profile.power.busy_w_per_core > 0
        assert profile.power.source


def test_unknown_profile_lists_the_known() -> None:
    with pytest.raises(ProfileError, match=r"'\.\./x'; there are: .*generic"):
        load_profile("../x")
