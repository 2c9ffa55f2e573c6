"""The rounds of an experiment before they happen: the strategy itself chooses and plans, the virtual clock runs.

Who takes part in a round depends on seed and round alone, so the strategy is asked as the round loop will ask it
(`python_server.round_loop`), and what each task comes to is what the simulator would make of it
(`python_server.simulation.course`). Nothing is trained, so what a strategy learns from weights (FedLAMA's
discrepancies) stays as at the start.
"""

from __future__ import annotations

import copy
import statistics
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
from python_server.planner.results import PHASES, Change, Forecast
from python_server.planner.tally import Tally, row_of
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
    change = change or Change()
    found = after = _Rounds(experiment, model, fleet, change)
    found.work_out(rounds)
    if rounds < experiment.rounds and any(each.once_s for each in fleet):
        after = _Rounds(experiment, model, [replace(each, once_s=0.0) for each in fleet], change)
        after.work_out(rounds)
    return found.result(after)


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
        self._tallies = {name: Tally(self._fleet[name], device) for name, device in self._devices.items()}
        self._strategy = self._changed(experiment.strategy).bind(model.variants, experiment.groups)
        self._history = DeviceHistory(model.variants)
        self._begun: set[str] = set()
        self._lengths: list[float] = []
        simulation = experiment.simulation
        self._overhead_s = simulation.overhead_s or OVERHEAD_S
        self._overhead = f"simulation.overhead_s, {simulation.overhead_s:g} s" if simulation.overhead_s else ""

    def work_out(self, rounds: int) -> None:
        """Do so many rounds.

        Raises
        ------
        PlanError
            No device takes part in any of them.
        """
        experiment = self._experiment
        state = self._strategy.start(self._model.initial())
        now = 0.0
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
                self._tallies[name].left_out(reason)
                rows.append(DeviceRoundRow(number, name, name, "skipped", reason=reason))
            state = self._strategy.observe(state, number, [row for row in rows if row.outcome != "skipped"])
            uploads = [Upload(number, row.device, row.upload_s, row.upload_bytes) for row in rows if row.upload_s]
            self._history.learn(rows, uploads)
            self._lengths.append(end - now)
            now = end
        found = [tally.found for tally in self._tallies.values()]
        if not any(each.asked for each in found):
            reason = next((each.reason for each in found if each.reason), "none is asked")
            raise PlanError(f"no device would take part: {reason}")

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
            device, tally = self._devices[name], self._tallies[name]
            bundle = wanted.submodel.bundle or self._model.sha256
            if device.bundle != bundle and not device.takes_bundles:
                tally.left_out("it holds another bundle and takes no other")
                continue
            device.bundle = bundle
            manifest = self._model.bundles[bundle].manifest
            plan, course = self._task(number, wanted, known[name], device, manifest)
            begins_at = max(start, device.busy_until)
            done_at = begins_at + course.seconds
            energy = course.joules(device, begins_at - device.busy_until)
            late = done_at > deadline
            tally.asked(plan, course, energy, late=late)
            tally.needs(manifest, plan.cut)
            ends.append(min(done_at, deadline))
            if done_at - course.upload_s - course.train_s <= deadline:  # else the task is withdrawn in time
                device.busy_until = done_at
                device.work_j += sum(gross - idle for gross, idle in energy.values())
            if late:
                rows.append(DeviceRoundRow(number, name, name, "late", plan=wanted.to_row()))
            else:
                rows.append(row_of(number, device, wanted, course, energy, done_at - start))
        end = max(ends)
        evaluate = self._experiment.evaluate
        if evaluate.clients and (number % evaluate.every == 0 or number == self._experiment.rounds):
            end = self._evaluated(plans, end)
        for name in self._devices:
            self._tallies[name].passed(end - start + self._overhead_s)
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
                self._tallies[name].used("evaluate", (gross, idle))
        return max(ends)

    def result(self, after: _Rounds) -> Forecast:
        """Return what all rounds of the experiment come to, those that were not worked out taken to be like others.

        Parameters
        ----------
        after
            As many rounds that are like those that follow: these ones, or without what is done once.
        """
        lengths = self._lengths
        more = self._experiment.rounds / len(lengths) - 1
        pairs = [(tally, after._tallies[name]) for name, tally in self._tallies.items()]

        def total(key: str) -> float:
            return sum(each.total(key) + more * other.total(key) for each, other in pairs)

        total_s = sum(lengths) + more * sum(after._lengths)
        joules = {phase: total(f"{phase}_j") for phase in PHASES}
        return Forecast(
            rounds=self._experiment.rounds,
            worked_out=len(lengths),
            round_s=statistics.median(lengths),
            shortest_s=min(lengths),
            longest_s=max(lengths),
            total_s=total_s,
            energy_j={phase: value for phase, value in joules.items() if value},
            download_bytes=total("download_bytes"),
            upload_bytes=total("upload_bytes"),
            local_epochs=sum(each.local_epochs + more * other.local_epochs for each, other in pairs),
            overhead=self._overhead or OVERHEAD_SOURCE,
            devices=[each.finish(more, other, total_s) for each, other in pairs],
        )
