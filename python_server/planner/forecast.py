"""The rounds of an experiment before they happen: the strategy itself chooses and plans, the virtual clock runs.

Who takes part in a round depends on seed and round alone, so the strategy is asked as the round loop will ask it
(`python_server.round_loop`), and what each task comes to is what the simulator would make of it
(`python_server.simulation.course`). Nothing is trained, so what a strategy learns from weights (FedLAMA's
discrepancies) stays as at the start.
"""

from __future__ import annotations

import copy
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Optional

import numpy as np

from edge_client.plan import Plan as TravellingPlan
from edge_client.records import (
    ACCEPTS_BUNDLE,
    BATTERY_PERCENT,
    BATTERY_WH,
    BUNDLE,
    CHARGING,
    CODECS,
    KEEPS_WEIGHTS,
    MEMORY_BYTES,
)
from model_export import codecs
from model_export.manifest import Manifest
from python_server.device_history import DeviceHistory
from python_server.errors import PlanError
from python_server.experiment import Experiment
from python_server.model import RunBundles
from python_server.planner.fleet import PlannedDevice
from python_server.planner.results import PHASES, Change, DeviceForecast, Forecast
from python_server.run_rows import DeviceRoundRow
from python_server.simulation.course import Course, arrays_bytes, course_of
from python_server.simulation.devices import SimulatedDevice
from python_server.store import Upload
from python_server.strategies.base import Device, Plan, Strategy
from python_server.wire import agreed

__all__ = ["OVERHEAD_S", "OVERHEAD_SOURCE", "forecast"]

OVERHEAD_S = 0.3
OVERHEAD_SOURCE = "0.3 s a round, as measured on loopback with four clients (docs/performance.md)"
_MOST_TASKS = 20_000
"""Tasks that are worked out; of longer experiments the first rounds stand for all."""


