"""What an earlier run says of its devices, in the place of a calibration, which a phone's app does not have."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Optional

from python_server.energy_figures import EnergyFigure, all_figures, best, counted
from python_server.errors import PlanError
from python_server.planner.calibrations import Calibrated
from python_server.run_reader import RunReader
from python_server.run_rows import DeviceRoundRow

__all__ = ["observed"]

_FIRST = 2
"""Of each device's rounds, the first to count: the round before it may have computed features, which are kept."""


def observed(run: Path) -> list[Calibrated]:
    """Return medians over the rounds of each device that trained all of the run's own bundle, or from a cut of it.

    Times of steps hold what a device did meanwhile; rates hold the server's side of transfers, too.

    Parameters
    ----------
    run
        Directory of a run of real devices.

    Raises
    ------
    PlanError
        Nothing in it can be used.
    python_server.errors.StoreError
        It is no run directory.
    """
    with RunReader(run) as reader:
        if reader.meta.get("mode") == "simulated":
            raise PlanError(f"{run}: its devices were simulated, so it says nothing of real ones")
        bundle = reader.meta.get("bundle_sha256", "")
        rows = [row for row in reader.device_rounds() if row.train_s and row.steps and not row.plan.get("submodel")]
        at = {row.round: row.started_at for row in reader.rounds()}
        energies = {key[:2]: figure for key, figure in counted(all_figures(reader)).items() if key[2] == "train"}
    by_device: dict[str, list[DeviceRoundRow]] = defaultdict(list)
    for row in rows:
        by_device[row.name].append(row)
    if not by_device:
        raise PlanError(f"{run}: no device trained the run's own bundle in it")
    return [
        _device(name, bundle, own, max(at.get(row.round, 0.0) for row in own), energies)
        for name, own in by_device.items()
    ]


def _device(
    name: str,
    bundle: str,
    rows: Sequence[DeviceRoundRow],
    at: float,
    energies: Mapping[tuple[int, str], EnergyFigure],
) -> Calibrated:
    usual = rows[_FIRST - 1 :] or rows
    steps: dict[str, list[float]] = defaultdict(list)
    for row in usual:
        steps[str(row.plan.get("cut", ""))].append(1000 * (row.train_s or 0.0) / (row.steps or 1))
    step_ms = {cut: statistics.median(times) for cut, times in steps.items()}
    if "" not in step_ms:
        step_ms[""] = max(step_ms.values())
    spread = {cut: (min(times), max(times)) for cut, times in steps.items()}
    return Calibrated(
        device=name,
        bundle=bundle,
        model="the run's bundle",
        threads=0,
        at=at,
        step_ms=step_ms,
        spread_ms={"": spread.get("", (step_ms[""], step_ms[""])), **spread},
        evaluate_ms=step_ms[""] / 3,
        features_ms=0.0,
        prepare_s=_median(row.prepare_s for row in usual) or 0.0,
        download_mbps=_rate((row.download_bytes, row.download_s) for row in usual),
        upload_mbps=_rate((row.upload_bytes, row.upload_s) for row in usual),
        round_trip_s=0.0,
        link_method="transfers of an earlier run",
        times_slower=None,
        power=_power(usual, energies),
    )


def _power(rows: Iterable[DeviceRoundRow], energies: Mapping[tuple[int, str], EnergyFigure]) -> list[dict[str, object]]:
    """Return the power in training, by the best source that told of any round; others are not mixed with it."""
    told = [(row, energies[row.round, row.device]) for row in rows if (row.round, row.device) in energies]
    first = best([figure for _, figure in told])
    if first is None:
        return []
    alike = [each for each in told if (each[1].method, bool(each[1].trace)) == (first.method, bool(first.trace))]
    # Joules stand for the seconds that were seen.
    seen = [(row, figure, 1.0 if figure.coverage is None else figure.coverage) for row, figure in alike]
    idle = [figure.idle_j for _, figure in alike if figure.idle_j is not None]
    return [
        {
            "threads": 1,
            "wall_s": sum(share * (row.train_s or 0.0) for row, _, share in seen),
            "cpu_s": sum(share * (row.cpu_s or row.train_s or 0.0) for row, _, share in seen),
            "energy_j": sum(figure.gross_j for _, figure in alike),
            "idle_j": sum(idle) if len(idle) == len(alike) else None,
            "method": first.method,
            "source": first.source,
        }
    ]


def _median(values: Iterable[Optional[float]]) -> Optional[float]:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def _rate(transfers: Iterable[tuple[Optional[int], Optional[float]]]) -> Optional[float]:
    return _median(size * 8e-6 / seconds for size, seconds in transfers if size and seconds)
