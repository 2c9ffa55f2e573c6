"""What the rounds of a plan add up to on one device."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from model_export.manifest import Manifest
from python_server.planner.fleet import PlannedDevice
from python_server.planner.results import PHASES, DeviceForecast
from python_server.run_rows import DeviceRoundRow
from python_server.simulation.course import Course
from python_server.simulation.devices import Joules, SimulatedDevice
from python_server.strategies.base import Plan

__all__ = ["Tally", "row_of"]

_MEANS = ("download_s", "prepare_s", "train_s", "upload_s", "download_bytes", "upload_bytes", "steps")
_COUNTS = ("asked", "late", "cut_off", "skipped")


class Tally:
    """Sums of a device's tasks.

    Parameters
    ----------
    planned
        The device.
    device
        The same as it is in the rounds: its battery and clock go on.

    Attributes
    ----------
    found
        What is said of it; complete after `finish`.
    local_epochs
        Passes through its data so far, cut short ones in part, late ones not.
    """

    def __init__(self, planned: PlannedDevice, device: SimulatedDevice) -> None:
        self.found = DeviceForecast(device.name, len(device.rows), sources=planned.sources)
        self.local_epochs = 0.0
        self._remarks = planned.remarks
        self._device = device
        self._sums: dict[str, float] = defaultdict(float)

    def asked(self, plan: Plan, course: Course, energy: Mapping[str, Joules], *, late: bool) -> None:
        """Add a task."""
        found, sums = self.found, self._sums
        found.asked += 1
        found.late += late
        found.cut_off += course.steps < course.planned
        found.submodel, found.cut, found.epochs = plan.submodel.name, plan.cut, plan.epochs
        found.reason = found.reason or plan.reason
        for key in _MEANS:
            sums[key] += getattr(course, key)
        sums["planned_steps"] += course.planned
        for phase, joules in energy.items():
            self.used(phase, joules)
        if course.planned and not late:
            self.local_epochs += course.epochs * course.steps / course.planned

    def used(self, phase: str, joules: Joules) -> None:
        """Add the energy of a phase."""
        self._sums[f"{phase}_j"] += joules[0]
        self._sums[f"{phase}_idle_j"] += joules[1]

    def left_out(self, reason: str) -> None:
        """Add a round in which it is not asked."""
        self.found.skipped += 1
        self.found.reason = self.found.reason or reason

    def passed(self, seconds: float) -> None:
        """Add the length of a round, asked or not."""
        self._sums["span_s"] += seconds

    def needs(self, manifest: Manifest, cut: str) -> None:
        """Note the memory of a step; the largest that the device is asked for counts."""
        measured, found = manifest.costs.measured, self.found
        if measured is not None:
            needed = measured.signatures[manifest.training_signature(cut)].memory_bytes
            found.memory_bytes = max(found.memory_bytes or 0, needed)
        if self._device.profile.memory_mb:
            found.memory_available = int(self._device.profile.memory_mb * 1e6)

    def total(self, key: str) -> float:
        """Return a sum so far, such as ``download_bytes`` or ``train_j``; 0 where there is nothing of it."""
        return self._sums.get(key, 0.0)

    def finish(self, more: float, after: Tally, total_s: float) -> DeviceForecast:
        """Turn sums into means of the rounds in which it is asked, and counts into those of all rounds.

        Parameters
        ----------
        more
            Rounds that were not worked out, to those that were.
        after
            What these come to; may be this very tally.
        total_s
            Seconds of all rounds.
        """
        found, profile = self.found, self._device.profile
        sums = {key: value + more * after.total(key) for key, value in self._sums.items()}
        work_j = self._device.work_j + more * after._device.work_j
        counts = {key: getattr(found, key) + more * getattr(after.found, key) for key in _COUNTS}
        asked = counts["asked"] or 1
        for key in (*_MEANS, "planned_steps"):
            setattr(found, key, sums.get(key, 0.0) / asked)
        found.wait_s = max(0.0, sums["span_s"] / asked - found.own_s)
        for phase in PHASES:
            if f"{phase}_j" in sums:
                found.energy_j[phase] = sums[f"{phase}_j"] / asked
                found.energy_idle_j[phase] = sums[f"{phase}_idle_j"] / asked
        if profile.battery_wh:
            found.battery_percent = 100 * (profile.idle_w * total_s + work_j) / (3600 * profile.battery_wh)
        remarks = list(self._remarks)
        need, have = found.memory_bytes, found.memory_available
        if need and have and need > have:
            remarks.append(f"{found.name}: a step needs {need / 1e6:.0f} MB, and it has {have / 1e6:.0f} MB in all")
        if found.battery_percent is not None and found.battery_percent > profile.battery_percent:
            remarks.append(f"{found.name}: its battery would be empty before the end")
        found.remarks = tuple(remarks)
        for key, count in counts.items():
            setattr(found, key, round(count))
        return found


def row_of(
    number: int, device: SimulatedDevice, plan: Plan, course: Course, energy: Mapping[str, Joules], after_s: float
) -> DeviceRoundRow:
    """Return what the run store would hold of an answer, as far as strategies look at that.

    ``after_s`` is when the answer is there, from the start of the round.
    """
    gross, idle = energy.get("train", (None, None))
    return DeviceRoundRow(
        round=number,
        device=device.name,
        name=device.name,
        outcome="partial" if course.steps < course.planned else "ok",
        plan=plan.to_row(),
        num_examples=len(device.rows),
        steps=course.steps,
        planned_steps=course.planned,
        download_s=course.download_s,
        prepare_s=course.prepare_s,
        train_s=course.train_s,
        upload_s=course.upload_s,
        sent_after_s=0.0,
        replied_after_s=after_s,
        read_after_s=after_s,
        download_bytes=course.download_bytes,
        upload_bytes=course.upload_bytes,
        energy_j=gross,
        energy_idle_j=idle,
        energy_source=device.energy_source,
        energy_method="modelled" if gross is not None else "",
    )