def forecast(
    experiment: Experiment,
    model: RunBundles,
    fleet: Sequence[PlannedDevice],
    *,
    change: Optional[Change] = None,
    most_rounds: int = 0,
) -> Forecast:
    """Work out an experiment's rounds.

    Parameters
    ----------
    experiment, model
        What is to be done, with its bundles.
    fleet
        The devices; they are left as they are.
    change
        Other settings to try.
    most_rounds
        Work out so many rounds at most; 0: as many as is quick.

    Raises
    ------
    PlanError
        There are no devices, or none of them can take part.
    ExperimentError
        The strategy cannot do what is asked.
    """
    if not fleet:
        raise PlanError("there are no devices to plan for")
    rounds = min(experiment.rounds, most_rounds or experiment.rounds, max(1, _MOST_TASKS // len(fleet)))
    return _Rounds(experiment, model, fleet, change or Change()).run(rounds)


class _Rounds:
    """The state of the rounds while they are worked out."""

    def __init__(
        self, experiment: Experiment, model: RunBundles, fleet: Sequence[PlannedDevice], change: Change
    ) -> None:
        self._experiment, self._model, self._change = experiment, model, change
        self._fleet = {each.device.name: each for each in fleet}
        self._devices = {name: copy.copy(each.device) for name, each in sorted(self._fleet.items())}
        for device in self._devices.values():
            device.busy_until = device.work_j = 0.0
        self._found = {
            name: DeviceForecast(name, len(device.rows), sources=self._fleet[name].sources)
            for name, device in self._devices.items()
        }
        self._strategy = self._changed(experiment.strategy).bind(model.variants, experiment.groups)
        self._history = DeviceHistory(model.variants)
        self._begun: set[str] = set()
        self._sums: dict[str, dict[str, float]] = {name: defaultdict(float) for name in self._devices}
        self._local_epochs = 0.0
        simulation = experiment.simulation
        self._overhead_s = simulation.overhead_s or OVERHEAD_S
        self._overhead = f"simulation.overhead_s, {simulation.overhead_s:g} s" if simulation.overhead_s else ""

    def run(self, rounds: int) -> Forecast:
        """Work out so many rounds, and take the others to be like them."""
        experiment = self._experiment
        state = self._strategy.start(self._model.initial())
        now, lengths = 0.0, []
        for number in range(1, rounds + 1):
            random = np.random.default_rng([experiment.seed, number])
            known = [self._history.known(self._device(device, now)) for device in self._devices.values()]
            unable = self._strategy.unable(known)
            able = [
                device for device in known if device.device not in unable and device.facts.get(BATTERY_PERCENT) != 0
            ]
            plans = self._strategy.select(state, number, able, random) if able else {}
            rows, end = self._round(number, now + self._overhead_s, plans, {each.device: each for each in known})
            passed_over = self._strategy.passed_over(state, number, able, plans)
            for name, reason in {**unable, **passed_over}.items():
                self._found[name].skipped += 1
                self._found[name].reason = self._found[name].reason or reason
                rows.append(DeviceRoundRow(number, name, name, "skipped", reason=reason))
            state = self._strategy.observe(state, number, [row for row in rows if row.outcome != "skipped"])
            uploads = [Upload(number, row.device, row.upload_s, row.upload_bytes) for row in rows if row.upload_s]
            self._history.learn(rows, uploads)
            lengths.append(end - now)
            now = end
        if not any(found.asked for found in self._found.values()):
            reason = next((found.reason for found in self._found.values() if found.reason), "none is asked")
            raise PlanError(f"no device would take part: {reason}")
        return self._result(lengths, rounds)

    def _changed(self, strategy: Strategy) -> Strategy:
        change: Any = self._change
        made: Any = copy.copy(strategy)
        if change.epochs is not None:
            made.train = replace(made.train, epochs=change.epochs, steps=0)
        if change.clients is not None:
            made.options = replace(made.options, fraction=min(1.0, change.clients / len(self._devices)))
        return made  # type: ignore[no-any-return]

    def _device(self, device: SimulatedDevice, now: float) -> Device:
        facts: dict[str, Any] = {
            "name": device.name,
            BUNDLE: device.bundle,
            ACCEPTS_BUNDLE: device.takes_bundles,
            KEEPS_WEIGHTS: True,
            CODECS: " ".join(codecs.FAMILIES),
        }
        if device.profile.memory_mb:
            facts[MEMORY_BYTES] = int(device.profile.memory_mb * 1e6)
        charge = device.charge_percent(now)
        if charge is not None:
            facts.update({BATTERY_PERCENT: charge, CHARGING: False, BATTERY_WH: device.profile.battery_wh})
        processor = device.profile.processor or device.profile.name
        return Device(device.name, device.name, processor, len(device.rows), facts)

    def _round(
        self, number: int, start: float, plans: Mapping[str, Plan], known: Mapping[str, Device]
    ) -> tuple[list[DeviceRoundRow], float]:
        """Let the planned devices do their part; return what the server sees, and when it is done."""
        deadline, ends, rows = start + self._experiment.server.round_deadline_s, [start], []
        for name, wanted in plans.items():
            device, found = self._devices[name], self._found[name]
            bundle = wanted.submodel.bundle or self._model.sha256
            if device.bundle != bundle and not device.takes_bundles:
                found.skipped, found.reason = found.skipped + 1, "it holds another bundle and takes no other"
                continue
            device.bundle = bundle
            manifest = self._model.bundles[bundle].manifest
            plan, course = self._task(number, wanted, known[name], device, manifest)
            begins_at = max(start, device.busy_until)
            done_at = begins_at + course.seconds
            energy = course.joules(device, begins_at - device.busy_until)
            device.busy_until = done_at
            device.work_j += sum(gross - idle for gross, idle in energy.values())
            late = done_at > deadline
            ends.append(min(done_at, deadline))
            self._add(found, plan, course, energy, begins_at, late)
            outcome = "late" if late else "partial" if course.steps < course.planned else "ok"
            rows.append(self._row(number, name, wanted, course, outcome, done_at - start, energy, late))
            self._costs(found, manifest, plan.cut, device)
        end = max(ends)
        if self._experiment.evaluate.clients and number % self._experiment.evaluate.every == 0:
            end = self._evaluated(plans, end)
        for name in self._devices:
            self._sums[name]["span_s"] += end - start + self._overhead_s
        return rows, end

    def _task(
        self, number: int, wanted: Plan, known: Device, device: SimulatedDevice, manifest: Manifest
    ) -> tuple[Plan, Course]:
        cutoff_s = self._change.cutoff_s
        if cutoff_s is not None:
            wanted = replace(wanted, cutoff_s=cutoff_s)
        plan = agreed(wanted, known, self._experiment.train, manifest.trained(wanted.cut))
        travelling = TravellingPlan.of(plan.to_config(number=number, run="", seed=0))
        sent = [name for name in manifest.state if plan.send is None or name in plan.send]
        payload = arrays_bytes(manifest, sent, travelling.download_codec)
        course = course_of(device, manifest, travelling, payload)
        if device.name not in self._begun:
            self._begun.add(device.name)
            course = replace(course, train_s=course.train_s + self._fleet[device.name].once_s)
        return plan, course

    def _evaluated(self, plans: Mapping[str, Plan], start: float) -> float:
        """Return when the devices have evaluated the new weights."""
        ends = [start]
        for name in plans:
            device = self._devices[name]
            manifest = self._model.bundles[device.bundle].manifest
            size = arrays_bytes(manifest, manifest.state, "float32")
            seconds = device.evaluate_s(-(-len(device.test_rows) // manifest.batch_size))
            ends.append(max(start, device.busy_until) + device.download_s(size) + seconds)
            if device.energy_source:
                gross, idle = device.joules("evaluate", seconds)
                device.work_j += gross - idle
                self._sums[name]["evaluate_j"] += gross
                self._sums[name]["evaluate_idle_j"] += idle
        return max(ends)

    def _add(
        self,
        found: DeviceForecast,
        plan: Plan,
        course: Course,
        energy: Mapping[str, tuple[float, float]],
        begins_at: float,
        late: bool,
    ) -> None:
        found.asked += 1
        found.late += late
        found.cut_off += course.steps < course.planned
        found.submodel, found.cut, found.epochs = plan.submodel.name, plan.cut, plan.epochs
        found.reason = found.reason or plan.reason
        sums = self._sums[found.name]
        for key in ("download_s", "prepare_s", "train_s", "upload_s", "download_bytes", "upload_bytes", "steps"):
            sums[key] += getattr(course, key)
        sums["planned_steps"] += course.planned
        for phase, (gross, idle) in energy.items():
            sums[f"{phase}_j"] += gross
            sums[f"{phase}_idle_j"] += idle
        if not late:
            self._local_epochs += course.epochs * course.steps / course.planned if course.planned else 0.0

    def _row(
        self,
        number: int,
        name: str,
        plan: Plan,
        course: Course,
        outcome: str,
        after_s: float,
        energy: Mapping[str, tuple[float, float]],
        late: bool,
    ) -> DeviceRoundRow:
        """Return what the run store would hold of it, as far as strategies look at that."""
        if late:
            return DeviceRoundRow(number, name, name, outcome, plan=plan.to_row())
        gross, idle = energy.get("train", (None, None))
        return DeviceRoundRow(
            round=number,
            device=name,
            name=name,
            outcome=outcome,
            plan=plan.to_row(),
            num_examples=len(self._devices[name].rows),
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
            energy_source=self._devices[name].energy_source,
            energy_method="modelled" if gross is not None else "",
        )

    def _costs(self, found: DeviceForecast, manifest: Manifest, cut: str, device: SimulatedDevice) -> None:
        """Note the memory of a step; the largest that the device is asked for counts."""
        signature = manifest.training_signature(cut)
        measured = manifest.costs.measured
        if measured is not None:
            found.memory_bytes = max(found.memory_bytes or 0, measured.signatures[signature].memory_bytes)
        if device.profile.memory_mb:
            found.memory_available = int(device.profile.memory_mb * 1e6)

    def _result(self, lengths: Sequence[float], rounds: int) -> Forecast:
        scale = self._experiment.rounds / rounds
        total_s, energy, traffic = sum(lengths) * scale, defaultdict[str, float](float), [0.0, 0.0]
        for name, found in self._found.items():
            sums = self._sums[name]
            self._finish(found, sums, scale, total_s)
            for phase in PHASES:
                if f"{phase}_j" in sums:
                    energy[phase] += sums[f"{phase}_j"] * scale
            traffic = [traffic[0] + sums["download_bytes"] * scale, traffic[1] + sums["upload_bytes"] * scale]
        return Forecast(
            devices=[self._found[name] for name in sorted(self._found)],
            rounds=self._experiment.rounds,
            worked_out=rounds,
            round_s=statistics.median(lengths),
            shortest_s=min(lengths),
            longest_s=max(lengths),
            total_s=total_s,
            energy_j=dict(energy),
            download_bytes=traffic[0],
            upload_bytes=traffic[1],
            local_epochs=self._local_epochs * scale,
            overhead=self._overhead or OVERHEAD_SOURCE,
        )

    def _finish(self, found: DeviceForecast, sums: Mapping[str, float], scale: float, total_s: float) -> None:
        """Turn sums into means of the rounds in which the device is asked, and counts into those of all rounds."""
        asked = max(1, found.asked)
        for key in ("download_s", "prepare_s", "train_s", "upload_s", "download_bytes", "upload_bytes"):
            setattr(found, key, sums.get(key, 0.0) / asked)
        found.steps, found.planned_steps = sums.get("steps", 0.0) / asked, sums.get("planned_steps", 0.0) / asked
        work_s = found.own_s * found.asked
        found.wait_s = max(0.0, sums["span_s"] - work_s) / asked
        device = self._devices[found.name]
        for phase in PHASES:
            if f"{phase}_j" in sums:
                found.energy_j[phase] = sums[f"{phase}_j"] / asked
                found.energy_idle_j[phase] = sums[f"{phase}_idle_j"] / asked
        capacity_j = 3600 * device.profile.battery_wh
        if capacity_j:
            used_j = device.profile.idle_w * total_s + device.work_j * scale
            found.battery_percent = 100 * used_j / capacity_j
        remarks = list(self._fleet[found.name].remarks)
        need, have = found.memory_bytes, found.memory_available
        if need and have and need > have:
            remarks.append(f"{found.name}: a step needs {need / 1e6:.0f} MB, and it has {have / 1e6:.0f} MB in all")
        if found.battery_percent is not None and found.battery_percent > device.profile.battery_percent:
            remarks.append(f"{found.name}: its battery would be empty before the end")
        found.remarks = tuple(remarks)
        for key in ("asked", "late", "cut_off", "skipped"):
            setattr(found, key, round(getattr(found, key) * scale))
