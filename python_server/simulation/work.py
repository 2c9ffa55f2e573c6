"""What a simulated device makes of a task, as `edge_client.worker` does on a real one.

Numbers really pass through the plan's codecs, and what a device keeps between rounds is kept as on devices, in files.
Bytes are those of the packed arrays and of the list of variables to reply; the rest of a message, about two kilobytes
of metrics and names, is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Optional, Union

from edge_client.local_weights import LocalWeights
from edge_client.plan import Plan
from edge_client.records import (
    BATTERY_AT,
    DOWNLOAD_BYTES,
    DOWNLOAD_ENERGY,
    DOWNLOAD_S,
    ENERGY,
    ENERGY_COVERS,
    ENERGY_FLAGS,
    ENERGY_METHOD,
    ENERGY_SOURCE,
    WAIT_ENERGY,
    Scalar,
)
from model_export import codecs
from model_export.bundle import Bundle
from model_export.errors import TensorFileError
from model_export.manifest import Manifest
from model_export.tensors import packed_bytes
from python_server.reported_energy import SIMULATED
from python_server.simulation.course import Course, course_of, reply_of
from python_server.simulation.devices import Joules, SimulatedDevice
from python_server.simulation.engine import Arrays, TrainResult, TrainTask
from python_server.tasks import Answer, Assignment, Payload

__all__ = ["UnfitError", "Work", "Workshop", "check_fit", "energy_info"]


class UnfitError(ValueError):
    """A device cannot do a task; the message says why."""


@dataclass(frozen=True, eq=False)
class Work:
    """What a device will have done, and when.

    Attributes
    ----------
    received
        The weights that came with the task, decoded.
    reply
        The variables that it sends back.
    course
        What the task comes to.
    begins_at, done_at
        Virtual seconds at which it takes the task up, and at which its answer is there.
    waited_s
        Between its last answer and this task.
    energy
        Gross and idle joules by phase, the wait before it among them; empty where no power is known.
    charges
        Of its battery at both ends, in percent; None: it has none.
    """

    node_id: int
    device: SimulatedDevice
    plan: Plan
    bundle: str
    received: Arrays
    reply: tuple[str, ...]
    course: Course
    begins_at: float
    done_at: float
    waited_s: float
    energy: Mapping[str, Joules]
    charges: Optional[tuple[float, float]]

    @property
    def work_j(self) -> float:
        """Joules above idle."""
        return sum(gross - idle for gross, idle in self.energy.values())


class Workshop:
    """Does the devices' part of tasks, but for the training.

    Parameters
    ----------
    bundles
        By hash; see `python_server.model.RunBundles`.
    kept
        Folder for the weights that devices keep between rounds.
    """

    def __init__(self, bundles: Mapping[str, Bundle], kept: Path) -> None:
        self._manifests = {name: bundle.manifest for name, bundle in bundles.items()}
        self._kept = kept
        self._decoded: dict[int, tuple[Payload, Arrays]] = {}

    def manifest(self, device: SimulatedDevice) -> Manifest:
        """Return what the bundle that a device holds says of itself."""
        return self._manifests[device.bundle]

    def begin(self) -> None:
        """Forget what was decoded: a new round has begun."""
        self._decoded.clear()

    def foresee(self, assignment: Assignment, device: SimulatedDevice, start: float) -> Work:
        """Return what a device will do with a task that it is given at a virtual second.

        Raises
        ------
        UnfitError
            The task does not fit its bundle, or needs weights that it has not kept.
        edge_client.errors.TaskError
            The plan has a value that makes no sense.
        """
        plan, payload, manifest = Plan.of(assignment.config), assignment.payload, self.manifest(device)
        assert payload is not None
        received = self._receive(payload, plan.download_codec, manifest)
        check_fit(received, manifest, partly=plan.start_round is not None)
        if plan.start_round is not None and not self._keeper(device).holds(plan, device.bundle):
            raise UnfitError(f"it kept no weights of its own after round {plan.start_round}; send it all variables")
        course = course_of(device, manifest, plan, payload.bytes)
        begins_at = max(start, device.busy_until)
        done_at, waited_s = begins_at + course.seconds, begins_at - device.busy_until
        energy = course.joules(device, waited_s)
        more_j = sum(gross - idle for gross, idle in energy.values())
        before, after = device.charge_percent(begins_at), device.charge_percent(done_at, more_j)
        return Work(
            assignment.node_id,
            device,
            plan,
            device.bundle,
            received,
            reply_of(manifest, plan),
            course,
            begins_at,
            done_at,
            waited_s,
            energy,
            None if before is None or after is None else (before, after),
        )

    def task(self, work: Work) -> TrainTask:
        """Return the training that a device has to do; its own weights are read now."""
        plan, device = work.plan, work.device
        weights = work.received
        if plan.start_round is not None:
            weights = {**self._keeper(device).load(plan, work.bundle), **weights}
        return TrainTask(
            rows=device.rows,
            weights=weights,
            epochs=work.course.epochs,
            steps=work.course.steps,
            learning_rate=plan.learning_rate,
            cut=plan.cut,
            mu=plan.mu,
            seed=plan.seed_for(device.name),
            bundle=work.bundle,
        )

    def answer(self, work: Work, task: TrainTask, result: TrainResult, start: float) -> Answer:
        """Return what a device answers, having trained; times count from a virtual second."""
        plan, device, after_s = work.plan, work.device, work.done_at - start
        if result.problem:
            return Answer(work.node_id, result.problem, replied_after_s=after_s, read_after_s=after_s)
        weights = {**task.weights, **result.weights}
        if plan.keep_weights:
            self._keeper(device).save(plan, work.bundle, weights)
        arrays = codecs.encode({path: weights[path] for path in work.reply}, plan.upload_codec, work.received)
        upload_bytes = packed_bytes(arrays)
        course, energy = work.course, work.energy
        metrics: dict[str, Union[int, float]] = {
            "num-examples": len(device.rows),
            "examples-processed": result.examples_processed,
            "steps": course.steps,
            "planned-steps": course.planned,
            "train-loss": result.loss,
            "train-s": course.train_s,
            "prepare-s": course.prepare_s,
            DOWNLOAD_S: course.download_s,
            DOWNLOAD_BYTES: course.download_bytes,
            **_energy_metrics(energy),
            **device.told_upload(),
        }
        if work.charges is not None:
            metrics.update(zip(BATTERY_AT, work.charges))
        device.upload, device.upload_j = (plan.number, course.upload_s, upload_bytes), energy.get("upload")
        return Answer(
            work.node_id,
            metrics=metrics,
            info=energy_info(device),
            arrays=arrays,
            replied_after_s=after_s,
            read_after_s=after_s,
            bytes=upload_bytes,
        )

    def _receive(self, payload: Payload, codec: str, manifest: Manifest) -> Arrays:
        """Decode a payload, once for all devices that get it."""
        if codec == "float32":
            return payload.arrays
        if id(payload) not in self._decoded:
            specs = {path: (variable.shape, variable.dtype) for path, variable in manifest.variables.items()}
            try:
                self._decoded[id(payload)] = payload, codecs.decode(payload.arrays, specs)
            except TensorFileError as error:
                raise UnfitError(str(error)) from None
        return self._decoded[id(payload)][1]

    def _keeper(self, device: SimulatedDevice) -> LocalWeights:
        return LocalWeights(self._kept / device.name)


def check_fit(arrays: Arrays, manifest: Manifest, *, partly: bool = False) -> None:
    """Raise `UnfitError` if weights are not those of a bundle; ``partly``: some may be missing."""
    for path, variable in manifest.variables.items():
        if path not in arrays and partly:
            continue
        if path not in arrays or arrays[path].shape != variable.shape:
            raise UnfitError(f"its part of the model has no {path} of shape {list(variable.shape)}, as the bundle has")


def energy_info(device: SimulatedDevice) -> dict[str, Scalar]:
    """Return what a device tells in words with a figure of energy."""
    source = device.energy_source
    if not source:
        return {"name": device.name, SIMULATED: True, ENERGY_METHOD: "none", ENERGY_SOURCE: ""}
    told = {ENERGY_METHOD: "modelled", ENERGY_SOURCE: source, ENERGY_COVERS: "device", ENERGY_FLAGS: ""}
    return {"name": device.name, SIMULATED: True, **told}


def _energy_metrics(energy: Mapping[str, Joules]) -> dict[str, Union[int, float]]:
    """Return gross and idle joules by phase, as devices tell them; −1: not known."""
    metrics: dict[str, Union[int, float]] = {}
    for phase, keys in (("train", ENERGY), ("download", DOWNLOAD_ENERGY), ("wait", WAIT_ENERGY)):
        metrics.update(zip(keys, energy.get(phase, (-1.0, -1.0))))
    return metrics
